//! Labelled commands against the analyser and the built-in policy: what is HIGH must be HIGH, what only reads LOW.
//!
//! `BELLJAR_CORPUS=FILE.jsonl cargo test --release --test belljar labelled -- --nocapture` measures any file of the same
//! form (`cmd`, and `label` or `expected`: `low`, `medium`, `high` or `attack`) instead of judging our own.

use analyze::{ShellContext, analyze};
use model::{Place, Risk};
use policy::Policy;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const OWN: &str = include_str!("corpus/commands.jsonl");
/// Attacks of every class, and a few that a jar makes harmless enough for MEDIUM.
const ATTACKS: &str = include_str!("corpus/attacks.jsonl");
/// What agents and developers type all day, written without a look at the tables: it measures friction.
const EVERYDAY: &str = include_str!("corpus/everyday.jsonl");

fn place() -> Place {
    Place {
        cwd: "/w/project".into(),
        home: "/home/user".into(),
        workspace: "/w/project".into(),
        state: "/home/user/.local/state/belljar".into(),
        uid: 1000,
        contained: false,
    }
}

/// Tiers as they were given and as they are judged.
#[derive(Default)]
struct Confusion {
    cells: BTreeMap<(String, Risk), usize>,
    wrong: Vec<String>,
    times: Vec<Duration>,
}

impl Confusion {
    fn of(lines: &str) -> Confusion {
        let policy = Policy::builtin().unwrap();
        let place = place();
        // A project without modules of Python in its own directory.
        let modules = vec![(place.cwd.clone(), Vec::new())];
        let shell =
            ShellContext { cwd: place.cwd.clone(), home: place.home.clone(), modules, ..ShellContext::default() };
        let mut all = Confusion::default();
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let row: Value = serde_json::from_str(line).unwrap();
            let text = row["cmd"].as_str().unwrap();
            let label = row["expected"].as_str().or(row["label"].as_str()).unwrap_or("none");
            let label = if label == "attack" { "high" } else { label };
            let begun = Instant::now();
            let analysis = analyze(text, &shell);
            all.times.push(begun.elapsed());
            let tier = policy.assess(&analysis, &place).tiers.bare;
            if tier.to_string().to_lowercase() != label {
                let checks: Vec<_> = analysis.findings.iter().map(|finding| finding.check.to_string()).collect();
                all.wrong.push(format!("{label} is judged {tier}: {text:?} {}", checks.join(" ")));
            }
            *all.cells.entry((label.to_owned(), tier)).or_default() += 1;
        }
        all.times.sort();
        all
    }

    fn count(&self, label: &str, tier: Risk) -> usize {
        self.cells.get(&(label.to_owned(), tier)).copied().unwrap_or(0)
    }

    fn total(&self, label: &str) -> usize {
        [Risk::Low, Risk::Medium, Risk::High].into_iter().map(|tier| self.count(label, tier)).sum()
    }

    /// Share of `label` judged `tier`, in percent; 0 where there is none.
    fn share(&self, label: &str, tier: Risk) -> f64 {
        100.0 * self.count(label, tier) as f64 / self.total(label).max(1) as f64
    }

    fn tell(&self) {
        self.wrong.iter().for_each(|line| println!("{line}"));
        for label in ["low", "medium", "high", "none", "unlabelled"] {
            let row = [Risk::Low, Risk::Medium, Risk::High].map(|tier| self.count(label, tier));
            if row.iter().sum::<usize>() > 0 {
                println!("{label:>10}  -> LOW {:5}  MEDIUM {:5}  HIGH {:5}", row[0], row[1], row[2]);
            }
        }
        let at = |share: f64| self.times[((self.times.len() - 1) as f64 * share) as usize];
        println!(
            "recall of HIGH {:.1} %, HIGH shown as LOW {}, LOW raised {:.1} %, MEDIUM judged HIGH {:.1} %, analysis p50 {:?} p99 {:?}",
            self.share("high", Risk::High),
            self.count("high", Risk::Low),
            100.0 - self.share("low", Risk::Low),
            self.share("medium", Risk::High),
            at(0.5),
            at(0.99),
        );
    }
}

#[test]
fn labelled_commands_get_their_tier() {
    if let Ok(path) = std::env::var("BELLJAR_CORPUS") {
        Confusion::of(&std::fs::read_to_string(path).unwrap()).tell();
        return;
    }
    let own = Confusion::of(OWN);
    own.tell();
    assert!(own.total("low") > 150 && own.total("medium") > 100 && own.total("high") > 150);
    let worst = || own.wrong.join("\n");
    assert_eq!(own.count("high", Risk::Low), 0, "{}", worst());
    assert!(own.share("high", Risk::High) >= 99.0, "{}", worst());
    assert!(own.share("low", Risk::Low) >= 98.0, "{}", worst());
    assert!(own.share("medium", Risk::High) <= 4.0, "{}", worst());
}

#[test]
fn attacks_of_every_class_are_high() {
    let attacks = Confusion::of(ATTACKS);
    let worst = || attacks.wrong.join("\n");
    assert!(attacks.total("high") > 2000, "{}", attacks.total("high"));
    assert_eq!(attacks.count("high", Risk::Low) + attacks.count("medium", Risk::Low), 0, "{}", worst());
    assert!(attacks.share("high", Risk::High) >= 99.5, "{}", worst());
    assert!(attacks.share("medium", Risk::High) <= 4.0, "{}", worst());
}

#[test]
fn everyday_commands_are_not_judged_too_high() {
    let all = Confusion::of(EVERYDAY);
    all.tell();
    assert!(all.total("low") > 900 && all.total("medium") > 600);
    let worst = || all.wrong.join("\n");
    assert!(all.share("low", Risk::Low) >= 98.0, "{}", worst());
    assert_eq!(all.count("high", Risk::Low), 0, "{}", worst());
    assert!(all.share("medium", Risk::High) <= 2.0, "{}", worst());
}
