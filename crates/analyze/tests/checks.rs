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
