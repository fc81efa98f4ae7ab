//! What was refused, counted by what it was and by which rule. A record is for people: a scan of a whole network, or of a
//! whole disk, is one line more.

use model::{Action, Attempt, Target};
use std::collections::BTreeMap;

/// Peers, and likewise paths, that are listed; the rest counts as one more.
pub(crate) const PEERS_MAX: usize = 256;

/// Bounded, and complete in its sums.
#[derive(Default)]
pub(crate) struct Refusals(BTreeMap<(Action, Target, String), u64>);

impl Refusals {
    /// One more peer, by this rule.
    pub(crate) fn note(&mut self, target: Target, rule: &str) {
        self.note_as(Action::Connect, target, rule);
    }

    /// One more of whatever kind, by this rule.
    pub(crate) fn note_as(&mut self, action: Action, target: Target, rule: &str) {
        let key = (action, target, rule.to_owned());
        let full = self.0.len() >= PEERS_MAX && !self.0.contains_key(&key);
        let key = if full { (action, unlisted(action), key.2) } else { key };
        *self.0.entry(key).or_insert(0) += 1;
    }

    /// [`Refusals::attempts`], which are forgotten.
    pub(crate) fn take(&mut self) -> Vec<Attempt> {
        std::mem::take(self).attempts()
    }

    /// Each peer and rule once.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        let attempt = |((action, target, rule), times): (&(Action, Target, String), &u64)| {
            let (target, rule) = (target.clone(), rule.clone());
            Attempt { action: *action, target, rule, times: *times }
        };
        self.0.iter().map(attempt).collect()
    }
}

fn unlisted(action: Action) -> Target {
    let what = if action == Action::Connect { "peers" } else { "things" };
    Target::Unknown { text: format!("more {what} than are listed") }
}
