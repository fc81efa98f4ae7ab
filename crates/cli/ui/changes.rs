//! A change set for a person: red first, then by place; a cap folds only what is harmless, never a deletion.

use super::style::Style;
use engine::{Frozen, Trial, TrialRecord};
use model::{Attempt, Change, ChangeKind, ChangeSet, FilePath, Flag, Place, Review, Risk};
use std::fmt::Write as _;

/// Harmless lines shown before the rest is only counted; about a screen with the red ones.
const HARMLESS_LINES_MAX: usize = 12;
/// Refused attempts shown before the rest is only counted.
const ATTEMPT_LINES_MAX: usize = 12;

/// The whole summary: changes, attempts, surprises counted.
pub(crate) fn summary(style: Style, record: &TrialRecord, changes: &ChangeSet, review: &Review, full: bool) -> String {
    let mut out = String::new();
    let cap = if full { usize::MAX } else { HARMLESS_LINES_MAX };
    changes_block(&mut out, style, &record.place, changes, review, cap);
    attempts_block(&mut out, style, &record.attempts, if full { usize::MAX } else { ATTEMPT_LINES_MAX });
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
    rows.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.1.path.cmp(&b.1.path)));
    let mut room = cap;
    let mut folded = 0;
    for (index, change, risk) in rows {
        let must_show = risk == Risk::High || matches!(change.kind, ChangeKind::Deleted);
        if !must_show && room == 0 {
            folded += 1;
            continue;
        }
        room = if must_show { room } else { room.saturating_sub(1) };
        let _ = writeln!(out, "  {} {}", style.risk(risk), line(place, change));
        for flag in review.flags.iter().filter(|flag| flag.change == index) {
            let _ = writeln!(out, "         {}", flag_line(style, flag));
        }
    }
    if folded > 0 {
        let _ = writeln!(
            out,
            "         {}",
            style.dim(&format!("and {folded} more harmless changes (`belljar show` lists all)"))
        );
    }
}

fn flag_line(style: Style, flag: &Flag) -> String {
    let text = format!("^ {} [{}]", flag.message, flag.rule);
    if flag.risk == Risk::High { style.red(&text) } else { style.dim(&text) }
}

fn attempts_block(out: &mut String, style: Style, attempts: &[Attempt], cap: usize) {
    for attempt in attempts.iter().take(cap) {
        let times = if attempt.times > 1 { format!(", {} times", attempt.times) } else { String::new() };
        let what = format!("tried to {} {}: refused [{}]{times}", attempt.action, attempt.target, attempt.rule);
        let _ = writeln!(out, "  {} {what}", style.yellow("BLOCKED"));
    }
    let more = attempts.len().saturating_sub(cap);
    if more > 0 {
        let _ =
            writeln!(out, "         {}", style.dim(&format!("and {more} more attempts (`belljar show` lists all)")));
    }
}

/// One change in one line.
pub(super) fn line(place: &Place, change: &Change) -> String {
    let path = short(place, &change.path);
    let what = match &change.kind {
        ChangeKind::Added => "created".to_owned(),
        ChangeKind::Modified => modified(change),
        ChangeKind::Deleted => "deleted".to_owned(),
        ChangeKind::Renamed { .. } => "renamed".to_owned(),
        ChangeKind::Replaced => "replaced".to_owned(),
    };
    let from = match &change.kind {
        ChangeKind::Renamed { from } => format!(" (was {})", short(place, from)),
        _ => String::new(),
    };
    let below = if change.below > 0 { format!(" with {} below it", change.below) } else { String::new() };
    let link = change.after.as_ref().and_then(|meta| meta.link.as_ref());
    let link = link.map(|target| format!(" -> {target}")).unwrap_or_default();
    format!("{what:<8} {path}{link}{from}{below}")
}

fn modified(change: &Change) -> String {
    let differs = change.differs;
    let only = match (differs.content, differs.mode, differs.owner, differs.xattr) {
        (true, ..) => return "changed".to_owned(),
        (_, true, ..) => "mode",
        (_, _, true, _) => "owner",
        (.., true) => "xattrs",
        _ => "times",
    };
    format!("changed ({only})")
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
