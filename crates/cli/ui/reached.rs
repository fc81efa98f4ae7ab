//! Whom a command reached, and what it tried and was refused, with the option that would allow it.

use super::changes::count;
use super::style::Style;
use super::trials::bytes;
use engine::TrialRecord;
use model::{Attempt, Connection, Endpoint, FilePath, Place, Protocol, Target};
use std::fmt::Write as _;

/// Attempts, and likewise peers, that are shown before the rest is only counted.
const LINES_MAX: usize = 12;
/// Where names are looked up; whoever asks there wants another peer.
const DNS_PORT: u16 = 53;

/// Both, the refused ones last; `full` leaves nothing out.
pub(super) fn block(out: &mut String, style: Style, record: &TrialRecord, full: bool) {
    let cap = if full { usize::MAX } else { LINES_MAX };
    for connection in record.connections.iter().take(cap) {
        let _ = writeln!(out, "  {} {}", style.dim("REACHED"), reached(connection));
    }
    rest(out, style, record.connections.len().saturating_sub(cap), "peer");
    for attempt in record.attempts.iter().take(cap) {
        let _ = writeln!(
            out,
            "  {} {}{}",
            style.yellow("BLOCKED"),
            blocked(attempt),
            style.dim(&allow(attempt, &record.place))
        );
    }
    rest(out, style, record.attempts.len().saturating_sub(cap), "attempt");
}

fn rest(out: &mut String, style: Style, more: usize, noun: &str) {
    if more > 0 {
        let more = format!("and {} more (`belljar show` lists all)", count(more as u64, noun));
        let _ = writeln!(out, "         {}", style.dim(&more));
    }
}

fn reached(connection: &Connection) -> String {
    let Connection { peer, times, sent, received } = connection;
    let noun = if peer.protocol == Some(Protocol::Udp) { "flow" } else { "connection" };
    format!("{peer}: {}, {} sent, {} received", count(*times, noun), bytes(*sent), bytes(*received))
}

fn blocked(attempt: &Attempt) -> String {
    let times = if attempt.times > 1 { format!(", {} times", attempt.times) } else { String::new() };
    format!("tried to {} {}: refused [{}]{times}", attempt.action, attempt.target, attempt.rule)
}

/// The option that would have allowed it, where one would.
fn allow(attempt: &Attempt, place: &Place) -> String {
    let peer = match &attempt.target {
        Target::Peer(peer) => peer,
        Target::Path { path, .. } => return allow_path(attempt, path, place),
        _ => return String::new(),
    };
    let Endpoint { port, .. } = peer;
    let refused = matches!(attempt.rule.as_str(), "network/none" | "network/not-allowed");
    let rule = peer.to_string();
    // What the option would not take is not proposed.
    let allowable = rule.parse::<model::NetRule>().is_ok() && *port != Some(DNS_PORT);
    // A shell takes brackets for a pattern.
    let rule = if rule.starts_with('[') { format!("'{rule}'") } else { rule };
    if refused && allowable { format!("  (--allow-net {rule})") } else { String::new() }
}

fn allow_path(attempt: &Attempt, path: &FilePath, place: &Place) -> String {
    let option = match attempt.rule.as_str() {
        "files/read-only" => engine::would_write(place, path).map(|dir| format!("--write {dir}")),
        "secrets/unsearched" => Some(format!("--read {path}")),
        rule if rule.starts_with("secrets/") => engine::would_show(place, path).map(|path| format!("--read {path}")),
        _ => None,
    };
    option.map(|option| format!("  ({option})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Action, PathScope};

    fn place() -> Place {
        let own = |path: &str| FilePath::from(path);
        let (cwd, home, state) = (own("/home/u/w"), own("/home/u"), own("/home/u/.local/state/belljar"));
        Place { workspace: cwd.clone(), cwd, home, state, uid: 1000, contained: true }
    }

    #[test]
    fn a_path_has_an_option_where_one_would_do() {
        let said = |action, path: &str, rule: &str| {
            let target = Target::Path { path: path.into(), scope: PathScope::Exact };
            allow(&Attempt { action, target, rule: rule.into(), times: 1 }, &place())
        };
        assert_eq!(said(Action::Read, "/home/u/.aws/credentials", "secrets/aws"), "  (--read /home/u/.aws)");
        assert_eq!(said(Action::Read, "/home/u/other/.env", "secrets/dotenv"), "  (--read /home/u/other/.env)");
        assert_eq!(said(Action::Read, "/home/u/old/.ssh/key", "secrets/ssh"), "  (--read /home/u/old/.ssh)");
        assert_eq!(said(Action::Read, "/home/u/many/x", "secrets/unsearched"), "  (--read /home/u/many/x)");
        assert_eq!(said(Action::Write, "/srv/data/x", "files/read-only"), "  (--write /srv/data)");
        assert_eq!(said(Action::Write, "/etc/passwd", "files/read-only"), "");
        assert_eq!(said(Action::Read, "/home/u/.local/state/belljar/x", "belljar/state"), "");
        assert_eq!(said(Action::Read, "/home/u/x", "profile/home"), "");
    }

    fn attempt(host: &str, port: Option<u16>, rule: &str) -> Attempt {
        let (host, protocol) = match host.strip_suffix("/udp") {
            Some(host) => (host, Some(Protocol::Udp)),
            None => (host, None),
        };
        let target = Target::Peer(Endpoint { host: host.into(), port, protocol });
        Attempt { action: Action::Connect, target, rule: rule.into(), times: 1 }
    }

    #[test]
    fn what_would_allow_it_is_said_where_something_would() {
        let said = |host, port, rule| allow(&attempt(host, port, rule), &place());
        assert_eq!(said("a.example", Some(443), "network/not-allowed"), "  (--allow-net a.example:443)");
        assert_eq!(said("a.example", None, "network/not-allowed"), "  (--allow-net a.example)");
        assert_eq!(said("192.0.2.7", Some(80), "network/none"), "  (--allow-net 192.0.2.7:80)");
        assert_eq!(said("a.example/udp", Some(443), "network/not-allowed"), "  (--allow-net a.example:443/udp)");
        assert_eq!(said("2001:db8::1", Some(443), "network/none"), "  (--allow-net '[2001:db8::1]:443')");
        for (host, port, rule) in [
            ("192.0.2.7", Some(53), "network/none"),
            ("a.example", Some(443), "network/private-address"),
            ("a.example", Some(443), "network/unreachable"),
        ] {
            assert_eq!(said(host, port, rule), "");
        }
    }
}
