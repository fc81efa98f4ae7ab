//! Verifying: every line of every segment against all before it, and every checkpoint against the lines and the key.

use super::hash::{Hash, Tree, chain};
use super::key::{Key, KeyFile};
use super::line::{Form, Header, Sealed};
use super::segments::{Segments, lines};
use model::{FilePath, hex};
use serde::Serialize;
use std::io;
use std::path::Path;

/// What [`crate::AuditLog::verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Complete records, without the log's own checkpoints.
    pub records: u64,
    /// Lines (counted from 1, over all segments) that a crash cut short.
    pub torn: Vec<u64>,
    /// Lines (counted from 1, over all segments) that do not fit what stands before them; the first thousand.
    pub broken: Vec<u64>,
    /// Hash over the whole log, hexadecimal; keep it elsewhere to notice a cut tail.
    pub head: String,
    /// Files.
    pub segments: u64,
    /// Lines in all of them.
    pub lines: u64,
    /// Root of the Merkle tree over all lines, hexadecimal.
    pub root: String,
    /// Checkpoints.
    pub checkpoints: u64,
    /// How many of them a key has sealed.
    pub sealed: u64,
    /// Whether the seals were checked: the first key was given.
    pub seals_checked: bool,
    /// Lines behind the last checkpoint.
    pub uncovered: u64,
    /// What is wrong, the first hundred in words.
    pub faults: Vec<Fault>,
}

/// Something that is not as we left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file; escaped.
    pub file: String,
    /// The line in that file, counted from 1; 0 for the file as a whole.
    pub line: u64,
    /// What is wrong, in plain words.
    pub what: String,
}

const BROKEN_MAX: usize = 1000;
const FAULTS_MAX: usize = 100;

impl Verification {
    /// Whether everything is as we left it. A torn line is.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.broken.is_empty() && self.faults.is_empty()
    }
}

/// The state of a verification between two lines.
#[derive(Clone, Debug)]
pub(crate) struct Verifier {
    found: Verification,
    head: Hash,
    head_text: [u8; 64],
    tree: Tree,
    /// Records and checkpoints.
    seq: u64,
    segment: u64,
    /// Nothing but torn lines in this segment yet.
    at_start: bool,
    file: String,
    line: u64,
    /// The key of the newest sealed checkpoint, or the first; `None`: seals are not checked.
    key: Option<Key>,
    epoch: Option<u64>,
}

impl Verifier {
    pub(crate) fn new(key: Option<Key>) -> Verifier {
        Verifier {
            found: Verification { seals_checked: key.is_some(), ..Verification::default() },
            head: [0; 32],
            head_text: [b'0'; 64],
            tree: Tree::default(),
            seq: 0,
            segment: 0,
            at_start: false,
            file: String::new(),
            line: 0,
            key,
            epoch: None,
        }
    }

    /// The lines that follow are those of this file.
    pub(crate) fn begin(&mut self, number: u64, path: &Path) {
        self.file = FilePath::from(path).to_string();
        self.line = 0;
        if number != self.found.segments {
            self.fault("a segment before this one is missing");
        }
        self.found.segments += 1;
        self.segment = number;
        self.at_start = number > 0;
    }

    /// The next line, without its newline.
    pub(crate) fn line(&mut self, line: &[u8]) {
        self.line += 1;
        self.found.lines += 1;
        match Form::of(line) {
            Form::Whole(header) => self.record(&header, line),
            Form::Torn => self.torn(line),
            Form::Foreign => self.broken("is no record"),
        }
        self.head = chain(&self.head, line);
        self.head_text = text(&self.head);
        self.tree.push(line);
    }

    fn torn(&mut self, line: &[u8]) {
        self.found.uncovered += 1;
        self.found.torn.push(self.found.lines);
        // What is left of the hash must be that of the lines before.
        let prev = line.get(b"{\"prev\":\"".len()..).unwrap_or_default();
        if prev.iter().zip(&self.head_text).any(|(is, should)| is != should && *is != 0) {
            self.broken("was cut short, and what is left of it does not follow from the lines before it");
        }
    }

    fn record(&mut self, header: &Header, line: &[u8]) {
        if header.prev != self.head_text || header.seq != self.seq {
            self.broken("does not follow from the lines before it");
        }
        self.seq += 1;
        if header.is_checkpoint() {
            self.found.checkpoints += 1;
            self.found.uncovered = 0;
            match Sealed::of(line) {
                Some(sealed) => self.checkpoint(&sealed, line),
                None => self.broken("is no checkpoint as we write them"),
            }
        } else {
            self.found.records += 1;
            self.found.uncovered += 1;
            if self.at_start {
                self.broken("begins a segment and is no checkpoint");
            }
        }
        self.at_start = false;
    }

    fn checkpoint(&mut self, sealed: &Sealed, line: &[u8]) {
        if sealed.tree != self.tree {
            self.broken("is a checkpoint over other lines than those before it");
        }
        if sealed.segment != self.segment {
            self.broken("is a checkpoint of another segment");
        }
        let Some(epoch) = sealed.epoch else {
            if self.epoch.is_some() {
                self.broken("is a checkpoint without a key, after others that had one");
            } else if !sealed.is_plain(line) {
                self.broken("is a checkpoint whose digest is not its own");
            }
            return;
        };
        self.found.sealed += 1;
        if epoch != self.epoch.map_or(0, |before| before + 1) {
            self.broken("is a checkpoint that does not continue the epochs of those before it");
        }
        self.epoch = Some(epoch);
        // A made-up number must not make us count to it.
        let key = self.key.take().map(|key| key.forward(epoch.min(self.found.sealed)));
        if key.as_ref().is_some_and(|key| !sealed.is_sealed_by(key, line)) {
            self.broken("is a checkpoint that its key has not sealed");
        }
        self.key = key;
    }

    /// The key that lies beside the log says how many checkpoints there must be at least.
    pub(crate) fn key_beside(&mut self, present: Option<&Key>, path: &Path) {
        self.file = FilePath::from(path).to_string();
        self.line = 0;
        let sealed = self.epoch.map_or(0, |epoch| epoch + 1);
        match (present, &self.key) {
            (None, Some(_)) => self.fault("the key beside the log is missing"),
            (None, None) if sealed > 0 => self.fault("the key beside the log is missing"),
            (Some(present), _) if present.epoch > sealed => {
                self.fault("the key is of a later epoch than the last checkpoint: the end of the log was cut off");
            }
            (Some(present), Some(first)) if self.seals_checked_against(first, present) => {}
            (Some(_), Some(_)) => self.fault("the key beside the log does not come from the first key"),
            (_, None) => {}
        }
    }

    /// Whether the key beside the log, which is of no later epoch than the next, leads to the one we have come to.
    fn seals_checked_against(&self, reached: &Key, present: &Key) -> bool {
        let epoch = reached.epoch.max(present.epoch);
        reached.clone().forward(epoch) == present.clone().forward(epoch)
    }

    pub(crate) fn finish(mut self) -> Verification {
        self.found.head = hex(&self.head);
        self.found.root = hex(&self.tree.root());
        self.found
    }

    /// What was found so far.
    #[cfg(test)]
    pub(crate) fn so_far(&self) -> &Verification {
        &self.found
    }

    fn broken(&mut self, what: &str) {
        let number = self.found.lines;
        if self.found.broken.len() < BROKEN_MAX && self.found.broken.last() != Some(&number) {
            self.found.broken.push(number);
        }
        self.fault(what);
    }

    fn fault(&mut self, what: &str) {
        if self.found.faults.len() < FAULTS_MAX {
            self.found.faults.push(Fault { file: self.file.clone(), line: self.line, what: what.to_owned() });
        }
    }
}

fn text(hash: &Hash) -> [u8; 64] {
    let mut text = [b'0'; 64];
    for (pair, byte) in text.chunks_mut(2).zip(hash) {
        for (place, value) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *place = if value < 10 { b'0' + value } else { b'a' + value - 10 };
        }
    }
    text
}

/// Verifies all segments as they are now.
pub(crate) fn verify(segments: &Segments, key_file: &KeyFile, first: Option<Key>) -> io::Result<Verification> {
    let mut verifier = Verifier::new(first);
    // Read before the log: what is appended meanwhile makes the key older than the log, never younger.
    let beside = key_file.load();
    for (number, path, bytes) in segments.snapshot()? {
        verifier.begin(number, &path);
        lines(&path, bytes, |line, _| verifier.line(line))?;
    }
    match &beside {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            verifier.key_beside(None, key_file.path());
            verifier.fault("the key beside the log is none");
        }
        _ => {
            let present = beside?;
            verifier.key_beside(present.as_ref(), key_file.path());
        }
    }
    Ok(verifier.finish())
}
