//! Explanations: every HIGH effect is named, whatever the command; and a model that rewords one changes nothing of it.

use crate::fatigue::{ATTACKS, EVERYDAY, commands, place};
use engine::explainer::{Explainer, explanation};
use model::{Analysis, Effect, Risk};
use policy::Policy;
use serde_json::Value;
use std::io;

const RECORDED: &str = include_str!("recorded/explainer.jsonl");

/// What a model said, recorded.
struct Recorded(io::Result<String>);

impl Explainer for Recorded {
    fn name(&self) -> &str {
        "a recorded\u{1b}[2J model"
    }

    fn reword(&mut self, _: &[String]) -> io::Result<String> {
        std::mem::replace(&mut self.0, Err(io::ErrorKind::UnexpectedEof.into()))
    }
}

#[test]
fn every_high_effect_of_the_corpus_is_named() {
    let all: Vec<_> = EVERYDAY.into_iter().chain([ATTACKS]).flat_map(commands).map(|(_, analysis)| analysis).collect();
    let (first, second) = all.split_at(all.len() / 2);
    let high = std::thread::scope(|scope| {
        let first = scope.spawn(|| named(first));
        named(second) + first.join().unwrap()
    });
    println!("{high} HIGH effects and findings");
    assert!(high > 5000, "{high}");
}

/// How many HIGH effects and findings there are, each of them named.
fn named(all: &[Analysis]) -> usize {
    let policy = Policy::builtin().unwrap();
    let mut high = 0;
    for analysis in all {
        let told = [place(true), place(false)].map(|place| policy.assess(analysis, &place).explanation);
        for line in told.iter().flatten() {
            assert!(!line.chars().any(model::escape::is_deceptive), "{line:?}");
        }
        let is_high = |effect: &Effect| {
            let only = Analysis { effects: vec![effect.clone()], findings: Vec::new(), ..analysis.clone() };
            let reasons = policy.assess(&only, &place(false)).reasons;
            let named = format!("{} {}: ", effect.action, effect.target);
            reasons.iter().any(|reason| reason.tiers.bare == Risk::High && reason.text.starts_with(&named))
        };
        for effect in analysis.effects.iter().filter(|effect| is_high(effect)) {
            high += 1;
            let named = format!("HIGH: {} {}: ", effect.action, effect.target);
            for told in &told {
                assert!(told.iter().any(|line| line.starts_with(&named)), "{named}: {:?}\n{told:#?}", analysis.text);
            }
        }
        for finding in analysis.findings.iter().filter(|finding| finding.severity == Risk::High) {
            high += 1;
            let named = format!("HIGH: {} ({}).", finding.message, finding.check);
            for told in &told {
                assert!(told.contains(&named), "{named}: {:?}\n{told:#?}", analysis.text);
            }
        }
    }
    high
}

#[test]
fn a_model_rewords_and_changes_nothing() {
    let policy = Policy::builtin().unwrap();
    let mut taken = 0;
    for line in RECORDED.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let says = case["says"].as_str().unwrap();
        let (_, analysis) = commands(line).pop().unwrap();
        let assessment = policy.assess(&analysis, &place(true));
        let said: Vec<&str> = case["answer"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let mut recorded = Recorded(Ok(said.join("\n")));
        let shown = explanation(&assessment, Some(&mut recorded));
        let dropped = shown.dropped.as_ref().map(|dropped| dropped.to_string());
        match case["dropped"].as_str() {
            None => {
                taken += 1;
                assert_eq!(
                    (dropped, &shown.lines),
                    (None, &said.iter().map(|line| (*line).to_owned()).collect()),
                    "{says}"
                );
                assert_eq!(shown.reworded_by.as_deref(), Some("a recorded\\u{1b}[2J model"));
                assert!(shown.told().last().unwrap().starts_with("(reworded by "), "{says}");
            }
            Some(why) => {
                assert_eq!(
                    dropped,
                    Some(format!("the rewording changes what is said: {why}")),
                    "{says}: {:#?}",
                    assessment.explanation
                );
                assert_eq!((&shown.lines, &shown.reworded_by), (&assessment.explanation, &None), "{says}");
                assert_eq!(shown.told(), assessment.explanation);
            }
        }
        // No answer, or none to be had: the plain lines.
        assert_eq!(explanation(&assessment, Some(&mut recorded)).lines, assessment.explanation);
        assert_eq!(explanation(&assessment, None).lines, assessment.explanation);
    }
    assert_eq!(taken, 1);
}
