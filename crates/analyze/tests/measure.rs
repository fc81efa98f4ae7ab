//! Measures a corpus: `BELLJAR_CORPUS=file.jsonl cargo test --release -p belljar-analyze --test measure -- --nocapture`.
//! Each line is a JSON object with `cmd` and `label` or `expected`. Without the variable there is nothing to do.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

use belljar_analyze::{ShellContext, analyze};
use model::{Action, Analysis, Coverage, FilePath, PathScope, Risk, Target};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The tier of a bare run, roughly as the policy takes it from the facts.
fn tier(analysis: &Analysis) -> Risk {
    let of_effects = analysis.effects.iter().map(|effect| match (&effect.action, &effect.target) {
        (Action::Read, _) => Risk::Low,
        (Action::Connect, _) if effect.certainty == model::Certainty::May => Risk::Medium,
        (Action::Connect | Action::Listen | Action::Privilege, _) => Risk::High,
        (
            Action::Write | Action::Create | Action::Delete | Action::Rename | Action::Attributes,
            Target::Path { path, scope },
        ) => {
            let inside = path.starts_with(&FilePath::from("/w/project"))
                && !(path.as_bytes() == b"/w/project" && effect.action == Action::Delete);
            let scratch = path.starts_with(&FilePath::from("/tmp"));
            let may = effect.certainty == model::Certainty::May && *scope == PathScope::Tree;
            if inside || scratch || may { Risk::Medium } else { Risk::High }
        }
        _ => Risk::Medium,
    });
    let of_coverage = if analysis.coverage == Coverage::Full { Risk::Low } else { Risk::Medium };
    let of_findings = analysis.findings.iter().map(|finding| finding.severity);
    of_effects.chain(of_findings).chain([of_coverage]).max().unwrap_or(Risk::Low)
}

#[test]
fn corpus() {
    let Ok(path) = std::env::var("BELLJAR_CORPUS") else { return };
    let shell = ShellContext { cwd: FilePath::from("/w/project"), ..ShellContext::default() };
    let mut table: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut times: Vec<Duration> = Vec::new();
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = row["cmd"].as_str().unwrap();
        let label = row["expected"].as_str().or(row["label"].as_str()).unwrap_or("none").to_owned();
        let timed = || {
            let start = Instant::now();
            std::hint::black_box(analyze(text, &shell));
            start.elapsed()
        };
        // The best of a few runs: what the analysis costs, not what else the machine does.
        times.push((0..7).map(|_| timed()).min().unwrap());
        let analysis = analyze(text, &shell);
        let tier = tier(&analysis).to_string().to_lowercase();
        if tier != label && !matches!((label.as_str(), tier.as_str()), ("attack", "high") | ("unlabelled", _)) {
            let ids: Vec<String> = analysis.findings.iter().map(|finding| finding.check.to_string()).collect();
            let effects: Vec<String> =
                analysis.effects.iter().map(|effect| format!("{} {}", effect.action, effect.target)).collect();
            println!(
                "{label:>7} -> {tier:<6} {text:?}  {} [{}] {}",
                ids.join(","),
                effects.join("; "),
                if analysis.coverage == Coverage::Full { "" } else { "partial" }
            );
        }
        *table.entry((label, tier)).or_default() += 1;
    }
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{table:#?}\np50 {:?} p99 {:?} max {:?}", at(0.5), at(0.99), at(1.0));
}
