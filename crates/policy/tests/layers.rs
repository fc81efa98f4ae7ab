//! Layers: what is refused, with which words, and what layers may and may not do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use belljar_policy::cases::place;
use belljar_policy::{LAYER_BYTES_MAX, Layer, Origin, Policy, PolicyError};
use model::{
    Action, Analysis, Certainty, Effect, Endpoint, FilePath, PathScope, Protocol, Reversibility, Target, Verdict,
};

fn layer(origin: Origin, text: &str) -> Layer<'_> {
    Layer { name: "my.cedar", origin, text }
}

fn refused(origin: Origin, text: &str) -> PolicyError {
    Policy::layered(&[layer(origin, text)]).expect_err("the layer is not valid")
}

fn decide(policy: &Policy, action: Action, target: Target) -> model::Decision {
    let effect = Effect {
        action,
        target,
        certainty: Certainty::Must,
        reversibility: Reversibility::ByOverlay,
        span: None,
        by: None,
    };
    let analysis = Analysis::of("", vec![effect]);
    let assessment = policy.assess(&analysis, &place(false));
    policy.decide(&analysis, &assessment, &place(false))
}

fn npm() -> Target {
    Target::Peer(Endpoint { host: "registry.npmjs.org".to_owned(), port: Some(443), protocol: None })
}

const NPM: &str = "@id(\"npm\")
permit (principal, action == Action::\"connect\", resource is Peer)
when { resource.host == \"registry.npmjs.org\" && resource has port && resource.port == 443 };";

#[test]
fn errors_say_where_and_what() {
    for (text, expected) in [
        ("permit (principal, action, resource)", "my.cedar:1:37"),
        ("@id(\"a\")\nforbid (principal, action == Action::\"wriet\", resource);", "my.cedar:2:30: rule `a`"),
        ("@id(\"a\")\nforbid (principal, action, resource)\nwhen { context.apporved };", "rule `a`"),
        (
            "@id(\"a\") forbid (principal, action == Action::\"read\", resource is Path) when { resource.rules.contains(Rule::\"secrets/asw\") };",
            "secrets/asw",
        ),
        (
            "@id(\"a\") forbid (principal, action == Action::\"run\", resource is Command) when { resource.checks.contains(Check::\"BJ999\") };",
            "BJ999",
        ),
        ("\n\nforbid (principal, action, resource);", "my.cedar:3: a rule without an @id"),
        (
            "@id(\"a\") forbid (principal, action, resource); @id(\"a\") forbid (principal, action, resource);",
            "two rules are called `a`",
        ),
        ("@id(\"a\") forbid (principal == ?principal, action, resource);", "is a template"),
    ] {
        let error = refused(Origin::User, text);
        assert!(error.to_string().contains(expected), "{error} should contain {expected}");
        assert!(!error.to_string().ends_with('.') && !error.hint().is_empty());
    }
}

#[test]
fn a_project_may_only_forbid() {
    let error = refused(Origin::Project, NPM);
    assert!(matches!(error, PolicyError::ProjectPermits { ref rule, .. } if rule == "npm"), "{error}");
}

#[test]
fn layers_are_bounded_and_told_apart() {
    let long = "/".repeat(LAYER_BYTES_MAX + 1);
    assert!(matches!(refused(Origin::User, &long), PolicyError::TooLarge { .. }));
    let twice = [layer(Origin::User, NPM), layer(Origin::Organisation, NPM)];
    assert!(matches!(Policy::layered(&twice), Err(PolicyError::SameName { .. })));
}

#[test]
fn a_permit_allows_and_names_itself() {
    let policy = Policy::layered(&[layer(Origin::User, NPM)]).unwrap();
    let decision = decide(&policy, Action::Connect, npm());
    assert_eq!(decision.verdict, Verdict::Allow);
    assert!(decision.because.iter().any(|because| because.rules == ["my.cedar:npm"]), "{decision:?}");
    let other = Target::Peer(Endpoint { host: "registry.npmjs.org".to_owned(), port: None, protocol: None });
    assert_eq!(decide(&policy, Action::Connect, other).verdict, Verdict::Ask);
}

#[test]
fn an_organisations_forbid_beats_the_users_permit() {
    let forbid = Layer {
        name: "org",
        origin: Origin::Organisation,
        text: "@id(\"no-net\") forbid (principal, action == Action::\"connect\", resource);",
    };
    let policy = Policy::layered(&[layer(Origin::User, NPM), forbid]).unwrap();
    let decision = decide(&policy, Action::Connect, npm());
    assert_eq!(decision.verdict, Verdict::Deny);
    assert_eq!(decision.because.first().unwrap().rules, ["org:no-net"]);
}

#[test]
fn a_rule_may_ask_by_what_a_peer_is_reached() {
    let text = "@id(\"no-datagrams\") forbid (principal, action == Action::\"connect\", resource is Peer)
        when { resource has protocol && resource.protocol == \"udp\" };";
    let project = Layer { name: "project", origin: Origin::Project, text };
    let policy = Policy::layered(&[layer(Origin::User, NPM), project]).unwrap();
    let verdict = |protocol| {
        let host = "registry.npmjs.org".to_owned();
        decide(&policy, Action::Connect, Target::Peer(Endpoint { host, port: Some(443), protocol })).verdict
    };
    assert_eq!(verdict(Some(Protocol::Udp)), Verdict::Deny);
    assert_eq!((verdict(Some(Protocol::Tcp)), verdict(None)), (Verdict::Allow, Verdict::Allow));
}

#[test]
fn a_forbid_that_yields_to_approval_asks() {
    let text =
        "@id(\"look\") forbid (principal, action == Action::\"read\", resource is Path) unless { context.approved };";
    let policy = Policy::layered(&[layer(Origin::Project, text)]).unwrap();
    let read = Target::Path { path: FilePath::from("/home/u/work/a"), scope: PathScope::Exact };
    assert_eq!(decide(&policy, Action::Read, read).verdict, Verdict::Ask);
}

#[test]
fn a_rule_that_fails_denies() {
    // Overflow is the one error strict validation cannot rule out.
    let text = "@id(\"sum\") forbid (principal, action == Action::\"read\", resource is Path)
        when { context.risk + 9223372036854775807 > 9223372036854775806 && context.risk + 1 + 9223372036854775807 > 0 };";
    let policy = Policy::layered(&[layer(Origin::User, text)]).unwrap();
    let read = Target::Path { path: FilePath::from("/home/u/work/a"), scope: PathScope::Exact };
    let decision = decide(&policy, Action::Read, read);
    assert_eq!(decision.verdict, Verdict::Deny);
    assert_eq!(decision.because.first().unwrap().rules, ["error/my.cedar:sum"]);
}

#[test]
fn without_any_rule_everything_is_denied() {
    let policy = Policy::without_builtin(&[]).unwrap();
    let read = Target::Path { path: FilePath::from("/home/u/work/a"), scope: PathScope::Exact };
    let decision = decide(&policy, Action::Read, read);
    assert_eq!(decision.verdict, Verdict::Deny);
    assert!(decision.because.iter().all(|because| because.rules.is_empty()));
}
