//! The few calls no library wraps safely: extended attributes by path, fchmodat2, cloning a FUSE descriptor, mallopt(3).
#![allow(unsafe_code)]

use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd};

/// Whether the last component of a path is followed when it is a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// A magic link of proc(5), which leads to an open descriptor.
    Follow,
    Keep,
}

/// getxattr(2) or lgetxattr(2): bytes written to `buf`; with an empty `buf` the size of the value.
pub(crate) fn get_xattr(path: &CStr, last: Last, name: &CStr, buf: &mut [u8]) -> Result<usize, Errno> {
    let call = if last == Last::Follow { libc::getxattr } else { libc::lgetxattr };
    // SAFETY: both strings are NUL-terminated and outlive the call; the kernel writes at most `buf.len()` bytes.
    let n = unsafe { call(path.as_ptr(), name.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) };
    size(n)
}

/// listxattr(2) or llistxattr(2): NUL-terminated names; with an empty `buf` their total size.
pub(crate) fn list_xattr(path: &CStr, last: Last, buf: &mut [u8]) -> Result<usize, Errno> {
    let call = if last == Last::Follow { libc::listxattr } else { libc::llistxattr };
    // SAFETY: the string is NUL-terminated and outlives the call; the kernel writes at most `buf.len()` bytes.
    let n = unsafe { call(path.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) };
    size(n)
}

/// setxattr(2) or lsetxattr(2) with `flags` `XATTR_CREATE`, `XATTR_REPLACE` or 0.
pub(crate) fn set_xattr(path: &CStr, last: Last, name: &CStr, value: &[u8], flags: i32) -> Result<(), Errno> {
    let call = if last == Last::Follow { libc::setxattr } else { libc::lsetxattr };
    // SAFETY: both strings are NUL-terminated; the kernel reads exactly `value.len()` bytes of `value`.
    let code = unsafe { call(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) };
    Errno::result(code).map(drop)
}

/// removexattr(2) or lremovexattr(2).
pub(crate) fn remove_xattr(path: &CStr, last: Last, name: &CStr) -> Result<(), Errno> {
    let call = if last == Last::Follow { libc::removexattr } else { libc::lremovexattr };
    // SAFETY: both strings are NUL-terminated and only read.
    let code = unsafe { call(path.as_ptr(), name.as_ptr()) };
    Errno::result(code).map(drop)
}

/// fchmodat2(2) with `AT_SYMLINK_NOFOLLOW`; `ENOSYS` before Linux 6.6.
pub(crate) fn fchmodat2(dir: impl AsFd, name: &CStr, mode: u32) -> Result<(), Errno> {
    let dir = dir.as_fd().as_raw_fd();
    // SAFETY: the name is NUL-terminated and only read; the descriptor is open.
    let code = unsafe { libc::syscall(libc::SYS_fchmodat2, dir, name.as_ptr(), mode, libc::AT_SYMLINK_NOFOLLOW) };
    Errno::result(code).map(drop)
}

/// Makes `fresh`, a newly opened `/dev/fuse`, a second channel of the connection behind `session`
/// (`FUSE_DEV_IOC_CLONE`, linux/fuse.h).
pub(crate) fn clone_fuse(fresh: impl AsFd, session: impl AsFd) -> Result<(), Errno> {
    /// `_IOR(229, 0, uint32_t)`.
    const FUSE_DEV_IOC_CLONE: libc::c_ulong = 0x8004_e500;
    let mut source = u32::try_from(session.as_fd().as_raw_fd()).map_err(|_| Errno::EBADF)?;
    // SAFETY: the request reads one u32 through the pointer, which is valid for the call; both descriptors are open.
    let code = unsafe { libc::ioctl(fresh.as_fd().as_raw_fd(), FUSE_DEV_IOC_CLONE, &raw mut source) };
    Errno::result(code).map(drop)
}

/// Closes every descriptor of the calling thread but `keep`. The thread must have a table of descriptors of its own
/// (`CLONE_FILES` of unshare(2)) and own no other descriptor.
pub(crate) fn close_all_but(keep: impl AsFd) -> Result<(), Errno> {
    let keep = u32::try_from(keep.as_fd().as_raw_fd()).map_err(|_| Errno::EBADF)?;
    close_range(keep + 1, u32::MAX)?;
    keep.checked_sub(1).map_or(Ok(()), |last| close_range(0, last))
}

fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: its only caller's table is the thread's own, so no descriptor that anybody else uses is closed.
    let code = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0u32) };
    Errno::result(code).map(drop)
}

fn size(n: isize) -> Result<usize, Errno> {
    usize::try_from(n).map_err(|_| Errno::last())
}

/// Gives memory for what is larger than `bytes` by a mapping of its own, which is zero when it is new. By itself
/// malloc(3) stops doing so for sizes it has seen freed, and then clears by hand what a thread's heap begins with.
#[cfg(target_env = "gnu")]
pub(crate) fn map_larger_than(bytes: i32) {
    // As malloc would set it by itself for such a size: a heap is not given back and taken again all the time.
    let kept = bytes.saturating_mul(2);
    for (which, value) in [(libc::M_MMAP_THRESHOLD, bytes), (libc::M_TRIM_THRESHOLD, kept)] {
        // SAFETY: mallopt(3) takes two numbers and may be called at any time.
        unsafe { libc::mallopt(which, value) };
    }
}

/// Other allocators do by themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn map_larger_than(_bytes: i32) {}

/// An all-zero `struct stat`.
pub(crate) fn zeroed_stat() -> libc::stat {
    // SAFETY: `struct stat` holds integers only, for which zero bytes are valid values.
    unsafe { std::mem::zeroed() }
}
