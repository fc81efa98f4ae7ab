//! Names, as programs of all kinds look for them.

use super::{both, prepare, refused, run, run_with};
use crate::support::assert_nothing_left;

/// Go's own way to look a name up.
const RESOLVER: &str = include_str!("resolver.py");

both! {
    fn a_name_that_does_not_exist_is_told_when_it_is_looked_for(world) {
        prepare(world);
        let script = r#"
python3 - <<'END'
import socket, time
def look(name):
    began = time.monotonic()
    try: told = sorted({one[0].name for one in socket.getaddrinfo(name, 7000)})
    except socket.gaierror as e: told = {-2: 'NONAME', -3: 'AGAIN', -5: 'NODATA'}.get(e.errno, e)
    took = time.monotonic() - began
    print(name, told, 'at once' if took < 1.5 else 'in time' if took < 4 else took)
for name in ('there', 'gone', 'empty', 'busy', 'six', 'slow', 'gone', 'there', 'there', 'there'): look(name + '.dns.test')
look('stolen-data.evil.test'); look('web.test')
END"#;
        let (done, report) = run(world, &["*.dns.test:7000", "web.test"], script);
        done.success().stdout_is("there.dns.test ['AF_INET'] at once\ngone.dns.test NONAME at once\nempty.dns.test NONAME at once\n\
            busy.dns.test ['AF_INET'] at once\nsix.dns.test ['AF_INET'] at once\nslow.dns.test ['AF_INET'] in time\n\
            gone.dns.test NONAME at once\nthere.dns.test ['AF_INET'] at once\nthere.dns.test ['AF_INET'] at once\n\
            there.dns.test ['AF_INET'] at once\n\
            stolen-data.evil.test NONAME at once\nweb.test ['AF_INET'] at once\n");
        // Only what is allowed was looked for, and what is known not again.
        let asked = std::fs::read_to_string(world.base().join("www/asked")).unwrap();
        let mut asked: Vec<&str> = asked.lines().collect();
        asked.sort_unstable();
        let there = asked.iter().filter(|name| **name == "there.dns.test").count();
        assert!(there <= 4, "both kinds of addresses, for two questions at most: {asked:?}");
        asked.dedup();
        assert_eq!(asked, ["busy.dns.test", "empty.dns.test", "gone.dns.test", "six.dns.test", "slow.dns.test", "there.dns.test"]);
        assert_eq!(refused(&report), ["empty.dns.test network/no-such-name", "gone.dns.test network/no-such-name",
            "stolen-data.evil.test network/not-allowed"]);
        assert_nothing_left(world);
    }

    fn a_name_that_leads_elsewhere_when_it_is_used_is_judged_then(world) {
        prepare(world);
        let script = r#"
python3 - <<'END'
import socket
def at(name): return socket.getaddrinfo(name, 7000, socket.AF_INET)[0][4]
def tcp(to):
    try:
        s = socket.create_connection(to, 10); s.send(b'x'); return s.recv(1)
    except OSError as e: return type(e).__name__
def udp(to, data=b'x'):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10)
    try:
        s.connect(to); s.send(data); return s.recv(9)
    except OSError as e: return type(e).__name__
for name in ('there', 'six', 'inner', 'meta'): print(name, tcp(at(name + '.dns.test')), udp(at(name + '.dns.test')))
flip = at('flip.dns.test')
print(tcp(flip), udp(flip), udp(at('there.dns.test'), b'flip'), tcp(flip), udp(flip))
END"#;
        let (done, report) = run(world, &["*.dns.test:7000", "*.dns.test:7000/udp"], script);
        done.success().stdout_is("there b'x' b'x'\nsix b'x' b'x'\ninner ConnectionResetError ConnectionRefusedError\n\
            meta ConnectionResetError ConnectionRefusedError\n\
            b'x' b'x' b'flip' ConnectionResetError ConnectionRefusedError\n");
        let refused = refused(&report);
        for line in ["flip.dns.test:7000 network/private-address", "flip.dns.test:7000/udp network/private-address",
            "inner.dns.test:7000 network/private-address", "inner.dns.test:7000/udp network/private-address",
            "meta.dns.test:7000 network/link-local-address", "meta.dns.test:7000/udp network/link-local-address"] {
            assert!(refused.contains(&line.to_owned()), "{line}: {refused:#?}");
        }
        assert_nothing_left(world);
    }

    fn the_resolver_of_go_finds_names(world) {
        prepare(world);
        world.file("resolver.py", RESOLVER);
        let script = r#"
time -p python3 resolver.py web.test WEB.test. there.dns.test gone.dns.test other.test localhost
# A search list of the program's own, as one with ndots has.
cat > resolv.conf <<'END'
nameserver 198.18.0.1
search corp.test web.test
options ndots:2 timeout:1 attempts:3
END
sed 's,"/etc/resolv.conf","resolv.conf",' resolver.py > own.py
python3 own.py a b.a other.test"#;
        let (done, report) = run(world, &["web.test", "a.web.test", "b.a.web.test", "there.dns.test", "gone.dns.test"], script);
        done.success().stdout_is("web.test 198.18.1.0\nWEB.test. 198.18.1.0\nthere.dns.test 198.18.1.1\n\
            gone.dns.test no such host\nother.test no such host\nlocalhost 127.0.0.1 ::1\n\
            a 198.18.1.2\nb.a 198.18.1.3\nother.test no such host\n");
        let real = done.stderr.lines().find_map(|line| line.strip_prefix("real ")).unwrap();
        assert!(real.parse::<f64>().unwrap() < 2.0, "an empty answer for AAAA is no reason to wait: {real}");
        assert!(refused(&report).contains(&"a.corp.test network/not-allowed".to_owned()), "{report:#}");
        assert_nothing_left(world);
    }

    fn malformed_questions_bring_nothing_down(world) {
        prepare(world);
        let script = r#"
python3 - <<'END'
import os, random, socket, struct, time
to = ('198.18.0.1', 53)
def head(questions=1, flags=0x100): return struct.pack('>6H', 7, flags, questions, 0, 0, 0)
end = struct.pack('>HH', 1, 1)
def label(text): return bytes([len(text)]) + text
good = head() + label(b'web') + label(b'test') + b'\0' + end
bad = {
    'nul': head() + label(b'w\0b') + label(b'test') + b'\0' + end,
    'nul at the end': head() + label(b'web') + label(b'test\0') + b'\0' + end,
    'dot in a label': head() + label(b'web.test') + b'\0' + end,
    'long label': head() + bytes([64]) + b'a' * 64 + b'\0' + end,
    'long name': head() + (label(b'a' * 63)) * 5 + b'\0' + end,
    'loop': head() + b'\xc0\x0c' + end,
    'loop of two': head() + b'\xc0\x0e\xc0\x0c' + end,
    'pointer beyond': head() + b'\xc3\xff' + end,
    'no end': head() + label(b'web'),
    'two questions': head(2) + (label(b'web') + label(b'test') + b'\0' + end) * 2,
    'many promised': head(65535) + label(b'web') + label(b'test') + b'\0' + end,
    'an answer': head(flags=0x8180) + label(b'web') + label(b'test') + b'\0' + end,
    'chaos': head() + label(b'version') + label(b'bind') + b'\0' + struct.pack('>HH', 16, 3),
    'any': head() + label(b'stolen') + label(b'evil') + b'\0' + struct.pack('>HH', 255, 255),
    'bytes': head() + label(b'\xff\xfe') + label(b'test') + b'\0' + end,
    'punycode trick': head() + label('w\u0435b'.encode()) + label(b'test') + b'\0' + end,
    'root': head() + b'\0' + end,
}
def send(data, wait=0.3):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(wait); s.sendto(data, to)
    try: answer = s.recv(4096)
    except socket.timeout: return None
    flags, count = struct.unpack('>2xHHH4x', answer[:12])[0], struct.unpack('>6H', answer[:12])[3]
    return flags & 15, count
for name, data in bad.items():
    told = send(data)
    if told is not None and told[1] != 0: print(name, told)
random.seed(4)
for _ in range(3000):
    data = bytearray(good)
    for _ in range(random.randint(1, 4)): data[random.randrange(len(data))] = random.randrange(256)
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(bytes(data[:random.randint(1, len(data))]), to)
t = socket.create_connection(to); t.sendall(b'\xff\xff' + os.urandom(1000)); t.close()
t = socket.create_connection(to); t.sendall(b'\0\0')
print(send(good, 20))
END"#;
        let (done, report) = run(world, &["web.test"], script);
        done.success().stdout_is("(0, 1)\n");
        assert_eq!(report["connections"].as_array().unwrap().len(), 0);
        let asked = std::fs::read_to_string(world.base().join("www/asked")).unwrap_or_default();
        assert_eq!(asked, "", "no question went out");
        assert_nothing_left(world);
    }

    fn two_hundred_connections_stand_at_once(world) {
        prepare(world);
        // None ends before all stand, and each gets its own bytes back.
        let script = r#"
ulimit -n
python3 - <<'END'
import socket, threading
done, all_stand = [], threading.Barrier(200)
def one(number):
    s = socket.create_connection(('web.test', 7000), 60)
    s.settimeout(60)
    text = b'%06d' % number * 2000
    s.sendall(b'x'); first = s.recv(1)
    all_stand.wait(60)
    threading.Thread(target=lambda: (s.sendall(text), s.shutdown(socket.SHUT_WR))).start()
    got = b''.join(iter(lambda: s.recv(65536), b''))
    done.append(first == b'x' and got == text)
threads = [threading.Thread(target=one, args=(number,)) for number in range(200)]
for t in threads: t.start()
for t in threads: t.join()
print(len(done), all(done))
END"#;
        let (done, report) = run_with(world, &["web.test:7000"], script, &[], "ulimit -S -n 1024");
        done.success().stdout_is("1024\n200 True\n");
        let only = &report["connections"][0];
        assert_eq!((only["times"].as_u64(), only["sent"].as_u64(), only["received"].as_u64()),
            (Some(200), Some(200 * 12_001), Some(200 * 12_001)));
        assert_nothing_left(world);
    }
}
