//! Threads over chunks of lines. Each has policies and a table of its own; the tables are merged at the end.

use super::{ReplayError, Sides, Wrong};
use crate::error::RunError;
use policy::replay::{Replay, Request, Table};
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Bytes of a chunk, or of the one line in it.
const CHUNK_BYTES: usize = 1 << 20;
/// Bytes of one line.
pub const LINE_MAX: usize = 16 << 20;
/// Chunks that wait for a thread.
const WAITING: usize = 4;

struct Chunk {
    first: u64,
    bytes: Vec<u8>,
}

/// Where the lines go.
pub struct Feed<'f> {
    name: &'f str,
    chunks: SyncSender<Chunk>,
    bad: &'f Bad,
    /// The number of the line that comes next.
    next: u64,
    bytes: Vec<u8>,
}

/// The lines that are wrong, and the first of them.
struct Bad {
    first: AtomicU64,
    lines: Mutex<BTreeMap<u64, Wrong>>,
}

impl std::fmt::Debug for Feed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("next", &self.next).finish_non_exhaustive()
    }
}

/// Replays what `feed` gives, lines of JSON, on so many threads. `name` is what the lines are called in errors.
///
/// # Errors
/// What `feed` fails of; or the first line that is no request, whichever thread saw it.
pub fn replay(
    name: &str,
    sides: &Sides,
    threads: usize,
    feed: impl FnOnce(&mut Feed<'_>) -> Result<(), RunError>,
) -> Result<Table, RunError> {
    let name = model::escape::text(name);
    let replays: Vec<Replay> = (0..threads.max(1)).map(|_| sides.replay()).collect::<Result<_, _>>()?;
    let (chunks, queue) = sync_channel(WAITING);
    let queue = Mutex::new(queue);
    let bad = Bad { first: AtomicU64::new(u64::MAX), lines: Mutex::new(BTreeMap::new()) };
    let (fed, tables) = thread::scope(|scope| {
        let (queue, bad) = (&queue, &bad);
        let threads: Vec<_> = replays.into_iter().map(|replay| scope.spawn(move || work(replay, queue, bad))).collect();
        let mut feeding = Feed { name: &name, chunks, bad, next: 1, bytes: Vec::new() };
        let fed = feed(&mut feeding).and_then(|()| feeding.send());
        // The threads end when nothing can come any more.
        drop(feeding);
        let tables: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
        (fed, tables)
    });
    // Lines before a wrong one were all handed out before it, so this is the first.
    let wrong = bad.lines.into_inner().unwrap_or_else(PoisonError::into_inner).pop_first();
    if let Some((line, wrong)) = wrong {
        return Err(ReplayError::Line { name, line, what: wrong.to_string() }.into());
    }
    fed?;
    let mut all = Table::default();
    for table in tables {
        all = all.merge(table.map_err(|_| ReplayError::Thread)?);
    }
    Ok(all)
}

fn work(mut replay: Replay, queue: &Mutex<Receiver<Chunk>>, bad: &Bad) -> Table {
    let mut table = Table::default();
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(chunk) = next else { return table };
        let lines = chunk.bytes.strip_suffix(b"\n").unwrap_or(&chunk.bytes).split(|byte| *byte == b'\n');
        for (at, line) in (chunk.first..).zip(lines) {
            if at >= bad.first.load(Ordering::Relaxed) {
                break;
            }
            match read(line) {
                Ok(request) => replay.take(request, &mut table),
                Err(wrong) => {
                    bad.first.fetch_min(at, Ordering::Relaxed);
                    bad.lines.lock().unwrap_or_else(PoisonError::into_inner).insert(at, wrong);
                    break;
                }
            }
        }
    }
}

fn read(line: &[u8]) -> Result<Request<'_>, Wrong> {
    if line.is_empty() {
        return Err(Wrong::Empty);
    }
    let request: Request<'_> = serde_json::from_slice(line).map_err(Wrong::Json)?;
    request.check()?;
    Ok(request)
}

impl Feed<'_> {
    /// One request.
    ///
    /// # Errors
    /// When it cannot be put into JSON, or another was wrong.
    pub fn request(&mut self, request: &Request<'_>) -> Result<(), RunError> {
        let written = serde_json::to_writer(&mut self.bytes, request);
        written.map_err(|error| self.unread(error.into()))?;
        self.bytes.push(b'\n');
        if self.bytes.len() >= CHUNK_BYTES { self.send() } else { Ok(()) }
    }

    /// Every line of an input.
    ///
    /// # Errors
    /// When it cannot be read, or a line is too long.
    pub fn lines(&mut self, mut input: impl Read) -> Result<(), RunError> {
        loop {
            let before = self.bytes.len();
            let read = input.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut self.bytes);
            if read.map_err(|source| self.unread(source))? == 0 {
                return Ok(());
            }
            let newline = self.bytes.iter().skip(before).rposition(|byte| *byte == b'\n');
            match newline {
                Some(at) => {
                    let rest = self.bytes.split_off(before + at + 1);
                    self.send()?;
                    self.bytes = rest;
                }
                None if self.bytes.len() > LINE_MAX => {
                    let too_long = std::io::Error::other(format!("line {} is longer than {LINE_MAX} bytes", self.next));
                    return Err(self.unread(too_long));
                }
                None => {}
            }
        }
    }

    fn unread(&self, source: std::io::Error) -> RunError {
        ReplayError::Read { name: self.name.to_owned(), source }.into()
    }

    /// Hands on what is there.
    fn send(&mut self) -> Result<(), RunError> {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        if self.bad.first.load(Ordering::Relaxed) < self.next {
            // There is nothing more to be had: the wrong line is what is told.
            return Err(ReplayError::Thread.into());
        }
        let newlines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        let first = self.next;
        self.next += newlines;
        self.chunks.send(Chunk { first, bytes }).map_err(|_| ReplayError::Thread.into())
    }
}
