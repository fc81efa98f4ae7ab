//! What stands on disk: `checkpoints`, one entry of fixed size for each generation, and `undo`, what the cells held.
//!
//! Both only grow, except by a rewind. A record is written before the change it belongs to, so a torn last line belongs
//! to a change that never happened. Neither file is there before the first checkpoint.

use crate::fs::at::{self, Stat};
use crate::fs::errno_of;
use crate::store::origin::Origins;
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Where each generation begins.
const ENTRIES: &str = "checkpoints";
/// What the cells held.
const RECORDS: &str = "undo";
/// Bytes of one entry: four numbers, least byte first.
const ENTRY_BYTES: usize = 32;
/// Stands for the store's `work` among directory numbers; no directory has inode number 0.
pub(crate) const WORK: u64 = 0;
/// Emptying a bigger set takes longer than a checkpoint may; it is left to another thread.
const CLEAR_MAX: usize = 512;

/// What a name held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Was {
    Nothing,
    Whiteout,
    /// The object with this inode number.
    Object(u64),
}

impl Was {
    pub(crate) fn of(stat: Option<&Stat>) -> Was {
        match stat {
            None => Was::Nothing,
            Some(stat) if at::is_whiteout(stat) => Was::Whiteout,
            Some(stat) => Was::Object(stat.st_ino),
        }
    }
}

/// What stat(2) and listxattr(2) told of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    pub(crate) ino: u64,
    /// With the kind.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) atime: (i64, i64),
    pub(crate) mtime: (i64, i64),
    /// All of them, the overlay's own too.
    pub(crate) xattrs: Vec<(FilePath, Vec<u8>)>,
}

/// One line of `undo`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Record {
    Name {
        dir: u64,
        name: FilePath,
        was: Was,
    },
    Attributes(Attributes),
    /// The content of `ino` is kept in `work` under `copy`.
    Content {
        ino: u64,
        copy: String,
    },
}

/// Where a generation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Length of `undo`.
    pub(crate) records: u64,
    /// Length of `origins`.
    pub(crate) origins: u64,
    /// Length of the journal of effects: who did what is on record behind it belongs to what came after.
    pub(crate) effects: u64,
    /// Number of the checkpoint; 0 for a generation that began because another process went on.
    pub(crate) number: u64,
}

impl Entry {
    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        let values = [self.records, self.origins, self.effects, self.number];
        for (place, value) in bytes.chunks_exact_mut(8).zip(values) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Entry> {
        let mut values = bytes.chunks_exact(8).map(|part| part.try_into().map(u64::from_le_bytes));
        let mut next = || values.next()?.ok();
        Some(Entry { records: next()?, origins: next()?, effects: next()?, number: next()? })
    }
}

/// The two files, open.
struct Files {
    entries: File,
    records: File,
}

/// What this process knows of the generation that goes on.
#[derive(Default)]
struct Seen {
    names: HashSet<(u64, OsString)>,
    attributes: HashSet<u64>,
    contents: HashSet<u64>,
    /// Objects that did not exist when it began: nothing of them need be kept.
    born: HashSet<u64>,
}

impl Seen {
    fn len(&self) -> usize {
        self.names.len() + self.attributes.len() + self.contents.len() + self.born.len()
    }
}

#[derive(Default)]
struct State {
    files: Option<Files>,
    seen: Seen,
    /// Number of the last checkpoint.
    number: u64,
    /// Another process kept something in this generation, and what is not known here.
    inherited: bool,
}

/// The undo log of one layer.
#[derive(Default)]
pub(crate) struct Undo {
    /// How many generations began; 0 as long as nothing need be kept.
    generation: AtomicU64,
    state: Mutex<State>,
    /// Content is written outside the table's lock; a checkpoint waits until no such write is under way.
    gate: RwLock<()>,
}

/// A cell of which the first change in a generation is kept.
pub(crate) enum Cell<'c> {
    Name(u64, &'c OsStr),
    Attributes(u64),
    Content(u64),
}

impl Undo {
    /// Reads what an earlier process left.
    pub(crate) fn open(dir: &OwnedFd) -> Result<Undo, Errno> {
        let undo = Undo::default();
        undo.load(dir)?;
        Ok(undo)
    }

    /// Reads the files anew.
    pub(crate) fn load(&self, dir: &OwnedFd) -> Result<(), Errno> {
        let mut state = self.lock();
        *state = State::default();
        self.generation.store(0, Ordering::SeqCst);
        let flags = OFlag::O_RDWR | OFlag::O_APPEND;
        let entries = match at::open_file(dir, OsStr::new(ENTRIES), flags, 0) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(errno),
        };
        let records = File::from(at::open_file(dir, OsStr::new(RECORDS), flags | OFlag::O_CREAT, 0o600)?);
        let known = whole_entries(&entries)?;
        let Some(last) = known.last() else { return Ok(()) };
        let end = whole_lines(&records, last.records)?;
        state.inherited = end > last.records;
        state.number = known.iter().map(|entry| entry.number).max().unwrap_or(0);
        state.files = Some(Files { entries, records });
        self.generation.store(u64::try_from(known.len()).unwrap_or(u64::MAX), Ordering::SeqCst);
        Ok(())
    }

    /// Whether there is a checkpoint that a change must not touch.
    pub(crate) fn is_on(&self) -> bool {
        self.generation() > 0
    }

    /// Which generation goes on; 0 before the first checkpoint.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Held while content is written.
    pub(crate) fn writing(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while a checkpoint is taken.
    pub(crate) fn at_rest(&self) -> RwLockWriteGuard<'_, ()> {
        self.gate.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a checkpoint, with the journal of effects as long as `effects`; its number.
    pub(crate) fn checkpoint(&self, dir: &OwnedFd, origins: &Origins, effects: u64) -> Result<u64, Errno> {
        let mut state = self.lock();
        if state.files.is_none() {
            state.files = Some(create_files(dir)?);
        }
        let number = state.number + 1;
        self.begin(&mut state, origins, effects, number)?;
        state.number = number;
        Ok(number)
    }

    fn begin(&self, state: &mut State, origins: &Origins, effects: u64, number: u64) -> Result<(), Errno> {
        let Some(files) = &state.files else { return Ok(()) };
        let entry = Entry { records: length(&files.records)?, origins: origins.size()?, effects, number };
        (&files.entries).write_all(&entry.encode()).map_err(|e| errno_of(&e))?;
        let seen = std::mem::take(&mut state.seen);
        if seen.len() > CLEAR_MAX {
            // Where no thread can be started it is dropped here, which is slower and no error.
            let _ = std::thread::Builder::new().spawn(move || drop(seen));
        }
        state.inherited = false;
        self.generation.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// What another process kept in this generation is not known here, nor what it made; so this one begins its own.
    fn own(&self, state: &mut State, origins: &Origins) -> Result<(), Errno> {
        if state.inherited { self.begin(state, origins, 0, 0) } else { Ok(()) }
    }

    /// Whether `cell` must be kept before it changes.
    pub(crate) fn wants(&self, cell: &Cell<'_>, origins: &Origins) -> Result<bool, Errno> {
        let mut state = self.lock();
        self.own(&mut state, origins)?;
        let seen = &state.seen;
        Ok(match cell {
            // A name in a directory that is new goes with its directory.
            Cell::Name(dir, name) => !seen.born.contains(dir) && !seen.names.contains(&(*dir, (*name).to_owned())),
            Cell::Attributes(ino) => !seen.born.contains(ino) && !seen.attributes.contains(ino),
            Cell::Content(ino) => !seen.born.contains(ino) && !seen.contents.contains(ino),
        })
    }

    /// Whether the object did not exist when this generation began.
    pub(crate) fn is_born(&self, ino: u64) -> bool {
        self.lock().seen.born.contains(&ino)
    }

    /// A new object has this inode number.
    pub(crate) fn born(&self, ino: u64, origins: &Origins) -> Result<(), Errno> {
        if self.is_on() {
            let mut state = self.lock();
            self.own(&mut state, origins)?;
            state.seen.born.insert(ino);
        }
        Ok(())
    }

    /// Writes down what a cell holds.
    pub(crate) fn append(&self, record: &Record) -> Result<(), Errno> {
        let mut line = serde_json::to_vec(record).map_err(|_| Errno::EIO)?;
        line.push(b'\n');
        let mut state = self.lock();
        let Some(files) = &state.files else { return Err(Errno::EBADF) };
        let before = length(&files.records)?;
        if let Err(error) = (&files.records).write_all(&line) {
            // Half a line would swallow the next one.
            let _ = files.records.set_len(before);
            return Err(errno_of(&error));
        }
        match record {
            Record::Name { dir, name, .. } => drop(state.seen.names.insert((*dir, name.as_os_str().to_owned()))),
            Record::Attributes(was) => drop(state.seen.attributes.insert(was.ino)),
            Record::Content { ino, .. } => drop(state.seen.contents.insert(*ino)),
        }
        Ok(())
    }

    /// Where the generations begin, oldest first.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>, Errno> {
        self.lock().files.as_ref().map_or(Ok(Vec::new()), |files| whole_entries(&files.entries))
    }

    /// What was kept from byte `from` of the log up to `to`, or to its end.
    pub(crate) fn records(&self, from: u64, to: Option<u64>) -> Result<Vec<Record>, Errno> {
        let state = self.lock();
        let Some(files) = &state.files else { return Ok(Vec::new()) };
        let end = to.map_or_else(|| length(&files.records), Ok)?;
        let bytes = read_range(&files.records, from, end)?;
        let lines = bytes.split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n"));
        lines.map(|line| serde_json::from_slice(line).map_err(|_| Errno::EUCLEAN)).collect()
    }

    /// Forgets what was kept from byte `records` on, and the generations behind the first `keep`.
    pub(crate) fn cut(&self, records: u64, keep: usize) -> Result<(), Errno> {
        let state = self.lock();
        let Some(files) = &state.files else { return Ok(()) };
        let entries = u64::try_from(keep * ENTRY_BYTES).map_err(|_| Errno::EFBIG)?;
        files.records.set_len(records).and_then(|()| files.entries.set_len(entries)).map_err(|e| errno_of(&e))
    }

    /// Forgets all checkpoints.
    pub(crate) fn remove(&self, dir: &OwnedFd) -> Result<(), Errno> {
        // Without entries the records say nothing any more.
        at::unlink_opt(dir, OsStr::new(ENTRIES))?;
        at::unlink_opt(dir, OsStr::new(RECORDS))?;
        self.load(dir)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn create_files(dir: &OwnedFd) -> Result<Files, Errno> {
    // Records without entries are those of checkpoints that were forgotten by a process that was killed over it.
    at::unlink_opt(dir, OsStr::new(RECORDS))?;
    let make = |name: &str| {
        let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_CREAT;
        at::open_file(dir, OsStr::new(name), flags, 0o600).map(File::from)
    };
    Ok(Files { records: make(RECORDS)?, entries: make(ENTRIES)? })
}

fn length(file: &File) -> Result<u64, Errno> {
    Ok(u64::try_from(nix::sys::stat::fstat(file)?.st_size).unwrap_or(0))
}

/// The entries that were written whole; half of one is cut off.
fn whole_entries(file: &File) -> Result<Vec<Entry>, Errno> {
    let bytes = read_range(file, 0, length(file)?)?;
    let entries: Vec<Entry> = bytes.chunks_exact(ENTRY_BYTES).filter_map(Entry::decode).collect();
    if bytes.len() % ENTRY_BYTES != 0 {
        let whole = u64::try_from(entries.len() * ENTRY_BYTES).unwrap_or(0);
        file.set_len(whole).map_err(|e| errno_of(&e))?;
    }
    Ok(entries)
}

/// Cuts off half a line at the end, looking no further back than `from`; the length that is left.
fn whole_lines(file: &File, from: u64) -> Result<u64, Errno> {
    let end = length(file)?;
    let bytes = read_range(file, from.min(end), end)?;
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let keep = from.min(end) + u64::try_from(whole).unwrap_or(0);
    if keep < end {
        file.set_len(keep).map_err(|e| errno_of(&e))?;
    }
    Ok(keep)
}

fn read_range(file: &File, from: u64, to: u64) -> Result<Vec<u8>, Errno> {
    let size = usize::try_from(to.saturating_sub(from)).map_err(|_| Errno::EFBIG)?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, from).map_err(|e| errno_of(&e))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_round_trips_and_half_of_one_is_none() {
        let entry = Entry { records: 1, origins: u64::MAX, effects: 7, number: 300 };
        assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        assert_eq!(Entry::decode(&entry.encode()[..28]), None);
    }

    #[test]
    fn a_record_round_trips_whatever_its_name() {
        use std::os::unix::ffi::OsStrExt as _;
        let record = Record::Name { dir: 7, name: FilePath::new(OsStr::from_bytes(b"a\n\xff\\")), was: Was::Object(9) };
        let line = serde_json::to_vec(&record).unwrap();
        assert!(!line.contains(&b'\n'));
        assert_eq!(serde_json::from_slice::<Record>(&line).unwrap(), record);
    }
}
