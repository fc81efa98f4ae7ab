//! The network by name, against real servers in a network namespace of the test's own: what is allowed is reached by
//! programs that know nothing of it, and nothing else is, however it is asked for.

mod clients;
mod datagrams;
mod names;
mod proxy;
mod standing;
mod withheld;

use crate::support::{assert_nothing_left, both};
use serde_json::{Value, json};
use testkit::World;

/// The servers. `web.test` and its like are on another machine, at the far end of a wire, and so is `six.test`, by IPv6;
/// `inner.test` is a name that leads into a private network, `home.test` and `own.test` ones that lead to the host itself.
const SERVERS: &str = r#"
import http.server, socket, socketserver, struct, sys, threading
OUT, FAR = sys.argv[1], sys.argv[2] == "far"
class Web(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def __init__(self, *a): super().__init__(*a, directory=OUT)
    def log_message(self, *a): pass
def take(handler, at):
    server = socketserver.ThreadingTCPServer(at, handler, bind_and_activate=False)
    server.allow_reuse_address = True; server.daemon_threads = True; server.request_queue_size = 1024
    server.server_bind(); server.server_activate()
    threading.Thread(target=server.serve_forever).start()
def datagrams(host, port, answer):
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    s.bind((host, port))
    def serve():
        while True:
            data, sender = s.recvfrom(65536)
            answer(s, data, sender)
    threading.Thread(target=serve, daemon=True).start()
def echo(s, data, sender):
    global flipped
    flipped = flipped or data == b"flip"
    if data.startswith(b"sink "): open(OUT + "/datagrams", "ab").write(data[5:] + b"\n")
    elif data == b"move":
        table = open("/etc/hosts").read()
        open("/etc/hosts", "w").write(table.replace("20.20.20.20 web.test", "10.9.9.9 web.test"))
        s.sendto(b"moved", sender)
    elif data == b"from whom": s.sendto(b"%d" % sender[1], sender)
    elif data == b"forge": other.sendto(b"forged", sender); s.sendto(b"true", sender)
    else: s.sendto(data, sender)
if FAR: other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); other.bind(("20.20.20.20", 7777))
for host in ["20.20.20.20", "2620:20::20"] if FAR else ["10.9.9.9", "127.0.0.1", "21.21.21.21"]: datagrams(host, 7000, echo)
# A resolver that knows dns.test alone: what it was asked for is on record, other names are refused.
ZONE = {"there": (0, 1, "20.20.20.20"), "six": (0, 28, "2620:20::20"), "inner": (0, 1, "10.9.9.9"), "meta": (0, 28, "::ffff:169.254.169.254"),
    "gone": (3, 0, ""), "empty": (0, 0, ""), "busy": (2, 0, ""), "*": (0, 1, "20.20.20.20")}
flipped = False
def resolve(s, data, sender):
    at, labels = 12, []
    while data[at]: labels.append(data[at + 1:at + 1 + data[at]].decode().lower()); at += data[at] + 1
    kind, = struct.unpack(">H", data[at + 1:at + 3])
    open(OUT + "/asked", "a").write(".".join(labels) + "\n")
    if labels[0] == "slow": return
    code, has, address = ZONE.get(labels[0], ZONE["*"]) if labels[-2:] == ["dns", "test"] else (5, 0, "")
    if labels[0] == "flip" and flipped: address = "10.9.9.9"
    answer = b""
    if kind == has:
        packed = socket.inet_pton(socket.AF_INET if kind == 1 else socket.AF_INET6, address)
        answer = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(packed)) + packed
    s.sendto(data[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, bool(answer), 0, 0) + data[12:at + 5] + answer, sender)
if FAR: datagrams("192.0.2.53", 53, resolve)
# An HTTP proxy that knows names nobody else does, and wants to know who asks.
class Proxy(socketserver.StreamRequestHandler):
    def handle(self):
        line, head = self.rfile.readline().decode().strip(), b""
        while (one := self.rfile.readline()) not in (b"\r\n", b""): head += one
        open(OUT + "/proxied", "a").write(line + "\n")
        known = b"Proxy-Authorization: Basic bWU6aHVudGVyMg==" in head
        host, port = line.split()[1].rsplit(":", 1)
        if not known: return self.wfile.write(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
        if host == "denied.proxied": return self.wfile.write(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        if host == "mad.proxied": return self.wfile.write(b"SSH-2.0-What\r\n\r\n")
        peer = socket.create_connection(("20.20.20.20", int(port)))
        self.wfile.write(b"HTTP/1.1 200 Go on\r\nX-Long: " + b"x" * 900 + b"\r\n\r\n")
        def copy():
            while part := peer.recv(65536): self.connection.sendall(part)
            self.connection.shutdown(socket.SHUT_WR)
        back = threading.Thread(target=copy); back.start()
        while part := self.rfile.read1(65536): peer.sendall(part)
        peer.shutdown(socket.SHUT_WR); back.join()
if not FAR: take(Proxy, ("127.0.0.1", 3128))
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while part := self.request.recv(65536): self.request.sendall(part)
class Sink(socketserver.BaseRequestHandler):
    def handle(self):
        data = b""
        while part := self.request.recv(65536): data += part
        open(OUT + "/sunk", "ab").write(data)
class Hold(socketserver.BaseRequestHandler):
    def handle(self): threading.Event().wait()
for host in ["20.20.20.20"] if FAR else ["10.9.9.9", "127.0.0.1"]: take(Web, (host, 8080))
class Six(socketserver.ThreadingTCPServer): address_family = socket.AF_INET6
def six(at):
    server = Six(at, Echo, bind_and_activate=False)
    server.allow_reuse_address = True; server.daemon_threads = True
    server.server_bind(); server.server_activate()
    threading.Thread(target=server.serve_forever).start()
if FAR:
    six(("2620:20::20", 7000))
    take(Echo, ("20.20.20.20", 7000)); take(Sink, ("20.20.20.20", 9000)); take(Hold, ("20.20.20.20", 9001))
else:
    six(("fd00::9", 7000)); six(("::1", 7000)); six(("2620:20::1", 7000)); take(Echo, ("21.21.21.21", 7000))
open(OUT + "/ready." + sys.argv[2], "w").close()
"#;

/// A repository that git clones from `http://web.test:8080/r.git`.
fn serve_repository(world: &World) {
    let git = format!(
        "git init -q --bare {www}/r.git && cd {www} && git init -q w && cd w && git -c user.name=t -c user.email=t@t commit -q \
         --allow-empty -m first && git push -q ../r.git HEAD:refs/heads/main && cd ../r.git && git symbolic-ref HEAD \
         refs/heads/main && git update-server-info",
        www = world.base().join("www").display()
    );
    world.command("sh").args(["-ec", &git]).as_root().run().success();
}

/// Much in both directions at once, and last words that nobody waits for. Prints "20000000 True".
const WHOLE: &str = "
head -c 20000000 /dev/urandom > data
python3 - <<'END'
import hashlib, socket, threading
data = open('data', 'rb').read()
s = socket.create_connection(('web.test', 7000))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
def send():
    s.sendall(data); s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
back = b''.join(iter(lambda: s.recv(1 << 20), b''))
print(len(back), back == data)
END
printf 'from nobody' > /dev/tcp/web.test/9000";

/// So many connections, 64 at a time, and 40 that a server never ends, held open when the command ends. Prints how many of
/// each there were.
fn many(count: usize) -> String {
    let text = "
python3 - <<'END'
import concurrent.futures, socket
def one(number):
    s = socket.create_connection(('web.test', 7000), timeout=60)
    text = b'%d' % number
    s.sendall(text)
    got = s.recv(16)
    s.close()
    return got == text
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    print(sum(pool.map(one, range(COUNT))))
held = [socket.create_connection(('web.test', 9001)) for _ in range(40)]
print(len(held), flush=True)
END";
    text.replace("COUNT", &count.to_string())
}

/// Brings up a network with the servers and names, waits for them, and runs the rest of the words as the user.
pub(crate) fn setup(world: &World) -> Vec<String> {
    setup_with(world, "")
}

/// The same, with more that root does before.
fn setup_with(world: &World, more: &str) -> Vec<String> {
    let (uid, gid) = world.owner();
    let drop = match world.is_root() {
        true => String::new(),
        false => format!("setpriv --reuid {uid} --regid {gid} --clear-groups "),
    };
    let out = world.base().join("www");
    let script = format!(
        "ip link set lo up
        for address in 10.9.9.9/32 21.21.21.21/32 fd00::9/128; do ip addr add $address dev lo; done
        unshare --net sleep 3600 & far=$!
        until ip link add wire type veth peer name wire netns $far 2> /dev/null; do sleep 0.02; done
        on_far() {{ nsenter --net=/proc/$far/ns/net \"$@\"; }}
        on_far sh -ec 'ip link set lo up; ip link set wire up
            ip addr add 192.0.2.53/24 dev wire; ip addr add 20.20.20.20/32 dev wire
            ip addr add 2620:20::20/128 dev wire nodad; ip route add 2620:20::1 dev wire'
        ip link set wire up; ip addr add 192.0.2.1/24 dev wire; ip addr add 2620:20::1/128 dev wire nodad
        ip route add 20.20.20.20 dev wire; ip route add 2620:20::20 dev wire
        mount -t tmpfs none /mnt
        printf '127.0.0.1 localhost home.test\n20.20.20.20 web.test a.web.test b.a.web.test other.test\n10.9.9.9 inner.test\n2620:20::20 six.test\n21.21.21.21 own.test\n' > /mnt/hosts
        printf 'nameserver 192.0.2.53\n' > /mnt/resolv.conf
        mount --bind /mnt/hosts /etc/hosts; mount --bind /mnt/resolv.conf /etc/resolv.conf
        umount -l /mnt
        rm -f {out}/ready.*
        on_far /usr/bin/python3 {servers} {out} far &
        /usr/bin/python3 {servers} {out} near &
        until test -e {out}/ready.far && test -e {out}/ready.near; do sleep 0.02; done
        {more}
        {drop}\"$@\"",
        out = out.display(),
        servers = world.base().join("servers.py").display(),
    );
    let wrap = ["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child"];
    let wrap = wrap.into_iter().chain(["--mount-proc", "sh", "-ec", &script, "sh"]);
    wrap.map(str::to_owned).collect()
}

pub(crate) fn prepare(world: &World) {
    let www = world.base().join("www");
    std::fs::create_dir(&www).unwrap();
    std::fs::write(www.join("page"), "hello\n").unwrap();
    std::fs::write(world.base().join("servers.py"), SERVERS).unwrap();
}

/// `belljar run --apply discard --json --allow-net ... -- bash script.sh`, and its report.
fn run(world: &World, allow: &[&str], script: &str) -> (testkit::Output, Value) {
    run_with(world, allow, script, &[], "")
}

/// The same, with variables of the caller's, and more that root does before.
fn run_with(world: &World, allow: &[&str], script: &str, env: &[(&str, &str)], more: &str) -> (testkit::Output, Value) {
    run_under(world, allow, script, env, setup_with(world, more))
}

/// The same, with all the words that come before it.
fn run_under(
    world: &World,
    allow: &[&str],
    script: &str,
    env: &[(&str, &str)],
    before: Vec<String>,
) -> (testkit::Output, Value) {
    world.file("script.sh", script);
    let report = world.base().join("report.json");
    std::fs::write(&report, "").unwrap();
    std::os::unix::fs::chown(&report, Some(world.owner().0), Some(world.owner().1)).unwrap();
    let json = format!("--json={}", report.display());
    let words =
        ["run", "--apply", "discard", &json].into_iter().chain(allow.iter().flat_map(|rule| ["--allow-net", rule]));
    let run = world.belljar(words.chain(["--", "bash", "script.sh"])).as_root().under(before);
    let done = env.iter().fold(run, |run, (name, value)| run.env(name, value)).run();
    let text = std::fs::read_to_string(&report).unwrap();
    let report = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{}", done.report()));
    (done, report)
}

/// `host:port rule`, or `host:port/udp rule`, of each refusal.
fn refused(report: &Value) -> Vec<String> {
    let line = |attempt: &Value| {
        let target = &attempt["target"];
        let port = target["port"].as_u64().map(|port| format!(":{port}")).unwrap_or_default();
        let protocol = if target["protocol"] == "udp" { "/udp" } else { "" };
        format!("{}{port}{protocol} {}", target["host"].as_str().unwrap_or("?"), attempt["rule"].as_str().unwrap())
    };
    report["attempts"].as_array().unwrap().iter().map(line).collect()
}

/// `connect HOST PORT`: open where a connection stands for a moment.
const CONNECT: &str = "
connect() { python3 - $1 $2 <<'END'
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20)
    s.sendall(b'x\\r\\n\\r\\n'); s.recv(1)
    print(sys.argv[1], 'open')
except OSError: print(sys.argv[1], sys.argv[2], 'refused')
END
}";

both! {
    fn programs_reach_what_is_allowed_and_know_nothing_of_it(world) {
        prepare(world);
        serve_repository(world);
        let script = "
            curl -sS http://web.test:8080/page
            python3 -c 'import urllib.request as r; print(r.urlopen(\"http://web.test:8080/page\").read().decode(), end=\"\")'
            perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(\"web.test:8080\") or die $@; print $s \"GET /page HTTP/1.0\\r\\n\\r\\n\"; @l = <$s>; print $l[-1]'
            git clone -q http://web.test:8080/r.git got && git -C got log --format=%s
            getent ahostsv4 web.test | grep -c STREAM
            env | grep -ci proxy
            true";
        let (done, report) = run(world, &["web.test:8080"], script);
        done.success().stdout_is("hello\nhello\nhello\nfirst\n1\n0\n");
        let [only] = report["connections"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
        assert_eq!(only["peer"], json!({"host": "web.test", "port": 8080, "protocol": "tcp"}));
        assert!(only["times"].as_u64() >= Some(4) && only["received"].as_u64() > Some(500), "{only}");
        assert_eq!((refused(&report), &report["allow_net"]), (vec![], &json!(["web.test:8080"])));
        assert_nothing_left(world);
    }

    fn nothing_else_is_reached_by_whatever_name(world) {
        prepare(world);
        let script = format!("{CONNECT}
            connect web.test 7000
            connect web.test 8080
            connect other.test 7000
            connect inner.test 8080
            connect home.test 8080
            connect 20.20.20.20 7000
            connect 10.9.9.9 8080
            connect 198.18.0.2 1
            connect 198.18.9.9 7000
            connect localhost 8080
            python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"x\", (\"20.20.20.20\", 7000))' 2>/dev/null || echo no datagram
            cat /etc/resolv.conf; grep -c test /etc/hosts");
        let (done, report) = run(world, &["web.test:7000", "inner.test", "home.test"], &script);
        assert_eq!(done.stdout, "web.test open\nweb.test 8080 refused\nother.test 7000 refused\n\
            inner.test 8080 refused\nhome.test 8080 refused\n20.20.20.20 7000 refused\n10.9.9.9 8080 refused\n\
            198.18.0.2 1 refused\n198.18.9.9 7000 refused\nlocalhost 8080 refused\nno datagram\n\
            nameserver 198.18.0.1\n0\n", "{}", done.report());
        let refused = refused(&report);
        for line in ["web.test:8080 network/not-allowed", "other.test network/not-allowed",
            "inner.test:8080 network/private-address", "home.test:8080 network/loopback-address",
            "20.20.20.20:7000 network/not-allowed", "10.9.9.9:8080 network/not-allowed",
            "198.18.0.2:1 network/not-allowed", "198.18.9.9:7000 network/not-allowed"] {
            assert!(refused.contains(&line.to_owned()), "{line}: {refused:#?}");
        }
        let reached = report["connections"].as_array().unwrap();
        assert_eq!((reached.len(), &reached[0]["peer"]["host"]), (1, &json!("web.test")));
        assert_nothing_left(world);
    }

    fn stars_and_blocks_mean_what_they_say(world) {
        prepare(world);
        let script = format!("{CONNECT}
            connect a.web.test 7000
            connect b.a.web.test 7000
            connect web.test 7000
            connect 20.20.20.20 7000
            connect 20.20.20.20 9001
            connect inner.test 8080
            connect 10.9.9.9 8080");
        let (done, report) = run(world, &["*.web.test", "20.20.0.0/16:7000", "inner.test", "10.9.9.9:8080"], &script);
        assert_eq!(done.stdout, "a.web.test open\nb.a.web.test open\nweb.test 7000 refused\n\
            20.20.20.20 open\n20.20.20.20 9001 refused\ninner.test open\n10.9.9.9 open\n", "{}", done.report());
        assert_eq!(refused(&report), ["20.20.20.20:9001 network/not-allowed", "web.test network/not-allowed"]);
        assert_nothing_left(world);
    }

    /// By name, by address, and by a name that leads to an address.
    fn what_a_rule_forbids_is_refused_whatever_is_allowed(world) {
        prepare(world);
        let rule = |id: &str, when: &str| {
            format!("@id(\"{id}\")\nforbid (principal, action == Action::\"connect\", resource is Peer)\nwhen {{ {when} }};\n")
        };
        let policy = world.home().join(".config/belljar/policies/net.cedar");
        let script = format!("{CONNECT}
            connect a.web.test 7000
            connect web.test 7000
            connect 20.20.20.20 7000");
        let allow = ["*", "20.20.0.0/16:7000"];
        world.file(&policy, rule("below", "resource.host like \"*.web.test\""));
        let (done, report) = run(world, &allow, &script);
        assert_eq!(done.stdout, "a.web.test 7000 refused\nweb.test open\n20.20.20.20 open\n", "{}", done.report());
        assert_eq!(refused(&report), ["a.web.test network/not-allowed"]);
        world.file(&policy, rule("address", "resource.host == \"20.20.20.20\" && resource has port && resource.port < 8000"));
        let (done, _) = run(world, &allow, &script);
        assert_eq!(done.stdout, "a.web.test 7000 refused\nweb.test 7000 refused\n20.20.20.20 7000 refused\n", "{}", done.report());
        // What no jar can hold is no jar.
        world.file(&policy, rule("some", "resource.host like \"*e*\""));
        let none = world.belljar(["run", "--apply", "discard", "--allow-net", "*", "--", "true"]).run();
        none.code(125).stderr_has("the rule").stderr_has("some").stderr_has("allow hosts by name");
        assert_nothing_left(world);
    }

    fn this_machine_is_reached_only_where_its_address_was_named(world) {
        prepare(world);
        let script = format!("{CONNECT}
            connect own.test 7000
            connect 21.21.21.21 7000
            connect 2620:20::1 7000
            connect 20.20.20.20 7000");
        let wide = ["*", "own.test", "21.21.0.0/16", "20.20.0.0/16", "[2620:20::/64]"];
        let (done, report) = run(world, &wide, &script);
        assert_eq!(done.stdout, "own.test 7000 refused\n21.21.21.21 7000 refused\n2620:20::1 7000 refused\n\
            20.20.20.20 open\n", "{}", done.report());
        assert_eq!(refused(&report), ["21.21.21.21:7000 network/this-host-address",
            "2620:20::1:7000 network/this-host-address", "own.test:7000 network/this-host-address"]);
        let (done, report) = run(world, &["own.test", "21.21.21.21:7000", "20.20.0.0/16", "[2620:20::1]:7000"], &script);
        assert_eq!(done.stdout, "own.test open\n21.21.21.21 open\n2620:20::1 open\n20.20.20.20 open\n", "{}", done.report());
        assert_eq!(refused(&report), Vec::<String>::new());
        assert_nothing_left(world);
    }

    fn bytes_arrive_whole_in_both_directions(world) {
        prepare(world);
        let (done, report) = run(world, &["web.test"], WHOLE);
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
        let (done, report) = run(world, &["web.test"], &many(1500));
        done.success().stdout_is("1500\n40\n");
        let sum: u64 = report["connections"].as_array().unwrap().iter().filter_map(|one| one["times"].as_u64()).sum();
        assert_eq!(sum, 1540);
        assert_nothing_left(world);
    }

    fn questions_are_answered_over_tcp_too_and_carry_nothing_out(world) {
        prepare(world);
        let script = "
            python3 - <<'END'
import socket, struct
def question(name, kind):
    labels = b''.join(bytes([len(l)]) + l.encode() for l in name.split('.'))
    return struct.pack('>6H', 7, 0x100, 1, 0, 0, 0) + labels + struct.pack('>BHH', 0, kind, 1)
def ask(name, kind, tcp):
    s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM); s.settimeout(20)
    s.connect(('198.18.0.1', 53)); q = question(name, kind)
    s.sendall((struct.pack('>H', len(q)) if tcp else b'') + q)
    answer = s.recv(4096)[2 if tcp else 0:]
    return struct.unpack('>6H', answer[:12])[1] & 15, struct.unpack('>6H', answer[:12])[3]
for tcp in (False, True):
    print(ask('web.test', 1, tcp), ask('WEB.test', 28, tcp), ask('stolen-data.evil.test', 1, tcp))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for junk in (b'', b'x', b'\\xff' * 4000): s.sendto(junk, ('198.18.0.1', 53))
print(ask('web.test', 1, False))
END";
        let (done, report) = run(world, &["web.test"], script);
        done.success().stdout_is("(0, 1) (0, 0) (3, 0)\n(0, 1) (0, 0) (3, 0)\n(0, 1)\n");
        assert_eq!(refused(&report), ["stolen-data.evil.test network/not-allowed"]);
        assert_nothing_left(world);
    }

    fn what_was_reached_and_refused_is_told_with_what_would_allow_it(world) {
        prepare(world);
        let script = "curl -s http://web.test:8080/page; curl -s http://web.test:9000/; curl -s http://other.test/; touch made";
        let words = ["run", "--apply", "never", "--allow-net", "web.test:8080", "--", "bash", "-c", script];
        let done = world.belljar(words).as_root().under(setup(world)).run();
        assert_eq!(done.stdout, "hello\n", "{}", done.report());
        for line in ["REACHED web.test:8080: 1 connection, ", "BLOCKED tried to connect to web.test:9000: refused \
            [network/not-allowed]  (--allow-net web.test:9000)", "BLOCKED tried to connect to other.test: refused",
            "(--allow-net other.test)"] {
            assert!(done.stderr.contains(line), "{line}{}", done.report());
        }
        let show = world.belljar(["show"]).run();
        assert!(show.stdout.contains("REACHED web.test:8080"), "{}", show.report());
        world.belljar(["audit", "log"]).run().success();
        world.belljar(["audit", "verify"]).run().success();
        world.belljar(["discard", "--yes"]).run().success();
        assert_nothing_left(world);
    }

    fn without_a_network_the_names_that_were_looked_for_are_told(world) {
        let script = "
            python3 -c 'import socket; socket.create_connection((\"registry.test\", 443))' 2>&1 | tail -1
            getent hosts other.test; getent hosts other.test; getent hosts localhost >/dev/null && echo localhost";
        world.file("script.sh", script);
        let done = world.belljar(["run", "--apply", "discard", "--json", "--", "bash", "script.sh"]).run();
        done.success();
        let report = done.json();
        assert_eq!(refused(&report), ["other.test network/none", "registry.test network/none"], "{}", done.report());
        assert!(done.stderr.contains("Name or service not known") && done.stderr.contains("localhost"), "{}", done.report());
        let done = world.belljar(["run", "--apply", "never", "--", "bash", "script.sh"]).run();
        assert!(done.stderr.contains("(--allow-net registry.test)"), "{}", done.report());
        assert_nothing_left(world);
    }

    fn a_wrong_rule_is_refused_before_anything_runs(world) {
        for (rule, why) in [("https://web.test/", "a URL"), ("web test", "no host name"), ("10.0.0.1/8", "no block"),
            ("web.test:99999", "neither a port"), ("[::1]:80", "loopback of its own"), ("[2001:db8::1]80", "is written `[ADDRESS]"), ("web.test:80/sctp", "neither a port"), ("127.0.0.1:80", "loopback of its own")] {
            let done = world.belljar(["run", "--allow-net", rule, "--", "touch", "made"]).run();
            assert_eq!(done.status.code(), Some(2), "{}", done.report());
            assert!(done.stderr.contains(why) && done.stderr.contains("--allow-net"), "{}", done.report());
        }
        assert!(!world.has("made"));
        assert_nothing_left(world);
    }
}
