//! Undo: takes back everything a layer applied, newest first. Planned, checked against later edits, journaled, resumable.
//!
//! Each apply kept its journal beside its pre-images. Undoing a step puts the pre-image back and takes what the apply
//! had put there; that waits in the pre-image's place until all steps are done, and then returns to the layer. Whether a
//! step is done shows in that place, whose path no step changes, so running it again after a crash does nothing twice.

mod check;
mod directories;
mod returning;
mod times;
mod worker;

use self::check::{Check, unbroken};
use self::worker::Worker;
use crate::error::{OverlayError, UndoError};
use crate::fs::at;
use crate::fs::remove;
use crate::overlay::Overlay;
use crate::settle::apply::{LayerState, PRE, serials};
use crate::settle::journal::{Progress, read_json};
use crate::settle::keep::{After, Kept, Moment, Now};
use crate::settle::step::{Fault, absent_ok};
use crate::store::origin::Identity;
use crate::store::{Store, store_error, write_durably};
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The journal of an undo, in the store directory.
pub(super) const UNDO: &str = "undo.json";

/// What came of an undo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// Changes that were real and are not any more.
    pub undone: u64,
    /// Changes that wait now.
    pub left: u64,
    /// For the other layers over these files.
    pub returned: Returned,
}

/// Host objects that are back in their places and unchanged, though their change times moved: [`Overlay::follow`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Returned(pub(crate) Vec<(Identity, Identity)>);

/// A checked plan. Nothing was done yet.
#[derive(Clone, Debug)]
pub struct UndoPlan {
    journal: Saved,
    stays: u64,
}

impl UndoPlan {
    /// How many changes it takes back.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.journal.changes
    }

    /// How many changes of older applies stay real, because somebody else edited what those had made before a later apply
    /// went over it: taking them back would take those edits along.
    #[must_use]
    pub fn stays(&self) -> u64 {
        self.stays
    }
}

/// The part of an undo that outlives the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    /// The applies it takes back, newest first.
    serials: Vec<u32>,
    changes: u64,
    /// Host directories whose modification times come back, by their path before the applies.
    times: Vec<(FilePath, Moment)>,
}

/// An undo that was begun.
pub(crate) struct Undoing {
    saved: Saved,
    progress: Progress,
}

impl Undoing {
    pub(crate) fn load(store: &Store) -> Result<Option<Undoing>, Errno> {
        let Some(parts) = store.made() else { return Ok(None) };
        let Some(saved) = read_json(&parts.dir, UNDO)? else {
            return Ok(None);
        };
        Ok(Some(Undoing { saved, progress: Progress::load(store)? }))
    }

    pub(crate) fn exists(store: &Store) -> Result<bool, Errno> {
        store.has(UNDO)
    }

    fn end(store: &Store) -> Result<(), Errno> {
        at::unlink_opt(&store.parts()?.dir, OsStr::new(UNDO))?;
        Progress::end(store)
    }
}

impl Overlay {
    /// How many changes of this layer are real and can be taken back.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn undoable(&self) -> Result<u64, OverlayError> {
        let kept = self.all_kept().map_err(|source| store_error(&self.store.path, source))?;
        Ok(kept.iter().map(|kept| kept.journal.changes).sum())
    }

    /// Forgets what undo would need, the oldest apply first: what is real stays so.
    ///
    /// # Errors
    /// The store is in use or cannot be written, or something is half done.
    pub fn forget_applied(&self) -> Result<(), OverlayError> {
        let _lock = self.store.lock()?;
        self.check_whole()?;
        let forget = || -> Result<(), Errno> {
            let Some(parts) = self.store.made() else { return Ok(()) };
            let Some(pre) = absent_ok(at::open_dir(&parts.dir, OsStr::new(PRE)))? else { return Ok(()) };
            serials(&pre)?.into_iter().try_for_each(|serial| drop_pre(self, &pre, serial))
        };
        forget().map_err(|source| store_error(&self.store.path, source))
    }

    /// Host paths that an undo would touch, absolute.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn undo_paths(&self) -> Result<Vec<FilePath>, OverlayError> {
        let kept = self.all_kept().map_err(|source| store_error(&self.store.path, source))?;
        let steps = kept.iter().flat_map(|kept| &kept.journal.steps);
        Ok(steps.map(|step| self.absolute(step.path.as_path())).collect())
    }

    /// Plans to take back everything this layer applied, without touching anything.
    ///
    /// # Errors
    /// [`UndoError::Conflicts`] when what was applied is not as the applies left it, [`UndoError::Nothing`] when there is
    /// nothing to take back, [`UndoError::Applying`] and [`UndoError::Unfinished`] when something must be finished first.
    pub fn plan_undo(&self) -> Result<UndoPlan, UndoError> {
        match self.state()? {
            LayerState::AtRest => {}
            LayerState::Applying => return Err(UndoError::Applying),
            LayerState::Undoing => return Err(UndoError::Unfinished),
        }
        let failed = |source| store_error(&self.store.path, source);
        let kept = self.all_kept().map_err(failed)?;
        if kept.is_empty() {
            return Err(UndoError::Nothing);
        }
        let (kept, older) = kept.split_at(unbroken(&kept));
        let check = Check::new(self, kept);
        let conflicts = check.conflicts().map_err(|(rel, source)| self.read_error(&rel, source))?;
        if !conflicts.is_empty() {
            return Err(UndoError::Conflicts(conflicts));
        }
        let times = check.times().map_err(failed)?;
        let changes = |kept: &[Kept]| kept.iter().map(|kept| kept.journal.changes).sum();
        let serials = kept.iter().map(|kept| kept.journal.serial).collect();
        Ok(UndoPlan { journal: Saved { serials, changes: changes(kept), times }, stays: changes(older) })
    }

    /// Takes back what was applied: the host is as it was, and the layer holds its changes again. Each file of the host is
    /// its old or its new self at every moment.
    ///
    /// # Errors
    /// [`UndoError::Conflicts`] when the host changed since the plan was made; nothing was done then.
    /// [`UndoError::RolledBack`] when a step failed and everything is applied as before. [`UndoError::Step`] when that
    /// could not be had either; [`Overlay::resume_undo`] tries again.
    pub fn undo(&self, plan: UndoPlan) -> Result<Undone, UndoError> {
        self.undo_with(plan, &|| {})
    }

    pub(crate) fn undo_with(&self, plan: UndoPlan, fault: Fault<'_>) -> Result<Undone, UndoError> {
        let _lock = self.store.lock()?;
        let failed = |source| store_error(&self.store.path, source);
        if self.plan_undo()?.journal != plan.journal {
            return Err(UndoError::Stale);
        }
        self.check_whole()?;
        self.forget_checkpoints().map_err(failed)?;
        self.store.clean_work().map_err(failed)?;
        let progress = Progress::begin(&self.store).map_err(failed)?;
        let bytes = serde_json::to_vec(&plan.journal).map_err(|_| failed(Errno::EIO))?;
        fault();
        write_durably(&self.store.ensure()?.dir, UNDO, &bytes).map_err(failed)?;
        self.work_undo(Undoing { saved: plan.journal, progress }, fault)
    }

    /// Finishes an undo that was interrupted, or takes it back where that is not possible.
    ///
    /// # Errors
    /// As for [`Overlay::undo`].
    pub fn resume_undo(&self) -> Result<Undone, UndoError> {
        self.resume_undo_with(&|| {})
    }

    pub(crate) fn resume_undo_with(&self, fault: Fault<'_>) -> Result<Undone, UndoError> {
        let _lock = self.store.lock()?;
        match Undoing::load(&self.store).map_err(|source| store_error(&self.store.path, source))? {
            Some(undoing) => self.work_undo(undoing, fault),
            None => Ok(Undone { left: self.count_left()?, ..Undone::default() }),
        }
    }

    fn work_undo(&self, undoing: Undoing, fault: Fault<'_>) -> Result<Undone, UndoError> {
        let store = |source| store_error(&self.store.path, source);
        let undone = undoing.saved.changes;
        let mut worker = Worker::new(self, undoing, fault).map_err(store)?;
        if !worker.progress.committed {
            self.perform_undo(&mut worker)?;
        }
        worker.settle().map_err(|(rel, source)| UndoError::Step { path: self.absolute(&rel), source })?;
        let returned = worker.returned().map_err(store)?;
        worker.drop_kept().map_err(store)?;
        fault();
        Undoing::end(&self.store).map_err(store)?;
        Ok(Undone { undone, left: self.count_left()?, returned })
    }

    /// Lets this layer know the objects that the undo of another one has put back, so that what only moved does not count
    /// as changed here.
    ///
    /// # Errors
    /// The store is in use, or cannot be written.
    pub fn follow(&self, returned: &Returned) -> Result<(), OverlayError> {
        let _lock = self.store.lock()?;
        let Some(parts) = self.store.made() else { return Ok(()) };
        let failed = |source| store_error(&self.store.path, source);
        for (was, now) in &returned.0 {
            parts.origins.follow(was, now).map_err(failed)?;
        }
        for kept in self.all_kept().map_err(failed)? {
            kept.follow(&returned.0).map_err(failed)?;
        }
        Ok(())
    }

    /// All steps, or none.
    fn perform_undo(&self, worker: &mut Worker<'_>) -> Result<(), UndoError> {
        for number in 0..worker.items.len() {
            let Err(source) = worker.perform(number) else {
                continue;
            };
            let path = worker.items.get(number).map(|item| self.absolute(item.step.path.as_path())).unwrap_or_default();
            let taken_back = worker.take_back(number).and_then(|()| Undoing::end(&self.store));
            return Err(match taken_back {
                Ok(()) => UndoError::RolledBack { path, source },
                Err(_) => UndoError::Step { path, source },
            });
        }
        (worker.fault)();
        worker.progress.commit().map_err(|source| store_error(&self.store.path, source).into())
    }

    /// Ends an interrupted undo before the layer is thrown away: forward when all steps are done, else back.
    pub(crate) fn abandon_undo(&self, undoing: Undoing) -> Result<(), Errno> {
        let mut worker = Worker::new(self, undoing, &|| {})?;
        if worker.progress.committed {
            return worker.drop_stages();
        }
        (0..worker.items.len()).rev().try_for_each(|number| worker.revert(number))
    }

    /// A link or a fifo may have left the layer under one name before, and moved its change time now.
    pub(crate) fn follow_links(&self, after: &After) -> Result<(), Errno> {
        let special = |identity: &Identity| !matches!(identity.mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR);
        let now = after.left.iter().filter_map(|left| match left.is {
            Now::This(identity) if special(&identity) => Some((Identity { ctime: (0, 0), ..identity }, identity)),
            _ => None,
        });
        let pairs: Vec<(Identity, Identity)> = now.collect();
        if pairs.is_empty() {
            return Ok(());
        }
        self.all_kept()?.iter().try_for_each(|kept| kept.follow(&pairs))
    }

    /// What can be taken back, newest first.
    fn all_kept(&self) -> Result<Vec<Kept>, Errno> {
        let Some(parts) = self.store.made() else { return Ok(Vec::new()) };
        let pre = match at::open_dir(&parts.dir, OsStr::new(PRE)) {
            Ok(pre) => pre,
            Err(Errno::ENOENT) => return Ok(Vec::new()),
            Err(errno) => return Err(errno),
        };
        let mut kept = Vec::new();
        for serial in serials(&pre)?.into_iter().rev() {
            kept.extend(Kept::load(self.pre_dir(serial)?)?);
        }
        Ok(kept)
    }
}

type Checked<T> = Result<T, (PathBuf, Errno)>;

/// Removes what was kept of one apply. It goes in one step, so that half of it is never taken for the whole.
fn drop_pre(overlay: &Overlay, pre: &OwnedFd, serial: u32) -> Result<(), Errno> {
    let spare = OsString::from(overlay.store.fresh_name());
    let name = OsString::from(serial.to_string());
    let work = &overlay.store.parts()?.work;
    match at::rename(pre, &name, work, &spare, RenameFlags::empty()) {
        Ok(()) => remove::tree(work, &spare),
        Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}
