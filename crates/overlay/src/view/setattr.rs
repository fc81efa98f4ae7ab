//! Changing attributes: size, owner, mode, times, extended attributes.

use crate::fs::at;
use crate::fs::xattr;
use crate::view::copy_up::Content;
use crate::view::layers::{Attr, Layers};
use crate::view::node::{Node, Table};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What is to change; `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) mode: Option<u32>,
    pub(crate) atime: Option<TimeSpec>,
    pub(crate) mtime: Option<TimeSpec>,
}

impl Layers {
    /// truncate(2), chown(2), chmod(2) and utimensat(2) in one, in the order in which none undoes another.
    pub(crate) fn setattr(&self, number: u64, changes: Changes) -> Result<Attr, Errno> {
        let mut table = self.changing()?;
        let table = &mut *table;
        check_changeable(table.get(number)?)?;
        self.check_change(table, number, &changes)?;
        if let Some(size) = changes.size {
            self.truncate(table, number, size)?;
        }
        let (dir, name) = self.upper_place(table, number)?;
        self.store.keep_attributes(&dir, &name)?;
        if changes.uid.is_some() || changes.gid.is_some() {
            at::chown(&*dir, &name, changes.uid, changes.gid)?;
        }
        if let Some(mode) = changes.mode {
            at::chmod(&*dir, &name, mode & 0o7777)?;
        }
        if changes.atime.is_some() || changes.mtime.is_some() {
            let omit = TimeSpec::UTIME_OMIT;
            at::set_times(&*dir, &name, changes.atime.unwrap_or(omit), changes.mtime.unwrap_or(omit))?;
            if changes.mtime.is_some() && table.get(number)?.is_dir() {
                at::forced(&[&dir], || xattr::set(&*dir, &name, OsStr::new(xattr::TIMES), b"y", 0))?;
            }
        }
        table.get_mut(number)?.frozen_ctime = None;
        self.attr(table, table.get(number)?)
    }

    /// setxattr(2).
    pub(crate) fn set_xattr(&self, number: u64, name: &OsStr, value: &[u8], flags: i32) -> Result<(), Errno> {
        check_settable(name)?;
        self.change_xattr(number, |dir, entry| {
            let held = || at::stat(dir, entry).map_or(0, |stat| u64::try_from(stat.st_blocks).unwrap_or(0) * 512);
            self.budget.attach(name.len() + value.len(), held, || xattr::set(dir, entry, name, value, flags))
        })
    }

    /// removexattr(2).
    pub(crate) fn remove_xattr(&self, number: u64, name: &OsStr) -> Result<(), Errno> {
        check_settable(name)?;
        if self.get_xattr(number, name)?.is_none() {
            return Err(Errno::ENODATA);
        }
        self.change_xattr(number, |dir, entry| xattr::remove(dir, entry, name))
    }

    /// getxattr(2); `None` for one that is not there or is not the child's business.
    pub(crate) fn get_xattr(&self, number: u64, name: &OsStr) -> Result<Option<Vec<u8>>, Errno> {
        if !xattr::is_visible(name) {
            return Ok(None);
        }
        let table = self.read();
        let node = table.get(number)?;
        // The kernel asks before the first write to each file.
        let cannot_have = node.made_here && name.as_encoded_bytes() == b"security.capability";
        if node.hidden || cannot_have {
            return Ok(None);
        }
        let (dir, entry) = self.locate(&table, node)?;
        xattr::get(&*dir, &entry, name)
    }

    /// listxattr(2).
    pub(crate) fn list_xattr(&self, number: u64) -> Result<Vec<OsString>, Errno> {
        let table = self.read();
        let node = table.get(number)?;
        if node.hidden {
            return Ok(Vec::new());
        }
        let (dir, entry) = self.locate(&table, node)?;
        let mut names = xattr::list(&*dir, &entry)?;
        names.retain(|name| xattr::is_visible(name));
        Ok(names)
    }

    fn change_xattr(&self, number: u64, change: impl Fn(&OwnedFd, &OsStr) -> Result<(), Errno>) -> Result<(), Errno> {
        let mut table = self.changing()?;
        check_changeable(table.get(number)?)?;
        self.check_content(&table, number)?;
        let (dir, entry) = self.upper_place(&mut table, number)?;
        self.store.keep_attributes(&dir, &entry)?;
        // Where the mode forbids it to us, it does not to the child, whom the kernel has let through.
        xattr::with_right(&*dir, &entry, 0o600, || change(&dir, &entry))?;
        table.get_mut(number)?.frozen_ctime = None;
        Ok(())
    }

    /// Size and the time of now are for everybody who may write, the rest for the owner.
    fn check_change(&self, table: &Table, number: u64, changes: &Changes) -> Result<(), Errno> {
        let set = |time: Option<TimeSpec>| time.is_some_and(|time| time != TimeSpec::UTIME_NOW);
        let owners = changes.uid.is_some() || changes.gid.is_some() || changes.mode.is_some();
        if owners || set(changes.atime) || set(changes.mtime) {
            return self.check_owner(table, number);
        }
        self.check_content(table, number)
    }

    fn upper_place(&self, table: &mut Table, number: u64) -> Result<(Arc<OwnedFd>, OsString), Errno> {
        self.copy_up(table, number, Content::All)?;
        self.locate(table, table.get(number)?)
    }
}

/// A hidden directory stays as it is: a change of it would become a change of the host's.
fn check_changeable(node: &Node) -> Result<(), Errno> {
    if node.hidden { Err(Errno::EPERM) } else { Ok(()) }
}

/// The child sets what users set; labels and capabilities are the host's business, our own marks ours.
fn check_settable(name: &OsStr) -> Result<(), Errno> {
    let bytes = name.as_encoded_bytes();
    if xattr::is_reserved(name) || bytes.starts_with(b"trusted.") || bytes.starts_with(b"security.") {
        return Err(Errno::EPERM);
    }
    if bytes.starts_with(b"user.") { Ok(()) } else { Err(Errno::EOPNOTSUPP) }
}
