//! Extended attributes of an object named by its parent's descriptor, and the names the child may not see or set.

use crate::fs::at;
use crate::sys::{self, Last};
use nix::errno::Errno;
use std::ffi::{CString, OsStr, OsString};
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Marks a directory that hides everything below it in the lower layer (kernel overlayfs, `userxattr`).
pub(crate) const OPAQUE: &str = "user.overlay.opaque";
/// Absolute path, from the root of the lower layer, of the directory this one was renamed from.
pub(crate) const REDIRECT: &str = "user.overlay.redirect";
/// The lower object this upper one was copied from, see `origin::Origin`.
pub(crate) const ORIGIN: &str = "user.belljar.origin";
/// On the stand-in of a device node: which device, see `view::device`.
pub(crate) const NODE: &str = "user.belljar.node";
/// On a copied-up hard link: the count of its links in the view minus the one in the store, as a decimal number.
pub(crate) const LINKS: &str = "user.belljar.links";
/// Set on an upper directory whose times the child set, so that they are no mere trace of names that came and went.
pub(crate) const TIMES: &str = "user.belljar.times";
/// Set on the upper root: the format, and the proof that the file system keeps user attributes.
pub(crate) const FORMAT: &str = "user.belljar.format";

/// `XATTR_SIZE_MAX` and `XATTR_LIST_MAX` of linux/limits.h.
const XATTR_BYTES_MAX: usize = 65_536;
/// Our own values are short; a path in a redirect is the longest.
const OWN_BYTES_MAX: usize = 4_096;

/// Whether `name` belongs to the overlay itself: the child never sees, sets or removes it, and apply strips it.
pub(crate) fn is_reserved(name: &OsStr) -> bool {
    let name = name.as_bytes();
    [b"user.overlay.".as_slice(), b"user.belljar.", b"trusted.overlay."].iter().any(|own| name.starts_with(own))
}

/// Whether the child may see `name`. Labels and ACLs of the host mean nothing inside.
pub(crate) fn is_visible(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    (bytes.starts_with(b"user.") && !is_reserved(name)) || bytes == b"security.capability"
}

/// The value of `name` on `dir/entry` (or `dir` itself when `entry` is `.`), not following a symbolic link.
/// `None` when there is no such attribute or the file system has none at all.
pub(crate) fn get(dir: impl AsFd, entry: &OsStr, name: &OsStr) -> Result<Option<Vec<u8>>, Errno> {
    let ((path, last), name) = (path_of(dir, entry)?, cstring(name)?);
    let mut buf = vec![0; OWN_BYTES_MAX];
    let n = match sys::get_xattr(&path, last, &name, &mut buf) {
        Err(Errno::ERANGE) => {
            buf.resize(XATTR_BYTES_MAX, 0);
            sys::get_xattr(&path, last, &name, &mut buf)
        }
        other => other,
    };
    match n {
        Ok(n) => {
            buf.truncate(n);
            Ok(Some(buf))
        }
        Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// One of our own short attributes into a buffer on the stack: the hot path of a lookup.
pub(crate) fn get_own<'b>(
    dir: impl AsFd,
    entry: &OsStr,
    name: &'static str,
    buf: &'b mut [u8],
) -> Result<Option<&'b [u8]>, Errno> {
    let ((path, last), name) = (path_of(dir, entry)?, cstring(OsStr::new(name))?);
    match sys::get_xattr(&path, last, &name, buf) {
        Ok(n) => Ok(buf.get(..n)),
        Err(Errno::ENODATA | Errno::EOPNOTSUPP | Errno::EPERM) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// All names on `dir/entry`; empty when the file system has no attributes.
pub(crate) fn list(dir: impl AsFd, entry: &OsStr) -> Result<Vec<OsString>, Errno> {
    let (path, last) = path_of(dir, entry)?;
    let mut buf = vec![0; OWN_BYTES_MAX];
    let n = match sys::list_xattr(&path, last, &mut buf) {
        Err(Errno::ERANGE) => {
            buf.resize(XATTR_BYTES_MAX, 0);
            sys::list_xattr(&path, last, &mut buf)
        }
        other => other,
    };
    let n = match n {
        Ok(n) => n,
        Err(Errno::EOPNOTSUPP) => 0,
        Err(errno) => return Err(errno),
    };
    buf.truncate(n);
    Ok(buf.split(|b| *b == 0).filter(|n| !n.is_empty()).map(|n| OsString::from_vec(n.to_vec())).collect())
}

/// Sets `name` on `dir/entry`; `flags` as in setxattr(2).
pub(crate) fn set(dir: impl AsFd, entry: &OsStr, name: &OsStr, value: &[u8], flags: i32) -> Result<(), Errno> {
    let (path, last) = path_of(dir, entry)?;
    sys::set_xattr(&path, last, &cstring(name)?, value, flags)
}

/// Removes `name` from `dir/entry`.
pub(crate) fn remove(dir: impl AsFd, entry: &OsStr, name: &OsStr) -> Result<(), Errno> {
    let (path, last) = path_of(dir, entry)?;
    sys::remove_xattr(&path, last, &cstring(name)?)
}

/// Whether `name` says something about the file that a user gave it: labels and measurements of the system differ
/// between any two files.
fn is_foreign(name: &OsStr) -> bool {
    let system = [b"security.selinux".as_slice(), b"security.ima", b"security.evm", b"security.SMACK64", b"trusted."];
    !is_reserved(name) && !system.iter().any(|own| name.as_bytes().starts_with(own))
}

/// Every attribute of `dir/entry` that is not the overlay's or the system's own, sorted by name.
pub(crate) fn all_foreign(dir: impl AsFd, entry: &OsStr) -> Result<Vec<(OsString, Vec<u8>)>, Errno> {
    all(dir, entry, is_foreign)
}

/// [`all_foreign`] and the overlay's own.
pub(crate) fn all_known(dir: impl AsFd, entry: &OsStr) -> Result<Vec<(OsString, Vec<u8>)>, Errno> {
    all(dir, entry, |name| is_foreign(name) || is_reserved(name))
}

fn all(dir: impl AsFd, entry: &OsStr, wanted: fn(&OsStr) -> bool) -> Result<Vec<(OsString, Vec<u8>)>, Errno> {
    let mut found = Vec::new();
    for name in list(&dir, entry)? {
        if !wanted(&name) {
            continue;
        }
        if let Some(value) = get(&dir, entry, &name)? {
            found.push((name, value));
        }
    }
    found.sort();
    Ok(found)
}

/// Every attribute of `dir/entry`, whosever it is.
pub(crate) fn everything(dir: impl AsFd, entry: &OsStr) -> Result<Vec<(OsString, Vec<u8>)>, Errno> {
    let mut found = Vec::new();
    for name in list(&dir, entry)? {
        if let Some(value) = get(&dir, entry, &name)? {
            found.push((name, value));
        }
    }
    Ok(found)
}

/// Copies every foreign attribute; one the target's file system or our rights refuse is left out, because a label or
/// an ACL that cannot be kept must not make the file unwritable.
pub(crate) fn copy(from: impl AsFd, from_entry: &OsStr, to: impl AsFd, to_entry: &OsStr) -> Result<(), Errno> {
    give(to, to_entry, &all_foreign(from, from_entry)?)
}

/// The second half of [`copy`].
pub(crate) fn give(to: impl AsFd, entry: &OsStr, attributes: &[(OsString, Vec<u8>)]) -> Result<(), Errno> {
    for (name, value) in attributes {
        match set(&to, entry, name, value, 0) {
            Ok(()) | Err(Errno::EOPNOTSUPP | Errno::EPERM | Errno::EACCES) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Removes the overlay's own attributes from `dir/entry`, before it becomes a file of the host: also from one that is
/// read-only, as the objects of git are.
pub(crate) fn strip(dir: impl AsFd, entry: &OsStr) -> Result<(), Errno> {
    let own: Vec<_> = list(&dir, entry)?.into_iter().filter(|name| is_reserved(name)).collect();
    drop_all(dir, entry, &own)
}

/// Removes one attribute of ours from `dir/entry`, whatever its mode.
pub(crate) fn drop_own(dir: impl AsFd, entry: &OsStr, name: &OsString) -> Result<(), Errno> {
    drop_all(dir, entry, std::slice::from_ref(name))
}

fn drop_all(dir: impl AsFd, entry: &OsStr, own: &[OsString]) -> Result<(), Errno> {
    with_right(&dir, entry, 0o200, || own.iter().try_for_each(|name| remove(&dir, entry, name)))
}

/// Marks `dir/entry` as the copy of `origin`, unless it says what it is.
pub(crate) fn mark_copy(dir: &OwnedFd, entry: &OsStr, origin: &[u8]) -> Result<(), Errno> {
    let mark = || match get(dir, entry, OsStr::new(ORIGIN))? {
        Some(_) => Ok(()),
        None => set(dir, entry, OsStr::new(ORIGIN), origin, 0),
    };
    at::forced(&[dir], || with_right(dir, entry, 0o600, mark))
}

/// Does something with the attributes of an upper object; where its mode forbids that, once more with `right` added.
/// The kernel asks for the right to read or write the object itself, which its owner may lack.
pub(crate) fn with_right<T>(
    dir: impl AsFd,
    entry: &OsStr,
    right: u32,
    op: impl Fn() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match op() {
        Err(Errno::EACCES) => {}
        other => return other,
    }
    let mode = at::stat(&dir, entry)?.st_mode & 0o7777;
    at::chmod(&dir, entry, mode | right)?;
    let result = op();
    at::chmod(&dir, entry, mode)?;
    result
}

/// `/proc/self/fd/N/entry`, or `/proc/self/fd/N` for what `dir` itself is open on: the kernel resolves the magic link to
/// the open object, so nothing can be swapped.
fn path_of(dir: impl AsFd, entry: &OsStr) -> Result<(CString, Last), Errno> {
    let mut path = Vec::with_capacity(32 + entry.len());
    write!(path, "/proc/self/fd/{}", dir.as_fd().as_raw_fd()).map_err(|_| Errno::EIO)?;
    let own = entry == at::dot();
    if !own {
        path.push(b'/');
        path.extend_from_slice(entry.as_bytes());
    }
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    Ok((path, if own { Last::Follow } else { Last::Keep }))
}

fn cstring(name: &OsStr) -> Result<CString, Errno> {
    CString::new(name.as_bytes()).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_names_are_reserved() {
        for (name, reserved, visible) in [
            ("user.overlay.opaque", true, false),
            ("user.belljar.origin", true, false),
            ("trusted.overlay.opaque", true, false),
            ("user.overlayx", false, true),
            ("user.comment", false, true),
            ("security.selinux", false, false),
            ("system.posix_acl_access", false, false),
        ] {
            assert_eq!(is_reserved(OsStr::new(name)), reserved, "{name}");
            assert_eq!(is_visible(OsStr::new(name)), visible, "{name}");
        }
    }
}
