//! Whatever a suggested policy newly allows was approved, and what was approved often enough is allowed.

use super::{Approved, History, Not, Often, Suggestions};
use crate::replay::request::{On, Part};
use crate::testing::{added, analysis, deleted, effect, modified, path, place};
use crate::{Layer, Origin, Policy, decide};
use model::{
    Action, Analysis, Certainty, Change, ChangeSet, Effect, Endpoint, FileKind, PathScope, Place, Reversibility,
    Target, Verdict,
};
use proptest::prelude::*;
use proptest::sample::select;

fn layered(text: &str) -> Policy {
    Policy::layered(&[Layer { name: "suggested", origin: Origin::User, text }])
        .unwrap_or_else(|e| panic!("{e}\n{text}"))
}

const ONCE: Often = Often { times: 1, days: 1 };

/// Few names near each other, so that what was approved and what was not lie close together.
const PATHS: [&str; 13] = [
    "/home/u/work/a",
    "/home/u/work/a/b",
    "/home/u/work/ab",
    "/home/u/work/a*",
    "/home/u/work/.git/hooks/x",
    "/home/u/work/.env",
    "/home/u/work/a/.ssh/id_rsa",
    "/home/u/.bashrc",
    "/tmp/x",
    "/data/x",
    "/etc/x",
    "/",
    "x",
];

fn effects() -> impl Strategy<Value = Effect> {
    let actions = vec![Action::Read, Action::Write, Action::Delete, Action::Execute, Action::Connect];
    let scope = select(vec![PathScope::Exact, PathScope::Tree, PathScope::Glob]);
    let peer = (select(vec!["localhost", "example.org", "crates.io"]), select(vec![None, Some(443), Some(80)]));
    let target = prop_oneof![
        5 => (select(PATHS.as_slice()), scope).prop_map(|(path, scope)| Target::Path { path: path.into(), scope }),
        2 => peer.prop_map(|(host, port)| Target::Peer(Endpoint { host: host.to_owned(), port, protocol: None })),
        2 => select(vec!["make", "make \"x\"", "mak*"]).prop_map(|name| Target::Program { name: name.to_owned() }),
        1 => Just(Target::Thing { what: "a remote".to_owned() }),
        1 => Just(Target::Unknown { text: "$X".to_owned() }),
    ];
    let reversibility = select(vec![Reversibility::Harmless, Reversibility::ByOverlay, Reversibility::Never]);
    let by = select(vec![None, Some("cargo add".to_owned())]);
    (select(actions), target, reversibility, any::<bool>(), by).prop_map(|(action, target, back, must, by)| {
        let certainty = if must { Certainty::Must } else { Certainty::May };
        Effect { certainty, by, ..effect(action, target, back) }
    })
}

fn commands() -> impl Strategy<Value = (Analysis, Place)> {
    (proptest::collection::vec(effects(), 1..3), any::<bool>(), 1000u32..1002)
        .prop_map(|(effects, contained, uid)| (analysis(effects), Place { uid, ..place(contained) }))
}

/// Commands that differ in one respect from what each effect of a command is.
fn variants((given, place): &(Analysis, Place)) -> Vec<(Analysis, Place)> {
    let mut out = Vec::new();
    for one in &given.effects {
        let mut also = |effect: Effect, place: Place| out.push((analysis(vec![effect]), place));
        also(one.clone(), Place { contained: !place.contained, ..place.clone() });
        also(one.clone(), Place { uid: place.uid + 1, ..place.clone() });
        for reversibility in [Reversibility::Harmless, Reversibility::ByOverlay, Reversibility::Never] {
            also(Effect { reversibility, ..one.clone() }, place.clone());
        }
        for action in [Action::Read, Action::Write, Action::Delete, Action::Execute, Action::Connect] {
            also(Effect { action, ..one.clone() }, place.clone());
        }
        for certainty in [Certainty::Must, Certainty::May] {
            also(Effect { certainty, ..one.clone() }, place.clone());
        }
        match &one.target {
            Target::Path { path, scope } => {
                for other in [PathScope::Exact, PathScope::Tree, PathScope::Glob] {
                    let target = Target::Path { path: path.clone(), scope: other };
                    also(Effect { target, ..one.clone() }, place.clone());
                }
                for other in PATHS {
                    let target = Target::Path { path: other.into(), scope: *scope };
                    also(Effect { target, ..one.clone() }, place.clone());
                }
            }
            Target::Peer(peer) => {
                for port in [None, Some(443), Some(80)] {
                    let target = Target::Peer(Endpoint { port, ..peer.clone() });
                    also(Effect { target, ..one.clone() }, place.clone());
                }
            }
            _ => {}
        }
    }
    out
}

fn parts((analysis, place): &(Analysis, Place), policy: &Policy) -> Vec<(Part<'static>, Verdict)> {
    let assessment = policy.assess(analysis, place);
    let parts = decide::parts(analysis, &assessment, place);
    parts.map(|ask| (ask.part.clone(), ask.answer(policy.engine(), place).verdict)).collect()
}

/// Whether a part is one that was approved, or is below a directory that was, and no more dangerous.
fn was_approved(part: &Part<'_>, place: &Place, approved: &[(Part<'static>, u32, bool)]) -> bool {
    approved.iter().any(|(other, uid, contained)| {
        let on = match (&part.on, &other.on) {
            (On::Path(own), On::Path(whole)) if whole.scope == PathScope::Tree => {
                let below = own.path.0.strip_prefix(whole.path.0.as_ref());
                below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                    && own.scope != PathScope::Glob
                    && !own.secret
                    && !own.protected
            }
            (own, other) => own == other,
        };
        let same = (part.action, part.uncertain, part.lasting) == (other.action, other.uncertain, other.lasting);
        on && same && part.risk <= other.risk && (*uid, *contained) == (place.uid, place.contained)
    })
}

proptest! {
    // Loading a policy reads the schema, which is slow here.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_newly_allowed_was_approved(
        history in proptest::collection::vec(commands(), 1..6),
        others in proptest::collection::vec(commands(), 10),
    ) {
        let before = Policy::builtin().unwrap();
        let mut approved = Vec::new();
        let mut told = History::default();
        for (at, command) in history.iter().enumerate() {
            let (analysis, place) = command;
            let id = format!("t{at}");
            told.command(&before, (&id, 0), analysis, &before.assess(analysis, place), place);
            approved.extend(parts(command, &before).into_iter().map(|(part, _)| (part, place.uid, place.contained)));
        }
        let Suggestions { text, rules, .. } = told.suggest(ONCE);
        let after = layered(&text);
        let neighbours: Vec<(Analysis, Place)> = history.iter().flat_map(variants).collect();
        for command in history.iter().chain(&neighbours).chain(&others) {
            for ((part, was), (_, is)) in parts(command, &before).into_iter().zip(parts(command, &after)) {
                prop_assert!(is <= was);
                if is < was {
                    prop_assert!(part.risk < 2, "{part:?}\n{text}");
                    prop_assert!(was_approved(&part, &command.1, &approved), "{part:?}\n{text}");
                }
            }
        }
        // And none of it is idle: what each rule is for was asked about and is allowed now.
        prop_assert_eq!(told.approved.len(), rules.len());
        for what in told.approved.keys() {
            let Approved::Effect { uid, contained, part } = what else { continue };
            let engine = after.engine();
            prop_assert_eq!(engine.ask(part.asked(engine.words(), *uid, *contained)).verdict, Verdict::Allow, "{}", text);
        }
    }
}

fn changes() -> Vec<Change> {
    let mut executable = added("/home/u/work/run", 0o755);
    executable.differs.mode = true;
    vec![
        modified("/home/u/work/a"),
        modified("/home/u/work/b"),
        added("/home/u/work/c", 0o644),
        deleted("/home/u/work/d", FileKind::File, 0),
        deleted("/home/u/work/e", FileKind::Directory, 7),
        executable,
        modified("/home/u/.bashrc"),
        modified("/home/u/work/.github/workflows/ci.yml"),
    ]
}

/// What the rules say of each change alone.
fn verdicts(policy: &Policy, changes: &[Change], place: &Place) -> Vec<Verdict> {
    let set = ChangeSet { changes: changes.to_vec() };
    let seen = crate::review::shown(policy.engine(), &set, &run(), place);
    seen.into_iter().map(|seen| seen.answer.verdict).collect()
}

fn run() -> Analysis {
    analysis(vec![effect(Action::Execute, Target::Program { name: "make".to_owned() }, Reversibility::Harmless)])
}

/// The changes at `chosen` were applied by a person in so many trials, one a day.
fn applied(policy: &Policy, chosen: &[usize], trials: u64) -> History {
    let mut history = History::default();
    let set = ChangeSet { changes: changes() };
    let wanted: Vec<_> = chosen.iter().map(|at| set.changes[*at].path.clone()).collect();
    for trial in 0..trials {
        let (id, review) = (format!("t{trial}"), policy.review(&set, &run(), &place(true), &[]));
        let at = (id.as_str(), trial * super::DAY_MS);
        history.changes(policy, at, (&set, &review), (&run(), &place(true)), |change| wanted.contains(&change.path));
    }
    history
}

#[test]
fn changes_are_allowed_as_they_were_applied_and_no_others() {
    let builtin = Policy::builtin().unwrap();
    let all: Vec<usize> = (0..changes().len()).collect();
    let often = Often { times: 3, days: 2 };
    for chosen in [vec![0], vec![0, 2, 3], all] {
        let history = applied(&builtin, &chosen, 3);
        let suggested = history.suggest(often);
        let after = layered(&suggested.text);
        let told: Vec<usize> = chosen.iter().copied().filter(|at| *at < 4).collect();
        assert_eq!(suggested.rules.len(), told.len(), "{}", suggested.text);
        for (at, (was, is)) in verdicts(&builtin, &changes(), &place(true))
            .into_iter()
            .zip(verdicts(&after, &changes(), &place(true)))
            .enumerate()
        {
            let expected = if told.contains(&at) { Verdict::Allow } else { was };
            assert_eq!(is, expected, "{at}: {}", suggested.text);
        }
        // Nobody else's, not in another way, and not where it has become dangerous.
        let other = Place { uid: 1001, ..place(true) };
        assert_eq!(verdicts(&after, &changes(), &other), verdicts(&builtin, &changes(), &other));
        let mut otherwise = changes();
        otherwise[0] = deleted("/home/u/work/a", FileKind::File, 0);
        otherwise[2] = added("/home/u/work/c", 0o755);
        let (was, is) = (verdicts(&builtin, &otherwise, &place(true)), verdicts(&after, &otherwise, &place(true)));
        assert_eq!((is[0], is[2]), (was[0], was[2]), "{}", suggested.text);
    }
}

#[test]
fn too_few_times_too_few_days_and_what_was_undone_do_not_count() {
    let builtin = Policy::builtin().unwrap();
    let mut history = applied(&builtin, &[0], 3);
    let rules = |history: &History, times, days| history.suggest(Often { times, days }).rules.len();
    assert_eq!((rules(&history, 3, 3), rules(&history, 4, 1), rules(&history, 1, 4)), (1, 0, 0));
    assert_eq!(history.suggest(Often { times: 4, days: 1 }).not, [(Not::Seldom, 1)]);
    history.taken_back("t1");
    assert_eq!((rules(&history, 3, 1), rules(&history, 2, 2)), (0, 1));
    let one = history.suggest(Often { times: 2, days: 2 }).rules.remove(0);
    assert_eq!((one.times, one.days, one.first_ms, one.last_ms), (2, 2, 0, 2 * super::DAY_MS));
}

#[test]
fn what_a_rule_keeps_for_a_person_is_not_suggested() {
    let held = "@id(\"mine\") forbid (principal, action, resource) when { resource has path && resource.path like \"*/a\" } \
        unless { context.approved };";
    let policy = layered(&format!("{held}\n"));
    let suggested = applied(&policy, &[0, 1], 3).suggest(ONCE);
    assert_eq!(suggested.rules.len(), 1);
    assert!(suggested.not.contains(&(Not::Held, 1)), "{:?}", suggested.not);
    let write = path(Action::Write, "/home/u/work/a", PathScope::Exact);
    let (command, here) = (analysis(vec![write]), place(false));
    let mut history = History::default();
    history.command(&policy, ("t", 0), &command, &policy.assess(&command, &here), &here);
    assert_eq!(history.suggest(ONCE).rules.len(), 0);
}
