//! Arithmetic and tests: places where bash evaluates data again (BJ010).

use super::Eval;
use super::value::{Field, Value};
use crate::syntax::ast::{Part, Word};
use model::Span;
use std::collections::BTreeSet;

/// Variables whose values are followed from one expression; more only repeat what is known.
const NAMES_FOLLOWED_MAX: usize = 64;

/// Operators of `[[` and `test` that evaluate their operands as arithmetic.
const NUMERIC: &[&str] = &["-eq", "-ne", "-lt", "-le", "-gt", "-ge"];

impl Eval<'_> {
    /// Expands arithmetic for what runs inside it.
    pub(super) fn arithmetic(&mut self, parts: &[Part]) {
        let value = self.text_of_parts(parts);
        let span = place(parts).unwrap_or(Span::new(0, 0));
        if value.choices().is_none() {
            // What is written out is still known.
            self.variables_in(&literals(parts), span);
        }
        for text in value.choices().unwrap_or(&[]) {
            self.evaluated_again(text, span);
            self.variables_in(text, span);
        }
    }

    /// Names in an arithmetic expression stand for their values, which are evaluated in turn, and so on.
    pub(super) fn variables_in(&mut self, text: &str, span: Span) {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut waiting = names_in(text);
        // Which of the names is assigned is not followed.
        let mut assigns = assigns_in(text);
        let mut assigned: Vec<String> = Vec::new();
        while let Some(name) = waiting.pop() {
            if seen.len() >= NAMES_FOLLOWED_MAX || !seen.insert(name.clone()) {
                continue;
            }
            if self.state.loaded.contains(&name) {
                self.out.find(10, span, "data is evaluated again, and a command in it may run");
            }
            if assigns {
                assigned.push(name.clone());
            }
            for text in self.state.scalar(&name).as_ref().and_then(Value::choices).unwrap_or(&[]) {
                self.evaluated_again(text, span);
                assigns |= assigns_in(text);
                waiting.extend(names_in(text));
            }
        }
        for name in assigned {
            self.state.set(&name, Value::Unknown);
        }
    }

    /// A value that bash evaluates as arithmetic because of where it is put (`declare -i`, `${s:v}`).
    pub(super) fn evaluated_number(&mut self, value: &Value, span: Span) {
        for text in value.choices().unwrap_or(&[]) {
            self.evaluated_again(text, span);
            self.variables_in(text, span);
        }
    }

    /// Notes data that would be run when bash evaluates it once more.
    pub(super) fn evaluated_again(&mut self, text: &str, span: Span) {
        if text.contains("$(") || text.contains('`') {
            self.out.find(10, span, "data is evaluated again, and a command in it runs");
            self.out.unexplained(span);
        }
    }

    /// `[[ ... ]]`
    pub(super) fn test_command(&mut self, words: &[Word]) {
        self.met_loaded = false;
        let fields: Vec<Field> = words.iter().map(|word| self.single(word)).collect();
        let evaluates = |field: &Field| field.known().is_some_and(|text| NUMERIC.contains(&text) || text == "-v");
        if self.met_loaded
            && let Some(operator) = fields.iter().find(|field| evaluates(field))
        {
            self.out.find(10, operator.span, "data is evaluated again, and a command in it may run");
        }
        self.test_operands(&fields);
    }

    /// The operands of `[[`, `[` or `test` that are evaluated as arithmetic or subscripts.
    pub(super) fn test_operands(&mut self, fields: &[Field]) {
        if fields.iter().any(|field| field.known().is_none()) {
            // It may be an operator that evaluates what is beside it.
            self.perhaps_subscripts(fields);
        }
        for (at, field) in fields.iter().enumerate() {
            let Some(operator) = field.known() else { continue };
            let near: &[Option<&Field>] = if NUMERIC.contains(&operator) {
                &[at.checked_sub(1).and_then(|left| fields.get(left)), fields.get(at + 1)]
            } else if matches!(operator, "-v" | "-R") {
                &[fields.get(at + 1)]
            } else {
                continue;
            };
            for operand in near.iter().flatten() {
                self.subscript_data(operand);
            }
        }
    }

    /// Words that are evaluated as names of variables if a word that is not known says so.
    pub(super) fn perhaps_subscripts(&mut self, fields: &[Field]) {
        for field in fields {
            for text in field.value.choices().unwrap_or(&[]).iter().filter(|text| text.contains('[')) {
                self.evaluated_again(text, field.span);
            }
        }
    }

    /// A word that names a variable, perhaps with a subscript that bash evaluates.
    pub(super) fn subscript_data(&mut self, field: &Field) {
        match field.value.choices() {
            Some(all) => {
                for text in all {
                    self.evaluated_again(text, field.span);
                    self.variables_in(text, field.span);
                }
            }
            None if field.value.prefix().contains('[') || field.value.suffix().contains('[') => {
                self.out.find(10, field.span, "a subscript that is not known is evaluated");
            }
            None => {}
        }
    }

    /// A word as one value, whatever splitting would make of it.
    pub(super) fn single(&mut self, word: &Word) -> Field {
        let value = self.text_of(word);
        Field { value, glob: false, many: false, quoted: true, fetched: false, span: word.span }
    }

    /// The value of a subscript.
    pub(super) fn subscript(&mut self, parts: &[Part], span: Span) {
        let value: Value = self.text_of_parts(parts);
        let field = Field { value, glob: false, many: false, quoted: true, fetched: false, span };
        self.subscript_data(&field);
    }
}

/// Whether an expression may assign: a `=` that compares nothing, or a step up or down.
fn assigns_in(text: &str) -> bool {
    let compared = ["==", "<=", ">=", "!="].iter().fold(text.to_owned(), |text, operator| {
        // `<<=` and `>>=` assign.
        let shift = format!("{}{operator}", operator.get(..1).unwrap_or(""));
        text.replace(&shift, "=\0").replace(operator, "")
    });
    compared.contains('=') || text.contains("++") || text.contains("--")
}

/// What an expression says by itself, with a blank for each expansion.
fn literals(parts: &[Part]) -> String {
    let text = |part: &Part| match part {
        Part::Literal(text) | Part::Quoted(text, _) => text.clone(),
        Part::Double(inner) => literals(inner),
        _ => " ".to_owned(),
    };
    parts.iter().map(text).collect()
}

/// The names of variables in an expression.
fn names_in(text: &str) -> Vec<String> {
    let is_name = |word: &&str| word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(is_name).map(str::to_owned).collect()
}

/// Where the first expansion of an arithmetic expression stands.
fn place(parts: &[Part]) -> Option<Span> {
    parts.iter().find_map(|part| match part {
        Part::Param(param) => Some(param.span),
        Part::Substitution { span, .. } | Part::Process { span, .. } => Some(*span),
        _ => None,
    })
}
