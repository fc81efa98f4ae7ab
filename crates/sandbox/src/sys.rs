//! The system calls no safe wrapper exists for: one call, one small function, one argument why it is sound.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::unistd::Pid;
use std::ffi::{CStr, c_int, c_long, c_ulong};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct MountAttr {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    pub(crate) propagation: u64,
    pub(crate) userns_fd: u64,
}

pub(crate) const MOUNT_ATTR_RDONLY: u64 = 0x1;
pub(crate) const MOUNT_ATTR_NOSUID: u64 = 0x2;
pub(crate) const MOUNT_ATTR_NODEV: u64 = 0x4;
const AT_RECURSIVE: c_int = 0x8000;

fn check(code: c_long) -> Result<c_long, Errno> {
    if code == -1 { Err(Errno::last()) } else { Ok(code) }
}

/// Takes over a descriptor number that a system call has just returned.
fn owned(code: c_long) -> Result<OwnedFd, Errno> {
    let fd = RawFd::try_from(check(code)?).map_err(|_| Errno::EBADF)?;
    Ok(adopt(fd))
}

/// Takes over a descriptor this process has received and nobody else owns: from a system call's return value, from
/// SCM_RIGHTS, or one the stage inherits by convention.
pub(crate) fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: every caller passes a number the kernel has just handed to this process, so it is open and unowned.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// clone(2) in the manner of fork(2). `None` in the child. The caller must be single-threaded.
pub(crate) fn clone_process(flags: c_int) -> Result<Option<Pid>, Errno> {
    let flags = c_ulong::from(flags.cast_unsigned());
    // SAFETY: no CLONE_VM and a null stack, so the child runs on its own copy of this memory, as after fork(2); the
    // stage is single-threaded, so no lock can be held by a thread that does not exist in the child.
    let code = unsafe { libc::syscall(libc::SYS_clone, flags, 0usize, 0usize, 0usize, 0usize) };
    let pid = check(code)?;
    Ok((pid != 0).then(|| Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))))
}

/// Whether this process has one thread, so that a copy of it is whole.
pub(crate) fn is_alone() -> bool {
    // proc(5) has a directory for each thread, and a directory has a link from each that is in it, and two of its own.
    const LINKS: u64 = 3;
    nix::sys::stat::stat("/proc/self/task").is_ok_and(|stat| stat.st_nlink == LINKS)
}

/// Overwrites what the kernel shows of this process as its command line and its environment. The caller must be
/// single-threaded, and have no more use for either.
pub(crate) fn forget_arguments() -> Result<(), Errno> {
    // Of the fields behind the name, which may hold anything: proc_pid_stat(5) counts them from 3.
    const ARG_START: usize = 48 - 3;
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(|_| Errno::EIO)?;
    let (_, fields) = stat.rsplit_once(") ").ok_or(Errno::EPROTO)?;
    let mut places = fields.split_ascii_whitespace().skip(ARG_START).map(str::parse::<usize>);
    let mut place = || places.next().and_then(Result::ok).filter(|place| *place != 0).ok_or(Errno::EPROTO);
    for _ in 0..2 {
        let (start, end) = (place()?, place()?);
        let length = end.checked_sub(start).ok_or(Errno::EPROTO)?;
        // SAFETY: between these two addresses, on the writable stack, the kernel has put the strings that this process was
        // executed with, and no other thread reads them. Who does later, by libc's or the library's pointers to them,
        // finds zeros, which end each string.
        unsafe { std::ptr::write_bytes(std::ptr::with_exposed_provenance_mut::<u8>(start), 0, length) };
    }
    Ok(())
}

/// setns(2): moves this process, which must have one thread, into a user namespace.
pub(crate) fn enter_user_namespace(namespace: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: only integers are passed.
    let code = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWUSER) };
    check(c_long::from(code)).map(drop)
}

/// mount_setattr(2) on `path` and, if `recursive`, on every mount below it.
pub(crate) fn mount_setattr(path: &CStr, attr: MountAttr, recursive: bool) -> Result<(), Errno> {
    let flags = if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is NUL-terminated and the struct has exactly the size that is passed; both outlive the call.
    let code = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            std::ptr::from_ref(&attr),
            size_of::<MountAttr>(),
        )
    };
    check(code).map(drop)
}

/// Whether the kernel knows mount_setattr(2): an empty, invalid call is refused for its size, not as unknown.
pub(crate) fn has_mount_setattr() -> bool {
    // SAFETY: a null attribute of size 0 is refused before any memory is read.
    let code =
        unsafe { libc::syscall(libc::SYS_mount_setattr, -1, c"".as_ptr(), 0, std::ptr::null::<MountAttr>(), 0usize) };
    check(code) != Err(Errno::ENOSYS)
}

/// fsopen(2): a file system that is being configured.
pub(crate) fn fsopen(kind: &CStr) -> Result<OwnedFd, Errno> {
    const CLOEXEC: c_int = 1;
    // SAFETY: the name is NUL-terminated and outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC) })
}

/// fsconfig(2): sets `key` to `value`, or as a flag where there is none.
pub(crate) fn fsconfig(context: BorrowedFd<'_>, key: &CStr, value: Option<&CStr>) -> Result<(), Errno> {
    const SET_FLAG: c_int = 0;
    const SET_STRING: c_int = 1;
    let (command, value) = value.map_or((SET_FLAG, std::ptr::null()), |value| (SET_STRING, value.as_ptr()));
    // SAFETY: both strings are NUL-terminated and outlive the call; a flag has a null value.
    let code = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key.as_ptr(), value, 0) };
    check(code).map(drop)
}

/// fsconfig(2) FSCONFIG_CMD_CREATE and fsmount(2): the finished file system as a mount that is nowhere yet.
pub(crate) fn fsmount(context: BorrowedFd<'_>, attributes: u64) -> Result<OwnedFd, Errno> {
    const CMD_CREATE: c_int = 6;
    const CLOEXEC: c_int = 1;
    let null = std::ptr::null::<libc::c_char>();
    // SAFETY: this command takes neither key nor value.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), CMD_CREATE, null, null, 0) })?;
    // SAFETY: only integers are passed.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOEXEC, attributes) })
}

/// move_mount(2): puts a mount that is nowhere yet on the directory `target`.
pub(crate) fn attach_mount(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    const F_EMPTY_PATH: u32 = 0x4;
    const T_EMPTY_PATH: u32 = 0x40;
    let (from, to, here) = (mount.as_raw_fd(), target.as_raw_fd(), c"".as_ptr());
    // SAFETY: both paths are empty, NUL-terminated and static.
    let code = unsafe { libc::syscall(libc::SYS_move_mount, from, here, to, here, F_EMPTY_PATH | T_EMPTY_PATH) };
    check(code).map(drop)
}

/// close_range(2) from `first` to the end.
pub(crate) fn close_from(first: u32) -> Result<(), Errno> {
    // SAFETY: the stage calls this before it owns any descriptor in the range.
    let code = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0u32) };
    check(code).map(drop)
}

/// Closes a descriptor at the next exec; EBADF where there is none. Not by close_range(2), which can do that from Linux
/// 5.11 on: an older kernel is to be told by what it really lacks.
pub(crate) fn cloexec(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: only a flag changes; the descriptor stays open and owned by whom it was.
    check(c_long::from(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })).map(drop)
}

/// dup2(2), over whatever has the number `to`.
pub(crate) fn duplicate(from: RawFd, to: RawFd) -> Result<(), Errno> {
    // SAFETY: only integers are passed; a stage calls this before it uses any descriptor but the two named.
    check(c_long::from(unsafe { libc::dup2(from, to) })).map(drop)
}

fn prctl(option: c_int, arg: c_ulong) -> Result<c_int, Errno> {
    const NONE: c_ulong = 0;
    // SAFETY: only options whose arguments are integers are passed; the kernel reads no memory of ours.
    let code = unsafe { libc::prctl(option, arg, NONE, NONE, NONE) };
    check(c_long::from(code))?;
    Ok(code)
}

/// Locks the securebits: uid 0 means nothing on exec, capabilities cannot be kept, raised or fixed up.
pub(crate) fn lock_securebits() -> Result<(), Errno> {
    // Bits of linux/securebits.h: NOROOT, NO_SETUID_FIXUP, KEEP_CAPS (locked off), NO_CAP_AMBIENT_RAISE, each with
    // the lock bit above it.
    const NOROOT: c_ulong = 0b11;
    const NO_SETUID_FIXUP: c_ulong = 0b11 << 2;
    const KEEP_CAPS_LOCKED: c_ulong = 1 << 5;
    const NO_CAP_AMBIENT_RAISE: c_ulong = 0b11 << 6;
    let bits = NOROOT | NO_SETUID_FIXUP | KEEP_CAPS_LOCKED | NO_CAP_AMBIENT_RAISE;
    prctl(libc::PR_SET_SECUREBITS, bits).map(drop)
}

/// Drops every capability this kernel knows from the bounding set; returns how many there were.
pub(crate) fn clear_bounding_set() -> Result<u32, Errno> {
    // capabilities(7): the kernel's last capability is the one before the first EINVAL. 64 bits is all a set can hold.
    const CAPABILITIES_MAX: u32 = 64;
    for capability in 0..CAPABILITIES_MAX {
        match prctl(libc::PR_CAPBSET_DROP, c_ulong::from(capability)) {
            Ok(_) => {}
            Err(Errno::EINVAL) => return Ok(capability),
            Err(errno) => return Err(errno),
        }
    }
    Ok(CAPABILITIES_MAX)
}

/// capset(2): empties the effective, permitted and inheritable sets; the ambient set follows them.
pub(crate) fn clear_capabilities() -> Result<(), Errno> {
    const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [LINUX_CAPABILITY_VERSION_3, 0];
    let sets = [0u32; 6];
    // SAFETY: the header names version 3, whose data is two structs of three u32, as passed; both outlive the call.
    let code = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    check(code).map(drop)
}

/// landlock_create_ruleset(2) with LANDLOCK_CREATE_RULESET_VERSION: the ABI, or why there is none.
pub(crate) fn landlock_abi() -> Result<u32, Errno> {
    const VERSION: u32 = 1;
    // SAFETY: with the version flag the attribute must be null and nothing is read.
    let code = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, VERSION) };
    check(code).map(|abi| u32::try_from(abi).unwrap_or(0))
}

fn seccomp(operation: u32, flags: c_ulong, argument: *const libc::c_void) -> Result<c_long, Errno> {
    // SAFETY: callers pass either null or a pointer to a live struct of the type the operation asks for.
    check(unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, argument) })
}

fn install(program: &[libc::sock_filter], flags: c_ulong) -> Result<c_long, Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let fprog = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    seccomp(libc::SECCOMP_SET_MODE_FILTER, flags, std::ptr::from_ref(&fprog).cast())
}

/// seccomp(2): puts this thread and all it starts under `program`.
pub(crate) fn install_filter(program: &[libc::sock_filter]) -> Result<(), Errno> {
    install(program, 0).map(drop)
}

/// seccomp(2) with a listener for SECCOMP_RET_USER_NOTIF. A caught call cannot be interrupted by signals that are not
/// fatal (kernel 5.19), so that programs with many signals do not restart it for ever; older kernels do without.
pub(crate) fn install_filter_with_listener(program: &[libc::sock_filter]) -> Result<OwnedFd, Errno> {
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    match install(program, listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        Err(Errno::EINVAL) => owned(install(program, listener)?),
        code => owned(code?),
    }
}

/// Whether seccomp(2) knows an action of `SECCOMP_RET_*`.
pub(crate) fn seccomp_knows(action: u32) -> Result<(), Errno> {
    seccomp(libc::SECCOMP_GET_ACTION_AVAIL, 0, std::ptr::from_ref(&action).cast()).map(drop)
}

/// SECCOMP_IOCTL_NOTIF_RECV: the next caught call. ENOENT when its thread has died meanwhile.
pub(crate) fn notification(listener: BorrowedFd<'_>) -> Result<libc::seccomp_notif, Errno> {
    // SAFETY: seccomp_notif is plain integers, for which zero is a value; the kernel demands it zeroed.
    let mut event: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the request reads and writes one seccomp_notif, which lives on this stack.
    let code =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, std::ptr::from_mut(&mut event)) };
    check(c_long::from(code)).map(|_| event)
}

/// SECCOMP_IOCTL_NOTIF_ID_VALID: whether the caught thread still waits, so that what was read from it was its own.
pub(crate) fn notification_stands(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the request reads one u64, which lives on this stack.
    let code =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, std::ptr::from_ref(&id)) };
    code == 0
}

/// SECCOMP_IOCTL_NOTIF_SEND with SECCOMP_USER_NOTIF_FLAG_CONTINUE: the kernel goes on as if nobody had looked.
pub(crate) fn continue_notification(listener: BorrowedFd<'_>, id: u64) -> Result<(), Errno> {
    const CONTINUE: u32 = 1;
    let answer = libc::seccomp_notif_resp { id, val: 0, error: 0, flags: CONTINUE };
    // SAFETY: the request reads one seccomp_notif_resp, which lives on this stack.
    let code =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, std::ptr::from_ref(&answer)) };
    check(c_long::from(code)).map(drop)
}

/// getaddrinfo(3): whether there is surely no such name, or none with an address. The standard library does not tell that
/// from a resolver that does not answer.
pub(crate) fn no_such_name(name: &CStr) -> bool {
    // SAFETY: addrinfo is plain data for which zero, and null for its pointers, is a value.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut found: *mut libc::addrinfo = std::ptr::null_mut();
    // SAFETY: the name is NUL-terminated, the service is null, and both structs live on this stack.
    let code = unsafe { libc::getaddrinfo(name.as_ptr(), std::ptr::null(), &raw const hints, &raw mut found) };
    if code == 0 {
        // SAFETY: after success the list is one that getaddrinfo(3) allocated, and it is freed once.
        unsafe { libc::freeaddrinfo(found) };
    }
    code == libc::EAI_NONAME || code == libc::EAI_NODATA
}

/// SECCOMP_IOCTL_NOTIF_SEND with a result of our own: the call was made by us, or is refused.
pub(crate) fn answer_notification(listener: BorrowedFd<'_>, id: u64, result: Result<i64, Errno>) -> Result<(), Errno> {
    let (val, error) = match result {
        Ok(value) => (value, 0),
        Err(errno) => (0, -(errno as i32)),
    };
    let answer = libc::seccomp_notif_resp { id, val, error, flags: 0 };
    // SAFETY: the request reads one seccomp_notif_resp, which lives on this stack.
    let code =
        unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, std::ptr::from_ref(&answer)) };
    check(c_long::from(code)).map(drop)
}

/// `struct seccomp_notif_addfd` of seccomp_unotify(2).
#[repr(C)]
struct AddFd {
    id: u64,
    flags: u32,
    source: u32,
    target: u32,
    target_flags: u32,
}

/// SECCOMP_IOCTL_NOTIF_ADDFD with SECCOMP_ADDFD_FLAG_SEND (Linux 5.14): gives the caller a copy of `fd` as the result.
pub(crate) fn answer_with_descriptor(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    cloexec: bool,
) -> Result<(), Errno> {
    const SEND: u32 = 2;
    // _IOW('!', 3, struct seccomp_notif_addfd), which is 24 bytes long.
    const ADDFD: libc::Ioctl = 0x4018_2103;
    let source = fd.as_raw_fd().cast_unsigned();
    let target_flags = if cloexec { libc::O_CLOEXEC.cast_unsigned() } else { 0 };
    let request = AddFd { id, flags: SEND, source, target: 0, target_flags };
    // SAFETY: the request reads one seccomp_notif_addfd, which lives on this stack.
    let code = unsafe { libc::ioctl(listener.as_raw_fd(), ADDFD, std::ptr::from_ref(&request)) };
    check(c_long::from(code)).map(drop)
}

/// SECCOMP_IOCTL_NOTIF_SET_FLAGS with SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (Linux 6.6): caller and supervisor take turns on
/// one processor, which is what they do anyway. Older kernels do without.
pub(crate) fn take_turns(listener: BorrowedFd<'_>) -> Result<(), Errno> {
    // _IOW('!', 4, __u64)
    const SET_FLAGS: libc::Ioctl = 0x4008_2104;
    const SYNC_WAKE_UP: c_ulong = 1;
    // SAFETY: the request takes its argument by value.
    check(c_long::from(unsafe { libc::ioctl(listener.as_raw_fd(), SET_FLAGS, SYNC_WAKE_UP) })).map(drop)
}

/// pidfd_open(2).
pub(crate) fn pidfd(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: only integers are passed.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// pidfd_getfd(2): a copy of another process's descriptor.
pub(crate) fn descriptor_of(process: BorrowedFd<'_>, number: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: only integers are passed.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0) })
}

/// socket(2) of the family of unix(7), closed on exec.
pub(crate) fn unix_socket(kind: c_int, flags: c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: only integers are passed.
    owned(c_long::from(unsafe { libc::socket(libc::AF_UNIX, kind | flags | libc::SOCK_CLOEXEC, 0) }))
}

/// connect(2) to an address.
pub(crate) fn connect_raw(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(address.len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the kernel reads exactly the bytes of the slice, whatever they are.
    check(c_long::from(unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length) })).map(drop)
}

/// bind(2), likewise.
pub(crate) fn bind_raw(socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(address.len()).map_err(|_| Errno::EINVAL)?;
    // SAFETY: as above.
    check(c_long::from(unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length) })).map(drop)
}

/// fchownat(2) of an `O_PATH` descriptor; the largest number leaves an id as it is.
pub(crate) fn chown_open(fd: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<(), Errno> {
    // SAFETY: the path is empty, NUL-terminated and static.
    let code = unsafe { libc::fchownat(fd.as_raw_fd(), c"".as_ptr(), uid, gid, libc::AT_EMPTY_PATH) };
    check(c_long::from(code)).map(drop)
}

/// utimensat(2) of an `O_PATH` descriptor (Linux 5.8); without times both become now.
pub(crate) fn times_open(fd: BorrowedFd<'_>, times: Option<[(i64, i64); 2]>) -> Result<(), Errno> {
    let times = times.map(|times| times.map(|(tv_sec, tv_nsec)| libc::timespec { tv_sec, tv_nsec }));
    let pointer = times.as_ref().map_or(std::ptr::null(), |times| times.as_ptr());
    // SAFETY: the path is empty, NUL-terminated and static; the times are null or two on this stack.
    let code = unsafe { libc::utimensat(fd.as_raw_fd(), c"".as_ptr(), pointer, libc::AT_EMPTY_PATH) };
    check(c_long::from(code)).map(drop)
}

/// setxattr(2), following links.
pub(crate) fn set_xattr(path: &CStr, name: &CStr, value: &[u8], flags: c_int) -> Result<(), Errno> {
    // SAFETY: both strings are NUL-terminated, and the kernel reads exactly the bytes of the value.
    let code = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), flags) };
    check(c_long::from(code)).map(drop)
}

/// removexattr(2), following links.
pub(crate) fn remove_xattr(path: &CStr, name: &CStr) -> Result<(), Errno> {
    // SAFETY: both strings are NUL-terminated.
    check(c_long::from(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) })).map(drop)
}

/// inotify_add_watch(2), following links.
pub(crate) fn add_watch(inotify: BorrowedFd<'_>, path: &CStr, mask: u32) -> Result<i64, Errno> {
    // SAFETY: the path is NUL-terminated.
    let code = unsafe { libc::inotify_add_watch(inotify.as_raw_fd(), path.as_ptr(), mask) };
    check(c_long::from(code))
}

/// ioctl_tty(2) TIOCGPTN: the number of the terminal behind this master.
pub(crate) fn terminal_number(master: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut number: libc::c_uint = 0;
    // SAFETY: the request writes one unsigned integer, which lives on this stack.
    let code = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN, std::ptr::from_mut(&mut number)) };
    check(c_long::from(code)).map(|_| number)
}

/// netdevice(7) SIOCSIFFLAGS: brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: ifreq is plain data for which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        // c_char is signed on x86-64 and not on aarch64.
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(libc::c_short::MAX);
    // SAFETY: the request reads one ifreq, which lives on this stack and whose name is NUL-terminated.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, std::ptr::from_ref(&request)) };
    check(c_long::from(code)).map(drop)
}

/// The write end of the pipe the signal handler writes to; -1 while no jar of this process forwards signals.
static SIGNAL_PIPE: AtomicI32 = AtomicI32::new(-1);

/// Claims the one place signals are written to. False when another jar of this process has it.
pub(crate) fn claim_signal_pipe(fd: RawFd) -> bool {
    SIGNAL_PIPE.compare_exchange(-1, fd, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

/// Gives the place back.
pub(crate) fn release_signal_pipe() {
    SIGNAL_PIPE.store(-1, Ordering::SeqCst);
}

/// Writes the number of a signal that a process sent (not the terminal: the jar's group got that one itself), and of
/// every SIGCONT, to the pipe. Async-signal-safe: an atomic load and write(2), with errno kept.
extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo_t.
    let code = unsafe { (*info).si_code };
    let fd = SIGNAL_PIPE.load(Ordering::SeqCst);
    if fd < 0 || (code > 0 && signal != libc::SIGCONT) {
        return;
    }
    let byte = u8::try_from(signal).unwrap_or(0);
    // SAFETY: the location of this thread's errno is always valid.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { *errno };
    // SAFETY: one byte on this stack is written to a non-blocking pipe; a full pipe loses nothing but a repetition.
    let _ = unsafe { libc::write(fd, std::ptr::from_ref(&byte).cast(), 1) };
    // SAFETY: as above.
    unsafe { *errno = saved };
}

/// Installs the forwarding handler for `signal` and returns what was there; a signal the caller ignores stays ignored.
pub(crate) fn catch_signal(signal: c_int) -> Result<Option<libc::sigaction>, Errno> {
    // SAFETY: sigaction is plain data for which zero is a value.
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: reads the current action into a struct on this stack.
    check(c_long::from(unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut old) }))?;
    if old.sa_sigaction == libc::SIG_IGN {
        return Ok(None);
    }
    // SAFETY: as above.
    let mut new: libc::sigaction = unsafe { std::mem::zeroed() };
    new.sa_sigaction = on_signal as *const () as usize;
    new.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    // SAFETY: the handler is async-signal-safe and has the three-argument form that SA_SIGINFO asks for.
    check(c_long::from(unsafe { libc::sigaction(signal, &raw const new, std::ptr::null_mut()) }))?;
    Ok(Some(old))
}

/// Stops this process by `signal` with its default action, then puts the present action back. Sent to this thread, so
/// that it has happened when raise(3) returns.
pub(crate) fn stop_by(signal: c_int) -> Result<(), Errno> {
    // SAFETY: sigaction is plain data for which zero is a value: the default action.
    let standard: libc::sigaction = unsafe { std::mem::zeroed() };
    let mut present = standard;
    let changeable = signal != libc::SIGSTOP;
    if changeable {
        // SAFETY: both actions live on this stack and the new one names no handler.
        check(c_long::from(unsafe { libc::sigaction(signal, &raw const standard, &raw mut present) }))?;
    }
    // SAFETY: raise(3) takes an integer.
    let raised = check(c_long::from(unsafe { libc::raise(signal) })).map(drop);
    if changeable {
        restore_signal(signal, &present);
    }
    raised
}

/// Puts back what [`catch_signal`] returned.
pub(crate) fn restore_signal(signal: c_int, old: &libc::sigaction) {
    // SAFETY: `old` is an action the kernel itself returned for this signal.
    let _ = unsafe { libc::sigaction(signal, std::ptr::from_ref(old), std::ptr::null_mut()) };
}

/// Leaves at once, without the exit handlers of a program the stage is not.
pub(crate) fn leave(code: c_int) -> ! {
    // SAFETY: _exit(2) takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

/// Borrows standard input, output or error.
pub(crate) fn standard_descriptor(number: RawFd) -> Option<BorrowedFd<'static>> {
    // SAFETY: 0, 1 and 2 are never closed or replaced by this crate; a closed one makes calls fail with EBADF, and
    // the number is not -1.
    (0..=2).contains(&number).then(|| unsafe { BorrowedFd::borrow_raw(number) })
}

/// waitpid(2) with the raw status, because a real-time signal has no name in `nix`. `None` when nothing has happened.
pub(crate) fn wait(pid: i32, flags: c_int) -> Result<Option<(i32, c_int)>, Errno> {
    let mut status: c_int = 0;
    // SAFETY: the status lives on this stack.
    let code = unsafe { libc::waitpid(pid, &raw mut status, flags) };
    check(c_long::from(code))?;
    Ok((code != 0).then_some((code, status)))
}

/// kill(2) with a raw number, for the same reason.
pub(crate) fn kill(pid: i32, signal: c_int) -> Result<(), Errno> {
    // SAFETY: kill(2) takes integers only.
    check(c_long::from(unsafe { libc::kill(pid, signal) })).map(drop)
}

/// Gives `signal` its default disposition and takes it out of this thread's mask.
pub(crate) fn default_signal(signal: c_int) -> Result<(), Errno> {
    // SAFETY: an all-zero sigaction is the default action with an empty mask and no flags.
    let new: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the action lives on this stack and names no handler.
    check(c_long::from(unsafe { libc::sigaction(signal, &raw const new, std::ptr::null_mut()) }))?;
    // SAFETY: all-zero bytes are a valid, if unspecified, signal set; the next call gives it its meaning.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set lives on this stack.
    check(c_long::from(unsafe { libc::sigemptyset(&raw mut set) }))?;
    // SAFETY: as above; an invalid number is refused with EINVAL.
    check(c_long::from(unsafe { libc::sigaddset(&raw mut set, signal) }))?;
    // SAFETY: the set was initialised above, and the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        code => Err(Errno::from_raw(code)),
    }
}
