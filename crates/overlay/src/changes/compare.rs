//! What differs between a host object and its counterpart in the upper layer.

use crate::fs::at::{self, Stat};
use crate::fs::xattr;
use model::{Differs, FileKind, FilePath, Meta};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

/// Bytes of each side compared at once.
const COMPARE_BYTES: usize = 1 << 16;

/// An object by the directory it is in.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a> {
    pub(crate) dir: &'a OwnedFd,
    pub(crate) name: &'a OsStr,
    pub(crate) stat: &'a Stat,
}

/// The respects in which two objects of one kind differ.
pub(crate) fn differs(host: Side<'_>, own: Side<'_>) -> Result<Differs, Errno> {
    let mut found = Differs {
        content: !same_content(host, own)?,
        mode: permissions(host.stat) != permissions(own.stat) && at::kind_of(host.stat) != libc::S_IFLNK,
        owner: (host.stat.st_uid, host.stat.st_gid) != (own.stat.st_uid, own.stat.st_gid),
        xattr: xattr::all_foreign(host.dir, host.name)? != xattr::all_foreign(own.dir, own.name)?,
        times: false,
    };
    // A directory's time moves with every name in it; only one that was set is a change of its own.
    let counts = !at::is_dir(host.stat) || xattr::get(own.dir, own.name, OsStr::new(xattr::TIMES))?.is_some();
    found.times = counts && !any(&found) && mtime(host.stat) != mtime(own.stat);
    Ok(found)
}

/// Whether anything differs at all.
pub(crate) fn any(differs: &Differs) -> bool {
    differs.content || differs.mode || differs.owner || differs.xattr || differs.times
}

fn permissions(stat: &Stat) -> u32 {
    stat.st_mode & 0o7777
}

fn mtime(stat: &Stat) -> (i64, i64) {
    (stat.st_mtime, stat.st_mtime_nsec)
}

fn same_content(host: Side<'_>, own: Side<'_>) -> Result<bool, Errno> {
    match at::kind_of(host.stat) {
        libc::S_IFREG if host.stat.st_size != own.stat.st_size => Ok(false),
        libc::S_IFREG => same_bytes(host, own),
        libc::S_IFLNK => Ok(at::readlink(host.dir, host.name)? == at::readlink(own.dir, own.name)?),
        libc::S_IFCHR | libc::S_IFBLK => Ok(host.stat.st_rdev == own.stat.st_rdev),
        _ => Ok(true),
    }
}

fn same_bytes(host: Side<'_>, own: Side<'_>) -> Result<bool, Errno> {
    if (host.stat.st_dev, host.stat.st_ino) == (own.stat.st_dev, own.stat.st_ino) {
        return Ok(true);
    }
    let left = File::from(at::open_file(host.dir, host.name, OFlag::O_RDONLY, 0)?);
    let right = File::from(at::open_own(own.dir, own.name, OFlag::O_RDONLY)?);
    let (mut a, mut b) = (vec![0; COMPARE_BYTES], vec![0; COMPARE_BYTES]);
    let mut offset = 0;
    loop {
        let n = read_full(&left, &mut a, offset)?;
        let m = read_full(&right, &mut b, offset)?;
        if n != m || a.get(..n) != b.get(..m) {
            return Ok(false);
        }
        if n < COMPARE_BYTES {
            return Ok(true);
        }
        offset += u64::try_from(n).unwrap_or(0);
    }
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_full(file: &File, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut filled = 0;
    while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + u64::try_from(filled).unwrap_or(0)) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(crate::fs::errno_of(&e)),
        }
    }
    Ok(filled)
}

/// The object as a change set describes it.
pub(crate) fn meta(side: Side<'_>) -> Result<Meta, Errno> {
    let kind = file_kind(at::kind_of(side.stat));
    let link = match kind {
        FileKind::Symlink => Some(FilePath::new(at::readlink(side.dir, side.name)?)),
        _ => None,
    };
    Ok(Meta { link, ..file_meta(side.stat) })
}

/// [`meta`] of what is no symbolic link.
pub(crate) fn file_meta(stat: &Stat) -> Meta {
    Meta {
        kind: file_kind(at::kind_of(stat)),
        mode: permissions(stat),
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        link: None,
    }
}

/// `S_IFMT` bits as the model names them.
pub(crate) fn file_kind(kind: u32) -> FileKind {
    match kind {
        libc::S_IFDIR => FileKind::Directory,
        libc::S_IFLNK => FileKind::Symlink,
        libc::S_IFIFO => FileKind::Fifo,
        libc::S_IFSOCK => FileKind::Socket,
        libc::S_IFCHR => FileKind::CharDevice,
        libc::S_IFBLK => FileKind::BlockDevice,
        _ => FileKind::File,
    }
}
