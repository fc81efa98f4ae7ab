//! Apply, resume, discard: the only door through which changes reach the host.

use crate::changes::diff::{host_object, open_own};
use crate::error::{ApplyError, Conflict, ConflictKind, OverlayError};
use crate::fs::at;
use crate::fs::parents::Parents;
use crate::fs::remove;
use crate::overlay::Overlay;
use crate::settle::journal::{Action, Journal, PLAN, Running, Step};
use crate::settle::keep::{self, After, Before, Moment};
use crate::settle::plan::ApplyPlan;
use crate::settle::step::{Fault, Worker};
use crate::settle::undo::{UNDO, Undoing};
use crate::store::origin::Identity;
use crate::store::store_error;
use nix::errno::Errno;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// What came of an apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Changes that are real now.
    pub applied: u64,
    /// Changes that wait still.
    pub left: u64,
}

/// Whether an apply is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// No apply is begun.
    AtRest,
    /// An apply was begun and not finished: [`Overlay::resume`].
    Applying,
    /// An undo was begun and not finished: [`Overlay::resume_undo`].
    Undoing,
}

/// Where the pre-images of every apply are kept, in the store.
pub(crate) const PRE: &str = "pre";

impl Overlay {
    /// Makes the planned changes real. Each file of the host is its old or its new self at every moment.
    ///
    /// # Errors
    /// [`ApplyError::Conflicts`] when the host changed since the plan was made; nothing was done then.
    /// [`ApplyError::RolledBack`] when a step failed and the host is as it was. [`ApplyError::Step`] when it could not
    /// be taken back either; [`Overlay::resume`] tries again.
    pub fn apply(&self, plan: ApplyPlan) -> Result<Applied, ApplyError> {
        self.apply_with(plan, &|| {})
    }

    pub(crate) fn apply_with(&self, plan: ApplyPlan, fault: Fault<'_>) -> Result<Applied, ApplyError> {
        let _lock = self.store.lock()?;
        self.check_fresh(&plan)?;
        if self.store.made().is_none() {
            return Ok(Applied::default());
        }
        let failed = |source| store_error(&self.store.path, source);
        self.forget_checkpoints().map_err(failed)?;
        let links = self.links_at_stake(&plan).map_err(failed)?;
        let copies = self.marked(&plan.copies).map_err(failed)?;
        self.make_ready(&plan).map_err(failed)?;
        let (serial, pre) = self.new_pre_dir().map_err(failed)?;
        let setid = if plan.allow_setid { Vec::new() } else { plan.setid };
        let before = Before { links, copies, ..Before::of(self, &plan.steps, &setid).map_err(failed)? };
        let (changes, allow_setid, steps) = (plan.changes, plan.allow_setid, plan.steps);
        let mut journal = Journal { serial, changes, allow_setid, steps, before, times: plan.times };
        self.renew_own(&mut journal.steps).map_err(failed)?;
        fault();
        let running = Running::begin(&self.store, journal).map_err(failed)?;
        let mut worker = Worker::new(self, running, pre, fault);
        worker.fresh = true;
        self.work(worker)
    }

    /// Finishes an apply that was interrupted, or takes it back where that is not possible.
    ///
    /// # Errors
    /// As for [`Overlay::apply`].
    pub fn resume(&self) -> Result<Applied, ApplyError> {
        self.resume_with(&|| {})
    }

    pub(crate) fn resume_with(&self, fault: Fault<'_>) -> Result<Applied, ApplyError> {
        let _lock = self.store.lock()?;
        let failed = |source| store_error(&self.store.path, source);
        let Some(running) = Running::load(&self.store).map_err(failed)? else {
            return Ok(Applied { applied: 0, left: self.count_left()? });
        };
        let pre = self.pre_dir(running.journal.serial).map_err(failed)?;
        self.work(Worker::new(self, running, pre, fault))
    }

    /// Whether an apply or an undo was interrupted.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn state(&self) -> Result<LayerState, OverlayError> {
        let failed = |source| store_error(&self.store.path, source);
        if Running::exists(&self.store).map_err(failed)? {
            return Ok(LayerState::Applying);
        }
        let undoing = Undoing::exists(&self.store).map_err(failed)?;
        Ok(if undoing { LayerState::Undoing } else { LayerState::AtRest })
    }

    /// Nothing else may be begun before what was begun is done.
    pub(crate) fn check_at_rest(&self) -> Result<(), ApplyError> {
        match self.state()? {
            LayerState::AtRest => Ok(()),
            LayerState::Applying => Err(ApplyError::Unfinished),
            LayerState::Undoing => Err(ApplyError::Undoing),
        }
    }

    /// Removes a directory of ours that cannot be opened as a layer any more, with all below it, whatever its modes.
    /// Links are not followed. What is not there is removed already.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn purge(dir: &Path) -> Result<(), OverlayError> {
        let failed = |source| store_error(dir, source);
        let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else {
            return Err(failed(Errno::EINVAL));
        };
        let parent = at::open_root(parent).map_err(failed)?;
        crate::fs::remove::tree(&parent, name).map_err(failed)
    }

    /// Whether the layer in directory `store` holds files of the host that an interrupted apply or undo put aside: it must
    /// not be purged.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn is_interrupted(store: &Path) -> std::io::Result<bool> {
        Ok(store.join(PLAN).try_exists()? || store.join(UNDO).try_exists()?)
    }

    /// Removes the layer with everything that was not applied, and the pre-images of what was.
    ///
    /// # Errors
    /// The store is in use, or cannot be removed; or an interrupted apply or undo cannot be ended first.
    pub fn discard(self) -> Result<(), OverlayError> {
        let _lock = self.store.lock()?;
        if self.store.made().is_none() {
            return Ok(());
        }
        let failed = |source| store_error(&self.store.path, source);
        if let Some(running) = Running::load(&self.store).map_err(failed)? {
            self.abandon(running).map_err(failed)?;
        }
        if let Some(undoing) = Undoing::load(&self.store).map_err(failed)? {
            self.abandon_undo(undoing).map_err(failed)?;
        }
        let (Some(parent), Some(name)) = (self.store.path.parent(), self.store.path.file_name()) else {
            return Err(failed(Errno::EINVAL));
        };
        let parent = at::open_root(parent).map_err(failed)?;
        remove::tree(&parent, name).map_err(failed)
    }

    /// Ends an interrupted apply: forward when all steps are done, else back.
    fn abandon(&self, running: Running) -> Result<(), Errno> {
        let pre = self.pre_dir(running.journal.serial)?;
        let steps = running.journal.steps.clone();
        let mut worker = Worker::new(self, running, pre, &|| {});
        if worker.running.progress.committed {
            return steps.iter().try_for_each(|step| worker.settle(step));
        }
        steps.iter().rev().try_for_each(|step| worker.revert(step))
    }

    fn work(&self, mut worker: Worker<'_>) -> Result<Applied, ApplyError> {
        let steps = worker.running.journal.steps.clone();
        let store = |source| store_error(&self.store.path, source);
        let resumed = worker.running.progress.committed;
        if !resumed {
            self.perform(&mut worker, &steps)?;
        }
        // Between a commit and its resumption anybody may have edited what is real already.
        let cutoff = if resumed { Some(worker.running.progress.written().map_err(store)?) } else { None };
        let failed = |step: &Step, source| ApplyError::Step { path: self.absolute(step.path.as_path()), source };
        for step in &steps {
            worker.settle(step).map_err(|source| failed(step, source))?;
        }
        self.settle_records(&steps).map_err(store)?;
        let applied = worker.running.journal.changes;
        let after = self.take_stock(&worker, cutoff).map_err(store)?;
        self.follow_links(&after).map_err(store)?;
        (worker.fault)();
        self.prune(&worker.running.journal.times).map_err(store)?;
        (worker.fault)();
        Running::keep(&self.store, &worker.pre).map_err(store)?;
        Ok(Applied { applied, left: self.count_left()? })
    }

    /// What the apply left, kept for undo. Who edited what is real already is found before the times arrive, which moves
    /// change times; so going on after a crash does not look again.
    fn take_stock(&self, worker: &Worker<'_>, cutoff: Option<Moment>) -> Result<After, Errno> {
        let (journal, pre) = (&worker.running.journal, &worker.pre);
        let mut after = match After::load(pre)? {
            Some(after) => after,
            None => After::of(self, journal, pre, cutoff)?,
        };
        after.write(pre)?;
        (worker.fault)();
        self.times_arrive(&journal.times)?;
        (worker.fault)();
        after.look_again(self, journal)?;
        after.write(pre)?;
        Ok(after)
    }

    /// All steps, or none.
    fn perform(&self, worker: &mut Worker<'_>, steps: &[Step]) -> Result<(), ApplyError> {
        for (index, step) in steps.iter().enumerate() {
            let Err(source) = worker.perform(step) else {
                continue;
            };
            let path = self.absolute(step.path.as_path());
            return Err(match self.take_back(worker, steps.get(..=index).unwrap_or_default()) {
                Ok(()) => ApplyError::RolledBack { path, source },
                Err(_) => ApplyError::Step { path, source },
            });
        }
        (worker.fault)();
        worker.running.progress.commit().map_err(|source| store_error(&self.store.path, source).into())
    }

    /// Reverts the steps that were begun, and the journal is over.
    fn take_back(&self, worker: &mut Worker<'_>, begun: &[Step]) -> Result<(), Errno> {
        begun.iter().rev().try_for_each(|step| worker.revert(step))?;
        begun.iter().filter(|step| !step.lower.as_bytes().is_empty()).try_for_each(|step| worker.renew_record(step))?;
        // They were recorded a moment ago; after a crash they may have become somebody else's since.
        for (path, time) in worker.running.journal.before.times.iter().filter(|_| worker.fresh) {
            keep::set_mtime(&at::open_beneath(&self.root, path.as_path())?, *time)?;
        }
        Running::forget(&self.store)
    }

    /// The plan must still fit both sides; nothing was touched yet.
    fn check_fresh(&self, plan: &ApplyPlan) -> Result<(), ApplyError> {
        self.check_at_rest()?;
        self.check_whole()?;
        let leaves = |step: &&Step| matches!(step.action, Action::Stash | Action::Place { .. } | Action::Remove);
        let moving: HashSet<&Path> = plan.steps.iter().filter(leaves).map(|step| step.path.as_path()).collect();
        let mut conflicts = Vec::new();
        let mut upper = Parents::new(open_own);
        let mut host = Parents::new(|root, rel| at::open_beneath(root, rel));
        for step in &plan.steps {
            let failed = |source| self.read_error(step.path.as_path(), source);
            if !self.own_is_fresh(step, &mut upper).map_err(failed)? {
                return Err(ApplyError::Stale);
            }
            if let Some(kind) = self.host_conflict(step, &moving, &mut host).map_err(failed)? {
                conflicts.push(Conflict { path: self.absolute(step.path.as_path()), kind });
            }
        }
        if conflicts.is_empty() { Ok(()) } else { Err(ApplyError::Conflicts(conflicts)) }
    }

    fn own_is_fresh(&self, step: &Step, upper: &mut Parents) -> Result<bool, Errno> {
        if !matches!(step.action, Action::Put | Action::Attributes | Action::Make) {
            return Ok(true);
        }
        let own = upper.stat(&self.store.parts()?.upper, step.path.as_path())?;
        Ok(own.map(|stat| stat.st_ino) == step.own)
    }

    fn host_conflict(
        &self,
        step: &Step,
        moving: &HashSet<&Path>,
        host: &mut Parents,
    ) -> Result<Option<ConflictKind>, Errno> {
        let Some(was) = &step.host else {
            // Where directories are renamed or something makes room, a place is free or not only after that.
            let vacated = step.path.as_path().ancestors().any(|above| moving.contains(above));
            let there = !vacated && host.stat(&self.root, step.path.as_path())?.is_some();
            return Ok(there.then_some(ConflictKind::Appeared));
        };
        Ok(match host.stat(&self.root, step.lower.as_path())? {
            None => Some(ConflictKind::Gone),
            Some(stat) => (!was.matches(&stat)).then_some(ConflictKind::Changed),
        })
    }

    fn new_pre_dir(&self) -> Result<(u32, OwnedFd), Errno> {
        match at::mkdir(&self.store.parts()?.dir, OsStr::new(PRE), 0o700) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        let pre = at::open_dir(&self.store.parts()?.dir, OsStr::new(PRE))?;
        let serial = serials(&pre)?.last().map_or(0, |last| last.saturating_add(1));
        at::mkdir(&pre, OsStr::new(&serial.to_string()), 0o700)?;
        Ok((serial, self.pre_dir(serial)?))
    }

    pub(crate) fn pre_dir(&self, serial: u32) -> Result<OwnedFd, Errno> {
        at::open_beneath(&self.store.parts()?.dir, &Path::new(PRE).join(serial.to_string()))
    }

    /// The host is the new origin of what was applied.
    fn settle_records(&self, steps: &[Step]) -> Result<(), Errno> {
        let mut now = self.moved_records(steps)?;
        self.store.parts()?.origins.forget_all(&keep::forgotten(steps))?;
        for step in
            steps.iter().filter(|s| matches!(s.action, Action::Make | Action::Attributes | Action::Place { .. }))
        {
            let rel = step.path.as_path();
            now.extend(host_object(&self.root, rel)?.map(|(_, stat)| (rel.to_owned(), Identity::of(&stat))));
        }
        self.store.parts()?.origins.cover_all(&now)?;
        steps.iter().filter(|step| step.leaves_rest()).try_for_each(|step| self.start_anew(step))
    }

    /// The records of files in renamed directories that got another name, by their new paths: that name may wait still, and
    /// is held against them. Should a crash lose them, that is told as a conflict.
    fn moved_records(&self, steps: &[Step]) -> Result<Vec<(PathBuf, Identity)>, Errno> {
        let (origins, moves) = (&self.store.parts()?.origins, keep::Moves::of(steps));
        let stashed = steps.iter().filter(|step| step.action == Action::Stash);
        let stashed: Vec<(PathBuf, bool)> = stashed.map(|step| (step.path.as_path().to_owned(), true)).collect();
        let settled = |path: &Path| {
            let settles = |step: &Step| matches!(step.action, Action::Put | Action::Remove);
            steps.iter().any(|step| settles(step) && path.starts_with(step.path.as_path()))
        };
        let mut moved = Vec::new();
        for path in origins.paths_at(&stashed) {
            let now = moves.now_at(path.as_path());
            let Some(was) = origins.get(path.as_path()).filter(|_| !settled(&now)) else { continue };
            let there = host_object(&self.root, &now)?.filter(|(_, stat)| !at::is_dir(stat) && was.matches(stat));
            moved.extend(there.map(|_| (now, was)));
        }
        Ok(moved)
    }

    pub(crate) fn count_left(&self) -> Result<u64, OverlayError> {
        Ok(u64::try_from(self.deltas()?.len()).unwrap_or(u64::MAX))
    }
}

/// The numbers of the directories of pre-images, ascending.
pub(crate) fn serials(pre: &OwnedFd) -> Result<Vec<u32>, Errno> {
    let names = at::list(pre)?.into_iter().map(|entry| entry.name);
    let mut serials: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    serials.sort_unstable();
    Ok(serials)
}
