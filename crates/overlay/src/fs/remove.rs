//! Removing whole trees of our own: whatever their modes, however deep, never through a symbolic link.

use crate::fs::at;
use nix::errno::Errno;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;

/// How often a directory that refills while it is emptied is tried again.
const TRIES_MAX: u32 = 8;

/// Removes `dir/name` with everything below it. Iterative, so that depth costs memory and not stack; a descriptor is
/// held only for the directory being emptied and the way back is by `..` of directories we own alone.
pub(crate) fn tree(dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    let Some(stat) = at::stat_opt(dir, name)? else {
        return Ok(());
    };
    if !at::is_dir(&stat) {
        return at::forced(&[dir], || at::unlink_opt(dir, name));
    }
    let mut stack: Vec<OsString> = vec![name.to_owned()];
    let mut current = enter(dir, name)?;
    let mut tries = 0;
    loop {
        match empty(&current)? {
            Some(below) => {
                current = enter(&current, &below)?;
                stack.push(below);
                tries = 0;
            }
            None => {
                let Some(done) = stack.pop() else {
                    return Ok(());
                };
                let parent = if stack.is_empty() { None } else { Some(at::open_dir(&current, OsStr::new(".."))?) };
                let holder = parent.as_ref().unwrap_or(dir);
                match at::forced(&[holder], || at::rmdir(holder, &done)) {
                    Ok(()) => tries = 0,
                    Err(Errno::ENOTEMPTY) if tries < TRIES_MAX => {
                        tries += 1;
                        stack.push(done);
                        continue;
                    }
                    Err(errno) => return Err(errno),
                }
                match parent {
                    Some(parent) => current = parent,
                    None => return Ok(()),
                }
            }
        }
    }
}

/// Removes what a failed step made. The step's own error is the one to report; what stays here is removed by the next
/// cleaning of the store.
pub(crate) fn leftover(dir: &OwnedFd, name: &OsStr) {
    let _ = tree(dir, name);
}

/// Opens a directory after giving ourselves the right to empty it.
fn enter(dir: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    let fd = at::forced(&[dir], || at::open_dir(dir, name))?;
    let mode = nix::sys::stat::fstat(&fd)?.st_mode;
    if mode & 0o700 != 0o700 {
        at::chmod_open(&fd, (mode & 0o7777) | 0o700)?;
    }
    Ok(fd)
}

/// Unlinks everything that is not a directory; the name of a directory that must be emptied first, if there is one.
fn empty(dir: &OwnedFd) -> Result<Option<OsString>, Errno> {
    for entry in at::list(dir)? {
        let directory = match entry.kind {
            0 => at::is_dir(&at::stat(dir, &entry.name)?),
            kind => kind == libc::S_IFDIR,
        };
        if !directory {
            at::unlink_opt(dir, &entry.name)?;
        } else if at::rmdir(dir, &entry.name).is_err() {
            return Ok(Some(entry.name));
        }
    }
    Ok(None)
}
