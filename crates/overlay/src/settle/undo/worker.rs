//! Taking the steps of the applies back, the last one first, and doing them again. Each is idempotent.

use super::{Saved, Undoing};
use crate::changes::diff::{host_object, open_own};
use crate::fs::at;
use crate::fs::parents::Parents;
use crate::fs::remove;
use crate::overlay::Overlay;
use crate::settle::journal::{Action, Progress, Step};
use crate::settle::keep::{self, Kept};
use crate::settle::step::{Fault, Spot, absent_ok, copy_tree, duplicate, pre_name};
use crate::store::origin::Identity;
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use std::cell::RefCell;
use std::ffi::OsString;
use std::sync::Arc;

/// One step to take back.
pub(super) struct Item {
    /// Index of its apply, newest first.
    pub(super) kept: usize,
    pub(super) step: Step,
}

/// Works through the steps of all applies, last one first.
pub(super) struct Worker<'w> {
    pub(super) overlay: &'w Overlay,
    pub(super) saved: Saved,
    pub(super) progress: Progress,
    pub(super) kept: Vec<Kept>,
    pub(super) items: Vec<Item>,
    pub(super) fault: Fault<'w>,
    pub(super) host: RefCell<Parents>,
    pub(super) upper: RefCell<Parents>,
}

impl<'w> Worker<'w> {
    pub(super) fn new(overlay: &'w Overlay, undoing: Undoing, fault: Fault<'w>) -> Result<Worker<'w>, Errno> {
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

    pub(super) fn item(&self, number: usize) -> Result<(&Item, &Kept), Errno> {
        let item = self.items.get(number).ok_or(Errno::EUCLEAN)?;
        Ok((item, self.kept.get(item.kept).ok_or(Errno::EUCLEAN)?))
    }

    /// Where what the apply had put waits until it returns to the layer, and where the pre-image is before.
    pub(super) fn hold(&self, number: usize) -> Result<Spot, Errno> {
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
    pub(super) fn hold_of_stash(&self, number: usize, stash: u32) -> Result<Spot, Errno> {
        let (item, _) = self.item(number)?;
        let same = |other: &Item| other.kept == item.kept && other.step.number == stash;
        self.hold(self.items.iter().position(same).ok_or(Errno::EUCLEAN)?)
    }

    pub(super) fn target(&self, step: &Step) -> Result<Spot, Errno> {
        let (parent, name) = at::split(step.path.as_path()).ok_or(Errno::EISDIR)?;
        Ok(Spot { dir: self.host.borrow_mut().dir(&self.overlay.root, parent)?, name: name.to_owned() })
    }

    /// Inode number of what stands at the target before the step is taken back.
    pub(super) fn own(&self, number: usize) -> Result<Option<u64>, Errno> {
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
    pub(super) fn restored(&self, number: usize) -> Result<Option<u64>, Errno> {
        let (item, kept) = self.item(number)?;
        if item.step.near || item.step.host.is_none() {
            return Ok(kept.pre(&item.step));
        }
        Ok(self.progress.staged.get(&index(number)?).copied().filter(|ino| *ino != 0))
    }

    pub(super) fn perform(&mut self, number: usize) -> Result<(), Errno> {
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

    pub(super) fn revert(&mut self, number: usize) -> Result<(), Errno> {
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
    pub(super) fn forget_moved(&self, step: &Step) {
        if step.action != Action::Put || step.host.is_none_or(|was| was.mode & libc::S_IFMT == libc::S_IFDIR) {
            self.host.borrow_mut().forget();
        }
    }

    /// The steps up to `last` are done again, and what the applies left is recorded as it is now.
    pub(super) fn take_back(&mut self, last: usize) -> Result<(), Errno> {
        (0..=last).rev().try_for_each(|number| self.revert(number))?;
        self.kept.iter().try_for_each(|kept| kept.renew(self.overlay))
    }

    /// Exchanges what the apply put for its pre-image, or just takes it away.
    pub(super) fn take(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
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

    pub(super) fn untake(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let (hold, own) = (self.hold(number)?, self.own(number)?.ok_or(Errno::EUCLEAN)?);
        if has(&hold, own)? {
            (self.fault)();
            let flags = if step.host.is_some() { RenameFlags::RENAME_EXCHANGE } else { RenameFlags::RENAME_NOREPLACE };
            hold.rename(&self.target(step)?, flags)?;
        }
        if step.near { Ok(()) } else { remove::tree(&hold.dir, &hold.name) }
    }

    /// Puts back what the apply had removed.
    pub(super) fn give_back(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
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

    pub(super) fn ungive(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
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
    pub(super) fn stage(&mut self, number: usize, step: &Step, hold: &Spot) -> Result<(), Errno> {
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
    pub(super) fn linked(&self, number: usize, step: &Step) -> Result<Option<Spot>, Errno> {
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
        self.linked_elsewhere(&was)
    }

    /// A further name of the same host file that no apply has touched, as far as the layer knows one.
    pub(super) fn linked_elsewhere(&self, was: &Identity) -> Result<Option<Spot>, Errno> {
        let origins = &self.overlay.store.parts()?.origins;
        if origins.covered(was.dev, was.ino) == 0 {
            return Ok(None);
        }
        for (_, rel) in origins.files().into_iter().filter(|(ino, _)| *ino == was.ino) {
            let there = host_object(&self.overlay.root, &rel)?;
            if let Some((dir, _)) = there.filter(|(_, stat)| keep::is_same(was, &Identity::of(stat)))
                && let Some(name) = rel.file_name()
            {
                return Ok(Some(Spot { dir: Arc::new(dir), name: name.to_owned() }));
            }
        }
        Ok(None)
    }
}

pub(super) fn index(number: usize) -> Result<u32, Errno> {
    u32::try_from(number).map_err(|_| Errno::EOVERFLOW)
}

pub(super) fn has(spot: &Spot, ino: u64) -> Result<bool, Errno> {
    Ok(spot.stat()?.is_some_and(|stat| stat.st_ino == ino))
}
