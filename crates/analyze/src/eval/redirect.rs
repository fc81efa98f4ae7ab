//! Redirections: which files are opened, and what standard input becomes.

use super::value::{Field, Value};
use super::{Eval, Stdin};
use crate::syntax::ast::{Redirect, RedirectOp};
use model::{Action, PathScope};

/// Characters that make a word something else when it is expanded.
const EXPANDED_AGAIN: [char; 14] = ['$', '`', '\\', '*', '?', '[', '~', '\'', '"', '{', '(', ' ', '\t', '\n'];

/// What the redirections of one command mean for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Redirected {
    /// As written in the canonical form.
    pub(super) canonical: Vec<String>,
    /// The files written from the start, `>`.
    pub(super) truncated: Vec<Field>,
    /// A file may not open, and then the command does not run.
    pub(super) may_fail: bool,
    /// The files standard output goes to, and whether at their end.
    outputs: Vec<(Field, bool)>,
}

impl Eval<'_> {
    /// Applies the redirections in order.
    pub(super) fn redirects(&mut self, redirects: &[Redirect], stdin: Stdin, by: &str) -> (Stdin, Redirected) {
        let mut stdin = stdin;
        let mut seen = Redirected::default();
        for redirect in redirects {
            if let Some(new) = self.redirect(redirect, by, &mut seen) {
                stdin = new;
            }
        }
        (stdin, seen)
    }

    fn redirect(&mut self, redirect: &Redirect, by: &str, seen: &mut Redirected) -> Option<Stdin> {
        if let Some(cell) = &redirect.body {
            let value = cell.get().map_or(Value::Unknown, |body| self.text_of(body));
            seen.canonical.push("0<< here-document".into());
            return Some(Stdin::Text(value));
        }
        let fields = self.expand(&redirect.target);
        let field = match fields.as_slice() {
            [one] => one.clone(),
            _ => Field { many: true, value: Value::Unknown, ..Field::constant("", redirect.target.span) },
        };
        let fd = redirect.fd.clone();
        let (operator, default_fd) = operator(redirect.op);
        let shown = self.shown(&field);
        seen.canonical.push(format!("{}{operator} {shown}", fd.clone().unwrap_or_else(|| default_fd.into())));
        self.open(redirect.op, &field, by, seen);
        if let Some(name) = fd.as_deref().and_then(|fd| fd.strip_prefix('{')) {
            self.state.set(name.trim_end_matches('}'), Value::Unknown);
        }
        let opens = !matches!(redirect.op, RedirectOp::DupOut | RedirectOp::DupIn | RedirectOp::HereString);
        seen.may_fail |= opens && !field.known().is_some_and(crate::names::is_sink);
        let prints = fd.is_none() || fd.as_deref() == Some("1");
        match redirect.op {
            RedirectOp::Out | RedirectOp::Both if prints => seen.outputs.push((field.clone(), false)),
            RedirectOp::Append | RedirectOp::BothAppend if prints => seen.outputs.push((field.clone(), true)),
            _ => {}
        }
        let standard = fd.is_none() || fd.as_deref() == Some("0");
        match redirect.op {
            RedirectOp::In | RedirectOp::InOut if standard => {
                let fetched = field.value.prefix().starts_with("/dev/tcp/");
                Some(if fetched {
                    Stdin::Pipe(super::Output { value: Value::Unknown, fetched: true })
                } else {
                    Stdin::File(Some(field))
                })
            }
            RedirectOp::HereString => Some(Stdin::Text(field.value.concat(&Value::Known("\n".into())))),
            _ => None,
        }
    }

    /// Remembers what a command printed into its files.
    pub(super) fn note_written(&mut self, redirected: &Redirected, out: &super::Output) {
        for (field, append) in &redirected.outputs {
            self.note_content(field, &out.value, *append);
        }
    }

    /// Remembers what stands in a file now, should it be run later.
    pub(super) fn note_content(&mut self, field: &Field, value: &Value, append: bool) {
        let Some(name) = field.known().filter(|_| !field.glob).map(str::to_owned) else { return };
        for (path, _) in self.resolve(&name) {
            let old = self.state.written.get(&path).filter(|_| append);
            let value = old.map_or_else(|| value.clone(), |old| old.concat(value));
            if value.choices().is_some() || self.state.written.contains_key(&path) {
                self.state.written.insert(path, value);
            }
        }
    }

    fn open(&mut self, op: RedirectOp, field: &Field, by: &str, seen: &mut Redirected) {
        match op {
            RedirectOp::In => self.on_path(Action::Read, field, PathScope::Exact, by),
            RedirectOp::InOut | RedirectOp::Append | RedirectOp::BothAppend => {
                self.on_path(Action::Write, field, PathScope::Exact, by);
            }
            RedirectOp::Out | RedirectOp::Both => {
                self.on_path(Action::Write, field, PathScope::Exact, by);
                seen.truncated.push(field.clone());
            }
            RedirectOp::DupOut => {
                if !field.known().is_some_and(is_descriptor) {
                    // Bash makes `&> word` of it, and expands the word once more.
                    if field.known().is_some_and(|text| text.contains(EXPANDED_AGAIN)) {
                        self.out.find(10, field.span, "the name of a file is expanded again");
                        self.out.unexplained(field.span);
                    }
                    self.on_path(Action::Write, field, PathScope::Exact, by);
                    seen.truncated.push(field.clone());
                }
            }
            RedirectOp::DupIn => {
                if !field.known().is_some_and(is_descriptor) {
                    self.out.find(18, field.span, "a descriptor that is not known is opened");
                }
            }
            RedirectOp::HereDoc | RedirectOp::HereString => {}
        }
    }
}

/// `3`, `3-` or `-`.
fn is_descriptor(text: &str) -> bool {
    let digits = text.strip_suffix('-').unwrap_or(text);
    !text.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn operator(op: RedirectOp) -> (&'static str, &'static str) {
    match op {
        RedirectOp::In => ("<", "0"),
        RedirectOp::Out => (">", "1"),
        RedirectOp::Append => (">>", "1"),
        RedirectOp::InOut => ("<>", "0"),
        RedirectOp::Both => (">", "&"),
        RedirectOp::BothAppend => (">>", "&"),
        RedirectOp::DupIn => ("<&", "0"),
        RedirectOp::DupOut => (">&", "1"),
        RedirectOp::HereDoc => ("<<", "0"),
        RedirectOp::HereString => ("<<<", "0"),
    }
}
