//! Arrows point down only: which crate may know which.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The table of ARCHITECTURE.md: a package and the packages of ours it may use.
const MAY_USE: [(&str, &[&str]); 8] = [
    ("belljar-model", &[]),
    ("belljar-analyze", &["belljar-model"]),
    ("belljar-policy", &["belljar-model"]),
    ("belljar-sandbox", &["belljar-model"]),
    ("belljar-overlay", &["belljar-model"]),
    ("belljar-engine", &["belljar-model", "belljar-analyze", "belljar-policy", "belljar-sandbox", "belljar-overlay"]),
    // The front door hands typed requests to the engine. It shows the words of `analyze` (the checks) and `overlay`
    // (a preview); of `sandbox` it calls what must stand in `main`: the stage's entry and dying of a signal.
    ("belljar", &["belljar-model", "belljar-engine", "belljar-analyze", "belljar-sandbox", "belljar-overlay"]),
    ("belljar-testkit", &[]),
];
/// What tests and benches may use besides: the world they drive the program in, and a floor they measure.
const TESTS_MAY_USE: [&str; 2] = ["belljar-testkit", "belljar-policy"];

/// Dependencies that point sideways or up, and packages that are not in the table.
fn wrong_arrows(metadata: &Value) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let Some(allowed) = table.get(name) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            let for_tests = dependency["kind"] == "dev" && TESTS_MAY_USE.contains(&on);
            if ours.contains(on) && !allowed.contains(&on) && !for_tests {
                wrong.push(format!("{name} -> {on}"));
            }
        }
    }
    wrong
}

pub fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let asked = std::process::Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--no-deps"])
        .current_dir(super::checkout())
        .output()
        .unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    serde_json::from_slice(&asked.stdout).unwrap()
}

#[test]
fn dependencies_point_down_only() {
    assert_eq!(wrong_arrows(&metadata()), Vec::<String>::new());
}

#[test]
fn a_seeded_arrow_is_caught() {
    for (from, on, kind, expected) in [
        ("belljar-policy", "belljar-analyze", Value::Null, "belljar-policy -> belljar-analyze"),
        ("belljar-model", "belljar-engine", Value::Null, "belljar-model -> belljar-engine"),
        ("belljar-sandbox", "belljar-overlay", json!("build"), "belljar-sandbox -> belljar-overlay"),
        ("belljar-overlay", "belljar-sandbox", json!("dev"), "belljar-overlay -> belljar-sandbox"),
        ("belljar", "belljar-policy", Value::Null, "belljar -> belljar-policy"),
        ("belljar-engine", "belljar-testkit", Value::Null, "belljar-engine -> belljar-testkit"),
    ] {
        let mut seeded = metadata();
        let packages = seeded["packages"].as_array_mut().unwrap();
        let package = packages.iter_mut().find(|package| package["name"] == from).unwrap();
        package["dependencies"].as_array_mut().unwrap().push(json!({ "name": on, "kind": kind }));
        assert!(wrong_arrows(&seeded).contains(&expected.to_owned()), "{expected}");
    }
    let mut stranger = metadata();
    stranger["packages"].as_array_mut().unwrap().push(json!({ "name": "belljar-attic", "dependencies": [] }));
    assert_eq!(wrong_arrows(&stranger), ["belljar-attic is not in the table"]);
}
