//! Who made a call, and what its memory says. What was read counts only while the call still waits, which is asked after.

use super::{Answer, handle};
use crate::net::inside::socket_in;
use crate::sys;
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::readlink;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;

const PATH_MAX: usize = 4096;
const PAGE: u64 = 4096;

/// One waiting call.
pub(super) struct Caller {
    listener: Arc<OwnedFd>,
    id: u64,
    /// The thread.
    pub(super) thread: i32,
}

impl Caller {
    pub(super) fn new(listener: Arc<OwnedFd>, event: &libc::seccomp_notif) -> Caller {
        Caller { listener, id: event.id, thread: event.pid.cast_signed() }
    }

    /// Whether it still waits, so that what was read by its number was its own.
    pub(super) fn stands(&self) -> Result<(), Errno> {
        if sys::notification_stands(self.listener.as_fd(), self.id) { Ok(()) } else { Err(Errno::ESRCH) }
    }

    pub(super) fn reply(&self, result: Result<(), Errno>) {
        // Fails when the caller was killed meanwhile, which answers it too.
        let _ = sys::answer_notification(self.listener.as_fd(), self.id, result.map(|()| 0));
    }

    /// Answers it, whatever the answer is.
    pub(super) fn answer(&self, answer: &Answer) {
        let listener = self.listener.as_fd();
        // Fails when the caller was killed meanwhile, which answers it too.
        let _ = match answer {
            Answer::GoOn => sys::continue_notification(listener, self.id),
            Answer::Done(result) => sys::answer_notification(listener, self.id, *result),
            Answer::Opened(fd, cloexec) => {
                self.give(fd, *cloexec).or_else(|errno| sys::answer_notification(listener, self.id, Err(errno)))
            }
            Answer::Later => Ok(()),
        };
    }

    /// Gives it a descriptor as the result of its call.
    pub(super) fn give(&self, fd: &OwnedFd, cloexec: bool) -> Result<(), Errno> {
        sys::answer_with_descriptor(self.listener.as_fd(), self.id, fd.as_fd(), cloexec)
    }

    /// Writes into its memory. The file stays that of its memory, whoever has its number later.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        if bytes.is_empty() {
            return Ok(());
        }
        let memory = std::fs::OpenOptions::new().write(true).open(format!("/proc/{}/mem", self.thread));
        let memory = memory.map_err(|_| Errno::EFAULT)?;
        self.stands()?;
        memory.write_all_at(bytes, address).map_err(|_| Errno::EFAULT)
    }

    /// Whether a signal waits for it that it handles, or that stops it.
    pub(super) fn is_signalled(&self) -> bool {
        let bit = |signal: i32| 1u64 << (signal - 1);
        let stops = [libc::SIGSTOP, libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU].map(bit).iter().sum::<u64>();
        let status = self.status_text().unwrap_or_default();
        let set = |name: &str| word_in(&status, name).and_then(|word| u64::from_str_radix(word, 16).ok()).unwrap_or(0);
        (set("SigPnd:") | set("ShdPnd:")) & !set("SigBlk:") & (set("SigCgt:") | stops) != 0
    }

    /// The number of the socket behind one of its descriptors.
    pub(super) fn socket(&self, descriptor: i32) -> Result<u64, Errno> {
        let place = readlink(&self.place(descriptor)).map_err(|_| Errno::EBADF)?;
        self.stands()?;
        socket_in(&place).ok_or(Errno::ENOTSOCK)
    }

    /// Bytes of its memory.
    pub(super) fn bytes(&self, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let bytes = self.some_bytes(address, length)?;
        if bytes.len() < length { Err(Errno::EFAULT) } else { self.stands().map(|()| bytes) }
    }

    fn some_bytes(&self, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let base = usize::try_from(address).map_err(|_| Errno::EFAULT)?;
        let mut bytes = vec![0u8; length];
        let mut local = [IoSliceMut::new(&mut bytes)];
        let got = process_vm_readv(Pid::from_raw(self.thread), &mut local, &[RemoteIoVec { base, len: length }])?;
        bytes.truncate(got);
        Ok(bytes)
    }

    /// A string of its memory, page by page, because the next one may not be there.
    pub(super) fn string(&self, address: u64, most: usize) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        let mut at = address;
        while text.len() < most {
            let rest = usize::try_from(PAGE - at % PAGE).unwrap_or(PATH_MAX);
            let part = self.some_bytes(at, rest)?;
            if let Some(end) = part.iter().position(|byte| *byte == 0) {
                text.extend(part.iter().take(end));
                return self.stands().map(|()| text);
            }
            if part.is_empty() {
                return Err(Errno::EFAULT);
            }
            at += u64::try_from(part.len()).unwrap_or(PAGE);
            text.extend(part);
        }
        Err(Errno::ENAMETOOLONG)
    }

    pub(super) fn path(&self, address: u64) -> Result<FilePath, Errno> {
        self.string(address, PATH_MAX).map(FilePath::from)
    }

    /// `path` from `/` on, in its plain form.
    pub(super) fn absolute(&self, dir: i32, path: &FilePath) -> Option<FilePath> {
        if path.is_absolute() {
            return Some(path.normalise());
        }
        let base = FilePath::new(readlink(&self.place(dir)).ok()?);
        self.stands().ok()?;
        Some(base.join(path.as_os_str()).normalise())
    }

    /// A path to the directory that a relative path begins at: its working directory, or one of its descriptors.
    pub(super) fn place(&self, dir: i32) -> PathBuf {
        let own = PathBuf::from(format!("/proc/{}", self.thread));
        if dir == libc::AT_FDCWD { own.join("cwd") } else { own.join(format!("fd/{dir}")) }
    }

    /// A handle on what a path of its memory names, links followed as the kernel would but those of proc(5), which would
    /// be ours here.
    pub(super) fn resolve(&self, dir: i32, path: &FilePath, follow: bool) -> Result<OwnedFd, Errno> {
        if path.as_bytes().is_empty() {
            return Err(Errno::ENOENT);
        }
        if let Some(number) = self.own_descriptor(path) {
            return self.descriptor(number);
        }
        let found = match path.is_absolute() {
            true => beneath(&handle(std::path::Path::new("/"), true)?, path, follow)?,
            false => beneath(&handle(&self.place(dir), true)?, path, follow)?,
        };
        self.stands().map(|()| found)
    }

    /// The number in `/proc/self/fd/7`, which is how a C library changes the mode of a handle.
    fn own_descriptor(&self, path: &FilePath) -> Option<i32> {
        let text = path.as_path().to_str()?;
        let own = format!("/proc/{}/fd/", self.process().ok()?);
        let rest = ["/proc/self/fd/", "/proc/thread-self/fd/", "/dev/fd/", own.as_str()]
            .iter()
            .find_map(|start| text.strip_prefix(start))?;
        rest.parse().ok()
    }

    /// A handle on what one of its descriptors is open on.
    pub(super) fn descriptor(&self, number: i32) -> Result<OwnedFd, Errno> {
        let fd = handle(&self.place(number), true).map_err(|errno| match errno {
            Errno::ENOENT => Errno::EBADF,
            errno => errno,
        })?;
        self.stands().map(|()| fd)
    }

    /// A copy of one of its descriptors.
    pub(super) fn copy(&self, number: i32) -> Result<OwnedFd, Errno> {
        let process = sys::pidfd(self.process()?)?;
        self.stands()?;
        sys::descriptor_of(process.as_fd(), number)
    }

    /// The process its thread belongs to.
    pub(super) fn process(&self) -> Result<i32, Errno> {
        self.status("Tgid:", 10).and_then(|number| i32::try_from(number).map_err(|_| Errno::ESRCH))
    }

    /// A number in proc_pid_status(5).
    pub(super) fn status(&self, name: &str, radix: u32) -> Result<u32, Errno> {
        let text = self.status_text()?;
        let word = word_in(&text, name).ok_or(Errno::ESRCH)?;
        u32::from_str_radix(word, radix).map_err(|_| Errno::ESRCH)
    }

    fn status_text(&self) -> Result<Vec<u8>, Errno> {
        let text = std::fs::read(format!("/proc/{}/status", self.thread)).map_err(|_| Errno::ESRCH)?;
        self.stands().map(|()| text)
    }

    /// A handle on its working directory.
    pub(super) fn working_directory(&self) -> Result<OwnedFd, Errno> {
        let fd = handle(&self.place(libc::AT_FDCWD), true)?;
        self.stands().map(|()| fd)
    }
}

/// What stands behind a name in proc_pid_status(5).
fn word_in<'t>(text: &'t [u8], name: &str) -> Option<&'t str> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name.as_bytes()))?;
    std::str::from_utf8(line.trim_ascii()).ok()
}

fn beneath(dir: &OwnedFd, path: &FilePath, follow: bool) -> Result<OwnedFd, Errno> {
    use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
    let last = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC | last).resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(dir, std::ffi::OsStr::from_bytes(path.as_bytes()), how)
}
