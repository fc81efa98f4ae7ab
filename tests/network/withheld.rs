//! The same where namespaces are withheld: the supervisor makes every connection.

use super::*;
use crate::withheld::FILTER;

pub(super) fn run_bare(world: &World, allow: &[&str], script: &str) -> (testkit::Output, Value) {
    run_bare_more(world, allow, script, "")
}

/// The same, with more that root does before.
pub(super) fn run_bare_more(world: &World, allow: &[&str], script: &str, more: &str) -> (testkit::Output, Value) {
    let mut before = setup_with(world, more);
    before.extend(["/usr/bin/python3", "-c", FILTER, "docker"].map(str::to_owned));
    let (done, report) = run_under(world, allow, script, &[], before);
    assert_eq!(report["containment"]["tier"], "T2", "{report:#}");
    (done, report)
}

both! {
    fn programs_reach_what_is_allowed_and_know_nothing_of_it(world) {
        prepare(world);
        serve_repository(world);
        let script = "
            curl -sS http://web.test:8080/page
            curl -sS -w '%{http_code}\\n' http://web.test:8080/page
            python3 -c 'import urllib.request as r; print(r.urlopen(\"http://web.test:8080/page\").read().decode(), end=\"\")'
            python3 - <<'END'
import asyncio
async def page():
    reader, writer = await asyncio.open_connection('web.test', 8080)
    writer.write(b'GET /page HTTP/1.0\\r\\n\\r\\n')
    print((await reader.read()).decode().split('\\r\\n\\r\\n')[1], end='')
asyncio.run(page())
END
            perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(\"web.test:8080\") or die $@; print $s \"GET /page HTTP/1.0\\r\\n\\r\\n\"; @l = <$s>; print $l[-1]'
            git clone -q http://web.test:8080/r.git got && git -C got log --format=%s
            node -e 'require(\"http\").get(\"http://web.test:8080/page\", r => r.pipe(process.stdout))'
            getent ahostsv4 web.test | grep -c STREAM
            cat /etc/resolv.conf; grep -c test /etc/hosts
            true";
        let (done, report) = run_bare(world, &["web.test:8080"], script);
        done.success().stdout_is(
            "hello\nhello\n200\nhello\nhello\nhello\nfirst\nhello\n1\nnameserver 198.18.0.1\n0\n");
        let [only] = report["connections"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
        assert_eq!(only["peer"], json!({"host": "web.test", "port": 8080, "protocol": "tcp"}));
        assert!(only["times"].as_u64() >= Some(7) && only["received"].as_u64() > Some(500), "{only}");
        let refused: Vec<String> = refused(&report).into_iter().filter(|line| line.contains(" network/")).collect();
        assert_eq!((refused, &report["allow_net"]), (vec![], &json!(["web.test:8080"])));
        assert_nothing_left(world);
    }

    fn nothing_else_is_reached_by_whatever_name(world) {
        prepare(world);
        // Both ways to connect: one waits for it, the other does not.
        let blocking = CONNECT.replace("connect()", "wait()").replace(", timeout=20", "");
        let script = format!("{CONNECT}{blocking}
            for how in connect wait; do
            $how web.test 7000
            $how web.test 8080
            $how other.test 7000
            $how inner.test 8080
            $how home.test 8080
            $how 20.20.20.20 7000
            $how 10.9.9.9 8080
            $how 169.254.169.254 80
            $how ::ffff:20.20.20.20 7000
            $how ::ffff:169.254.169.254 80
            $how fd00::9 7000
            $how ::1 7000
            $how 198.18.0.2 1
            $how 198.18.9.9 7000
            $how localhost 8080
            $how 127.0.0.1 8080
            done
            python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"x\", (\"20.20.20.20\", 7000))' 2>/dev/null || echo no datagram
            python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect((\"20.20.20.20\", 7000)); s.send(b\"sink x\")' 2>/dev/null || echo no datagram");
        let (done, report) = run_bare(world, &["web.test:7000", "inner.test", "home.test", "*.web.test"], &script);
        let each = "web.test open\nweb.test 8080 refused\nother.test 7000 refused\n\
            inner.test 8080 refused\nhome.test 8080 refused\n20.20.20.20 7000 refused\n10.9.9.9 8080 refused\n\
            169.254.169.254 80 refused\n::ffff:20.20.20.20 7000 refused\n::ffff:169.254.169.254 80 refused\n\
            fd00::9 7000 refused\n::1 7000 refused\n198.18.0.2 1 refused\n198.18.9.9 7000 refused\n\
            localhost 8080 refused\n127.0.0.1 8080 refused\n";
        assert_eq!(done.stdout, format!("{each}{each}no datagram\nno datagram\n"), "{}", done.report());
        assert!(!world.base().join("www/datagrams").exists());
        let refused = refused(&report);
        for line in ["web.test:8080 network/not-allowed", "other.test network/not-allowed",
            "inner.test:8080 network/private-address", "home.test:8080 network/loopback-address",
            "20.20.20.20:7000 network/not-allowed", "10.9.9.9:8080 network/not-allowed",
            "169.254.169.254:80 network/not-allowed", "fd00::9:7000 network/not-allowed",
            "127.0.0.1:8080 network/not-allowed", "20.20.20.20:7000/udp network/not-allowed",
            "198.18.0.2:1 network/not-allowed", "198.18.9.9:7000 network/not-allowed"] {
            assert!(refused.contains(&line.to_owned()), "{line}: {refused:#?}");
        }
        let reached = report["connections"].as_array().unwrap();
        assert_eq!((reached.len(), &reached[0]["peer"]["host"]), (1, &json!("web.test")));
        assert_nothing_left(world);
    }

    fn a_name_that_leads_elsewhere_when_it_is_used_is_judged_then(world) {
        prepare(world);
        let script = format!("{CONNECT}
            connect there.dns.test 7000; connect inner.dns.test 8080; connect meta.dns.test 80; connect gone.dns.test 7000
            getent hosts gone.dns.test || echo no such name
            connect flip.dns.test 7000");
        let (done, report) = run_bare(world, &["*.dns.test"], &script);
        assert_eq!(done.stdout, "there.dns.test open\ninner.dns.test 8080 refused\nmeta.dns.test 80 refused\n\
            gone.dns.test 7000 refused\nno such name\nflip.dns.test open\n", "{}", done.report());
        let refused = refused(&report);
        for line in ["inner.dns.test:8080 network/private-address", "meta.dns.test:80 network/link-local-address",
            "gone.dns.test network/no-such-name"] {
            assert!(refused.contains(&line.to_owned()), "{line}: {refused:#?}");
        }
        assert_nothing_left(world);
    }

    fn bytes_arrive_whole_in_both_directions(world) {
        prepare(world);
        let (done, report) = run_bare(world, &["web.test"], WHOLE);
        done.success().stdout_is("20000000 True\n");
        let of = |port: u64, what: &str| {
            let all = report["connections"].as_array().unwrap();
            all.iter().find(|one| one["peer"]["port"] == port).and_then(|one| one[what].as_u64())
        };
        assert_eq!((of(7000, "sent"), of(7000, "received")), (Some(20_000_000), Some(20_000_000)));
        assert_eq!((of(9000, "sent"), of(9000, "received")), (Some(11), Some(0)));
        let sunk = std::fs::read_to_string(world.base().join("www/sunk")).unwrap();
        assert_eq!(sunk, "from nobody", "the last words of a command that has ended are delivered");
        assert_nothing_left(world);
    }

    fn many_connections_at_once_wait_their_turn(world) {
        prepare(world);
        let (done, report) = run_bare(world, &["web.test"], &many(600));
        done.success().stdout_is("600\n40\n");
        let sum: u64 = report["connections"].as_array().unwrap().iter().filter_map(|one| one["times"].as_u64()).sum();
        assert_eq!(sum, 640);
        assert_nothing_left(world);
    }

    /// Whatever is done with what stands for a socket: there is no socket of the network behind it.
    fn what_stands_for_a_socket_leads_nowhere_else(world) {
        prepare(world);
        let script = "
            python3 - <<'END'
import ctypes, os, socket, struct
def said(what, call):
    try: print(what, call())
    except OSError as e: print(what, 'refused')
stream = lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)
for kind in [socket.SOCK_RAW, socket.SOCK_RDM]: said('kind', lambda: socket.socket(socket.AF_INET, kind))
said('ping', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP))
said('sctp', lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132))
said('listen', lambda: stream().listen())
said('bind', lambda: stream().bind(('127.0.0.1', 4444)))
said('fast open', lambda: stream().sendto(b'x', 0x20000000, ('20.20.20.20', 9000)))
s = stream(); s.connect(('web.test', 7000)); s.sendall(b'a'); print('answer', s.recv(9))
print(os.readlink('/proc/self/fd/%d' % s.fileno())[:7], s.getsockopt(socket.SOL_SOCKET, 39))
libc = ctypes.CDLL(None, use_errno=True)
def connect(sock, address): return libc.connect(sock.fileno(), address, len(address))
inner = struct.pack('=H', 2) + struct.pack('>H', 8080) + socket.inet_aton('10.9.9.9') + bytes(8)
said('again', lambda: s.connect(('10.9.9.9', 8080)))
print('apart', connect(s, struct.pack('=H', 0) + bytes(14)), 'and again', connect(s, inner))
path = os.environ['TMPDIR'] + '/own'
own = socket.socket(socket.AF_UNIX); own.bind(path); own.listen()
print('unix', connect(stream(), struct.pack('=H', 1) + path.encode() + b'\\0'))
print('short', connect(stream(), struct.pack('=H', 2) + b'\\0'))
d = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); d.connect(('198.18.0.1', 53))
said('message', lambda: d.sendmsg([b'sink x'], [], 0, ('20.20.20.20', 7000)))
END
            true";
        let (done, _) = run_bare(world, &["web.test"], script);
        done.stdout_is("kind refused\nkind refused\nping refused\nsctp refused\nlisten None\nbind None\nfast open refused\n\
            answer b'a'\nsocket: 1\nagain refused\napart -1 and again -1\nunix -1\nshort -1\n\
            message 6\n");
        assert!(!world.base().join("www/datagrams").exists() && !world.base().join("www/sunk").exists());
        assert_nothing_left(world);
    }

    /// Another thread changes the address while the supervisor looks at it.
    fn an_address_that_changes_while_it_is_looked_at_leads_nowhere_else(world) {
        prepare(world);
        let script = "
            python3 - <<'END'
import ctypes, socket, struct, threading
libc = ctypes.CDLL(None, use_errno=True)
def address(host, port): return struct.pack('=H', 2) + struct.pack('>H', port) + socket.inet_aton(host) + bytes(8)
allowed, other = address(socket.gethostbyname('web.test'), 7000), address('10.9.9.9', 8080)
memory = ctypes.create_string_buffer(allowed, 16)
going = True
def change():
    while going:
        ctypes.memmove(memory, other, 16); ctypes.memmove(memory, allowed, 16)
thread = threading.Thread(target=change); thread.start()
made = web = 0
for _ in range(300):
    s = socket.socket()
    s.settimeout(None)
    if libc.connect(s.fileno(), memory, 16) == 0:
        made += 1
        s.sendall(b'GET /page HTTP/1.0\\r\\n\\r\\n')
        web += s.recv(99).startswith(b'HTTP/')
    s.close()
going = False
thread.join()
print(made > 0, web)
END";
        let (done, report) = run_bare(world, &["web.test:7000"], script);
        done.success().stdout_is("True 0\n");
        assert_eq!(report["connections"].as_array().unwrap().len(), 1, "{report:#}");
        assert_nothing_left(world);
    }
}
