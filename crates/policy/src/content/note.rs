//! Notes: what the content of one change tells, in words that are safe to print.

use crate::shapes;
use model::Risk;

/// Names in one line; all of them are items.
const NAMES_SHOWN: usize = 5;
/// Characters of a name or an address that a stranger wrote.
const TEXT_SHOWN: usize = 120;
/// Items of one note. A lock file of a large project has some thousands.
const ITEMS_MAX: usize = 10_000;

/// One thing to know about the content of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// How dangerous.
    pub risk: Risk,
    /// The rule, one of [`RULES`](super::RULES).
    pub rule: &'static str,
    /// All of it in one line.
    pub says: String,
    /// Each part of it.
    pub items: Vec<Item>,
}

/// One part of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// A package, a script, a kind of secret.
    pub name: String,
    /// Where in the file, from 1.
    pub line: Option<u64>,
    /// What of it.
    pub says: String,
}

impl Note {
    /// One about a place that the host has changed since.
    #[must_use]
    pub fn conflict(name: String, says: String) -> Note {
        Note::new(Risk::Medium, super::CONFLICT, says.clone(), vec![Item::new(name, says)])
    }

    pub(crate) fn new(risk: Risk, rule: &'static str, says: String, mut items: Vec<Item>) -> Note {
        if items.len() > ITEMS_MAX {
            let more = items.len() - ITEMS_MAX;
            items.truncate(ITEMS_MAX);
            items.push(Item::new(format!("{more} more"), "not listed: there are too many"));
        }
        Note { risk, rule, says, items }
    }
}

impl Item {
    pub(crate) fn new(name: impl Into<String>, says: impl Into<String>) -> Item {
        Item { name: name.into(), line: None, says: says.into() }
    }
}

/// A stranger's text for one line: without its secrets, escaped, and cut.
pub(crate) fn shown(text: &str) -> String {
    let text = model::escape::text(&shapes::clean(text).unwrap_or_else(|| text.to_owned()));
    match text.char_indices().nth(TEXT_SHOWN) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// The first names, and how many there are more and where.
pub(crate) fn some<T: AsRef<str>>(names: &[T]) -> String {
    let first: Vec<&str> = names.iter().take(NAMES_SHOWN).map(AsRef::as_ref).collect();
    let more = names.len().saturating_sub(NAMES_SHOWN);
    match more {
        0 => first.join(", "),
        _ => format!("{} and {more} more, `belljar show` lists all", first.join(", ")),
    }
}

/// `1 package`, `2 packages`, `2 dependencies`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{ITEMS_MAX, Item, Note, shown, some};
    use model::Risk;

    #[test]
    fn what_is_cut_is_told() {
        assert_eq!(some(&["a", "b"]), "a, b");
        assert_eq!(some(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more, `belljar show` lists all");
        let items = vec![Item::new("a", "b"); ITEMS_MAX + 3];
        let note = Note::new(Risk::Low, "lockfile/changed", String::new(), items);
        assert_eq!((note.items.len(), note.items.last().unwrap().name.as_str()), (ITEMS_MAX + 1, "3 more"));
    }

    #[test]
    fn what_strangers_wrote_is_harmless_to_print() {
        assert_eq!(shown("a\x1b[2J\u{202e}"), "a\\u{1b}[2J\\u{202e}");
        assert_eq!(shown("https://u:hunter2222@h/x"), "https://u:[redacted:url-password]@h/x");
        assert_eq!(shown(&"é".repeat(500)).chars().count(), 123);
    }
}
