//! A change set for a person: red first, then by place, what only got a new time last; a cap folds neither what is red
//! nor a deletion.

use super::reached;
use super::style::Style;
use engine::{Frozen, Group, Trial, TrialRecord};
use model::{Change, ChangeKind, ChangeSet, FilePath, Flag, Found, Place, Review, Risk};
use std::cmp::Reverse;
use std::fmt::Write as _;

/// Lines that are neither red nor deletions shown before the rest is only counted; about a screen with the red ones.
const CALM_LINES_MAX: usize = 12;

/// The whole summary: changes, peers, attempts.
pub(crate) fn summary(style: Style, record: &TrialRecord, changes: &ChangeSet, review: &Review, full: bool) -> String {
    let mut out = String::new();
    let cap = if full { usize::MAX } else { CALM_LINES_MAX };
    changes_block(&mut out, style, &record.place, changes, review, cap);
    reached::block(&mut out, style, record, full);
    out
}

/// The numbered list that a person chooses from.
pub(super) fn numbered(style: Style, frozen: &Trial<Frozen>) -> String {
    let mut out = String::new();
    let place = &frozen.record().place;
    for (number, (change, risk)) in judged(frozen.changes(), frozen.review()).enumerate() {
        let _ = writeln!(out, "{:>4}  {} {}", number + 1, style.risk(risk), line(place, change));
    }
    out
}

fn judged<'a>(changes: &'a ChangeSet, review: &'a Review) -> impl Iterator<Item = (&'a Change, Risk)> {
    // A change without a judgement would be our own defect: it is treated as the worst.
    let risks = review.risks.iter().copied().chain(std::iter::repeat(Risk::High));
    changes.changes.iter().zip(risks)
}

fn changes_block(out: &mut String, style: Style, place: &Place, changes: &ChangeSet, review: &Review, cap: usize) {
    let mut rows: Vec<(usize, &Change, Risk)> =
        judged(changes, review).enumerate().map(|(index, (change, risk))| (index, change, risk)).collect();
    rows.sort_by_key(|(_, change, risk)| (Reverse(*risk), only_times(change), &change.path));
    let mut room = cap;
    let mut folded: Vec<&Change> = Vec::new();
    let tools = engine::fold(place, changes, review);
    for (index, change, risk) in rows {
        if tools.has(index) {
            continue;
        }
        let must_show = risk == Risk::High || matches!(change.kind, ChangeKind::Deleted);
        if !must_show && room == 0 {
            folded.push(change);
            continue;
        }
        room = if must_show { room } else { room.saturating_sub(1) };
        let flags: Vec<&Flag> = review.flags.iter().filter(|flag| flag.change == index).collect();
        // Above LOW without a flag there is one reason left: the text of the command did not announce it.
        let note = if risk > Risk::Low && flags.is_empty() { style.dim("  (not announced)") } else { String::new() };
        let _ = writeln!(out, "  {} {}{note}", style.risk(risk), line(place, change));
        for flag in flags {
            let _ = writeln!(out, "         {}", flag_line(style, change, flag));
            for found in listed(review, flag, cap) {
                let _ = writeln!(out, "           {}", style.dim(&found_line(found)));
            }
        }
    }
    if !folded.is_empty() {
        let _ = writeln!(out, "         {}", style.dim(&folded_line(&folded)));
    }
    for group in &tools.groups {
        let _ = writeln!(out, "         {}", style.dim(&group_line(place, changes, group)));
    }
}

/// What a flag sums up, one by one, where everything is listed; a single thing is in the flag already.
fn listed<'r>(review: &'r Review, flag: &'r Flag, cap: usize) -> impl Iterator<Item = &'r Found> {
    let of = |found: &&Found| found.change == flag.change && found.rule == flag.rule;
    let all: Vec<&Found> = review.content.iter().filter(of).collect();
    let all = if cap == usize::MAX && all.len() > 1 { all } else { Vec::new() };
    all.into_iter()
}

fn found_line(found: &Found) -> String {
    let line = found.line.map(|line| format!(", line {line}")).unwrap_or_default();
    format!("{}{line}: {}", found.name, found.message)
}

/// Many changes below one directory, counted.
fn group_line(place: &Place, changes: &ChangeSet, group: &Group) -> String {
    let members = || group.changes.iter().filter_map(|index| changes.changes.get(*index));
    let made = members().filter(|change| change.kind != ChangeKind::Modified).count();
    let changed = members().count() - made;
    let counts: Vec<String> = [(made, "created"), (changed, "changed")]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    format!(
        "{}/: {} ({}; `belljar diff` lists them)",
        short(place, &group.root),
        counts.join(", "),
        group.why.describe()
    )
}

/// The changes alone, folded: `belljar diff --summary`.
pub(crate) fn folded_summary(style: Style, frozen: &Trial<Frozen>) -> String {
    let mut out = String::new();
    changes_block(&mut out, style, &frozen.record().place, frozen.changes(), frozen.review(), usize::MAX);
    out
}

/// What a cap left out: how much, and that it is not red.
fn folded_line(folded: &[&Change]) -> String {
    let all = count(folded.len() as u64, "change");
    let times = match folded.iter().filter(|change| only_times(change)).count() {
        0 => String::new(),
        times if times == folded.len() => ", only times".to_owned(),
        times => format!(", {times} of them only times"),
    };
    format!("and {all} more, none HIGH{times} (`belljar show` lists all)")
}

/// Nothing but the modification time differs.
fn only_times(change: &Change) -> bool {
    let differs = change.differs;
    change.kind == ChangeKind::Modified && !(differs.content || differs.mode || differs.owner || differs.xattr)
}

/// A number and its noun, in the plural where that is right.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("{number} {noun}") } else { format!("{number} {noun}s") }
}

/// `1 waits`, `2 wait`.
pub(super) fn wait(number: u64) -> &'static str {
    if number == 1 { "waits" } else { "wait" }
}

/// The message stands under its change, so what it says of the name again is left out.
fn flag_line(style: Style, change: &Change, flag: &Flag) -> String {
    let named = flag.message.split_once(&change.path.to_string());
    let reason = named.and_then(|(_, rest)| rest.split_once(": ")).map_or(flag.message.as_str(), |(_, reason)| reason);
    let text = format!("^ {reason} [{}]", flag.rule);
    if flag.risk == Risk::High { style.red(&text) } else { style.dim(&text) }
}

/// One change in one line.
pub(super) fn line(place: &Place, change: &Change) -> String {
    let path = short(place, &change.path);
    let what = match &change.kind {
        ChangeKind::Added => "created".to_owned(),
        ChangeKind::Modified => modified(change),
        ChangeKind::Deleted => "deleted".to_owned(),
        ChangeKind::Renamed { .. } if change.differs.content => "renamed, changed".to_owned(),
        ChangeKind::Renamed { .. } => "renamed".to_owned(),
        ChangeKind::Linked { .. } => "linked".to_owned(),
        ChangeKind::Replaced => "replaced".to_owned(),
    };
    let from = match &change.kind {
        ChangeKind::Renamed { from } => format!(" (was {})", short(place, from)),
        ChangeKind::Linked { to } => format!(" (one file with {})", short(place, to)),
        _ => String::new(),
    };
    let below = if change.below > 0 { format!(" with {} below it", change.below) } else { String::new() };
    let link = change.after.as_ref().and_then(|meta| meta.link.as_ref());
    let link = link.map(|target| format!(" -> {target}")).unwrap_or_default();
    format!("{what:<8} {path}{link}{from}{below}")
}

/// `changed` alone is the content; whatever else differs is named.
fn modified(change: &Change) -> String {
    let differs = change.differs;
    let respects = [
        (differs.content, "content"),
        (differs.mode, "mode"),
        (differs.owner, "owner"),
        (differs.xattr, "xattrs"),
        (differs.times, "times"),
    ];
    let names: Vec<&str> = respects.into_iter().filter_map(|(differs, name)| differs.then_some(name)).collect();
    if names == ["content"] { "changed".to_owned() } else { format!("changed ({})", names.join(", ")) }
}

/// Below the workspace as a relative path, below the home with `~`, else absolute.
pub(super) fn short(place: &Place, path: &FilePath) -> String {
    if let Some(rest) = path.strip_prefix(&place.workspace).filter(|rest| !rest.as_bytes().is_empty()) {
        return rest.to_string();
    }
    match path.strip_prefix(&place.home) {
        Some(rest) if !rest.as_bytes().is_empty() => format!("~/{rest}"),
        _ => path.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{count, folded_line};
    use model::{Change, ChangeKind, Differs, FilePath};

    fn change(kind: ChangeKind, content: bool) -> Change {
        let differs = Differs { content, ..Differs::default() };
        Change { path: FilePath::from("/w/a"), kind, before: None, after: None, differs, below: 0 }
    }

    #[test]
    fn numbers_have_nouns() {
        for (number, expected) in [(0, "0 changes"), (1, "1 change"), (2, "2 changes")] {
            assert_eq!(count(number, "change"), expected);
        }
    }

    #[test]
    fn what_is_folded_is_counted_and_never_called_harmless() {
        let (new, touched) = (change(ChangeKind::Added, false), change(ChangeKind::Modified, false));
        for (folded, expected) in [
            (vec![&new], "and 1 change more, none HIGH (`belljar show` lists all)"),
            (vec![&touched, &touched], "and 2 changes more, none HIGH, only times (`belljar show` lists all)"),
            (vec![&new, &touched], "and 2 changes more, none HIGH, 1 of them only times (`belljar show` lists all)"),
        ] {
            assert_eq!(folded_line(&folded), expected);
        }
    }
}
