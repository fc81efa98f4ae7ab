//! Changes of mode, owner, times and attributes, which Landlock does not rule. They are made here, on a handle, and only
//! where the jar may write; the kernel then asks whether this thread may, which has the command's user and no capability.

use super::caller::Caller;
use super::files::own_link;
use super::{Answer, Guard, exact, low, number};
use crate::sys;
use model::Action;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat};
use nix::sys::statfs::TMPFS_MAGIC;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

const XATTR_NAME_MAX: usize = 256;
const XATTR_BYTES_MAX: u64 = 65_536;
const FCHMODAT2: i64 = 452;

/// What is to be changed, and how.
pub(super) struct Change {
    place: Place,
    what: What,
}

enum Place {
    Path { dir: i32, address: u64, follow: bool, empty: bool },
    Descriptor(i32),
}

enum What {
    Mode(u32),
    Owner(u32, u32),
    Times(Option<[(i64, i64); 2]>),
    Set { name: CString, value: Vec<u8>, flags: i32 },
    Remove(CString),
}

impl Change {
    /// What a call asks for.
    pub(super) fn of(caller: &Caller, call: i64, [a, b, c, d, e]: [u64; 5]) -> Result<Change, Errno> {
        let path = |follow| Place::Path { dir: libc::AT_FDCWD, address: a, follow, empty: false };
        let at = |flags: u64| {
            let has = |flag: i32| low(flags) & flag.cast_unsigned() != 0;
            let (follow, empty) = (!has(libc::AT_SYMLINK_NOFOLLOW), has(libc::AT_EMPTY_PATH));
            Place::Path { dir: number(a), address: b, follow, empty }
        };
        let own = || Place::Descriptor(number(a));
        let (place, what) = match call {
            libc::SYS_fchmod => (own(), What::Mode(low(b))),
            libc::SYS_fchmodat => (at(0), What::Mode(low(c))),
            FCHMODAT2 => (at(d), What::Mode(low(c))),
            libc::SYS_fchown => (own(), What::Owner(low(b), low(c))),
            libc::SYS_fchownat => (at(e), What::Owner(low(c), low(d))),
            libc::SYS_utimensat if b == 0 => (own(), What::Times(nanoseconds(caller, c)?)),
            libc::SYS_utimensat => (at(d), What::Times(nanoseconds(caller, c)?)),
            libc::SYS_setxattr => (path(true), set(caller, b, c, d, e)?),
            libc::SYS_lsetxattr => (path(false), set(caller, b, c, d, e)?),
            libc::SYS_fsetxattr => (own(), set(caller, b, c, d, e)?),
            libc::SYS_removexattr => (path(true), What::Remove(name(caller, b)?)),
            libc::SYS_lremovexattr => (path(false), What::Remove(name(caller, b)?)),
            libc::SYS_fremovexattr => (own(), What::Remove(name(caller, b)?)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chmod => (path(true), What::Mode(low(b))),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_chown => (path(true), What::Owner(low(b), low(c))),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_lchown => (path(false), What::Owner(low(b), low(c))),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_utime => (path(true), What::Times(seconds(caller, b)?)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_utimes => (path(true), What::Times(microseconds(caller, b)?)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_futimesat if b == 0 => (own(), What::Times(microseconds(caller, c)?)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_futimesat => (at(0), What::Times(microseconds(caller, c)?)),
            _ => return Err(Errno::ENOSYS),
        };
        Ok(Change { place, what })
    }
}

impl Guard {
    pub(super) fn change(&mut self, caller: &Caller, change: &Change) -> Answer {
        let done = self.find(caller, &change.place).and_then(|fd| {
            let (inside, path) = self.is_inside(&fd)?;
            if inside || is_memory(&fd, &path)? {
                return make(&fd, &change.what);
            }
            self.note(Action::Attributes, exact(&path), "jar/read-only");
            Err(Errno::EPERM)
        });
        done.into()
    }

    fn find(&self, caller: &Caller, place: &Place) -> Result<OwnedFd, Errno> {
        match place {
            Place::Descriptor(number) => caller.descriptor(*number),
            Place::Path { dir, address, follow, empty } => {
                let path = caller.path(*address)?;
                match *empty && path.as_bytes().is_empty() {
                    true if *dir == libc::AT_FDCWD => caller.working_directory(),
                    true => caller.descriptor(*dir),
                    false => caller.resolve(*dir, &path, *follow),
                }
            }
        }
    }

    /// inotify_add_watch(2), which tells of a directory what Landlock does not: only of what the jar has itself.
    pub(super) fn watch(&mut self, caller: &Caller, inotify: i32, path: &model::FilePath, mask: u32) -> Answer {
        const DONT_FOLLOW: u32 = 0x0200_0000;
        let done = caller.resolve(libc::AT_FDCWD, path, mask & DONT_FOLLOW == 0).and_then(|fd| {
            let (inside, path) = self.is_inside(&fd)?;
            if !inside {
                self.note(Action::Read, exact(&path), "jar/read-only");
                return Err(Errno::EACCES);
            }
            let inotify = caller.copy(inotify)?;
            let link = CString::new(own_link(&fd)).map_err(|_| Errno::EINVAL)?;
            sys::add_watch(inotify.as_fd(), &link, mask & !DONT_FOLLOW)
        });
        Answer::Done(done)
    }
}

/// Memory with a name, memfd_create(2): a file of a file system that nobody sees.
fn is_memory(fd: &OwnedFd, path: &model::FilePath) -> Result<bool, Errno> {
    let named = path.as_bytes().starts_with(b"/memfd:") && path.as_bytes().ends_with(b" (deleted)");
    let links = fstat(fd)?.st_nlink;
    Ok(named && links == 0 && nix::sys::statfs::fstatfs(fd)?.filesystem_type() == TMPFS_MAGIC)
}

fn make(fd: &OwnedFd, what: &What) -> Result<(), Errno> {
    let link = CString::new(own_link(fd)).map_err(|_| Errno::EINVAL)?;
    let is_link = SFlag::from_bits_truncate(fstat(fd)?.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFLNK;
    match what {
        // The filter has refused set-id bits already.
        What::Mode(_) | What::Set { .. } | What::Remove(_) if is_link => Err(Errno::EOPNOTSUPP),
        What::Mode(mode) => {
            let mode = Mode::from_bits_truncate(mode & 0o1777);
            fchmodat(AT_FDCWD, link.as_c_str(), mode, FchmodatFlags::FollowSymlink)
        }
        What::Owner(uid, gid) => sys::chown_open(fd.as_fd(), *uid, *gid),
        What::Times(times) => sys::times_open(fd.as_fd(), *times),
        What::Set { name, value, flags } => sys::set_xattr(&link, name, value, *flags),
        What::Remove(name) => sys::remove_xattr(&link, name),
    }
}

fn name(caller: &Caller, address: u64) -> Result<CString, Errno> {
    let name = caller.string(address, XATTR_NAME_MAX).map_err(|errno| match errno {
        Errno::ENAMETOOLONG => Errno::ERANGE,
        errno => errno,
    })?;
    CString::new(name).map_err(|_| Errno::EINVAL)
}

fn set(caller: &Caller, at: u64, value: u64, size: u64, flags: u64) -> Result<What, Errno> {
    if size > XATTR_BYTES_MAX {
        return Err(Errno::E2BIG);
    }
    let size = usize::try_from(size).map_err(|_| Errno::E2BIG)?;
    let value = if size == 0 { Vec::new() } else { caller.bytes(value, size)? };
    Ok(What::Set { name: name(caller, at)?, value, flags: number(flags) })
}

fn words(caller: &Caller, address: u64, count: usize) -> Result<Vec<i64>, Errno> {
    let bytes = caller.bytes(address, count * 8)?;
    Ok(bytes.as_chunks::<8>().0.iter().map(|word| i64::from_ne_bytes(*word)).collect())
}

fn pair(words: &[i64], scale: i64) -> Result<Option<[(i64, i64); 2]>, Errno> {
    match *words {
        [a, b, c, d] => {
            let part = |part: i64| part.checked_mul(scale).ok_or(Errno::EINVAL);
            Ok(Some([(a, part(b)?), (c, part(d)?)]))
        }
        _ => Err(Errno::EFAULT),
    }
}

fn nanoseconds(caller: &Caller, address: u64) -> Result<Option<[(i64, i64); 2]>, Errno> {
    if address == 0 { Ok(None) } else { pair(&words(caller, address, 4)?, 1) }
}

#[cfg(target_arch = "x86_64")]
fn microseconds(caller: &Caller, address: u64) -> Result<Option<[(i64, i64); 2]>, Errno> {
    if address == 0 { Ok(None) } else { pair(&words(caller, address, 4)?, 1000) }
}

#[cfg(target_arch = "x86_64")]
fn seconds(caller: &Caller, address: u64) -> Result<Option<[(i64, i64); 2]>, Errno> {
    match words(caller, address, if address == 0 { 0 } else { 2 })?[..] {
        [] => Ok(None),
        [access, change] => Ok(Some([(access, 0), (change, 0)])),
        _ => Err(Errno::EFAULT),
    }
}
