//! What a jar lets through, the policy allows: over random policies, paths and peers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use belljar_policy::cases::place;
use belljar_policy::profile::{SHIPPED, Whose};
use belljar_policy::{ConfineError, ConfineRequest, Judge, Layer, Origin, Policy, Profile, access, agreed, confine};
use model::{
    Access, Action, Analysis, Certainty, Confinement, Effect, Endpoint, FilePath, NetRule, PathScope, Place, Protocol,
    Reversibility, Target, Verdict,
};
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::atomic::{AtomicUsize, Ordering};

const BASES: [&str; 7] =
    ["/home/u", "/home/u/work", "/home/u/data", "/home/u/data/private", "/srv/data", "/etc", "/home/u2"];
const NAMES: [&str; 8] = ["a", "ab", "a.key", "private", "Private", ".env", "notes.txt", "x y"];
const HOSTS: [&str; 10] = [
    "a.example",
    "b.a.example",
    "ba.example",
    "evil.example",
    "x.evil.example",
    "10.0.0.1",
    "10.1.0.9",
    "192.0.2.7",
    "169.254.169.254",
    "2001:db8::1",
];

fn effect(action: Action, target: Target) -> Effect {
    let reversibility = if action == Action::Read { Reversibility::Harmless } else { Reversibility::Never };
    Effect { action, target, certainty: Certainty::Must, reversibility, span: None, by: None }
}

fn reads(path: &FilePath) -> Effect {
    effect(Action::Read, Target::Path { path: path.clone(), scope: PathScope::Exact })
}

/// What the policy says of one effect in a jar.
fn said(policy: &Policy, place: &Place, effect: Effect) -> Verdict {
    let about = format!("{} {}", effect.action, effect.target);
    let analysis = Analysis::of("x", vec![effect]);
    let assessment = policy.assess(&analysis, place);
    let because = policy.decide(&analysis, &assessment, place).because;
    because.iter().find(|because| because.about == about).unwrap().verdict
}

/// A path, as it is when every link on it was followed.
fn path() -> impl Strategy<Value = String> {
    (select(&BASES), proptest::collection::vec(select(&NAMES), 0..3))
        .prop_map(|(base, names)| std::iter::once(base).chain(names).collect::<Vec<_>>().join("/"))
}

/// What a rule says of a path.
fn about_path() -> BoxedStrategy<String> {
    let name = || select(&NAMES);
    prop_oneof![
        4 => path().prop_map(|path| format!("resource.path like \"{path}/*\"")),
        3 => path().prop_map(|path| format!("resource.path == \"{path}\"")),
        2 => path().prop_map(|path| format!("resource.path like \"{path}*\"")),
        2 => name().prop_map(|name| format!("resource.path like \"*/{name}\"")),
        1 => name().prop_map(|name| format!("resource.path like \"*/{name}/*\"")),
        1 => (select(&BASES), name()).prop_map(|(base, name)| format!("resource.path like \"{base}/*/{name}\"")),
        1 => Just("resource.path like \"*.key\"".to_owned()),
        2 => name().prop_map(|name| format!("resource.name == \"{name}\"")),
        1 => Just("resource.name like \"*.txt\"".to_owned()),
        1 => Just("resource.secret".to_owned()),
        1 => Just("[\"/home/u/data/a\", \"/srv/data/a\"].contains(resource.path)".to_owned()),
        1 => select(&["home", "elsewhere", "system"]).prop_map(|at| format!("resource.location == Location::\"{at}\"")),
        1 => Just("resource.rules.contains(Rule::\"secrets/dotenv\")".to_owned()),
        1 => Just("context.risk >= 1".to_owned()),
        1 => Just("!context.contained".to_owned()),
    ]
    .boxed()
}

fn about_peer() -> BoxedStrategy<String> {
    let host = || select(&HOSTS);
    prop_oneof![
        4 => host().prop_map(|host| format!("resource.host == \"{host}\"")),
        3 => host().prop_map(|host| format!("resource.host like \"*.{host}\"")),
        1 => Just("resource.host like \"*evil*\"".to_owned()),
        2 => select(&["private", "named", "link-local", "public"]).prop_map(|network| format!("resource.network == Network::\"{network}\"")),
        2 => select(&[80, 443, 1024]).prop_map(|port| format!("(resource has port && resource.port < {port})")),
        1 => Just("(resource has port && resource.port == 443)".to_owned()),
        1 => Just("(resource has protocol && resource.protocol == \"udp\")".to_owned()),
        1 => Just("context.risk >= 1".to_owned()),
    ]
    .boxed()
}

/// Conditions of such atoms.
fn condition(atom: BoxedStrategy<String>) -> BoxedStrategy<String> {
    atom.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} && {other})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} || {other})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} && !({other}))")),
            inner.clone().prop_map(|one| format!("!({one})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
    .boxed()
}

/// One rule without its `@id`.
fn rule() -> impl Strategy<Value = String> {
    let heads = [
        "action == Action::\"read\"",
        "action in Action::\"effect\"",
        "action in [Action::\"read\", Action::\"delete\"]",
    ];
    let of_path = (select(&["forbid", "forbid", "forbid", "permit"]), select(heads.to_vec()), condition(about_path()));
    let of_path = of_path
        .prop_map(|(what, head, when)| format!("{what} (principal, {head}, resource is Path) when {{ {when} }}"));
    let heads = ["action == Action::\"connect\"", "action in Action::\"effect\""];
    let of_peer = (select(&["forbid", "forbid", "permit"]), select(heads.to_vec()), condition(about_peer()));
    let of_peer = of_peer
        .prop_map(|(what, head, when)| format!("{what} (principal, {head}, resource is Peer) when {{ {when} }}"));
    let until = select(&["", "", " unless { context.approved }"]);
    (prop_oneof![3 => of_path.boxed(), 2 => of_peer.boxed()], until).prop_map(|(rule, until)| format!("{rule}{until};"))
}

fn rules() -> impl Strategy<Value = String> {
    proptest::collection::vec(rule(), 1..4).prop_map(|rules| {
        let named = rules.iter().enumerate().map(|(at, rule)| format!("@id(\"r{at}\")\n{rule}\n"));
        named.collect()
    })
}

fn allowed() -> impl Strategy<Value = Vec<NetRule>> {
    let rules = [
        "*",
        "*:443",
        "a.example:443",
        "*.example:80-443",
        "evil.example",
        "10.0.0.0/8:443",
        "192.0.2.7:22",
        "a.example/udp",
        "[2001:db8::/32]",
    ];
    proptest::collection::vec(select(rules.to_vec()).prop_map(|rule| rule.parse().unwrap()), 0..3)
}

/// Whether the jar shows a path: by roots and hidden paths, and where a view of ours answers by the judge of names, for the
/// path and every directory on the way from its root.
fn is_shown(confinement: &Confinement, judge: &Judge, path: &FilePath) -> bool {
    let root = confinement.roots.iter().map(|root| &root.path).filter(|root| path.starts_with(root));
    let root = root.max_by_key(|root| root.as_bytes().len());
    let judged = root.is_some_and(|root| {
        let below = path.as_path().ancestors().map(FilePath::from).filter(|at| at != root && at.starts_with(root));
        below.into_iter().any(|at| judge.hides(&at).is_some())
    });
    access(confinement, path) != Access::Hidden && !judged
}

static COMPARED: AtomicUsize = AtomicUsize::new(0);
static SHOWN: AtomicUsize = AtomicUsize::new(0);
static NOT_SHOWN: AtomicUsize = AtomicUsize::new(0);
static BY_SEARCH: AtomicUsize = AtomicUsize::new(0);
static PEERS: AtomicUsize = AtomicUsize::new(0);
static NO_JAR: AtomicUsize = AtomicUsize::new(0);

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn compare(
    profile: usize,
    text: &str,
    allow: Vec<NetRule>,
    paths: &[String],
    announced: &[String],
    peers: &[(&str, u16)],
) {
    let place = place(true);
    let shipped = &SHIPPED[profile];
    let profile = Profile::parse(shipped.name, shipped.text, Whose::Own).unwrap();
    let own = Layer { name: "profile", origin: Origin::User, text: &profile.rules };
    let random = Layer { name: "random", origin: Origin::User, text };
    let layers = if profile.rules.is_empty() { vec![random] } else { vec![own, random] };
    let policy = Policy::layered(&layers).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let announced: Vec<FilePath> = announced.iter().map(|path| path.as_str().into()).collect();
    let analysis = Analysis::of("x", announced.iter().map(reads).collect());
    let asked = ConfineRequest {
        held: policy.held(),
        agreed: agreed(&analysis),
        allow_net: if allow.is_empty() { profile.allow_net.clone() } else { allow },
        ..profile.wishes(&place)
    };
    // What is announced and denied does not run.
    let runs = announced.iter().all(|path| said(&policy, &place, reads(path)) != Verdict::Deny);
    let confinement = match confine(&place, &asked) {
        _ if !runs => return,
        Ok(confinement) => confinement,
        Err(ConfineError::HiddenWorkspace { .. } | ConfineError::Peers { .. } | ConfineError::AskedInHidden { .. }) => {
            return count(&NO_JAR);
        }
        Err(error) => panic!("{error}\n{text}"),
    };
    let judge = Judge::of(&place, &confinement).unwrap();
    // A rule that asks about every path is answered when the command is.
    let unlike = ["/opt/q", "/home/u/q.c", "/home/u/work/q.h"].map(FilePath::from);
    let asks_always = unlike.iter().all(|path| said(&policy, &place, reads(path)) == Verdict::Ask);
    for path in paths.iter().map(|path| FilePath::from(path.as_str())) {
        count(&COMPARED);
        if !is_shown(&confinement, &judge, &path) {
            count(&NOT_SHOWN);
            continue;
        }
        count(&SHOWN);
        let verdict = said(&policy, &place, reads(&path));
        let was_asked = announced.contains(&path) || asks_always;
        if verdict == Verdict::Allow || verdict == Verdict::Ask && was_asked {
            continue;
        }
        // Outside of our views only what is named outright is hidden by the plan; the engine looks for the rest.
        let served = confinement.roots.iter().any(|root| path.starts_with(&root.path));
        assert!(
            !served && judge.hides(&path).is_some() && judge.needs_a_look(),
            "{path} is {verdict:?}:\n{text}{confinement:#?}"
        );
        count(&BY_SEARCH);
    }
    for (host, port) in peers {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            count(&PEERS);
            let reached = match host.parse() {
                Ok(address) => confinement.network.allows_address(address, *port, protocol),
                Err(_) => confinement.network.allows_name(host, *port, protocol),
            };
            let peer = Endpoint { host: (*host).to_owned(), port: Some(*port), protocol: Some(protocol) };
            let verdict = said(&policy, &place, effect(Action::Connect, Target::Peer(peer)));
            // Who named a peer was asked.
            assert!(!reached || verdict < Verdict::Deny, "{host}:{port}/{protocol}:\n{text}{:#?}", confinement.network);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 210, failure_persistence: None, ..ProptestConfig::default() })]

    fn what_a_jar_shows_is_allowed_by_random_policies(
        profile in 0..SHIPPED.len(),
        text in rules(),
        allow in allowed(),
        paths in proptest::collection::vec(path(), 72),
        announced in proptest::collection::vec(path(), 0..3),
        peers in proptest::collection::vec((select(&HOSTS), select(&[22u16, 79, 80, 443, 1024, 8080])), 14),
    ) {
        compare(profile, &text, allow, &paths, &announced, &peers);
    }
}

/// Ten thousand pairs of a policy and a path, and some of a policy and a peer.
#[test]
fn where_a_jar_lets_through_the_policy_allows() {
    what_a_jar_shows_is_allowed_by_random_policies();
    let [compared, shown, hidden, searched, peers, none] =
        [&COMPARED, &SHOWN, &NOT_SHOWN, &BY_SEARCH, &PEERS, &NO_JAR].map(|count| count.load(Ordering::Relaxed));
    println!(
        "{compared} paths: {shown} shown, {hidden} not, {searched} left to a search; {peers} peers; {none} without a jar"
    );
    assert!(
        compared >= 10_000 && shown > 3_000 && hidden > 1_000 && peers > 3_000,
        "{compared} {shown} {hidden} {peers}"
    );
    assert!(searched * 20 < compared, "{searched} of {compared} are left to a search");
}
