//! A limit on what a command prints: its standard output and error go through pipes of ours, and what passes is counted.
//! A terminal stays what it is, because a program behind a pipe is another program: what goes to one is not counted,
//! and a limit on it is refused unless that is accepted by name.

use crate::error::SandboxError;
use crate::facts;
use model::{Gap, Layer, LayerState};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use nix::unistd::{isatty, pipe2, read, write};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// A pipe holds this much by default, pipe(7).
const CHUNK_BYTES: usize = 64 << 10;
const STDOUT: i32 = 1;
const STDERR: i32 = 2;

/// Pipes that stand and carry nothing yet.
pub(crate) struct Output {
    max: u64,
    pipes: Vec<Pipe>,
    /// A stream is a terminal.
    uncounted: bool,
}

struct Pipe {
    from: OwnedFd,
    /// The end of the command; ours is closed when the stage has it.
    into: Option<OwnedFd>,
    /// The streams of the command that go into it; it comes out of the first.
    streams: Vec<i32>,
    /// Or into memory.
    memory: Option<OwnedFd>,
}

impl Output {
    /// Pipes for the streams of this process that are no terminals. A closed stream stays closed.
    pub(crate) fn limited(max: u64, accept_weak: &[Layer]) -> Result<Output, SandboxError> {
        let mut output = Output { max, pipes: Vec::new(), uncounted: false };
        for stream in [STDOUT, STDERR] {
            let Some(fd) = facts::standard(stream) else { continue };
            if isatty(fd).unwrap_or(false) {
                output.uncounted = true;
            } else {
                output.add(stream, fd).map_err(|errno| SandboxError::Spawn(errno.into()))?;
            }
        }
        if output.uncounted && !accept_weak.contains(&Layer::OutputLimit) {
            let why = "what goes to a terminal is not counted; redirect it, or leave the limit out".to_owned();
            return Err(SandboxError::Weakened { layer: Layer::OutputLimit, why });
        }
        Ok(output)
    }

    /// Two streams that end in one place share a pipe, or their order would be lost.
    fn add(&mut self, stream: i32, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        let same = |pipe: &&mut Pipe| pipe.streams.first().is_some_and(|first| same_file(*first, fd));
        if let Some(pipe) = self.pipes.iter_mut().find(same) {
            pipe.streams.push(stream);
            return Ok(());
        }
        let (from, into) = pipe2(OFlag::O_CLOEXEC)?;
        self.pipes.push(Pipe { from, into: Some(into), streams: vec![stream], memory: None });
        Ok(())
    }

    /// Pipes whose bytes are kept in memory, at most `max` together.
    pub(crate) fn kept(max: u64) -> Result<Output, Errno> {
        let pipe = |stream| {
            let (from, into) = pipe2(OFlag::O_CLOEXEC)?;
            let memory = memfd_create(c"belljar-output", MFdFlags::MFD_CLOEXEC)?;
            Ok(Pipe { from, into: Some(into), streams: vec![stream], memory: Some(memory) })
        };
        Ok(Output { max, pipes: vec![pipe(STDOUT)?, pipe(STDERR)?], uncounted: false })
    }

    /// Where it is kept, output and errors.
    pub(crate) fn memory(&self) -> io::Result<Vec<OwnedFd>> {
        self.pipes.iter().filter_map(|pipe| pipe.memory.as_ref()).map(OwnedFd::try_clone).collect()
    }

    /// What the command gets in the place of which stream.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (i32, BorrowedFd<'_>)> {
        self.pipes
            .iter()
            .flat_map(|pipe| pipe.into.iter().flat_map(|end| pipe.streams.iter().map(|to| (*to, end.as_fd()))))
    }

    /// The command has its ends: only when ours are closed does its end end the pipe.
    pub(crate) fn given(&mut self) {
        self.pipes.iter_mut().for_each(|pipe| pipe.into = None);
    }

    /// What of the limit holds.
    pub(crate) fn state(&self) -> (Option<LayerState>, Option<Gap>) {
        let layer = Layer::OutputLimit;
        let counted = (!self.pipes.is_empty()).then(|| LayerState { layer, detail: format!("{} bytes", self.max) });
        let why = "what goes to the terminal is not counted".to_owned();
        (counted, self.uncounted.then_some(Gap { layer, why }))
    }

    /// Begins to carry.
    pub(crate) fn carry(self) -> io::Result<Carrying> {
        let count = Arc::new(Count { left: AtomicU64::new(self.max), over: AtomicBool::new(false) });
        let mut threads = Vec::new();
        for Pipe { from, streams, memory, .. } in self.pipes {
            let to = match memory {
                Some(memory) => memory,
                None => match streams.first().and_then(|stream| facts::standard(*stream)) {
                    Some(to) => to.try_clone_to_owned()?,
                    None => continue,
                },
            };
            let count = Arc::clone(&count);
            let builder = std::thread::Builder::new().name("belljar-output".into());
            threads.push(builder.spawn(move || carry(&from, &to, &count))?);
        }
        Ok(Carrying { count, threads })
    }
}

/// Pipes at work.
pub(crate) struct Carrying {
    count: Arc<Count>,
    threads: Vec<JoinHandle<()>>,
}

impl Carrying {
    /// Whether more came than may.
    pub(crate) fn over(&self) -> bool {
        self.count.over.load(Ordering::Relaxed)
    }

    /// Waits until all has arrived that the command printed; nobody in the jar may be left. Whether more came than may.
    pub(crate) fn finish(mut self) -> bool {
        for thread in self.threads.drain(..) {
            // A thread that died has closed its pipe.
            let _ = thread.join();
        }
        self.over()
    }
}

struct Count {
    left: AtomicU64,
    over: AtomicBool,
}

impl Count {
    /// How many of `bytes` more may pass.
    fn take(&self, bytes: usize) -> usize {
        let wanted = u64::try_from(bytes).unwrap_or(u64::MAX);
        let take = |left: u64| Some(left.saturating_sub(wanted));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
        if left < wanted {
            self.over.store(true, Ordering::Relaxed);
        }
        usize::try_from(left.min(wanted)).unwrap_or(bytes)
    }
}

/// Until the command's side has ended, or nobody reads any more: then the command learns it as it would have without us,
/// by SIGPIPE.
fn carry(from: &OwnedFd, to: &OwnedFd, count: &Count) {
    let mut buffer = vec![0u8; CHUNK_BYTES];
    loop {
        let length = match read(from, &mut buffer) {
            Ok(0) => return,
            Ok(length) => length,
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        };
        let passes = count.take(length);
        if write_all(to, buffer.get(..passes).unwrap_or(&[])).is_err() {
            return;
        }
    }
}

/// All of `bytes`. The reader of a pipe may have made it non-blocking.
pub(crate) fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(length) => bytes = bytes.get(length..).unwrap_or(&[]),
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => wait_to_write(to)?,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn wait_to_write(to: &OwnedFd) -> Result<(), Errno> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    match poll(&mut [PollFd::new(to.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn same_file(stream: i32, fd: BorrowedFd<'_>) -> bool {
    let file = |fd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    facts::standard(stream).is_some_and(|other| file(other).is_ok_and(|other| file(fd) == Ok(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_left_passes_and_the_rest_is_known() {
        let count = Count { left: AtomicU64::new(5), over: AtomicBool::new(false) };
        assert_eq!((count.take(3), count.take(2)), (3, 2));
        assert!(!count.over.load(Ordering::Relaxed));
        assert_eq!((count.take(1), count.take(7)), (0, 0));
        assert!(count.over.load(Ordering::Relaxed));
    }

    #[test]
    fn what_passes_arrives_whole_and_ends_with_its_writer() {
        let ((from, into), (out, to)) = (pipe2(OFlag::O_CLOEXEC).unwrap(), pipe2(OFlag::O_CLOEXEC).unwrap());
        let count = Count { left: AtomicU64::new(4), over: AtomicBool::new(false) };
        write_all(&into, b"abcdef").unwrap();
        drop(into);
        carry(&from, &to, &count);
        drop(to);
        let mut arrived = [0u8; 16];
        assert_eq!((read(&out, &mut arrived), &arrived[..4]), (Ok(4), b"abcd".as_slice()));
        assert!(count.over.load(Ordering::Relaxed));
    }
}
