//! After the commit of an undo: the layer gets back what it had, the records follow, the times return.

use super::worker::Worker;
use super::{Checked, Returned, drop_pre};
use crate::changes::diff::{open_own, open_upper};
use crate::fs::at::{self, Stat};
use crate::fs::parents::Parents;
use crate::fs::remove;
use crate::fs::xattr;
use crate::settle::apply::PRE;
use crate::settle::journal::Action;
use crate::settle::keep;
use crate::settle::links;
use crate::settle::step::{Spot, absent_ok, copy_tree, duplicate, merged_name};
use crate::store::origin::{Identity, Origin};
use nix::errno::Errno;
use nix::fcntl::RenameFlags;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Worker<'_> {
    /// After the commit: the layer gets back what it had, the records follow, the times return.
    pub(super) fn settle(&mut self) -> Checked<()> {
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

    pub(super) fn return_dirs(&self, index: usize) -> Result<(), Errno> {
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
    pub(super) fn return_dir(&self, dir: &keep::Dir, place: &Spot) -> Result<(), Errno> {
        let spare = Spot {
            dir: Arc::new(duplicate(&self.overlay.store.parts()?.work)?),
            name: self.overlay.store.fresh_name().into(),
        };
        at::mkdir(&spare.dir, &spare.name, 0o700)?;
        let made = at::open_dir(&spare.dir, &spare.name)?;
        at::chown(&made, at::dot(), Some(dir.uid), Some(dir.gid))?;
        dir.xattrs.iter().try_for_each(|(name, value)| keep::set_attribute(&made, name.as_os_str(), value))?;
        at::chmod(&made, at::dot(), dir.mode)?;
        (self.fault)();
        at::forced(&[&place.dir], || spare.rename(place, RenameFlags::RENAME_NOREPLACE))
    }

    /// What an apply had put returns to the layer, unless something newer stands there.
    pub(super) fn return_own(&mut self, number: usize) -> Result<(), Errno> {
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
        let upper = self.upper.borrow_mut().dir(&self.overlay.store.parts()?.upper, parent);
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
    pub(super) fn layers_own(&self, number: usize) -> Result<Option<Spot>, Errno> {
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
                    dir: Arc::new(duplicate(&self.overlay.store.parts()?.work)?),
                    name: self.overlay.store.fresh_name().into(),
                };
                copy_tree(&self.hold(number)?, &spare, true)?;
                Ok(Some(spare))
            }
        }
    }

    pub(super) fn return_links(&self, index: usize) -> Result<(), Errno> {
        let kept = self.kept.get(index).ok_or(Errno::EUCLEAN)?;
        (self.fault)();
        links::join(self.overlay, &kept.journal.before.links)
    }

    pub(super) fn return_whiteouts(&self, index: usize) -> Result<(), Errno> {
        let kept = self.kept.get(index).ok_or(Errno::EUCLEAN)?;
        let mut parents = Parents::new(open_own);
        for path in &kept.journal.before.whiteouts {
            let Some((parent, name)) = at::split(path.as_path()) else { continue };
            if parents.stat(&self.overlay.store.parts()?.upper, path.as_path())?.is_some() {
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
    pub(super) fn return_marks(&self, index: usize) -> Result<(), Errno> {
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
    pub(super) fn return_records(&self) -> Result<(), Errno> {
        let origins = &self.overlay.store.parts()?.origins;
        for kept in &self.kept {
            origins.forget_all(&keep::forgotten(&kept.journal.steps))?;
        }
        let merged = self.kept.iter().rev().flat_map(|kept| &kept.journal.before.merged);
        let merged = merged.map(|(path, was)| (path.as_path().to_owned(), *was));
        origins.cover_all(&merged.collect::<Vec<_>>())?;
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
    pub(super) fn return_origins(&self) -> Result<(), Errno> {
        (self.fault)();
        let (mut host, mut upper) = (Parents::new(open_own), Parents::new(open_own));
        let is_file = |stat: &Stat| at::kind_of(stat) == libc::S_IFREG;
        for (path, lower) in self.kept.iter().flat_map(|kept| &kept.journal.before.copies) {
            let own = upper.stat(&self.overlay.store.parts()?.upper, path.as_path())?.filter(is_file);
            let Some(was) = host.stat(&self.overlay.root, lower.as_path())?.filter(is_file).filter(|_| own.is_some())
            else {
                continue;
            };
            let (parent, name) = at::split(path.as_path()).ok_or(Errno::EISDIR)?;
            let dir = upper.dir(&self.overlay.store.parts()?.upper, parent)?;
            xattr::mark_copy(&dir, name, &Origin::of(&was).encode())?;
        }
        Ok(())
    }

    /// What the applies had found is back; its identities then and now.
    pub(super) fn returned(&self) -> Result<Returned, Errno> {
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

    pub(super) fn return_times(&self) -> Result<(), Errno> {
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
    pub(super) fn drop_kept(&self) -> Result<(), Errno> {
        let pre = at::open_dir(&self.overlay.store.parts()?.dir, OsStr::new(PRE))?;
        for serial in &self.saved.serials {
            (self.fault)();
            drop_pre(self.overlay, &pre, *serial)?;
        }
        Ok(())
    }

    /// Removes from the host what waits beside it.
    pub(super) fn drop_stages(&self) -> Result<(), Errno> {
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
