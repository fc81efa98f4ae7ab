//! Laws of replay: the table is what deciding row by row gives, and no way of cutting or ordering the rows changes it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use belljar_policy::replay::{Replay, Request, Table};
use belljar_policy::{Layer, Origin, Policy};
use model::{
    Action, Analysis, Certainty, CheckId, Coverage, Effect, Endpoint, FilePath, Finding, PathScope, Place, Protocol,
    Reversibility, Risk, Span, Target, Verdict,
};
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Rules that look at every attribute, in every way that is known and in some that are not.
const RULES: [&str; 22] = [
    "permit (principal, action, resource is Path) when { resource.path like \"/home/u/work/*\" };",
    "forbid (principal, action, resource is Path) when { resource.path like \"*.ssh*\" || resource.name == \"x\" };",
    "forbid (principal, action in Action::\"change\", resource is Path) unless { resource.name like \"*.rs\" };",
    "permit (principal, action, resource is Path) when { [\"a.rs\", \"x\"].contains(resource.name) };",
    "forbid (principal, action, resource is Path) when { resource.path == resource.name };",
    "forbid (principal, action, resource is Path) when { \"/etc/passwd\" == resource.path && context.certain };",
    "forbid (principal, action, resource is Path) when { resource.path != \"/data/x\" && resource.location == Location::\"elsewhere\" };",
    "forbid (principal, action, resource is Path) when { resource.secret && !context.approved };",
    "permit (principal, action, resource is Path) when { resource.derived && !resource.top };",
    "forbid (principal, action, resource is Path) when { resource.protected } unless { context.approved };",
    "forbid (principal, action, resource is Path) when { resource.rules.contains(Rule::\"protected/ssh\") };",
    "forbid (principal, action, resource is Path) when { resource.scope == Scope::\"tree\" && !context.reversible };",
    "permit (principal, action == Action::\"connect\", resource is Peer) when { resource.host like \"*.org\" && resource has port && resource.port == 443 };",
    "forbid (principal, action, resource is Peer) when { resource.network == Network::\"private\" };",
    "forbid (principal, action, resource is Peer) when { resource has protocol && resource.protocol == \"udp\" };",
    "permit (principal, action == Action::\"execute\", resource is Program) when { resource.name == \"make\" };",
    "forbid (principal, action, resource is Program) when { [\"curl\", \"nc\"].contains(resource.name) };",
    "forbid (principal, action, resource is Thing) when { resource.what like \"*a*\" };",
    "permit (principal, action == Action::\"run\", resource) when { resource.understood };",
    "forbid (principal, action == Action::\"run\", resource) when { resource.checks.contains(Check::\"BJ003\") };",
    "forbid (principal == User::\"1001\", action, resource) when { context.risk > 0 };",
    "permit (principal, action in Action::\"effect\", resource) when { !context.contained && principal == User::\"1000\" };",
];

/// Names that meet rows of every table and parts of the rules above.
const PATHS: [&str; 14] = [
    "/home/u/work/src/a.rs",
    "/home/u/work/.git/hooks/x",
    "/home/u/work/target/debug/app",
    "/home/u/.bashrc",
    "/home/u/.ssh/id_rsa",
    "/home/u/.aws/credentials",
    "/home/u/notes/",
    "/",
    "/etc/passwd",
    "/dev/sda",
    "/tmp/x",
    "/data/x",
    "x",
    "..",
];

fn policy(chosen: impl Fn(usize) -> bool) -> Policy {
    let rules = RULES.iter().enumerate().filter(|(at, _)| chosen(*at));
    let text: String = rules.map(|(at, rule)| format!("@id(\"r{at}\")\n{rule}\n")).collect();
    Policy::layered(&[Layer { name: "layer", origin: Origin::User, text: &text }]).unwrap()
}

/// How many pairs of policies are tried. Making one reads the schema, which is slow here.
const PAIRS: usize = 6;

fn pair(of: usize) -> [Policy; 2] {
    [policy(|rule| (rule * 7 + of * 3) % 5 < 2), policy(|rule| (rule * 5 + of).is_multiple_of(3) || rule % PAIRS == of)]
}

/// As it decides, and as it is replayed, with all answers it gave before.
type Pair = ([Policy; 2], Replay);

static PAIRED: LazyLock<Vec<Mutex<Pair>>> = LazyLock::new(|| {
    let both = |of| {
        let [a, b] = pair(of);
        Mutex::new((pair(of), Replay::new(a, b)))
    };
    (0..PAIRS).map(both).collect()
});

fn target() -> impl Strategy<Value = Target> {
    let scope = select(vec![PathScope::Exact, PathScope::Tree, PathScope::Glob]);
    let wild = proptest::collection::vec(1u8.., 0..16).prop_map(FilePath::from);
    let path = prop_oneof![5 => select(PATHS.as_slice()).prop_map(FilePath::from), 1 => wild];
    let host = select(vec!["localhost", "example.org", "a.example.com", "10.0.0.1", "unix:/x"]);
    let port = select(vec![None, Some(443), Some(80)]);
    let protocol = select(vec![None, Some(Protocol::Tcp), Some(Protocol::Udp)]);
    let peer = |(host, port, protocol): (&str, _, _)| Target::Peer(Endpoint { host: host.to_owned(), port, protocol });
    prop_oneof![
        5 => (path, scope).prop_map(|(path, scope)| Target::Path { path, scope }),
        2 => (host, port, protocol).prop_map(peer),
        2 => select(vec!["make", "curl", "/usr/bin/x", "é"]).prop_map(|name| Target::Program { name: name.to_owned() }),
        1 => "[ab]{0,2}".prop_map(|what| Target::Thing { what }),
        1 => Just(Target::Unknown { text: "$X".to_owned() }),
    ]
}

fn effect() -> impl Strategy<Value = Effect> {
    let reversibility =
        select(vec![Reversibility::Harmless, Reversibility::ByOverlay, Reversibility::ByHand, Reversibility::Never]);
    let certainty = select(vec![Certainty::Must, Certainty::May]);
    let by = select(vec![None, Some("ls".to_owned()), Some("npm install".to_owned())]);
    (select(Action::ALL.as_slice()), target(), certainty, reversibility, by).prop_map(
        |(action, target, certainty, reversibility, by)| Effect {
            action,
            target,
            certainty,
            reversibility,
            span: None,
            by,
        },
    )
}

fn command() -> impl Strategy<Value = (Analysis, Place)> {
    let severity = select(vec![Risk::Low, Risk::Medium, Risk::High]);
    let finding = (1u16..8, severity).prop_map(|(check, severity)| {
        let (span, message) = (Span::new(0, 3), "what it says".to_owned());
        Finding { check: CheckId(check), severity, span, message }
    });
    let coverage = select(vec![Coverage::Full, Coverage::Full, Coverage::Partial(vec![Span::new(0, 3)])]);
    let analysis =
        (proptest::collection::vec(effect(), 0..5), proptest::collection::vec(finding, 0..3), coverage, "[ab]{0,3}")
            .prop_map(|(effects, findings, coverage, text)| Analysis {
                text,
                effects,
                findings,
                coverage,
                canonical: vec![],
                certificates: vec![],
            });
    let place = (any::<bool>(), 1000u32..1002).prop_map(|(contained, uid)| Place {
        cwd: "/home/u/work".into(),
        home: "/home/u".into(),
        workspace: "/home/u/work".into(),
        state: "/home/u/.local/state/belljar".into(),
        uid,
        contained,
    });
    (analysis, place)
}

fn request((analysis, place): &(Analysis, Place), policy: &Policy) -> Request<'static> {
    Request::of(analysis, &policy.assess(analysis, place), place)
}

fn verdict((analysis, place): &(Analysis, Place), policy: &Policy) -> Verdict {
    policy.decide(analysis, &policy.assess(analysis, place), place).verdict
}

fn counts(table: &Table) -> BTreeMap<(Verdict, Verdict), u64> {
    table.cells().map(|(from, to, cell)| ((from, to), cell.count)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_table_is_what_deciding_row_by_row_gives(
        commands in proptest::collection::vec(command(), 1..24),
        of in 0..PAIRS,
    ) {
        let mut locked = PAIRED[of].lock().unwrap_or_else(PoisonError::into_inner);
        let ([from, to], replay) = &mut *locked;
        let mut naive: BTreeMap<(Verdict, Verdict), u64> = BTreeMap::new();
        for command in &commands {
            *naive.entry((verdict(command, from), verdict(command, to))).or_default() += 1;
        }
        let requests: Vec<Request<'_>> = commands.iter().map(|command| request(command, from)).collect();
        let mut table = Table::default();
        for request in &requests {
            // What is written down and read back asks the same.
            let line = serde_json::to_string(request).unwrap();
            let read: Request<'_> = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(read.check(), Ok(()));
            prop_assert_eq!(&read, request);
            replay.take(read, &mut table);
        }
        prop_assert_eq!(counts(&table), naive);
        prop_assert_eq!(table.rows(), commands.len() as u64);
        for (from, to, cell) in table.cells() {
            prop_assert_eq!(cell.witnesses().count() == 0, from == to);
            for witness in cell.witnesses() {
                prop_assert!(requests.contains(witness));
                let why = replay.explain(witness);
                prop_assert_eq!([why[0].verdict, why[1].verdict], [from, to]);
            }
        }
    }

    #[test]
    fn no_way_of_cutting_or_ordering_changes_the_table(
        commands in proptest::collection::vec(command(), 1..24),
        of in 0..PAIRS,
        order in any::<prop::sample::Index>(),
        cuts in proptest::collection::vec(0usize..4, 24),
    ) {
        let mut locked = PAIRED[of].lock().unwrap_or_else(PoisonError::into_inner);
        let ([from, _], replay) = &mut *locked;
        let requests: Vec<Request<'_>> = commands.iter().map(|command| request(command, from)).collect();
        let mut table = |requests: &mut dyn Iterator<Item = &Request<'static>>| {
            let mut table = Table::default();
            requests.for_each(|request| replay.take(request.clone(), &mut table));
            table
        };
        let whole = table(&mut requests.iter());
        let mut other = requests.clone();
        other.rotate_left(order.index(requests.len()));
        other.reverse();
        let mut parts: Vec<Table> = (0..4)
            .map(|part| table(&mut other.iter().zip(&cuts).filter(|(_, cut)| **cut == part).map(|(row, _)| row)))
            .collect();
        let merge = |parts: &[Table]| parts.iter().cloned().fold(Table::default(), Table::merge);
        prop_assert_eq!(&merge(&parts), &whole);
        parts.reverse();
        prop_assert_eq!(&merge(&parts), &whole);
        let grouped = merge(&parts[..2]).merge(merge(&parts[2..]));
        prop_assert_eq!(&grouped, &whole);
        // And what is sent is what arrives.
        let sent = serde_json::to_string(&whole).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Table>(&sent).unwrap(), &whole);
    }
}

#[test]
fn what_rules_do_not_look_at_is_not_asked_twice() {
    let commands = |n: usize| {
        let name = format!("/home/u/work/{n}.rs");
        let effect = Effect {
            action: Action::Write,
            target: Target::Path { path: name.as_str().into(), scope: PathScope::Exact },
            certainty: Certainty::Must,
            reversibility: Reversibility::ByOverlay,
            span: None,
            by: None,
        };
        let analysis = Analysis::of("", vec![effect]);
        let place = Place {
            cwd: "/home/u/work".into(),
            home: "/home/u".into(),
            workspace: "/home/u/work".into(),
            state: "/s".into(),
            uid: 1000,
            contained: true,
        };
        (analysis, place)
    };
    for (rule, asked) in [(0, 2), (3, 2), (4, 101)] {
        let mut replay = Replay::new(Policy::builtin().unwrap(), policy(|other| other == rule));
        let mut table = Table::default();
        let requests = (0..100).map(|n| request(&commands(n), &Policy::builtin().unwrap()));
        requests.for_each(|request| replay.take(request, &mut table));
        assert_eq!(replay.asked(), asked, "{}", RULES[rule]);
    }
}

#[test]
fn what_is_no_request_and_what_is_no_table_is_refused() {
    for line in [
        "",
        "{}",
        "{\"v\":1}",
        "{\"v\":2,\"inexact\":\"cut\"}",
        "{\"v\":1,\"inexact\":\"cut\",\"parts\":[{\"do\":\"run\",\"on\":{\"command\":{}}}]}",
        "{\"v\":1,\"inexact\":\"tired\"}",
        "{\"v\":1,\"parts\":[{\"do\":\"run\",\"on\":\"unknown\"}]}",
        "{\"v\":1,\"parts\":[{\"do\":\"read\",\"on\":{\"command\":{}}}]}",
        "{\"v\":1,\"parts\":[{\"do\":\"read\",\"on\":\"unknown\",\"risk\":3}]}",
        "{\"v\":1,\"parts\":[{\"do\":\"apply\",\"on\":\"unknown\"}]}",
        "{\"v\":1,\"parts\":[{\"do\":\"read\",\"on\":{\"path\":{\"path\":\"\\\\q\",\"location\":\"home\"}}}]}",
        "{\"v\":1,\"parts\":[{\"do\":\"read\",\"on\":{\"path\":{\"path\":\"/\",\"location\":\"moon\"}}}]}",
        "{\"v\":1,\"parts\":[{\"do\":\"read\",\"on\":{\"path\":{\"path\":\"/\",\"location\":\"home\",\"rules\":[\"my/own\"]}}}]}",
        "{\"v\":1,\"parts\":[{\"do\":\"read\",\"on\":\"unknown\",\"extra\":1}]}",
    ] {
        let read =
            serde_json::from_str::<Request<'_>>(line).map_err(|_| ()).and_then(|read| read.check().map_err(drop));
        assert!(read.is_err(), "{line}");
    }
    let good = "{\"v\":1,\"parts\":[{\"do\":\"read\",\"on\":\"unknown\"}]}";
    serde_json::from_str::<Request<'_>>(good).unwrap().check().unwrap();
    for table in [
        "{\"rows\":1,\"cells\":[],\"inexact\":{}}",
        "{\"rows\":2,\"cells\":[{\"from\":\"ask\",\"to\":\"ask\",\"count\":1},{\"from\":\"ask\",\"to\":\"ask\",\"count\":1}],\"inexact\":{}}",
        "{\"rows\":1,\"cells\":[{\"from\":\"ask\",\"to\":\"deny\",\"count\":1,\"witnesses\":[{\"v\":1}]}],\"inexact\":{}}",
        "{\"rows\":1,\"cells\":[{\"from\":\"ask\",\"to\":\"deny\",\"count\":18446744073709551615}],\"inexact\":{\"cut\":2}}",
    ] {
        assert!(serde_json::from_str::<Table>(table).is_err(), "{table}");
    }
}
