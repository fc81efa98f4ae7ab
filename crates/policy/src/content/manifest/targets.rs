//! Makefiles by their targets, and other programs of a build by their lines.

use super::{CHANGED, Item, Note, changed, count, shown};
use crate::content::Judge;
use model::Risk;
use std::collections::{BTreeMap, BTreeSet};

/// Makefiles and justfiles: which targets do something else now.
pub(super) fn read(before: Option<&str>, after: &str, judge: &mut Judge<'_>) -> Result<Vec<Note>, String> {
    let (was, now) = (before.map(targets).unwrap_or_default(), targets(after));
    let differ: BTreeSet<&String> =
        was.keys().chain(now.keys()).filter(|name| was.get(*name) != now.get(*name)).collect();
    let outside = String::new();
    let (mut names, mut items) = (Vec::new(), Vec::new());
    for name in differ.into_iter().filter(|name| **name != outside) {
        let word = match (was.contains_key(name), now.contains_key(name)) {
            (false, _) => "new",
            (_, false) => "gone",
            _ => "changed",
        };
        names.push(format!("{} {word}", shown(name)));
        items.push(Item::new(shown(name), word));
    }
    let mut parts = Vec::new();
    if !names.is_empty() {
        parts.push(format!("{}: {}", count(names.len(), "target"), super::some(&names)));
    }
    if was.get(&outside) != now.get(&outside) && before.is_some() {
        parts.push("variables or other lines changed".to_owned());
    }
    if parts.is_empty() {
        return lines_of(before, after, judge);
    }
    Ok(changed(&parts, items).into_iter().collect())
}

/// The text of each target, and under no name all that stands outside of them.
fn targets(text: &str) -> BTreeMap<String, String> {
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    let mut open = String::new();
    for line in text.lines() {
        let head = line.split_once(':').filter(|(name, rest)| {
            !line.starts_with([' ', '\t', '#'])
                && !rest.starts_with('=')
                && !name.contains('=')
                && !name.trim().is_empty()
        });
        if let Some((name, _)) = head {
            open = name.trim().to_owned();
        } else if !line.starts_with([' ', '\t']) && !line.trim().is_empty() {
            open.clear();
        }
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let body = out.entry(open.clone()).or_default();
        body.push_str(line);
        body.push('\n');
    }
    out
}

/// How much of a file is new.
pub(super) fn lines_of(before: Option<&str>, after: &str, _: &mut Judge<'_>) -> Result<Vec<Note>, String> {
    let lines = |text: &str| -> BTreeMap<String, usize> {
        let mut out = BTreeMap::new();
        text.lines()
            .filter(|line| !line.trim().is_empty())
            .for_each(|line| *out.entry(line.to_owned()).or_default() += 1);
        out
    };
    let (was, now) = (before.map(lines).unwrap_or_default(), lines(after));
    let beyond = |one: &BTreeMap<String, usize>, other: &BTreeMap<String, usize>| -> usize {
        one.iter().map(|(line, number)| number.saturating_sub(other.get(line).copied().unwrap_or(0))).sum()
    };
    let (more, fewer) = (beyond(&now, &was), beyond(&was, &now));
    let says = format!("{} new, {} gone", count(more, "line"), count(fewer, "line"));
    Ok(if more + fewer == 0 { vec![] } else { vec![Note::new(Risk::Low, CHANGED, says, vec![])] })
}
