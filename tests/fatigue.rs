//! How often each profile asks before a command runs, and that nothing HIGH passes unasked.
//!
//! `BELLJAR_CORPUS=FILE.jsonl cargo test --test belljar fatigue -- --nocapture` measures any file with a `cmd` a line, and
//! holds it to the same.

use analyze::{ShellContext, analyze};
use model::{Analysis, Place, Risk, Verdict};
use policy::profile::{SHIPPED, Whose};
use policy::{Layer, Origin, Policy, Profile};
use serde_json::Value;
use std::collections::BTreeMap;

/// The public commands of agents, as far as they may lie here: what agents and developers type all day.
pub const EVERYDAY: [&str; 2] = [include_str!("corpus/commands.jsonl"), include_str!("corpus/everyday.jsonl")];
pub const ATTACKS: &str = include_str!("corpus/attacks.jsonl");

pub fn place(contained: bool) -> Place {
    Place {
        cwd: "/w/project".into(),
        home: "/home/user".into(),
        workspace: "/w/project".into(),
        state: "/home/user/.local/state/belljar".into(),
        uid: 1000,
        contained,
    }
}

/// Every command of a corpus with its label, analysed as in a project without Python modules of its own.
pub fn commands(lines: &str) -> Vec<(String, Analysis)> {
    let place = place(true);
    let modules = vec![(place.cwd.clone(), Vec::new())];
    let shell = ShellContext { cwd: place.cwd.clone(), home: place.home.clone(), modules, ..ShellContext::default() };
    let rows = lines
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| -> Value { serde_json::from_str(line).unwrap() });
    rows.map(|row| {
        let label = row["expected"].as_str().or(row["label"].as_str()).unwrap_or("none").to_owned();
        (label, analyze(row["cmd"].as_str().unwrap(), &shell))
    })
    .collect()
}

/// The rules of a shipped profile.
fn rules(shipped: &policy::profile::Shipped) -> String {
    Profile::parse(shipped.name, shipped.text, Whose::Own).unwrap().rules
}

/// What the built-in policy with `rules` says to each, in the order of `all`.
fn verdicts(rules: &str, all: &[(String, Analysis)], place: &Place) -> Vec<(Risk, Verdict)> {
    let layer = [Layer { name: "rules", origin: Origin::User, text: rules }];
    let judge = |all: &[(String, Analysis)]| -> Vec<(Risk, Verdict)> {
        let policy = Policy::layered(if rules.is_empty() { &[] } else { &layer }).unwrap();
        let one = |(_, analysis): &(String, Analysis)| {
            let assessment = policy.assess(analysis, place);
            let tier = if place.contained { assessment.tiers.contained } else { assessment.tiers.bare };
            (tier, policy.decide(analysis, &assessment, place).verdict)
        };
        all.iter().map(one).collect()
    };
    let (first, second) = all.split_at(all.len() / 2);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| judge(first));
        let second = judge(second);
        first.join().unwrap().into_iter().chain(second).collect()
    })
}

/// Percent that are asked about.
fn asked(verdicts: &[(Risk, Verdict)]) -> f64 {
    let asked = verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Ask).count();
    100.0 * asked as f64 / verdicts.len() as f64
}

/// Prompts of each profile over `all`, in percent, printed as a table.
fn table(all: &[(String, Analysis)]) -> BTreeMap<&'static str, f64> {
    let (mut shares, mut known): (BTreeMap<&str, f64>, BTreeMap<String, f64>) = (BTreeMap::new(), BTreeMap::new());
    for shipped in &SHIPPED {
        let rules = rules(shipped);
        let share = *known.entry(rules).or_insert_with_key(|rules| asked(&verdicts(rules, all, &place(true))));
        println!("  {:<24} {share:5.2} % of {}", shipped.name, all.len());
        shares.insert(shipped.name, share);
    }
    shares
}

/// What is HIGH where it would run is asked about or denied, in a jar and on the bare machine.
fn nothing_high_passes(name: &str, all: &[(String, Analysis)]) {
    for place in [place(true), place(false)] {
        let verdicts = verdicts("", all, &place);
        let high = verdicts.iter().filter(|(tier, _)| *tier == Risk::High).count();
        let where_ = if place.contained { "in a jar" } else { "bare" };
        println!("{name}, {where_}: {high} of {} HIGH, {:.2} % asked about", all.len(), asked(&verdicts));
        for ((tier, verdict), (_, analysis)) in verdicts.iter().zip(all) {
            assert!(*tier != Risk::High || *verdict != Verdict::Allow, "HIGH, not asked about: {:?}", analysis.text);
        }
    }
}

#[test]
fn the_default_asks_seldom_and_nothing_high_passes_unasked() {
    if let Ok(path) = std::env::var("BELLJAR_CORPUS") {
        let all = commands(&std::fs::read_to_string(&path).unwrap());
        let shares = table(&all);
        nothing_high_passes(&path, &all);
        assert!(shares["workspace"] < 3.0, "{shares:?}");
        return;
    }
    let everyday: Vec<_> = EVERYDAY.iter().flat_map(|lines| commands(lines)).collect();
    let (wanted, dangerous): (Vec<_>, Vec<_>) =
        everyday.into_iter().partition(|(label, _)| ["low", "medium"].contains(&label.as_str()));
    let attacks: Vec<_> = commands(ATTACKS).into_iter().chain(dangerous).collect();
    assert!(wanted.len() > 1500 && attacks.len() > 2000, "{} {}", wanted.len(), attacks.len());
    let shares = table(&wanted);
    for name in ["workspace", "agent", "untrusted-repo"] {
        assert!(shares[name] < 3.0, "{name}: {shares:?}");
    }
    assert!(shares["strict"] > shares["workspace"] && shares["permissive-with-review"] == 0.0, "{shares:?}");
    nothing_high_passes("what people want done", &wanted);
    nothing_high_passes("attacks", &attacks);
}
