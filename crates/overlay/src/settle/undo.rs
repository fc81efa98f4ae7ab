//! Undo: takes back everything a layer applied, newest first. Planned, checked against later edits, journaled, resumable.
//!
//! Each apply kept its journal beside its pre-images. Undoing a step puts the pre-image back and takes what the apply
//! had put there; that waits in the pre-image's place until all steps are done, and then returns to the layer. Whether a
//! step is done shows in that place, whose path no step changes, so running it again after a crash does nothing twice.

use crate::changes::diff::{host_object, open_own, open_upper};
use crate::error::{Conflict, ConflictKind, OverlayError, UndoError};
use crate::fs::at::{self, Stat};
use crate::fs::parents::Parents;
use crate::fs::remove;
use crate::fs::xattr;
use crate::overlay::Overlay;
use crate::settle::apply::{LayerState, PRE, serials};
use crate::settle::journal::{Action, Progress, Step, read_json};
use crate::settle::keep::{self, After, Kept, Left, Moment, Now};
use crate::settle::links;
use crate::settle::step::{Fault, Spot, absent_ok, copy_tree, duplicate, host_spot, merged_name, pre_name};
use crate::store::origin::{Identity, Origin};
use crate::store::{Store, store_error, write_durably};
use crate::view::layers::{Reach, reach};
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The journal of an undo, in the store directory.
pub(super) const UNDO: &str = "undo.json";

/// In the progress of a directory that is made anew, in place of its inode number: no inode has either.
const MAKING: u64 = 0;
const MADE_AND_GONE: u64 = u64::MAX;

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
}

impl UndoPlan {
    /// How many changes it takes back.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.journal.changes
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
        let Some(saved) = read_json(&store.dir, UNDO)? else {
            return Ok(None);
        };
        Ok(Some(Undoing { saved, progress: Progress::load(store)? }))
    }

    pub(crate) fn exists(store: &Store) -> Result<bool, Errno> {
        Ok(at::stat_opt(&store.dir, OsStr::new(UNDO))?.is_some())
    }

    fn end(store: &Store) -> Result<(), Errno> {
        at::unlink_opt(&store.dir, OsStr::new(UNDO))?;
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
        let check = Check::new(self, &kept);
        let conflicts = check.conflicts().map_err(|(rel, source)| self.read_error(&rel, source))?;
        if !conflicts.is_empty() {
            return Err(UndoError::Conflicts(conflicts));
        }
        let times = check.times().map_err(failed)?;
        let changes = kept.iter().map(|kept| kept.journal.changes).sum();
        Ok(UndoPlan { journal: Saved { serials: kept.iter().map(|k| k.journal.serial).collect(), changes, times } })
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
        write_durably(&self.store.dir, UNDO, &bytes).map_err(failed)?;
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
        let failed = |source| store_error(&self.store.path, source);
        for (was, now) in &returned.0 {
            self.store.origins.follow(was, now).map_err(failed)?;
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

    /// Directories of the upper layer that show a host directory of another name, with that name.
    fn redirects(&self) -> Result<Vec<(PathBuf, PathBuf)>, Errno> {
        let mut found = Vec::new();
        let mut waiting = vec![PathBuf::new()];
        while let Some(rel) = waiting.pop() {
            let dir = open_upper(self, &rel)?;
            for entry in at::list_own(&dir)?.into_iter().filter(|entry| entry.kind == libc::S_IFDIR) {
                let child = rel.join(&entry.name);
                if let Reach::Redirect(from) = at::forced(&[&dir], || reach(&dir, &entry.name))? {
                    found.push((child.clone(), from));
                }
                waiting.push(child);
            }
        }
        Ok(found)
    }

    /// What can be taken back, newest first.
    fn all_kept(&self) -> Result<Vec<Kept>, Errno> {
        let pre = match at::open_dir(&self.store.dir, OsStr::new(PRE)) {
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

/// Holds the host and the layer against what the applies left.
struct Check<'c> {
    overlay: &'c Overlay,
    /// Newest first.
    kept: &'c [Kept],
    expected: BTreeMap<PathBuf, Left>,
}

impl<'c> Check<'c> {
    fn new(overlay: &'c Overlay, kept: &'c [Kept]) -> Check<'c> {
        let mut expected: BTreeMap<PathBuf, Left> = BTreeMap::new();
        for kept in kept.iter().rev() {
            for step in kept.journal.steps.iter().filter(|step| matches!(step.action, Action::Put | Action::Remove)) {
                forget_below(&mut expected, step.path.as_path());
            }
            for left in &kept.after.left {
                let path = left.path.as_path();
                let ours = left.ours || expected.get(path).is_some_and(|known| known.ours);
                expected.insert(path.to_owned(), Left { ours, ..left.clone() });
            }
        }
        Check { overlay, kept, expected }
    }

    fn conflicts(&self) -> Checked<Vec<Conflict>> {
        let mut found = Vec::new();
        let mut conflict = |rel: &Path, kind| found.push(Conflict { path: self.overlay.absolute(rel), kind });
        let mut parents = Parents::new(open_own);
        for (rel, left) in &self.expected {
            let now = parents.stat(&self.overlay.root, rel).map_err(|errno| (rel.clone(), errno))?;
            let kind = match (&left.is, now) {
                (Now::Nothing, None) => None,
                (Now::Nothing, Some(_)) => Some(ConflictKind::Appeared),
                (Now::This(_) | Now::Foreign, None) => Some(ConflictKind::Gone),
                (Now::Foreign, Some(_)) => Some(ConflictKind::Changed),
                (Now::This(was), Some(stat)) => (!was.matches(&stat)).then_some(ConflictKind::Changed),
            };
            match kind {
                Some(kind) => conflict(rel, kind),
                None => {
                    for name in self.unseen(rel, left, now.as_ref()).map_err(|errno| (rel.clone(), errno))? {
                        conflict(&rel.join(name), ConflictKind::Unseen);
                    }
                }
            }
        }
        for rel in self.changed_again()? {
            conflict(&rel, ConflictKind::ChangedAgain);
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found.dedup();
        Ok(found)
    }

    /// Names that somebody else put into a directory that undo would take away.
    fn unseen(&self, rel: &Path, left: &Left, now: Option<&Stat>) -> Result<Vec<OsString>, Errno> {
        if !left.ours || !now.is_some_and(at::is_dir) {
            return Ok(Vec::new());
        }
        let known = |name: &OsStr| self.expected.get(&rel.join(name)).is_some_and(|left| left.is != Now::Nothing);
        let names = at::list_own(&open_own(&self.overlay.root, rel)?)?.into_iter().map(|entry| entry.name);
        Ok(names.filter(|name| !known(name)).collect())
    }

    /// What the jar did to the same names after an apply, so that the change cannot return to the layer by itself.
    fn changed_again(&self) -> Checked<Vec<PathBuf>> {
        let mut found = Vec::new();
        let Some((newest, older)) = self.kept.split_first() else {
            return Ok(found);
        };
        self.changed_since(newest, &mut found)?;
        let mut later: Vec<(&Step, bool)> = with_kind(newest);
        for kept in older {
            // What the layer held then already was only applied later.
            let known = places(kept);
            let fresh: Vec<_> = later.iter().filter(|(step, _)| !known.contains(step.path.as_path())).collect();
            let entangled = |step: &&Step| fresh.iter().any(|(after, directory)| is_entangled(step, after, *directory));
            let steps = kept.journal.steps.iter().filter(|step| !fresh.is_empty() && entangled(step));
            found.extend(steps.map(|step| step.path.as_path().to_owned()));
            later.extend(with_kind(kept));
        }
        Ok(found)
    }

    /// The same for what was not applied yet. A file that was written again simply stays; it is newer.
    fn changed_since(&self, newest: &Kept, found: &mut Vec<PathBuf>) -> Checked<()> {
        let mut parents = Parents::new(open_own);
        for (step, directory) in with_kind(newest).into_iter().filter(|(step, _)| step.action == Action::Put) {
            let rel = step.path.as_path();
            let there = parents.stat(&self.overlay.store.upper, rel).map_err(|errno| (rel.to_owned(), errno))?;
            if there.is_some_and(|stat| directory || at::is_dir(&stat)) {
                found.push(rel.to_owned());
            }
        }
        let known = places(newest);
        let redirects = self.overlay.redirects().map_err(|errno| (PathBuf::new(), errno))?;
        for (rel, from) in redirects.into_iter().filter(|(rel, _)| !known.contains(rel.as_path())) {
            let torn = newest.journal.steps.iter().any(|step| from.starts_with(step.path.as_path()));
            if torn {
                found.push(rel);
            }
        }
        Ok(())
    }

    /// Directories nobody else has touched since get the times back that they had.
    fn times(&self) -> Result<Vec<(FilePath, Moment)>, Errno> {
        let mut times: BTreeMap<FilePath, Moment> = BTreeMap::new();
        for kept in self.kept {
            let moves = keep::Moves::of(&kept.journal.steps);
            let after: HashMap<&FilePath, &Moment> = kept.after.times.iter().map(|(path, time)| (path, time)).collect();
            for (path, before) in &kept.journal.before.times {
                let now = host_object(&self.overlay.root, &moves.now_at(path.as_path()))?;
                let now = now.filter(|(_, stat)| at::is_dir(stat)).map(|(_, stat)| keep::mtime(&stat));
                let untouched = match (after.get(path), now) {
                    (Some(after), Some(now)) => **after == now,
                    (None, _) => true,
                    (Some(_), None) => false,
                };
                // What an older apply left is what the next one found.
                if untouched || times.get(path).is_some_and(|then| after.get(path) == Some(&then)) {
                    times.insert(path.clone(), *before);
                } else {
                    times.remove(path);
                }
            }
        }
        // Across file systems the pre-images pass through the root.
        if self.kept.iter().any(|kept| kept.journal.steps.iter().any(|step| !step.near)) {
            let now = keep::mtime(&at::stat(&self.overlay.root, at::dot())?);
            times.entry(FilePath::from("")).or_insert(now);
        }
        Ok(times.into_iter().collect())
    }
}

/// The steps of an apply, and whether what they put or remove is a directory.
fn with_kind(kept: &Kept) -> Vec<(&Step, bool)> {
    let directory = |identity: &Identity| identity.mode & libc::S_IFMT == libc::S_IFDIR;
    let own =
        |step: &Step| matches!(kept.left(step.path.as_path()), Some(Left { is: Now::This(is), .. }) if directory(is));
    let kind = |step: &Step| step.host.as_ref().is_some_and(directory) || own(step);
    kept.journal.steps.iter().map(|step| (step, kind(step))).collect()
}

/// Paths of the directories and whiteouts the layer had before an apply.
fn places(kept: &Kept) -> HashSet<&Path> {
    let before = &kept.journal.before;
    before.dirs.iter().map(|dir| &dir.path).chain(&before.whiteouts).map(FilePath::as_path).collect()
}

/// Whether a later step moved or replaced what an earlier one put there, so that it cannot be taken back by itself.
fn is_entangled(earlier: &Step, later: &Step, directory: bool) -> bool {
    let old_name = matches!(earlier.action, Action::Remove | Action::Stash);
    match later.action {
        Action::Attributes => false,
        Action::Make => earlier.path == later.path && old_name,
        Action::Put | Action::Remove => directory && earlier.path.starts_with(&later.path),
        Action::Stash | Action::Place { .. } => {
            let at = |path: &FilePath| earlier.path.starts_with(path) || earlier.lower.starts_with(path);
            at(&later.lower) || earlier.path.starts_with(&later.path)
        }
    }
}

fn forget_below(expected: &mut BTreeMap<PathBuf, Left>, path: &Path) {
    let gone: Vec<PathBuf> = expected
        .range(path.to_owned()..)
        .map(|(rel, _)| rel)
        .take_while(|rel| rel.starts_with(path))
        .cloned()
        .collect();
    for rel in gone {
        expected.remove(&rel);
    }
}

/// One step to take back.
struct Item {
    /// Index of its apply, newest first.
    kept: usize,
    step: Step,
}

/// Works through the steps of all applies, last one first.
struct Worker<'w> {
    overlay: &'w Overlay,
    saved: Saved,
    progress: Progress,
    kept: Vec<Kept>,
    items: Vec<Item>,
    fault: Fault<'w>,
    host: RefCell<Parents>,
    upper: RefCell<Parents>,
}

impl<'w> Worker<'w> {
    fn new(overlay: &'w Overlay, undoing: Undoing, fault: Fault<'w>) -> Result<Worker<'w>, Errno> {
        let Undoing { saved, progress } = undoing;
        let mut kept = Vec::new();
        for serial in &saved.serials {
            match overlay.pre_dir(*serial) {
                Ok(dir) => kept.extend(Kept::load(dir)?),
                // It is settled, and was being removed.
                Err(Errno::ENOENT) if progress.committed => {}
                Err(errno) => return Err(errno),
            }
        }
        let of = |(index, kept): (usize, &Kept)| -> Vec<Item> {
            kept.journal.steps.iter().rev().map(|step| Item { kept: index, step: step.clone() }).collect()
        };
        let items = kept.iter().enumerate().flat_map(of).collect();
        let host = RefCell::new(Parents::new(|root, rel| at::open_beneath(root, rel)));
        let upper = RefCell::new(Parents::new(open_own));
        Ok(Worker { overlay, saved, progress, kept, items, fault, host, upper })
    }

    fn item(&self, number: usize) -> Result<(&Item, &Kept), Errno> {
        let item = self.items.get(number).ok_or(Errno::EUCLEAN)?;
        Ok((item, self.kept.get(item.kept).ok_or(Errno::EUCLEAN)?))
    }

    /// Where what the apply had put waits until it returns to the layer, and where the pre-image is before.
    fn hold(&self, number: usize) -> Result<Spot, Errno> {
        let (item, kept) = self.item(number)?;
        if item.step.near {
            return Ok(Spot { dir: Arc::new(duplicate(&kept.dir)?), name: pre_name(&item.step) });
        }
        let name = OsString::from(format!(".belljar-stage-{}-u{number}", self.overlay.saved.id));
        // Beside the root no step moves it; a root with other file systems inside has no such place for all.
        let root = at::stat(&self.overlay.root, at::dot())?.st_dev;
        let dir = match absent_ok(self.target(&item.step))? {
            Some(target) if at::stat(&target.dir, at::dot())?.st_dev != root => target.dir,
            _ => Arc::new(duplicate(&self.overlay.root)?),
        };
        Ok(Spot { dir, name })
    }

    /// The hold of the step that took a renamed directory away.
    fn hold_of_stash(&self, number: usize, stash: u32) -> Result<Spot, Errno> {
        let (item, _) = self.item(number)?;
        let same = |other: &Item| other.kept == item.kept && other.step.number == stash;
        self.hold(self.items.iter().position(same).ok_or(Errno::EUCLEAN)?)
    }

    fn target(&self, step: &Step) -> Result<Spot, Errno> {
        let (parent, name) = at::split(step.path.as_path()).ok_or(Errno::EISDIR)?;
        Ok(Spot { dir: self.host.borrow_mut().dir(&self.overlay.root, parent)?, name: name.to_owned() })
    }

    /// Inode number of what stands at the target before the step is taken back.
    fn own(&self, number: usize) -> Result<Option<u64>, Errno> {
        let (item, kept) = self.item(number)?;
        let step = &item.step;
        let newer = self.items.iter().take(if item.kept > 0 { number } else { 0 }).rposition(|other| {
            other.kept != item.kept
                && matches!(other.step.action, Action::Put | Action::Remove)
                && other.step.path == step.path
        });
        match (newer, self.progress.staged.get(&index(number)?)) {
            (Some(newer), _) => self.restored(newer),
            (None, Some(made)) if step.action == Action::Make => Ok(Some(*made)),
            (None, _) => Ok(kept.own(step.path.as_path())),
        }
    }

    /// Inode number of what stands there after it was taken back.
    fn restored(&self, number: usize) -> Result<Option<u64>, Errno> {
        let (item, kept) = self.item(number)?;
        if item.step.near || item.step.host.is_none() {
            return Ok(kept.pre(&item.step));
        }
        Ok(self.progress.staged.get(&index(number)?).copied().filter(|ino| *ino != 0))
    }

    fn perform(&mut self, number: usize) -> Result<(), Errno> {
        let step = self.item(number)?.0.step.clone();
        self.forget_moved(&step);
        match step.action {
            Action::Put => self.take(number, &step),
            Action::Remove => self.give_back(number, &step),
            Action::Place { stash } => self.unplace(number, &step, stash),
            Action::Stash => self.unstash(number, &step),
            Action::Make => self.unmake(number, &step),
            Action::Attributes => self.unset(number, &step),
        }
    }

    fn revert(&mut self, number: usize) -> Result<(), Errno> {
        let step = self.item(number)?.0.step.clone();
        self.host.borrow_mut().forget();
        match step.action {
            Action::Put => self.untake(number, &step),
            Action::Remove => self.ungive(number, &step),
            Action::Place { stash } => self.place_again(number, &step, stash),
            Action::Stash => self.stash_again(number, &step),
            Action::Make => self.make_again(number, &step),
            Action::Attributes => self.set_again(number, &step),
        }
    }

    /// Only a file that takes a file's place leaves every directory where it is.
    fn forget_moved(&self, step: &Step) {
        if step.action != Action::Put || step.host.is_none_or(|was| was.mode & libc::S_IFMT == libc::S_IFDIR) {
            self.host.borrow_mut().forget();
        }
    }

    /// The steps up to `last` are done again, and what the applies left is recorded as it is now.
    fn take_back(&mut self, last: usize) -> Result<(), Errno> {
        (0..=last).rev().try_for_each(|number| self.revert(number))?;
        self.kept.iter().try_for_each(|kept| kept.renew(self.overlay))
    }

    /// Exchanges what the apply put for its pre-image, or just takes it away.
    fn take(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let (hold, own) = (self.hold(number)?, self.own(number)?.ok_or(Errno::EUCLEAN)?);
        if has(&hold, own)? {
            return Ok(());
        }
        if step.host.is_some() {
            self.stage(number, step, &hold)?;
        }
        let target = self.target(step)?;
        if !has(&target, own)? {
            return Err(Errno::EBUSY);
        }
        (self.fault)();
        let flags = if step.host.is_some() { RenameFlags::RENAME_EXCHANGE } else { RenameFlags::RENAME_NOREPLACE };
        target.rename(&hold, flags)
    }

    fn untake(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let (hold, own) = (self.hold(number)?, self.own(number)?.ok_or(Errno::EUCLEAN)?);
        if has(&hold, own)? {
            (self.fault)();
            let flags = if step.host.is_some() { RenameFlags::RENAME_EXCHANGE } else { RenameFlags::RENAME_NOREPLACE };
            hold.rename(&self.target(step)?, flags)?;
        }
        if step.near { Ok(()) } else { remove::tree(&hold.dir, &hold.name) }
    }

    /// Puts back what the apply had removed.
    fn give_back(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let hold = self.hold(number)?;
        if step.near && hold.stat()?.is_none() {
            return Ok(());
        }
        if !step.near && self.restored(number)?.is_some() && hold.stat()?.is_none() {
            return Ok(());
        }
        self.stage(number, step, &hold)?;
        (self.fault)();
        hold.rename(&self.target(step)?, RenameFlags::RENAME_NOREPLACE)
    }

    fn ungive(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let hold = self.hold(number)?;
        if let (Some(restored), Some(target)) = (self.restored(number)?, absent_ok(self.target(step))?)
            && has(&target, restored)?
        {
            (self.fault)();
            target.rename(&hold, RenameFlags::RENAME_NOREPLACE)?;
        }
        if step.near || hold.stat()?.is_none() {
            return Ok(());
        }
        // A copy that was there and is not any more counts as put in its place.
        self.progress.staged(index(number)?, 0)?;
        remove::tree(&hold.dir, &hold.name)
    }

    /// Brings the pre-image near its place where it is not.
    fn stage(&mut self, number: usize, step: &Step, hold: &Spot) -> Result<(), Errno> {
        if step.near {
            return Ok(());
        }
        let staged = self.restored(number)?;
        if staged.is_some() && hold.stat()?.map(|stat| stat.st_ino) == staged {
            return Ok(());
        }
        remove::tree(&hold.dir, &hold.name)?;
        (self.fault)();
        match self.linked(number, step)? {
            Some(other) => at::link(&other.dir, &other.name, &hold.dir, &hold.name)?,
            None => {
                let pre = Spot { dir: Arc::new(duplicate(&self.item(number)?.1.dir)?), name: pre_name(step) };
                copy_tree(&pre, hold, true)?;
            }
        }
        let ino = hold.stat()?.ok_or(Errno::EIO)?.st_ino;
        (self.fault)();
        self.progress.staged(index(number)?, ino)
    }

    /// Another name of the same host file that was brought back already.
    fn linked(&self, number: usize, step: &Step) -> Result<Option<Spot>, Errno> {
        let Some(was) = step.host.filter(|was| was.mode & libc::S_IFMT != libc::S_IFDIR) else {
            return Ok(None);
        };
        let kept = self.item(number)?.0.kept;
        for (other, item) in self.items.iter().enumerate().take(number) {
            let same = item.kept == kept && item.step.host.is_some_and(|host| host.ino == was.ino);
            if let (true, Some(ino), Some(spot)) = (same, self.restored(other)?, absent_ok(self.target(&item.step))?)
                && has(&spot, ino)?
            {
                return Ok(Some(spot));
            }
        }
        Ok(None)
    }

    fn unplace(&mut self, number: usize, step: &Step, stash: u32) -> Result<(), Errno> {
        let ino = step.host.ok_or(Errno::EUCLEAN)?.ino;
        let hold = self.hold_of_stash(number, stash)?;
        let home = absent_ok(host_spot(&self.overlay.root, step.lower.as_path()))?;
        if has(&hold, ino)? || home.map(|home| has(&home, ino)).transpose()? == Some(true) {
            return Ok(());
        }
        let target = self.target(step)?;
        if !has(&target, ino)? {
            return Err(Errno::EBUSY);
        }
        (self.fault)();
        target.rename(&hold, RenameFlags::RENAME_NOREPLACE)
    }

    fn place_again(&mut self, number: usize, step: &Step, stash: u32) -> Result<(), Errno> {
        let hold = self.hold_of_stash(number, stash)?;
        if !has(&hold, step.host.ok_or(Errno::EUCLEAN)?.ino)? {
            return Ok(());
        }
        (self.fault)();
        hold.rename(&self.target(step)?, RenameFlags::RENAME_NOREPLACE)
    }

    fn unstash(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let hold = self.hold(number)?;
        if hold.stat()?.is_none() {
            return Ok(());
        }
        (self.fault)();
        hold.rename(&self.target(step)?, RenameFlags::RENAME_NOREPLACE)
    }

    fn stash_again(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let Some(target) = absent_ok(self.target(step))? else {
            return Ok(());
        };
        if !has(&target, step.host.ok_or(Errno::EUCLEAN)?.ino)? {
            return Ok(());
        }
        (self.fault)();
        target.rename(&self.hold(number)?, RenameFlags::RENAME_NOREPLACE)
    }

    fn unmake(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let Some(target) = absent_ok(self.target(step))? else {
            return Ok(());
        };
        let own = self.own(number)?;
        match target.stat()? {
            Some(stat) if at::is_dir(&stat) && (Some(stat.st_ino) == own || own == Some(MAKING)) => {
                (self.fault)();
                at::rmdir(&target.dir, &target.name)?;
                if own == Some(MAKING) { self.progress.staged(index(number)?, MADE_AND_GONE) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// The directory gets another inode number, which is remembered, so that going on with the undo knows it.
    fn make_again(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let target = self.target(step)?;
        if target.stat()?.is_none() {
            self.progress.staged(index(number)?, MAKING)?;
            (self.fault)();
            at::mkdir(&target.dir, &target.name, 0o700)?;
        }
        if self.own(number)? == Some(MAKING)
            && let Some(stat) = target.stat()?
        {
            (self.fault)();
            self.set_again(number, step)?;
            self.progress.staged(index(number)?, stat.st_ino)?;
        }
        Ok(())
    }

    fn unset(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let (Some(was), Some(dir)) = (step.host, self.directory(number, step)?) else {
            return Ok(());
        };
        (self.fault)();
        keep::set_attributes(&dir, &step.xattrs)?;
        at::chown(&dir, at::dot(), Some(was.uid), Some(was.gid))?;
        at::chmod(&dir, at::dot(), was.mode & 0o7777)
    }

    fn set_again(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let left = self.item(number)?.1.left(step.path.as_path()).cloned();
        let Some(Left { is: Now::This(was), xattrs, .. }) = left else {
            return Ok(());
        };
        let dir = at::open_beneath(&self.overlay.root, step.path.as_path())?;
        keep::set_attributes(&dir, &xattrs)?;
        at::chown(&dir, at::dot(), Some(was.uid), Some(was.gid))?;
        at::chmod(&dir, at::dot(), was.mode & 0o7777)?;
        keep::set_mtime(&dir, was.mtime)
    }

    /// The directory a step changed, unless a later step has moved it back already.
    fn directory(&self, number: usize, step: &Step) -> Result<Option<OwnedFd>, Errno> {
        let dir = match at::open_beneath(&self.overlay.root, step.path.as_path()) {
            Ok(dir) => dir,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let same = Some(at::stat(&dir, at::dot())?.st_ino) == self.own(number)?;
        Ok(same.then_some(dir))
    }

    /// After the commit: the layer gets back what it had, the records follow, the times return.
    fn settle(&mut self) -> Checked<()> {
        self.host.borrow_mut().forget();
        let on = |rel: &Path, result: Result<(), Errno>| result.map_err(|errno| (rel.to_owned(), errno));
        let root = Path::new("");
        for index in 0..self.kept.len() {
            on(root, self.return_dirs(index))?;
            for number in 0..self.items.len() {
                let Some(item) = self.items.get(number).filter(|item| item.kept == index) else { continue };
                let rel = item.step.path.as_path().to_owned();
                on(&rel, self.return_own(number))?;
            }
            on(root, self.return_links(index))?;
            on(root, self.return_whiteouts(index))?;
            on(root, self.return_marks(index))?;
        }
        on(root, self.return_records())?;
        on(root, self.return_origins())?;
        on(root, self.return_times())
    }

    fn return_dirs(&self, index: usize) -> Result<(), Errno> {
        let kept = self.kept.get(index).ok_or(Errno::EUCLEAN)?;
        let puts = kept.journal.steps.iter().filter(|step| step.action == Action::Put);
        let whole: HashSet<&Path> = puts.map(|step| step.path.as_path()).collect();
        for dir in &kept.journal.before.dirs {
            let rel = dir.path.as_path();
            let Some((parent, name)) = at::split(rel) else { continue };
            // It comes back by itself, with all it holds.
            if rel.ancestors().any(|above| whole.contains(above)) {
                continue;
            }
            let Some(parent) = absent_ok(open_upper(self.overlay, parent))? else { continue };
            if at::forced(&[&parent], || at::stat_opt(&parent, name))?.is_none() {
                self.return_dir(dir, &Spot { dir: Arc::new(parent), name: name.to_owned() })?;
            }
        }
        Ok(())
    }

    /// Makes an upper directory as it was, whole before it is seen.
    fn return_dir(&self, dir: &keep::Dir, place: &Spot) -> Result<(), Errno> {
        let spare =
            Spot { dir: Arc::new(duplicate(&self.overlay.store.work)?), name: self.overlay.store.fresh_name().into() };
        at::mkdir(&spare.dir, &spare.name, 0o700)?;
        let made = at::open_dir(&spare.dir, &spare.name)?;
        at::chown(&made, at::dot(), Some(dir.uid), Some(dir.gid))?;
        dir.xattrs.iter().try_for_each(|(name, value)| keep::set_attribute(&made, name.as_os_str(), value))?;
        at::chmod(&made, at::dot(), dir.mode)?;
        (self.fault)();
        at::forced(&[&place.dir], || spare.rename(place, RenameFlags::RENAME_NOREPLACE))
    }

    /// What an apply had put returns to the layer, unless something newer stands there.
    fn return_own(&mut self, number: usize) -> Result<(), Errno> {
        let (item, _) = self.item(number)?;
        let step = item.step.clone();
        if step.action != Action::Put {
            return Ok(());
        }
        if step.host.is_none_or(|was| was.mode & libc::S_IFMT == libc::S_IFDIR) {
            self.upper.borrow_mut().forget();
        }
        let hold = self.hold(number)?;
        if hold.stat()?.is_none() {
            return Ok(());
        }
        (self.fault)();
        let (parent, name) = at::split(step.path.as_path()).ok_or(Errno::EISDIR)?;
        let upper = self.upper.borrow_mut().dir(&self.overlay.store.upper, parent);
        if let Some(dir) = absent_ok(upper)?
            && let Some(own) = self.layers_own(number)?
        {
            merge(&own, &Spot { dir, name: name.to_owned() })?;
        }
        (self.fault)();
        remove::tree(&hold.dir, &hold.name)
    }

    /// What returns to the layer for what an apply had put. Of a composed file that is the file it was composed of, and
    /// nothing when that is in the layer still.
    fn layers_own(&self, number: usize) -> Result<Option<Spot>, Errno> {
        let (item, kept) = self.item(number)?;
        match &item.step.part {
            Some(part) if part.rest_waits => Ok(None),
            Some(_) => {
                let own = Spot { dir: Arc::new(duplicate(&kept.dir)?), name: merged_name(&item.step) };
                Ok(own.stat()?.map(|_| own))
            }
            None if item.step.near => self.hold(number).map(Some),
            None => {
                let spare = Spot {
                    dir: Arc::new(duplicate(&self.overlay.store.work)?),
                    name: self.overlay.store.fresh_name().into(),
                };
                copy_tree(&self.hold(number)?, &spare, true)?;
                Ok(Some(spare))
            }
        }
    }

    fn return_links(&self, index: usize) -> Result<(), Errno> {
        let kept = self.kept.get(index).ok_or(Errno::EUCLEAN)?;
        (self.fault)();
        links::join(self.overlay, &kept.journal.before.links)
    }

    fn return_whiteouts(&self, index: usize) -> Result<(), Errno> {
        let kept = self.kept.get(index).ok_or(Errno::EUCLEAN)?;
        let mut parents = Parents::new(open_own);
        for path in &kept.journal.before.whiteouts {
            let Some((parent, name)) = at::split(path.as_path()) else { continue };
            if parents.stat(&self.overlay.store.upper, path.as_path())?.is_some() {
                continue;
            }
            if let Some(dir) = absent_ok(open_upper(self.overlay, parent))? {
                (self.fault)();
                self.overlay.store.whiteout(&dir, name)?;
            }
        }
        Ok(())
    }

    /// The overlay's own marks on directories, and set-id bits that were not agreed to.
    fn return_marks(&self, index: usize) -> Result<(), Errno> {
        let kept = self.kept.get(index).ok_or(Errno::EUCLEAN)?;
        for dir in &kept.journal.before.dirs {
            let marks = dir.xattrs.iter().filter(|(name, _)| xattr::is_reserved(name.as_os_str()));
            let Some(own) = absent_ok(open_upper(self.overlay, dir.path.as_path()))? else { continue };
            let mode = at::stat(&own, at::dot())?.st_mode & 0o7777;
            if mode != dir.mode && mode == dir.mode | 0o200 {
                // A crash came while it was renamed.
                at::chmod(&own, at::dot(), dir.mode)?;
            }
            for (name, value) in marks {
                at::forced(&[&own], || match xattr::get(&own, at::dot(), name.as_os_str())? {
                    Some(_) => Ok(()),
                    None => keep::set_attribute(&own, name.as_os_str(), value),
                })?;
            }
        }
        for (path, mode) in &kept.journal.before.setid {
            let (parent, name) = at::split(path.as_path()).ok_or(Errno::EISDIR)?;
            let Some(dir) = absent_ok(open_upper(self.overlay, parent))? else { continue };
            let stat = at::forced(&[&dir], || at::stat_opt(&dir, name))?;
            if stat.is_some_and(|stat| stat.st_mode == libc::S_IFREG | (mode & 0o1777)) {
                at::forced(&[&dir], || at::chmod(&dir, name, *mode))?;
            }
        }
        Ok(())
    }

    /// The host's objects are what the layer's changes start from again; being put back moved their change times.
    fn return_records(&self) -> Result<(), Errno> {
        let origins = &self.overlay.store.origins;
        for kept in &self.kept {
            origins.forget_all(&keep::forgotten(&kept.journal.steps))?;
        }
        (self.fault)();
        let mut parents = Parents::new(open_own);
        let mut now = Vec::new();
        for path in self.kept.iter().flat_map(|kept| &kept.journal.before.origins) {
            if let Some(stat) = parents.stat(&self.overlay.root, path.as_path())? {
                now.push((path.as_path().to_owned(), Identity::of(&stat)));
            }
        }
        origins.cover_all(&now)?;
        // Directories that an older apply had made are gone again.
        let mut records = Vec::new();
        for (path, was) in self.kept.iter().rev().flat_map(|kept| &kept.journal.before.records) {
            if parents.stat(&self.overlay.root, path.as_path())?.is_some_and(|stat| at::is_dir(&stat)) {
                records.push((path.as_path().to_owned(), *was));
            }
        }
        origins.cover_all(&records)?;
        let parts = self.items.iter().map(|item| &item.step).filter(|step| step.leaves_rest());
        parts.into_iter().try_for_each(|step| self.overlay.start_anew(step))?;
        for item in &self.items {
            let Some(was) = item.step.host else { continue };
            match parents.stat(&self.overlay.root, item.step.lower.as_path())? {
                Some(stat) if stat.st_nlink > 1 && !at::is_dir(&stat) && was.ino == stat.st_ino => {
                    origins.renew(&was, &stat)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Copies of the host's files are marked as such again: that is how a file under a new name is known.
    fn return_origins(&self) -> Result<(), Errno> {
        (self.fault)();
        let (mut host, mut upper) = (Parents::new(open_own), Parents::new(open_own));
        let is_file = |stat: &Stat| at::kind_of(stat) == libc::S_IFREG;
        for (path, lower) in self.kept.iter().flat_map(|kept| &kept.journal.before.copies) {
            let own = upper.stat(&self.overlay.store.upper, path.as_path())?.filter(is_file);
            let Some(was) = host.stat(&self.overlay.root, lower.as_path())?.filter(is_file).filter(|_| own.is_some())
            else {
                continue;
            };
            let (parent, name) = at::split(path.as_path()).ok_or(Errno::EISDIR)?;
            let dir = open_upper(self.overlay, parent)?;
            xattr::mark_copy(&dir, name, &Origin::of(&was).encode())?;
        }
        Ok(())
    }

    /// What the applies had found is back; its identities then and now.
    fn returned(&self) -> Result<Returned, Errno> {
        let mut parents = Parents::new(open_own);
        let mut returned = Vec::new();
        for step in self.items.iter().map(|item| &item.step) {
            let Some(was) = step.host else { continue };
            let now = parents.stat(&self.overlay.root, step.lower.as_path())?.map(|stat| Identity::of(&stat));
            // Across file systems it is a copy, which has another inode number.
            let state = |identity: &Identity| Identity { ino: 0, ..*identity };
            returned.extend(now.filter(|now| keep::is_same(&state(&was), &state(now))).map(|now| (was, now)));
        }
        Ok(Returned(returned))
    }

    fn return_times(&self) -> Result<(), Errno> {
        (self.fault)();
        for (path, time) in &self.saved.times {
            if let Some(dir) = absent_ok(at::open_beneath(&self.overlay.root, path.as_path()))? {
                keep::set_mtime(&dir, *time)?;
            }
        }
        for dir in self.kept.iter().rev().flat_map(|kept| &kept.journal.before.dirs) {
            if let Some(own) = absent_ok(open_upper(self.overlay, dir.path.as_path()))? {
                keep::set_mtime(&own, dir.mtime)?;
            }
        }
        Ok(())
    }

    /// The applies are taken back: nothing is kept of them. Each goes in one step, the newest first.
    fn drop_kept(&self) -> Result<(), Errno> {
        let pre = at::open_dir(&self.overlay.store.dir, OsStr::new(PRE))?;
        for serial in &self.saved.serials {
            (self.fault)();
            let spare = OsString::from(self.overlay.store.fresh_name());
            let name = OsString::from(serial.to_string());
            match at::rename(&pre, &name, &self.overlay.store.work, &spare, RenameFlags::empty()) {
                Ok(()) => remove::tree(&self.overlay.store.work, &spare)?,
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Removes from the host what waits beside it.
    fn drop_stages(&self) -> Result<(), Errno> {
        for number in 0..self.items.len() {
            if !self.item(number)?.0.step.near {
                let hold = self.hold(number)?;
                remove::tree(&hold.dir, &hold.name)?;
            }
        }
        Ok(())
    }
}

/// Brings `from` to `to`. What stands there is newer and stays; in directories that is decided name by name.
fn merge(from: &Spot, to: &Spot) -> Result<(), Errno> {
    match at::forced(&[&to.dir], || from.rename(to, RenameFlags::RENAME_NOREPLACE)) {
        Err(Errno::EEXIST) => {}
        other => return other,
    }
    let mut waiting = vec![PathBuf::new()];
    while let Some(rel) = waiting.pop() {
        let (source, target) = (below(from, &rel)?, below(to, &rel)?);
        let Some(stat) = at::forced(&[&source.dir], || source.stat())? else { continue };
        match at::forced(&[&target.dir], || target.stat())? {
            None => at::forced(&[&source.dir, &target.dir], || source.rename(&target, RenameFlags::RENAME_NOREPLACE))?,
            Some(there) if at::is_dir(&stat) && at::is_dir(&there) => {
                let dir = open_own(&source.dir, Path::new(&source.name))?;
                waiting.extend(at::list_own(&dir)?.into_iter().map(|entry| rel.join(entry.name)));
            }
            Some(_) => {}
        }
    }
    remove::tree(&from.dir, &from.name)
}

fn below(spot: &Spot, rel: &Path) -> Result<Spot, Errno> {
    match at::split(rel) {
        None => Ok(Spot { dir: Arc::clone(&spot.dir), name: spot.name.clone() }),
        Some((parent, name)) => {
            let dir = open_own(&spot.dir, &Path::new(&spot.name).join(parent))?;
            Ok(Spot { dir: Arc::new(dir), name: name.to_owned() })
        }
    }
}

fn index(number: usize) -> Result<u32, Errno> {
    u32::try_from(number).map_err(|_| Errno::EOVERFLOW)
}

fn has(spot: &Spot, ino: u64) -> Result<bool, Errno> {
    Ok(spot.stat()?.is_some_and(|stat| stat.st_ino == ino))
}
