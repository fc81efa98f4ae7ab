//! Comparing the copy with what it was, and doing the difference again on the view.

use super::{Entry, Manifest, is_another_root, is_plain};
use crate::error::OverlayError;
use crate::fs::at::{self, Stat};
use crate::fs::{errno_of, xattr};
use crate::overlay::Overlay;
use crate::store::origin::Identity;
use crate::view::copy_up::copy_content;
use crate::view::create::Owner;
use crate::view::layers::Layers;
use crate::view::node::ROOT;
use crate::view::setattr::Changes;
use model::{Action, Attempt, PathScope, Target};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::time::TimeSpec;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const COMPARED_BYTES: usize = 1 << 16;

/// One copy being compared.
pub(super) struct Folding<'o> {
    overlay: &'o Overlay,
    layers: Layers,
    was: HashMap<PathBuf, Entry>,
    /// The names the copy had in each directory.
    names: HashMap<PathBuf, Vec<OsString>>,
    /// The names that each file of the copy had, by inode number.
    files: HashMap<u64, Vec<PathBuf>>,
    /// Files of the copy that have several names and are in the layer, by inode number.
    linked: HashMap<u64, u64>,
    refused: Vec<Attempt>,
}

/// A name of the copy, and the directory it is in: of the copy and of the view.
struct Spot<'s> {
    parent: u64,
    dir: &'s OwnedFd,
    name: &'s OsStr,
    rel: &'s Path,
}

impl<'o> Folding<'o> {
    pub(super) fn new(overlay: &'o Overlay, layers: Layers, manifest: Manifest) -> Folding<'o> {
        let mut names: HashMap<PathBuf, Vec<OsString>> = HashMap::new();
        let (mut files, mut was): (HashMap<u64, Vec<PathBuf>>, _) = (HashMap::new(), HashMap::new());
        for entry in manifest.names {
            let rel = entry.rel.as_path().to_owned();
            if let Some((parent, name)) = at::split(&rel) {
                names.entry(parent.to_owned()).or_default().push(name.to_owned());
            }
            if entry.copy.mode & libc::S_IFMT == libc::S_IFREG {
                files.entry(entry.copy.ino).or_default().push(rel.clone());
            }
            was.insert(rel, entry);
        }
        Folding { overlay, layers, was, names, files, linked: HashMap::new(), refused: Vec::new() }
    }

    /// Does what was done there on the view; what was refused.
    pub(super) fn all(mut self, root: &OwnedFd) -> Result<Vec<Attempt>, OverlayError> {
        let on = |errno| self.overlay.read_error(Path::new(""), errno);
        let top = root.try_clone().map_err(|e| on(errno_of(&e)))?;
        let now = at::stat(root, at::dot()).map_err(on)?;
        self.directory(ROOT, Path::new(""), &top)?;
        let spot = Spot { parent: ROOT, dir: root, name: at::dot(), rel: Path::new("") };
        let dressed = self.attributes(ROOT, &spot, &now);
        self.or_refused(dressed, Action::Attributes, Path::new(""))?;
        Ok(self.refused)
    }

    /// What the view refuses the command is refused here, and told; everything else is an error.
    fn or_refused(&mut self, done: Result<(), Errno>, action: Action, rel: &Path) -> Result<(), OverlayError> {
        match done {
            Err(Errno::EACCES | Errno::EPERM | Errno::ENOTEMPTY | Errno::EBUSY | Errno::EXDEV) => {
                let target = Target::Path { path: self.overlay.absolute(rel), scope: PathScope::Exact };
                self.refused.push(Attempt { action, target, rule: "host/owner".to_owned(), times: 1 });
                Ok(())
            }
            done => done.map_err(|errno| self.overlay.read_error(rel, errno)),
        }
    }

    fn directory(&mut self, number: u64, rel: &Path, dir: &OwnedFd) -> Result<(), OverlayError> {
        let entries = at::list_own(dir).map_err(|e| self.overlay.read_error(rel, e))?;
        let there: HashSet<&OsStr> = entries.iter().map(|entry| entry.name.as_os_str()).collect();
        for name in self.names.remove(rel).unwrap_or_default().iter().filter(|name| !there.contains(name.as_os_str())) {
            let child = rel.join(name);
            let removed = self.remove(number, name, &child);
            self.or_refused(removed, Action::Delete, &child)?;
        }
        for entry in &entries {
            let child = rel.join(&entry.name);
            if let Some(rule) = self.layers.hidden.rule(&child).map(str::to_owned) {
                let target = Target::Path { path: self.overlay.absolute(&child), scope: PathScope::Exact };
                self.refused.push(Attempt { action: Action::Write, target, rule, times: 1 });
            } else if !is_another_root(self.overlay, &child) {
                self.one(&Spot { parent: number, dir, name: &entry.name, rel: &child })?;
            }
        }
        Ok(())
    }

    fn one(&mut self, spot: &Spot<'_>) -> Result<(), OverlayError> {
        let on = |errno| self.overlay.read_error(spot.rel, errno);
        let now = at::forced(&[spot.dir], || at::stat(spot.dir, spot.name)).map_err(on)?;
        let was = self.was.get(spot.rel).map(|entry| entry.copy);
        let same_kind = was.is_some_and(|was| was.mode & libc::S_IFMT == at::kind_of(&now));
        if at::is_dir(&now) {
            return self.subdirectory(spot, &now, same_kind);
        }
        if was == Some(Identity::of(&now)) {
            return Ok(());
        }
        let action = if same_kind { Action::Write } else { Action::Create };
        let done = if same_kind { self.changed(spot, &now) } else { self.made(spot, &now) };
        self.or_refused(done, action, spot.rel)
    }

    fn subdirectory(&mut self, spot: &Spot<'_>, now: &Stat, known: bool) -> Result<(), OverlayError> {
        let number = match self.enter(spot, now, known) {
            Ok(number) => number,
            Err(errno) => return self.or_refused(Err(errno), Action::Create, spot.rel),
        };
        let opened = at::forced(&[spot.dir], || at::open_dir(spot.dir, spot.name));
        let below = opened.map_err(|e| self.overlay.read_error(spot.rel, e))?;
        self.directory(number, spot.rel, &below)?;
        let dressed = self.attributes(number, spot, now);
        self.or_refused(dressed, Action::Attributes, spot.rel)
    }

    /// The node of a directory, which is made if the view has none there.
    fn enter(&mut self, spot: &Spot<'_>, now: &Stat, known: bool) -> Result<u64, Errno> {
        if known {
            match self.layers.lookup(spot.parent, spot.name) {
                Ok(seen) if at::is_dir(&seen.stat) => return Ok(seen.number),
                Ok(_) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.remove(spot.parent, spot.name, spot.rel)?;
        let owner = Owner { uid: now.st_uid, gid: now.st_gid };
        let made = self.layers.mkdir(spot.parent, spot.name, 0o700, owner)?;
        Ok(made.number)
    }

    /// Records what the host had there when it was copied. Whether the view has anything there.
    fn pin(&self, parent: u64, name: &OsStr, rel: &Path) -> Result<bool, Errno> {
        let found = self.layers.find(&self.layers.read(), parent, name)?;
        let host = self.was.get(rel).and_then(|entry| entry.host.as_ref());
        let seen = match (&found.lower, host) {
            (Some((lower, _)), Some((place, identity))) if place.as_path() == lower => Some((lower.clone(), *identity)),
            // The host got it since.
            (Some((lower, _)), _) => Some((lower.clone(), Identity::lost())),
            // The host lost it since.
            (None, Some((place, _))) if found.upper.is_none() && !found.whiteout => {
                Some((place.as_path().to_owned(), Identity::lost()))
            }
            (None, _) => None,
        };
        self.layers.store.parts()?.origins.cover_all(seen.as_slice())?;
        Ok(found.shown().is_some())
    }

    fn remove(&mut self, parent: u64, name: &OsStr, rel: &Path) -> Result<(), Errno> {
        if !self.pin(parent, name, rel)? {
            return Ok(());
        }
        let seen = self.layers.lookup(parent, name)?;
        if !at::is_dir(&seen.stat) {
            return self.layers.unlink(parent, name);
        }
        let listing = self.layers.read_dir(seen.number, 0)?;
        for item in listing.iter() {
            self.remove(seen.number, &item.name, &rel.join(&item.name))?;
        }
        self.layers.drop_listing(seen.number);
        self.layers.rmdir(parent, name)
    }

    /// Something new, or of another kind than before.
    fn made(&mut self, spot: &Spot<'_>, now: &Stat) -> Result<(), Errno> {
        let kind = at::kind_of(now);
        if !matches!(kind, libc::S_IFREG | libc::S_IFLNK | libc::S_IFIFO) {
            return self.remove(spot.parent, spot.name, spot.rel);
        }
        self.remove(spot.parent, spot.name, spot.rel)?;
        let owner = Owner { uid: now.st_uid, gid: now.st_gid };
        let number = match kind {
            libc::S_IFLNK => {
                let to = at::readlink(spot.dir, spot.name)?;
                return self.layers.symlink(spot.parent, spot.name, &to, owner).map(drop);
            }
            libc::S_IFIFO => self.layers.mknod(spot.parent, spot.name, libc::S_IFIFO | 0o600, 0, owner)?.number,
            _ => {
                if let Some(number) = self.linked.get(&now.st_ino) {
                    return self.layers.link(*number, spot.parent, spot.name).map(drop);
                }
                if let Some(number) = self.untouched_name(now)? {
                    return self.layers.link(number, spot.parent, spot.name).map(drop);
                }
                let number = self.layers.create(spot.parent, spot.name, 0o600, owner)?.number;
                self.write(number, spot, now)?;
                number
            }
        };
        self.note_links(now, number);
        self.attributes(number, spot, now)
    }

    /// The node of a file that was there before under another name, and got this one as a link.
    fn untouched_name(&self, now: &Stat) -> Result<Option<u64>, Errno> {
        if now.st_nlink < 2 {
            return Ok(None);
        }
        for rel in self.files.get(&now.st_ino).into_iter().flatten() {
            if let Some(number) = self.still_there(rel)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn still_there(&self, rel: &Path) -> Result<Option<u64>, Errno> {
        let mut number = ROOT;
        for name in rel {
            number = match self.layers.lookup(number, name) {
                Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
                seen => seen?.number,
            };
        }
        Ok(Some(number))
    }

    fn note_links(&mut self, now: &Stat, number: u64) {
        if now.st_nlink > 1 {
            self.linked.insert(now.st_ino, number);
        }
    }

    /// The same kind as before, and touched.
    fn changed(&mut self, spot: &Spot<'_>, now: &Stat) -> Result<(), Errno> {
        if at::kind_of(now) == libc::S_IFLNK {
            let number = self.layers.lookup(spot.parent, spot.name);
            let same = number.and_then(|seen| self.layers.readlink(seen.number));
            return match same == at::readlink(spot.dir, spot.name) {
                true => Ok(()),
                false => self.made(spot, now),
            };
        }
        let Ok(seen) = self.layers.lookup(spot.parent, spot.name) else {
            return self.made(spot, now);
        };
        if at::kind_of(&seen.stat) == libc::S_IFREG && self.linked.get(&now.st_ino) != Some(&seen.number) {
            self.content(seen.number, spot, now)?;
            self.note_links(now, seen.number);
        }
        self.attributes(seen.number, spot, now)
    }

    fn content(&self, number: u64, spot: &Spot<'_>, now: &Stat) -> Result<(), Errno> {
        let was = self.was.get(spot.rel).map(|entry| entry.copy);
        let is_empty_stand_in = |was: Identity| was.size == 0 && now.st_size == 0;
        let same = match self.layers.file(number, false) {
            // It could not be read, so the copy was empty from the beginning.
            Err(Errno::EACCES) => was.is_some_and(is_empty_stand_in),
            file => is_same(&*file?, &File::from(open_own(spot)?))?,
        };
        if same {
            return Ok(());
        }
        self.pin(spot.parent, spot.name, spot.rel)?;
        self.layers.setattr(number, Changes { size: Some(0), ..Changes::default() })?;
        self.write(number, spot, now)
    }

    fn write(&self, number: u64, spot: &Spot<'_>, now: &Stat) -> Result<(), Errno> {
        let source = File::from(open_own(spot)?);
        copy_content(&source, &*self.layers.file(number, true)?, now.st_size)
    }

    /// Owner, mode, times and attributes, where they are other than the copy had them in the beginning.
    fn attributes(&self, number: u64, spot: &Spot<'_>, now: &Stat) -> Result<(), Errno> {
        let was = self.was.get(spot.rel).map(|entry| entry.copy);
        let was = was.filter(|was| was.mode & libc::S_IFMT == at::kind_of(now));
        let is_new = |other: fn(&Identity) -> u32, now: u32| was.as_ref().is_none_or(|was| other(was) != now);
        let mode = is_new(|was| was.mode & 0o7777, now.st_mode & 0o7777).then_some(now.st_mode & 0o7777);
        let mut changes = Changes { mode, ..Changes::default() };
        if was.is_some() {
            changes.uid = is_new(|was| was.uid, now.st_uid).then_some(now.st_uid);
            changes.gid = is_new(|was| was.gid, now.st_gid).then_some(now.st_gid);
        }
        let moved = was.is_none_or(|was| was.mtime != (now.st_mtime, now.st_mtime_nsec));
        if moved && !at::is_dir(now) {
            changes.mtime = Some(TimeSpec::new(now.st_mtime, now.st_mtime_nsec));
        }
        let given: Vec<_> = xattr::all_foreign(spot.dir, spot.name)?.into_iter().filter(|(n, _)| is_plain(n)).collect();
        let mut had = Vec::new();
        for name in self.layers.list_xattr(number)?.into_iter().filter(|name| is_plain(name)) {
            let value = self.layers.get_xattr(number, &name)?.unwrap_or_default();
            had.push((name, value));
        }
        had.sort();
        let nothing = changes == Changes::default();
        if nothing && had == given {
            return Ok(());
        }
        if !spot.rel.as_os_str().is_empty() {
            self.pin(spot.parent, spot.name, spot.rel)?;
        }
        for (name, value) in given.iter().filter(|pair| !had.contains(pair)) {
            self.layers.set_xattr(number, name, value, 0)?;
        }
        for (name, _) in had.iter().filter(|(name, _)| !given.iter().any(|(kept, _)| kept == name)) {
            self.layers.remove_xattr(number, name)?;
        }
        if nothing {
            return Ok(());
        }
        self.layers.setattr(number, changes).map(drop)
    }
}

fn open_own(spot: &Spot<'_>) -> Result<OwnedFd, Errno> {
    at::forced(&[spot.dir], || at::open_own(spot.dir, spot.name, OFlag::O_RDONLY))
}

fn is_same(one: &File, other: &File) -> Result<bool, Errno> {
    let size = |file: &File| file.metadata().map(|data| data.len()).map_err(|e| errno_of(&e));
    if size(one)? != size(other)? {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
    let mut offset = 0;
    loop {
        let n = one.read_at(&mut left, offset).map_err(|e| errno_of(&e))?;
        if n == 0 {
            return Ok(true);
        }
        let (Some(a), Some(b)) = (left.get(..n), right.get_mut(..n)) else { return Ok(false) };
        match other.read_exact_at(b, offset) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read.map_err(|e| errno_of(&e))?,
        }
        if a != &*b {
            return Ok(false);
        }
        offset += u64::try_from(n).unwrap_or(0);
    }
}
