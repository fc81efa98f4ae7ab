//! The reader's position in the text: bytes with line continuations taken out, bounded depth and node count.

use super::heredoc::Pending;
use crate::limits::{DEPTH_MAX, NODES_MAX};
use model::Span;

/// How positions in the text that is read relate to the text that is analysed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Base {
    /// The text stands at this offset.
    At(usize),
    /// The text was computed (unescaped, expanded); everything in it points to this span.
    Fixed(Span),
}

/// What kind of trouble the reader had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    /// Something is missing: a quote, a bracket, a here-document's end, a command after an operator.
    Incomplete,
    /// Something stands where bash does not accept it.
    Unexpected,
    /// A form of a newer or differently set bash that this reader does not follow.
    Unsupported,
}

/// A place the reader could not follow.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) kind: ProblemKind,
    pub(crate) span: Span,
    pub(crate) what: &'static str,
}

/// What reading brought up besides the structure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    pub(crate) problems: Vec<Problem>,
    /// Backslash-newline inside a word or an operator: the eye sees two words, bash one.
    pub(crate) splices: Vec<Span>,
    /// Comments, for checks that compare what is seen with what is run.
    pub(crate) comments: Vec<Span>,
    /// A bound was hit; the rest was not read.
    pub(crate) exhausted: bool,
    /// Nodes of the structure that were read.
    pub(crate) nodes: usize,
}

/// A recursive-descent reader over one text.
pub(crate) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) pos: usize,
    pub(super) end: usize,
    /// End of the last byte that was consumed, before any continuation behind it.
    pub(super) last: usize,
    base: Base,
    depth: usize,
    nodes: usize,
    pub(super) pending: Vec<Pending>,
    /// Substitutions that are open here.
    pub(super) substitutions: usize,
    /// A here-document was announced in them.
    pub(super) document_inside: bool,
    pub(super) notes: Notes,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, base: Base) -> Reader<'a> {
        Reader {
            text,
            pos: 0,
            end: text.len(),
            last: 0,
            base,
            depth: 0,
            nodes: 0,
            pending: Vec::new(),
            substitutions: 0,
            document_inside: false,
            notes: Notes::default(),
        }
    }

    pub(super) fn into_notes(self) -> Notes {
        Notes { nodes: self.nodes, ..self.notes }
    }

    /// The span of `start..end` in the analysed text.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        match self.base {
            Base::At(offset) => Span::new(offset + start, offset + end.max(start)),
            Base::Fixed(span) => span,
        }
    }

    #[inline]
    pub(super) fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or("")
    }

    /// What is left, as it stands, continuations included.
    #[inline]
    pub(super) fn rest(&self) -> &'a str {
        self.slice(self.pos, self.end)
    }

    /// The next byte as it stands.
    #[inline]
    pub(super) fn raw(&self) -> Option<u8> {
        if self.pos < self.end { self.text.as_bytes().get(self.pos).copied() } else { None }
    }

    /// The next byte after taking out line continuations.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        while self.raw() == Some(b'\\') && self.rest().starts_with("\\\n") {
            self.pos += 2;
        }
        self.raw()
    }

    /// Consumes the next character.
    pub(super) fn bump(&mut self) -> Option<char> {
        self.peek();
        self.bump_raw()
    }

    /// Consumes the next character as it stands.
    #[inline]
    pub(super) fn bump_raw(&mut self) -> Option<char> {
        let c = match self.raw() {
            Some(byte) if byte.is_ascii() => char::from(byte),
            _ => self.rest().chars().next()?,
        };
        self.pos += c.len_utf8();
        self.last = self.pos;
        Some(c)
    }

    /// Consumes `what` if it comes next. A continuation inside it is noted.
    pub(super) fn eat(&mut self, what: &str) -> bool {
        let (pos, last) = (self.pos, self.last);
        self.peek();
        let start = self.pos;
        for byte in what.bytes() {
            if self.peek() != Some(byte) {
                (self.pos, self.last) = (pos, last);
                return false;
            }
            self.bump_raw();
        }
        if self.pos - start > what.len() {
            let span = self.span(start, self.pos);
            self.notes.splices.push(span);
        }
        true
    }

    /// Whether `what` comes next.
    pub(super) fn at(&mut self, what: &str) -> bool {
        let saved = (self.pos, self.last);
        let found = what.bytes().all(|byte| {
            let here = self.peek() == Some(byte);
            self.pos += usize::from(here);
            here
        });
        (self.pos, self.last) = saved;
        found
    }

    pub(super) fn problem(&mut self, kind: ProblemKind, start: usize, what: &'static str) {
        let span = self.span(start, self.pos.max(start));
        self.notes.problems.push(Problem { kind, span, what });
    }

    /// Runs `read` one level deeper; at the bound the rest of the text is given up and noted.
    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.nodes += 1;
        if self.depth >= DEPTH_MAX || self.nodes >= NODES_MAX {
            self.notes.exhausted = true;
            self.pos = self.end;
            return None;
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        Some(value)
    }

    /// Counts a node of the structure; at the bound the rest of the text is given up and noted.
    pub(super) fn count(&mut self) {
        self.nodes += 1;
        if self.nodes >= NODES_MAX {
            self.notes.exhausted = true;
            self.pos = self.end;
        }
    }

    /// Runs `read` on `start..end` alone and comes back to where it was.
    pub(super) fn within<T>(&mut self, start: usize, end: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        let saved = (self.pos, self.last, self.end);
        (self.pos, self.last, self.end) = (start, start, end);
        let value = read(self);
        if !self.notes.exhausted {
            (self.pos, self.last) = (saved.0, saved.1);
        }
        self.end = saved.2;
        value
    }

    /// Reads `text` (computed, so not part of this reader's text) with the same bounds; its positions become `span`.
    pub(super) fn nested<T>(&mut self, text: &str, span: Span, read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
        let mut inner = Reader::new(text, Base::Fixed(span));
        inner.depth = self.depth;
        inner.nodes = self.nodes;
        let value = read(&mut inner);
        self.nodes = inner.nodes;
        let notes = inner.into_notes();
        self.notes.problems.extend(notes.problems);
        self.notes.exhausted |= notes.exhausted;
        value
    }
}
