//! The steps that move, make and dress directories, taken back and done again.

use super::worker::{Worker, has, index};
use crate::fs::at;
use crate::settle::journal::Step;
use crate::settle::keep::{self, Left, Now};
use crate::settle::step::{absent_ok, host_spot};
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use std::os::fd::OwnedFd;

/// In the progress of a directory that is made anew, in place of its inode number: no inode has either.
const MAKING: u64 = 0;
const MADE_AND_GONE: u64 = u64::MAX;

impl Worker<'_> {
    pub(super) fn unplace(&mut self, number: usize, step: &Step, stash: u32) -> Result<(), Errno> {
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

    pub(super) fn place_again(&mut self, number: usize, step: &Step, stash: u32) -> Result<(), Errno> {
        let hold = self.hold_of_stash(number, stash)?;
        if !has(&hold, step.host.ok_or(Errno::EUCLEAN)?.ino)? {
            return Ok(());
        }
        (self.fault)();
        hold.rename(&self.target(step)?, RenameFlags::RENAME_NOREPLACE)
    }

    pub(super) fn unstash(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let hold = self.hold(number)?;
        if hold.stat()?.is_none() {
            return Ok(());
        }
        (self.fault)();
        hold.rename(&self.target(step)?, RenameFlags::RENAME_NOREPLACE)
    }

    pub(super) fn stash_again(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let Some(target) = absent_ok(self.target(step))? else {
            return Ok(());
        };
        if !has(&target, step.host.ok_or(Errno::EUCLEAN)?.ino)? {
            return Ok(());
        }
        (self.fault)();
        target.rename(&self.hold(number)?, RenameFlags::RENAME_NOREPLACE)
    }

    pub(super) fn unmake(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
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
    pub(super) fn make_again(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
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

    pub(super) fn unset(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
        let (Some(was), Some(dir)) = (step.host, self.directory(number, step)?) else {
            return Ok(());
        };
        (self.fault)();
        keep::set_attributes(&dir, &step.xattrs)?;
        at::chown(&dir, at::dot(), Some(was.uid), Some(was.gid))?;
        at::chmod(&dir, at::dot(), was.mode & 0o7777)
    }

    pub(super) fn set_again(&mut self, number: usize, step: &Step) -> Result<(), Errno> {
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
    pub(super) fn directory(&self, number: usize, step: &Step) -> Result<Option<OwnedFd>, Errno> {
        let dir = match at::open_beneath(&self.overlay.root, step.path.as_path()) {
            Ok(dir) => dir,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let same = Some(at::stat(&dir, at::dot())?.st_ino) == self.own(number)?;
        Ok(same.then_some(dir))
    }
}
