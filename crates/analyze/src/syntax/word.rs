//! Words and what expands in them.

use super::ast::{Assign, AssignValue, List, Param, Part, QuoteStyle, Word};
use super::brackets::{balanced, closing};
use super::cursor::{ProblemKind, Reader};

/// The context text is read in when it is not a plain word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    /// `"..."`: up to the quote.
    Double,
    /// A here-document's body: up to the end of the range.
    Document,
    /// Arithmetic or a subscript: up to the end of the range.
    Arith,
    /// `${...}`: up to the brace. `double` when double quotes surround it.
    Brace { double: bool },
}

/// Whether `byte` ends an unquoted word.
pub(super) fn is_meta(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>')
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Operators of `${name OP argument}`, longer ones first.
const PARAM_OPS: &[&str] = &[
    ":-", ":=", ":?", ":+", "##", "%%", "//", "/#", "/%", "^^", ",,", "-", "=", "?", "+", "#", "%", "/", "^", ",", "@",
    ":",
];

/// Collects parts, joining neighbouring text.
#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn literal(&mut self, c: char) {
        match self.0.last_mut() {
            Some(Part::Literal(text)) => text.push(c),
            _ => self.0.push(Part::Literal(c.into())),
        }
    }

    fn inside(&mut self, c: char) {
        match self.0.last_mut() {
            Some(Part::Quoted(text, QuoteStyle::Inside)) => text.push(c),
            _ => self.0.push(Part::Quoted(c.into(), QuoteStyle::Inside)),
        }
    }

    fn text(&mut self, c: char, live: bool) {
        if live { self.literal(c) } else { self.inside(c) }
    }
}

impl Reader<'_> {
    /// A word, or `None` where none starts.
    pub(super) fn word(&mut self) -> Option<Word> {
        self.word_until(is_meta)
    }

    /// A word that ends at a byte for which `ends` holds.
    pub(super) fn word_until(&mut self, ends: fn(u8) -> bool) -> Option<Word> {
        self.peek();
        let start = self.pos;
        let mut parts = Parts::default();
        loop {
            let before = self.pos;
            let Some(byte) = self.peek() else { break };
            let process = matches!(byte, b'<' | b'>') && ends(b'<') && self.rest().get(1..2) == Some("(");
            if ends(byte) && !process {
                break;
            }
            if self.pos > before && before > start {
                let span = self.span(start, self.pos);
                self.notes.splices.push(span);
            }
            self.word_part(byte, &mut parts);
        }
        if self.pos == start || parts.0.is_empty() {
            return None;
        }
        self.count();
        Some(Word { parts: parts.0, span: self.span(start, self.last) })
    }

    fn word_part(&mut self, byte: u8, parts: &mut Parts) {
        match byte {
            b'\\' => {
                self.bump_raw();
                match self.bump_raw() {
                    Some(c) => parts.0.push(Part::Quoted(c.into(), QuoteStyle::Backslash)),
                    None => {
                        // Bash keeps it on a single line and drops it on the last of several.
                        let several = self.slice(0, self.pos).contains('\n');
                        let kind = if several { ProblemKind::Unsupported } else { ProblemKind::Incomplete };
                        self.problem(kind, self.pos.saturating_sub(1), "a backslash stands last");
                        parts.literal('\\');
                    }
                }
            }
            b'\'' => {
                self.bump_raw();
                let part = self.single_quoted();
                parts.0.push(part);
            }
            b'"' => {
                self.bump_raw();
                let part = self.double_quoted();
                parts.0.push(part);
            }
            b'`' => {
                let part = self.backtick(false);
                parts.0.push(part);
            }
            b'$' => self.dollar(parts, true),
            b'<' | b'>' if self.rest().get(1..2) == Some("(") => {
                let part = self.process(byte == b'<');
                parts.0.push(part);
            }
            _ => {
                if let Some(c) = self.bump_raw() {
                    parts.literal(c);
                }
            }
        }
    }

    fn process(&mut self, reads: bool) -> Part {
        let start = self.pos;
        self.bump_raw();
        let list = self.substituted(start, "a process substitution is not closed");
        Part::Process { list, reads, span: self.span(start, self.last) }
    }

    /// A list up to `)`, whose `(` is behind us. Here-documents inside are its own.
    fn parenthesised(&mut self, start: usize, what: &'static str) -> List {
        let waiting = std::mem::take(&mut self.pending);
        let list = self.deeper(Self::list).unwrap_or_default();
        self.forget_here_documents();
        self.pending = waiting;
        while self.peek().is_some_and(|byte| byte != b')') && !self.notes.exhausted {
            self.problem(ProblemKind::Unexpected, self.pos, "this cannot stand here");
            self.skip_token();
            let _ = self.deeper(Self::list);
        }
        if !self.eat(")") {
            self.problem(ProblemKind::Incomplete, start, what);
        }
        list
    }

    fn double_quoted(&mut self) -> Part {
        Part::Double(self.deeper(|reader| reader.inside(Inside::Double)).unwrap_or_default())
    }

    /// Parts in a quoting context, up to and with its closing byte.
    pub(super) fn inside(&mut self, context: Inside) -> Vec<Part> {
        let start = self.pos;
        let mut parts = Parts::default();
        loop {
            let Some(byte) = self.peek() else {
                if matches!(context, Inside::Double | Inside::Brace { .. }) {
                    self.problem(ProblemKind::Incomplete, start.saturating_sub(1), "a quote or brace is not closed");
                }
                break;
            };
            match (byte, context) {
                (b'"', Inside::Double) | (b'}', Inside::Brace { .. }) => {
                    self.bump_raw();
                    break;
                }
                _ => self.inside_part(byte, context, &mut parts),
            }
        }
        parts.0
    }

    fn inside_part(&mut self, byte: u8, context: Inside, parts: &mut Parts) {
        let live = matches!(context, Inside::Brace { double: false });
        match byte {
            b'\\' => self.inside_backslash(context, live, parts),
            b'\'' if live => {
                self.bump_raw();
                let part = self.single_quoted();
                parts.0.push(part);
            }
            b'"' if matches!(context, Inside::Brace { .. }) => {
                self.bump_raw();
                let part = self.double_quoted();
                parts.0.push(part);
            }
            b'"' if context == Inside::Arith => {
                self.bump_raw();
            }
            b'`' => {
                let part = self.backtick(context == Inside::Double);
                parts.0.push(part);
            }
            b'$' => self.dollar(parts, live),
            b'<' | b'>' if live && self.rest().get(1..2) == Some("(") => {
                let part = self.process(byte == b'<');
                parts.0.push(part);
            }
            _ => {
                if let Some(c) = self.bump_raw() {
                    parts.text(c, live);
                }
            }
        }
    }

    fn inside_backslash(&mut self, context: Inside, live: bool, parts: &mut Parts) {
        self.bump_raw();
        let Some(c) = self.raw().map(char::from) else {
            parts.inside('\\');
            return;
        };
        let escapes = match context {
            Inside::Double => matches!(c, '$' | '`' | '"' | '\\'),
            Inside::Brace { double: true } => matches!(c, '$' | '`' | '"' | '\\' | '}'),
            Inside::Document | Inside::Arith => matches!(c, '$' | '`' | '\\'),
            Inside::Brace { double: false } => true,
        };
        if escapes {
            if let Some(c) = self.bump_raw() {
                if live {
                    parts.0.push(Part::Quoted(c.into(), QuoteStyle::Backslash));
                } else {
                    parts.inside(c);
                }
            }
        } else {
            parts.inside('\\');
        }
    }

    /// `` `...` ``: the text is unescaped once, then read as a script of its own.
    fn backtick(&mut self, double: bool) -> Part {
        let start = self.pos;
        self.bump_raw();
        let (text, escaped, closed) = self.backtick_text(start, double);
        // Where bash looks for braces it does not know backticks in quotes: quotes in them end the quotes around them.
        if double && text.contains('"') && self.text.contains('{') {
            self.problem(ProblemKind::Unsupported, start, "quotes in backticks in quotes, and a brace");
        }
        // Bash takes continuations out of it before it knows of quotes.
        if text.contains("\\\n") && text.contains('\'') {
            self.problem(ProblemKind::Unsupported, start, "a line is continued in backticks with quotes");
        }
        let (body_start, body_end) = (start + 1, self.last.saturating_sub(usize::from(closed)).max(start + 1));
        let span = self.span(start, self.last);
        let waiting = std::mem::take(&mut self.pending);
        let list = if escaped {
            self.deeper(|reader| reader.nested(&text, span, |inner| inner.program()))
        } else {
            self.deeper(|reader| reader.within(body_start, body_end, Reader::program))
        };
        self.pending = waiting;
        Part::Substitution { list: list.unwrap_or_default(), span }
    }

    /// The unescaped text, whether anything was escaped, and whether it is closed.
    fn backtick_text(&mut self, start: usize, double: bool) -> (String, bool, bool) {
        let mut text = String::new();
        let mut escaped = false;
        loop {
            match self.bump_raw() {
                None => {
                    self.problem(ProblemKind::Incomplete, start, "a backtick is not closed");
                    return (text, escaped, false);
                }
                Some('`') => return (text, escaped, true),
                Some('\\') => match self.bump_raw() {
                    Some(c @ ('`' | '\\' | '$')) => {
                        escaped = true;
                        text.push(c);
                    }
                    Some('"') if double => {
                        escaped = true;
                        text.push('"');
                    }
                    Some(c) => text.extend(['\\', c]),
                    None => text.push('\\'),
                },
                Some(c) => text.push(c),
            }
        }
    }

    /// Whatever starts with `$`. `live` where quotes after it open (outside double quotes).
    fn dollar(&mut self, parts: &mut Parts, live: bool) {
        let start = self.pos;
        self.bump_raw();
        let after = self.pos;
        let next = self.peek();
        if self.pos > after && matches!(next, Some(b'(' | b'{' | b'`' | b'\'' | b'"')) {
            let span = self.span(start, self.pos + 1);
            self.notes.splices.push(span);
        }
        let part = match next {
            Some(b'(') => self.dollar_paren(start),
            Some(b'{') => {
                self.bump_raw();
                self.deeper(|reader| reader.braced_param(start, !live))
                    .unwrap_or_else(|| plain_param("?", reader_span()))
            }
            Some(b'[') => self.dollar_bracket(start),
            Some(b'\'') if live => {
                self.bump_raw();
                self.ansi_quoted()
            }
            Some(b'"') if live => {
                self.bump_raw();
                self.double_quoted()
            }
            Some(byte) if is_name_start(byte) => {
                let name = self.name();
                plain_param(&name, self.span(start, self.last))
            }
            Some(byte) if byte.is_ascii_digit() || b"@*#?-$!".contains(&byte) => {
                self.bump_raw();
                plain_param(&char::from(byte).to_string(), self.span(start, self.last))
            }
            _ => {
                parts.text('$', live);
                return;
            }
        };
        parts.0.push(part);
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(byte) = self.peek().filter(|byte| is_name_byte(*byte)) {
            self.bump_raw();
            name.push(char::from(byte));
        }
        name
    }

    /// `$(` or `$((`.
    fn dollar_paren(&mut self, start: usize) -> Part {
        if self.at("((") {
            let (pos, last) = (self.pos, self.last);
            self.eat("((");
            if let Some(parts) = self.arithmetic() {
                return Part::Arith(parts);
            }
            (self.pos, self.last) = (pos, last);
        }
        let list = self.substituted(start, "a command substitution is not closed");
        Part::Substitution { list, span: self.span(start, self.last) }
    }

    /// The list of a substitution, from its `(` on.
    fn substituted(&mut self, start: usize, unclosed: &'static str) -> List {
        // Bash looks for the end of `$((` and `<((` by the brackets alone, whatever it turns out to be.
        let end = if self.at("((") {
            let inside = self.rest().get(1..).and_then(|rest| closing(rest, b'(', b')'));
            inside.map(|length| self.pos + 1 + length + 1)
        } else {
            None
        };
        self.bump_raw();
        self.substitutions += 1;
        let list = self.parenthesised(start, unclosed);
        self.substitutions -= 1;
        self.document_inside &= self.substitutions > 0;
        if end.is_some_and(|end| end != self.last) {
            self.problem(ProblemKind::Unsupported, start, "a substitution that ends elsewhere by its brackets");
        }
        list
    }

    /// Arithmetic behind `((`, up to and with `))`; `None` when it is not closed that way.
    pub(super) fn arithmetic(&mut self) -> Option<Vec<Part>> {
        let length = closing(self.rest(), b'(', b')')?;
        let (start, end) = (self.pos, self.pos + length);
        if self.slice(end, self.end).get(..2) != Some("))") {
            return None;
        }
        // Bash 5.2 prints the substitutions in it and reads them anew: a pattern of `case` then has one bracket only.
        let text = self.slice(start, end);
        if !balanced(text) || text.contains('\'') || (text.contains("case") && text.contains('(')) {
            self.problem(ProblemKind::Unsupported, start, "arithmetic whose brackets make bash run it as commands");
        }
        let parts = self.deeper(|reader| reader.within(start, end, |reader| reader.inside(Inside::Arith)))?;
        self.pos = end + 2;
        self.last = self.pos;
        Some(parts)
    }

    fn dollar_bracket(&mut self, start: usize) -> Part {
        self.bump_raw();
        let Some(length) = closing(self.rest(), b'[', b']') else {
            self.problem(ProblemKind::Incomplete, start, "arithmetic is not closed");
            self.pos = self.end;
            return Part::Arith(Vec::new());
        };
        let (from, to) = (self.pos, self.pos + length);
        if self.slice(from, to).contains('\'') {
            self.problem(ProblemKind::Unsupported, start, "quotes in arithmetic, which are an error there");
        }
        let parts = self.deeper(|reader| reader.within(from, to, |reader| reader.inside(Inside::Arith)));
        self.pos = (to + 1).max(self.pos);
        self.last = self.pos;
        Part::Arith(parts.unwrap_or_default())
    }

    /// `${...}` behind the brace.
    fn braced_param(&mut self, start: usize, double: bool) -> Part {
        if matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'|')) {
            self.problem(ProblemKind::Unsupported, start, "a command substitution of a newer bash");
        }
        let length =
            self.peek() == Some(b'#') && !matches!(self.rest().as_bytes().get(1), Some(b'}' | b':' | b'-' | b'='));
        if length {
            self.bump_raw();
        }
        let indirect = !length && self.peek() == Some(b'!') && self.rest().as_bytes().get(1) != Some(&b'}');
        if indirect {
            self.bump_raw();
        }
        let name = self.param_name();
        if name.is_empty() {
            self.problem(ProblemKind::Unexpected, start, "not a parameter expansion");
        }
        let subscript = self.subscript();
        let op = PARAM_OPS.iter().find(|op| self.eat(op)).copied().unwrap_or("");
        if op.is_empty() && self.peek().is_some_and(|byte| byte != b'}') && !name.is_empty() && !indirect {
            self.problem(ProblemKind::Unexpected, start, "not a parameter expansion");
        }
        let from = self.pos;
        let argument = self.inside(Inside::Brace { double });
        let text = self.slice(from, self.pos);
        let quoted = matches!(op, "" | "-" | ":-" | "+" | ":+" | "=" | ":=");
        if double && !quoted && (text.contains("<(") || text.contains(">(")) {
            self.problem(ProblemKind::Unsupported, start, "a process substitution in an argument that is not quoted");
        }
        let span = self.span(start, self.last);
        Part::Param(Box::new(Param { name, braced: true, subscript, indirect, length, op, argument, span }))
    }

    fn param_name(&mut self) -> String {
        match self.peek() {
            Some(byte) if is_name_start(byte) => self.name(),
            Some(byte) if byte.is_ascii_digit() => {
                let mut name = String::new();
                while let Some(byte) = self.peek().filter(u8::is_ascii_digit) {
                    self.bump_raw();
                    name.push(char::from(byte));
                }
                name
            }
            Some(byte) if b"@*#?-$!".contains(&byte) => {
                self.bump_raw();
                char::from(byte).to_string()
            }
            _ => String::new(),
        }
    }

    /// `[...]` if it stands here.
    fn subscript(&mut self) -> Option<Vec<Part>> {
        if self.peek() != Some(b'[') {
            return None;
        }
        let length = closing(self.rest().get(1..)?, b'[', b']')?;
        let (start, end) = (self.pos + 1, self.pos + 1 + length);
        let parts = self.deeper(|reader| reader.within(start, end, |reader| reader.inside(Inside::Arith)))?;
        self.pos = end + 1;
        self.last = self.pos;
        Some(parts)
    }

    /// `NAME=`, `NAME+=`, `NAME[...]=` with its value, if one stands here.
    pub(super) fn assignment(&mut self) -> Option<Assign> {
        let saved = (self.pos, self.last, self.notes.problems.len(), self.notes.splices.len());
        self.peek();
        let start = self.pos;
        let assign = self.assignment_at(start);
        if assign.is_none() && !self.notes.exhausted {
            (self.pos, self.last) = (saved.0, saved.1);
            self.notes.problems.truncate(saved.2);
            self.notes.splices.truncate(saved.3);
        }
        assign
    }

    fn assignment_at(&mut self, start: usize) -> Option<Assign> {
        self.peek().filter(|byte| is_name_start(*byte))?;
        let name = self.name();
        let subscript = self.subscript();
        let append = self.eat("+=");
        if !append && !self.eat("=") {
            return None;
        }
        self.count();
        let value = if self.peek() == Some(b'(') {
            if subscript.is_some() {
                // An error, and what else stands on the line is not done.
                self.problem(ProblemKind::Unsupported, start, "a list is assigned to one element of an array");
            }
            self.bump_raw();
            let words = self.array(start);
            // Bash reads on, a `#` included, and takes all of it for one plain value.
            if self.peek().is_some_and(|byte| !is_meta(byte)) {
                self.problem(ProblemKind::Unsupported, start, "something stands directly behind an array");
            }
            AssignValue::Array(words)
        } else {
            let at = self.last;
            let empty = Word { parts: Vec::new(), span: self.span(at, at) };
            AssignValue::Scalar(self.word_here().unwrap_or(empty))
        };
        Some(Assign { name, subscript, append, value, span: self.span(start, self.last) })
    }

    /// A word only if it starts right here, not behind a blank.
    fn word_here(&mut self) -> Option<Word> {
        match self.peek() {
            Some(byte) if is_meta(byte) && !matches!(byte, b'<' | b'>') => None,
            Some(b'<' | b'>') if self.rest().get(1..2) != Some("(") => None,
            _ => self.word(),
        }
    }

    fn array(&mut self, start: usize) -> Vec<Word> {
        let mut words = Vec::new();
        loop {
            self.blanks_and_newlines();
            match self.peek() {
                Some(b')') => {
                    self.bump_raw();
                    return words;
                }
                None => {
                    self.problem(ProblemKind::Incomplete, start, "an array is not closed");
                    return words;
                }
                Some(_) => match self.word() {
                    Some(word) => words.push(word),
                    None => {
                        self.problem(ProblemKind::Unexpected, self.pos, "this cannot stand in an array");
                        self.skip_token();
                    }
                },
            }
        }
    }
}

fn plain_param(name: &str, span: model::Span) -> Part {
    Part::Param(Box::new(Param {
        name: name.to_owned(),
        braced: false,
        subscript: None,
        indirect: false,
        length: false,
        op: "",
        argument: Vec::new(),
        span,
    }))
}

/// The span of a parameter that was given up at a bound.
fn reader_span() -> model::Span {
    model::Span::new(0, 0)
}
