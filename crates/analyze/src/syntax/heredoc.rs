//! Here-documents: the bodies are read where the line ends that announces them.

use super::ast::{Part, QuoteStyle, Word};
use super::cursor::{ProblemKind, Reader};
use super::word::Inside;
use std::cell::OnceCell;
use std::rc::Rc;

/// A here-document that was announced and not read yet.
pub(super) struct Pending {
    pub(super) delimiter: String,
    /// A quoted delimiter: nothing in the body is expanded.
    pub(super) verbatim: bool,
    /// `<<-`: leading tabs do not count.
    pub(super) strip_tabs: bool,
    pub(super) body: Rc<OnceCell<Word>>,
}

impl Reader<'_> {
    /// Reads the bodies that wait, from the start of a line.
    pub(super) fn here_documents(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            self.here_document(&pending);
        }
    }

    /// Notes the here-documents that will never get a body.
    pub(super) fn forget_here_documents(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            let (start, end) = (self.pos, self.pos);
            self.problem(ProblemKind::Incomplete, start, "a here-document has no body");
            let span = self.span(start, end);
            // A fresh cell: it is set once, here or in `here_document`.
            let _ = pending.body.set(Word { parts: Vec::new(), span });
        }
    }

    fn here_document(&mut self, pending: &Pending) {
        let start = self.pos;
        let end = loop {
            if self.pos >= self.end {
                self.problem(ProblemKind::Incomplete, start, "a here-document does not end");
                break self.pos;
            }
            let line_start = self.pos;
            let line = self.document_line(pending.verbatim);
            let line = if pending.strip_tabs { line.trim_start_matches('\t') } else { &line };
            if line == pending.delimiter {
                break line_start;
            }
        };
        let parts = self.document_parts(pending, start, end);
        let span = self.span(start, end);
        // A fresh cell: it is set once, here or in `forget_here_documents`.
        let _ = pending.body.set(Word { parts, span });
        self.last = self.pos;
    }

    /// The next line without its newline; continued lines are one line unless the body is verbatim.
    fn document_line(&mut self, verbatim: bool) -> String {
        let mut line = String::new();
        loop {
            let rest = self.rest();
            let (text, ended) = match rest.split_once('\n') {
                Some((text, _)) => (text, true),
                None => (rest, false),
            };
            self.pos += text.len() + usize::from(ended);
            let continued = ended && !verbatim && trailing_backslashes(text) % 2 == 1;
            if !continued {
                line.push_str(text);
                return line;
            }
            line.push_str(text.strip_suffix('\\').unwrap_or(text));
        }
    }

    fn document_parts(&mut self, pending: &Pending, start: usize, end: usize) -> Vec<Part> {
        if pending.verbatim {
            return vec![Part::Quoted(self.slice(start, end).to_owned(), QuoteStyle::Single)];
        }
        let waiting = std::mem::take(&mut self.pending);
        let parts = self.within(start, end, |reader| reader.inside(Inside::Document));
        self.pending = waiting;
        vec![Part::Double(parts)]
    }
}

fn trailing_backslashes(text: &str) -> usize {
    text.bytes().rev().take_while(|byte| *byte == b'\\').count()
}
