//! From what a run did to the smallest profile that lets it do so again, and profiles as text. The same facts give the
//! same bytes.

use super::Profile;
use super::render::{body, plain};
use crate::confine::would_write;
use crate::facts::STATE_RULE;
use model::{
    Access, Action, Attempt, Connection, Endpoint, FilePath, Hidden, Limits, NetRule, Place, RootKind, Target, Used,
    WritableRoot,
};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Something that was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wrote {
    /// The name.
    pub path: FilePath,
    /// The nearest directory above it that was there before.
    pub dir: FilePath,
    /// The same for where a rename brought it from or to; both must lie in one root.
    pub with: Option<FilePath>,
}

/// A run, as far as its profile depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Learnt<'a> {
    /// The command, for the reader.
    pub command: &'a str,
    /// The profile it ran under, with what options had added.
    pub profile: &'a Profile,
    /// Where.
    pub place: &'a Place,
    /// What it could write.
    pub roots: &'a [WritableRoot],
    /// What it wrote, whatever became of that.
    pub wrote: &'a [Wrote],
    /// Whether that is all that was written.
    pub whole: bool,
    /// What was hidden.
    pub hidden: &'a [Hidden],
    /// What was refused.
    pub attempts: &'a [Attempt],
    /// Whom it reached.
    pub connections: &'a [Connection],
    /// Variables that an option gave a value.
    pub valued: &'a [String],
    /// What it took.
    pub used: Used,
    /// Bytes and files of its layers.
    pub layers: (u64, u64),
    /// How long it ran.
    pub wall_ms: u64,
}

/// The most directories of the home that are named one by one; beyond, all of it is.
const HOME_DIRS_MAX: usize = 8;

/// The text of the smallest profile that the run needed. It is never wider than what the run had: what was refused
/// stands in comments, for a person to decide on.
#[must_use]
pub fn learn(run: &Learnt<'_>) -> String {
    let mut profile = run.profile.clone();
    profile.says = format!("What `{}` needed.", shortened(&plain(run.command)));
    let wrote = |kind| run.wrote.iter().filter(move |wrote| owner(run.roots, &wrote.path) == Some(kind));
    let has = |kind| run.whole && run.roots.iter().any(|root| root.kind == kind);
    if has(RootKind::Workspace)
        && wrote(RootKind::Workspace).next().is_none()
        && run.profile.home != Some(Access::Hidden)
    {
        profile.workspace = Some(Access::ReadOnly);
        if run.place.home.starts_with(&run.place.workspace) {
            profile.home = Some(Access::ReadOnly);
        }
    }
    let declared = used_roots(run);
    profile.write = declared.iter().map(|path| written(run.place, path)).collect();
    if has(RootKind::Home)
        && let Some(dirs) = home_dirs(run, &wrote(RootKind::Home).collect::<Vec<_>>())
    {
        profile.home = Some(Access::ReadOnly);
        profile.write.extend(dirs.iter().map(|dir| written(run.place, dir)));
    }
    profile.write.sort();
    profile.write.dedup();
    profile.allow_net = reached(run);
    profile.limits = limits(run);
    let mut text = head();
    if !run.whole {
        text.push_str("# Not all that was written is on record: what could be written is as it ran.\n\n");
    }
    body(&mut text, &profile, Some(run));
    text
}

fn head() -> String {
    "# Written by `belljar run --learn`. Nothing here is wider than what the run had. What was refused stands in comments:\n\
     # take a comment away only where you know why the command wants it. `belljar policy check FILE` reviews this file,\n\
     # `belljar run --profile FILE` uses it. Which variables a program reads, and what it would have done elsewhere or on\n\
     # another day, nobody sees: run it again with this profile, and look at what is refused.\n\n"
        .to_owned()
}

/// Longest command in the description.
const COMMAND_CHARS_MAX: usize = 100;

fn shortened(text: &str) -> String {
    match text.char_indices().nth(COMMAND_CHARS_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The root that holds a path, the innermost where they nest.
fn owner(roots: &[WritableRoot], path: &FilePath) -> Option<RootKind> {
    let holding = roots.iter().filter(|root| path.starts_with(&root.path));
    holding.max_by_key(|root| root.path.as_bytes().len()).map(|root| root.kind)
}

/// Declared roots that were written.
fn used_roots(run: &Learnt<'_>) -> Vec<FilePath> {
    let declared = run.roots.iter().filter(|root| root.kind == RootKind::Declared);
    let used = |root: &&WritableRoot| !run.whole || run.wrote.iter().any(|wrote| wrote.path.starts_with(&root.path));
    declared.filter(used).map(|root| root.path.clone()).collect()
}

/// The directories of the home that were written; `None` where only all of it would do.
fn home_dirs(run: &Learnt<'_>, wrote: &[&Wrote]) -> Option<Vec<FilePath>> {
    let mut dirs: BTreeSet<FilePath> = BTreeSet::new();
    for wrote in wrote {
        dirs.insert(wrote.with.as_ref().map_or_else(|| wrote.dir.clone(), |with| common(&wrote.dir, with)));
    }
    let holds_workspace = |dir: &FilePath| run.place.workspace.starts_with(dir);
    let in_home = |dir: &FilePath| dir.starts_with(&run.place.home) && *dir != run.place.home;
    if !dirs.iter().all(|dir| in_home(dir) && !holds_workspace(dir)) {
        return None;
    }
    // Sorted, so that a directory comes before what lies in it.
    let mut outer: Vec<FilePath> = Vec::new();
    for dir in dirs {
        if !outer.iter().any(|above| dir.starts_with(above)) {
            outer.push(dir);
        }
    }
    (outer.len() <= HOME_DIRS_MAX).then_some(outer)
}

fn common(one: &FilePath, other: &FilePath) -> FilePath {
    let above = one.as_path().ancestors().find(|above| other.as_path().starts_with(above));
    above.map_or_else(|| FilePath::from("/"), FilePath::from)
}

/// One rule for each peer and port that was reached; those the run had where not all are on record.
fn reached(run: &Learnt<'_>) -> Vec<NetRule> {
    let rules: Option<BTreeSet<NetRule>> = run.connections.iter().map(|c| rule(&c.peer)).collect();
    rules.map_or_else(|| run.profile.allow_net.clone(), |rules| rules.into_iter().collect())
}

fn rule(peer: &Endpoint) -> Option<NetRule> {
    peer.to_string().parse().ok()
}

/// What was taken, twice over and rounded up, never less than small programs vary by and never more than the run had.
fn limits(run: &Learnt<'_>) -> Limits {
    let room = |used: u64, least: u64| Some(used.saturating_mul(2).max(least).checked_next_power_of_two()).flatten();
    let seconds = |ms: u64, least: u64| round_seconds(ms.saturating_mul(2).div_ceil(1000).max(least));
    let (disk, files) = run.layers;
    let measured = run.used != Used::default();
    let near = Limits {
        memory: room(run.used.memory, 256 << 20).filter(|_| measured),
        processes: room(run.used.processes, 64).filter(|_| measured),
        cpu_s: Some(seconds(run.used.cpu_ms, 10)).filter(|_| measured),
        wall_s: Some(seconds(run.wall_ms, 60)),
        disk: room(disk, 64 << 20),
        files: room(files, 1024),
        ..Limits::default()
    };
    run.profile.limits.tightened(near)
}

/// Up to whole minutes, from one minute on.
fn round_seconds(seconds: u64) -> u64 {
    if seconds > 60 { seconds.div_ceil(60).saturating_mul(60) } else { seconds.div_ceil(10).saturating_mul(10) }
}

/// What was measured, behind a limit.
pub(super) fn measured(run: &Learnt<'_>, name: &str) -> String {
    let of_bytes = |bytes: u64| format!("  # {} measured", human(bytes));
    let (disk, files) = run.layers;
    match name {
        "mem" if run.used.memory > 0 => of_bytes(run.used.memory),
        "pids" if run.used.processes > 0 => format!("  # {} measured", run.used.processes),
        "cpu" => format!("  # {}.{:02} s measured", run.used.cpu_ms / 1000, run.used.cpu_ms % 1000 / 10),
        "time" => format!("  # {}.{:02} s measured", run.wall_ms / 1000, run.wall_ms % 1000 / 10),
        "disk" => of_bytes(disk),
        "files" => format!("  # {files} measured"),
        _ => "  # as it ran; not measured".to_owned(),
    }
}

fn human(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = UNITS.iter().find(|(_, size)| bytes >= *size);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(unit, size)| format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
    )
}

/// A path as a profile has it: below the workspace or the home by its short form.
fn written(place: &Place, path: &FilePath) -> String {
    let below = |base: &FilePath| path.strip_prefix(base).filter(|rest| !rest.as_bytes().is_empty());
    if let Some(rest) = below(&place.workspace) {
        // A name that begins with ~ would mean the home.
        return format!("./{}", rest.encode());
    }
    match below(&place.home) {
        Some(rest) => format!("~/{}", rest.encode()),
        None => path.encode(),
    }
}

pub(super) fn is_read(attempt: &Attempt) -> bool {
    attempt.action == Action::Read
}

pub(super) fn is_write(attempt: &Attempt) -> bool {
    matches!(attempt.action, Action::Write | Action::Create | Action::Delete | Action::Rename | Action::Attributes)
}

/// Paths that were refused, each once, with what refused them.
pub(super) fn refused(run: &Learnt<'_>, wanted: fn(&Attempt) -> bool) -> Vec<(String, String)> {
    let mut out = BTreeSet::new();
    for attempt in run.attempts.iter().filter(|attempt| wanted(attempt)) {
        let Some(path) = nameable(run, attempt) else { continue };
        out.insert((written(run.place, &path), format!("refused: {}", plain(&attempt.rule))));
    }
    out.into_iter().collect()
}

/// The path that would let an attempt succeed if a profile named it, where one may.
fn nameable(run: &Learnt<'_>, attempt: &Attempt) -> Option<FilePath> {
    let Target::Path { path, .. } = &attempt.target else { return None };
    let path = path.is_absolute().then_some(path)?;
    // What is hidden is shown whole, or not at all. Belljar's own records, and a home that is hidden, are never shown so.
    let hidden = || run.hidden.iter().filter(|hidden| path.starts_with(&hidden.path));
    if let Some(outer) = hidden().min_by_key(|hidden| hidden.path.as_bytes().len()) {
        let may = is_read(attempt) && outer.path != run.place.home && outer.rule != STATE_RULE;
        return may.then(|| outer.path.clone());
    }
    if is_read(attempt) {
        return None;
    }
    if is_write(attempt) { would_write(run.place, path) } else { None }
}

pub(super) fn refused_peers(run: &Learnt<'_>) -> Vec<(String, String)> {
    let mut out = BTreeSet::new();
    for attempt in run.attempts.iter().filter(|attempt| attempt.action == Action::Connect) {
        let Target::Peer(peer) = &attempt.target else { continue };
        if rule(peer).is_some() {
            out.insert((peer.to_string(), format!("refused: {}", plain(&attempt.rule))));
        }
    }
    out.into_iter().collect()
}

/// What was refused and has no line in a profile.
pub(super) fn others(out: &mut String, run: &Learnt<'_>) {
    let mut told = BTreeSet::new();
    for attempt in run.attempts {
        let listed = match &attempt.target {
            Target::Path { .. } => nameable(run, attempt).is_some(),
            Target::Peer(peer) => rule(peer).is_some(),
            _ => false,
        };
        if !listed {
            told.insert(format!(
                "#   {} {} [{}]\n",
                attempt.action,
                plain(&attempt.target.to_string()),
                plain(&attempt.rule)
            ));
        }
    }
    if !told.is_empty() {
        let _ = write!(out, "\n# Refused besides, which no profile allows:\n{}", told.into_iter().collect::<String>());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Profile, Whose};
    use super::{Learnt, Wrote, learn, rule};
    use crate::testing::place;
    use model::{
        Access, Action, Attempt, Connection, Endpoint, FilePath, Hidden, Limits, PathScope, Protocol, RootKind, Target,
        Used, WritableRoot,
    };

    fn roots() -> Vec<WritableRoot> {
        let root = |path: &str, kind| WritableRoot { path: path.into(), kind };
        let declared = RootKind::Declared;
        vec![
            root("/home/u", RootKind::Home),
            root("/srv/a", declared),
            root("/srv/b", declared),
            root("/home/u/work", RootKind::Workspace),
        ]
    }

    fn wrote(path: &str, dir: &str) -> Wrote {
        Wrote { path: path.into(), dir: dir.into(), with: None }
    }

    fn peer(host: &str, port: u16) -> Endpoint {
        Endpoint { host: host.into(), port: Some(port), protocol: None }
    }

    fn attempts() -> Vec<Attempt> {
        let attempt = |action, target, rule: &str| Attempt { action, target, rule: rule.into(), times: 3 };
        let path = |path: &str| Target::Path { path: path.into(), scope: PathScope::Exact };
        vec![
            attempt(Action::Connect, Target::Peer(peer("evil.example", 443)), "network/not-allowed"),
            attempt(Action::Read, path("/home/u/.ssh/id"), "secrets/ssh"),
            attempt(Action::Write, path("/srv/c/x"), "files/read-only"),
            attempt(Action::Write, path("/etc/hosts"), "files/read-only"),
            attempt(Action::Privilege, Target::Thing { what: "call bpf".into() }, "calls/refused"),
        ]
    }

    fn text(profile: &Profile, wrote: &[Wrote], attempts: &[Attempt], connections: &[Connection]) -> String {
        learn(&Learnt {
            command: "make\u{202e} all",
            profile,
            place: &place(true),
            roots: &roots(),
            wrote,
            whole: true,
            hidden: &[Hidden { path: "/home/u/.ssh".into(), rule: "secrets/ssh".into() }],
            attempts,
            connections,
            valued: &["TOKEN".to_owned()],
            used: Used { memory: 300 << 20, processes: 9, cpu_ms: 1234 },
            layers: (5000, 12),
            wall_ms: 400,
        })
    }

    fn learnt(profile: &Profile, wrote: &[Wrote], attempts: &[Attempt], connections: &[Connection]) -> Profile {
        let text = text(profile, wrote, attempts, connections);
        Profile::parse("learnt", &text, Whose::Own).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn connection(host: &str, port: u16) -> Connection {
        Connection { peer: peer(host, port), times: 1, sent: 2, received: 3 }
    }

    #[test]
    fn only_what_was_needed_is_in_it_and_nothing_refused() {
        let ran = Profile {
            allow_net: vec!["*".parse().unwrap()],
            limits: Limits { processes: Some(20), memory: Some(4 << 30), ..Limits::default() },
            hide: vec!["private".into()],
            ..Profile::default()
        };
        let written = [wrote("/home/u/.cache/pip/x/y", "/home/u/.cache/pip"), wrote("/srv/b/x", "/srv/b")];
        let got = learnt(&ran, &written, &attempts(), &[connection("a.example", 443)]);
        assert_eq!((got.home, got.workspace), (Some(Access::ReadOnly), Some(Access::ReadOnly)));
        assert_eq!(got.write, ["/srv/b", "~/.cache/pip"]);
        assert_eq!((got.read.len(), got.hide), (0, ran.hide.clone()));
        assert_eq!(got.allow_net, ["a.example:443".parse().unwrap()]);
        let limits = got.limits;
        assert_eq!((limits.memory, limits.processes, limits.cpu_s), (Some(1 << 30), Some(20), Some(10)));
        assert_eq!((limits.wall_s, limits.disk, limits.files), (Some(60), Some(64 << 20), Some(1024)));
    }

    #[test]
    fn what_was_refused_is_a_line_that_a_person_can_uncomment() {
        let text = text(&Profile::default(), &[], &attempts(), &[]);
        for (line, name) in [
            ("  # \"evil.example:443\",  # refused: network/not-allowed\n", "network"),
            ("  # \"~/.ssh\",  # refused: secrets/ssh\n", "read"),
            ("  # \"/srv/c\",  # refused: files/read-only\n", "write"),
        ] {
            assert!(text.contains(line), "{line}{text}");
            let opened = text.replace(line, &line.replacen("# ", "", 1));
            let profile = Profile::parse("p", &opened, Whose::Own).unwrap();
            let got = (profile.allow_net.len(), profile.read.len(), profile.write.len());
            let expected = (usize::from(name == "network"), usize::from(name == "read"), usize::from(name == "write"));
            assert_eq!(got, expected);
        }
        for other in ["write /etc/hosts [files/read-only]", "gain privilege by call bpf [calls/refused]"] {
            assert!(text.contains(&format!("\n#   {other}\n")), "{text}");
        }
        assert!(!text.contains('\u{202e}'), "{text}");
    }

    #[test]
    fn the_whole_home_where_nothing_less_would_do() {
        let home = |written: &[Wrote]| learnt(&Profile::default(), written, &[], &[]).home;
        assert_eq!(home(&[wrote("/home/u/.bashrc", "/home/u")]), None);
        let moved = Wrote { with: Some("/home/u/b".into()), ..wrote("/home/u/a/x", "/home/u/a") };
        assert_eq!(home(&[moved]), None, "a rename cannot leave its root");
        let many: Vec<Wrote> = (0..9).map(|n| wrote(&format!("/home/u/{n}/x"), &format!("/home/u/{n}"))).collect();
        assert_eq!(home(&many), None);
        let inside = learnt(
            &Profile::default(),
            &[wrote("/home/u/.a/b/c", "/home/u/.a/b"), wrote("/home/u/.a/x", "/home/u/.a")],
            &[],
            &[],
        );
        assert_eq!(inside.write, ["~/.a"]);
        let hidden = Profile { home: Some(Access::Hidden), ..Profile::default() };
        assert_eq!(learnt(&hidden, &[], &[], &[]).home, Some(Access::ReadOnly), "its roots had the home");
    }

    #[test]
    fn the_same_facts_in_another_order_are_the_same_bytes() {
        let written =
            [wrote("/home/u/.a/x", "/home/u/.a"), wrote("/home/u/.b/x", "/home/u/.b"), wrote("/srv/b/x", "/srv/b")];
        let connections = [connection("a.example", 1), connection("b.example", 2)];
        let one = text(&Profile::default(), &written, &attempts(), &connections);
        let reversed = |list: &[Attempt]| list.iter().rev().cloned().collect::<Vec<_>>();
        let back: Vec<Wrote> = written.iter().rev().cloned().collect();
        let other: Vec<Connection> = connections.iter().rev().cloned().collect();
        assert_eq!(one, text(&Profile::default(), &back, &reversed(&attempts()), &other));
    }

    #[test]
    fn odd_names_survive() {
        let odd: FilePath = b"/home/u/a\xff\"b\\c\n'''".to_vec().into();
        let dir = odd.as_os_str().to_owned();
        let written = [Wrote { path: odd.join("x"), dir: FilePath::new(dir), with: None }];
        let got = learnt(&Profile::default(), &written, &[], &[]);
        assert_eq!(Profile::at(&place(true), &got.write[0]), Some(odd));
    }

    #[test]
    fn a_peer_is_allowed_as_it_was_reached() {
        let peer = |host: &str, protocol| Endpoint { protocol, ..peer(host, 123) };
        for (peer, text) in [
            (peer("time.example", Some(Protocol::Udp)), "time.example:123/udp"),
            (peer("time.example", Some(Protocol::Tcp)), "time.example:123"),
            (peer("2001:db8::1", Some(Protocol::Udp)), "[2001:db8::1]:123/udp"),
        ] {
            assert_eq!(rule(&peer), text.parse().ok(), "{text}");
            assert!(rule(&peer).is_some(), "{text}");
        }
    }
}
