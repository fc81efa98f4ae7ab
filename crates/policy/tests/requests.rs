//! What `policies/prove/requests.cedar` says of requests, held against the requests that are made of commands and changes:
//! a proof assumes it, and would prove nothing where it is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use belljar_policy::cases::place;
use belljar_policy::{Layer, Origin, Policy};
use model::{
    Action, Analysis, Certainty, Change, ChangeKind, ChangeSet, CheckId, Coverage, Differs, Effect, Endpoint, FileKind,
    FilePath, Finding, Meta, PathScope, Protocol, Reversibility, Risk, Span, Target,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::LazyLock;

const REQUESTS: &str = include_str!("../../../policies/prove/requests.cedar");

/// A policy of only these rules names, for each request, those that forbid it: none, where what they say is so.
fn policy(text: &str) -> Policy {
    Policy::without_builtin(&[Layer { name: "requests", origin: Origin::User, text }]).unwrap()
}

static KNOWN: LazyLock<Policy> = LazyLock::new(|| policy(REQUESTS));

const PATHS: [&str; 26] = [
    "/",
    "/usr",
    "/home/u",
    "/home/u/work",
    "/home/u/work/a.rs",
    "/home/u/work/.git",
    "/home/u/work/.git/hooks/x",
    "/home/u/work/.github/workflows/ci.yml",
    "/home/u/work/node_modules/x/package.json",
    "/home/u/work/Makefile",
    "/home/u/work/CLAUDE.md",
    "/home/u/work/.env",
    "/home/u/work/target/debug/app",
    "/home/u/.bashrc",
    "/home/u/.ssh/id_ed25519",
    "/home/u/.cache/x",
    "/home/u/.cargo/registry/src/i/x/build.rs",
    "/home/u/notes",
    "/home/u/*",
    "/etc/shadow",
    "/dev/null",
    "/dev/sda",
    "/tmp/x",
    "/data/x",
    "relative/x",
    "/home/u/.local/state/belljar/audit.jsonl",
];
const HOSTS: [&str; 9] = [
    "localhost",
    "example.org",
    "GitHub.com.",
    "github.com",
    "registry.npmjs.org",
    "10.0.0.1",
    "169.254.169.254",
    "1.1.1.1",
    "unix:/run/x",
];
const BY: [Option<&str>; 6] = [None, Some("ls"), Some("git clone"), Some("git push"), Some("npm"), Some("npm view")];
const REVERSIBILITY: [Reversibility; 4] =
    [Reversibility::Harmless, Reversibility::ByOverlay, Reversibility::ByHand, Reversibility::Never];

fn peer(host: &str) -> Target {
    let (port, protocol) = if host == "example.org" { (Some(65535), Some(Protocol::Udp)) } else { (None, None) };
    Target::Peer(Endpoint { host: host.to_owned(), port, protocol })
}

fn targets() -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for path in PATHS {
        let scope = if path.contains('*') { PathScope::Glob } else { PathScope::Tree };
        targets.extend([PathScope::Exact, scope].map(|scope| Target::Path { path: path.into(), scope }));
    }
    targets.extend(HOSTS.map(peer));
    for name in ["make", "./run.sh", "/home/u/.bashrc", "/opt/x"] {
        targets.push(Target::Program { name: name.to_owned() });
    }
    targets.push(Target::Thing { what: "something".to_owned() });
    targets.push(Target::Unknown { text: "$x".to_owned() });
    targets
}

fn analysis(effects: Vec<Effect>) -> Analysis {
    Analysis::of("the command", effects)
}

fn effect(action: Action, target: Target, reversibility: Reversibility, by: Option<&str>) -> Effect {
    let by = by.map(str::to_owned);
    Effect { action, target, certainty: Certainty::Must, reversibility, span: None, by }
}

/// Every action on every target by every kind of tool, in commands of which each asks about all its effects.
fn all_effects() -> Vec<Analysis> {
    let mut commands = Vec::new();
    for by in BY {
        for reversibility in [Reversibility::Harmless, Reversibility::ByOverlay, Reversibility::Never] {
            let by_tool = |target: &Target| matches!(target, Target::Peer(_) | Target::Thing { .. });
            let targets: Vec<Target> =
                targets().into_iter().filter(|target| by.is_none_or(|by| by == "ls") || by_tool(target)).collect();
            // Listing tools only read.
            for action in Action::ALL.into_iter().filter(|action| by != Some("ls") || *action == Action::Read) {
                let of = |target: &Target| effect(action, target.clone(), reversibility, by);
                commands.push(analysis(targets.iter().map(of).collect()));
            }
        }
    }
    commands
}

/// The rules that speak against a request of this command, and what about.
fn against_command(policy: &Policy, analysis: &Analysis, contained: bool) -> Vec<(String, String)> {
    let place = place(contained);
    let assessment = policy.assess(analysis, &place);
    let because = policy.decide(analysis, &assessment, &place).because;
    because.into_iter().flat_map(|part| part.rules.into_iter().map(move |rule| (rule, part.about.clone()))).collect()
}

fn commands() -> Vec<Analysis> {
    let mut commands = all_effects();
    for check in [1, 2, 3, 10, 20, 90] {
        let finding =
            |severity| Finding { check: CheckId(check), severity, span: Span::new(0, 1), message: "m".into() };
        for severity in [Risk::Low, Risk::Medium, Risk::High] {
            commands.push(Analysis { findings: vec![finding(severity)], ..analysis(vec![]) });
        }
    }
    commands.push(Analysis { coverage: Coverage::Partial(vec![]), ..analysis(vec![]) });
    commands
}

/// What a command announces of a path: nothing and it says everything, nothing and it does not, it by name, all below.
fn announcements() -> [Analysis; 4] {
    let opaque = effect(Action::Execute, Target::Program { name: "make".into() }, Reversibility::Harmless, None);
    let all = [Action::Write, Action::Create, Action::Delete, Action::Rename, Action::Attributes];
    let on = |path: &str, scope| {
        let path: FilePath = path.into();
        all.map(|action| effect(action, Target::Path { path: path.clone(), scope }, Reversibility::ByOverlay, None))
    };
    let named = PATHS.into_iter().chain(["/home/u/work/old"]).flat_map(|path| on(path, PathScope::Exact)).collect();
    let covered = ["/", "/home/u", "/home/u/work"].into_iter().flat_map(|path| on(path, PathScope::Tree)).collect();
    [analysis(vec![]), analysis(vec![opaque]), analysis(named), analysis(covered)]
}

fn changes() -> Vec<Change> {
    let kinds = [
        ChangeKind::Added,
        ChangeKind::Modified,
        ChangeKind::Deleted,
        ChangeKind::Replaced,
        ChangeKind::Renamed { from: "/home/u/work/old".into() },
        ChangeKind::Linked { to: "/home/u/work/a.rs".into() },
    ];
    let files = [FileKind::File, FileKind::Directory, FileKind::Symlink, FileKind::Socket, FileKind::BlockDevice];
    let mut changes = Vec::new();
    for path in PATHS {
        for kind in &kinds {
            for (mode, content, below) in [(0o755, true, 9), (0o644, false, 0)] {
                changes.extend(files.map(|file| change(path, kind.clone(), file, mode, content, below)));
            }
        }
    }
    changes
}

fn change(path: &str, kind: ChangeKind, file: FileKind, mode: u32, content: bool, below: u64) -> Change {
    let link = (file == FileKind::Symlink).then(|| FilePath::from("../x"));
    let meta = Meta { kind: file, mode, uid: 1000, gid: 1000, size: 1, link };
    let before = (kind != ChangeKind::Added).then(|| Meta { mode: 0o644, ..meta.clone() });
    let after = (kind != ChangeKind::Deleted).then(|| meta.clone());
    Change { path: path.into(), kind, before, after, differs: Differs { content, ..Differs::default() }, below }
}

/// The rules that speak against a request of these changes, and which.
fn against_changes(policy: &Policy, changes: Vec<Change>, announced: &Analysis) -> Vec<(String, String)> {
    let set = ChangeSet { changes };
    let review = policy.review(&set, announced, &place(true), &[]);
    // Nothing permits: every change is refused, by the first rule that forbids it, or by none.
    let refused = review.flags.into_iter().filter(|flag| flag.rule.starts_with("requests:"));
    refused.map(|flag| (flag.rule.clone(), format!("{:?} {}", set.changes[flag.change], flag.message))).collect()
}

fn against_all(policy: &Policy) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for command in commands() {
        found.extend([true, false].into_iter().flat_map(|contained| against_command(policy, &command, contained)));
    }
    for announced in announcements() {
        let (deleted, others): (Vec<Change>, Vec<Change>) =
            changes().into_iter().partition(|change| change.kind == ChangeKind::Deleted);
        found.extend(against_changes(policy, others, &announced));
        found.extend(against_changes(policy, deleted.clone(), &announced));
        // Alone they are no mass deletion.
        found.extend(deleted.into_iter().flat_map(|change| against_changes(policy, vec![change], &announced)));
    }
    found
}

#[test]
fn no_request_that_comes_about_is_one_that_is_said_not_to() {
    let found = against_all(&KNOWN);
    assert_eq!(found.iter().take(5).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "{} in all", found.len());
}

/// The requests above are not so few that anything could be said of them: with one more step of risk, each rule that
/// speaks of risk is contradicted.
#[test]
fn what_is_said_of_requests_could_not_say_more() {
    let stronger =
        REQUESTS.replace("context.risk < 2", "context.risk <= 2").replace("context.risk == 0", "context.risk <= 1");
    let rules = |text: &str| -> Vec<(String, String)> {
        let rules = text.split("@id(\"").skip(1).map(|rule| rule.split_once("\")").unwrap());
        rules.map(|(id, body)| (id.to_owned(), body.to_owned())).collect()
    };
    let changed: BTreeSet<String> = rules(REQUESTS)
        .into_iter()
        .zip(rules(&stronger))
        .filter(|(one, other)| one != other)
        .map(|((id, _), _)| format!("requests:{id}"))
        .collect();
    assert!(changed.len() >= 25, "{changed:?}");
    let mut contradicted: BTreeSet<String> =
        against_all(&policy(&stronger)).into_iter().map(|(rule, _)| rule).collect();
    // A change is refused by the first rule that forbids it: those that were seen make room for the others.
    loop {
        let open = rules(&stronger).into_iter().filter(|(id, _)| !contradicted.contains(&format!("requests:{id}")));
        let open: String =
            open.map(|(id, body)| format!("@id(\"{id}\"){}\n", body.split("\n\n").next().unwrap())).collect();
        let rest = policy(&open);
        let found = announcements().iter().flat_map(|a| against_changes(&rest, changes(), a)).collect::<Vec<_>>();
        let before = contradicted.len();
        contradicted.extend(found.into_iter().map(|(rule, _)| rule));
        if contradicted.len() == before {
            break;
        }
    }
    assert_eq!(changed.difference(&contradicted).collect::<Vec<_>>(), Vec::<&String>::new());
}

fn any_path() -> impl Strategy<Value = FilePath> {
    let known = proptest::sample::select(PATHS.as_slice()).prop_map(FilePath::from);
    let below = (proptest::sample::select(PATHS.as_slice()), "[.a-zA-Z/*]{1,12}");
    let below = below.prop_map(|(path, more)| FilePath::from(format!("{path}/{more}").as_str()).normalise());
    let wild = proptest::collection::vec(1u8.., 0..24).prop_map(FilePath::from);
    prop_oneof![known, below, wild]
}

fn any_target() -> impl Strategy<Value = Target> {
    let scope = prop_oneof![Just(PathScope::Exact), Just(PathScope::Tree), Just(PathScope::Glob)];
    let host = prop_oneof![proptest::sample::select(HOSTS.as_slice()).prop_map(str::to_owned), "[a-z0-9.:]{0,12}"];
    let protocol = proptest::option::of(prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)]);
    prop_oneof![
        4 => (any_path(), scope).prop_map(|(path, scope)| Target::Path { path, scope }),
        2 => (host, any::<Option<u16>>(), protocol)
            .prop_map(|(host, port, protocol)| Target::Peer(Endpoint { host, port, protocol })),
        1 => ".{0,8}".prop_map(|name| Target::Program { name }),
        1 => ".{0,8}".prop_map(|what| Target::Thing { what }),
        1 => ".{0,8}".prop_map(|text| Target::Unknown { text }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nor_is_a_random_one(
        action in proptest::sample::select(Action::ALL.as_slice()),
        target in any_target(),
        reversibility in proptest::sample::select(REVERSIBILITY.as_slice()),
        by in proptest::sample::select(BY.as_slice()),
        contained in any::<bool>(),
        changed in any_path(),
        like in proptest::sample::select(changes()),
    ) {
        let command = analysis(vec![effect(action, target, reversibility, by)]);
        prop_assert_eq!(against_command(&KNOWN, &command, contained), vec![]);
        let change = Change { path: changed, ..like };
        for announced in announcements().iter().chain([&command]) {
            prop_assert_eq!(against_changes(&KNOWN, vec![change.clone()], announced), vec![]);
        }
    }
}
