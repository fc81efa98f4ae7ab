//! Datagrams by name: as transparent as connections, and as narrow.

use super::{both, prepare, refused, run};
use crate::support::assert_nothing_left;
use serde_json::{Value, json};

/// What the probes share: a socket, a question with its answer, or why there is none.
pub(super) const PYTHON: &str = r#"
import errno, os, select, socket, struct, sys, threading, time
def sock(connected=None, own=None):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10)
    if own: s.bind(own)
    if connected: s.connect(connected)
    return s
def ask(s, data, to=None, wait=10):
    s.settimeout(wait)
    try:
        s.sendto(data, to) if to else s.send(data)
        return s.recvfrom(65536)
    except socket.timeout: return 'silence', None
    except OSError as e: return errno.errorcode[e.errno], None
def at(name): return socket.getaddrinfo(name, None, socket.AF_INET)[0][4][0]
"#;

pub(super) fn python(body: &str) -> String {
    format!("python3 - <<'END'\n{PYTHON}\n{body}\nEND")
}

/// A field of the record of this peer, over UDP.
pub(super) fn of(report: &Value, host: &str, port: u16, field: &str) -> Option<u64> {
    let all = report["connections"].as_array().unwrap();
    let peer = json!({"host": host, "port": port, "protocol": "udp"});
    all.iter().find(|one| one["peer"] == peer).and_then(|one| one[field].as_u64())
}

both! {
    fn answers_come_from_where_they_were_asked(world) {
        prepare(world);
        let script = python(r#"
web, other = (at('web.test'), 7000), (at('other.test'), 7000)
s = sock(web)
print('connected', ask(s, b'one') == (b'one', web))
s = sock()
print('unconnected', ask(s, b'two', web) == (b'two', web))
# One socket, two peers that are one address outside: each answers for itself.
s.sendto(b'for web', web); s.sendto(b'for other', other)
got = {s.recvfrom(100) for _ in range(2)}
print('two peers', got == {(b'for web', web), (b'for other', other)})
# From the port it sends to, where a program may not be handed its own words.
s = sock(own=('', 7000))
print('same port', ask(s, b'three', web) == (b'three', web))
# With the port known in advance, and by a socket of IPv6 that speaks IPv4.
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.settimeout(10)
s.sendto(b'mapped', ('::ffff:' + web[0], 7000)); data, sender = s.recvfrom(100)
print('mapped', data, sender[0] == '::ffff:' + web[0], sender[1])
for size in (0, 1, 1472, 9000, 65507):
    data = os.urandom(size)
    print(size, ask(sock(web), data)[0] == data)
# Many in one call, cut by the kernel, as programs that speak QUIC send them.
s = sock(web); s.setsockopt(17, 103, 1200)
data = b''.join(bytes([number]) * 1200 for number in range(3)); s.send(data + b'end')
print('cut', b''.join(sorted(s.recv(9000) for _ in range(4))) == b''.join(sorted([data[:1200], data[1200:2400], data[2400:], b'end'])))
"#);
        let (done, report) = run(world, &["web.test:7000/udp", "other.test/udp"], &script);
        done.success().stdout_is("connected True\nunconnected True\ntwo peers True\nsame port True\nmapped b'mapped' True 7000\n\
            0 True\n1 True\n1472 True\n9000 True\n65507 True\ncut True\n");
        let bytes = 3 + 3 + 7 + 5 + 6 + 1 + 1472 + 9000 + 65507 + 3603;
        assert_eq!(of(&report, "web.test", 7000, "sent"), Some(bytes), "{report:#}");
        assert_eq!(of(&report, "web.test", 7000, "received"), Some(bytes));
        assert_eq!((of(&report, "web.test", 7000, "times"), of(&report, "other.test", 7000, "sent")), (Some(10), Some(9)));
        assert_eq!((refused(&report), &report["allow_net"]), (vec![], &json!(["other.test/udp", "web.test:7000/udp"])));
        assert_nothing_left(world);
    }

    fn a_datagram_goes_nowhere_else(world) {
        prepare(world);
        let script = python(r#"
def no(what, s, to=None): print(what, ask(s, b'x', to, 2)[0])
no('other port', sock((at('web.test'), 7001)))
no('other name', sock((at('other.test'), 7000)))
no('private', sock((at('inner.test'), 7000)))
no('loopback', sock((at('home.test'), 7000)))
no('no name', sock((at('gone.test'), 7000)))
no('address', sock(), ('20.20.20.20', 7000))
no('private address', sock((('10.9.9.9'), 7000)))
no('nobody', sock(('198.18.77.77', 7000)))
no('the broker', sock(('198.18.0.2', 1)))
no('reserved', sock(('198.18.0.9', 53)))
no('resolver', sock(('198.18.0.1', 54)))
no('by tcp only', sock((at('tcp.test'), 7000)))
no('metadata', sock(), ('169.254.169.254', 80))
no('broadcast', sock(), ('255.255.255.255', 7000))
no('multicast', sock(), ('224.0.0.251', 5353))
no('allowed', sock((at('web.test'), 7000)))
try: s = socket.create_connection(('web.test', 7000), 5); s.send(b'x'); print(s.recv(1))
except OSError: print('no connection')
"#);
        let rules = ["web.test:7000/udp", "other.test:7001/udp", "inner.test/udp", "home.test/udp", "gone.test/udp",
            "tcp.test:7000", "10.9.9.9:7000"];
        let (done, report) = run(world, &rules, &script);
        done.success().stdout_is("other port ECONNREFUSED\nother name ECONNREFUSED\nprivate ECONNREFUSED\nloopback ECONNREFUSED\n\
            no name ECONNREFUSED\naddress ENETUNREACH\nprivate address ECONNREFUSED\nnobody ECONNREFUSED\n\
            the broker ECONNREFUSED\nreserved ECONNREFUSED\nresolver ECONNREFUSED\nby tcp only ECONNREFUSED\n\
            metadata ENETUNREACH\nbroadcast ENETUNREACH\nmulticast ENETUNREACH\nallowed b'x'\nno connection\n");
        let refused = refused(&report);
        for line in ["web.test:7001/udp network/not-allowed", "other.test:7000/udp network/not-allowed",
            "inner.test:7000/udp network/private-address", "home.test:7000/udp network/loopback-address",
            "gone.test:7000/udp network/no-such-name", "10.9.9.9:7000/udp network/not-allowed",
            "198.18.77.77:7000/udp network/not-allowed", "198.18.0.2:1/udp network/not-allowed",
            "198.18.0.9:53/udp network/not-allowed", "tcp.test:7000/udp network/not-allowed",
            "web.test:7000 network/not-allowed"] {
            assert!(refused.contains(&line.to_owned()), "{line}: {refused:#?}");
        }
        let reached = report["connections"].as_array().unwrap();
        assert_eq!((reached.len(), of(&report, "web.test", 7000, "sent")), (1, Some(1)), "{reached:#?}");
        assert_nothing_left(world);
    }

    fn stars_and_blocks_allow_datagrams_too(world) {
        prepare(world);
        let script = python(r#"
for name in ('a.web.test', 'b.a.web.test'): print(name, ask(sock((at(name), 7000)), b'x')[0])
for to in (('20.20.20.20', 7000), ('10.9.9.9', 7000), ('20.20.20.20', 7001)):
    print(to[0], ask(sock(), b'x', to, 1)[0], ask(sock(to), b'x', None, 2)[0])
print(ask(sock((at('inner.test'), 7000)), b'x')[0])
"#);
        let (done, report) = run(world, &["*.web.test/udp", "20.20.0.0/16:7000/udp", "10.9.9.0/24:7000/udp", "inner.test/udp"], &script);
        done.success().stdout_is("a.web.test b'x'\nb.a.web.test b'x'\n20.20.20.20 b'x' b'x'\n10.9.9.9 b'x' b'x'\n\
            20.20.20.20 silence ECONNREFUSED\nb'x'\n");
        assert_eq!(refused(&report), ["20.20.20.20:7001/udp network/not-allowed"]);
        assert_nothing_left(world);
    }

    fn only_the_peer_answers_and_senders_stay_apart(world) {
        prepare(world);
        let script = python(r#"
web = (at('web.test'), 7000)
s = sock(); s.sendto(b'forge', web)
print(s.recvfrom(100) == (b'true', web)); s.settimeout(0.3)
try: print('forged', s.recvfrom(100))
except socket.timeout: print('no more')
# Two senders are two ports outside; one stays one.
a, b = sock(web), sock(web)
ports = [ask(a, b'from whom')[0], ask(b, b'from whom')[0], ask(a, b'from whom')[0]]
print(ports[0] == ports[2], ports[0] != ports[1])
# A sender that gives itself the address of somebody else, who is told nothing.
forger = sock(own=(web[0], 7000)); victim = sock(own=('198.18.0.3', 7001))
forger.sendto(b'not by the peer', ('198.18.0.3', 7001))
print('inside', victim.recvfrom(100)[0])
print(ask(sock(web, own=('198.18.5.5', 0)), b'own address')[0])
for protocol in (socket.IPPROTO_RAW, socket.IPPROTO_UDP, socket.IPPROTO_ICMP):
    try: socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol); print('raw')
    except OSError as e: print(errno.errorcode[e.errno])
for option, value in ((socket.SO_MARK, 0x6a72), (33, 1 << 28)):
    try: sock().setsockopt(socket.SOL_SOCKET, option, value); print('set')
    except OSError as e: print(errno.errorcode[e.errno])
try: sock().setsockopt(socket.SOL_IP, 19, 1); print('transparent')
except OSError as e: print(errno.errorcode[e.errno])
"#);
        let (done, report) = run(world, &["web.test/udp"], &script);
        done.success().stdout_is("True\nno more\nTrue True\ninside b'not by the peer'\nb'own address'\n\
            EPERM\nEPERM\nEPERM\nEPERM\nEPERM\nEPERM\n");
        assert_eq!(refused(&report), Vec::<String>::new());
        assert_nothing_left(world);
    }

    fn the_last_datagrams_of_a_command_are_delivered(world) {
        prepare(world);
        let script = python(r#"
s = sock()
for number in range(20): s.sendto(b'sink %02d' % number, (at('web.test'), 7000))
"#);
        let (done, report) = run(world, &["web.test/udp"], &script);
        done.success();
        assert_eq!(of(&report, "web.test", 7000, "sent"), Some(20 * 7));
        let sunk = std::fs::read_to_string(world.base().join("www/datagrams")).unwrap();
        assert_eq!(sunk.lines().collect::<Vec<_>>(), (0..20).map(|number| format!("{number:02}")).collect::<Vec<_>>());
        assert_nothing_left(world);
    }

    fn a_flood_of_senders_takes_no_place_from_who_is_at_work(world) {
        prepare(world);
        let script = python(r#"
web = (at('web.test'), 7000)
steady = sock(web); stop = False; ports = set()
def talk():
    while not stop: ports.add(ask(steady, b'from whom')[0]); time.sleep(0.05)
talker = threading.Thread(target=talk); talker.start()
flood = [sock(web) for _ in range(600)]
for s in flood: s.send(b'x')
time.sleep(1.5)
# Later ones get the places of those that are silent.
late = sum(ask(sock(web), b'late', None, 5)[0] == b'late' for _ in range(50))
stop = True; talker.join()
print(len(ports), 'silence' in ports, late)
"#);
        let (done, report) = run(world, &["web.test/udp"], &script);
        done.success().stdout_is("1 False 50\n");
        assert_eq!(refused(&report), ["web.test:7000/udp network/too-many-flows"]);
        let times = of(&report, "web.test", 7000, "times").unwrap();
        assert!((170..190).contains(&times), "128 places, and 50 that were free again: {times}");
        assert_nothing_left(world);
    }

    fn a_name_that_moves_between_two_lookups_is_judged_each_time(world) {
        prepare(world);
        // Outside, the table of names changes while the command runs.
        let script = python(r#"
to = (at('web.test'), 7000)
first = sock(to)
print(ask(first, b'move')[0])
print(ask(sock(to), b'x')[0])
print(ask(first, b'who was judged before')[0])
"#);
        let (done, report) = run(world, &["web.test/udp"], &script);
        done.success().stdout_is("b'moved'\nECONNREFUSED\nb'who was judged before'\n");
        assert_eq!(refused(&report), ["web.test:7000/udp network/private-address"]);
        assert_nothing_left(world);
    }

    fn ipv6_addresses_are_reached_where_they_are_named(world) {
        prepare(world);
        let script = r#"
python3 - <<'END'
import errno, socket
def six(kind, to, data=b'x'):
    s = socket.socket(socket.AF_INET6, kind); s.settimeout(5)
    try:
        s.connect(to); s.send(data); got = s.recv(70000)
        return got == data and s.getpeername()[:2] == to
    except OSError as e: return errno.errorcode.get(e.errno, 'silence')
T, U = socket.SOCK_STREAM, socket.SOCK_DGRAM
for to in (('2620:20::20', 7000), ('2620:20::20', 7001), ('2620:20::21', 7000), ('fd00::9', 7000), ('2620:21::1', 7000)):
    print(to[0], to[1], six(T, to), six(U, to))
print(six(U, ('2620:20::20', 7000), b'y' * 60000))
s = socket.socket(socket.AF_INET6, U); s.settimeout(5)
s.sendto(b'z', ('2620:20::20', 7000)); print(s.recvfrom(10)[1][:2])
print(socket.create_connection(('six.test', 7000), 5).getpeername()[0].startswith('198.18.'))
# The jar's own loopback stays its own.
server = socket.create_server(('::1', 0), family=socket.AF_INET6)
print(socket.create_connection(server.getsockname()[:2], 5) is not None)
server = socket.create_server(('127.0.0.1', 0))
print(socket.create_connection(server.getsockname(), 5) is not None)
END"#;
        let rules = ["[2620:20::/64]:7000", "[2620:20::20]:7000/udp", "six.test:7000", "[::/0]:9", "0.0.0.0/0:9"];
        let (done, report) = run(world, &rules, script);
        done.success().stdout_is("2620:20::20 7000 True True\n2620:20::20 7001 ECONNRESET ECONNREFUSED\n\
            2620:20::21 7000 ECONNRESET ECONNREFUSED\nfd00::9 7000 ECONNRESET ECONNREFUSED\n\
            2620:21::1 7000 ECONNRESET ECONNREFUSED\nTrue\n('2620:20::20', 7000)\nTrue\nTrue\nTrue\n");
        assert_eq!(of(&report, "2620:20::20", 7000, "received"), Some(60002), "{report:#}");
        let refused = refused(&report);
        for line in ["2620:20::20:7001 network/not-allowed", "2620:20::20:7001/udp network/not-allowed",
            "2620:20::21:7000 network/unreachable", "fd00::9:7000 network/not-allowed"] {
            assert!(refused.contains(&line.to_owned()), "{line}: {refused:#?}");
        }
        // A private block is open where it was named as such, and not by a wider one.
        let probe = "for to in fd00::9 ::1; do python3 -c \"import socket; s = socket.create_connection(('$to', 7000), 5); s.send(b'x'); s.recv(1)\" \
            2>/dev/null && echo $to open || echo $to refused; done";
        let (done, _) = run(world, &["[fd00::/8]:7000"], probe);
        done.success().stdout_is("fd00::9 open\n::1 refused\n");
        let (done, report) = run(world, &["[::/0]"], probe);
        done.success().stdout_is("fd00::9 refused\n::1 refused\n");
        assert_eq!(self::refused(&report), ["fd00::9:7000 network/private-address"]);
        assert_nothing_left(world);
    }
}
