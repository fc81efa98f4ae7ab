//! Renames. A host directory is not copied: its upper half moves and remembers where its lower half is (redirect).

use crate::fs::at;
use crate::fs::xattr;
use crate::view::copy_up::Content;
use crate::view::layers::{Found, Layers};
use crate::view::node::{Place, Table, Tomb};
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A name in the view.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'n> {
    pub(crate) parent: u64,
    pub(crate) name: &'n OsStr,
}

impl Layers {
    /// renameat2(2) with `RENAME_NOREPLACE`, `RENAME_EXCHANGE` or nothing.
    pub(crate) fn rename(&self, from: Spot<'_>, to: Spot<'_>, flags: RenameFlags) -> Result<(), Errno> {
        let mut table = self.changing()?;
        let table = &mut *table;
        let known = RenameFlags::RENAME_NOREPLACE | RenameFlags::RENAME_EXCHANGE;
        if !known.contains(flags) || flags == known {
            return Err(Errno::EINVAL);
        }
        if table.get(to.parent)?.place == Place::Dead {
            return Err(Errno::ENOENT);
        }
        let source = self.find(table, from.parent, from.name)?;
        let target = self.find(table, to.parent, to.name)?;
        source.shown().ok_or(Errno::ENOENT)?;
        self.check_rights(table, from, &source, to, &target)?;
        self.check_movable(&source)?;
        self.check_names(table, from, &source, to)?;
        if flags == RenameFlags::RENAME_EXCHANGE {
            target.shown().ok_or(Errno::ENOENT)?;
            self.check_movable(&target)?;
            self.check_names(table, to, &target, from)?;
            return self.exchange(table, from, &source, to, &target);
        }
        if target.shown().is_some() && flags == RenameFlags::RENAME_NOREPLACE {
            return Err(Errno::EEXIST);
        }
        self.replace(table, from, &source, to, &target)
    }

    /// Refuses to bring a directory from where names hide what is in it to where they do not: once real, it would be shown
    /// to the next command. One that the child made may have one of the host's in it. Whoever moves it copies what he may
    /// read.
    fn check_names(&self, table: &Table, from: Spot<'_>, moved: &Found, to: Spot<'_>) -> Result<(), Errno> {
        if !self.hidden.has_names() || !moved.shown().is_some_and(at::is_dir) {
            return Ok(());
        }
        let (here, there) = (self.path_of(table, from)?, self.path_of(table, to)?);
        let of_host = moved.lower.iter().map(|(rel, _)| rel);
        let uncovered = of_host.chain([&here]).any(|from| self.hidden.would_uncover(from, &there));
        if uncovered { Err(Errno::EXDEV) } else { Ok(()) }
    }

    /// Where a name is in the view.
    fn path_of(&self, table: &Table, spot: Spot<'_>) -> Result<PathBuf, Errno> {
        let mut names = vec![spot.name.to_owned()];
        let mut above = spot.parent;
        while above != crate::view::node::ROOT {
            let link = table.get(above)?.links.first().ok_or(Errno::ENOENT)?;
            names.push(link.name.clone());
            above = link.parent;
        }
        Ok(names.into_iter().rev().collect())
    }

    /// Refuses what the host would refuse an ordinary user: names of others, and moving a directory of theirs, whose
    /// `..` would change.
    fn check_rights(
        &self,
        table: &mut Table,
        from: Spot<'_>,
        source: &Found,
        to: Spot<'_>,
        target: &Found,
    ) -> Result<(), Errno> {
        if self.own.is_none() {
            return Ok(());
        }
        self.check_removal(table, from.parent, source)?;
        self.check_removal(table, to.parent, target)?;
        for (spot, found) in [(from, source), (to, target)] {
            if from.parent != to.parent && found.shown().is_some_and(at::is_dir) {
                let number = self.enter(table, spot.parent, spot.name, found)?.number;
                self.check_content(table, number)?;
            }
        }
        Ok(())
    }

    fn replace(
        &self,
        table: &mut Table,
        from: Spot<'_>,
        source: &Found,
        to: Spot<'_>,
        target: &Found,
    ) -> Result<(), Errno> {
        let moved = self.enter(table, from.parent, from.name, source)?.number;
        self.check_descent(table, moved, to.parent)?;
        if self.is_same(table, moved, to, target)? {
            // Two names of one file: nothing happens, as rename(2) says.
            return Ok(());
        }
        self.check_ascent(table, from.parent, to, target)?;
        let replaced = self.check_replace(table, source, to, target)?;
        self.make_ready(table, moved)?;
        let (old_dir, new_dir) = (self.merged_dir(table, from.parent)?, self.merged_dir(table, to.parent)?);
        // Whatever the target directory shows must not show through a directory that comes in its place.
        self.make_opaque(table, moved)?;
        let whiteout = self.prepare_target(table, to, target)?;
        let covered = self.cover(table, from.parent, from.name)?;
        self.cover(table, to.parent, to.name)?;
        if !source.shown().is_some_and(at::is_dir) {
            self.keep_base_under(table, to.parent, to.name);
        }
        let tomb = self.keep_open(table, &new_dir, to.name, target, replaced)?;
        self.budget.freed();
        self.move_over(&old_dir, from.name, &new_dir, to.name, covered, whiteout)?;
        if let Some(number) = replaced.filter(|_| !target.shown().is_some_and(at::is_dir)) {
            self.replaced(table, number, to, tomb)?;
        }
        self.renamed(table, moved, from, to)?;
        self.touched(table, from.parent)?;
        self.touched(table, to.parent)
    }

    /// A directory cannot move into itself.
    fn check_descent(&self, table: &Table, moved: u64, mut above: u64) -> Result<(), Errno> {
        while above != crate::view::node::ROOT {
            if above == moved {
                return Err(Errno::EINVAL);
            }
            above = table.get(above)?.links.first().ok_or(Errno::ENOENT)?.parent;
        }
        Ok(())
    }

    /// Nor can it replace a directory above it, which holds it and so is not empty.
    fn check_ascent(&self, table: &mut Table, above: u64, to: Spot<'_>, target: &Found) -> Result<(), Errno> {
        if !target.shown().is_some_and(at::is_dir) {
            return Ok(());
        }
        let number = self.enter(table, to.parent, to.name, target)?.number;
        self.check_descent(table, number, above).map_err(|_| Errno::ENOTEMPTY)
    }

    fn is_same(&self, table: &mut Table, moved: u64, to: Spot<'_>, target: &Found) -> Result<bool, Errno> {
        Ok(target.shown().is_some() && self.enter(table, to.parent, to.name, target)?.number == moved)
    }

    /// Checks kinds and emptiness of what would be replaced; its node.
    fn check_replace(
        &self,
        table: &mut Table,
        source: &Found,
        to: Spot<'_>,
        target: &Found,
    ) -> Result<Option<u64>, Errno> {
        let (Some(old), Some(new)) = (source.shown(), target.shown()) else {
            return Ok(None);
        };
        match (at::is_dir(old), at::is_dir(new)) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            _ => {}
        }
        self.check_movable(target)?;
        let number = self.enter(table, to.parent, to.name, target)?.number;
        let node = table.get(number)?;
        if node.is_dir() && !self.is_empty_dir(table, node)? {
            return Err(Errno::ENOTEMPTY);
        }
        Ok(Some(number))
    }

    /// Takes what is replaced out of the way; whether a whiteout or another leftover stands there now.
    fn prepare_target(&self, table: &mut Table, to: Spot<'_>, target: &Found) -> Result<bool, Errno> {
        match target.shown() {
            None => Ok(target.whiteout),
            Some(stat) if at::is_dir(stat) => {
                self.remove_dir(table, to.parent, to.name, target)?;
                Ok(self.cover(table, to.parent, to.name)?)
            }
            // A file is replaced by the rename itself, in one step.
            Some(_) => Ok(false),
        }
    }

    /// A file that is about to be replaced in the upper layer gets a second name, so that it can stay open.
    fn keep_open(
        &self,
        table: &Table,
        dir: &OwnedFd,
        name: &OsStr,
        target: &Found,
        number: Option<u64>,
    ) -> Result<Option<Tomb>, Errno> {
        let Some(number) = number.filter(|_| !target.shown().is_some_and(at::is_dir)) else {
            return Ok(None);
        };
        let node = table.get(number)?;
        let Some(stat) = &target.upper else { return Ok(None) };
        if !self.store.must_stay(stat) && (node.lookups == 0 || node.links.len() > 1) {
            return Ok(None);
        }
        if self.store.must_stay(stat) {
            let grave = self.store.grave(stat);
            at::forced(&[dir], || at::link(dir, name, &self.store.parts()?.work, &grave))?;
            return Ok(Some(Tomb::Named(grave.to_string_lossy().into_owned())));
        }
        if at::kind_of(target.shown().ok_or(Errno::ENOENT)?) == libc::S_IFREG
            && let Some(tomb) = self.hold(dir, name)?
        {
            return Ok(Some(tomb));
        }
        let tomb = self.store.fresh_name();
        at::forced(&[dir], || at::link(dir, name, &self.store.parts()?.work, OsStr::new(&tomb)))?;
        Ok(Some(Tomb::Named(tomb)))
    }

    /// What a replaced file is now: open at most.
    fn replaced(&self, table: &mut Table, number: u64, spot: Spot<'_>, tomb: Option<Tomb>) -> Result<(), Errno> {
        table.drop_link(number, spot.parent, spot.name);
        let node = table.get_mut(number)?;
        node.frozen_ctime = None;
        match tomb {
            Some(tomb) => {
                node.nlink_delta -= tomb.links();
                node.place = Place::Tomb(tomb);
            }
            None if node.place == Place::Lower => node.nlink_delta -= 1,
            None => {}
        }
        self.release_keys(table, number);
        self.forget_unheld(table, number);
        Ok(())
    }

    fn move_over(
        &self,
        from: &OwnedFd,
        name: &OsStr,
        to: &OwnedFd,
        to_name: &OsStr,
        covered: bool,
        whiteout: bool,
    ) -> Result<(), Errno> {
        self.store.keep_name(from, name)?;
        self.store.keep_name(to, to_name)?;
        if !whiteout {
            return self.move_away(from, name, to, to_name, covered);
        }
        let directory = at::is_dir(&at::stat(from, name)?);
        if !directory {
            return self.move_away(from, name, to, to_name, covered);
        }
        // An exchange puts the directory in place of the whiteout, and the whiteout where it came from.
        at::forced(&[from, to], || at::rename(from, name, to, to_name, RenameFlags::RENAME_EXCHANGE))?;
        if covered { Ok(()) } else { at::forced(&[from], || at::unlink(from, name)) }
    }

    fn exchange(
        &self,
        table: &mut Table,
        from: Spot<'_>,
        source: &Found,
        to: Spot<'_>,
        target: &Found,
    ) -> Result<(), Errno> {
        let one = self.enter(table, from.parent, from.name, source)?.number;
        let other = self.enter(table, to.parent, to.name, target)?.number;
        if one == other {
            return Ok(());
        }
        self.check_descent(table, one, to.parent)?;
        self.check_descent(table, other, from.parent)?;
        for number in [one, other] {
            self.make_ready(table, number)?;
            self.make_opaque(table, number)?;
        }
        self.cover(table, from.parent, from.name)?;
        self.cover(table, to.parent, to.name)?;
        let (old_dir, new_dir) = (self.upper_dir(table, from.parent)?, self.upper_dir(table, to.parent)?);
        self.store.keep_name(&old_dir, from.name)?;
        self.store.keep_name(&new_dir, to.name)?;
        at::forced(&[&old_dir, &new_dir], || {
            at::rename(&old_dir, from.name, &new_dir, to.name, RenameFlags::RENAME_EXCHANGE)
        })?;
        self.renamed(table, one, from, to)?;
        self.renamed(table, other, to, from)?;
        self.touched(table, from.parent)?;
        self.touched(table, to.parent)
    }

    /// Brings a node into the upper layer; a directory that shows the host's names learns where they are.
    fn make_ready(&self, table: &mut Table, number: u64) -> Result<(), Errno> {
        self.copy_up(table, number, Content::All)?;
        let node = table.get(number)?;
        let Some(lower) = node.lower.as_ref().filter(|_| node.is_dir()) else {
            return Ok(());
        };
        let mut target = OsString::from("/");
        target.push(&lower.rel);
        let dir = self.upper_dir(table, number)?;
        self.store.keep_attributes(&dir, at::dot())?;
        let mark = || xattr::set(&dir, at::dot(), OsStr::new(xattr::REDIRECT), target.as_bytes(), 0);
        at::forced(&[&dir], mark).map_err(|errno| match errno {
            // The file system keeps no value as long as this path: the caller copies instead, as across devices.
            Errno::ENOSPC | Errno::E2BIG | Errno::ERANGE => Errno::EXDEV,
            other => other,
        })
    }

    /// A directory without a lower half must not get one where it goes.
    fn make_opaque(&self, table: &Table, number: u64) -> Result<(), Errno> {
        let node = table.get(number)?;
        if !node.is_dir() || node.lower.is_some() {
            return Ok(());
        }
        let dir = self.upper_dir(table, number)?;
        self.store.keep_attributes(&dir, at::dot())?;
        at::forced(&[&dir], || xattr::set(&dir, at::dot(), OsStr::new(xattr::OPAQUE), b"y", 0))
    }

    fn renamed(&self, table: &mut Table, number: u64, from: Spot<'_>, to: Spot<'_>) -> Result<(), Errno> {
        table.drop_link(number, from.parent, from.name);
        table.add_link(number, to.parent, to.name);
        table.get_mut(number)?.frozen_ctime = None;
        self.forget_unheld(table, number);
        Ok(())
    }
}
