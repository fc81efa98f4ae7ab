//! The arguments a word becomes, while they are put together.

use super::value::{Field, Value};
use model::Span;

/// Fields under construction.
pub(super) struct Fields {
    pub(super) done: Vec<Field>,
    pub(super) open: Option<Field>,
    /// A blank ended the last field, and what is behind it may be one more separator of the same place.
    behind_blank: bool,
    pub(super) span: Span,
}

impl Fields {
    pub(super) fn new(span: Span) -> Fields {
        Fields { done: Vec::new(), open: None, behind_blank: false, span }
    }

    pub(super) fn current(&mut self) -> &mut Field {
        let span = self.span;
        self.behind_blank = false;
        self.open.get_or_insert_with(|| Field {
            value: Value::Known(String::new()),
            glob: false,
            many: false,
            quoted: false,
            fetched: false,
            span,
        })
    }

    pub(super) fn append(&mut self, value: &Value) {
        let plain = value.with_plain_stars();
        let field = self.current();
        field.glob |= plain.is_some();
        field.value = field.value.concat(plain.as_ref().unwrap_or(value));
    }

    pub(super) fn split(&mut self) {
        self.done.extend(self.open.take());
    }

    /// Appends a constant as an unquoted expansion gives it: split at `separators`, globs live. Blanks among them part
    /// fields together; each other one ends a field, which may be empty.
    pub(super) fn append_split(&mut self, text: &str, separators: &str) {
        let is_blank = |c: char| separators.contains(c) && matches!(c, ' ' | '\t' | '\n');
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if is_blank(first) {
                rest = rest.trim_start_matches(is_blank);
                self.behind_blank |= self.open.is_some();
                self.split();
            } else if separators.contains(first) {
                if !std::mem::take(&mut self.behind_blank) {
                    self.current().quoted = true;
                    self.split();
                }
                rest = rest.get(first.len_utf8()..).unwrap_or("").trim_start_matches(is_blank);
            } else {
                let (piece, more) = rest.split_at(rest.find(|c| separators.contains(c)).unwrap_or(rest.len()));
                self.append_live(piece);
                rest = more;
            }
        }
    }

    pub(super) fn append_live(&mut self, text: &str) {
        self.current().glob |=
            text.contains(['*', '?']) || text.split_once('[').is_some_and(|(_, rest)| rest.contains(']'));
        self.append(&Value::Known(text.to_owned()));
    }
}
