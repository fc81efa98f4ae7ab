//! Grants: which of the parts a person was asked about may be approved beyond this once, and when such an approval covers
//! another command.
//!
//! A grant is for an effect that can be named exactly. What cannot be (a pattern, a program that is only known when it
//! runs, "something on another machine"), what deceives its reader, what other programs run or trust, and secrets are
//! asked about every time. Pure: paths are compared as they are written; who uses a grant makes sure that no link leads
//! elsewhere.

use crate::decide::parts;
use crate::engine::Engine;
use crate::facts::{Ground, Location};
use crate::risk::{self, EffectFacts};
use model::{
    Action, Analysis, Assessment, Certainty, CheckId, Effect, Endpoint, FilePath, Finding, Granted, PathScope, Place,
    Reversibility, Risk, Target, Verdict,
};
use std::fmt;

/// Why something can be approved this once only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Once {
    /// It is about the command's text and not about an effect.
    Text,
    /// The text is not what it seems to be, or nothing is known about what it does.
    High,
    /// A check fired on the text: what is named may mean something else there, or be part of something worse.
    Check,
    /// It would run on the bare machine.
    Bare,
    /// What it is done to is not known exactly.
    Vague,
    /// Other programs run it or trust it.
    Protected,
    /// It holds secrets, or Belljar's own records.
    Secret,
    /// It is all of the home, of the system or of the project.
    Everything,
    /// A symbolic link leads it elsewhere.
    Link,
    /// The review shows it in red.
    Red,
    /// A rule keeps it for a person.
    Held,
    /// There is more to it than its place: what it holds, its mode, its owner.
    More,
    /// It is no plain file or directory, or not one alone.
    Shape,
}

impl fmt::Display for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Once::Text => "it is about the text, not about an effect",
            Once::High => "the text deceives, or nothing is known about it",
            Once::Check => "a check fired on the command",
            Once::Bare => "it would run on the bare machine",
            Once::Vague => "what exactly it touches is not known",
            Once::Protected => "other programs run or trust that file",
            Once::Secret => "it holds secrets",
            Once::Everything => "that is everything there",
            Once::Link => "a symbolic link leads it elsewhere",
            Once::Red => "it is red at the review",
            Once::Held => "a rule keeps it for a person",
            Once::More => "there is more to it than its place: what it holds, its mode or its owner",
            Once::Shape => "it is more than one plain file or directory, or can be run as a program",
        })
    }
}

/// A part of a command that the rules want a person for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it is about, in plain words, escaped.
    pub about: String,
    /// The rules.
    pub rules: Vec<String>,
    /// What a grant would be for, or why there can be none.
    pub grant: Result<Granted, Once>,
}

/// Every part whose answer is ask.
pub(crate) fn asked(engine: &Engine, analysis: &Analysis, assessment: &Assessment, place: &Place) -> Vec<Asked> {
    let grant = |effect: Option<&Effect>| match effect {
        None => Err(Once::Text),
        Some(_) if risk::tier(assessment.tiers, place) == Risk::High => Err(Once::High),
        Some(_) if analysis.findings.iter().any(changes_the_meaning) => Err(Once::Check),
        Some(effect) => grantable(effect, place),
    };
    let asked = parts(analysis, assessment, place).map(|ask| (ask.answer(engine, place), ask));
    let asked = asked.filter(|(answer, _)| answer.verdict == Verdict::Ask);
    asked.map(|(answer, ask)| Asked { about: ask.about, rules: answer.rules, grant: grant(ask.effect) }).collect()
}

/// Whether a finding says that the effects alone do not tell what happens: `execute make` is another thing where `PATH` is
/// set before it, and `connect to a.example:443` where a file goes with it.
pub(crate) fn changes_the_meaning(finding: &Finding) -> bool {
    const ENVIRONMENT: CheckId = CheckId(12);
    finding.severity == Risk::High || finding.check == ENVIRONMENT
}

/// What a grant for this effect would be for.
///
/// # Errors
/// Why it can be approved once only.
pub fn grantable(effect: &Effect, place: &Place) -> Result<Granted, Once> {
    let ground = Ground::new(place);
    let facts = EffectFacts::new(effect, &ground);
    let (tiers, _) = risk::effect_tiers(&facts);
    if !place.contained {
        return Err(Once::Bare);
    }
    if tiers.contained == Risk::High {
        return Err(Once::High);
    }
    let target = exact(effect)?;
    if facts.path.as_ref().is_some_and(|path| path.secret.is_some() || path.state) {
        return Err(Once::Secret);
    }
    if facts.protected().is_some() {
        return Err(Once::Protected);
    }
    if let Some(path) = &facts.path {
        let whole = facts.scope().is_some_and(|scope| scope != PathScope::Exact);
        if whole && (path.top || path.whole_workspace) {
            return Err(Once::Everything);
        }
        if matches!(path.location, Location::Device | Location::Unknown) {
            return Err(Once::Vague);
        }
    }
    Ok(Granted { action: effect.action, target, reversibility: effect.reversibility, tiers })
}

/// What a person grants by writing it down: one effect, or the same below a whole directory. Each use is judged for
/// itself, so a directory may hold protected names: they are asked about all the same.
///
/// # Errors
/// Why it can be approved once only.
pub fn grant_of(action: Action, target: Target, place: &Place) -> Result<Granted, Once> {
    let reversibility = match action {
        Action::Read | Action::Execute => Reversibility::Harmless,
        Action::Write | Action::Create | Action::Delete | Action::Rename | Action::Attributes => {
            Reversibility::ByOverlay
        }
        Action::Connect | Action::Listen | Action::Signal | Action::Privilege => Reversibility::Never,
    };
    let below = matches!(&target, Target::Path { scope: PathScope::Tree, .. });
    let effect = Effect { action, target, certainty: Certainty::May, reversibility, span: None, by: None };
    match (&effect.target, below) {
        // What may be in the directory counts where it is touched; the directory itself is judged as a name.
        (Target::Path { path, .. }, true) => {
            let target = Target::Path { path: path.clone(), scope: PathScope::Exact };
            let top = Ground::new(place).path(path, PathScope::Tree).top;
            let named = grantable(&Effect { target, ..effect.clone() }, place)?;
            if top { Err(Once::Everything) } else { Ok(Granted { target: exact(&effect)?, ..named }) }
        }
        _ => grantable(&effect, place),
    }
}

/// The target, if it can be named exactly: written in the one way that is compared.
fn exact(effect: &Effect) -> Result<Target, Once> {
    match &effect.target {
        Target::Path { scope: PathScope::Glob, .. } => Err(Once::Vague),
        Target::Path { path, .. } if !is_exact(path) => Err(Once::Vague),
        Target::Path { .. } => Ok(effect.target.clone()),
        Target::Peer(peer) => peer_of(peer).map(Target::Peer),
        // One that is named by its path is a file like any other.
        Target::Program { name } if effect.action == Action::Execute && is_exact(&name.as_str().into()) => {
            Ok(Target::Path { path: name.as_str().into(), scope: PathScope::Exact })
        }
        Target::Program { name } if effect.action == Action::Execute && is_looked_up(name) => Ok(effect.target.clone()),
        Target::Program { .. } | Target::Thing { .. } | Target::Unknown { .. } => Err(Once::Vague),
    }
}

fn is_exact(path: &FilePath) -> bool {
    path.is_absolute() && path.normalise() == *path
}

/// Whether a program is looked up on the search path by this name; others depend on the working directory.
fn is_looked_up(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c == '/' || c.is_whitespace())
}

/// A peer with its port. A unix socket is whatever listens there, a pattern is many peers.
fn peer_of(peer: &Endpoint) -> Result<Endpoint, Once> {
    let host = peer.host.trim_end_matches('.').to_ascii_lowercase();
    let plain = !host.is_empty() && !host.starts_with("unix:") && !host.contains(['*', '?', '/', '$', ' ']);
    match peer.port {
        Some(_) if plain => Ok(Endpoint { host, ..peer.clone() }),
        _ => Err(Once::Vague),
    }
}

/// Whether an approval of `granted` is one of `wanted`: the same action, within the same target, and neither riskier nor
/// harder to take back.
#[must_use]
pub fn covers(granted: &Granted, wanted: &Granted) -> bool {
    granted.action == wanted.action
        && wanted.reversibility <= granted.reversibility
        && wanted.tiers.contained <= granted.tiers.contained
        && wanted.tiers.bare <= granted.tiers.bare
        && within(&granted.target, &wanted.target)
}

fn within(granted: &Target, wanted: &Target) -> bool {
    match (granted, wanted) {
        (Target::Path { path, scope: PathScope::Tree }, Target::Path { path: below, scope }) => {
            *scope != PathScope::Glob && is_exact(path) && is_exact(below) && below.starts_with(path)
        }
        (Target::Path { path, .. }, Target::Path { .. }) => granted == wanted && is_exact(path),
        (Target::Peer(one), Target::Peer(other)) => one == other,
        (Target::Program { name }, Target::Program { name: other }) => name == other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Once, covers, grant_of, grantable};
    use crate::layer::{Layer, Origin};
    use crate::policy::Policy;
    use crate::testing::{analysis, effect, path, place};
    use model::{
        Action, Analysis, CheckId, Coverage, Effect, Endpoint, FilePath, Finding, Granted, PathScope, Reversibility,
        Risk, Span, Target,
    };
    use proptest::prelude::*;

    fn peer(host: &str, port: Option<u16>) -> Effect {
        let target = Target::Peer(Endpoint { host: host.to_owned(), port, protocol: None });
        effect(Action::Connect, target, Reversibility::Never)
    }

    fn program(name: &str) -> Effect {
        effect(Action::Execute, Target::Program { name: name.to_owned() }, Reversibility::Harmless)
    }

    fn exact(action: Action, at: &str) -> Effect {
        path(action, at, PathScope::Exact)
    }

    #[test]
    fn what_cannot_be_named_exactly_or_deceives_is_asked_every_time() {
        let thing = effect(Action::Signal, Target::Thing { what: "a process".into() }, Reversibility::ByHand);
        let unknown = effect(Action::Write, Target::Unknown { text: "$x".into() }, Reversibility::ByOverlay);
        for (effect, why) in [
            (exact(Action::Write, "/home/u/work/.git/hooks/pre-commit"), Once::Protected),
            (exact(Action::Write, "/home/u/work/.GIT/hooks/x"), Once::Protected),
            (exact(Action::Write, "/home/u/.bashrc"), Once::Protected),
            (path(Action::Delete, "/home/u/work/.git", PathScope::Tree), Once::Protected),
            (exact(Action::Read, "/home/u/.ssh/id_rsa"), Once::Secret),
            (exact(Action::Write, "/home/u/work/.env"), Once::Secret),
            (exact(Action::Read, "/home/u/.local/state/belljar/grants.json"), Once::Secret),
            (path(Action::Read, "/home/u/work", PathScope::Tree), Once::Everything),
            (path(Action::Write, "/home/u/work/target/*", PathScope::Glob), Once::Vague),
            (exact(Action::Write, "/home/u/work/target/../.bashrc"), Once::Vague),
            (exact(Action::Write, "relative"), Once::Vague),
            (exact(Action::Write, "/dev/sda"), Once::Vague),
            (peer("example.org", None), Once::Vague),
            (peer("*.example.org", Some(443)), Once::Vague),
            (peer("unix:/run/docker.sock", Some(1)), Once::Vague),
            (program("./run.sh"), Once::Vague),
            (program(""), Once::Vague),
            (program("make all"), Once::Vague),
            (program("/home/u/work/../run"), Once::Vague),
            (thing, Once::Vague),
            (unknown, Once::Vague),
        ] {
            assert_eq!(grantable(&effect, &place(true)), Err(why), "{effect:?}");
        }
        let plain = exact(Action::Write, "/home/u/work/src/a.rs");
        assert_eq!(grantable(&plain, &place(false)), Err(Once::Bare));
        for effect in [plain, peer("Example.ORG.", Some(443)), program("make"), program("/opt/x/bin/run")] {
            let granted = grantable(&effect, &place(true)).unwrap();
            assert!(covers(&granted, &granted), "{granted:?}");
        }
        assert_eq!(
            grantable(&peer("Example.ORG.", Some(443)), &place(true)).unwrap().to_string(),
            "connect to example.org:443"
        );
    }

    #[test]
    fn a_directory_can_be_granted_and_what_is_protected_in_it_cannot() {
        let tree = |at: &str| Target::Path { path: at.into(), scope: PathScope::Tree };
        let granted = grant_of(Action::Write, tree("/home/u/work/src"), &place(true)).unwrap();
        for (at, is) in [
            ("/home/u/work/src", true),
            ("/home/u/work/src/deep/er/a.rs", true),
            ("/home/u/work/srcs/a.rs", false),
            ("/home/u/work/SRC/a.rs", false),
            ("/home/u/work/a.rs", false),
            ("/data/x", false),
        ] {
            let wanted = grantable(&exact(Action::Write, at), &place(true)).unwrap();
            assert_eq!(covers(&granted, &wanted), is, "{at}");
            let other = grantable(&exact(Action::Delete, at), &place(true)).unwrap();
            assert!(!covers(&granted, &other), "another action: {at}");
        }
        assert_eq!(grantable(&exact(Action::Write, "/home/u/work/src/.env"), &place(true)), Err(Once::Secret));
        let scripts = grant_of(Action::Execute, tree("/home/u/work/scripts"), &place(true)).unwrap();
        for (name, is) in [("/home/u/work/scripts/run.sh", true), ("/home/u/work/run.sh", false), ("run.sh", false)] {
            assert_eq!(covers(&scripts, &grantable(&program(name), &place(true)).unwrap()), is, "{name}");
        }
        for (at, why) in [
            ("/", Once::Everything),
            ("/home/u", Once::Everything),
            ("/usr", Once::Everything),
            ("/home/u/.ssh", Once::Secret),
            ("/home/u/work/.git/hooks", Once::Protected),
            ("/home/u/work/a/..", Once::Vague),
        ] {
            assert_eq!(grant_of(Action::Write, tree(at), &place(true)), Err(why), "{at}");
        }
    }

    #[test]
    fn peers_are_compared_with_port_and_protocol() {
        let one = grantable(&peer("example.org", Some(443)), &place(true)).unwrap();
        for (host, port) in
            [("example.org", 80), ("www.example.org", 443), ("example.org.evil.net", 443), ("example.com", 443)]
        {
            assert!(!covers(&one, &grantable(&peer(host, Some(port)), &place(true)).unwrap()), "{host}:{port}");
        }
        let mut udp = one.clone();
        if let Target::Peer(peer) = &mut udp.target {
            peer.protocol = Some(model::Protocol::Udp);
        }
        assert!(!covers(&one, &udp) && !covers(&udp, &one));
    }

    #[test]
    fn only_effects_of_a_text_without_alarming_findings_are_offered() {
        let rules = "@id(\"c\") forbid (principal, action == Action::\"connect\", resource) when { !context.approved };
            @id(\"u\") forbid (principal, action == Action::\"run\", resource) when { !resource.understood && !context.approved };
            @id(\"d\") forbid (principal, action == Action::\"listen\", resource);";
        let policy = Policy::layered(&[Layer { name: "l", origin: Origin::User, text: rules }]).unwrap();
        let asked = |analysis: &Analysis| -> Vec<(Vec<String>, Result<(), Once>)> {
            let place = place(true);
            let assessment = policy.assess(analysis, &place);
            let asked = policy.asked(analysis, &assessment, &place).into_iter();
            asked.map(|asked| (asked.rules, asked.grant.map(|_| ()))).collect()
        };
        let listen = Effect { action: Action::Listen, ..peer("0.0.0.0", Some(1)) };
        let mut given = analysis(vec![peer("a.org", Some(443)), exact(Action::Write, "/home/u/work/a"), listen]);
        let connect = |grant| (vec!["l:c".to_owned()], grant);
        assert_eq!(asked(&given), [connect(Ok(()))], "what is allowed or denied is not asked about");
        for (check, severity, grant) in [
            (8, Risk::Medium, Ok(())),
            (12, Risk::Medium, Err(Once::Check)),
            (7, Risk::High, Err(Once::Check)),
            (17, Risk::High, Err(Once::Check)),
        ] {
            let message = "it says".to_owned();
            given.findings = vec![Finding { check: CheckId(check), severity, span: Span::new(0, 1), message }];
            assert_eq!(asked(&given), [connect(grant)], "BJ{check:03}");
        }
        given.findings[0].check = CheckId(4);
        assert_eq!(asked(&given)[0], connect(Err(Once::High)));
        assert_eq!(asked(&given)[1].1, Err(Once::Text));
        given.findings.clear();
        given.coverage = Coverage::Partial(vec![Span::new(0, 3)]);
        assert_eq!(asked(&given), [connect(Ok(())), (vec!["l:u".to_owned()], Err(Once::Text))]);
    }

    const NAMES: [&str; 9] = ["a", "b", "A", "..", ".", "src", "srcs", ".git", "*"];

    fn any_path() -> impl Strategy<Value = FilePath> {
        let names = proptest::collection::vec(proptest::sample::select(NAMES.as_slice()), 0..5);
        (prop_oneof![Just("/home/u/work/"), Just("/"), Just("/tmp/"), Just("")], names)
            .prop_map(|(base, names)| FilePath::from(format!("{base}{}", names.join("/")).as_str()))
    }

    fn any_effect() -> impl Strategy<Value = Effect> {
        let scope = prop_oneof![Just(PathScope::Exact), Just(PathScope::Tree), Just(PathScope::Glob)];
        let target = prop_oneof![
            6 => (any_path(), scope).prop_map(|(path, scope)| Target::Path { path, scope }),
            1 => (proptest::sample::select(["a.org", "b.org", "*.org"].as_slice()), proptest::option::of(1_u16..3))
                .prop_map(|(host, port)| Target::Peer(Endpoint { host: host.to_owned(), port, protocol: None })),
            1 => proptest::sample::select(["make", "./make", "/bin/make", ""].as_slice())
                .prop_map(|name| Target::Program { name: name.to_owned() }),
        ];
        let action = proptest::sample::select(
            [Action::Write, Action::Delete, Action::Read, Action::Execute, Action::Connect].as_slice(),
        );
        let back = proptest::sample::select(
            [Reversibility::Harmless, Reversibility::ByOverlay, Reversibility::Never].as_slice(),
        );
        (action, target, back).prop_map(|(action, target, back)| effect(action, target, back))
    }

    /// Whether every name `wanted` may touch is one that `granted` names: by components, counted here a second time.
    fn named_by(granted: &Granted, wanted: &Effect) -> bool {
        let parts = |path: &FilePath| path.as_bytes().split(|b| *b == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
        match (&granted.target, &wanted.target) {
            (Target::Path { path: top, scope: PathScope::Tree }, Target::Path { path, scope }) => {
                let (top, path) = (parts(top), parts(path));
                *scope != PathScope::Glob && path.starts_with(&top) && !path.iter().any(|part| part == b"..")
            }
            (Target::Path { path, scope }, Target::Program { name }) => {
                let (path, name) = (parts(path), parts(&name.as_str().into()));
                if *scope == PathScope::Tree { name.starts_with(&path) } else { name == path }
            }
            (one, other) => one == other,
        }
    }

    proptest! {
        #[test]
        fn a_grant_is_never_wider_than_what_was_shown(shown in any_effect(), wanted in any_effect()) {
            let place = place(true);
            let (Ok(granted), Ok(asked)) = (grantable(&shown, &place), grantable(&wanted, &place)) else { return Ok(()) };
            prop_assert!(covers(&granted, &granted));
            if covers(&granted, &asked) {
                prop_assert!(named_by(&granted, &wanted), "{granted:?} covers {wanted:?}");
                prop_assert_eq!(shown.action, wanted.action);
                prop_assert!(wanted.reversibility <= shown.reversibility);
            }
        }

        #[test]
        fn a_granted_directory_is_never_wider_either(top in any_path(), wanted in any_effect()) {
            let place = place(true);
            let target = Target::Path { path: top, scope: PathScope::Tree };
            let (Ok(granted), Ok(asked)) = (grant_of(Action::Write, target, &place), grantable(&wanted, &place)) else {
                return Ok(());
            };
            prop_assert!(!covers(&granted, &asked) || named_by(&granted, &wanted), "{granted:?} covers {wanted:?}");
        }

        #[test]
        fn covering_carries_over(one in any_effect(), two in any_effect(), three in any_effect()) {
            let of = |effect| grantable(effect, &place(true));
            let (Ok(one), Ok(two), Ok(three)) = (of(&one), of(&two), of(&three)) else { return Ok(()) };
            prop_assert!(!(covers(&one, &two) && covers(&two, &three)) || covers(&one, &three));
        }
    }
}
