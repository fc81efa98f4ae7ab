//! The audit log: append-only JSON lines, each carrying the hash of all before it.
//!
//! The chain is over the exact bytes: `h(n) = SHA-256(h(n-1) || line(n))` with `h(-1)` all zero, the newline not
//! included; line n carries `prev = h(n-1)`. A line torn by a crash stays, is part of the chain like any other bytes,
//! and is reported by [`AuditLog::verify`]. The lines are the leaves of a Merkle tree, and checkpoints among them tell its
//! state and are sealed with a key that is erased afterwards ([`key`]). Every synced record has a checkpoint with it in the
//! same write(2), so that what becomes real is told by bytes that nobody can forge any more; records that are not synced
//! get one when the process ends, or with the next. The child can never reach the log: it lies in the hidden state
//! directory.

mod bound;
#[cfg(feature = "parquet")]
pub mod columns;
mod hash;
pub mod key;
mod line;
pub mod ocsf;
pub mod query;
mod redact;
mod segments;
mod tail;
mod verify;

use key::{Key, KeyFile};
use line::{Form, Header, Line, Written};
use model::{AuditRecord, FilePath, LeftOut, Stage, TrialId, hex, unhex};
use segments::{Segments, lines};
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tail::Tail;
pub use verify::{Fault, Verification};

/// Replaces the secrets in a document that is shown, as in a record; fields called `argv` are words of a command line. What
/// was found in one place of it is replaced in all.
pub fn without_secrets(document: &mut serde_json::Value) {
    redact::redact(document, |_| true);
}

/// Why the log could not be read or extended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// A system call failed.
    #[error("write the audit log {path}")]
    Io {
        /// The log.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A record could not be put into JSON.
    #[error("encode an audit record")]
    Encode(#[source] serde_json::Error),
    /// It could not be written in columns.
    #[cfg(feature = "parquet")]
    #[error("write Parquet")]
    Columns(#[source] ::parquet::errors::ParquetError),
    /// What was given is no key.
    #[error("verify the audit log: a key is 64 hexadecimal digits, as `belljar audit key` printed them")]
    NoKey,
    /// Nothing of such a trial was applied.
    #[error("there is no receipt of a trial {0}")]
    NoReceipt(String),
    /// Somebody changed it.
    #[error("the receipt of trial {0} is not the one that the audit log tells of")]
    OtherReceipt(TrialId),
    /// There was a key, and it is lost.
    #[error("set up a key: the audit log has seals of another one, which is not there any more")]
    SealedBefore,
    /// The newest complete line is no audit record.
    #[error("read the newest record of the audit log {path}: it is damaged")]
    Damaged {
        /// The log.
        path: String,
    },
}

impl AuditError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            AuditError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => Some(
                "nothing runs without its audit record: free some space, or set XDG_STATE_HOME to another disk".into(),
            ),
            AuditError::Encode(_) | AuditError::NoKey | AuditError::OtherReceipt(_) => None,
            #[cfg(feature = "parquet")]
            AuditError::Columns(_) => Some("what was written is no whole file: remove it, and export again".into()),
            AuditError::NoReceipt(_) => Some("one is written by each apply; `belljar audit log` lists them".into()),
            AuditError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                Some("there is one already; move the directory aside to begin a new log, and keep it".into())
            }
            AuditError::Io { .. } => {
                Some("nothing runs without its audit record: make the directory writable for you".into())
            }
            AuditError::SealedBefore => Some("move its directory aside to begin a new log, and keep it".into()),
            AuditError::Damaged { .. } => Some(
                "`belljar audit verify` says where; move its directory aside to begin a new log, and keep it".into(),
            ),
        }
    }
}

/// Whether a record must be on the disk before the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// fdatasync(2) before returning: what follows becomes real.
    Synced,
    /// fdatasync(2) before [`AuditLog::synced`] returns, for which all that matters waits. Until then nobody else appends.
    Awaited,
    /// Left to the kernel: it tells of something that has happened.
    Lazy,
}

/// When a segment is closed and the next one begun.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// It has so many bytes.
    pub bytes: u64,
    /// Its first line is so old.
    pub age: Duration,
}

impl Default for Rotation {
    fn default() -> Rotation {
        Rotation { bytes: 64 << 20, age: Duration::from_secs(24 * 60 * 60) }
    }
}

/// Lines after which a checkpoint is written at the latest.
const CHECKPOINT_LINES: u64 = 1024;

/// A record that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Hash over the whole log behind it, hexadecimal.
    pub head: String,
}

/// The log of one user.
#[derive(Debug)]
pub struct AuditLog {
    segments: Segments,
    key: KeyFile,
    rotation: Rotation,
    /// This process appended records since its last checkpoint.
    uncovered: AtomicBool,
    /// Where the log stood behind the last append of this process.
    last: Mutex<Option<Last>>,
    /// What was appended and is awaited.
    awaited: Mutex<Option<End>>,
}

/// The end of a file as this process left it. While it is as long as that nobody else has appended.
#[derive(Debug)]
struct Last {
    inode: u64,
    bytes: u64,
    tail: Tail,
}

impl AuditLog {
    /// The log in the state directory `state`; nothing is touched yet.
    #[must_use]
    pub fn new(state: &Path) -> AuditLog {
        AuditLog::rotating(state, Rotation::default())
    }

    /// [`AuditLog::new`] with segments of another size.
    #[must_use]
    pub fn rotating(state: &Path, rotation: Rotation) -> AuditLog {
        let dir = state.join("audit");
        let key = KeyFile::new(&dir);
        AuditLog {
            segments: Segments::new(dir),
            key,
            rotation,
            uncovered: AtomicBool::new(false),
            last: Mutex::new(None),
            awaited: Mutex::new(None),
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.segments.dir()
    }

    /// Appends one record. Secrets in it are replaced and what is too long is left out, both openly.
    ///
    /// # Errors
    /// When it could not be written whole, or (if asked for) not synced. Nothing may then become real.
    pub fn append(
        &self,
        trial: Option<&TrialId>,
        stage: Stage,
        durability: Durability,
    ) -> Result<Appended, AuditError> {
        let (stage, left_out) = bound::fit(stage).map_err(AuditError::Encode)?;
        let mut end = self.end()?;
        end.push(Written::new(&end.tail, trial, &left_out, &stage))?;
        let covers = durability != Durability::Lazy || end.tail.since >= CHECKPOINT_LINES;
        if covers {
            end.checkpoint()?;
        }
        self.write(&end)?;
        self.uncovered.store(!covers, Ordering::Relaxed);
        let appended = Appended { head: hex(&end.tail.head) };
        match durability {
            // A power cut may still take these lines. A key that was younger than what it leaves would look like a cut.
            Durability::Lazy => {}
            Durability::Synced => self.sync(&end)?,
            Durability::Awaited => *self.awaited.lock().unwrap_or_else(PoisonError::into_inner) = Some(end),
        }
        Ok(appended)
    }

    /// What was appended to be [awaited](Durability::Awaited) is on the disk.
    ///
    /// # Errors
    /// When it may not be. Nothing may then become real.
    pub fn synced(&self) -> Result<(), AuditError> {
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner).take();
        awaited.map_or(Ok(()), |end| self.sync(&end))
    }

    /// Sets up the key that seals checkpoints, and seals all that is there. The first key, which is nowhere on this
    /// machine any more when this returns; what it is good for is [`AuditLog::verify`].
    ///
    /// # Errors
    /// When there is a key already, or the log cannot be written: then there is none.
    pub fn set_up_key(&self) -> Result<String, AuditError> {
        let failed = |source| self.failed_at(self.key.path(), source);
        // The lock of the log is held: nobody seals with a key that is not there yet.
        let mut end = self.end()?;
        if end.tail.epoch.is_some() && end.key.is_none() {
            return Err(AuditError::SealedBefore);
        }
        let first = Key::random().map_err(failed)?;
        self.key.create(&first).map_err(failed)?;
        end.key = Some(first.clone());
        let sealed = end.checkpoint().and_then(|()| self.write(&end)).and_then(|()| self.sync(&end));
        if let Err(error) = sealed {
            self.key.remove().map_err(failed)?;
            return Err(error);
        }
        Ok(first.text())
    }

    /// Whether checkpoints are sealed with a key.
    ///
    /// # Errors
    /// When there is something in its place that is none.
    pub fn has_key(&self) -> Result<bool, AuditError> {
        Ok(self.key.load().map_err(|source| self.failed_at(self.key.path(), source))?.is_some())
    }

    /// Locks the log and finds its end; begins a new segment where it is time.
    fn end(&self) -> Result<End, AuditError> {
        // It holds the lock.
        self.synced()?;
        let mut file = self.segments.open().map_err(|source| self.failed(source))?;
        let mut tail = self.tail(&mut file).map_err(|source| self.failed(source))?;
        let mut segment = self.segments.number().map_err(|source| self.failed(source))?;
        if self.is_full(&mut file).map_err(|source| self.failed(source))? {
            self.segments.close(&file, segment).map_err(|source| self.failed(source))?;
            (file, tail, segment) = self.go_on(tail, segment).map_err(|source| self.failed(source))?;
        }
        if tail.is_damaged() {
            return Err(AuditError::Damaged { path: FilePath::from(self.segments.active().as_path()).to_string() });
        }
        let key = self.key.load().map_err(|source| self.failed_at(self.key.path(), source))?;
        let begins = segment > 0 && is_unopened(&mut file, &tail).map_err(|source| self.failed(source))?;
        let bytes = if tail.torn { b"\n".to_vec() } else { Vec::new() };
        let mut end = End { file, tail, key, segment, bytes };
        if begins {
            end.checkpoint()?;
        }
        Ok(end)
    }

    /// The segment behind the one with this number, where the log ended with `tail`, and the number it has. Between the end of
    /// the one and the lock of the other somebody else may have gone on: then the log ends elsewhere.
    fn go_on(&self, tail: Tail, closed: u64) -> io::Result<(File, Tail, u64)> {
        let mut file = self.segments.open()?;
        let number = self.segments.number()?;
        let tail = match number == closed + 1 && file.metadata()?.len() == 0 {
            true => Tail { torn: false, ..tail },
            false => Tail::read(&self.segments, &mut file)?,
        };
        Ok((file, tail, number))
    }

    fn tail(&self, file: &mut File) -> io::Result<Tail> {
        let (own, meta) = (self.last.lock().ok().and_then(|mut last| last.take()), file.metadata()?);
        match own.filter(|last| (last.inode, last.bytes) == (meta.ino(), meta.len())) {
            Some(last) => Ok(last.tail),
            None => Tail::read(&self.segments, file),
        }
    }

    fn is_full(&self, file: &mut File) -> io::Result<bool> {
        if file.metadata()?.len() >= self.rotation.bytes {
            return Ok(true);
        }
        let first = Header::of(&segments::beginning(file, HEADER_BYTES)?);
        let age_ms = first.map_or(0, |first| now_ms().saturating_sub(first.time_ms));
        Ok(u128::from(age_ms) >= self.rotation.age.as_millis())
    }

    /// One write(2) for all lines.
    fn write(&self, end: &End) -> Result<(), AuditError> {
        (&end.file).write_all(&end.bytes).map_err(|source| self.failed(source))?;
        if let (Ok(mut last), Ok(meta)) = (self.last.lock(), end.file.metadata()) {
            *last = Some(Last { inode: meta.ino(), bytes: meta.len(), tail: end.tail.clone() });
        }
        Ok(())
    }

    /// Where there is a key, it goes on to the next epoch, and the old one is gone.
    fn sync(&self, end: &End) -> Result<(), AuditError> {
        end.file.sync_data().map_err(|source| self.failed(source))?;
        if let Some(key) = &end.key {
            self.key.replace(key).map_err(|source| self.failed_at(self.key.path(), source))?;
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> AuditError {
        self.failed_at(&self.segments.active(), source)
    }

    fn failed_at(&self, path: &Path, source: io::Error) -> AuditError {
        AuditError::Io { path: FilePath::from(path).to_string(), source }
    }

    /// Hash over the whole log as it is now, hexadecimal.
    ///
    /// # Errors
    /// When its end cannot be read.
    pub fn head(&self) -> Result<String, AuditError> {
        self.synced()?;
        let mut file = self.segments.open().map_err(|source| self.failed(source))?;
        let tail = self.tail(&mut file).map_err(|source| self.failed(source))?;
        Ok(hex(&tail.head))
    }

    /// The newest receipt of the trials whose id begins so: which trial it was, and the receipt.
    ///
    /// # Errors
    /// When there is none, or it is not what the log says.
    pub fn receipt(&self, id: &str) -> Result<(TrialId, String), AuditError> {
        let mut newest = None;
        self.read(|record| {
            if let (Some(trial), Stage::Receipted { sha256 }) = (record.trial, record.stage)
                && trial.0.starts_with(id)
            {
                newest = Some((trial, sha256));
            }
        })?;
        let Some((trial, sha256)) = newest else { return Err(AuditError::NoReceipt(model::escape::text(id))) };
        let damaged = || AuditError::OtherReceipt(trial.clone());
        let text = crate::receipt::find(self, &trial, &sha256).map_err(|source| self.failed(source))?;
        Ok((trial.clone(), text.ok_or_else(damaged)?))
    }

    /// Calls `each` for every complete record, oldest first.
    ///
    /// # Errors
    /// When the log cannot be read. A log that does not exist yet is empty.
    pub fn read(&self, mut each: impl FnMut(AuditRecord)) -> Result<(), AuditError> {
        self.lines(|_, record| each(record))
    }

    /// [`AuditLog::read`] with the line that each record is.
    pub(crate) fn lines(&self, mut each: impl FnMut(&[u8], AuditRecord)) -> Result<(), AuditError> {
        self.synced()?;
        for (_, path, bytes) in self.segments.snapshot().map_err(|source| self.failed(source))? {
            let read = lines(&path, bytes, |text, _| {
                if let Ok(line) = serde_json::from_slice::<Line>(text) {
                    each(text, line.record);
                }
            });
            read.map_err(|source| self.failed_at(&path, source))?;
        }
        Ok(())
    }

    /// Recomputes the chain, the tree and, with the first key, the seals from the first byte.
    ///
    /// # Errors
    /// When the log cannot be read, or `key` is none. Tampering is no error but a finding.
    pub fn verify(&self, key: Option<&str>) -> Result<Verification, AuditError> {
        self.synced()?;
        let first = key.map(|text| unhex(text.trim()).map(Key::first).ok_or(AuditError::NoKey)).transpose()?;
        verify::verify(&self.segments, &self.key, first).map_err(|source| self.failed(source))
    }
}

/// Replaces the secrets in all texts of a document that is kept beside the log.
pub(crate) fn redacted(document: &mut serde_json::Value) {
    redact::redact(document, |_| true);
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        if self.uncovered.load(Ordering::Relaxed) {
            // Nothing is lost where this fails: the next checkpoint covers these lines too.
            let _ = self.end().and_then(|mut end| {
                end.checkpoint()?;
                self.write(&end)
            });
        }
    }
}

/// Whether a segment has no whole line yet: it is empty, or a crash cut its first one short.
fn is_unopened(file: &mut File, tail: &Tail) -> io::Result<bool> {
    let bytes = file.metadata()?.len();
    if bytes > 0 && tail.torn_lines == 0 {
        return Ok(false);
    }
    let all = segments::beginning(file, bytes)?;
    Ok(!all.split(|byte| *byte == b'\n').any(|line| matches!(Form::of(line), Form::Whole(_))))
}

/// Bytes in which the header of a line ends.
const HEADER_BYTES: u64 = 256;

/// The end of the log while its lock is held, and the lines that are to be written there.
struct End {
    file: File,
    tail: Tail,
    /// That of the next checkpoint, or an older one.
    key: Option<Key>,
    segment: u64,
    bytes: Vec<u8>,
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key is for no eye.
        f.debug_struct("End").field("tail", &self.tail).finish_non_exhaustive()
    }
}

impl End {
    fn push(&mut self, line: Written<'_, impl Serialize>) -> Result<(), AuditError> {
        let line = serde_json::to_vec(&line).map_err(AuditError::Encode)?;
        self.push_bytes(&line);
        Ok(())
    }

    fn push_bytes(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
        self.tail = std::mem::take(&mut self.tail).after(line, true);
    }

    fn checkpoint(&mut self) -> Result<(), AuditError> {
        let key = self.key.take().map(|key| key.forward(self.tail.epoch.map_or(0, |epoch| epoch + 1)));
        let stage = Stage::Checkpoint {
            segment: self.segment,
            lines: self.tail.tree.lines(),
            peaks: self.tail.tree.peaks(),
            epoch: key.as_ref().map(|key| key.epoch),
            seal: "0".repeat(64),
        };
        let mut line = serde_json::to_vec(&Written::new(&self.tail, None, &[], &stage)).map_err(AuditError::Encode)?;
        line::seal(&mut line, key.as_ref());
        self.push_bytes(&line);
        self.key = key.map(|key| key.next());
        Ok(())
    }
}

impl<'a, S> Written<'a, S> {
    fn new(tail: &Tail, trial: Option<&'a TrialId>, left_out: &'a [LeftOut], stage: S) -> Written<'a, S> {
        let uid = nix::unistd::Uid::current().as_raw();
        Written { prev: hex(&tail.head), seq: tail.next_seq, time_ms: now_ms(), uid, trial, left_out, stage }
    }
}

/// Milliseconds since the epoch; 0 on a clock set before it.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
