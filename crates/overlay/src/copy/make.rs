//! Making the copy.

use super::{CopyMost, Entry, is_another_root, is_plain};
use crate::error::OverlayError;
use crate::fs::at::{self, Stat};
use crate::fs::{errno_of, xattr};
use crate::overlay::Overlay;
use crate::store::origin::Identity;
use crate::view::copy_up::{copy_content, give_owner, wait_for_tick};
use crate::view::layers::Layers;
use crate::view::node::ROOT;
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A file that changes this often while it is copied is taken as it comes, and counts as changed by the host.
const TRIES_MAX: u32 = 3;
/// A copy has no set-id bits: it stands in a directory of the host.
const MODE_OF_A_COPY: u32 = 0o1777;

/// One copy being made.
pub(super) struct Copying<'o> {
    overlay: &'o Overlay,
    layers: Layers,
    root: OwnedFd,
    names: Vec<Entry>,
    /// The first name of each file that has several, by node.
    links: HashMap<u64, (PathBuf, Vec<usize>)>,
    left: CopyMost,
    most: CopyMost,
}

impl<'o> Copying<'o> {
    pub(super) fn new(overlay: &'o Overlay, layers: Layers, root: OwnedFd, most: CopyMost) -> Copying<'o> {
        Copying { overlay, layers, root, names: Vec::new(), links: HashMap::new(), left: most, most }
    }

    /// Makes it; what it has then.
    pub(super) fn all(mut self) -> Result<Vec<Entry>, OverlayError> {
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
        wait_for_tick(&made).map_err(|e| self.overlay.read_error(Path::new(""), e))?;
        Ok(self.names)
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
        give_owner(dir, name, stat)?;
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
