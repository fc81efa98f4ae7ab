//! What goes by itself, and when: trials that hold nothing but the way back to what they replaced. What waits for a
//! decision never goes by itself.

use crate::audit::now_ms;
use crate::error::RunError;
use crate::journey::Engine;
use crate::record::TrialRecord;
use crate::store::{Listed, StoreError, io_error};
use crate::trial::Trial;
use model::{TrialId, TrialState};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long what was applied can be undone.
pub const UNDO_DAYS: u32 = 14;
/// From when on a trial that waits is pointed out.
pub const OLD_DAYS: u32 = 30;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// How often `run` looks for what has expired.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Its modification time tells when that was last done.
const SWEPT: &str = "swept";

/// Whether all that a trial changed is real and nothing waits. A jar that is emptied so stays for its next command, and only
/// what undo needs goes.
#[must_use]
pub fn is_wholly_applied(record: &TrialRecord) -> bool {
    match record.state {
        TrialState::Applied => true,
        TrialState::Empty => record.applied > 0,
        _ => false,
    }
}

/// Until when a trial that is wholly applied can surely be undone, in milliseconds since the epoch.
#[must_use]
pub fn undo_until_ms(record: &TrialRecord) -> Option<u64> {
    let applied = record.applied_ms.unwrap_or(record.created_ms);
    is_wholly_applied(record).then(|| applied.saturating_add(u64::from(UNDO_DAYS) * DAY_MS))
}

/// Whether a trial has waited so long that it was perhaps forgotten.
#[must_use]
pub fn is_old(listed: &Listed) -> bool {
    let waits = !listed.in_use && !matches!(listed.record.state, TrialState::Applied | TrialState::Empty);
    waits && now_ms().saturating_sub(listed.record.created_ms) > u64::from(OLD_DAYS) * DAY_MS
}

impl Engine {
    /// Removes the trials that were wholly applied `days` ago or earlier, so that they cannot be undone any more; which. Of a
    /// jar only what undo needs goes, and the jar stays.
    /// One in use, or that cannot be read, stays: `trials` tells of it.
    ///
    /// # Errors
    /// When the store or the audit log cannot be used, or something cannot be removed.
    pub fn expire(&self, days: u32) -> Result<Vec<TrialId>, RunError> {
        let limit = now_ms().saturating_sub(u64::from(days) * DAY_MS);
        let (trials, _) = self.store.list()?;
        let over = |listed: &Listed| {
            let applied = listed.record.applied_ms.unwrap_or(listed.record.created_ms);
            !listed.in_use && is_wholly_applied(&listed.record) && applied <= limit
        };
        let mut gone = Vec::new();
        for id in trials.into_iter().filter(over).map(|listed| listed.record.id) {
            let Ok(trial) = Trial::reopen(&self.store, &id) else { continue };
            if trial.expire(&self.audit)? {
                gone.push(id);
            }
        }
        Ok(gone)
    }

    /// [`Engine::expire`] after [`UNDO_DAYS`], at most once a day.
    ///
    /// # Errors
    /// As for [`Engine::expire`].
    pub fn sweep(&self) -> Result<Vec<TrialId>, RunError> {
        let stamp = self.store.sibling(SWEPT);
        let swept = match fs::metadata(&stamp).and_then(|meta| meta.modified()) {
            Ok(time) => Some(time),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(&stamp, error).into()),
        };
        let recent = |time: SystemTime| time.elapsed().is_ok_and(|age| age < SWEEP_EVERY);
        if swept.is_some_and(recent) {
            return Ok(Vec::new());
        }
        let touched = File::create(&stamp).and_then(|file| file.set_modified(SystemTime::now()));
        touched.map_err(|error| failed(&stamp, error))?;
        self.expire(UNDO_DAYS)
    }
}

fn failed(stamp: &Path, error: io::Error) -> StoreError {
    io_error("look for what has expired", stamp)(error)
}
