//! What was refused on the network, counted by peer and rule. A record is for people: a scan of a whole network is one
//! line more.

use model::{Action, Attempt, Target};
use std::collections::BTreeMap;

/// Peers that are listed; the rest counts as one more.
pub(crate) const PEERS_MAX: usize = 256;

/// Bounded, and complete in its sums.
#[derive(Default)]
pub(crate) struct Refusals(BTreeMap<(Target, String), u64>);

impl Refusals {
    /// One more, by this rule.
    pub(crate) fn note(&mut self, target: Target, rule: &str) {
        let key = (target, rule.to_owned());
        let full = self.0.len() >= PEERS_MAX && !self.0.contains_key(&key);
        let key = if full { (unlisted(), key.1) } else { key };
        *self.0.entry(key).or_insert(0) += 1;
    }

    /// [`Refusals::attempts`], which are forgotten.
    pub(crate) fn take(&mut self) -> Vec<Attempt> {
        std::mem::take(self).attempts()
    }

    /// Each peer and rule once.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        let attempt = |((target, rule), times): (&(Target, String), &u64)| {
            let (target, rule) = (target.clone(), rule.clone());
            Attempt { action: Action::Connect, target, rule, times: *times }
        };
        self.0.iter().map(attempt).collect()
    }
}

fn unlisted() -> Target {
    Target::Unknown { text: "more peers than are listed".to_owned() }
}
