//! What stands for sockets of the network where namespaces are withheld: names, datagrams and the jar's own loopback are what
//! programs expect, by whatever call they use them.

use super::datagrams::{of, python};
use super::withheld::{run_bare, run_bare_more};
use super::{both, prepare, refused, run};
use crate::support::assert_nothing_left;
use serde_json::{Value, json};

/// Asks the C library for names, whichever that is, connects to each and tells whom it is connected to.
const CLIENT: &str = r#"
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
        int code = getaddrinfo(argv[i], "7000", &hints, &found);
        if (code) { printf("%s: no such name\n", argv[i]); continue; }
        int s = socket(found->ai_family, SOCK_STREAM, 0);
        if (connect(s, found->ai_addr, found->ai_addrlen)) { printf("%s: not connected\n", argv[i]); continue; }
        struct sockaddr_in peer, own; socklen_t length = sizeof peer, own_length = sizeof own;
        int named = !getpeername(s, (void *)&peer, &length) && !getsockname(s, (void *)&own, &own_length);
        char answer[8] = "";
        send(s, "hello", 5, 0);
        recv(s, answer, 7, 0);
        printf("%s: %s %d %d %d\n", argv[i], answer, named, !memcmp(&peer, found->ai_addr, sizeof peer),
               own.sin_family == AF_INET && own.sin_port);
        close(s);
    }
}
"#;

/// As the resolver of Go's library does without cgo: both kinds of addresses at once, each by a connected socket of its own
/// whose two names it wants to know; over TCP where an answer is cut.
const LIKE_GO: &str = r#"
import concurrent.futures, socket, struct, sys
def exchange(kind, message, server):
    s = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1) if kind == socket.SOCK_DGRAM else None
    s.settimeout(5); s.connect(server)
    assert s.getpeername() == server and s.getsockname()[1] > 0, (s.getpeername(), s.getsockname())
    if kind == socket.SOCK_DGRAM: s.send(message); return s.recv(1232)
    s.sendall(struct.pack('>H', len(message)) + message); return s.recv(4096)[2:]
def ask(name, kind):
    server = (next(l.split()[1] for l in open('/etc/resolv.conf') if l.startswith('nameserver')), 53)
    labels = b''.join(bytes([len(l)]) + l.encode() for l in name.split('.'))
    message = struct.pack('>6H', kind * 7, 0x100, 1, 0, 0, 0) + labels + struct.pack('>BHH', 0, kind, 1)
    answers = [exchange(how, message, server) for how in (socket.SOCK_DGRAM, socket.SOCK_STREAM)]
    head = struct.unpack('>6H', answers[0][:12])
    assert answers[0] == answers[1] and head[0] == kind * 7
    return socket.inet_ntoa(answers[0][-4:]) if head[3] else head[1] & 15
def look_up(name):
    with concurrent.futures.ThreadPoolExecutor(2) as pool: return list(pool.map(lambda kind: ask(name, kind), (1, 28)))
for name in sys.argv[1:]:
    v4, v6 = look_up(name)
    if not isinstance(v4, str): print(name, v4, v6); continue
    s = socket.create_connection((v4, 7000), 10); s.sendall(b'hello')
    print(name, s.recv(9), s.getpeername() == (v4, 7000), v6)
"#;

both! {
    fn every_resolver_finds_what_is_allowed(world) {
        prepare(world);
        world.file("client.c", CLIENT);
        world.file("like_go.py", LIKE_GO);
        let ws = world.workspace().display().to_string();
        for (compiler, program) in [("musl-gcc", "musl"), ("cc", "glibc")] {
            let (from, to) = (format!("{ws}/client.c"), format!("{ws}/{program}"));
            let linked = if program == "musl" { "-static" } else { "-O1" };
            world.command(compiler).args([linked, "-o", &to, &from]).as_root().run().success();
        }
        let script = "
            for client in ./musl ./glibc; do $client web.test other.test; done
            python3 like_go.py web.test other.test";
        let (done, report) = run_bare(world, &["web.test:7000"], script);
        done.success().stdout_is("web.test: hello 1 1 1\nother.test: no such name\nweb.test: hello 1 1 1\n\
            other.test: no such name\nweb.test b'hello' True 0\nother.test 3 3\n");
        assert_eq!(refused(&report), ["other.test network/not-allowed"]);
        let (done, report) = run(world, &["web.test:7000"], script);
        done.success().stdout_is("web.test: hello 1 1 1\nother.test: no such name\nweb.test: hello 1 1 1\n\
            other.test: no such name\nweb.test b'hello' True 0\nother.test 3 3\n");
        assert_eq!(refused(&report), ["other.test network/not-allowed"], "with namespaces it is the same");
        assert_nothing_left(world);
    }

    fn package_managers_fetch_from_an_allowed_name(world) {
        prepare(world);
        let www = world.base().join("www");
        let make = format!(
            "mkdir -p {www}/simple/thing {www}/tar/package; cd {www}
            printf '{{\"name\": \"thing\", \"version\": \"1.0.0\"}}' > tar/package/package.json; tar -C tar -czf thing.tgz package
            printf '{{\"name\": \"thing\", \"dist-tags\": {{\"latest\": \"1.0.0\"}}, \"versions\": {{\"1.0.0\": {{\"name\": \"thing\", \
            \"version\": \"1.0.0\", \"dist\": {{\"tarball\": \"http://web.test:8080/thing.tgz\"}}}}}}}}' > thing
            /usr/bin/python3 - <<'END'
import zipfile
with zipfile.ZipFile('simple/thing/thing-1.0-py3-none-any.whl', 'w') as wheel:
    wheel.writestr('thing.py', '')
    wheel.writestr('thing-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: thing\\nVersion: 1.0\\n')
    wheel.writestr('thing-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr('thing-1.0.dist-info/RECORD', '')
END
            printf '<a href=\"thing-1.0-py3-none-any.whl\">thing-1.0-py3-none-any.whl</a>' > simple/thing/index.html",
            www = www.display()
        );
        world.command("sh").args(["-ec", &make]).as_root().run().success();
        let script = "
            export npm_config_cache=$TMPDIR/npm npm_config_update_notifier=false
            npm install --silent --registry http://web.test:8080 thing > /dev/null && cat node_modules/thing/package.json && echo
            /usr/bin/python3 -m venv $TMPDIR/venv && $TMPDIR/venv/bin/pip download -q --no-cache-dir --disable-pip-version-check \
                --trusted-host web.test -i http://web.test:8080/simple thing; ls *.whl";
        let (done, report) = run_bare(world, &["web.test:8080"], script);
        done.success().stdout_is("{\"name\": \"thing\", \"version\": \"1.0.0\"}\nthing-1.0-py3-none-any.whl\n");
        let [only] = report["connections"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
        assert_eq!(only["peer"], json!({"host": "web.test", "port": 8080, "protocol": "tcp"}));
        assert_nothing_left(world);
    }

    fn datagrams_go_where_a_rule_says(world) {
        prepare(world);
        let script = python(r#"
import array, ctypes
web, other = (at('web.test'), 7000), (at('other.test'), 7000)
s = sock(web)
print('connected', ask(s, b'one') == (b'one', web), s.getpeername() == web, s.getsockname()[1] > 0)
s = sock(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
print('unconnected', ask(s, b'two', web) == (b'two', web))
s.sendto(b'for web', web); s.sendto(b'for other', other)
print('two peers', {s.recvfrom(100) for _ in range(2)} == {(b'for web', web), (b'for other', other)})
s.sendto(b'plain', web); print(s.recv(100)); print('after it', ask(s, b'x', other) == (b'x', other))
s.sendmsg([b'gath', b'ered'], [], 0, web)
got, _, flags, source = s.recvmsg(4); print('message', got, source == web, flags == socket.MSG_TRUNC)
s.sendto(b'peeked', web); print(s.recvfrom(9, socket.MSG_PEEK) == s.recvfrom(9) == (b'peeked', web))
s = sock(own=('', 7000)); print('same port', ask(s, b'three', web) == (b'three', web))
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.settimeout(10)
s.sendto(b'mapped', ('::ffff:' + web[0], 7000)); data, source = s.recvfrom(100)
print('mapped', data, source[0] == '::ffff:' + web[0], source[1], len(source))
print([size for size in (0, 1, 1472, 9000, 65507) if ask(sock(web), b'y' * size)[0] != b'y' * size])
print('too long', ask(sock(web), b'y' * 65508, None, 0.3)[0], ask(sock(), b'y' * 65508, web)[0])
# What was sent before it is connected to another goes where it was sent to.
s = sock(web); s.send(b'to web'); s.connect(other); s.send(b'to other')
print(b'to other' in (s.recv(100), s.recv(100) if select.select([s], [], [], 0.3)[0] else b''), s.getpeername() == other)
libc = ctypes.CDLL(None, use_errno=True)
print('parted', libc.connect(s.fileno(), bytes(16), 16), ask(s, b'again', web) == (b'again', web), s.send.__name__)
try: s.getpeername(); print('a peer')
except OSError as e: print(errno.errorcode[e.errno])
# Whoever has a copy, by whatever way, has the same socket.
s = sock(web); copy = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, fileno=os.dup(s.fileno())); copy.settimeout(10)
s.send(b'copied'); print(copy.recvfrom(99) == (b'copied', web), copy.getpeername() == web)
a, b = socket.socketpair(); s = sock(); sys.stdout.flush()
if os.fork() == 0:
    fd = socket.recv_fds(b, 1, 1)[1][0]
    passed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, fileno=fd); passed.settimeout(10)
    print('passed', ask(passed, b'on', web) == (b'on', web), flush=True); os._exit(0)
socket.send_fds(a, [b'x'], [s.fileno()]); s.close(); os.wait()
# Many in one call.
class Part(ctypes.Structure): _fields_ = [('at', ctypes.c_char_p), ('length', ctypes.c_size_t)]
class Header(ctypes.Structure): _fields_ = [('name', ctypes.c_void_p), ('name_length', ctypes.c_uint), ('parts', ctypes.POINTER(Part)),
    ('count', ctypes.c_size_t), ('control', ctypes.c_void_p), ('control_length', ctypes.c_size_t), ('flags', ctypes.c_size_t), ('length', ctypes.c_uint), ('rest', ctypes.c_uint)]
def name(to): return ctypes.create_string_buffer(struct.pack('=H', 2) + struct.pack('>H', to[1]) + socket.inet_aton(to[0]) + bytes(8), 16)
names = [name(web), name(other)]; parts = [Part(b'many%d' % i, 5) for i in range(2)]; s = sock()
many = (Header * 2)(*[Header(ctypes.cast(n, ctypes.c_void_p), 16, ctypes.pointer(parts[i]), 1) for i, n in enumerate(names)])
print('many', libc.sendmmsg(s.fileno(), many, 2, 0), [h.length for h in many], {s.recvfrom(9) for _ in range(2)} == {(b'many0', web), (b'many1', other)})
# As many as there is no room for at once, one after the other, and many together.
for _ in range(600): sock(web).close()
print('used up', len([sock(web) for _ in range(150)]))
# What changes what is in a datagram is not there, and a handler runs while one waits.
try: s.setsockopt(17, 103, 1200); print('cut')
except OSError as e: print(errno.errorcode[e.errno])
import signal
class Late(Exception): pass
def late(*_): raise Late
signal.signal(signal.SIGALRM, late); signal.setitimer(signal.ITIMER_REAL, 0.2); s.settimeout(None)
try: s.recvfrom(9)
except Late: print('interrupted')
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('ll', 0, 200000))
try: s.recvfrom(9)
except BlockingIOError: print('in time')
"#);
        let (done, report) = run_bare(world, &["web.test:7000/udp", "other.test/udp"], &script);
        done.success().stdout_is("connected True True True\nunconnected True\ntwo peers True\nb'plain'\nafter it True\n\
            message b'gath' True True\nTrue\nsame port True\nmapped b'mapped' True 7000 4\n[]\ntoo long silence EMSGSIZE\n\
            True True\nparted 0 True send\nENOTCONN\nTrue True\npassed True\nmany 2 [5, 5] True\nused up 150\nENOPROTOOPT\n\
            interrupted\nin time\n");
        assert!(of(&report, "web.test", 7000, "sent") > Some(75_000), "{report:#}");
        assert_eq!((refused(&report), &report["allow_net"]), (vec![], &json!(["other.test/udp", "web.test:7000/udp"])));
        assert_nothing_left(world);
    }

    fn no_datagram_goes_elsewhere_without_namespaces(world) {
        prepare(world);
        let script = python(r#"
def no(what, to):
    for how in ('named', 'connected'):
        try: got = ask(sock(), b'sink x', to, 1)[0] if how == 'named' else ask(sock(to), b'sink x', None, 1)[0]
        except OSError as e: got = errno.errorcode[e.errno]
        print(what, got)
no('other port', (at('web.test'), 7001))
no('other name', (at('other.test'), 7000))
no('address', ('20.20.20.20', 7000))
no('metadata', ('169.254.169.254', 80))
no('host', ('127.0.0.1', 7000))
no('broadcast', ('255.255.255.255', 7000))
no('multicast', ('224.0.0.251', 5353))
no('the broker', ('198.18.0.2', 1))
s = sock((at('inner.test'), 7000)); print('private', ask(s, b'sink x', None, 1)[0])
try: print(s.send(b'sink y') and s.recvfrom(9))
except OSError as e: print(errno.errorcode[e.errno])
s = sock((at('web.test'), 7000))
s.sendmsg([b'one'], [], 0); print(s.recv(9))
s = sock(); s.sendto(b'forge', (at('web.test'), 7000)); print(s.recvfrom(9)[0]); s.settimeout(0.3)
try: print('forged', s.recvfrom(9))
except socket.timeout: print('no more')
"#);
        let rules = ["web.test:7000/udp", "other.test:7001/udp", "inner.test/udp"];
        let (done, report) = run_bare(world, &rules, &script);
        let each = ["other port", "other name", "address", "metadata"].map(|what| format!("{what} ECONNREFUSED\n{what} ENETUNREACH\n"));
        let more = ["broadcast", "multicast", "the broker"].map(|what| format!("{what} ECONNREFUSED\n{what} ENETUNREACH\n"));
        done.success().stdout_is(&format!(
            "{}host ECONNREFUSED\nhost ECONNREFUSED\n{}private ECONNREFUSED\nECONNREFUSED\nb'one'\nb'true'\nno more\n",
            each.concat(), more.concat()
        ));
        assert!(!world.base().join("www/datagrams").exists());
        let refused = refused(&report);
        for line in ["web.test:7001/udp network/not-allowed", "other.test:7000/udp network/not-allowed",
            "20.20.20.20:7000/udp network/not-allowed", "169.254.169.254:80/udp network/not-allowed",
            "inner.test:7000/udp network/private-address", "224.0.0.251:5353/udp network/not-allowed"] {
            assert!(refused.contains(&line.to_owned()), "{line}: {refused:#?}");
        }
        assert_eq!(report["connections"].as_array().unwrap().len(), 1, "{report:#}");
        assert_nothing_left(world);
    }

    /// A test server on a port of its own, as test suites begin one: nobody outside can reach it, and it reaches nobody.
    fn servers_of_the_jar_are_for_the_jar(world) {
        prepare(world);
        let script = r#"
python3 - <<'END'
import asyncio, errno, http.server, os, signal, socket, struct, subprocess, sys, threading, time, urllib.request
def said(call):
    try: return call()
    except OSError as e: return errno.errorcode.get(e.errno, 'silence')
class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(self.client_address[0].encode())
    def log_message(self, *a): pass
web = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Web)
threading.Thread(target=web.serve_forever, daemon=True).start()
port = web.server_address[1]
print('web', port > 1024, urllib.request.urlopen(f'http://127.0.0.1:{port}/').read())
print('by name', urllib.request.urlopen(f'http://localhost:{port}/').read())
print('curl', subprocess.check_output(['curl', '-s', f'http://127.0.0.1:{port}/']))
server = socket.create_server(('127.0.0.1', 0)); at = server.getsockname()
client = socket.create_connection(at); inside, source = server.accept()
print('names', inside.getpeername() == source == client.getsockname(), inside.getsockname() == at == client.getpeername())
client.sendall(b'there'); inside.sendall(b'back'); print(inside.recv(9), client.recv(9)); client.close(); print(inside.recv(9))
print('in use', said(lambda: socket.socket().bind(at)), said(lambda: socket.socket().bind(('127.0.0.1', 80))),
    said(lambda: socket.socket().bind(('20.20.20.20', 0))))
# Two hundred at once, who wait their turn or are told.
many = [socket.create_connection(at) for _ in range(100)]; print(len([server.accept() for _ in many]))
server.close(); print('ended', said(lambda: socket.create_connection(at, 5)))
again = socket.create_server(at); print('again', again.getsockname() == at); again.close()
six = socket.create_server(('::1', 0), family=socket.AF_INET6)
there = socket.create_connection(six.getsockname()[:2]); print('six', six.accept()[1][0])
def one():
    async def main():
        async def echo(reader, writer): writer.write(await reader.read(9)); writer.close()
        server = await asyncio.start_server(echo, '127.0.0.1', 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b'awaited'); return await reader.read()
    return asyncio.run(main())
print(one())
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('127.0.0.1', 0))
v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); v.sendto(b'datagram', u.getsockname())
data, source = u.recvfrom(9); u.sendto(data.upper(), source); print(source == ('127.0.0.1', v.getsockname()[1]), v.recvfrom(9) == (b'DATAGRAM', u.getsockname()))
# A server in another process; one that is killed with somebody in its queue.
code = 'import socket, time; s = socket.create_server(("127.0.0.1", 5555)); print(flush=True); time.sleep(60)'
other = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE); other.stdout.readline()
waits = socket.create_connection(('127.0.0.1', 5555)); waits.settimeout(10); other.kill(); other.wait()
print('killed', said(lambda: waits.recv(9)) in (b'', 'ECONNRESET'), said(lambda: socket.create_connection(('127.0.0.1', 5555))))
# A signal is attended to while it waits for a call.
class Late(Exception): pass
def late(*_): raise Late
s = socket.create_server(('127.0.0.1', 0)); signal.signal(signal.SIGALRM, late); signal.setitimer(signal.ITIMER_REAL, 0.2)
try: s.accept()
except Late: print('interrupted')
signal.signal(signal.SIGALRM, signal.SIG_DFL)
# The host's own servers are not there, whatever port they have.
print('host', said(lambda: socket.create_connection(('127.0.0.1', 8080), 5)), said(lambda: socket.create_connection(('127.0.0.1', 3128), 5)))
held = socket.create_server(('0.0.0.0', 8080)); print('own 8080', socket.create_connection(('127.0.0.1', 8080), 5).getpeername())
END
node -e '
const http = require("http"), server = http.createServer((q, r) => r.end(q.socket.remoteAddress + "\n"));
server.listen(0, () => http.get({port: server.address().port, host: "127.0.0.1"}, r => { r.pipe(process.stdout); r.on("end", () => server.close()); }));'"#;
        let (done, report) = run_bare(world, &["web.test:7000"], script);
        done.success().stdout_is("web True b'127.0.0.1'\nby name b'127.0.0.1'\ncurl b'127.0.0.1'\nnames True True\nb'there' b'back'\nb''\n\
            in use EADDRINUSE EACCES EADDRNOTAVAIL\n100\nended ECONNREFUSED\nagain True\nsix ::1\nb'awaited'\nTrue True\n\
            killed True ECONNREFUSED\ninterrupted\nhost ECONNREFUSED ECONNREFUSED\nown 8080 ('127.0.0.1', 8080)\n\
            ::ffff:127.0.0.1\n");
        assert_eq!(report["connections"], Value::Array(vec![]));
        assert_nothing_left(world);
    }

    /// None of them is a socket of the host's, so the host neither sees nor reaches a server of the jar.
    fn the_host_does_not_reach_servers_of_the_jar(world) {
        prepare(world);
        let script = "
            python3 - <<'END'
import os, socket, time
server = socket.create_server(('0.0.0.0', 4444)); datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); datagrams.bind(('', 4444))
open(os.environ['TMPDIR'] + '/listening', 'w').close()
server.settimeout(3)
try: print('called', server.accept())
except socket.timeout: print('nobody called')
END";
        let reached = world.base().join("reached");
        let more = format!("/usr/bin/python3 -c '
import socket, time
for _ in range(100):
    time.sleep(0.05)
    for port in 4444, 8080:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b\"x\", (\"127.0.0.1\", port))
        try: socket.create_connection((\"127.0.0.1\", port), 1); print(port, flush=True)
        except OSError: pass' > {} 2>&1 &", reached.display());
        let (done, _) = run_bare_more(world, &["web.test:7000"], script, &more);
        done.success().stdout_is("nobody called\n");
        let reached = std::fs::read_to_string(reached).unwrap();
        assert!(reached.lines().count() > 10 && reached.lines().all(|port| port == "8080"), "{reached}");
        assert_nothing_left(world);
    }
}
