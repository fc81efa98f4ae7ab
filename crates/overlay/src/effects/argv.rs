//! Reading a process's arguments, which are in its own memory.
//!
//! A program can place its arguments in a mapping of a file of the very view that is being served. Reading them then
//! waits for an answer of ours; so a thread that serves never reads them itself and waits for them only a moment.

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

/// How long one reading may take: on a busy machine the thread that reads may not run for a while. Who places its
/// arguments so that they cannot be read delays nobody but its own jar.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes of arguments that are kept of a process.
pub(crate) const ARGV_BYTES_MAX: usize = 2_048;

/// What a thread that reads is asked.
type Ask = Sender<(u32, Sender<Vec<u8>>)>;

/// A thread that reads arguments, one process at a time. It is started when there is something to read: a command that
/// changes nothing has no use for it.
#[derive(Default)]
pub(crate) struct Reader {
    ask: Option<Ask>,
    /// An answer that did not come in time: until it does, nothing else is read.
    late: Option<Receiver<Vec<u8>>>,
}

impl Reader {
    /// The arguments of `pid` in this proc(5), each ended by a NUL; empty when they cannot be had.
    pub(crate) fn read(&mut self, proc: &OwnedFd, pid: u32) -> Vec<u8> {
        if let Some(late) = &self.late {
            match late.try_recv() {
                Err(TryRecvError::Empty) => return Vec::new(),
                Ok(_) | Err(TryRecvError::Disconnected) => self.late = None,
            }
        }
        let (answer, answered) = channel();
        if self.ask.is_none() {
            // Without the thread no arguments are known, the rest is.
            self.ask = start(proc).ok();
        }
        let Some(ask) = &self.ask else { return Vec::new() };
        if ask.send((pid, answer)).is_err() {
            return Vec::new();
        }
        match answered.recv_timeout(PATIENCE) {
            Ok(bytes) => bytes,
            Err(RecvTimeoutError::Disconnected) => Vec::new(),
            Err(RecvTimeoutError::Timeout) => {
                self.late = Some(answered);
                Vec::new()
            }
        }
    }
}

fn start(proc: &OwnedFd) -> std::io::Result<Ask> {
    let (ask, asked) = channel::<(u32, Sender<Vec<u8>>)>();
    let proc = proc.try_clone()?;
    let run = move || {
        for (pid, answer) in asked {
            // Whoever has lost patience does not listen any more.
            let _ = answer.send(read(&proc, pid));
        }
    };
    std::thread::Builder::new().name("argv".into()).spawn(run)?;
    Ok(ask)
}

/// A byte more than is kept, so that a cut can be told.
fn read(proc: &OwnedFd, pid: u32) -> Vec<u8> {
    let path = format!("{pid}/cmdline");
    let opened = nix::fcntl::openat(proc, path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
    let mut bytes = Vec::new();
    if let Ok(fd) = opened {
        let most = u64::try_from(ARGV_BYTES_MAX + 1).unwrap_or(u64::MAX);
        // What could be read before an error is better than nothing.
        let _ = File::from(fd).take(most).read_to_end(&mut bytes);
    }
    bytes
}
