//! A host that reaches the network through an HTTP proxy alone: programs in the jar need not know.

use super::{both, prepare, refused, run_with};
use crate::support::assert_nothing_left;
use serde_json::Value;

const PROXY: &str = "http://me:hunter2@127.0.0.1:3128/";

fn proxied(world: &testkit::World) -> Vec<String> {
    let text = std::fs::read_to_string(world.base().join("www/proxied")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

both! {
    fn the_hosts_own_proxy_is_used_where_there_is_no_other_way(world) {
        prepare(world);
        let script = r#"
curl -sS http://web.test:8080/page
curl -sS http://only.proxied:8080/page
curl -sS http://far.test:8080/page
curl -sS http://far.test:8080/page
curl -sS http://denied.proxied:8080/ 2>/dev/null || echo denied
curl -sS http://mad.proxied:8080/ 2>/dev/null || echo mad
curl -sS http://plain.here:8080/ 2>/dev/null || echo not by proxy
curl -sS http://inner.test:8080/ 2>/dev/null || echo private
curl -sS http://home.test:3128/ 2>/dev/null || echo this host
curl -sS http://other.proxied:8080/ 2>/dev/null || echo not allowed
curl -sS http://only.proxied:9000/ 2>/dev/null || echo other port
curl -sS --connect-timeout 2 http://127.0.0.1:3128/ 2>/dev/null || echo no proxy here
python3 - <<'END'
import socket
s = socket.create_connection(('only.proxied', 7000)); data = bytes(range(256)) * 9000
import threading; threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))).start()
print(b''.join(iter(lambda: s.recv(65536), b'')) == data)
END
env | grep -ci proxy; grep -c hunter[2] /proc/*/environ /proc/*/cmdline 2>/dev/null | grep -v :0"#;
        let env = [("https_proxy", PROXY), ("HTTP_PROXY", PROXY), ("ALL_PROXY", PROXY), ("no_proxy", "plain.here,.internal")];
        let allow = ["web.test:8080", "only.proxied:8080", "only.proxied:7000", "denied.proxied", "mad.proxied", "plain.here",
            "far.test", "inner.test", "home.test"];
        let more = "printf '20.20.20.99 far.test\n' >> /etc/hosts; ip route add unreachable 20.20.20.99";
        let (done, report) = run_with(world, &allow, script, &env, more);
        assert_eq!(done.stdout, "hello\nhello\nhello\nhello\ndenied\nmad\nnot by proxy\nprivate\nthis host\nnot allowed\n\
            other port\nno proxy here\nTrue\n0\n", "{}", done.report());
        let asked = proxied(world);
        assert!(asked.iter().all(|line| line.ends_with(" HTTP/1.1")), "{asked:#?}");
        let whom: Vec<&str> = asked.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        assert_eq!(whom, ["only.proxied:8080", "far.test:8080", "far.test:8080", "denied.proxied:8080", "mad.proxied:8080",
            "only.proxied:7000"]);
        let refused = refused(&report);
        for line in ["denied.proxied:8080 network/proxy-refused", "mad.proxied:8080 network/proxy-unreachable",
            "plain.here:8080 network/no-such-name", "inner.test:8080 network/private-address",
            "home.test:3128 network/loopback-address", "other.proxied network/not-allowed",
            "only.proxied:9000 network/not-allowed"] {
            assert!(refused.contains(&line.to_owned()), "{line}: {refused:#?}");
        }
        assert_eq!(report["connections"].as_array().map(Vec::len), Some(4), "{report:#}");
        assert!(!report.to_string().contains("hunter2"), "the password is on no record");
        let withheld = report["env_withheld"].as_array().unwrap();
        for name in ["https_proxy", "HTTP_PROXY", "ALL_PROXY", "no_proxy"] {
            assert!(withheld.contains(&Value::from(name)), "{name}: {withheld:?}");
        }
        assert_nothing_left(world);
    }

    fn without_a_reachable_proxy_it_is_told(world) {
        prepare(world);
        let script = "curl -sS http://web.test:8080/page; curl -sS http://only.proxied:8080/ 2>/dev/null || echo refused";
        let (done, report) = run_with(world, &["only.proxied", "web.test"], script, &[("https_proxy", "127.0.0.1:3129")], "");
        assert_eq!(done.stdout, "hello\nrefused\n", "{}", done.report());
        assert_eq!(refused(&report), ["only.proxied:8080 network/proxy-unreachable"]);
        // Who is not let in is told that by the proxy's word.
        let (done, report) = run_with(world, &["only.proxied"], script, &[("https_proxy", "http://127.0.0.1:3128")], "");
        assert_eq!(done.stdout, "refused\n", "{}", done.report());
        assert!(refused(&report).contains(&"only.proxied:8080 network/proxy-refused".to_owned()), "{report:#}");
        assert_nothing_left(world);
    }
}
