//! Device nodes of the child, kept so that none is a device on the host: the one that reads 0:0 would be a whiteout,
//! and the others would reach hardware from the store.
//!
//! In the upper layer a device node is a regular file of a size of its own, without data, whose `user.belljar.node`
//! says what it is: `c` or `b`, major and minor number, as in `c:1:3`. Owner, mode and times are the file's. The size
//! tells such files from others without reading attributes, so it is no proof: a file of the child that happens to have
//! it stays a file.

use crate::fs::at::{self, Stat};
use crate::fs::xattr;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// Size of the file that stands for a device node: all of it a hole.
const SIZE: i64 = 0x6e6f_6465;

/// Whether these `S_IFMT` bits are a device's.
pub(crate) fn is_device(kind: u32) -> bool {
    matches!(kind, libc::S_IFCHR | libc::S_IFBLK)
}

/// Makes the stand-in of a device node at `dir/name`; `mode` with its `S_IFMT` bits.
pub(crate) fn make(dir: &OwnedFd, name: &OsStr, mode: u32, rdev: u64) -> Result<(), Errno> {
    let file = File::from(at::open_file(dir, name, OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL, 0o600)?);
    let finish = || -> Result<(), Errno> {
        nix::unistd::ftruncate(&file, SIZE)?;
        xattr::set(dir, name, OsStr::new(xattr::NODE), &encode(mode & libc::S_IFMT, rdev), 0)?;
        at::chmod(dir, name, mode & 0o7777)
    };
    finish().inspect_err(|_| crate::fs::remove::leftover(dir, name))
}

/// The attributes of the upper object `dir/name` as the view has them: those of a device node where it stands for one.
pub(crate) fn unmask(dir: impl AsFd, name: &OsStr, mut stat: Stat) -> Result<Stat, Errno> {
    if at::kind_of(&stat) != libc::S_IFREG || stat.st_size != SIZE {
        return Ok(stat);
    }
    let mark = xattr::with_right(&dir, name, 0o400, || xattr::get(&dir, name, OsStr::new(xattr::NODE)))?;
    if let Some((kind, rdev)) = mark.as_deref().and_then(decode) {
        stat.st_mode = kind | (stat.st_mode & 0o7777);
        stat.st_rdev = rdev;
        (stat.st_size, stat.st_blocks) = (0, 0);
    }
    Ok(stat)
}

fn encode(kind: u32, rdev: u64) -> Vec<u8> {
    let letter = if kind == libc::S_IFBLK { 'b' } else { 'c' };
    format!("{letter}:{}:{}", libc::major(rdev), libc::minor(rdev)).into_bytes()
}

fn decode(value: &[u8]) -> Option<(u32, u64)> {
    let mut parts = std::str::from_utf8(value).ok()?.split(':');
    let kind = match parts.next()? {
        "c" => libc::S_IFCHR,
        "b" => libc::S_IFBLK,
        _ => return None,
    };
    let rdev = libc::makedev(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some((kind, rdev))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_round_trip_and_nonsense_is_refused() {
        for (kind, major, minor) in [(libc::S_IFCHR, 0, 0), (libc::S_IFBLK, 259, 70_000), (libc::S_IFCHR, 4_095, 1)] {
            let rdev = libc::makedev(major, minor);
            assert_eq!(decode(&encode(kind, rdev)), Some((kind, rdev)));
        }
        for bad in [b"".as_slice(), b"c", b"c:1", b"c:1:2:3", b"f:1:2", b"c:-1:2", b"\xff"] {
            assert_eq!(decode(bad), None);
        }
    }
}
