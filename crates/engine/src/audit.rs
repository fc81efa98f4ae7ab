//! The audit log: append-only JSON lines, each carrying the hash of all before it.
//!
//! The chain is over the exact bytes: `h(n) = SHA-256(h(n-1) || line(n))` with `h(-1)` all zero, the newline not
//! included; record n carries `prev = h(n-1)`. A line torn by a crash stays, is part of the chain like any other bytes,
//! and is reported by [`AuditLog::verify`]. The child can never reach the log: it lies in the hidden state directory.

use model::{AuditRecord, Stage, TrialId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

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
            AuditError::Io { .. } => {
                Some("nothing runs without its audit record: make the directory writable for you".into())
            }
            AuditError::Encode(_) => None,
            AuditError::Damaged { .. } => {
                Some("`belljar audit verify` says where; move the file aside to begin a new log, and keep it".into())
            }
        }
    }
}

/// Whether a record must be on the disk before the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// fdatasync(2) before returning: what follows becomes real.
    Synced,
    /// Left to the kernel: it tells of something that has happened.
    Lazy,
}

/// What [`AuditLog::verify`] found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Complete records.
    pub records: u64,
    /// Lines (counted from 1) that a crash cut short.
    pub torn: Vec<u64>,
    /// Lines (counted from 1) whose chain or number does not fit what stands before them.
    pub broken: Vec<u64>,
    /// Hash over the whole log, hexadecimal; keep it elsewhere to notice a cut tail.
    pub head: String,
}

#[derive(Serialize, Deserialize)]
struct Line {
    prev: String,
    #[serde(flatten)]
    record: AuditRecord,
}

/// The log of one user.
#[derive(Debug)]
pub struct AuditLog {
    path: PathBuf,
}

type Hash = [u8; 32];

impl AuditLog {
    /// The log in the state directory `state`; nothing is touched yet.
    #[must_use]
    pub fn new(state: &Path) -> AuditLog {
        AuditLog { path: state.join("audit/log.jsonl") }
    }

    /// Appends one record.
    ///
    /// # Errors
    /// When it could not be written whole, or (if asked for) not synced. Nothing may then become real.
    pub fn append(&self, trial: Option<&TrialId>, stage: Stage, durability: Durability) -> Result<(), AuditError> {
        let mut file = self.open().map_err(|source| self.failed(source))?;
        let tail = self.tail(&mut file)?;
        let record = AuditRecord {
            seq: tail.next_seq,
            time_ms: now_ms(),
            uid: nix::unistd::Uid::current().as_raw(),
            trial: trial.cloned(),
            stage,
        };
        let line = Line { prev: hex(&tail.head), record };
        let mut bytes = if tail.torn { b"\n".to_vec() } else { Vec::new() };
        serde_json::to_writer(&mut bytes, &line).map_err(AuditError::Encode)?;
        bytes.push(b'\n');
        self.write(&mut file, &bytes, durability).map_err(|source| self.failed(source))
    }

    fn write(&self, file: &mut File, bytes: &[u8], durability: Durability) -> io::Result<()> {
        file.write_all(bytes)?;
        match durability {
            Durability::Synced => file.sync_data(),
            Durability::Lazy => Ok(()),
        }
    }

    /// Opens the log and takes its lock, which the returned file holds.
    fn open(&self) -> io::Result<File> {
        if let Some(dir) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        file.lock()?;
        Ok(file)
    }

    fn failed(&self, source: io::Error) -> AuditError {
        AuditError::Io { path: model::FilePath::from(self.path.as_path()).to_string(), source }
    }

    /// Hash and number to go on from: read from the newest complete record, plus a torn line behind it if there is one.
    fn tail(&self, file: &mut File) -> Result<Tail, AuditError> {
        let mut end = file.metadata().map_err(|source| self.failed(source))?.len();
        let mut behind: Vec<Vec<u8>> = Vec::new();
        let mut torn = false;
        while end > 0 {
            let (start, line, complete) = line_before(file, end).map_err(|source| self.failed(source))?;
            torn |= !complete;
            // A line that parses is whole, even where the crash took its newline.
            if let Ok(parsed) = serde_json::from_slice::<Line>(&line) {
                let prev = unhex(&parsed.prev).ok_or_else(|| self.damaged())?;
                let head = behind.iter().rev().fold(chain(&prev, &line), |head, torn| chain(&head, torn));
                return Ok(Tail { head, next_seq: parsed.record.seq + 1, torn });
            }
            // Only a line that a crash cut short may be passed over, and at most one of them ends the file.
            if behind.len() >= TORN_LINES_MAX {
                return Err(self.damaged());
            }
            behind.push(line);
            end = start;
        }
        let head = behind.iter().rev().fold([0; 32], |head, torn| chain(&head, torn));
        Ok(Tail { head, next_seq: 0, torn })
    }

    fn damaged(&self) -> AuditError {
        AuditError::Damaged { path: model::FilePath::from(self.path.as_path()).to_string() }
    }

    /// Calls `each` for every complete record, oldest first.
    ///
    /// # Errors
    /// When the log cannot be read. A log that does not exist yet is empty.
    pub fn read(&self, mut each: impl FnMut(AuditRecord)) -> Result<(), AuditError> {
        self.lines(|line| {
            if let Ok(line) = serde_json::from_slice::<Line>(line) {
                each(line.record);
            }
        })
    }

    /// Recomputes the chain from the first byte.
    ///
    /// # Errors
    /// When the log cannot be read. Tampering is no error but a finding.
    pub fn verify(&self) -> Result<Verification, AuditError> {
        let mut found = Verification { records: 0, torn: Vec::new(), broken: Vec::new(), head: String::new() };
        let mut head: Hash = [0; 32];
        let mut number = 0;
        self.lines(|line| {
            number += 1;
            match serde_json::from_slice::<Line>(line) {
                Ok(parsed) if parsed.prev == hex(&head) && parsed.record.seq == found.records => found.records += 1,
                Ok(_) => {
                    found.records += 1;
                    found.broken.push(number);
                }
                Err(_) => found.torn.push(number),
            }
            head = chain(&head, line);
        })?;
        found.head = hex(&head);
        Ok(found)
    }

    fn lines(&self, mut each: impl FnMut(&[u8])) -> Result<(), AuditError> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(|source| self.failed(source))?,
        };
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).map_err(|source| self.failed(source))? > 0 {
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            each(&line);
            line.clear();
        }
        Ok(())
    }
}

/// Crashes in a row that may each have left half a line, with nothing complete between them.
const TORN_LINES_MAX: usize = 64;

struct Tail {
    head: Hash,
    next_seq: u64,
    /// The file does not end in a newline.
    torn: bool,
}

/// The line that ends at `end`: its start, its bytes without the newline, and whether it had one.
fn line_before(file: &mut File, end: u64) -> io::Result<(u64, Vec<u8>, bool)> {
    // Most records are short; a long one is reached in a few larger steps.
    let mut chunk_bytes: u64 = 4 << 10;
    let mut bytes: Vec<u8> = Vec::new();
    let mut start = end;
    loop {
        let from = start.saturating_sub(chunk_bytes);
        chunk_bytes = chunk_bytes.saturating_mul(2);
        let mut chunk = vec![0; usize::try_from(start - from).unwrap_or(0)];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut chunk)?;
        chunk.append(&mut bytes);
        bytes = chunk;
        start = from;
        let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let complete = body.len() < bytes.len();
        if let Some(newline) = body.iter().rposition(|byte| *byte == b'\n') {
            let line = body.get(newline + 1..).unwrap_or_default().to_vec();
            return Ok((start + newline as u64 + 1, line, complete));
        }
        if start == 0 {
            return Ok((0, body.to_vec(), complete));
        }
    }
}

fn chain(prev: &Hash, line: &[u8]) -> Hash {
    Sha256::new().chain_update(prev).chain_update(line).finalize().into()
}

fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Hash> {
    let mut hash: Hash = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

/// Milliseconds since the epoch; 0 on a clock set before it.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(records: usize) -> (tempfile::TempDir, AuditLog) {
        let dir = tempfile::tempdir().unwrap();
        let log = AuditLog::new(dir.path());
        for n in 0..records {
            let stage = Stage::Failed { error: format!("no. {n}") };
            log.append(None, stage, Durability::Lazy).unwrap();
        }
        (dir, log)
    }

    #[test]
    fn an_untouched_log_verifies() {
        let (_dir, log) = log(20);
        let found = log.verify().unwrap();
        assert_eq!((found.records, found.torn.len(), found.broken.len()), (20, 0, 0));
    }

    #[test]
    fn every_edit_drop_swap_and_duplication_is_found() {
        let (_dir, log) = log(12);
        let text = fs::read_to_string(&log.path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let head = log.verify().unwrap().head;
        for at in 0..lines.len() {
            let mut edited = lines.clone();
            let changed = edited[at].replace("no.", "NO.");
            edited[at] = &changed;
            let mut dropped = lines.clone();
            dropped.remove(at);
            let mut swapped = lines.clone();
            swapped.swap(at, (at + 1) % lines.len());
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at]);
            for tampered in [edited, dropped, swapped, doubled] {
                fs::write(&log.path, tampered.join("\n") + "\n").unwrap();
                let found = log.verify().unwrap();
                let last_only = at + 1 >= lines.len();
                assert!(found.head != head, "the head shows it");
                assert!(last_only || !found.broken.is_empty(), "line {at} shows it");
            }
        }
    }

    #[test]
    fn a_torn_line_is_kept_reported_and_chained_over() {
        let (_dir, log) = log(3);
        let whole = fs::read(&log.path).unwrap();
        for cut in 1..40 {
            fs::write(&log.path, &whole[..whole.len() - cut]).unwrap();
            log.append(None, Stage::Failed { error: "after".into() }, Durability::Synced).unwrap();
            let found = log.verify().unwrap();
            assert_eq!(found.broken, Vec::<u64>::new(), "cut {cut}");
            assert_eq!(found.records + found.torn.len() as u64, 4, "cut {cut}");
        }
    }

    #[test]
    fn a_long_line_is_read_back() {
        let (_dir, log) = log(1);
        let long = Stage::Failed { error: "x".repeat(300_000) };
        log.append(None, long, Durability::Lazy).unwrap();
        log.append(None, Stage::Failed { error: "y".into() }, Durability::Lazy).unwrap();
        let found = log.verify().unwrap();
        assert_eq!((found.records, found.broken.len()), (3, 0));
    }
}
