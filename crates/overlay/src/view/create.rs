//! New names: files, directories, links, nodes. All of them land in the upper layer.

use crate::fs::at;
use crate::fs::xattr;
use crate::view::device;
use crate::view::layers::{Attr, Found, Layers, check_name, lock};
use crate::view::node::{self, Place, Table};
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Who creates, as the kernel tells it: the owner of the new object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Layers {
    /// open(2) with `O_CREAT` of a name that does not exist.
    pub(crate) fn create(&self, parent: u64, name: &OsStr, mode: u32, owner: Owner) -> Result<Attr, Errno> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        let make = |dir: &OwnedFd, name: &OsStr| at::open_file(dir, name, flags, mode).map(File::from);
        let (attr, file) = self.add(parent, name, owner, mode, make)?;
        // The mode may forbid to open it again, yet its creator goes on writing.
        lock(&self.files).put((attr.number, true), Arc::new(file));
        Ok(attr)
    }

    /// mknod(2). Device nodes are refused unless they are allowed, and never made as such, see [`device`].
    pub(crate) fn mknod(&self, parent: u64, name: &OsStr, mode: u32, rdev: u64, owner: Owner) -> Result<Attr, Errno> {
        match mode & libc::S_IFMT {
            libc::S_IFREG | libc::S_IFIFO | libc::S_IFSOCK => {
                Ok(self.add(parent, name, owner, mode, |dir, name| at::mknod(dir, name, mode))?.0)
            }
            kind if device::is_device(kind) && self.devices => {
                Ok(self.add(parent, name, owner, mode, |dir, name| device::make(dir, name, mode, rdev))?.0)
            }
            _ => Err(Errno::EPERM),
        }
    }

    /// symlink(2).
    pub(crate) fn symlink(&self, parent: u64, name: &OsStr, target: &OsStr, owner: Owner) -> Result<Attr, Errno> {
        Ok(self.add(parent, name, owner, 0, |dir, name| nix::unistd::symlinkat(target, dir, name))?.0)
    }

    /// mkdir(2). A new directory is opaque: whatever the host puts there later is not part of it.
    pub(crate) fn mkdir(&self, parent: u64, name: &OsStr, mode: u32, owner: Owner) -> Result<Attr, Errno> {
        let make = |dir: &OwnedFd, name: &OsStr| {
            at::mkdir(dir, name, mode)?;
            // The mark comes before anything else can be in it; a mode without rights must not prevent that.
            let real = at::stat(dir, name)?.st_mode & 0o7777;
            if real & 0o300 != 0o300 {
                at::chmod(dir, name, real | 0o300)?;
            }
            xattr::set(dir, name, OsStr::new(xattr::OPAQUE), b"y", 0)?;
            if real & 0o300 != 0o300 { at::chmod(dir, name, real) } else { Ok(()) }
        };
        Ok(self.add(parent, name, owner, 0, make)?.0)
    }

    /// link(2): one more name for the node `number`.
    pub(crate) fn link(&self, number: u64, parent: u64, name: &OsStr) -> Result<Attr, Errno> {
        let mut table = self.changing()?;
        let table = &mut *table;
        let found = self.vacant(table, parent, name)?;
        let source = table.get(number)?;
        if source.is_dir() {
            return Err(Errno::EPERM);
        }
        if source.links.is_empty() {
            return Err(Errno::ENOENT);
        }
        self.check_content(table, parent)?;
        self.copy_up(table, number, crate::view::copy_up::Content::All)?;
        let (from, from_name) = self.locate(table, table.get(number)?)?;
        let dir = self.merged_dir(table, parent)?;
        let link = |dir: &OwnedFd, name: &OsStr| at::link(&from, &from_name, dir, name);
        self.budget.one_more(|| self.put(&dir, name, found.whiteout, link))?;
        table.add_link(number, parent, name);
        self.touched(table, parent)?;
        let node = table.get_mut(number)?;
        node.frozen_ctime = None;
        node.lookups += 1;
        self.attr(table, table.get(number)?)
    }

    /// Makes a new object with `make`, which refuses a name that is taken, and gives it node, owner and a reference.
    fn add<T>(
        &self,
        parent: u64,
        name: &OsStr,
        owner: Owner,
        setid_mode: u32,
        make: impl Fn(&OwnedFd, &OsStr) -> Result<T, Errno>,
    ) -> Result<(Attr, T), Errno> {
        let mut table = self.changing()?;
        let table = &mut *table;
        check_name(name)?;
        let made = |dir: &OwnedFd, name: &OsStr| {
            let made = make(dir, name)?;
            let stat = give_to(dir, name, owner, setid_mode);
            let stat = stat.inspect_err(|_| crate::fs::remove::leftover(dir, name))?;
            Ok((device::unmask(dir, name, stat)?, made))
        };
        let (stat, value) = self.budget.one_more(|| match self.put_alone(table, parent, name, made)? {
            Some(made) => Ok(made),
            None => {
                let found = self.vacant(table, parent, name)?;
                self.check_content(table, parent)?;
                if found.whiteout {
                    self.keep_base_under(table, parent, name);
                }
                let dir = self.merged_dir(table, parent)?;
                let (_, value) = self.put(&dir, name, found.whiteout, made)?;
                Ok((at::stat(&dir, name)?, value))
            }
        })?;
        self.touched(table, parent)?;
        let stat = device::unmask(&*self.upper_dir(table, parent)?, name, stat)?;
        self.store.undo.born(stat.st_ino, &self.store.parts()?.origins)?;
        let number = self.fresh(table, &stat);
        table.add_link(number, parent, name);
        table.get_mut(number)?.lookups += 1;
        Ok((self.dress(table.get(number)?, stat), value))
    }

    /// In a directory without a lower half there is nothing to look for first: the upper layer itself knows whether the
    /// name is taken. `None` where that is not so, and where a whiteout may have the name.
    fn put_alone<T>(
        &self,
        table: &Table,
        parent: u64,
        name: &OsStr,
        make: impl Fn(&OwnedFd, &OsStr) -> Result<T, Errno>,
    ) -> Result<Option<T>, Errno> {
        let dir = table.get(parent)?;
        if !dir.is_dir() || !dir.is_upper() || dir.lower.is_some() || self.check_content(table, parent).is_err() {
            return Ok(None);
        }
        let fd = self.upper_dir(table, parent)?;
        match self.put(&fd, name, false, make) {
            Ok(made) => Ok(Some(made)),
            Err(Errno::EEXIST) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// A node for an object that did not exist before. A node that still holds its inode number shows something the
    /// host has removed meanwhile, and loses its claim.
    fn fresh(&self, table: &mut Table, stat: &at::Stat) -> u64 {
        let key = node::key(stat);
        if let Some(number) = table.find(key).map(|old| old.number) {
            table.drop_keys(number);
        }
        let node = table.insert(stat.st_ino, at::kind_of(stat), Place::Upper, &[key]);
        node.made_here = true;
        node.number
    }

    /// Checks that `name` is free in a directory that still exists.
    fn vacant(&self, table: &Table, parent: u64, name: &OsStr) -> Result<Found, Errno> {
        if table.get(parent)?.place == Place::Dead {
            return Err(Errno::ENOENT);
        }
        let found = self.find(table, parent, name)?;
        if found.shown().is_some() { Err(Errno::EEXIST) } else { Ok(found) }
    }

    /// Makes an object at `dir/name`; where a whiteout stands, beside it first and then in its place.
    fn put<T>(
        &self,
        dir: &OwnedFd,
        name: &OsStr,
        over_whiteout: bool,
        make: impl Fn(&OwnedFd, &OsStr) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        self.store.keep_name(dir, name)?;
        if !over_whiteout {
            return at::forced(&[dir], || make(dir, name));
        }
        let spare = OsString::from(self.store.fresh_name());
        let work = &self.store.parts()?.work;
        let made = make(work, &spare)?;
        // rename(2) cannot put a directory over a whiteout, an exchange can.
        let exchange = || at::rename(work, &spare, dir, name, RenameFlags::RENAME_EXCHANGE);
        at::forced(&[dir], exchange).inspect_err(|_| crate::fs::remove::leftover(work, &spare))?;
        at::unlink(work, &spare)?;
        Ok(made)
    }

    /// The child changed the directory: its real times are the ones to show.
    pub(crate) fn touched(&self, table: &mut Table, parent: u64) -> Result<(), Errno> {
        table.get_mut(parent)?.frozen_ctime = None;
        Ok(())
    }
}

/// Hands a new object to the one who asked for it; its attributes then. In a set-group-id directory the group came with
/// the directory.
fn give_to(dir: &OwnedFd, name: &OsStr, owner: Owner, setid_mode: u32) -> Result<at::Stat, Errno> {
    let made = at::stat(dir, name)?;
    if (made.st_uid, made.st_gid) == (owner.uid, owner.gid) {
        return Ok(made);
    }
    let inherits = at::stat(dir, at::dot())?.st_mode & libc::S_ISGID != 0;
    let uid = (made.st_uid != owner.uid).then_some(owner.uid);
    let gid = (made.st_gid != owner.gid && !inherits).then_some(owner.gid);
    if uid.is_none() && gid.is_none() {
        return Ok(made);
    }
    at::chown(dir, name, uid, gid)?;
    // chown(2) takes set-id bits off.
    if setid_mode & 0o6000 != 0 {
        at::chmod(dir, name, setid_mode & 0o7777)?;
    }
    at::stat(dir, name)
}
