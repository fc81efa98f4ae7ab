//! Whether the two readings see the same commands, words, redirections and substitutions at the same places.

use crate::syntax::ast::{
    Assign, AssignValue, Command, Kind, List, Part, Pipeline, Redirect, RedirectOp, Simple, Word,
};
use crate::tree::{Seen, SeenCommand};
use model::Span;

/// A place where the readings differ, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

/// The first difference between our reading and the tree's.
pub(crate) fn difference(ours: &List, theirs: &Seen) -> Option<Difference> {
    let mut mine = Facts { seen: Seen::default(), dashes: Vec::new() };
    mine.list(ours);
    mine.seen.sort();
    let (ours, dashes) = (mine.seen, mine.dashes);
    let words = first_command(&ours.commands, &theirs.commands, &dashes)
        .or_else(|| first(&ours.redirects, &theirs.redirects, "a redirection"));
    words
        .filter(|_| !same_pieces(&ours, theirs))
        .or_else(|| first(&ours.substitutions, &theirs.substitutions, "a substitution"))
        .or_else(|| first(&ours.assigns, &theirs.assigns, "an assignment"))
}

fn first_command(ours: &[SeenCommand], theirs: &[SeenCommand], dashes: &[usize]) -> Option<Difference> {
    let mut others = theirs.iter();
    for mine in ours {
        match others.next() {
            Some(other) if other.start == mine.start => {
                if let (Some(a), Some(b)) = (&mine.words, &other.words)
                    && a != b
                    && !a.iter().filter(|word| !dashes.contains(word)).eq(b)
                {
                    return Some(Difference { at: mine.start, what: "the words of a command" });
                }
            }
            Some(other) => return Some(Difference { at: mine.start.min(other.start), what: "where a command starts" }),
            None => return Some(Difference { at: mine.start, what: "where a command starts" }),
        }
    }
    others.next().map(|other| Difference { at: other.start, what: "where a command starts" })
}

/// Whether both see the same commands made of the same words and targets of redirections, and only differ about which
/// is which: the tree's grammar takes all words behind `>f` for targets (`cat <a -n`), bash takes one, and so do we.
fn same_pieces(ours: &Seen, theirs: &Seen) -> bool {
    let starts = |seen: &Seen| seen.commands.iter().map(|command| command.start).collect::<Vec<_>>();
    if starts(ours) != starts(theirs) {
        return false;
    }
    let (mut mine, mut others) = (ours.redirects.clone(), theirs.redirects.clone());
    for (a, b) in ours.commands.iter().zip(&theirs.commands) {
        if let (Some(a), Some(b)) = (&a.words, &b.words) {
            mine.extend(a);
            others.extend(b);
        }
    }
    mine.sort_unstable();
    others.sort_unstable();
    mine == others
}

fn first(ours: &[usize], theirs: &[usize], what: &'static str) -> Option<Difference> {
    let mut a = ours.iter();
    let mut b = theirs.iter();
    loop {
        match (a.next(), b.next()) {
            (None, None) => return None,
            (Some(x), Some(y)) if x == y => {}
            (Some(x), Some(y)) => return Some(Difference { at: *x.min(y), what }),
            (Some(x), None) | (None, Some(x)) => return Some(Difference { at: *x, what }),
        }
    }
}

/// Gathers from our structure what the tree tells of its own.
struct Facts {
    seen: Seen,
    /// Words that are a lone `-` in front of a here-document. The tree's grammar drops them (`python3 - <<E`), so it need
    /// not have seen them; what runs is taken from our reading, which has.
    dashes: Vec<usize>,
}

impl Facts {
    fn list(&mut self, list: &List) {
        for entry in &list.entries {
            self.pipeline(&entry.pipeline);
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        let mut timed = pipeline.timed;
        if let (Some(time), true) = (timed, pipeline.commands.is_empty()) {
            self.push(time, Some(Vec::new()));
        }
        for command in &pipeline.commands {
            self.command(command, timed.take());
        }
    }

    fn push(&mut self, span: Span, words: Option<Vec<usize>>) {
        self.seen.commands.push(SeenCommand { start: span.start, words });
    }

    fn command(&mut self, command: &Command, timed: Option<Span>) {
        self.kind(&command.kind, command.span, timed);
        if let Kind::Simple(simple) = &command.kind {
            self.dash_before_text(simple, &command.redirects);
        }
        command.redirects.iter().for_each(|redirect| self.redirect(redirect));
    }

    fn kind(&mut self, kind: &Kind, span: Span, timed: Option<Span>) {
        match kind {
            Kind::Simple(simple) => self.simple(simple, timed),
            Kind::Group(list) | Kind::Subshell(list) => self.list(list),
            Kind::If { branches, otherwise } => {
                for (condition, body) in branches {
                    self.list(condition);
                    self.list(body);
                }
                otherwise.iter().for_each(|list| self.list(list));
            }
            Kind::Loop { condition, body } => {
                self.list(condition);
                self.list(body);
            }
            Kind::For { words, body, .. } => {
                words.iter().flatten().for_each(|word| self.word(word));
                self.list(body);
            }
            Kind::ForArith { header, body } => {
                self.parts(header);
                self.list(body);
            }
            Kind::Case { subject, arms } => {
                self.word(subject);
                for arm in arms {
                    arm.patterns.iter().for_each(|word| self.word(word));
                    self.list(&arm.body);
                }
            }
            Kind::Function { body, .. } => self.command(body, None),
            Kind::Arith(parts) => self.parts(parts),
            Kind::Test(words) => {
                self.push(span, None);
                words.iter().for_each(|word| self.word(word));
            }
            // The tree takes the word for a program, as it does `time`.
            Kind::Coproc(inner) => self.command(inner, Some(Span::new(span.start, span.start + "coproc".len()))),
        }
    }

    fn simple(&mut self, simple: &Simple, timed: Option<Span>) {
        simple.assigns.iter().for_each(|assign| self.assign(assign));
        simple.words.iter().for_each(|word| self.word(word));
        let Some((name, rest)) = simple.words.split_first() else { return };
        let words: Vec<usize> = rest.iter().map(|word| word.span.start).collect();
        match timed {
            Some(time) => {
                let all = std::iter::once(name.span.start).chain(words).collect();
                self.push(time, if name.span.start > time.end + 1 { None } else { Some(all) });
            }
            None => self.push(name.span, (!cut_differently(name)).then_some(words)),
        }
    }

    fn dash_before_text(&mut self, simple: &Simple, redirects: &[Redirect]) {
        for redirect in redirects.iter().filter(|redirect| redirect.op == RedirectOp::HereDoc) {
            let before = simple.words.iter().rfind(|word| word.span.end <= redirect.target.span.start);
            if let Some(word) = before.filter(|word| word.plain() == Some("-")) {
                self.dashes.push(word.span.start);
            }
        }
    }

    fn assign(&mut self, assign: &Assign) {
        self.seen.assigns.push(assign.span.start);
        assign.subscript.iter().for_each(|parts| self.parts(parts));
        match &assign.value {
            AssignValue::Scalar(word) => self.word(word),
            AssignValue::Array(words) => words.iter().for_each(|word| self.word(word)),
        }
    }

    fn redirect(&mut self, redirect: &Redirect) {
        self.seen.redirects.push(redirect.target.span.start);
        if redirect.op != RedirectOp::HereDoc {
            self.word(&redirect.target);
        }
        if let Some(body) = redirect.body.as_ref().and_then(|cell| cell.get()) {
            self.word(body);
        }
    }

    fn word(&mut self, word: &Word) {
        self.parts(&word.parts);
    }

    fn parts(&mut self, parts: &[Part]) {
        for part in parts {
            match part {
                Part::Literal(_) | Part::Quoted(..) => {}
                Part::Double(inner) | Part::Arith(inner) => self.parts(inner),
                Part::Param(param) => {
                    param.subscript.iter().for_each(|parts| self.parts(parts));
                    self.parts(&param.argument);
                }
                Part::Substitution { list, span } | Part::Process { list, span, .. } => {
                    self.seen.substitutions.push(span.start);
                    self.list(list);
                }
            }
        }
    }
}

/// Commands that the tree's grammar cuts into something else than words.
fn cut_differently(name: &Word) -> bool {
    matches!(name.plain(), Some("[" | "declare" | "typeset" | "export" | "readonly" | "local" | "unset" | "unsetenv"))
}
