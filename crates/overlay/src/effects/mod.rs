//! The journal of effects: which process made which change.
//!
//! Every request that changed something is noted after it succeeded and before it is answered, while the process that
//! asked still waits in the kernel and can be looked at in proc(5). The tree is the truth, the journal is evidence: it is
//! written in batches and never synced, and a change nobody is on record for has an unknown author, but is listed.

mod argv;
pub(crate) mod journal;
mod names;
mod process;
mod replay;

pub use replay::{Author, Process, Touched};

use crate::effects::journal::{Effect, Line, Op, Was};
use crate::effects::process::Processes;
use crate::view::layers::{Layers, lock};
use crate::view::rename::Spot;
use model::FilePath;
use nix::errno::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long records may wait to be written together; as much is lost when Belljar is killed.
const FLUSH_EVERY: Duration = Duration::from_millis(300);
/// A waiting batch of this size is written at once.
const BATCH_BYTES: usize = 64 << 10;
/// What may wait when the disk takes nothing; records beyond are lost, which is told at the end.
const WAITING_BYTES_MAX: usize = 4 << 20;
/// A journal grows to this. A program has to touch about 200,000 names to fill it.
const JOURNAL_BYTES_MAX: u64 = 32 << 20;
/// Effects that are remembered, so that the same one again is only counted.
const SLOTS_MAX: usize = 1 << 19;

/// What became of a journal when its view ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All of it is in the file.
    Whole,
    /// It had reached its size.
    Full,
    /// The file could not be written.
    Failed(Errno),
}

/// A journal that is being written.
pub(crate) struct Effects {
    shared: Arc<Shared>,
    writer: Mutex<Writer>,
    /// The first effect has been noted.
    first: Once,
}

/// What opens the journal. Most commands change nothing and need none.
type Opener = Box<dyn FnOnce() -> std::io::Result<File> + Send>;

/// The thread that writes: it is started when there is something to write.
enum Writer {
    Idle(Opener),
    At(JoinHandle<()>),
    Ended,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    processes: Processes,
    seq: u64,
    slots: HashMap<u64, Slot>,
    /// The last write, which is most often followed by one like it.
    last_write: Option<(u32, u64, Instant)>,
    batch: Batch,
    /// A line tells that a run began; one that changes nothing has none.
    begun: bool,
    stop: bool,
}

/// An effect that is on record: another one like it is counted, and the count is written when it has doubled.
struct Slot {
    seq: u64,
    times: u64,
    told: u64,
    last: u64,
}

/// Lines on their way to the file.
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Of all lines ever.
    total: u64,
    kept: Kept,
}

impl Batch {
    /// Adds a line. Encoding cannot fail for these types; if it did, the line would be missing and that be told.
    pub(crate) fn push(&mut self, line: &Line) {
        if self.kept != Kept::Whole {
            return;
        }
        if self.bytes.len() > WAITING_BYTES_MAX {
            self.kept = Kept::Failed(Errno::ENOSPC);
            return;
        }
        let before = self.bytes.len();
        let full = self.total > JOURNAL_BYTES_MAX;
        let line = if full { &Line::Full } else { line };
        if serde_json::to_writer(&mut self.bytes, line).is_err() {
            self.bytes.truncate(before);
            self.kept = Kept::Failed(Errno::EIO);
            return;
        }
        self.bytes.push(b'\n');
        self.total = self.total.saturating_add(u64::try_from(self.bytes.len() - before).unwrap_or(0));
        if full {
            self.kept = Kept::Full;
        }
    }
}

/// Who asked for what, as a request has it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) layers: &'a Layers,
    /// The thread, as the jar numbers it; 0 for the kernel itself.
    pub(crate) thread: u32,
}

/// One place an effect had.
struct At {
    path: PathBuf,
    to: Option<PathBuf>,
    /// Where the host has what was changed, if it can have it.
    lower: Option<PathBuf>,
}

impl Effects {
    /// Begins to write to `file`, which may hold the records of an earlier run. `processes` is the jar's proc(5).
    pub(crate) fn start(file: File, processes: OwnedFd) -> std::io::Result<Effects> {
        let total = file.metadata()?.len();
        Ok(Effects::start_with(Box::new(|| Ok(file)), total, processes))
    }

    /// [`Effects::start`] with a journal that is made when there is something to write. None is there yet.
    pub(crate) fn start_new(open: Opener, processes: OwnedFd) -> Effects {
        Effects::start_with(open, 0, processes)
    }

    fn start_with(open: Opener, total: u64, processes: OwnedFd) -> Effects {
        let batch = Batch { bytes: Vec::new(), total, kept: Kept::Whole };
        let (seq, slots, last_write, begun, stop) = (0, HashMap::new(), None, false, false);
        let state = State { processes: Processes::new(processes), seq, slots, last_write, batch, begun, stop };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        Effects { shared, writer: Mutex::new(Writer::Idle(open)), first: Once::new() }
    }

    fn start_writer(&self) {
        let mut writer = lock(&self.writer);
        let Writer::Idle(open) = std::mem::replace(&mut *writer, Writer::Ended) else { return };
        let theirs = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name("effects".into());
        match open().and_then(|file| thread.spawn(move || theirs.write_to(file))) {
            Ok(thread) => *writer = Writer::At(thread),
            Err(error) => lock(&self.shared.state).batch.kept = Kept::Failed(crate::fs::errno_of(&error)),
        }
    }

    /// Notes that the name changed.
    pub(crate) fn name(&self, asked: Asked<'_>, op: Op, parent: u64, name: &OsStr) {
        if let Some((path, lower)) = asked.layers.name_below(parent, name) {
            self.note(asked, op, At { path, to: None, lower: lower.filter(|_| op.had_pre_image()) });
        }
    }

    /// Notes that a name became another one, or that two changed places.
    pub(crate) fn moved(&self, asked: Asked<'_>, op: Op, from: Spot<'_>, to: Spot<'_>) {
        let names = (asked.layers.name_below(from.parent, from.name), asked.layers.name_below(to.parent, to.name));
        if let (Some((path, lower)), Some((to, _))) = names {
            self.note(asked, op, At { path, to: Some(to), lower });
        }
    }

    /// Notes that an object changed: under each name it is known by.
    pub(crate) fn node(&self, asked: Asked<'_>, op: Op, number: u64) {
        if op == Op::Write && lock(&self.shared.state).is_same_write(asked.thread, number) {
            return;
        }
        for (path, lower) in asked.layers.names_of(number) {
            self.note(asked, op, At { path, to: None, lower });
        }
        if op == Op::Write {
            lock(&self.shared.state).last_write = Some((asked.thread, number, Instant::now()));
        }
    }

    fn note(&self, asked: Asked<'_>, op: Op, at: At) {
        let mut state = lock(&self.shared.state);
        let was_empty = state.batch.bytes.is_empty();
        state.note(asked, op, at);
        let length = state.batch.bytes.len();
        drop(state);
        self.first.call_once(|| self.start_writer());
        if (was_empty && length > 0) || length > BATCH_BYTES {
            self.shared.wake.notify_one();
        }
    }

    /// Length of the journal with what waits to be written.
    pub(crate) fn bytes(&self) -> u64 {
        let mut state = lock(&self.shared.state);
        // Counts that are told later would be told of what comes later.
        state.tell_counts();
        let bytes = state.batch.total;
        drop(state);
        self.shared.wake.notify_one();
        bytes
    }

    /// Writes what waits; what became of the journal. Nothing may be noted afterwards.
    pub(crate) fn finish(&self) -> Kept {
        self.stop();
        let writer = std::mem::replace(&mut *lock(&self.writer), Writer::Ended);
        // A writer that panicked has written no more than it has.
        if let Writer::At(thread) = writer
            && thread.join().is_err()
        {
            return Kept::Failed(Errno::EIO);
        }
        lock(&self.shared.state).batch.kept
    }

    fn stop(&self) {
        lock(&self.shared.state).stop = true;
        self.shared.wake.notify_one();
    }
}

impl Drop for Effects {
    fn drop(&mut self) {
        self.stop();
    }
}

impl State {
    fn is_same_write(&mut self, thread: u32, number: u64) -> bool {
        let Some((last_thread, last_number, when)) = &mut self.last_write else { return false };
        let same = (*last_thread, *last_number) == (thread, number) && when.elapsed() < process::EXEC_TAKES;
        if same {
            *when = Instant::now();
        }
        same
    }

    fn note(&mut self, asked: Asked<'_>, op: Op, at: At) {
        self.last_write = None;
        if !std::mem::replace(&mut self.begun, true) {
            self.batch.push(&Line::Begin { at_ms: now_ms() });
        }
        let by = self.processes.of_thread(asked.thread, &mut self.batch);
        self.seq += 1;
        let seq = self.seq;
        let mut hasher = DefaultHasher::new();
        (by, op, &at.path, &at.to).hash(&mut hasher);
        let key = hasher.finish();
        if let Some(slot) = self.slots.get_mut(&key) {
            (slot.times, slot.last) = (slot.times + 1, seq);
            if slot.times >= slot.told * 2 {
                slot.tell(&mut self.batch);
            }
            return;
        }
        if self.slots.len() >= SLOTS_MAX {
            self.tell_counts();
            self.slots.clear();
        }
        self.slots.insert(key, Slot { seq, times: 1, told: 1, last: seq });
        let host = at.lower.and_then(|rel| asked.layers.lower_stat(&rel).ok().flatten());
        let (path, to) = (FilePath::new(at.path), at.to.map(FilePath::new));
        let was = host.as_ref().map(Was::of);
        self.batch.push(&Line::Effect(Effect { seq, at_ms: now_ms(), by, op, path, to, was }));
    }

    /// Brings the counts on record up to date.
    fn tell_counts(&mut self) {
        for slot in self.slots.values_mut().filter(|slot| slot.times > slot.told) {
            slot.tell(&mut self.batch);
        }
    }
}

impl Slot {
    fn tell(&mut self, batch: &mut Batch) {
        self.told = self.times;
        batch.push(&Line::Again { seq: self.seq, times: self.times, last: self.last });
    }
}

impl Shared {
    /// The writer's life: sleeps while there is nothing, lets records gather, writes them.
    fn write_to(&self, mut file: File) {
        let mut good = file.metadata().map_or(0, |meta| meta.len());
        loop {
            let (bytes, stop) = self.gather();
            let written = append(&mut file, &mut good, &bytes);
            if let Err(errno) = written {
                put_back(&mut lock(&self.state), bytes, errno, stop);
            }
            match (stop, written) {
                (true, _) => return,
                (false, Ok(())) => {}
                (false, Err(_)) => std::thread::sleep(FLUSH_EVERY),
            }
        }
    }

    fn gather(&self) -> (Vec<u8>, bool) {
        let mut state = lock(&self.state);
        while !state.stop && state.batch.bytes.is_empty() {
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let began = Instant::now();
        while !state.stop && state.batch.bytes.len() < BATCH_BYTES {
            let Some(left) = FLUSH_EVERY.checked_sub(began.elapsed()) else { break };
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.stop {
            state.tell_counts();
        }
        (std::mem::take(&mut state.batch.bytes), state.stop)
    }
}

/// A disk that is full now may take the records later.
fn put_back(state: &mut State, mut bytes: Vec<u8>, errno: Errno, stop: bool) {
    bytes.append(&mut state.batch.bytes);
    state.batch.bytes = bytes;
    if stop {
        state.batch.kept = Kept::Failed(errno);
    }
}

/// Appends whole: what a full disk took of it is taken back.
fn append(file: &mut File, good: &mut u64, bytes: &[u8]) -> Result<(), Errno> {
    let failed = |error: std::io::Error| crate::fs::errno_of(&error);
    if let Err(error) = file.write_all(bytes) {
        file.set_len(*good).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        return Err(failed(error));
    }
    *good = good.saturating_add(u64::try_from(bytes.len()).unwrap_or(0));
    Ok(())
}

/// Milliseconds since the epoch; 0 on a clock set before it.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
