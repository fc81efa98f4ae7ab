//! The backend of last resort: a plain copy of the view, for a machine where nothing can be mounted.
//!
//! The command works on the copy. When it is over, what differs from the copy *as it was made* is done again on the view,
//! call by call, as the command would have done it over FUSE: so layer, checkpoints and the record of what the host had
//! are what they always are. What the host had is taken from the moment of the copy, so that a file which changed there
//! since is a conflict and never overwritten.

use crate::error::OverlayError;
use crate::fs::at::{self, Stat};
use crate::fs::{errno_of, xattr};
use crate::overlay::Overlay;
use crate::store::origin::Identity;
use crate::store::store_error;
use crate::view::copy_up::{copy_content, wait_for_tick};
use crate::view::create::Owner;
use crate::view::layers::Layers;
use crate::view::node::ROOT;
use crate::view::setattr::Changes;
use model::{Action, Attempt, FilePath, PathScope, Target};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::time::TimeSpec;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};

/// There from the moment a copy is whole until what became of it is in the layer.
const MANIFEST: &str = "copied";
/// A file that changes this often while it is copied is taken as it comes, and counts as changed by the host.
const TRIES_MAX: u32 = 3;
/// A copy has no set-id bits: it stands in a directory of the host.
const MODE_OF_A_COPY: u32 = 0o1777;
const COMPARED_BYTES: usize = 1 << 16;

/// How much is copied at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyMost {
    /// Files, directories and links.
    pub files: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// What was copied, and how the copy looked.
#[derive(Serialize, Deserialize)]
struct Manifest {
    to: FilePath,
    names: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    rel: FilePath,
    /// What the host has there, by its place in the lower layer.
    host: Option<(FilePath, Identity)>,
    copy: Identity,
}

impl Overlay {
    /// Copies the view to the new directory `to`: hidden paths, other roots, sockets and devices are left out.
    ///
    /// # Errors
    /// It is more than `most`, the store is in use, or something cannot be read or written; what was made of the copy
    /// stays.
    pub fn copy_to(&self, to: &Path, most: &CopyMost) -> Result<(), OverlayError> {
        self.settle()?;
        let _lock = self.store.lock()?;
        self.check_whole()?;
        let failed = |source| store_error(to, source);
        std::fs::DirBuilder::new().mode(0o700).create(to).map_err(|e| failed(errno_of(&e)))?;
        let root = at::open_root(to).map_err(failed)?;
        let (layers, links) = (self.layers()?, HashMap::new());
        let mut copying = Copying { overlay: self, layers, root, names: Vec::new(), links, left: *most, most: *most };
        copying.all()?;
        let manifest = Manifest { to: FilePath::from(to), names: copying.names };
        let bytes = serde_json::to_vec(&manifest).map_err(|_| failed(Errno::EIO))?;
        let (spare, path) = (self.store.path.join("copied.new"), self.store.path.join(MANIFEST));
        let written = std::fs::write(&spare, bytes).and_then(|()| std::fs::rename(&spare, &path));
        written.map_err(|e| store_error(&path, errno_of(&e)))
    }

    /// Brings what the command did to the copy into the layer, if there is a copy; nobody may write there any more. What
    /// could not be taken over, because a rule hides that path or the host would refuse it, is returned.
    ///
    /// # Errors
    /// The store is in use, or one of the two cannot be read or written; then it can be tried again.
    pub fn fold_copy(&self) -> Result<Vec<Attempt>, OverlayError> {
        let path = self.store.path.join(MANIFEST);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(|e| store_error(&path, errno_of(&e)))?,
        };
        let damaged = |why: serde_json::Error| OverlayError::Damaged { path: path.clone(), why: why.to_string() };
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(damaged)?;
        let _lock = self.store.lock()?;
        self.store.clean_work().map_err(|e| store_error(&self.store.path, e))?;
        let root = at::open_root(manifest.to.as_path()).map_err(|e| store_error(manifest.to.as_path(), e))?;
        let mut folding = Folding::new(self, self.layers()?, manifest);
        folding.all(&root)?;
        std::fs::remove_file(&path).map_err(|e| store_error(&path, errno_of(&e)))?;
        Ok(folding.refused)
    }
}

/// One copy being made.
struct Copying<'o> {
    overlay: &'o Overlay,
    layers: Layers,
    root: OwnedFd,
    names: Vec<Entry>,
    /// The first name of each file that has several, by node.
    links: HashMap<u64, (PathBuf, Vec<usize>)>,
    left: CopyMost,
    most: CopyMost,
}

impl Copying<'_> {
    fn all(&mut self) -> Result<(), OverlayError> {
        let top = self.root.try_clone().map_err(|e| self.overlay.read_error(Path::new(""), errno_of(&e)))?;
        self.directory(ROOT, Path::new(""), &top)?;
        let on = |rel: &Path, errno| self.overlay.read_error(rel, errno);
        let stat = self.layers.getattr(ROOT).map_err(|e| on(Path::new(""), e))?.stat;
        self.dress(ROOT, &top, at::dot(), &stat).map_err(|e| on(Path::new(""), e))?;
        // Another name moves the change time.
        let linked: Vec<usize> = self.links.values().flat_map(|(_, all)| all).copied().collect();
        for index in linked {
            let Some(entry) = self.names.get_mut(index) else { continue };
            let stat = at::stat(&top, entry.rel.as_os_str());
            entry.copy = Identity::of(&stat.map_err(|e| self.overlay.read_error(entry.rel.as_path(), e))?);
        }
        let made = at::stat(&top, at::dot()).map_err(|e| self.overlay.read_error(Path::new(""), e))?;
        self.names.push(Entry { rel: FilePath::from(""), host: None, copy: Identity::of(&made) });
        // What the command does must not have the change time of the copy itself.
        wait_for_tick(&made).map_err(|e| self.overlay.read_error(Path::new(""), e))
    }

    fn directory(&mut self, number: u64, rel: &Path, target: &OwnedFd) -> Result<(), OverlayError> {
        let listing = self.layers.read_dir(number, 0).map_err(|e| self.overlay.read_error(rel, e))?;
        for item in listing.iter() {
            let child = rel.join(&item.name);
            if self.layers.hidden.rule(&child).is_some() || is_another_root(self.overlay, &child) {
                continue;
            }
            self.one(number, &item.name, &child, target)?;
        }
        self.layers.drop_listing(number);
        Ok(())
    }

    fn one(&mut self, parent: u64, name: &OsStr, rel: &Path, target: &OwnedFd) -> Result<(), OverlayError> {
        let overlay = self.overlay;
        let on = |errno| overlay.read_error(rel, errno);
        let found = self.layers.find(&self.layers.read(), parent, name).map_err(on)?;
        let seen = match self.layers.lookup(parent, name) {
            // Gone since the directory was listed.
            Err(Errno::ENOENT) => return Ok(()),
            seen => seen.map_err(on)?,
        };
        self.count(rel, &seen.stat)?;
        let mut host = found.lower.map(|(lower, stat)| (FilePath::from(lower), Identity::of(&stat)));
        let made = match at::kind_of(&seen.stat) {
            libc::S_IFDIR => {
                at::mkdir(target, name, 0o700).map_err(on)?;
                let below = at::open_dir(target, name).map_err(on)?;
                match self.directory(seen.number, rel, &below) {
                    // The command could not list it either.
                    Err(OverlayError::Read { source: Errno::EACCES, .. }) => {}
                    done => done?,
                }
                true
            }
            libc::S_IFREG => {
                if let Some((first, _)) = self.links.get(&seen.number) {
                    at::link(&self.root, first.as_os_str(), target, name).map_err(on)?;
                } else if !self.file(seen.number, target, name).map_err(on)? {
                    host = host.map(|(lower, _)| (lower, Identity::lost()));
                }
                true
            }
            libc::S_IFLNK => {
                let to = self.layers.readlink(seen.number).map_err(on)?;
                nix::unistd::symlinkat(to.as_os_str(), target, name).map_err(on)?;
                true
            }
            libc::S_IFIFO => at::mknod(target, name, libc::S_IFIFO | 0o600).map(|()| true).map_err(on)?,
            _ => false,
        };
        if !made {
            return Ok(());
        }
        self.dress(seen.number, target, name, &seen.stat).map_err(on)?;
        if at::kind_of(&seen.stat) == libc::S_IFREG && seen.stat.st_nlink > 1 {
            let index = self.names.len();
            self.links.entry(seen.number).or_insert_with(|| (rel.to_owned(), Vec::new())).1.push(index);
        }
        let copy = Identity::of(&at::stat(target, name).map_err(on)?);
        self.names.push(Entry { rel: FilePath::from(rel), host, copy });
        Ok(())
    }

    fn count(&mut self, rel: &Path, stat: &Stat) -> Result<(), OverlayError> {
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
        let bytes = if at::is_dir(stat) { 0 } else { blocks };
        match (self.left.files.checked_sub(1), self.left.bytes.checked_sub(bytes)) {
            (Some(files), Some(bytes)) => {
                self.left = CopyMost { files, bytes };
                Ok(())
            }
            _ => {
                let CopyMost { files, bytes } = self.most;
                let root = self.overlay.root().clone();
                Err(OverlayError::TooMuch { root, at: self.overlay.absolute(rel), files, bytes })
            }
        }
    }

    /// Whether the file stood still while it was copied. One that may not be read is empty in the copy, and may not be
    /// read there.
    fn file(&self, number: u64, target: &OwnedFd, name: &OsStr) -> Result<bool, Errno> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        let copy = File::from(at::open_file(target, name, flags, 0o600)?);
        let source = match self.layers.file(number, false) {
            Err(Errno::EACCES) => return Ok(true),
            opened => opened?,
        };
        for _ in 0..TRIES_MAX {
            let before = nix::sys::stat::fstat(&*source)?;
            nix::unistd::ftruncate(&copy, 0)?;
            copy_content(&source, &copy, before.st_size)?;
            if Identity::of(&before) == Identity::of(&nix::sys::stat::fstat(&*source)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Owner, attributes, mode and times, as far as they can be given.
    fn dress(&self, number: u64, dir: &OwnedFd, name: &OsStr, stat: &Stat) -> Result<(), Errno> {
        let made = at::stat(dir, name)?;
        if (made.st_uid, made.st_gid) != (stat.st_uid, stat.st_gid) {
            match at::chown(dir, name, Some(stat.st_uid), Some(stat.st_gid)) {
                Ok(()) | Err(Errno::EPERM | Errno::EINVAL) => {}
                Err(errno) => return Err(errno),
            }
        }
        let kind = at::kind_of(stat);
        if kind != libc::S_IFLNK {
            for attribute in self.layers.list_xattr(number)?.iter().filter(|name| is_plain(name)) {
                match self.layers.get_xattr(number, attribute).map(|value| value.unwrap_or_default()) {
                    Ok(value) => match xattr::set(dir, name, attribute, &value, 0) {
                        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::EPERM | Errno::EACCES) => {}
                        Err(errno) => return Err(errno),
                    },
                    Err(Errno::EACCES) => {}
                    Err(errno) => return Err(errno),
                }
            }
            let mode = if kind == libc::S_IFDIR { stat.st_mode & 0o7777 } else { stat.st_mode & MODE_OF_A_COPY };
            at::chmod(dir, name, mode)?;
        }
        at::copy_times(dir, name, stat)
    }
}

fn is_plain(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"user.") && xattr::is_visible(name)
}

fn is_another_root(overlay: &Overlay, rel: &Path) -> bool {
    overlay.saved.nested.contains(&overlay.absolute(rel))
}

/// One copy being compared.
struct Folding<'o> {
    overlay: &'o Overlay,
    layers: Layers,
    was: HashMap<PathBuf, Entry>,
    /// The names the copy had in each directory.
    names: HashMap<PathBuf, Vec<OsString>>,
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
    fn new(overlay: &'o Overlay, layers: Layers, manifest: Manifest) -> Folding<'o> {
        let mut names: HashMap<PathBuf, Vec<OsString>> = HashMap::new();
        let mut was = HashMap::new();
        for entry in manifest.names {
            let rel = entry.rel.as_path().to_owned();
            if let Some((parent, name)) = at::split(&rel) {
                names.entry(parent.to_owned()).or_default().push(name.to_owned());
            }
            was.insert(rel, entry);
        }
        Folding { overlay, layers, was, names, linked: HashMap::new(), refused: Vec::new() }
    }

    fn all(&mut self, root: &OwnedFd) -> Result<(), OverlayError> {
        let on = |errno| self.overlay.read_error(Path::new(""), errno);
        let top = root.try_clone().map_err(|e| on(errno_of(&e)))?;
        let now = at::stat(root, at::dot()).map_err(on)?;
        self.directory(ROOT, Path::new(""), &top)?;
        let spot = Spot { parent: ROOT, dir: root, name: at::dot(), rel: Path::new("") };
        let dressed = self.attributes(ROOT, &spot, &now);
        self.or_refused(dressed, Action::Attributes, Path::new(""))
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
        self.layers.store.origins.cover_all(seen.as_slice())?;
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
        let same = |entry: &&Entry| entry.copy.ino == now.st_ino && entry.copy.mode & libc::S_IFMT == libc::S_IFREG;
        let Some(entry) = self.was.values().find(same) else { return Ok(None) };
        let mut number = ROOT;
        for name in entry.rel.as_path().iter() {
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
        let nothing = changes.mode.is_none() && changes.uid.is_none() && changes.gid.is_none();
        if nothing && changes.mtime.is_none() && had == given {
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
        if nothing && changes.mtime.is_none() {
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
