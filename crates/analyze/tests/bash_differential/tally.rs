//! What came up over many texts.

use crate::generate::Features;
use model::{Analysis, Risk};
use std::collections::BTreeMap;

/// How often one feature of the grammar came up.
#[derive(Clone, Copy, Default)]
struct Reach {
    texts: u64,
    /// Of those the ones that are not HIGH, where every word counts.
    given: u64,
    /// Of those the ones that started or made something.
    acted: u64,
}

/// Counts, and the texts that hid something.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) texts: u64,
    high: u64,
    /// Not HIGH, and run by bash.
    pub(crate) given: u64,
    pub(crate) acted: u64,
    stopped: u64,
    /// Given to bash, which did not start something that is listed.
    ghosts: u64,
    /// HIGH and given to bash nevertheless, and of those the ones where bash did something that is not listed.
    sampled: u64,
    unread: u64,
    /// Reported by the fork server and not found again by a bash of its own.
    unconfirmed: u64,
    pub(crate) hidden: Vec<String>,
    features: BTreeMap<&'static str, Reach>,
    /// Why texts are HIGH, where all their HIGH findings say the same.
    reasons: BTreeMap<String, u64>,
}

/// What one text was found to be.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) high: bool,
    pub(crate) given: bool,
    pub(crate) acted: bool,
    pub(crate) stopped: bool,
    pub(crate) ghost: bool,
    pub(crate) missed: bool,
    pub(crate) unconfirmed: bool,
}

impl Tally {
    pub(crate) fn add(&mut self, features: &Features, verdict: &Verdict) {
        let one = u64::from;
        let counted = verdict.given && !verdict.high;
        self.texts += 1;
        self.high += one(verdict.high);
        self.given += one(counted);
        self.acted += one(counted && verdict.acted);
        self.stopped += one(verdict.stopped);
        self.ghosts += one(counted && verdict.ghost);
        self.sampled += one(verdict.high && verdict.given);
        self.unread += one(verdict.high && verdict.missed);
        self.unconfirmed += one(verdict.unconfirmed);
        for feature in features {
            let reach = self.features.entry(feature).or_default();
            reach.texts += 1;
            reach.given += one(counted);
            reach.acted += one(counted && verdict.acted);
        }
    }

    /// Counts why a text is HIGH.
    pub(crate) fn add_reason(&mut self, analysis: &Analysis) {
        let high = analysis.findings.iter().filter(|finding| finding.severity == Risk::High);
        let mut says: Vec<String> = high.map(|finding| format!("{} {}", finding.check, finding.message)).collect();
        says.sort();
        says.dedup();
        let reason = if let [only] = says.as_slice() { only.clone() } else { "several".to_owned() };
        *self.reasons.entry(reason).or_default() += 1;
    }

    pub(crate) fn merge(&mut self, other: Tally) {
        self.texts += other.texts;
        self.high += other.high;
        self.given += other.given;
        self.acted += other.acted;
        self.stopped += other.stopped;
        self.ghosts += other.ghosts;
        self.sampled += other.sampled;
        self.unread += other.unread;
        self.unconfirmed += other.unconfirmed;
        self.hidden.extend(other.hidden);
        for (reason, count) in other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
        for (feature, reach) in other.features {
            let mine = self.features.entry(feature).or_default();
            mine.texts += reach.texts;
            mine.given += reach.given;
            mine.acted += reach.acted;
        }
    }

    pub(crate) fn tell(&self) {
        let hidden = self.hidden.len();
        eprintln!(
            "{} texts, {} judged HIGH, {} given to bash, {} did something, {hidden} hid something ({:.2} in a million), {} \
             with ghosts, {} stopped, {} unconfirmed; of {} HIGH ones sampled {} were not read rightly",
            self.texts,
            self.high,
            self.given,
            self.acted,
            hidden as f64 * 1e6 / self.texts.max(1) as f64,
            self.ghosts,
            self.stopped,
            self.unconfirmed,
            self.sampled,
            self.unread,
        );
    }

    pub(crate) fn tell_features(&self) {
        eprintln!("{:>24} {:>9} {:>9} {:>12}", "feature", "texts", "not HIGH", "did something");
        for (feature, Reach { texts, given, acted }) in &self.features {
            eprintln!("{feature:>24} {texts:>9} {given:>9} {acted:>12}");
        }
        let mut reasons: Vec<(&String, &u64)> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (reason, count) in reasons.iter().take(40) {
            eprintln!("{count:>9} HIGH because of {reason}");
        }
    }
}
