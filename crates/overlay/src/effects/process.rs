//! Processes of the jar, by the thread numbers that requests carry.
//!
//! FUSE tells the number of the thread in the process id namespace of whoever mounted the view: the jar's first process.
//! A process is read once and then known by its threads; that the same number runs another program is found out when
//! enough time has passed for execve(2), so that a burst of requests costs no system call.

use crate::effects::argv::{ARGV_BYTES_MAX, Reader};
use crate::effects::journal::{Line, NOBODY, Seen, UNTOLD};
use crate::effects::{Batch, now_ms};
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Less than the time between the last request of a program and the first of the one that it executes: the kernel alone
/// takes 300 us for execve(2) here, and the loader as much again.
pub(crate) const EXEC_TAKES: Duration = Duration::from_micros(200);
/// Threads known at a time; they are read again when they are needed again.
const THREADS_MAX: usize = 4_096;
/// Programs run by processes that are kept; those beyond are not told apart.
const IMAGES_MAX: usize = 65_536;
/// How far up the ancestors are followed.
const DEPTH_MAX: u32 = 32;
/// The jar's first process starts the command and adopts what loses its parent.
const INIT: u32 = 1;
/// The command gets the lowest number but one, or one of the next if its program was looked for in several places.
const COMMAND_PIDS: std::ops::Range<u32> = 2..16;

/// No file of proc(5) that is read here is longer.
const FILE_BYTES_MAX: usize = 4_096;

/// What tells one program in one process from all others: when the process began, and where the kernel has put the stack
/// and the arguments of its program, which execve(2) does anew.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Mark {
    pid: u32,
    started: u64,
    stack: u64,
    arguments: u64,
}

struct Thread {
    mark: Mark,
    id: u32,
    seen: Instant,
}

/// What `/proc/PID/stat` tells, proc_pid_stat(5).
struct Stat {
    mark: Mark,
    parent: u32,
    name: Vec<u8>,
}

/// All processes that have changed something.
pub(crate) struct Processes {
    proc: OwnedFd,
    reader: Reader,
    threads: HashMap<u32, Thread>,
    images: HashMap<Mark, u32>,
    command: Option<u32>,
    last_id: u32,
}

impl Processes {
    pub(crate) fn new(proc: OwnedFd) -> Processes {
        let (threads, images) = (HashMap::new(), HashMap::new());
        Processes { reader: Reader::default(), proc, threads, images, command: None, last_id: 0 }
    }

    /// The number of the process that `thread` belongs to; a line about it when it is new. 0 for the kernel.
    pub(crate) fn of_thread(&mut self, thread: u32, batch: &mut Batch) -> u32 {
        if thread == 0 {
            return NOBODY;
        }
        let now = Instant::now();
        if let Some(known) = self.threads.get_mut(&thread) {
            let young = now.duration_since(known.seen) < EXEC_TAKES;
            if young || stat(&self.proc, known.mark.pid).is_ok_and(|stat| stat.mark == known.mark) {
                known.seen = now;
                return known.id;
            }
        }
        // A thread that is gone leaves its number behind, which is all that can be told.
        let nothing = Mark { pid: thread, started: 0, stack: 0, arguments: 0 };
        let found = process_of(&self.proc, thread).and_then(|pid| stat(&self.proc, pid));
        let stat = found.unwrap_or(Stat { mark: nothing, parent: 0, name: Vec::new() });
        let mark = stat.mark;
        let id = self.of_process(stat, batch, 0);
        if self.threads.len() >= THREADS_MAX {
            self.threads.clear();
        }
        self.threads.insert(thread, Thread { mark, id, seen: now });
        id
    }

    fn of_process(&mut self, stat: Stat, batch: &mut Batch, depth: u32) -> u32 {
        if let Some(id) = self.images.get(&stat.mark) {
            return *id;
        }
        if self.images.len() >= IMAGES_MAX {
            return UNTOLD;
        }
        let pid = stat.mark.pid;
        let orphan = stat.parent == INIT && self.command() != Some(pid);
        let parent = self.parent(stat.parent, batch, depth);
        let (argv, cut) = words(&self.reader.read(&self.proc, pid));
        self.last_id += 1;
        let id = self.last_id;
        self.images.insert(stat.mark, id);
        batch.push(&Line::Process(Seen {
            id,
            pid,
            started: stat.mark.started,
            name: FilePath::from(stat.name),
            executable: executable(&self.proc, pid),
            argv,
            cut,
            parent,
            orphan,
            at_ms: now_ms(),
        }));
        id
    }

    fn parent(&mut self, pid: u32, batch: &mut Batch, depth: u32) -> Option<u32> {
        if pid <= INIT || depth >= DEPTH_MAX {
            return None;
        }
        let stat = stat(&self.proc, pid).ok()?;
        Some(self.of_process(stat, batch, depth + 1))
    }

    /// The process id of the command itself, which lives as long as the jar.
    fn command(&mut self) -> Option<u32> {
        if self.command.is_none() {
            let mut pids = COMMAND_PIDS;
            self.command = pids.find(|pid| stat(&self.proc, *pid).is_ok_and(|stat| stat.parent == INIT));
        }
        self.command
    }
}

/// The words between the NULs, and whether there were more.
fn words(bytes: &[u8]) -> (Vec<FilePath>, bool) {
    let cut = bytes.len() > ARGV_BYTES_MAX;
    let kept = bytes.get(..ARGV_BYTES_MAX).unwrap_or(bytes);
    let kept = kept.strip_suffix(&[0]).unwrap_or(kept);
    if kept.is_empty() {
        return (Vec::new(), cut);
    }
    (kept.split(|byte| *byte == 0).map(|word| FilePath::from(word.to_vec())).collect(), cut)
}

fn file(proc: &OwnedFd, path: &str) -> Result<Vec<u8>, Errno> {
    let fd = nix::fcntl::openat(proc, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut bytes = vec![0; FILE_BYTES_MAX];
    // The kernel gives such a file whole to whoever has room for it.
    let length = nix::unistd::read(&fd, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// The process of a thread: `Tgid` in `/proc/TID/status`.
fn process_of(proc: &OwnedFd, thread: u32) -> Result<u32, Errno> {
    let text = file(proc, &format!("{thread}/status"))?;
    let mut lines = text.split(|byte| *byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(b"Tgid:")).ok_or(Errno::EPROTO)?;
    number(value.trim_ascii())
}

fn stat(proc: &OwnedFd, pid: u32) -> Result<Stat, Errno> {
    parse_stat(pid, &file(proc, &format!("{pid}/stat"))?)
}

fn parse_stat(pid: u32, text: &[u8]) -> Result<Stat, Errno> {
    // The name stands in parentheses and may hold any of them itself.
    let open = text.iter().position(|byte| *byte == b'(').ok_or(Errno::EPROTO)?;
    let close = text.iter().rposition(|byte| *byte == b')').ok_or(Errno::EPROTO)?;
    let name = text.get(open + 1..close).ok_or(Errno::EPROTO)?.to_vec();
    let rest = text.get(close + 1..).unwrap_or_default().trim_ascii();
    let fields: Vec<&[u8]> = rest.split(|byte| *byte == b' ').collect();
    // The manual counts from 1, and the first of these is its third.
    let field = |manual: usize| fields.get(manual - 3).copied().ok_or(Errno::EPROTO);
    let mark = Mark { pid, started: number(field(22)?)?, stack: number(field(28)?)?, arguments: number(field(48)?)? };
    Ok(Stat { mark, parent: number(field(4)?)?, name })
}

fn number<T: std::str::FromStr>(digits: &[u8]) -> Result<T, Errno> {
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or(Errno::EPROTO)
}

/// Only the name of the link is read: to follow it could ask ourselves for an answer.
fn executable(proc: &OwnedFd, pid: u32) -> Option<FilePath> {
    nix::fcntl::readlinkat(proc, format!("{pid}/exe").as_str()).ok().map(FilePath::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    #[test]
    fn a_name_may_look_like_the_rest_of_the_line() {
        let tail = " S 7 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 99 1 1 1 1 1 55 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 1 1 1 77 78 79 80 0";
        let stat = parse_stat(9, format!("9 (a) S 1 (b){tail}").as_bytes()).unwrap();
        assert_eq!((stat.parent, stat.name.as_slice()), (7, b"a) S 1 (b".as_slice()));
        assert_eq!((stat.mark.started, stat.mark.stack, stat.mark.arguments), (99, 55, 77));
        assert!(parse_stat(9, b"9 (x) S 1").is_err() && parse_stat(9, b"").is_err());
    }

    #[test]
    fn arguments_are_cut_and_say_so() {
        assert_eq!(words(b""), (Vec::new(), false));
        assert_eq!(words(b"a\0\0b c\0"), (vec!["a".into(), "".into(), "b c".into()], false));
        let long = vec![b'x'; ARGV_BYTES_MAX + 1];
        assert!(words(&long).1);
    }

    #[test]
    fn another_program_in_the_same_process_has_another_mark() {
        let proc: OwnedFd = File::open("/proc").unwrap().into();
        let script = "read go; exec sh -c 'read go'";
        let mut child = Command::new("sh").args(["-c", script]).stdin(std::process::Stdio::piped()).arg0("one").spawn();
        let child = child.as_mut().unwrap();
        let until = |wanted: &[u8]| {
            for _ in 0..2_000 {
                if file(&proc, &format!("{}/cmdline", child.id())).unwrap().starts_with(wanted) {
                    return stat(&proc, child.id()).unwrap().mark;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            panic!("never became {}", String::from_utf8_lossy(wanted));
        };
        let before = until(b"one\0");
        assert!(before == until(b"one\0"));
        std::io::Write::write_all(&mut child.stdin.as_ref().unwrap(), b"\n").unwrap();
        let after = until(b"sh\0");
        assert!(before.pid == after.pid && before.started == after.started && before != after);
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_thread_stands_for_its_process() {
        let proc: OwnedFd = File::open("/proc").unwrap().into();
        let thread = std::thread::spawn(move || {
            let own = std::fs::read_link("/proc/thread-self").unwrap();
            let own = own.file_name().unwrap().to_str().unwrap().parse().unwrap();
            (own, process_of(&proc, own).unwrap())
        });
        let (own, process) = thread.join().unwrap();
        assert_eq!(process, std::process::id());
        assert_ne!(own, process);
    }
}
