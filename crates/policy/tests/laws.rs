//! Laws of the policy room, over generated commands: the risk of a whole is the maximum of its parts, more never means
//! less danger, a jar never means more, a forbid never allows more, and approving never forbids.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use belljar_policy::cases::place;
use belljar_policy::{DEFAULT, Layer, Origin, Policy};
use model::{
    Action, Analysis, Certainty, Change, ChangeKind, ChangeSet, CheckId, Coverage, Differs, Effect, Endpoint, FileKind,
    FilePath, Finding, Meta, PathScope, Reversibility, Risk, Span, Target, Verdict,
};
use proptest::prelude::*;
use std::sync::LazyLock;

static BUILTIN: LazyLock<Policy> = LazyLock::new(|| Policy::builtin().unwrap());

/// The built-in policy with one layer of forbids each.
static TIGHTER: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let layer = |text| Policy::layered(&[Layer { name: "project", origin: Origin::Project, text }]).unwrap();
    FORBIDS.into_iter().map(layer).collect()
});

const FORBIDS: [&str; 4] = [
    "@id(\"f\") forbid (principal, action == Action::\"write\", resource is Path);",
    "@id(\"f\") forbid (principal, action, resource) unless { context.approved };",
    "@id(\"f\") forbid (principal, action in Action::\"effect\", resource is Path) when { resource.secret };",
    "@id(\"f\") forbid (principal, action == Action::\"apply\", resource is Change) when { resource.path like \"*/.*\" };",
];

/// Names that meet rows of every table, and names that meet none.
const PATHS: [&str; 22] = [
    "/",
    "/home/u",
    "/home/u/work",
    "/home/u/work/src/a.rs",
    "/home/u/work/.git/hooks/x",
    "/home/u/work/.git/index",
    "/home/u/work/node_modules/x/package.json",
    "/home/u/work/package.json",
    "/home/u/work/target/debug/app",
    "/home/u/.bashrc",
    "/home/u/.aws/credentials",
    "/home/u/.cache/x",
    "/home/u/notes",
    "/home/u/*",
    "/etc/passwd",
    "/etc/shadow",
    "/dev/null",
    "/dev/sda",
    "/tmp/x",
    "/data/x",
    "relative/x",
    "/home/u/.local/state/belljar/audit.jsonl",
];

fn target() -> impl Strategy<Value = Target> {
    let scope = prop_oneof![Just(PathScope::Exact), Just(PathScope::Tree), Just(PathScope::Glob)];
    let known = proptest::sample::select(PATHS.as_slice()).prop_map(FilePath::from);
    let wild = proptest::collection::vec(1u8.., 0..24).prop_map(FilePath::from);
    let path = prop_oneof![4 => known, 1 => wild];
    let host = prop_oneof![Just("localhost"), Just("example.org"), Just("10.0.0.1"), Just("unix:/x"), Just("[::1]")];
    prop_oneof![
        6 => (path, scope).prop_map(|(path, scope)| Target::Path { path, scope }),
        1 => (host, any::<Option<u16>>()).prop_map(|(host, port)| Target::Peer(Endpoint { host: host.to_owned(), port, protocol: None })),
        1 => ".{0,8}".prop_map(|name| Target::Program { name }),
        1 => ".{0,8}".prop_map(|what| Target::Thing { what }),
        1 => ".{0,8}".prop_map(|text| Target::Unknown { text }),
    ]
}

fn effect() -> impl Strategy<Value = Effect> {
    let reversibility =
        prop_oneof![Just(Reversibility::Harmless), Just(Reversibility::ByOverlay), Just(Reversibility::Never)];
    let certainty = prop_oneof![Just(Certainty::Must), Just(Certainty::May)];
    let span = proptest::option::of((0usize..20, 0usize..20).prop_map(|(a, b)| Span::new(a, b)));
    (proptest::sample::select(Action::ALL.as_slice()), target(), certainty, reversibility, span).prop_map(
        |(action, target, certainty, reversibility, span)| Effect {
            action,
            target,
            certainty,
            reversibility,
            span,
            by: None,
        },
    )
}

fn risk() -> impl Strategy<Value = Risk> {
    prop_oneof![Just(Risk::Low), Just(Risk::Medium), Just(Risk::High)]
}

fn finding() -> impl Strategy<Value = Finding> {
    (1u16..100, risk(), ".{0,12}").prop_map(|(check, severity, message)| Finding {
        check: CheckId(check),
        severity,
        span: Span::new(0, 3),
        message,
    })
}

fn analysis() -> impl Strategy<Value = Analysis> {
    let coverage = prop_oneof![
        3 => Just(Coverage::Full),
        1 => proptest::collection::vec((0usize..40, 0usize..40).prop_map(|(a, b)| Span::new(a, b)), 0..3)
            .prop_map(Coverage::Partial),
    ];
    let effects = proptest::collection::vec(effect(), 0..5);
    (effects, proptest::collection::vec(finding(), 0..3), coverage).prop_map(|(effects, findings, coverage)| Analysis {
        text: "some command text".to_owned(),
        effects,
        findings,
        coverage,
        canonical: vec![],
        certificates: vec![],
    })
}

fn change() -> impl Strategy<Value = Change> {
    let kind = prop_oneof![
        Just(ChangeKind::Added),
        Just(ChangeKind::Modified),
        Just(ChangeKind::Deleted),
        Just(ChangeKind::Replaced),
        Just(ChangeKind::Renamed { from: "/home/u/work/old".into() }),
    ];
    let file = prop_oneof![
        5 => Just(FileKind::File),
        1 => Just(FileKind::Directory),
        1 => Just(FileKind::Symlink),
        1 => Just(FileKind::CharDevice),
        1 => Just(FileKind::Socket),
    ];
    let path = proptest::sample::select(PATHS.as_slice());
    (kind, file, path, 0u32..0o10000, any::<bool>(), 0u64..100).prop_map(|(kind, file, path, mode, content, below)| {
        let link = (file == FileKind::Symlink).then(|| FilePath::from("../../etc/passwd"));
        let meta = Meta { kind: file, mode, uid: 1000, gid: 1000, size: 1, link };
        let before = (kind != ChangeKind::Added).then(|| Meta { mode: 0o644, ..meta.clone() });
        let after = (kind != ChangeKind::Deleted).then(|| meta.clone());
        Change { path: path.into(), kind, before, after, differs: Differs { content, ..Differs::default() }, below }
    })
}

fn verdict(policy: &Policy, analysis: &Analysis, contained: bool) -> Verdict {
    let place = place(contained);
    let assessment = policy.assess(analysis, &place);
    policy.decide(analysis, &assessment, &place).verdict
}

fn joined(a: &Analysis, b: &Analysis) -> Analysis {
    let mut out = a.clone();
    out.effects.extend(b.effects.iter().cloned());
    out.findings.extend(b.findings.iter().cloned());
    out.coverage = match (&a.coverage, &b.coverage) {
        (Coverage::Full, Coverage::Full) => Coverage::Full,
        (Coverage::Partial(a), Coverage::Partial(b)) => Coverage::Partial([a.as_slice(), b].concat()),
        (Coverage::Partial(open), _) | (_, Coverage::Partial(open)) => Coverage::Partial(open.clone()),
    };
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_risk_of_two_is_the_maximum_of_both(a in analysis(), b in analysis()) {
        let place = place(false);
        let (one, two) = (BUILTIN.assess(&a, &place).tiers, BUILTIN.assess(&b, &place).tiers);
        let both = BUILTIN.assess(&joined(&a, &b), &place).tiers;
        prop_assert_eq!(both.bare, one.bare.max(two.bare));
        prop_assert_eq!(both.contained, one.contained.max(two.contained));
    }

    #[test]
    fn joining_never_loosens_the_verdict(a in analysis(), b in analysis(), contained in any::<bool>()) {
        let both = verdict(&BUILTIN, &joined(&a, &b), contained);
        prop_assert_eq!(both, verdict(&BUILTIN, &a, contained).max(verdict(&BUILTIN, &b, contained)));
    }

    #[test]
    fn a_jar_is_never_worse(a in analysis()) {
        let tiers = BUILTIN.assess(&a, &place(true)).tiers;
        prop_assert!(tiers.contained <= tiers.bare);
        prop_assert!(verdict(&BUILTIN, &a, true) <= verdict(&BUILTIN, &a, false));
    }

    #[test]
    fn low_is_allowed_and_high_is_never_allowed_unasked(a in analysis()) {
        for contained in [true, false] {
            let assessment = BUILTIN.assess(&a, &place(contained));
            let tier = if contained { assessment.tiers.contained } else { assessment.tiers.bare };
            let verdict = BUILTIN.decide(&a, &assessment, &place(contained)).verdict;
            prop_assert_eq!(verdict == Verdict::Allow, tier == Risk::Low || (contained && tier == Risk::Medium));
        }
    }

    #[test]
    fn low_means_only_reads_full_coverage_and_no_findings(a in analysis()) {
        if BUILTIN.assess(&a, &place(false)).tiers.bare == Risk::Low {
            prop_assert_eq!(&a.coverage, &Coverage::Full);
            prop_assert!(a.findings.is_empty());
            // A connection that stays here and changes nothing, as the analyser knows of some commands.
            let asks = |e: &Effect| {
                let here = matches!(&e.target, Target::Peer(peer) if ["localhost", "[::1]"].contains(&peer.host.as_str()));
                e.action == Action::Connect && here && e.reversibility == Reversibility::Harmless
            };
            let harmless = |e: &Effect| e.action == Action::Read || e.target.to_string() == "/dev/null" || asks(e);
            prop_assert!(a.effects.iter().all(harmless), "{:?}", a.effects);
        }
    }

    #[test]
    fn a_tier_raised_from_outside_is_honoured(a in analysis()) {
        let mut assessment = BUILTIN.assess(&a, &place(true));
        assessment.tiers.contained = Risk::High;
        prop_assert!(BUILTIN.decide(&a, &assessment, &place(true)).verdict >= Verdict::Ask);
    }

    #[test]
    fn every_high_reason_is_explained_and_nothing_is_raw(a in analysis()) {
        let assessment = BUILTIN.assess(&a, &place(false));
        let told = assessment.explanation.join("\n");
        for reason in assessment.reasons.iter().filter(|reason| reason.tiers.bare == Risk::High) {
            prop_assert!(told.contains(&reason.text), "{} in {told}", reason.text);
        }
        let own = assessment.reasons.iter().filter(|reason| reason.check.is_none());
        for text in own.map(|reason| &reason.text) {
            prop_assert!(!text.chars().any(model::escape::is_deceptive), "{text:?}");
        }
    }

    #[test]
    fn a_layer_of_forbids_never_allows_more(a in analysis(), c in change(), rule in 0..FORBIDS.len(), contained in any::<bool>()) {
        let tight = &TIGHTER[rule];
        prop_assert!(verdict(tight, &a, contained) >= verdict(&BUILTIN, &a, contained));
        let set = ChangeSet { changes: vec![c] };
        let (before, after) =
            (BUILTIN.review(&set, &a, &place(true), &[]), tight.review(&set, &a, &place(true), &[]));
        prop_assert!(after.disposition >= before.disposition);
    }

    #[test]
    fn high_changes_are_never_kept_unasked(a in analysis(), c in change()) {
        let review = BUILTIN.review(&ChangeSet { changes: vec![c] }, &a, &place(true), &[]);
        if review.risks[0] == Risk::High {
            prop_assert!(review.disposition > model::Disposition::Keep, "{review:?}");
            prop_assert!(review.flags.iter().any(|flag| flag.risk == Risk::High), "a HIGH change says why");
        }
    }

    #[test]
    fn reviewing_together_is_reviewing_each(a in analysis(), some in proptest::collection::vec(change(), 0..6)) {
        let alone = |c: &Change| BUILTIN.review(&ChangeSet { changes: vec![c.clone()] }, &a, &place(true), &[]);
        let all = BUILTIN.review(&ChangeSet { changes: some.clone() }, &a, &place(true), &[]);
        for (index, change) in some.iter().enumerate() {
            // Together there may be a mass deletion, which one alone is not.
            prop_assert!(all.risks[index] >= alone(change).risks[0]);
            prop_assert!(all.disposition >= alone(change).disposition);
        }
    }
}

/// Asking twice answers monotonically because no shipped rule forbids on approval; said of the text, proved above.
#[test]
fn no_built_in_forbid_looks_at_approval() {
    let set: cedar_policy::PolicySet = DEFAULT.parse().unwrap();
    for policy in set.policies().filter(|policy| policy.effect() == cedar_policy::Effect::Forbid) {
        assert!(!policy.to_json().unwrap().to_string().contains("\"approved\""), "{}", policy.id());
    }
}
