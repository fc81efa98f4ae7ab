//! What is known of a value before the command runs: one constant, one of a few, only how it starts, or nothing.

use crate::limits::{VALUE_BYTES_MAX, VALUES_MAX};
use model::Span;

/// Bytes of the end of a value that is not known as a whole: enough for the last names of a path.
const SUFFIX_BYTES_MAX: usize = 256;

/// Glob characters, and what stands for them in a value that a glob made.
const LIVE: [(char, char); 3] = [('*', '\u{f0000}'), ('?', '\u{f0001}'), ('[', '\u{f0002}')];

/// What `$!` starts with here: the number of a process that this shell started (planes 15 and 16 are for private use).
const OWN_PROCESS: &str = "\u{f0100}";

/// What the name of a git object starts with here.
const OBJECT_NAME: &str = "\u{f0101}";

/// The lattice of values, from most to least known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Exactly this.
    Known(String),
    /// One of these; two to [`VALUES_MAX`].
    OneOf(Vec<String>),
    /// Something that starts and ends like this, with anything between; not both empty.
    Shape(String, String),
    /// Anything.
    Unknown,
}

impl Value {
    /// The constant, if it is one.
    pub(crate) fn known(&self) -> Option<&str> {
        match self {
            Value::Known(text) => Some(text),
            _ => None,
        }
    }

    /// All it can be, if that is known.
    pub(crate) fn choices(&self) -> Option<&[String]> {
        match self {
            Value::Known(text) => Some(std::slice::from_ref(text)),
            Value::OneOf(all) => Some(all),
            Value::Shape(..) | Value::Unknown => None,
        }
    }

    /// What every possible value starts with.
    pub(crate) fn prefix(&self) -> &str {
        match self {
            Value::Known(text) | Value::Shape(text, _) => text,
            Value::OneOf(_) | Value::Unknown => "",
        }
    }

    /// What every possible value ends with, as far as it is kept.
    pub(crate) fn suffix(&self) -> &str {
        match self {
            Value::Known(text) | Value::Shape(_, text) => text,
            Value::OneOf(_) | Value::Unknown => "",
        }
    }

    /// The number of a process that this shell started in the background.
    pub(crate) fn own_process() -> Value {
        Value::Shape(OWN_PROCESS.to_owned(), String::new())
    }

    /// The name of a git object: digits and letters, whatever else is not known.
    pub(crate) fn object_name() -> Value {
        Value::Shape(OBJECT_NAME.to_owned(), String::new())
    }

    /// Whether it is at most a name without blanks, globs and dashes.
    pub(crate) fn is_tame(&self) -> bool {
        self.is_own_process() || matches!(self, Value::Shape(head, tail) if head == OBJECT_NAME && tail.is_empty())
    }

    /// Whether it can only be the number of a process that this shell started.
    pub(crate) fn is_own_process(&self) -> bool {
        matches!(self, Value::Shape(head, tail) if head == OWN_PROCESS && tail.is_empty())
    }

    /// A value for any of `texts`.
    pub(crate) fn any_of(texts: Vec<String>) -> Value {
        let mut all: Vec<String> = Vec::new();
        for text in texts {
            if !all.contains(&text) {
                all.push(text);
            }
        }
        if all.len() > VALUES_MAX || all.iter().any(|text| text.len() > VALUE_BYTES_MAX) {
            return Value::Unknown;
        }
        match all.len() {
            0 => Value::Unknown,
            1 => all.pop().map_or(Value::Unknown, Value::Known),
            _ => Value::OneOf(all),
        }
    }

    /// A name that a glob found, put into a variable: quoting the variable no longer makes its stars plain ones. They are
    /// kept as characters that stand for nothing else (planes 15 and 16 are for private use).
    pub(crate) fn found_by_glob(text: &str) -> String {
        LIVE.iter().fold(text.to_owned(), |text, (plain, live)| text.replace(*plain, live.encode_utf8(&mut [0; 4])))
    }

    /// The value with such stars as plain ones, and whether there were any.
    pub(crate) fn with_plain_stars(&self) -> Option<Value> {
        let holds = |text: &String| text.contains(LIVE.map(|(_, live)| live));
        let plain = |text: &String| {
            LIVE.iter().fold(text.clone(), |text, (plain, live)| text.replace(*live, plain.encode_utf8(&mut [0; 4])))
        };
        match self {
            Value::Known(text) if !holds(text) => None,
            Value::Shape(head, tail) if !holds(head) && !holds(tail) => None,
            Value::Known(text) => Some(Value::Known(plain(text))),
            Value::Shape(head, tail) => Some(Value::Shape(plain(head), plain(tail))),
            Value::OneOf(all) if all.iter().any(holds) => Some(Value::OneOf(all.iter().map(plain).collect())),
            Value::OneOf(_) | Value::Unknown => None,
        }
    }

    /// Only how it starts.
    pub(crate) fn starting(prefix: &str) -> Value {
        Value::shape(prefix, "")
    }

    /// Only how it starts and how it ends. Of a long end the last bytes are kept: a file's name stands there.
    pub(crate) fn shape(head: &str, tail: &str) -> Value {
        // A text that starts like one of these is none of them.
        let head = if matches!(head, OWN_PROCESS | OBJECT_NAME) { "" } else { head };
        let cut = tail.len().saturating_sub(SUFFIX_BYTES_MAX);
        let tail = (cut..tail.len()).find_map(|at| tail.get(at..)).unwrap_or("");
        if head.is_empty() && tail.is_empty() { Value::Unknown } else { Value::Shape(head.to_owned(), tail.to_owned()) }
    }

    /// This prefix as a constant where the field it was taken from is one.
    pub(crate) fn known_as(self, field: &Field) -> Value {
        match self {
            Value::Shape(text, _) if field.known().is_some() => Value::Known(text),
            other => other,
        }
    }

    /// `self` followed by `next`.
    pub(crate) fn concat(&self, next: &Value) -> Value {
        match (self.choices(), next.choices()) {
            (Some([empty]), None) if empty.is_empty() => next.clone(),
            (None, Some([empty])) if empty.is_empty() => self.clone(),
            (Some(heads), Some(tails)) if heads.len() * tails.len() <= VALUES_MAX => Value::any_of(
                heads.iter().flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}"))).collect(),
            ),
            (Some([head]), None) => Value::shape(&format!("{head}{}", next.prefix()), next.suffix()),
            (None, Some([tail])) => Value::shape(self.prefix(), &format!("{}{tail}", self.suffix())),
            _ => Value::shape(self.prefix(), next.suffix()),
        }
    }

    /// Either of the two.
    pub(crate) fn join(&self, other: &Value) -> Value {
        match (self.choices(), other.choices()) {
            (Some(a), Some(b)) => Value::any_of(a.iter().chain(b).cloned().collect()),
            _ => Value::Unknown,
        }
    }
}

/// A word after expansion: one argument, or where `many` is set any number of them.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) value: Value,
    /// Holds live glob characters: stands for the names that match.
    pub(crate) glob: bool,
    /// Stands for no, one or many words.
    pub(crate) many: bool,
    /// Something in it was quoted, so an empty value still is a word.
    pub(crate) quoted: bool,
    /// Made from what a network fetch printed.
    pub(crate) fetched: bool,
    pub(crate) span: Span,
}

impl Field {
    /// A field of a constant.
    pub(crate) fn constant(text: &str, span: Span) -> Field {
        Field { value: Value::Known(text.to_owned()), glob: false, many: false, quoted: true, fetched: false, span }
    }

    /// The one argument this is, if it is a constant and no pattern.
    pub(crate) fn known(&self) -> Option<&str> {
        if self.many { None } else { self.value.known() }
    }
}

#[cfg(test)]
mod tests {
    use super::{SUFFIX_BYTES_MAX, Value};

    fn known(text: &str) -> Value {
        Value::Known(text.into())
    }

    #[test]
    fn joining_and_concatenating() {
        let two = known("a").join(&known("b"));
        assert_eq!(two, Value::OneOf(vec!["a".into(), "b".into()]));
        assert_eq!(two.concat(&known("c")), Value::OneOf(vec!["ac".into(), "bc".into()]));
        assert_eq!(known("x").concat(&Value::Unknown), Value::Shape("x".into(), "".into()));
        assert_eq!(Value::Unknown.concat(&known("/.env")), Value::Shape("".into(), "/.env".into()));
        let both = known("a").concat(&Value::Unknown).concat(&known("b")).concat(&known("c"));
        assert_eq!(both, Value::Shape("a".into(), "bc".into()));
        // What stands between two ends may itself end in anything.
        assert_eq!(both.concat(&Value::Unknown), Value::Shape("a".into(), "".into()));
        let long = Value::Unknown.concat(&known(&"é".repeat(1000)));
        assert!(long.suffix().len() <= SUFFIX_BYTES_MAX && long.suffix().chars().all(|c| c == 'é'));
        assert_eq!(two.concat(&Value::Unknown), Value::Unknown);
        assert_eq!(known("a").join(&known("a")), known("a"));
    }
}
