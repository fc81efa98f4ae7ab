//! Option parsing as getopt_long(3) does it, over the notation of a row.

use super::Row;
use crate::eval::value::Field;
use model::Span;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// What an option does, one word of the notation behind `:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The value has this role.
    Value(&'static str),
    /// `as-ROLE`: every operand has this role instead.
    Operands(&'static str),
    /// `recursive`: operands mean all that is below them.
    Recursive,
    /// `noop`: nothing is done at all (help, version, dry run).
    Noop,
    /// `first`: the option carries what the first operand else would be (`grep -e`).
    First,
    /// `bj0NN`: this check fires.
    Check(u16),
    /// `does-FACT`: a fact as in the last column of a row.
    Does(&'static str),
}

/// One option of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    names: &'static str,
    takes: Takes,
    acts: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
    Attached,
}

impl Entry {
    fn read(text: &'static str) -> Entry {
        let (head, acts) = text.split_once(':').unwrap_or((text, ""));
        if let Some(names) = head.strip_suffix('=') {
            return Entry { names, takes: Takes::Value, acts };
        }
        match head.strip_suffix('?').filter(|names| !names.ends_with('-')) {
            Some(names) => Entry { names, takes: Takes::Attached, acts },
            None => Entry { names: head, takes: Takes::Nothing, acts },
        }
    }

    /// Whether `name` is one of its names.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.split(',')
    }

    /// Whether one of its names starts with `start`.
    pub(crate) fn starts(&self, start: &str) -> bool {
        self.names().any(|known| known.starts_with(start))
    }

    /// Whether a value has to follow.
    pub(crate) fn takes_value(&self) -> bool {
        self.takes == Takes::Value
    }

    /// What it does.
    pub(crate) fn acts(&self) -> impl Iterator<Item = Act> {
        self.acts.split('+').filter(|act| !act.is_empty()).map(act)
    }
}

fn act(word: &'static str) -> Act {
    match word {
        "recursive" => Act::Recursive,
        "noop" => Act::Noop,
        "first" => Act::First,
        _ => {
            if let Some(role) = word.strip_prefix("as-") {
                return Act::Operands(role);
            }
            if let Some(fact) = word.strip_prefix("does-") {
                return Act::Does(fact);
            }
            match word.strip_prefix("bj").and_then(|digits| digits.parse().ok()) {
                Some(id) => Act::Check(id),
                None => Act::Value(word),
            }
        }
    }
}

type Known = HashMap<(usize, usize), Rc<[Entry]>>;

thread_local! {
    /// Option columns taken apart, by where they stand.
    static READ: RefCell<Known> = RefCell::new(Known::new());
}

/// The options of a row.
pub(crate) fn entries(row: &Row) -> Rc<[Entry]> {
    let read = || row.options.split_ascii_whitespace().map(Entry::read).collect();
    READ.with_borrow_mut(|known| {
        let place = (row.options.as_ptr().addr(), row.options.len());
        Rc::clone(known.entry(place).or_insert_with(read))
    })
}

/// An option that was given.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    pub(crate) entry: Entry,
    pub(crate) value: Option<Field>,
    pub(crate) span: Span,
}

/// Arguments sorted by a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) hits: Vec<Hit>,
    pub(crate) operands: Vec<Field>,
    /// Options the row does not know, or words that may be options and are not known.
    pub(crate) unknown: Vec<Span>,
}

/// Sorts `args` by the options of `row`.
pub(crate) fn parse(row: &Row, args: &[Field]) -> Parsed {
    let mut parsed = Parsed::default();
    let entries = entries(row);
    let stops = row.operands.starts_with('+');
    let mut rest = args.iter();
    let mut only_operands = false;
    while let Some(arg) = rest.next() {
        let text = arg.value.prefix();
        let maybe = !arg.value.choices().is_some_and(|all| all.iter().all(|text| !text.starts_with('-')));
        if only_operands || !maybe || text == "-" || (text.is_empty() && arg.known().is_some()) {
            parsed.operands.push(arg.clone());
            only_operands |= stops;
        } else if text == "--" && arg.known().is_some() {
            only_operands = true;
        } else if arg.known().is_none() {
            unknown_option(&entries, &mut parsed, arg, text);
            only_operands |= stops;
        } else if !option(&entries, arg, text, &mut rest, &mut parsed) {
            parsed.unknown.push(arg.span);
        }
    }
    parsed
}

/// A word that is not fully known may be an option. It counts as an operand, and as not understood where an option of
/// this row would do more than read.
fn unknown_option(entries: &[Entry], parsed: &mut Parsed, arg: &Field, prefix: &str) {
    if prefix.starts_with('-') {
        parsed.unknown.push(arg.span);
        return;
    }
    parsed.operands.push(arg.clone());
    if !arg.value.is_tame() && entries.iter().any(|entry| entry.acts().any(does_more_than_read)) {
        parsed.unknown.push(arg.span);
    }
}

fn does_more_than_read(act: Act) -> bool {
    match act {
        Act::Noop | Act::First | Act::Recursive => false,
        Act::Value(role) | Act::Operands(role) => !matches!(role, "data" | "read" | "list" | "tree" | "cwd"),
        Act::Check(_) | Act::Does(_) => true,
    }
}

/// Takes one option word apart. False when the row does not know it.
fn option<'f>(
    entries: &[Entry],
    arg: &Field,
    text: &str,
    rest: &mut std::slice::Iter<'f, Field>,
    parsed: &mut Parsed,
) -> bool {
    let (name, attached) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    let long = name.starts_with("--");
    let found = exact(entries, name).or_else(|| long.then(|| abbreviation(entries, name)).flatten());
    match found {
        Some(entry) if long || name.len() > 2 || attached.is_none() => {
            let value = match (entry.takes, attached) {
                (Takes::Nothing, Some(_)) => return false,
                (_, Some(value)) => Some(part_of(arg, value)),
                (Takes::Value, None) => match rest.next() {
                    Some(value) => Some(value.clone()),
                    None => return false,
                },
                (_, None) => None,
            };
            parsed.hits.push(Hit { entry, value, span: arg.span });
            true
        }
        _ if long => false,
        _ => cluster(entries, arg, text, rest, parsed),
    }
}

/// The value that is attached to an option, with what is known of the whole word.
fn part_of(arg: &Field, value: &str) -> Field {
    Field { glob: arg.glob, fetched: arg.fetched, ..Field::constant(value, arg.span) }
}

fn exact(entries: &[Entry], name: &str) -> Option<Entry> {
    entries.iter().copied().find(|entry| entry.names().any(|known| known == name))
}

/// The option that `name` abbreviates: a prefix of exactly one entry's long names.
fn abbreviation(entries: &[Entry], name: &str) -> Option<Entry> {
    let mut found =
        entries.iter().copied().filter(|entry| name.len() > 2 && entry.names().any(|known| known.starts_with(name)));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// `-abc`, `-ovalue`, `-5`.
fn cluster<'f>(
    entries: &[Entry],
    arg: &Field,
    text: &str,
    rest: &mut std::slice::Iter<'f, Field>,
    parsed: &mut Parsed,
) -> bool {
    let body = text.get(1..).unwrap_or("");
    if body.bytes().all(|byte| byte.is_ascii_digit())
        && let Some(entry) = exact(entries, "-#")
    {
        parsed.hits.push(Hit { entry, value: None, span: arg.span });
        return true;
    }
    let mut letters = body.chars();
    while let Some(letter) = letters.next() {
        let mut name = [b'-', 0, 0, 0, 0];
        let length = name.get_mut(1..).map_or(0, |rest| letter.encode_utf8(rest).len());
        let name = name.get(..=length).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or("");
        let Some(entry) = exact(entries, name) else { return false };
        let tail = letters.as_str();
        let value = match entry.takes {
            Takes::Nothing => None,
            Takes::Attached if tail.is_empty() => None,
            Takes::Value if tail.is_empty() => match rest.next() {
                Some(value) => Some(value.clone()),
                None => return false,
            },
            Takes::Value | Takes::Attached => Some(part_of(arg, tail)),
        };
        let done = entry.takes != Takes::Nothing;
        parsed.hits.push(Hit { entry, value, span: arg.span });
        if done {
            return true;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::row;

    fn names(options: &'static str, args: &[&str]) -> (Vec<&'static str>, Vec<String>, usize) {
        let row = row("x", options, "read*", "");
        let fields: Vec<Field> = args.iter().map(|arg| Field::constant(arg, Span::new(0, 0))).collect();
        let parsed = parse(&row, &fields);
        let operands = parsed.operands.iter().map(|field| field.known().unwrap().to_owned()).collect();
        (parsed.hits.iter().map(|hit| hit.entry.names).collect(), operands, parsed.unknown.len())
    }

    #[test]
    fn getopt_rules() {
        let options = "-a,--all -o,--output= --color? -n= -#";
        assert_eq!(names(options, &["-ao", "f", "g"]), (vec!["-a,--all", "-o,--output"], vec!["g".into()], 0));
        assert_eq!(names(options, &["-of", "--", "-a"]), (vec!["-o,--output"], vec!["-a".into()], 0));
        assert_eq!(names(options, &["--out=f", "--co", "x"]), (vec!["-o,--output", "--color"], vec!["x".into()], 0));
        assert_eq!(names(options, &["-5", "-"]), (vec!["-#"], vec!["-".into()], 0));
        assert_eq!(names(options, &["-z", "--nope"]), (vec![], vec![], 2));
    }
}
