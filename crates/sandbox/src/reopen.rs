//! Standard descriptors on the jar's own mounts. A file that is open for reading lies on a mount of the host, whatever the
//! view says: its owner can change its mode, its times and its attributes through the descriptor, and where Landlock does
//! not forbid it, open it again for writing through `/proc/self/fd` or truncate it there. So such a file is opened again
//! on the sealed view, where it is read-only for good, and so is a device that stands in the jar's own `/dev`.

use crate::facts;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open, readlink};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, major, minor};
use nix::unistd::{Whence, dup2_stderr, dup2_stdin, dup2_stdout, isatty, lseek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Character devices 1:3 to 1:9 that are safe in any hands, by their minor number and their name in the jar's `/dev`.
const HARMLESS: &[(u64, &str)] =
    &[(3, "/dev/null"), (5, "/dev/zero"), (7, "/dev/full"), (8, "/dev/random"), (9, "/dev/urandom")];

/// What is told of one that could not be opened again.
pub(crate) const STAYS: &str = "a standard descriptor stays on a mount of the host, where the command can change its mode, \
                                times and attributes, though not its content";

/// Opens one of them again, if it is a file that is open for reading; to be called when every mount is sealed and nothing
/// is covered yet. Returns what has its place now. With `strict` whatever could be opened for writing is refused.
pub(crate) fn file(number: i32, strict: bool) -> Result<Option<OwnedFd>, Errno> {
    let Some(fd) = facts::standard(number).filter(|fd| !facts::writes(*fd)) else { return Ok(None) };
    let again = read_only(fd, number, strict)?;
    if let Some(again) = &again {
        replace(number, again)?;
    }
    Ok(again)
}

/// The same file on the sealed view; `None` for what can stay.
fn read_only(fd: BorrowedFd<'_>, number: i32, strict: bool) -> Result<Option<OwnedFd>, Errno> {
    let stat = fstat(fd)?;
    match kind(&stat) {
        // A here document, for example: without a name nobody sees what becomes of it.
        SFlag::S_IFREG if stat.st_nlink == 0 && !strict => return Ok(None),
        SFlag::S_IFREG => {}
        SFlag::S_IFCHR if harmless(&stat).is_some() || isatty(fd).unwrap_or(false) => return Ok(None),
        SFlag::S_IFCHR | SFlag::S_IFBLK => return Err(Errno::EPERM),
        // Pipes and sockets lie on no mount.
        _ => return Ok(None),
    }
    let path = readlink(format!("/proc/self/fd/{number}").as_str())?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let again = open(path.as_os_str(), flags, Mode::empty())?;
    same(&stat, &again)?;
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(&again, FcntlArg::F_SETFL(flags))?;
    follow(&again, fd)?;
    Ok(Some(again))
}

/// Reading goes on where `other` is.
pub(crate) fn follow(fd: impl AsFd, other: impl AsFd) -> Result<(), Errno> {
    lseek(fd, lseek(other, 0, Whence::SeekCur)?, Whence::SeekSet).map(drop)
}

/// Takes harmless devices from the jar's own `/dev`, when that is in its place.
pub(crate) fn devices() -> Result<(), Errno> {
    for number in 0..=2 {
        let Some(fd) = facts::standard(number) else { continue };
        let stat = fstat(fd)?;
        let Some(path) = harmless(&stat) else { continue };
        let access = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?) & !OFlag::O_PATH;
        match open(path, access | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(again) => {
                fstat(&again)
                    .and_then(|found| if found.st_rdev == stat.st_rdev { Ok(()) } else { Err(Errno::ESTALE) })?;
                replace(number, &again)?;
            }
            // Its owner was somebody who may do more with it than this user; then nor may the command change it.
            Err(Errno::EACCES | Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn harmless(stat: &FileStat) -> Option<&'static str> {
    let device = kind(stat) == SFlag::S_IFCHR && major(stat.st_rdev) == 1;
    HARMLESS.iter().find(|(number, _)| device && *number == minor(stat.st_rdev)).map(|(_, path)| *path)
}

fn same(stat: &FileStat, again: &OwnedFd) -> Result<(), Errno> {
    let found = fstat(again)?;
    if (found.st_dev, found.st_ino) == (stat.st_dev, stat.st_ino) { Ok(()) } else { Err(Errno::ESTALE) }
}

fn replace(number: i32, by: &OwnedFd) -> Result<(), Errno> {
    match number {
        0 => dup2_stdin(by),
        1 => dup2_stdout(by),
        _ => dup2_stderr(by),
    }
}
