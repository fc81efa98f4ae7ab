//! Where the log stands: what an append goes on from.

use super::hash::{Hash, Tree, chain};
use super::line::{Form, Sealed};
use super::segments::{Segments, line_before, lines};
use std::fs::File;
use std::io;

/// Lines that are looked back for a checkpoint before the whole log is read. Only logs of versions without checkpoints
/// have more.
const BACK_MAX: usize = 4 * super::CHECKPOINT_LINES as usize;

/// Crashes in a row that may each have left half a line, with nothing complete between them.
const TORN_LINES_MAX: usize = 64;

/// The state behind the last line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    pub(crate) head: Hash,
    pub(crate) next_seq: u64,
    pub(crate) tree: Tree,
    /// Epoch of the newest sealed checkpoint.
    pub(crate) epoch: Option<u64>,
    /// Lines behind the newest checkpoint.
    pub(crate) since: u64,
    /// The file does not end in a newline.
    pub(crate) torn: bool,
    /// Torn lines in a row at the end.
    pub(crate) torn_lines: usize,
}

impl Tail {
    /// Reads the end of the log, of which the caller holds the lock.
    pub(crate) fn read(segments: &Segments, active: &mut File) -> io::Result<Tail> {
        let mut end = active.metadata()?.len();
        let mut behind: Vec<(Vec<u8>, bool)> = Vec::new();
        while end > 0 && behind.len() < BACK_MAX {
            let (start, line, complete) = line_before(active, end)?;
            let found = checkpoint(&line);
            behind.push((line, complete));
            if let Some((prev, sealed)) = found {
                let from = Tail { head: prev, tree: sealed.tree, ..Tail::default() };
                return Ok(behind.iter().rev().fold(from, |tail, (line, complete)| tail.after(line, *complete)));
            }
            end = start;
        }
        Tail::from_the_start(segments)
    }

    /// Reads all of a log. Each segment but the first begins with a checkpoint, so that this is rare.
    fn from_the_start(segments: &Segments) -> io::Result<Tail> {
        let mut tail = Tail::default();
        let closed = segments.closed()?.into_iter().map(|(_, path)| path);
        for path in closed.chain([segments.active()]) {
            let bytes = path.metadata()?.len();
            lines(&path, bytes, |line, complete| tail = std::mem::take(&mut tail).after(line, complete))?;
        }
        // A segment that was closed at a torn line ends there; the new one is empty and needs no newline.
        tail.torn &= segments.active().metadata()?.len() > 0;
        Ok(tail)
    }

    /// With one more line.
    pub(crate) fn after(mut self, line: &[u8], complete: bool) -> Tail {
        self.torn = !complete;
        self.since += 1;
        match Form::of(line) {
            // A line that is whole counts, even where the crash took its newline.
            Form::Whole(header) => {
                self.next_seq = header.seq.saturating_add(1);
                self.torn_lines = 0;
                if let Some(sealed) =
                    Some(header).filter(|header| header.is_checkpoint()).and_then(|_| Sealed::of(line))
                {
                    self.since = 0;
                    self.epoch = sealed.epoch.or(self.epoch);
                }
            }
            Form::Torn | Form::Foreign => self.torn_lines += 1,
        }
        self.head = chain(&self.head, line);
        self.tree.push(line);
        self
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.torn_lines > TORN_LINES_MAX
    }
}

fn checkpoint(line: &[u8]) -> Option<(Hash, Sealed)> {
    match Form::of(line) {
        Form::Whole(header) if header.is_checkpoint() => Some((header.prev()?, Sealed::of(line)?)),
        _ => None,
    }
}
