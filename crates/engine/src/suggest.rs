//! What a person approved, read from the audit log, for rules that would have allowed it.

use crate::audit::AuditLog;
use crate::audit::query::Filter;
use crate::error::RunError;
use crate::layers;
use crate::replay;
use model::{Analysis, AuditRecord, ChangeSet, Coverage, Disposition, FilePath, Place, Review, Stage, TrialId};
use policy::Policy;
use policy::suggest::History;
pub use policy::suggest::{Not, Often, Suggested, Suggestions};
use std::collections::BTreeMap;

/// Rules for what was approved so often, and how many records do not tell exactly what was.
///
/// # Errors
/// When the log cannot be read, or the policy in force at `place` is wrong.
pub fn suggest(log: &AuditLog, place: &Place, filter: &Filter, often: Often) -> Result<(Suggestions, u64), RunError> {
    let (policy, _) = layers::load(place, &[])?;
    let mut reading = Reading { policy, history: History::default(), known: BTreeMap::new(), inexact: 0 };
    log.read(|record| reading.take(record, filter))?;
    Ok((reading.history.suggest(often), reading.inexact))
}

struct Reading {
    policy: Policy,
    history: History,
    /// Trials that may still be applied.
    known: BTreeMap<TrialId, Known>,
    inexact: u64,
}

/// What the log said so far of a trial.
struct Known {
    /// What all its commands announced.
    analysis: Analysis,
    place: Place,
    changes: ChangeSet,
    review: Review,
}

/// Whether a person agreed, wherever they were asked.
fn is_person(by: &str) -> bool {
    by == "person" || by.starts_with("person at ")
}

/// The review of no changes.
fn nothing() -> Review {
    let (risks, flags, surprises, held, content) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    Review { disposition: Disposition::Keep, risks, flags, surprises, held, content }
}

impl Reading {
    fn take(&mut self, record: AuditRecord, filter: &Filter) {
        let Some(id) = record.trial.clone() else { return };
        let counts = filter.takes(&record);
        let exact = replay::request(&record).is_none_or(|request| request.why_inexact().is_none());
        let cut = |list: &str| record.left_out.iter().any(|left| left.at == list);
        match record.stage {
            Stage::Decided { approved_by, place: Some(place), analysis, assessment, .. } if exact => {
                if counts && approved_by.as_deref().is_some_and(is_person) {
                    let at = (id.0.as_str(), record.time_ms);
                    self.history.command(&self.policy, at, &analysis, &assessment, &place);
                }
                match self.known.get_mut(&id) {
                    Some(known) => known.also(*analysis),
                    None => {
                        let changes = ChangeSet::default();
                        self.known.insert(id, Known { analysis: *analysis, place, changes, review: nothing() });
                    }
                }
            }
            Stage::Decided { .. } => {
                self.inexact += 1;
                self.known.remove(&id);
            }
            Stage::Ran { changes, review, .. } => {
                if let Some(known) = self.known.get_mut(&id) {
                    (known.changes, known.review) = (changes, review);
                }
            }
            Stage::Settling { verb, paths, by, .. } if verb == "apply" && is_person(&by) && counts => {
                let whole = !cut("paths");
                self.inexact += u64::from(!whole);
                if let Some(known) = self.known.get(&id).filter(|_| whole) {
                    known.applied(&self.policy, &mut self.history, (&id.0, record.time_ms), &paths);
                }
            }
            // Whoever takes it back did not mean it to be so.
            Stage::Settling { verb, .. } if verb == "undo" => self.history.taken_back(&id.0),
            Stage::Settled { outcome, .. } if outcome == "discarded" || outcome == "expired" => {
                self.known.remove(&id);
            }
            _ => {}
        }
    }
}

impl Known {
    /// One more command of the same jar.
    fn also(&mut self, more: Analysis) {
        self.analysis.effects.extend(more.effects);
        self.analysis.findings.extend(more.findings);
        if more.coverage != Coverage::Full {
            self.analysis.coverage = more.coverage;
        }
    }

    fn applied(&self, policy: &Policy, history: &mut History, at: (&str, u64), paths: &[FilePath]) {
        let chosen =
            |change: &model::Change| paths.is_empty() || paths.iter().any(|path| change.path.starts_with(path));
        let of = (&self.analysis, &self.place);
        history.changes(policy, at, (&self.changes, &self.review), of, chosen);
    }
}
