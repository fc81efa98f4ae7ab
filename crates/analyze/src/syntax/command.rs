//! Simple and compound commands, and redirections.

use super::ast::{Arm, Command, Kind, List, Part, Redirect, RedirectOp, Simple, Word};
use super::brackets::closing;
use super::cursor::{ProblemKind, Reader};
use super::heredoc::Pending;
use super::list::is_function;
use super::word::is_meta;
use std::cell::OnceCell;
use std::rc::Rc;

/// Builtins whose arguments are read as assignments.
const DECLARERS: &[&str] = &["declare", "typeset", "local", "export", "readonly", "alias", "eval"];

/// Redirection operators, longer ones first.
const REDIRECTS: &[(&str, RedirectOp)] = &[
    ("&>>", RedirectOp::BothAppend),
    ("&>", RedirectOp::Both),
    ("<<<", RedirectOp::HereString),
    ("<<-", RedirectOp::HereDoc),
    ("<<", RedirectOp::HereDoc),
    ("<&", RedirectOp::DupIn),
    ("<>", RedirectOp::InOut),
    (">>", RedirectOp::Append),
    (">&", RedirectOp::DupOut),
    (">|", RedirectOp::Out),
    ("<", RedirectOp::In),
    (">", RedirectOp::Out),
];

impl Reader<'_> {
    /// One command with its redirections, or `None` where none starts.
    pub(super) fn command(&mut self) -> Option<Command> {
        self.peek();
        let start = self.pos;
        let kind = match self.reserved() {
            // Only the first command of a pipeline may have the keyword in front; behind `|` it is a program.
            Some("time") => return self.simple(start),
            Some(word) => self.compound(word, start)?,
            None if self.peek() == Some(b'(') => self.parenthesis(start),
            None => return self.simple(start),
        };
        let mut redirects = Vec::new();
        if !is_function(&kind) && !matches!(kind, Kind::Coproc(_)) {
            loop {
                self.blanks();
                let Some(redirect) = self.redirect() else { break };
                redirects.push(redirect);
            }
        }
        Some(Command { kind, redirects, span: self.span(start, self.last) })
    }

    fn compound(&mut self, word: &'static str, start: usize) -> Option<Kind> {
        match word {
            "{" => {
                self.eat("{");
                let list = self.list();
                self.expect("}", start);
                Some(Kind::Group(list))
            }
            "[[" => {
                self.eat("[[");
                Some(Kind::Test(self.test_words(start)))
            }
            "if" => Some(self.if_command(start)),
            "while" | "until" => {
                self.eat(word);
                let condition = self.list();
                let body = self.do_group(start);
                Some(Kind::Loop { condition, body })
            }
            "for" | "select" => {
                self.eat(word);
                Some(self.for_command(start))
            }
            "case" => {
                self.eat("case");
                Some(self.case_command(start))
            }
            "function" => {
                self.eat("function");
                self.blanks();
                let name = self.word()?;
                self.blanks();
                let saved = (self.pos, self.last);
                let brackets = self.eat("(") && {
                    self.blanks();
                    self.eat(")")
                };
                if !brackets {
                    // The body is a subshell.
                    (self.pos, self.last) = saved;
                }
                Some(self.function_body(name, start))
            }
            "coproc" => {
                self.eat("coproc");
                Some(self.coproc(start))
            }
            _ => None,
        }
    }

    fn expect(&mut self, word: &'static str, start: usize) {
        self.blanks_and_newlines();
        while !self.eat_reserved(word) {
            let stuck = self.peek().is_none_or(|byte| byte == b')') || self.reserved().is_some();
            if stuck || self.notes.exhausted {
                self.problem(ProblemKind::Incomplete, start, "a compound command is not closed");
                return;
            }
            self.problem(ProblemKind::Unexpected, self.pos, "this cannot stand here");
            self.skip_token();
            self.blanks_and_newlines();
        }
    }

    fn parenthesis(&mut self, start: usize) -> Kind {
        if self.at("((") {
            let saved = (self.pos, self.last);
            self.eat("((");
            if let Some(parts) = self.arithmetic() {
                return Kind::Arith(parts);
            }
            (self.pos, self.last) = saved;
        }
        self.bump_raw();
        let list = self.list();
        self.blanks_and_newlines();
        if !self.eat(")") {
            self.problem(ProblemKind::Incomplete, start, "a subshell is not closed");
        }
        Kind::Subshell(list)
    }

    fn if_command(&mut self, start: usize) -> Kind {
        self.eat("if");
        let mut branches = Vec::new();
        let mut otherwise = None;
        loop {
            let condition = self.list();
            self.expect("then", start);
            branches.push((condition, self.list()));
            if self.eat_reserved("elif") {
                continue;
            }
            if self.eat_reserved("else") {
                otherwise = Some(self.list());
            }
            self.expect("fi", start);
            return Kind::If { branches, otherwise };
        }
    }

    fn do_group(&mut self, start: usize) -> List {
        self.blanks_and_newlines();
        if self.eat_reserved("{") {
            let body = self.list();
            self.expect("}", start);
            return body;
        }
        self.expect("do", start);
        let body = self.list();
        self.expect("done", start);
        body
    }

    fn for_command(&mut self, start: usize) -> Kind {
        self.blanks();
        if self.eat("((") {
            let header = self.arithmetic().unwrap_or_else(|| {
                self.problem(ProblemKind::Incomplete, start, "the head of a for loop is not closed");
                Vec::new()
            });
            self.blanks();
            self.eat(";");
            return Kind::ForArith { header, body: self.do_group(start) };
        }
        let name = self.word().and_then(|word| word.plain().map(str::to_owned)).unwrap_or_else(|| {
            self.problem(ProblemKind::Unexpected, start, "a for loop has no variable");
            String::new()
        });
        self.blanks_and_newlines();
        let words = self.for_words();
        self.blanks();
        self.eat(";");
        Kind::For { name, words, body: self.do_group(start) }
    }

    fn for_words(&mut self) -> Option<Vec<Word>> {
        let saved = (self.pos, self.last);
        let word = self.word()?;
        if word.plain() != Some("in") {
            (self.pos, self.last) = saved;
            return None;
        }
        Some(self.words())
    }

    /// Words up to an operator.
    fn words(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        loop {
            self.blanks();
            let Some(word) = self.word() else { return words };
            words.push(word);
        }
    }

    fn case_command(&mut self, start: usize) -> Kind {
        self.blanks();
        let subject = self.word().unwrap_or_else(|| {
            self.problem(ProblemKind::Unexpected, start, "a case command has no word");
            Word { parts: Vec::new(), span: self.span(start, start) }
        });
        self.blanks_and_newlines();
        let opened = self.word().is_some_and(|word| word.plain() == Some("in"));
        if !opened {
            self.problem(ProblemKind::Unexpected, start, "a case command has no `in`");
        }
        let mut arms = Vec::new();
        loop {
            self.blanks_and_newlines();
            if self.eat_reserved("esac") {
                break;
            }
            let Some(arm) = self.arm() else {
                self.problem(ProblemKind::Incomplete, start, "a case command is not closed");
                break;
            };
            arms.push(arm);
            if !(self.eat(";;&") || self.eat(";;") || self.eat(";&")) {
                self.expect("esac", start);
                break;
            }
        }
        Kind::Case { subject, arms }
    }

    fn arm(&mut self) -> Option<Arm> {
        self.eat("(");
        let mut patterns = Vec::new();
        loop {
            self.blanks();
            patterns.push(self.word()?);
            self.blanks();
            if self.eat(")") {
                break;
            }
            if !self.eat("|") {
                return None;
            }
        }
        let body = self.deeper(Self::list).unwrap_or_default();
        self.blanks_and_newlines();
        Some(Arm { patterns, body })
    }

    fn coproc(&mut self, start: usize) -> Kind {
        self.blanks();
        let saved = (self.pos, self.last);
        let name = if self.reserved().is_none() { self.word() } else { None };
        let named = name.is_some() && {
            self.blanks();
            self.reserved().is_some() || self.peek() == Some(b'(')
        };
        if !named {
            (self.pos, self.last) = saved;
        }
        let inner = self.deeper(Self::command).flatten();
        // Its name is expanded, keywords behind it are programs, words behind it may be arrays: nobody else reads it so.
        let plain = inner.as_ref().is_some_and(|inner| match &inner.kind {
            Kind::Simple(simple) => {
                let name = simple.words.first().and_then(|word| word.plain());
                // `a=(1 2)` as a word is a list for bash here, and `a[` goes on to its bracket.
                let lists = self.peek() == Some(b'(')
                    || self.text.get(start..self.pos).is_some_and(|text| text.contains("=(") || text.contains('['));
                !lists && simple.assigns.is_empty() && name.is_some_and(|name| !super::list::RESERVED.contains(&name))
            }
            _ => false,
        });
        if named || !plain {
            self.problem(ProblemKind::Unsupported, start, "a coprocess");
        }
        // Bash 5.2 prints the commands of a substitution and reads them anew, and prints a name that was not there.
        if self.substitutions > 0 {
            self.problem(ProblemKind::Unsupported, start, "a coprocess in a substitution");
        }
        match inner {
            Some(command) => Kind::Coproc(Box::new(command)),
            None => {
                self.problem(ProblemKind::Incomplete, start, "coproc has no command");
                Kind::Simple(Simple::default())
            }
        }
    }

    fn function_body(&mut self, name: Word, start: usize) -> Kind {
        self.blanks_and_newlines();
        match self.deeper(Self::command).flatten() {
            Some(body) => Kind::Function { name, body: Box::new(body) },
            None => {
                self.problem(ProblemKind::Incomplete, start, "a function has no body");
                Kind::Simple(Simple { assigns: Vec::new(), words: vec![name] })
            }
        }
    }

    /// Assignments, words and redirections in any order.
    fn simple(&mut self, start: usize) -> Option<Command> {
        let mut simple = Simple::default();
        let mut redirects = Vec::new();
        loop {
            self.blanks();
            if let Some(redirect) = self.redirect() {
                redirects.push(redirect);
                continue;
            }
            if simple.words.is_empty()
                && let Some(assign) = self.assignment()
            {
                simple.assigns.push(assign);
                continue;
            }
            let Some(word) = self.argument(&simple) else { break };
            let moved = self.substitutions > 0 && simple.words.is_empty() && !redirects.is_empty();
            if moved && word.plain().is_some_and(|name| super::list::RESERVED.contains(&name)) {
                // Bash 5.2 prints a substitution with its redirections at the end, and reads that anew.
                self.problem(ProblemKind::Unsupported, start, "a keyword behind a redirection in a substitution");
            }
            simple.words.push(word);
            if let Some(function) = self.function(&mut simple, redirects.is_empty(), start) {
                return Some(function);
            }
        }
        let empty = simple.words.is_empty() && simple.assigns.is_empty() && redirects.is_empty();
        (!empty).then(|| Command { kind: Kind::Simple(simple), redirects, span: self.span(start, self.last) })
    }

    /// The next word; behind a declaring builtin `name=(...)` is one word.
    fn argument(&mut self, simple: &Simple) -> Option<Word> {
        let declares = simple.words.first().and_then(Word::plain).is_some_and(|name| DECLARERS.contains(&name));
        if declares || simple.words.is_empty() {
            self.bracketed_name();
        }
        if !declares {
            return self.word();
        }
        let saved = (self.pos, self.last);
        let word = self.word()?;
        let array =
            self.raw() == Some(b'(') && matches!(word.parts.last(), Some(Part::Literal(text)) if text.ends_with('='));
        if !array {
            return Some(word);
        }
        (self.pos, self.last) = saved;
        let assign = self.assignment()?;
        let super::ast::AssignValue::Array(items) = assign.value else { return Some(word) };
        let mut parts = word.parts;
        parts.extend(items.into_iter().flat_map(|item| item.parts));
        Some(Word { parts, span: assign.span })
    }

    /// Where an assignment may stand, bash reads `name[` on to the bracket that closes it, blanks and operators included,
    /// before it sees whether a `=` follows. Nobody means that; no other reader sees the same words.
    fn bracketed_name(&mut self) {
        self.peek();
        let start = self.pos;
        let rest = self.rest();
        let name = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
        let Some(inside) = rest.get(name..).and_then(|rest| rest.strip_prefix('[')) else { return };
        if name == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return;
        }
        let word = inside.bytes().take_while(|byte| !is_meta(*byte)).count();
        let closed = inside.get(..word).is_some_and(|word| closing(word, b'[', b']').is_some());
        if !closed {
            self.problem(ProblemKind::Unsupported, start, "a subscript with blanks or operators in a command's name");
        }
    }

    /// `name () body` when that is what stands here.
    fn function(&mut self, simple: &mut Simple, bare: bool, start: usize) -> Option<Command> {
        if simple.words.len() != 1 || !simple.assigns.is_empty() || !bare {
            return None;
        }
        let saved = (self.pos, self.last);
        self.blanks();
        if !(self.eat("(") && {
            self.blanks();
            self.eat(")")
        }) {
            (self.pos, self.last) = saved;
            return None;
        }
        let name = simple.words.pop()?;
        let kind = self.function_body(name, start);
        Some(Command { kind, redirects: Vec::new(), span: self.span(start, self.last) })
    }

    /// A redirection if one stands here.
    fn redirect(&mut self) -> Option<Redirect> {
        if !matches!(self.peek(), Some(b'<' | b'>' | b'&' | b'{' | b'0'..=b'9')) {
            return None;
        }
        let (start, last) = (self.pos, self.last);
        let fd = self.descriptor();
        let process = fd.is_none() && (self.at("<(") || self.at(">("));
        let found = if process { None } else { REDIRECTS.iter().find(|(text, _)| self.eat(text)) };
        let Some((text, op)) = found else {
            (self.pos, self.last) = (start, last);
            return None;
        };
        self.count();
        self.blanks();
        let at = self.pos;
        let Some(target) = self.word() else {
            self.problem(ProblemKind::Incomplete, start, "a redirection has no target");
            let span = self.span(at, at);
            return Some(Redirect { fd, op: *op, target: Word { parts: Vec::new(), span }, body: None });
        };
        let body = (*op == RedirectOp::HereDoc).then(|| self.announce(&target, *text == "<<-"));
        Some(Redirect { fd, op: *op, target, body })
    }

    fn announce(&mut self, delimiter: &Word, strip_tabs: bool) -> Rc<OnceCell<Word>> {
        self.document_inside |= self.substitutions > 0;
        let body = Rc::new(OnceCell::new());
        let (text, verbatim) = delimiter_text(delimiter);
        self.pending.push(Pending { delimiter: text, verbatim, strip_tabs, body: Rc::clone(&body) });
        body
    }

    /// Digits or `{name}` directly before a redirection operator.
    fn descriptor(&mut self) -> Option<String> {
        let saved = (self.pos, self.last);
        let mut text = String::new();
        let braced = self.peek() == Some(b'{');
        while let Some(byte) = self.peek() {
            let fits =
                if braced { byte.is_ascii_alphanumeric() || b"{}_".contains(&byte) } else { byte.is_ascii_digit() };
            if !fits {
                break;
            }
            text.push(char::from(byte));
            self.bump_raw();
        }
        let whole = !text.is_empty() && (!braced || (text.len() > 2 && text.ends_with('}')));
        if whole && matches!(self.peek(), Some(b'<' | b'>')) {
            return Some(text);
        }
        (self.pos, self.last) = saved;
        None
    }

    /// The words between `[[` and `]]`, operators among them.
    fn test_words(&mut self, start: usize) -> Vec<Word> {
        let mut words: Vec<Word> = Vec::new();
        loop {
            self.blanks_and_newlines();
            let regex = words.last().and_then(Word::plain) == Some("=~");
            let at = self.pos;
            let word = if regex { self.regex_word() } else { self.word_until(is_meta) };
            match word {
                Some(word) if word.plain() == Some("]]") => return words,
                Some(word) => words.push(word),
                None => match self.bump() {
                    Some(c @ ('<' | '>' | '(' | ')' | '&' | '|')) => {
                        let span = self.span(at, self.last);
                        words.push(Word { parts: vec![Part::Literal(c.into())], span });
                    }
                    Some(_) => {}
                    None => {
                        self.problem(ProblemKind::Incomplete, start, "[[ is not closed");
                        return words;
                    }
                },
            }
        }
    }

    /// The right side of `=~`: brackets and bars belong to it.
    fn regex_word(&mut self) -> Option<Word> {
        self.word_until(|byte| matches!(byte, b' ' | b'\t' | b'\n'))
    }
}

/// The delimiter of a here-document after quote removal, and whether anything in it was quoted.
fn delimiter_text(word: &Word) -> (String, bool) {
    let mut text = String::new();
    let mut quoted = false;
    collect_delimiter(&word.parts, &mut text, &mut quoted);
    (text, quoted)
}

fn collect_delimiter(parts: &[Part], text: &mut String, quoted: &mut bool) {
    for part in parts {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Quoted(inner, style) => {
                *quoted |= *style != super::ast::QuoteStyle::Inside;
                text.push_str(inner);
            }
            Part::Double(inner) => {
                *quoted = true;
                collect_delimiter(inner, text, quoted);
            }
            Part::Param(param) if param.op.is_empty() && !param.indirect && !param.length => {
                text.push('$');
                text.push_str(&param.name);
            }
            // Bash takes these as they are written; a delimiter that no line can equal leaves the body open and noted.
            Part::Param(_) | Part::Substitution { .. } | Part::Process { .. } | Part::Arith(_) => text.push('\0'),
        }
    }
}
