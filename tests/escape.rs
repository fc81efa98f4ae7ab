//! The attack suite of `tests/escape`: what must not be possible in the jar, tried in it, and tried without it to show
//! that it could be. The verdicts are taken from outside; see `tests/escape/suite.py`.

use std::collections::{BTreeMap, BTreeSet};
use testkit::World;

/// What gets through and is not mended, with the reason. Whatever stops doing so must leave this list.
const KNOWN: [(&str, &str); 6] = [
    // As found as secrets outside of the home are: near the top, where nothing is installed.
    ("what is said through a fifo in /var/lib", "a read-only view still carries what is said through a pipe"),
    ("left in the project's build.rs", "medium in the policy: edited every day, and pointed out"),
    ("left in the project's conftest.py", "medium in the policy: edited every day, and pointed out"),
    ("the clipboard by an escape sequence", "the terminal is the command's own, as it is bare"),
    ("the title by an escape sequence", "the terminal is the command's own, as it is bare"),
    ("a lock on a file of the host", "flock(2) needs no more than reading, and the view is the host's file"),
];

/// What besides gets through where namespaces are withheld (tier T2), with the reason.
const KNOWN_BARE: [(&str, &str); 1] = [(
    "capabilities that could be gained",
    "only who has CAP_SETPCAP can empty the bounding set; without new privileges nothing is gained from it",
)];

/// So many controls at least succeed; fewer would mean that the suite proves little here.
const CONTROLS_MIN: [(&str, usize); 2] = [("root", 450), ("user", 300)];

type Results = BTreeMap<String, BTreeMap<String, serde_json::Value>>;

/// Of the named pipes of the host those that are hidden where jars inside are allowed, and those that are not: there Landlock
/// does not rule files, and a pipe takes no notice of a view that is read-only. They are found as secrets outside of the home
/// are, near the top of what is not the system's.
const PIPES_HIDDEN: [&str; 3] = ["in /tmp", "in the home", "in /srv"];
const PIPES_OPEN: [&str; 3] = ["in /var/lib", "deep in /opt", "deep in /var/lib"];

/// Tries the probes of these names, or all, without and with the tool; the results by tool and probe.
fn tried(role: &str, tool: &str, probes: &[String]) -> (Results, String) {
    let world = World::root(crate::support::EXE);
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/escape/suite.py");
    let report = world.base().join("report.json");
    let base = world.base().to_str().unwrap();
    let words = ["-B", program, "--belljar", world.exe().to_str().unwrap(), "--roles", role, "--base", base];
    let tools = format!("bare,{tool}");
    let run = world
        .command("/usr/bin/python3")
        .args(words)
        .args(["--tools", &tools, "--json", report.to_str().unwrap()])
        .args(probes)
        .run();
    run.success();
    let mut report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&report).unwrap()).unwrap();
    let results: Results = serde_json::from_value(report["results"][role].take()).unwrap();
    (results, run.report())
}

/// The probes that got through.
fn through(results: &Results, tool: &str) -> BTreeSet<String> {
    let all = results[tool].iter();
    all.filter(|(_, result)| result["through"] == true).map(|(name, _)| name.clone()).collect()
}

fn suite(role: &str, tool: &str) {
    let (results, report) = tried(role, tool, &[]);
    let names = |tool: &str| through(&results, tool);
    for (tool, all) in &results {
        let broken: Vec<_> = all.iter().filter(|(_, result)| result["broken"] == true).collect();
        assert!(broken.is_empty(), "{tool}: {} probes were not tried{report}", broken.len());
    }
    let (controls, through) = (names("bare"), names(tool));
    let least = CONTROLS_MIN.iter().find(|(name, _)| *name == role).unwrap().1;
    assert!(controls.len() >= least, "{} controls succeed as {role}, {least} should", controls.len());
    let known: BTreeSet<String> = {
        let more = KNOWN_BARE.iter().filter(|_| tool == "belljar_bare");
        KNOWN.iter().chain(more).map(|(name, _)| (*name).to_owned()).collect()
    };
    let holes: Vec<_> = through.difference(&known).map(|name| (name, &results[tool][name])).collect();
    assert!(holes.is_empty(), "these get through as {role}:\n{holes:#?}");
    // Some of them can only be tried by one of the two.
    let mended: Vec<_> = known.difference(&through).filter(|name| controls.contains(*name)).collect();
    println!(
        "{role}: {} of {} controls succeed; known and not seen: {mended:?}",
        controls.len(),
        results["bare"].len()
    );
}

#[test]
fn as_root_nothing_of_the_attack_suite_gets_through() {
    suite("root", "belljar");
}

#[test]
fn as_root_nothing_of_the_attack_suite_gets_through_for_an_ordinary_user() {
    suite("user", "belljar");
}

#[test]
fn as_root_nothing_of_the_attack_suite_gets_through_without_namespaces() {
    suite("root", "belljar_bare");
}

#[test]
fn as_root_nothing_of_the_attack_suite_gets_through_without_namespaces_for_an_ordinary_user() {
    suite("user", "belljar_bare");
}

#[test]
fn as_root_where_jars_inside_are_allowed_only_pipes_that_are_not_looked_for_can_be_opened() {
    let ways = |place: &&str| ["", ", opened for both", " by a second name"].map(|way| format!("a fifo {place}{way}"));
    let [hidden, open]: [BTreeSet<String>; 2] =
        [&PIPES_HIDDEN[..], &PIPES_OPEN[..]].map(|places| places.iter().flat_map(ways).collect());
    let all: Vec<String> = hidden.union(&open).cloned().collect();
    for role in ["root", "user"] {
        let (results, report) = tried(role, "belljar_nested", &all);
        assert_eq!(through(&results, "bare").len(), all.len(), "every control succeeds{report}");
        assert_eq!(through(&results, "belljar_nested"), open, "{role}{report}");
    }
}
