//! Suggest: rules that would have allowed what a person approved again and again, and nothing else.
//!
//! What is counted is one effect or one change with all that a rule can see of it: a rule names exactly that. Nothing HIGH,
//! nothing secret or protected, nothing that is run, and nothing a rule keeps for a person is ever suggested.

mod rule;
#[cfg(test)]
mod tests;

use crate::decide;
use crate::facts::Location;
use crate::grant::changes_the_meaning;
use crate::import::inner;
use crate::policy::Policy;
use crate::replay::request::{On, Part};
use crate::review::{self, Shown};
use model::{Analysis, Assessment, ChangeSet, Place, Review, Risk, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// How often something must have been approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Often {
    /// By so many decisions.
    pub times: u32,
    /// On so many days.
    pub days: u32,
}

/// Why something that was approved is not suggested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Not {
    /// It was HIGH.
    High,
    /// It is secret, or other programs run it or trust it.
    Protected,
    /// What it was is not told by what a rule sees.
    Open,
    /// A rule keeps it for a person; no permit outdoes that.
    Held,
    /// It was approved too seldom.
    Seldom,
}

impl Not {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Not::High => "HIGH: always for a person",
            Not::Protected => "secret, or other programs run it or trust it",
            Not::Open => {
                "a rule does not see enough of it: links, programs, whole directories, what was not understood"
            }
            Not::Held => "a rule keeps it for a person, and no permit outdoes that",
            Not::Seldom => "not often enough, or on too few days",
        }
    }

    /// In JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Not::High => "high",
            Not::Protected => "protected",
            Not::Open => "open",
            Not::Held => "held",
            Not::Seldom => "seldom",
        }
    }
}

/// What was approved: with equal ones, a rule can tell no difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Approved {
    Effect { uid: u32, contained: bool, part: Part<'static> },
    Change { uid: u32, path: String, happened: &'static str, kind: &'static str },
}

/// What a person approved so far.
#[derive(Debug, Default)]
pub struct History {
    /// When, by the trial it was approved in.
    approved: BTreeMap<Approved, BTreeMap<String, u64>>,
    not: BTreeMap<Not, BTreeSet<String>>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggested {
    /// Its `@id`.
    pub id: String,
    /// What it allows, in words, escaped.
    pub about: String,
    /// How often that was approved.
    pub times: u64,
    /// On how many days.
    pub days: u64,
    /// When first, milliseconds since the epoch.
    pub first_ms: u64,
    /// When last.
    pub last_ms: u64,
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Suggestions {
    /// Cedar, with counts in comments.
    pub text: String,
    /// Those that are in it, most often approved first.
    pub rules: Vec<Suggested>,
    /// How many different things were approved and are not suggested, by reason.
    pub not: Vec<(Not, u64)>,
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

impl History {
    /// A person let a command run. `policy` is what holds now: what it allows needs no rule.
    pub fn command(
        &mut self,
        policy: &Policy,
        (trial, time_ms): (&str, u64),
        analysis: &Analysis,
        assessment: &Assessment,
        place: &Place,
    ) {
        if analysis.findings.iter().any(changes_the_meaning) {
            // Another `make`, say: what the effects name is not what ran.
            return self.pass(Not::Open, analysis.text.clone());
        }
        for ask in decide::parts(analysis, assessment, place) {
            let answer = ask.answer(policy.engine(), place);
            let (part, about) = (ask.part, ask.about);
            match part_is_open_to_rules(&part) {
                _ if answer.verdict != Verdict::Ask => {}
                Err(why) => self.pass(why, about),
                Ok(()) if answer.held => self.pass(Not::Held, about),
                Ok(()) => {
                    let (uid, contained) = (place.uid, place.contained);
                    self.add(Approved::Effect { uid, contained, part }, trial, time_ms);
                }
            }
        }
    }

    /// A person made changes real: those that `chosen` holds of. `review` is that on record, which was of all of them and
    /// of what they contain.
    pub fn changes(
        &mut self,
        policy: &Policy,
        (trial, time_ms): (&str, u64),
        (changes, review): (&ChangeSet, &Review),
        (analysis, place): (&Analysis, &Place),
        chosen: impl Fn(&model::Change) -> bool,
    ) {
        let seen = review::shown(policy.engine(), changes, analysis, place);
        let of_content = |at: usize| {
            let of_rule = |rule: &str| crate::content::RULES.contains(&rule);
            review.content.iter().any(|found| found.change == at)
                || review.flags.iter().any(|flag| flag.change == at && of_rule(&flag.rule))
        };
        for ((change, mut seen), at) in changes.changes.iter().zip(seen).zip(0..) {
            if !chosen(change) || seen.answer.verdict != Verdict::Ask {
                continue;
            }
            seen.telling |= of_content(at);
            let risk = review.risks.get(at).copied().unwrap_or(Risk::High).max(seen.risk);
            let path = change.path.encode();
            match change_is_open_to_rules(&seen, risk) {
                Err(why) => self.pass(why, path),
                Ok(()) if seen.answer.held => self.pass(Not::Held, path),
                Ok(()) => {
                    let (uid, happened, kind) = (place.uid, seen.happened, seen.kind);
                    self.add(Approved::Change { uid, path, happened, kind }, trial, time_ms);
                }
            }
        }
    }

    /// What was approved in this trial was taken back: it counts no more.
    pub fn taken_back(&mut self, trial: &str) {
        for times in self.approved.values_mut() {
            times.remove(trial);
        }
    }

    fn add(&mut self, what: Approved, trial: &str, time_ms: u64) {
        self.approved.entry(what).or_default().insert(trial.to_owned(), time_ms);
    }

    fn pass(&mut self, why: Not, about: String) {
        self.not.entry(why).or_default().insert(about);
    }

    /// Rules for what was approved so often.
    #[must_use]
    pub fn suggest(&self, often: Often) -> Suggestions {
        let days = |times: &BTreeMap<String, u64>| times.values().map(|ms| ms / DAY_MS).collect::<BTreeSet<_>>().len();
        let enough = |times: &BTreeMap<String, u64>| {
            !times.is_empty() && times.len() >= often.times as usize && days(times) >= often.days as usize
        };
        let mut kept: Vec<(&Approved, &BTreeMap<String, u64>)> =
            self.approved.iter().filter(|(_, times)| enough(times)).collect();
        kept.sort_by_key(|(what, times)| (std::cmp::Reverse(times.len()), *what));
        let seldom = self.approved.values().filter(|times| !times.is_empty() && !enough(times)).count() as u64;
        let mut not: Vec<(Not, u64)> = self.not.iter().map(|(why, what)| (*why, what.len() as u64)).collect();
        not.extend((seldom > 0).then_some((Not::Seldom, seldom)));
        let mut out = Suggestions { text: HEAD.to_owned(), rules: Vec::new(), not };
        for (number, (what, times)) in (1..).zip(kept) {
            let one = Suggested {
                id: format!("suggested/{number}"),
                about: what.about(),
                times: times.len() as u64,
                days: days(times) as u64,
                first_ms: times.values().copied().min().unwrap_or(0),
                last_ms: times.values().copied().max().unwrap_or(0),
            };
            let (id, rule) = (inner(&one.id, false), what.rule());
            let _ = writeln!(out.text, "\n// {}", one.about);
            let _ = writeln!(out.text, "// approved {} times on {} days", one.times, one.days);
            let _ = writeln!(out.text, "@id(\"{id}\")\n{rule}");
            out.rules.push(one);
        }
        out
    }
}

const HEAD: &str = "\
// Suggested by `belljar policy suggest` from what was approved on this machine: read it before you use it. Each rule allows
// one thing that a person approved again and again, and nothing HIGH, secret or protected.
";

/// Whether all that matters of an effect is seen by rules, and none of it is a person's to decide.
fn part_is_open_to_rules(part: &Part<'_>) -> Result<(), Not> {
    match &part.on {
        _ if part.risk > 1 => Err(Not::High),
        On::Path(path) if path.secret || path.protected || path.top || !path.rules.is_empty() => Err(Not::Protected),
        On::Path(path) if !is_a_place(path.location) || path.scope == model::PathScope::Glob => Err(Not::Open),
        On::Path(path) if is_redacted(&path.path.0) => Err(Not::Open),
        On::Path(_) | On::Peer(_) | On::Program(_) | On::Thing(_) => Ok(()),
        On::Unknown | On::Command { .. } => Err(Not::Open),
    }
}

/// Whether a part of a path was taken for a secret and replaced.
fn is_redacted(path: &str) -> bool {
    path.contains("[redacted:")
}

fn is_a_place(location: Location) -> bool {
    matches!(location, Location::Workspace | Location::Home | Location::Temporary | Location::Elsewhere)
}

fn change_is_open_to_rules(seen: &Shown, risk: Risk) -> Result<(), Not> {
    // Where a link leads, what a name was before, how much was below it and what a program does no rule sees.
    let told = match seen.happened {
        "added" | "modified" => matches!(seen.kind, "file" | "directory"),
        "deleted" => seen.kind == "file",
        _ => false,
    };
    match () {
        () if risk == Risk::High => Err(Not::High),
        () if seen.telling => Err(Not::Protected),
        () if !told || seen.executable || !is_a_place(seen.location) || is_redacted(&seen.path) => Err(Not::Open),
        () => Ok(()),
    }
}
