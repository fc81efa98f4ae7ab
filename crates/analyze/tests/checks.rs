//! Every check fires on what it says it catches and not on what it says it passes.
#![allow(clippy::unwrap_used, clippy::panic)]

use belljar_analyze::{CHECKS, ShellContext, analyze};
use model::FilePath;

fn shell() -> ShellContext {
    ShellContext { cwd: FilePath::from("/w/project"), ..ShellContext::default() }
}

fn fired(id: model::CheckId, text: &str) -> bool {
    analyze(text, &shell()).findings.iter().any(|finding| finding.check == id)
}

#[test]
fn every_caught_example_is_caught() {
    let missed: Vec<String> = CHECKS
        .iter()
        .flat_map(|check| {
            check
                .caught
                .iter()
                .filter(|text| !fired(check.id, text))
                .map(move |text| format!("{} misses {text:?}", check.id))
        })
        .collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn no_passed_example_is_caught() {
    let wrong: Vec<String> = CHECKS
        .iter()
        .flat_map(|check| {
            check
                .passed
                .iter()
                .filter(|text| fired(check.id, text))
                .map(move |text| format!("{} fires on {text:?}", check.id))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_registry_is_in_order_and_complete() {
    assert!(CHECKS.windows(2).all(|pair| pair[0].id < pair[1].id));
    for check in CHECKS {
        assert!(
            !check.caught.is_empty() && !check.passed.is_empty() && !check.help.is_empty() && !check.says.is_empty(),
            "{}",
            check.id
        );
        assert!(check.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", check.name);
        assert_eq!(belljar_analyze::Check::by_id(check.id).unwrap().name, check.name);
    }
}

#[test]
fn whom_curl_is_led_to_is_whom_it_reaches() {
    for (text, peers) in [
        ("curl --resolve a.example:443:10.0.0.7 https://a.example/", &["10.0.0.7", "a.example"][..]),
        (
            "curl --resolve '+a.example:443:10.0.0.7,[fd00::7]' https://a.example/",
            &["10.0.0.7", "fd00::7", "a.example"],
        ),
        ("curl --connect-to a.example:443:evil.example:8443 https://a.example/", &["evil.example", "a.example"]),
        ("curl --connect-to ::evil.example:8443 https://a.example/", &["evil.example", "a.example"]),
        ("curl --connect-to '[fd00::1]:443:evil.example:' https://[fd00::1]/", &["evil.example"]),
        ("curl --connect-to a.example:443:: https://a.example/", &["a.example"]),
        ("curl --resolve a.example:443:$X https://a.example/", &["a.example", ""]),
    ] {
        let effects = analyze(text, &shell()).effects;
        let found = |host: &str| {
            effects.iter().any(|effect| match &effect.target {
                model::Target::Peer(peer) => peer.host == host,
                model::Target::Unknown { .. } => host.is_empty() && effect.action == model::Action::Connect,
                _ => false,
            })
        };
        assert!(peers.iter().all(|peer| found(peer)), "{text}: {effects:#?}");
    }
}
