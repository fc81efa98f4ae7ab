//! Apply, resume, discard: the only door through which changes reach the host.

use crate::changes::diff::{host_object, open_upper};
use crate::error::{ApplyError, Conflict, ConflictKind, OverlayError};
use crate::fs::at;
use crate::fs::remove;
use crate::fs::xattr;
use crate::overlay::Overlay;
use crate::settle::journal::{Action, Journal, Running, Step};
use crate::settle::plan::ApplyPlan;
use crate::settle::step::{Fault, Worker};
use crate::store::store_error;
use crate::view::copy_up;
use crate::view::layers::{Reach, reach};
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
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
}

/// Where the pre-images of every apply are kept, in the store.
const PRE: &str = "pre";

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
        let failed = |source| store_error(&self.store.path, source);
        self.make_ready(&plan).map_err(failed)?;
        let (serial, pre) = self.new_pre_dir().map_err(failed)?;
        let (changes, allow_setid, steps) = (plan.changes, plan.allow_setid, plan.steps);
        let mut journal = Journal { serial, changes, allow_setid, steps, times: plan.times };
        self.renew_own(&mut journal.steps).map_err(failed)?;
        fault();
        let running = Running::begin(&self.store, journal).map_err(failed)?;
        self.work(Worker { overlay: self, running, pre, fault })
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
        self.work(Worker { overlay: self, running, pre, fault })
    }

    /// Whether an apply was interrupted.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn state(&self) -> Result<LayerState, OverlayError> {
        let begun = Running::exists(&self.store).map_err(|e| store_error(&self.store.path, e))?;
        Ok(if begun { LayerState::Applying } else { LayerState::AtRest })
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

    /// Removes the layer with everything that was not applied, and the pre-images of what was.
    ///
    /// # Errors
    /// The store is in use, or cannot be removed; or an interrupted apply cannot be taken back first.
    pub fn discard(self) -> Result<(), OverlayError> {
        let _lock = self.store.lock()?;
        let failed = |source| store_error(&self.store.path, source);
        if let Some(running) = Running::load(&self.store).map_err(failed)? {
            self.abandon(running).map_err(failed)?;
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
        let mut worker = Worker { overlay: self, running, pre, fault: &|| {} };
        if worker.running.committed {
            return steps.iter().try_for_each(|step| worker.settle(step));
        }
        steps.iter().rev().try_for_each(|step| worker.revert(step))
    }

    fn work(&self, mut worker: Worker<'_>) -> Result<Applied, ApplyError> {
        let steps = worker.running.journal.steps.clone();
        if !worker.running.committed {
            self.perform(&mut worker, &steps)?;
        }
        let failed = |step: &Step, source| ApplyError::Step { path: self.absolute(step.path.as_path()), source };
        for step in &steps {
            worker.settle(step).map_err(|source| failed(step, source))?;
            self.settle_records(step).map_err(|source| failed(step, source))?;
        }
        let applied = worker.running.journal.changes;
        self.times_arrive(&worker.running.journal.times).map_err(|source| store_error(&self.store.path, source))?;
        let store = |source| store_error(&self.store.path, source);
        self.prune().map_err(store)?;
        (worker.fault)();
        Running::end(&self.store).map_err(store)?;
        Ok(Applied { applied, left: self.count_left()? })
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
        worker.running.commit().map_err(|source| store_error(&self.store.path, source).into())
    }

    /// Reverts the steps that were begun, and the journal is over.
    fn take_back(&self, worker: &mut Worker<'_>, begun: &[Step]) -> Result<(), Errno> {
        begun.iter().rev().try_for_each(|step| worker.revert(step))?;
        begun.iter().filter(|step| !step.lower.as_bytes().is_empty()).try_for_each(|step| worker.renew_record(step))?;
        Running::end(&self.store)
    }

    /// The plan must still fit both sides; nothing was touched yet.
    fn check_fresh(&self, plan: &ApplyPlan) -> Result<(), ApplyError> {
        if self.state()? == LayerState::Applying {
            return Err(ApplyError::Unfinished);
        }
        let renames = plan.steps.iter().filter(|step| matches!(step.action, Action::Stash | Action::Place { .. }));
        let moving: HashSet<&Path> = renames.map(|step| step.path.as_path()).collect();
        let mut conflicts = Vec::new();
        for step in &plan.steps {
            let path = self.absolute(step.path.as_path());
            let failed = |source| OverlayError::Read { path: path.clone(), source };
            if !self.own_is_fresh(step).map_err(failed)? {
                return Err(ApplyError::Stale);
            }
            if let Some(kind) = self.host_conflict(step, &moving).map_err(failed)? {
                conflicts.push(Conflict { path, kind });
            }
        }
        if conflicts.is_empty() { Ok(()) } else { Err(ApplyError::Conflicts(conflicts)) }
    }

    fn own_is_fresh(&self, step: &Step) -> Result<bool, Errno> {
        if !matches!(step.action, Action::Put | Action::Attributes | Action::Make) {
            return Ok(true);
        }
        let own = host_object(&self.store.upper, step.path.as_path())?;
        Ok(own.map(|(_, stat)| stat.st_ino) == step.own)
    }

    fn host_conflict(&self, step: &Step, moving: &HashSet<&Path>) -> Result<Option<ConflictKind>, Errno> {
        let Some(was) = &step.host else {
            // Where directories are renamed, a place is free or not only after that.
            let vacated = step.path.as_path().ancestors().any(|above| moving.contains(above));
            let there = !vacated && host_object(&self.root, step.path.as_path())?.is_some();
            return Ok(there.then_some(ConflictKind::Appeared));
        };
        Ok(match host_object(&self.root, step.lower.as_path())? {
            None => Some(ConflictKind::Gone),
            Some((_, stat)) => (!was.matches(&stat)).then_some(ConflictKind::Changed),
        })
    }

    /// Brings the upper layer into a form in which parts of it can leave.
    fn make_ready(&self, plan: &ApplyPlan) -> Result<(), Errno> {
        self.store.clean_work()?;
        for name in self.store.link_names()? {
            at::unlink(&self.store.work, &name)?;
        }
        self.write_composed(&plan.composed)?;
        for rel in &plan.opaque {
            self.spell_out(rel)?;
        }
        if plan.whole { Ok(()) } else { self.part_links(plan) }
    }

    /// Replaces an opaque mark by a whiteout for each host name it hides, so that names can be applied one by one.
    fn spell_out(&self, rel: &Path) -> Result<(), Errno> {
        let lower = self.lower_path(rel)?;
        let host = match at::open_beneath(&self.root, &lower) {
            Ok(host) => host,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let own = open_upper(self, rel)?;
        for entry in at::list(&host)? {
            if at::forced(&[&own], || at::stat_opt(&own, &entry.name))?.is_none() {
                self.store.whiteout(&own, &entry.name)?;
            }
        }
        match at::forced(&[&own], || xattr::remove(&own, at::dot(), OsStr::new(xattr::OPAQUE))) {
            Err(Errno::ENODATA) => Ok(()),
            other => other,
        }
    }

    /// When only some names of a file leave, they leave as a file of their own: a file that is half on the host and
    /// half in the layer would carry later writes from one to the other.
    fn part_links(&self, plan: &ApplyPlan) -> Result<(), Errno> {
        let mut leaving: HashMap<u64, Vec<PathBuf>> = HashMap::new();
        for step in plan.steps.iter().filter(|step| step.action == Action::Put && step.near && step.part.is_none()) {
            self.collect_linked(step.path.as_path(), &mut leaving)?;
        }
        for names in leaving.into_values() {
            self.part(&names)?;
        }
        Ok(())
    }

    fn collect_linked(&self, rel: &Path, leaving: &mut HashMap<u64, Vec<PathBuf>>) -> Result<(), Errno> {
        let mut waiting = vec![rel.to_owned()];
        while let Some(rel) = waiting.pop() {
            let (parent, name) = at::split(&rel).ok_or(Errno::EISDIR)?;
            let dir = open_upper(self, parent)?;
            let stat = at::forced(&[&dir], || at::stat(&dir, name))?;
            if at::is_dir(&stat) {
                let inner = open_upper(self, &rel)?;
                waiting.extend(at::list_own(&inner)?.into_iter().map(|entry| rel.join(entry.name)));
            } else if stat.st_nlink > 1 {
                leaving.entry(stat.st_ino).or_default().push(rel);
            }
        }
        Ok(())
    }

    fn part(&self, names: &[PathBuf]) -> Result<(), Errno> {
        let Some((first, others)) = names.split_first() else {
            return Ok(());
        };
        let (parent, name) = at::split(first).ok_or(Errno::EISDIR)?;
        let dir = open_upper(self, parent)?;
        let stat = at::stat(&dir, name)?;
        if u64::try_from(names.len()).unwrap_or(0) >= stat.st_nlink || at::kind_of(&stat) != libc::S_IFREG {
            return Ok(());
        }
        let spare = OsString::from(self.store.fresh_name());
        copy_up::copy_file(&dir, name, &self.store.work, &spare, copy_up::Content::All)?;
        for other in others {
            let (parent, name) = at::split(other).ok_or(Errno::EISDIR)?;
            let dir = open_upper(self, parent)?;
            let link = OsString::from(self.store.fresh_name());
            at::link(&self.store.work, &spare, &self.store.work, &link)?;
            at::forced(&[&dir], || at::rename(&self.store.work, &link, &dir, name, RenameFlags::empty()))?;
        }
        at::forced(&[&dir], || at::rename(&self.store.work, &spare, &dir, name, RenameFlags::empty()))
    }

    /// Parting hard links gave some objects other inode numbers, and composed files have their own.
    fn renew_own(&self, steps: &mut [Step]) -> Result<(), Errno> {
        for step in steps.iter_mut().filter(|step| step.action == Action::Put) {
            let own = match &step.part {
                Some(part) => at::stat_opt(&self.store.work, OsStr::new(&part.name))?,
                None => host_object(&self.store.upper, step.path.as_path())?.map(|(_, stat)| stat),
            };
            step.own = own.map(|stat| stat.st_ino);
        }
        Ok(())
    }

    fn new_pre_dir(&self) -> Result<(u32, OwnedFd), Errno> {
        match at::mkdir(&self.store.dir, OsStr::new(PRE), 0o700) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        let pre = at::open_dir(&self.store.dir, OsStr::new(PRE))?;
        let serial = u32::try_from(at::list(&pre)?.len()).map_err(|_| Errno::EMLINK)?;
        at::mkdir(&pre, OsStr::new(&serial.to_string()), 0o700)?;
        Ok((serial, self.pre_dir(serial)?))
    }

    fn pre_dir(&self, serial: u32) -> Result<OwnedFd, Errno> {
        at::open_beneath(&self.store.dir, &Path::new(PRE).join(serial.to_string()))
    }

    /// The host is the new origin of what was applied.
    fn settle_records(&self, step: &Step) -> Result<(), Errno> {
        let rel = step.path.as_path();
        let below = !matches!(step.action, Action::Make | Action::Attributes);
        self.store.origins.forget(rel, below)?;
        if matches!(step.action, Action::Make | Action::Attributes | Action::Place { .. })
            && let Some((_, stat)) = host_object(&self.root, rel)?
        {
            self.store.origins.cover(rel, &stat)?;
        }
        if step.leaves_rest() { self.start_anew(step) } else { Ok(()) }
    }

    /// Removes from the upper layer what says nothing any more: whiteouts over nothing, and directories that are
    /// empty and like the host's.
    fn prune(&self) -> Result<(), Errno> {
        let mut order = vec![PathBuf::new()];
        let mut next = 0;
        while let Some(rel) = order.get(next).cloned() {
            next += 1;
            let dir = open_upper(self, &rel)?;
            for entry in at::list_own(&dir)?.into_iter().filter(|entry| entry.kind == libc::S_IFDIR) {
                // A rename that waits still keeps everything below it.
                if matches!(at::forced(&[&dir], || reach(&dir, &entry.name))?, Reach::Same) {
                    order.push(rel.join(&entry.name));
                }
            }
        }
        order.iter().rev().try_for_each(|rel| self.prune_dir(rel))
    }

    fn prune_dir(&self, rel: &Path) -> Result<(), Errno> {
        let dir = open_upper(self, rel)?;
        for entry in at::list_own(&dir)? {
            let stat = at::forced(&[&dir], || at::stat(&dir, &entry.name))?;
            if at::is_whiteout(&stat) && host_object(&self.root, &rel.join(&entry.name))?.is_none() {
                at::forced(&[&dir], || at::unlink(&dir, &entry.name))?;
            }
        }
        let Some((parent, name)) = at::split(rel) else {
            return Ok(());
        };
        let Ok(host) = at::open_beneath(&self.root, rel) else {
            return Ok(());
        };
        let (theirs, ours) = (at::stat(&host, at::dot())?, at::stat(&dir, at::dot())?);
        let known = |s: &at::Stat| (s.st_mode, s.st_uid, s.st_gid);
        let like = known(&theirs) == known(&ours)
            && xattr::all_foreign(&host, at::dot())? == xattr::all_foreign(&dir, at::dot())?;
        if !like || !at::list_own(&dir)?.is_empty() {
            return Ok(());
        }
        let above = open_upper(self, parent)?;
        at::forced(&[&above], || at::rmdir(&above, name))?;
        self.store.origins.forget(rel, false)
    }

    fn count_left(&self) -> Result<u64, OverlayError> {
        Ok(u64::try_from(self.deltas()?.len()).unwrap_or(u64::MAX))
    }
}
