//! Standard descriptors without Landlock. What is open for reading on a mount of the host can be opened again for writing
//! through `/proc/self/fd`, whatever the view says, and where Landlock rules no files nothing else forbids it. So such a
//! file is opened again on the sealed view, where it is read-only for good.

use crate::facts;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, readlink};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, major, minor};
use nix::unistd::{Whence, dup2_stderr, dup2_stdin, dup2_stdout, isatty, lseek};
use std::os::fd::{BorrowedFd, OwnedFd};

/// Character devices 1:3 to 1:9 that are safe in any hands: null, zero, full, random, urandom.
const HARMLESS: &[u64] = &[3, 5, 7, 8, 9];

/// Called when every mount is sealed and nothing is covered yet. On an error the number of the descriptor comes along.
pub(crate) fn standard_descriptors() -> Result<(), (i32, Errno)> {
    for number in 0..=2 {
        let Some(fd) = facts::standard(number).filter(|fd| !facts::writes(*fd)) else { continue };
        let again = read_only(fd, number).map_err(|errno| (number, errno))?;
        again.map_or(Ok(()), |again| replace(number, &again)).map_err(|errno| (number, errno))?;
    }
    Ok(())
}

/// The same file on the sealed view; `None` for what can stay.
fn read_only(fd: BorrowedFd<'_>, number: i32) -> Result<Option<OwnedFd>, Errno> {
    let stat = fstat(fd)?;
    match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFREG => {}
        SFlag::S_IFCHR if is_harmless(&stat) || isatty(fd).unwrap_or(false) => return Ok(None),
        SFlag::S_IFCHR | SFlag::S_IFBLK => return Err(Errno::EPERM),
        // Pipes and sockets lie on no mount.
        _ => return Ok(None),
    }
    let path = readlink(format!("/proc/self/fd/{number}").as_str())?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
    let again = open(path.as_os_str(), flags, Mode::empty())?;
    let found = fstat(&again)?;
    if (found.st_dev, found.st_ino) != (stat.st_dev, stat.st_ino) {
        return Err(Errno::ESTALE);
    }
    lseek(&again, lseek(fd, 0, Whence::SeekCur)?, Whence::SeekSet)?;
    Ok(Some(again))
}

fn is_harmless(stat: &FileStat) -> bool {
    major(stat.st_rdev) == 1 && HARMLESS.contains(&minor(stat.st_rdev))
}

fn replace(number: i32, by: &OwnedFd) -> Result<(), Errno> {
    match number {
        0 => dup2_stdin(by),
        1 => dup2_stdout(by),
        _ => dup2_stderr(by),
    }
}
