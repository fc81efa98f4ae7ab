//! Files that are opened for the caller: what proc(5) has of the jar's own processes, names in directories, terminals.

use super::caller::Caller;
use super::handle;
use crate::bare::tree;
use crate::sys;
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, open, openat, readlink};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use std::collections::{HashMap, HashSet};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// What a process may read of itself and of others in the jar; none of it depends on who opened it but in what the jar
/// may know. Not here: links to files, which Landlock judges, memory, and what only privilege shows.
const READ: &[&str] = &[
    "autogroup",
    "auxv",
    "cgroup",
    "children",
    "cmdline",
    "comm",
    "coredump_filter",
    "cpuset",
    "environ",
    "fd",
    "fdinfo",
    "gid_map",
    "io",
    "limits",
    "loginuid",
    "maps",
    "mountinfo",
    "mounts",
    "mountstats",
    "numa_maps",
    "oom_adj",
    "oom_score",
    "oom_score_adj",
    "personality",
    "sched",
    "schedstat",
    "sessionid",
    "setgroups",
    "smaps",
    "smaps_rollup",
    "stat",
    "statm",
    "status",
    "task",
    "timers",
    "timerslack_ns",
    "uid_map",
    "wchan",
];
/// What it may write. The kernel asks the writer for rights, not whoever opened it.
const WRITTEN: &[&str] = &["comm", "coredump_filter", "oom_score_adj", "timerslack_ns"];

/// What is known of the files that are answered.
pub(super) struct Files {
    listed: HashSet<FilePath>,
    /// Terminals that the jar made, by number: a handle leads to that one for ever, whoever gets the number later.
    terminals: HashMap<u32, OwnedFd>,
    /// Files that the jar has others for, by path.
    tables: HashMap<&'static str, OwnedFd>,
}

impl Files {
    pub(super) fn new(listed: &[FilePath], tables: &[(&'static str, String)]) -> io::Result<Files> {
        let tables = tables.iter().map(|(path, text)| Ok((*path, sealed(text)?))).collect::<io::Result<_>>()?;
        Ok(Files { listed: listed.iter().cloned().collect(), terminals: HashMap::new(), tables })
    }

    /// Opens `path` for the caller; `None` for what the kernel is to judge.
    pub(super) fn open(
        &mut self,
        caller: &Caller,
        first: i32,
        path: &FilePath,
        flags: OFlag,
    ) -> Option<Result<OwnedFd, Errno>> {
        let reads = flags & OFlag::O_ACCMODE == OFlag::O_RDONLY;
        let text = path.as_path().to_str()?;
        match text {
            "/dev/ptmx" | "/dev/pts/ptmx" => return Some(self.new_terminal(flags)),
            "/etc/mtab" => return Some(of_process(caller, first, "self", Path::new("mounts"), flags)),
            "/dev/fd" => return Some(of_process(caller, first, "self", Path::new("fd"), flags)),
            _ => {}
        }
        if let Some(table) = self.tables.get(text).filter(|_| reads) {
            return Some(open_again(table, flags));
        }
        if let Some(number) = text.strip_prefix("/dev/pts/").and_then(|number| number.parse().ok()) {
            return self.terminals.get(&number).map(|terminal| open_again(terminal, flags));
        }
        if reads && self.listed.contains(path) {
            return Some(listed(path));
        }
        let rest = Path::new(text.strip_prefix("/proc/")?);
        if rest == Path::new("mounts") {
            return Some(of_process(caller, first, "self", rest, flags));
        }
        let mut parts = rest.components();
        let process = parts.next()?.as_os_str().to_str()?;
        let of_process_at_all = matches!(process, "self" | "thread-self") || process.parse::<i32>().is_ok();
        if !of_process_at_all || !is_known(parts.as_path(), reads) {
            return None;
        }
        Some(of_process(caller, first, process, parts.as_path(), flags))
    }

    fn new_terminal(&mut self, flags: OFlag) -> Result<OwnedFd, Errno> {
        let flags = (flags & (OFlag::O_ACCMODE | OFlag::O_NONBLOCK)) | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = open("/dev/ptmx", flags, Mode::empty())?;
        let number = sys::terminal_number(master.as_fd())?;
        let slave = handle(Path::new(&format!("/dev/pts/{number}")), false)?;
        self.terminals.insert(number, slave);
        Ok(master)
    }
}

/// A file in memory that nobody can change any more.
fn sealed(text: &str) -> io::Result<OwnedFd> {
    let mut file = std::fs::File::from(memfd_create(c"belljar", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all(text.as_bytes())?;
    let all = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(all))?;
    Ok(file.into())
}

/// A directory that is where it was: if the host has put a link on the way since, another one is meant.
fn listed(path: &FilePath) -> Result<OwnedFd, Errno> {
    let dir = handle(path.as_path(), false)?;
    if path_of(&dir)? == *path { open_again(&dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY) } else { Err(Errno::EACCES) }
}

/// By its magic link: what is opened is what the handle leads to.
fn open_again(handle: &OwnedFd, flags: OFlag) -> Result<OwnedFd, Errno> {
    let kept = OFlag::O_ACCMODE | OFlag::O_NONBLOCK | OFlag::O_DIRECTORY;
    let flags = (flags & kept) | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    open(own_link(handle).as_str(), flags, Mode::empty())
}

/// A path to what a descriptor of ours is open on.
pub(super) fn own_link(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The path of what a descriptor of ours is open on, as the kernel tells it now.
pub(super) fn path_of(fd: &OwnedFd) -> Result<FilePath, Errno> {
    readlink(own_link(fd).as_str()).map(FilePath::new)
}

/// `task/7/stat` is what `stat` is, `fdinfo/3` a file, and everything else one name.
fn is_known(rest: &Path, reads: bool) -> bool {
    let mut parts: Vec<&str> = rest.iter().filter_map(|part| part.to_str()).collect();
    let is_number = |part: &&str| part.parse::<i32>().is_ok();
    if parts.first() == Some(&"task") && parts.get(1).is_some_and(is_number) {
        parts.drain(..2);
    }
    let known = if reads { READ } else { WRITTEN };
    match parts[..] {
        [] => reads,
        [name] => known.contains(&name),
        ["fdinfo", number] => reads && is_number(&number),
        _ => false,
    }
}

/// A file of a process of the jar. The directory is opened first, and stays that of this process.
fn of_process(caller: &Caller, first: i32, process: &str, rest: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let (number, thread) = match process {
        "self" => (caller.process()?, None),
        "thread-self" => (caller.process()?, Some(caller.thread)),
        other => (other.parse().map_err(|_| Errno::ENOENT)?, None),
    };
    let dir = handle(Path::new(&format!("/proc/{number}")), true)?;
    // The caller itself waits in the filter, which only the jar has.
    if process.parse::<i32>().is_ok() && caller.process()? != number && !tree::is_below(number, first) {
        return Err(Errno::EACCES);
    }
    caller.stands()?;
    let inner = thread.map_or_else(|| rest.to_owned(), |thread| Path::new(&format!("task/{thread}")).join(rest));
    let inner = if inner.as_os_str().is_empty() { Path::new(".") } else { inner.as_path() };
    let flags = (flags & (OFlag::O_ACCMODE | OFlag::O_DIRECTORY)) | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(&dir, inner, flags, Mode::empty())
}

/// Processes and threads of the jar, without its first process.
pub(super) fn threads_below(first: i32) -> u64 {
    let threads = |process: i32| std::fs::read_dir(format!("/proc/{process}/task")).map_or(0, Iterator::count);
    tree::below(first).into_iter().map(threads).fold(0, |sum, count| sum + u64::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_memory_and_what_only_privilege_shows_are_not_opened() {
        let known = |rest: &str| is_known(Path::new(rest), true);
        for rest in ["", "stat", "fd", "fdinfo/3", "task", "task/7", "task/7/stat", "task/7/fdinfo/3"] {
            assert!(known(rest), "{rest}");
        }
        for rest in [
            "mem",
            "root",
            "cwd",
            "exe",
            "fd/0",
            "ns/net",
            "map_files/0-1",
            "pagemap",
            "task/7/mem",
            "net/unix",
            "../1/environ",
        ] {
            assert!(!known(rest), "{rest}");
        }
        assert!(is_known(Path::new("comm"), false) && !is_known(Path::new("environ"), false));
    }
}
