//! A trial as a value: `Trial<Prepared>` -> `Trial<Ran>` -> `Trial<Frozen>` -> [`Settlement`](crate::Settlement). Each
//! step consumes the one before, so no other order can be written: nothing runs without an [`Approval`], nothing is
//! applied that was not run, frozen and reviewed.
//!
//! What has been frozen can be looked at:
//! ```
//! fn look(trial: &belljar_engine::Trial<belljar_engine::Frozen>) -> usize { trial.changes().changes.len() }
//! ```
//! What has not run cannot:
//! ```compile_fail,E0599
//! fn look(trial: &belljar_engine::Trial<belljar_engine::Prepared>) -> usize { trial.changes().changes.len() }
//! ```
//! An approval that was granted can be asked who granted it:
//! ```
//! fn who(approval: &belljar_engine::Approval) -> &'static str { approval.by() }
//! ```
//! Nobody else can make one:
//! ```compile_fail,E0451
//! fn forge(granted: belljar_engine::Approval) -> belljar_engine::Approval {
//!     belljar_engine::Approval { ..granted }
//! }
//! ```

use crate::approve::Approval;
use crate::audit::now_ms;
use crate::error::RunError;
use crate::journey::Weight;
use crate::store::{Store, TrialDir, TrialRecord};
use model::{Attempt, ChangeSet, Confinement, FilePath, Hidden, Review, TrialId, TrialState, WritableRoot};
use overlay::{Overlay, Served};
use policy::Policy;
use sandbox::Standby;
use std::ffi::OsString;
use std::io;
use std::time::Instant;

/// One command's run in a jar, at the stage `S`.
pub struct Trial<S> {
    pub(crate) record: TrialRecord,
    pub(crate) dir: TrialDir,
    /// One for each root of the record, in its order.
    pub(crate) overlays: Vec<Overlay>,
    pub(crate) stage: S,
}

/// Its layers stand; nothing has run.
#[derive(Debug)]
pub struct Prepared {
    confinement: Confinement,
}

/// It has run, or was interrupted; nothing writes any more.
#[derive(Debug)]
pub struct Ran {
    exec_error: Option<i32>,
}

/// Its changes are known and judged.
#[derive(Debug)]
pub struct Frozen {
    pub(crate) changes: ChangeSet,
    pub(crate) review: Review,
    exec_error: Option<i32>,
}

impl<S> Trial<S> {
    /// What is remembered of it.
    #[must_use]
    pub fn record(&self) -> &TrialRecord {
        &self.record
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &TrialId {
        &self.record.id
    }
}

impl Trial<Prepared> {
    /// Makes the trial's directory and one overlay for each writable root. The record is written last and
    /// before anything runs, so one that is there has whole layers, and a directory without one never ran anything.
    ///
    /// # Errors
    /// When the store or an overlay cannot be made; then nothing is left behind.
    pub(crate) fn prepare(store: &Store, record: TrialRecord, confinement: Confinement) -> Result<Self, RunError> {
        let dir = store.create(&record.id)?;
        match layers(&dir, &record, &confinement) {
            Ok(overlays) => Ok(Trial { record, dir, overlays, stage: Prepared { confinement } }),
            Err(error) => {
                // The layers hold nothing yet; the first error is the one worth telling.
                let _ = dir.remove();
                Err(error)
            }
        }
    }

    /// Runs the command under glass and waits for it.
    ///
    /// # Errors
    /// When the jar could not be built: then the trial is gone and nothing ran. When it failed later the trial stays.
    pub(crate) fn execute(mut self, _approval: Approval, standby: Standby) -> Result<Trial<Ran>, RunError> {
        let began = Instant::now();
        let mut served = Vec::new();
        let started = standby.start(&self.request(), &mut |index, fuse| {
            let overlay = self.overlays.get(index).ok_or(io::ErrorKind::InvalidInput)?;
            served.push(overlay.serve(fuse).map_err(io::Error::other)?);
            Ok(())
        });
        let running = match started {
            Ok(running) => running,
            Err(error) => return Err(self.abandon(served, error)),
        };
        let ended = running.wait()?;
        let mut attempts = ended.attempts;
        for served in served {
            attempts.extend(served.finish()?.attempts);
        }
        self.record.exit = Some(ended.exit);
        self.record.wall_ms = u64::try_from(began.elapsed().as_millis()).ok();
        self.record.containment = ended.containment;
        self.record.attempts = merged(attempts);
        Ok(self.become_ran(ended.exec_error))
    }

    fn request(&self) -> sandbox::Request {
        sandbox::Request {
            confinement: self.stage.confinement.clone(),
            argv: self.record.argv.iter().map(|word| OsString::from(word.as_os_str())).collect(),
            accept_weak: Vec::new(),
        }
    }

    /// The jar could not be built, so nothing ran: leaves nothing behind and tells why.
    fn abandon(self, served: Vec<Served>, error: sandbox::SandboxError) -> RunError {
        // The first error is the one worth telling; what cannot be removed now, `trials` finds.
        served.into_iter().for_each(|served| drop(served.finish()));
        let _ = discard_layers(self.overlays, self.dir);
        error.into()
    }

    fn become_ran(self, exec_error: Option<i32>) -> Trial<Ran> {
        let Trial { mut record, dir, overlays, .. } = self;
        record.state = TrialState::Pending;
        Trial { record, dir, overlays, stage: Ran { exec_error } }
    }
}

impl Trial<Ran> {
    /// Enters the journey here: a trial that ran before, or whose Belljar was killed.
    ///
    /// # Errors
    /// When it is in use, damaged, or its layers cannot be read.
    pub(crate) fn reopen(store: &Store, id: &TrialId) -> Result<Self, RunError> {
        let dir = store.lock(id)?;
        let mut record = store.load(id)?;
        // Killed while it was being removed: a layer that is gone holds nothing any more.
        let layers = (0..record.roots.len()).map(|index| dir.layer(index)).filter(|layer| layer.exists());
        let overlays = layers.map(|layer| Overlay::open(&layer)).collect::<Result<Vec<_>, _>>()?;
        if record.state == TrialState::Running {
            record.state = TrialState::Pending;
        }
        Ok(Trial { record, dir, overlays, stage: Ran { exec_error: None } })
    }

    /// What its layers hold.
    ///
    /// # Errors
    /// When a layer cannot be read.
    pub(crate) fn weigh(&self) -> Result<Weight, RunError> {
        let mut weight = Weight { changes: Some(0), ..Weight::default() };
        for overlay in self.overlays.iter() {
            if overlay.is_untouched()? {
                continue;
            }
            let (bytes, files) = overlay.size()?;
            let changes = overlay.changes()?.changes.len() as u64;
            weight.bytes += bytes;
            weight.files += files;
            weight.changes = weight.changes.map(|sum| sum + changes);
        }
        Ok(weight)
    }

    /// Takes stock: the change set over all overlays, and what the policy makes of it.
    ///
    /// # Errors
    /// When a layer cannot be read.
    pub(crate) fn freeze(self, policy: &Policy) -> Result<Trial<Frozen>, RunError> {
        let mut changes = ChangeSet::default();
        for overlay in &self.overlays {
            if !overlay.is_untouched()? {
                changes.changes.append(&mut overlay.changes()?.changes);
            }
        }
        changes.changes.sort_by(|a, b| a.path.cmp(&b.path));
        let Trial { record, dir, overlays, stage: Ran { exec_error } } = self;
        let review = policy.review(&changes, &record.analysis, &record.place, &record.attempts);
        Ok(Trial { record, dir, overlays, stage: Frozen { changes, review, exec_error } })
    }
}

impl Trial<Frozen> {
    /// What it changed, over all roots.
    #[must_use]
    pub fn changes(&self) -> &ChangeSet {
        &self.stage.changes
    }

    /// How that was judged.
    #[must_use]
    pub fn review(&self) -> &Review {
        &self.stage.review
    }

    /// Why the command could not be started, as an errno(3) number; `None` when it was.
    #[must_use]
    pub fn exec_error(&self) -> Option<i32> {
        self.stage.exec_error
    }

    /// The difference one change makes, for a person.
    ///
    /// # Errors
    /// When a side of it cannot be read.
    pub fn preview(&self, change: &model::Change) -> Result<overlay::Preview, RunError> {
        let owner = self.overlay_of(&change.path).ok_or_else(|| crate::SettleError::Outside(change.path.clone()))?;
        Ok(owner.preview(change)?)
    }

    /// The overlay whose root holds `path`, the innermost where they nest.
    pub(crate) fn overlay_of(&self, path: &FilePath) -> Option<&Overlay> {
        let holding = self.overlays.iter().filter(|overlay| path.starts_with(overlay.root()));
        holding.max_by_key(|overlay| overlay.root().as_bytes().len())
    }
}

fn layers(dir: &TrialDir, record: &TrialRecord, confinement: &Confinement) -> Result<Vec<Overlay>, RunError> {
    let make = |(index, root): (usize, &WritableRoot)| {
        let spec = overlay::Spec {
            root: root.path.clone(),
            dir: dir.layer(index),
            hidden: below(&confinement.hidden, &root.path),
            nested: nested(&confinement.roots, &root.path),
            id: record.id.0.clone(),
        };
        Overlay::create(&spec).map_err(RunError::from)
    };
    let overlays = confinement.roots.iter().enumerate().map(make).collect::<Result<_, _>>()?;
    dir.save(record)?;
    Ok(overlays)
}

fn below(hidden: &[Hidden], root: &FilePath) -> Vec<Hidden> {
    hidden.iter().filter(|hidden| hidden.path.starts_with(root)).cloned().collect()
}

fn nested(roots: &[WritableRoot], outer: &FilePath) -> Vec<FilePath> {
    let inside = roots.iter().filter(|root| root.path != *outer && root.path.starts_with(outer));
    inside.map(|root| root.path.clone()).collect()
}

/// Removes a trial with all its layers.
pub(crate) fn discard_layers(overlays: Vec<Overlay>, dir: TrialDir) -> Result<(), RunError> {
    for overlay in overlays {
        overlay.discard()?;
    }
    Ok(dir.remove()?)
}

/// The same attempt seen by several watchers is one.
fn merged(mut attempts: Vec<Attempt>) -> Vec<Attempt> {
    attempts.sort();
    let mut out: Vec<Attempt> = Vec::new();
    for attempt in attempts {
        match out.last_mut() {
            Some(last)
                if (&last.action, &last.target, &last.rule) == (&attempt.action, &attempt.target, &attempt.rule) =>
            {
                last.times += attempt.times;
            }
            _ => out.push(attempt),
        }
    }
    out
}

/// A record for a trial that is about to be prepared.
pub(crate) fn record(id: TrialId, judged: &crate::Judged, argv: &[OsString], confinement: &Confinement) -> TrialRecord {
    TrialRecord {
        version: 1,
        id,
        argv: argv.iter().map(FilePath::new).collect(),
        place: judged.place.clone(),
        created_ms: now_ms(),
        state: TrialState::Running,
        roots: confinement.roots.clone(),
        analysis: judged.analysis.clone(),
        assessment: judged.assessment.clone(),
        decision: judged.decision.clone(),
        exit: None,
        wall_ms: None,
        containment: model::Containment::default(),
        attempts: Vec::new(),
        env_withheld: confinement.env_withheld.clone(),
        applying: None,
        applied: 0,
        applied_ms: None,
    }
}
