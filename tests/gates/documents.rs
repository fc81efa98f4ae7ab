//! ARCHITECTURE.md says what is there: each outside dependency with its reason, each invariant with a test that exists.

use super::checkout;
use super::floors::metadata;
use std::collections::BTreeSet;
use std::path::Path;

/// Outside crates some manifest of ours names and no line of `text` gives a reason for.
fn unexplained(metadata: &serde_json::Value, text: &str) -> BTreeSet<String> {
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let named = packages.iter().flat_map(|package| package["dependencies"].as_array().unwrap());
    let outside = named.filter_map(|dependency| dependency["name"].as_str()).filter(|name| !ours.contains(name));
    let explained = |name: &str| text.lines().any(|line| line.starts_with(&format!("- `{name}`: ")));
    outside.filter(|name| !explained(name)).map(str::to_owned).collect()
}

/// Names after `held by` in `text`, each in backquotes.
fn promised_tests(text: &str) -> Vec<&str> {
    let after = text.split("held by").skip(1);
    let lists = after.map(|rest| rest.split(".\n").next().unwrap_or_default());
    lists.flat_map(|list| list.split('`').skip(1).step_by(2)).collect()
}

fn all_sources(dir: &Path, text: &mut String) {
    for item in std::fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            all_sources(&path, text);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

fn architecture() -> String {
    std::fs::read_to_string(checkout().join("ARCHITECTURE.md")).unwrap()
}

#[test]
fn each_outside_dependency_has_a_reason() {
    assert_eq!(unexplained(&metadata(), &architecture()), BTreeSet::new());
    assert!(!unexplained(&metadata(), "").is_empty(), "with no reasons given, reasons are missing");
}

#[test]
fn each_invariant_names_tests_that_exist() {
    let mut code = String::new();
    for dir in ["crates", "tests"] {
        all_sources(&checkout().join(dir), &mut code);
    }
    let text = architecture();
    let promised = promised_tests(&text);
    assert!(promised.len() >= 10, "{promised:?}");
    let missing: Vec<_> = promised.into_iter().filter(|name| !code.contains(&format!("fn {name}("))).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
