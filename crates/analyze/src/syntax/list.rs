//! Lists and pipelines: what joins commands.

use super::ast::{Entry, Joint, Kind, List, Pipeline};
use super::cursor::{ProblemKind, Reader};
use super::word::is_meta;

/// Words that are special where a command may start.
pub(super) const RESERVED: &[&str] = &[
    "!", "{", "}", "[[", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "function", "if",
    "select", "then", "time", "until", "while",
];

/// Length of the longest of them.
const RESERVED_BYTES_MAX: usize = 8;

/// Reserved words that end a list.
const CLOSERS: &[&str] = &["}", "do", "done", "elif", "else", "esac", "fi", "then"];

impl Reader<'_> {
    /// The whole text; what cannot stand where it stands is noted and passed over.
    pub(super) fn program(&mut self) -> List {
        let mut all = List::default();
        loop {
            let mut part = self.list();
            all.entries.append(&mut part.entries);
            if self.peek().is_none() {
                break;
            }
            self.problem(ProblemKind::Unexpected, self.pos, "this cannot stand here");
            self.skip_token();
        }
        self.forget_here_documents();
        all
    }

    /// Passes over one operator byte or word, so that reading always goes on.
    pub(super) fn skip_token(&mut self) {
        if self.peek().is_some_and(is_meta) || self.word().is_none() {
            self.bump();
        }
    }

    /// Pipelines up to something that ends a list.
    pub(super) fn list(&mut self) -> List {
        let mut list = List::default();
        loop {
            self.blanks_and_newlines();
            if self.at_list_end() {
                return list;
            }
            let Some(pipeline) = self.pipeline() else { return list };
            let joint = self.joint();
            list.entries.push(Entry { pipeline, joint: joint.unwrap_or(Joint::Next) });
            match joint {
                None => return list,
                Some(Joint::And | Joint::Or) => self.expect_more("a command is missing after an operator"),
                Some(Joint::Next | Joint::Background) => {}
            }
        }
    }

    /// After an operator: newlines may follow, but a command must.
    fn expect_more(&mut self, what: &'static str) {
        let start = self.last.saturating_sub(2);
        self.blanks_and_newlines();
        if self.at_list_end() {
            self.problem(ProblemKind::Incomplete, start, what);
        }
    }

    fn joint(&mut self) -> Option<Joint> {
        self.blanks();
        match self.peek()? {
            b'\n' => {
                self.newline();
                Some(Joint::Next)
            }
            b';' if !self.at(";;") && !self.at(";&") => {
                let start = self.pos;
                self.bump_raw();
                if self.document_inside {
                    self.behind_document(start);
                }
                Some(Joint::Next)
            }
            b'&' if self.eat("&&") => Some(Joint::And),
            b'&' => {
                self.bump_raw();
                Some(Joint::Background)
            }
            b'|' if self.eat("||") => Some(Joint::Or),
            _ => None,
        }
    }

    /// Bash 5.2 prints the commands of a substitution and reads them anew. Behind a here-document it forgets a `;`.
    fn behind_document(&mut self, start: usize) {
        self.blanks_and_newlines();
        if !self.at_list_end() {
            self.problem(ProblemKind::Unsupported, start, "commands behind a here-document in a substitution");
        }
    }

    fn at_list_end(&mut self) -> bool {
        match self.peek() {
            None | Some(b')') => true,
            Some(b';') => self.at(";;") || self.at(";&"),
            Some(_) => self.reserved().is_some_and(|word| CLOSERS.contains(&word)),
        }
    }

    /// The reserved word that comes next, if one does; nothing is consumed.
    pub(super) fn reserved(&mut self) -> Option<&'static str> {
        let first = self.peek()?;
        if !(first.is_ascii_lowercase() || matches!(first, b'!' | b'{' | b'}' | b'[')) {
            return None;
        }
        let bytes = self.rest().as_bytes();
        let length = bytes
            .iter()
            .position(|byte| !(byte.is_ascii_lowercase() || matches!(byte, b'!' | b'{' | b'}' | b'[')))
            .unwrap_or(bytes.len());
        // A continuation may stand inside the word or behind it; without one there is at most one word it can be.
        if bytes.get(length) != Some(&b'\\') {
            let word = bytes.get(..length).unwrap_or(&[]);
            let known = length <= RESERVED_BYTES_MAX && RESERVED.iter().any(|reserved| reserved.as_bytes() == word);
            if !known {
                return None;
            }
        }
        let saved = (self.pos, self.last);
        let found = RESERVED.iter().copied().find(|word| {
            (self.pos, self.last) = saved;
            self.at(word) && {
                let splices = self.notes.splices.len();
                self.eat(word);
                self.notes.splices.truncate(splices);
                self.peek().is_none_or(is_meta) && !self.at("<(") && !self.at(">(")
            }
        });
        (self.pos, self.last) = saved;
        found
    }

    /// Consumes `word` if it is the next reserved word.
    pub(super) fn eat_reserved(&mut self, word: &'static str) -> bool {
        self.reserved() == Some(word) && self.eat(word)
    }

    pub(super) fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t') => {
                    self.pos += 1;
                }
                Some(b'#') => self.comment(),
                _ => return,
            }
        }
    }

    fn comment(&mut self) {
        let start = self.pos;
        let length = self.rest().find('\n').unwrap_or(self.rest().len());
        self.pos += length;
        let span = self.span(start, self.pos);
        self.notes.comments.push(span);
    }

    pub(super) fn blanks_and_newlines(&mut self) {
        loop {
            self.blanks();
            if self.peek() != Some(b'\n') {
                return;
            }
            self.newline();
        }
    }

    fn newline(&mut self) {
        self.pos += 1;
        if !self.pending.is_empty() {
            self.here_documents();
        }
    }

    fn pipeline(&mut self) -> Option<Pipeline> {
        let mut pipeline = Pipeline { commands: Vec::new(), timed: None, negated: false };
        loop {
            self.blanks();
            let start = self.pos;
            if self.eat_reserved("!") {
                pipeline.negated = !pipeline.negated;
            } else if self.eat_reserved("time") {
                pipeline.timed = Some(self.span(start, self.last));
                self.blanks();
                for option in ["-p", "--"] {
                    let saved = (self.pos, self.last);
                    if self.at(option) && self.eat(option) && self.peek().is_some_and(|byte| !is_meta(byte)) {
                        (self.pos, self.last) = saved;
                    }
                    self.blanks();
                }
            } else {
                break;
            }
        }
        loop {
            self.blanks();
            let Some(command) = self.deeper(Self::command).flatten() else { break };
            pipeline.commands.push(command);
            self.blanks();
            if self.at("||") || self.peek() != Some(b'|') {
                break;
            }
            let _ = self.eat("|&") || self.eat("|");
            self.expect_more("a command is missing after a pipe");
        }
        if pipeline.negated && pipeline.commands.is_empty() {
            self.problem(ProblemKind::Unsupported, self.last.saturating_sub(1), "nothing stands behind a `!`");
        }
        let alone = pipeline.timed.is_some() || pipeline.negated;
        (alone || !pipeline.commands.is_empty()).then_some(pipeline)
    }
}

/// Whether the command defines a function (which has no redirections of its own).
pub(super) fn is_function(kind: &Kind) -> bool {
    matches!(kind, Kind::Function { .. })
}
