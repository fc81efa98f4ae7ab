//! Removing names: unlink and rmdir. What the host still has under a name is covered by a whiteout.

use crate::fs::at::{self, Stat};
use crate::view::layers::{Found, Layers};
use crate::view::node::{self, Place, Table, Tomb};
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

impl Layers {
    /// unlink(2).
    pub(crate) fn unlink(&self, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let mut table = self.changing()?;
        let found = self.find(&table, parent, name)?;
        if at::is_dir(found.shown().ok_or(Errno::ENOENT)?) {
            return Err(Errno::EISDIR);
        }
        self.check_removal(&table, parent, &found)?;
        self.remove_file(&mut table, parent, name, &found)?;
        self.budget.freed();
        self.touched(&mut table, parent)
    }

    /// rmdir(2).
    pub(crate) fn rmdir(&self, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let mut table = self.changing()?;
        let found = self.find(&table, parent, name)?;
        if !at::is_dir(found.shown().ok_or(Errno::ENOENT)?) {
            return Err(Errno::ENOTDIR);
        }
        self.check_removal(&table, parent, &found)?;
        self.remove_dir(&mut table, parent, name, &found)?;
        self.budget.freed();
        self.touched(&mut table, parent)
    }

    /// Takes the name of anything but a directory away.
    pub(crate) fn remove_file(&self, table: &mut Table, parent: u64, name: &OsStr, found: &Found) -> Result<(), Errno> {
        let covered = self.cover(table, parent, name)?;
        let number = self.number_of(table, found);
        match (&found.upper, number) {
            (Some(upper), Some(number)) if is_last_link(table, number) => {
                let dir = self.upper_dir(table, parent)?;
                let tomb = self.entomb(&dir, name, upper, covered)?;
                let node = table.get_mut(number)?;
                node.nlink_delta -= tomb.links();
                node.place = Place::Tomb(tomb);
            }
            (Some(stat), _) => {
                let dir = self.upper_dir(table, parent)?;
                self.store.keep_name(&dir, name)?;
                self.store.keep_alive(&dir, name, stat)?;
                if covered {
                    self.store.whiteout(&dir, name)?;
                } else {
                    at::forced(&[&dir], || at::unlink(&dir, name))?;
                }
            }
            (None, _) => {
                let dir = self.merged_dir(table, parent)?;
                self.store.whiteout(&dir, name)?;
                if let Some(number) = number {
                    table.get_mut(number)?.nlink_delta -= 1;
                    self.keep_link_count(table, number)?;
                }
            }
        }
        if let Some(number) = number {
            table.drop_link(number, parent, name);
            table.get_mut(number)?.frozen_ctime = None;
            self.release_keys(table, number);
        }
        Ok(())
    }

    /// Takes the last name of an upper file away, so that it stays reachable.
    fn entomb(&self, dir: &OwnedFd, name: &OsStr, stat: &Stat, covered: bool) -> Result<Tomb, Errno> {
        self.store.keep_name(dir, name)?;
        // With a whiteout to leave, one rename does both. What a checkpoint holds keeps a name.
        if !covered
            && !self.store.must_stay(stat)
            && at::kind_of(stat) == libc::S_IFREG
            && let Some(tomb) = self.hold(dir, name)?
        {
            at::forced(&[dir], || at::unlink(dir, name))?;
            return Ok(tomb);
        }
        let spare = self.store.grave(stat);
        self.move_away(dir, name, &self.store.parts()?.work, &spare, covered)?;
        Ok(Tomb::Named(spare.to_string_lossy().into_owned()))
    }

    /// Takes an empty directory away.
    pub(crate) fn remove_dir(&self, table: &mut Table, parent: u64, name: &OsStr, found: &Found) -> Result<(), Errno> {
        self.check_movable(found)?;
        let number = self.enter(table, parent, name, found)?.number;
        if self.remove_alone(table, parent, name, found)? {
            return self.bury(table, number, parent, name, found);
        }
        if !self.is_empty_dir(table, table.get(number)?)? {
            self.forget_unheld(table, number);
            return Err(Errno::ENOTEMPTY);
        }
        if let Some((rel, _)) = &found.lower
            && self.holds_named(rel)?
        {
            self.forget_unheld(table, number);
            return Err(Errno::EBUSY);
        }
        let covered = self.cover(table, parent, name)?;
        if let Some(stat) = &found.upper {
            let dir = self.upper_dir(table, parent)?;
            let (spare, stays) = (self.store.grave(stat), self.store.must_stay(stat));
            self.move_away(&dir, name, &self.store.parts()?.work, &spare, covered)?;
            if !stays {
                crate::fs::remove::tree(&self.store.parts()?.work, &spare)?;
            }
        } else if covered {
            let dir = self.merged_dir(table, parent)?;
            self.store.whiteout(&dir, name)?;
        }
        self.bury(table, number, parent, name, found)
    }

    /// Removes a directory the host knows nothing of, if it holds nothing at all, not even whiteouts.
    fn remove_alone(&self, table: &Table, parent: u64, name: &OsStr, found: &Found) -> Result<bool, Errno> {
        if found.upper.is_none() || found.lower.is_some() || self.below(table, parent, name)?.is_some() {
            return Ok(false);
        }
        if found.upper.as_ref().is_some_and(|stat| self.store.must_stay(stat)) {
            return Ok(false);
        }
        let dir = self.upper_dir(table, parent)?;
        self.store.keep_name(&dir, name)?;
        match at::forced(&[&dir], || at::rmdir(&dir, name)) {
            Ok(()) => Ok(true),
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// The directory is gone, though a process may still stand in it.
    fn bury(&self, table: &mut Table, number: u64, parent: u64, name: &OsStr, was: &Found) -> Result<(), Errno> {
        table.drop_link(number, parent, name);
        table.drop_keys(number);
        self.drop_upper_dir(number);
        self.drop_listing(number);
        let node = table.get_mut(number)?;
        node.place = Place::Dead;
        node.lower = None;
        node.last = was.shown().map(|stat| Box::new(*stat));
        self.forget_unheld(table, number);
        Ok(())
    }

    /// A node made for our own use goes again when the kernel does not know it.
    pub(crate) fn forget_unheld(&self, table: &mut Table, number: u64) {
        if table.get(number).is_ok_and(|node| node.lookups == 0) {
            table.forget(number, 0);
            self.drop_upper_dir(number);
            self.drop_listing(number);
            self.close_files(number);
        }
    }

    /// A file the host still has lies open below; what its inode number becomes later is nothing of ours.
    pub(crate) fn release_keys(&self, table: &mut Table, number: u64) {
        if table.get(number).is_ok_and(|node| node.links.is_empty() && node.place == Place::Lower) {
            table.drop_keys(number);
        }
    }

    /// Refuses what would take a hidden path or somebody's mount away: once real, a secret would lie under a name that no
    /// rule hides, or be gone although nobody saw it.
    pub(crate) fn check_movable(&self, found: &Found) -> Result<(), Errno> {
        if found.hidden {
            return Err(Errno::EPERM);
        }
        match &found.lower {
            Some((rel, _)) if self.hidden.is_pinned(rel) => Err(Errno::EBUSY),
            Some((rel, stat)) if at::is_dir(stat) && self.holds_hidden(rel)? => Err(Errno::EBUSY),
            _ => Ok(()),
        }
    }

    /// Whether the host has a hidden path below the lower directory `rel`.
    fn holds_hidden(&self, rel: &Path) -> Result<bool, Errno> {
        for path in self.hidden.below(rel) {
            if self.lower_stat(path)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether something in the lower directory `rel` is hidden by its name.
    fn holds_named(&self, rel: &Path) -> Result<bool, Errno> {
        let dir = self.lower_dir(rel)?;
        let mut any = false;
        at::each(&dir, |entry| {
            let child = rel.join(&entry.name);
            if self.hidden.named(&child, false).is_some() || self.hidden.named(&child, true).is_some() {
                let stat = at::stat_opt(&dir, &entry.name)?;
                any = stat.map_or(Ok(None), |stat| self.hiding(&child, &stat))?.is_some();
            }
            Ok(!any)
        })?;
        Ok(any)
    }

    /// Whether the host has something under this name that must not show again, which is recorded.
    pub(crate) fn cover(&self, table: &Table, parent: u64, name: &OsStr) -> Result<bool, Errno> {
        match self.below(table, parent, name)? {
            Some((rel, stat)) => self.store.parts()?.origins.cover(&rel, &stat).map(|()| true),
            None => Ok(false),
        }
    }

    /// What the host has under this name, unless a rule hides it anyway.
    pub(crate) fn below(&self, table: &Table, parent: u64, name: &OsStr) -> Result<Option<(PathBuf, Stat)>, Errno> {
        let dir = table.get(parent)?;
        let Some(lower) = dir.lower.as_ref().filter(|_| !dir.hidden) else {
            return Ok(None);
        };
        let rel = lower.rel.join(name);
        match self.lower_stat(&rel)? {
            Some(stat) if self.hiding(&rel, &stat)?.is_some() => Ok(None),
            stat => Ok(stat.map(|stat| (rel, stat))),
        }
    }

    /// Renames out of the view, leaving a whiteout where the host would show.
    pub(crate) fn move_away(
        &self,
        dir: &OwnedFd,
        name: &OsStr,
        to: &OwnedFd,
        to_name: &OsStr,
        covered: bool,
    ) -> Result<(), Errno> {
        self.store.keep_name(dir, name)?;
        let flags = if covered { RenameFlags::RENAME_WHITEOUT } else { RenameFlags::empty() };
        match at::forced(&[dir, to], || at::rename(dir, name, to, to_name, flags)) {
            // A file system without RENAME_WHITEOUT; a crash between the two lets the host's name show again.
            Err(Errno::EINVAL) if covered => {
                at::forced(&[dir, to], || at::rename(dir, name, to, to_name, RenameFlags::empty()))?;
                self.store.whiteout(dir, name)
            }
            other => other,
        }
    }

    fn number_of(&self, table: &Table, found: &Found) -> Option<u64> {
        Some(table.find(node::key(found.shown()?))?.number)
    }
}

fn is_last_link(table: &Table, number: u64) -> bool {
    table.get(number).is_ok_and(|node| node.links.len() <= 1)
}
