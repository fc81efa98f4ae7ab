//! Trials in words: the end of a run, `trials`, `show`, `diff`, and what became of them.

use super::changes;
use super::style::Style;
use engine::{Broken, Frozen, Listed, Outcome, Settlement, Trial, TrialRecord, Weight};
use model::{Change, Exit, FilePath, Place, Risk, TrialId, TrialState};
use nix::sys::signal::Signal;
use overlay::Preview;
use std::io::{self, Write};

/// The end of a run, on standard error: standard output is the command's own. Nothing to tell, nothing told.
pub(crate) fn ended(outcome: &Outcome) -> io::Result<()> {
    let style = Style::stderr();
    let mut out = io::stderr().lock();
    let id = &outcome.record.id;
    let asked = matches!(outcome.settlement, Settlement::Left | Settlement::Applied { .. });
    if let Some(errno) = outcome.exec_error {
        let why = nix::errno::Errno::from_raw(errno).desc();
        let program = outcome.record.argv.first().map(ToString::to_string).unwrap_or_default();
        writeln!(out, "{}: start {program}: {}", style.red("belljar"), why.to_lowercase())?;
    }
    if asked && !outcome.shown {
        write!(out, "{}", heading(style, &outcome.record))?;
        write!(out, "{}", changes::summary(style, &outcome.record, &outcome.changes, &outcome.review, false))?;
    } else if !outcome.record.attempts.is_empty() && !outcome.shown {
        write!(out, "{}", heading(style, &outcome.record))?;
        write!(
            out,
            "{}",
            changes::summary(style, &outcome.record, &model::ChangeSet::default(), &outcome.review, false)
        )?;
    }
    weaker(&mut out, style, &outcome.record)?;
    match &outcome.settlement {
        Settlement::Unchanged => Ok(()),
        settlement => writeln!(out, "{}", settlement_line(style, id, settlement)),
    }
}

/// Layers that were given up by name are never passed over in silence.
fn weaker(out: &mut impl Write, style: Style, record: &TrialRecord) -> io::Result<()> {
    for gap in &record.containment.missing {
        writeln!(out, "{} without {}: {}", style.red("WEAKER"), gap.layer, gap.why)?;
    }
    Ok(())
}

/// Command, end, trial.
pub(super) fn heading(style: Style, record: &TrialRecord) -> String {
    let ended = match record.exit {
        Some(end) => format!("{} after {}", exit(end), seconds(record.wall_ms.unwrap_or_default())),
        None => "was interrupted: belljar did not see its end".to_owned(),
    };
    format!(
        "{} {} {ended}  {}\n",
        style.bold("belljar:"),
        command(&record.argv),
        style.dim(&format!("trial {}", record.id))
    )
}

/// Longest command shown in one line.
const COMMAND_CHARS_MAX: usize = 100;

fn command(argv: &[FilePath]) -> String {
    let text = argv.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(COMMAND_CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

pub(super) fn exit(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exited {code}"),
        Exit::Signal(number) => match Signal::try_from(number) {
            Ok(signal) => format!("died of {}", signal.as_str()),
            Err(_) => format!("died of signal {number}"),
        },
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1000, ms % 1000 / 10)
}

/// What became of a trial, and the way on.
pub(crate) fn settled(id: &TrialId, settlement: &Settlement) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{}", settlement_line(Style::stdout(), id, settlement))
}

fn settlement_line(style: Style, id: &TrialId, settlement: &Settlement) -> String {
    match settlement {
        Settlement::Unchanged => format!("{id}: nothing had changed"),
        Settlement::Applied { applied, left: 0 } => {
            format!("{} {}", style.green("applied:"), now_real(*applied, id))
        }
        Settlement::Applied { applied, left } => {
            format!(
                "{} {}, {left} wait: belljar apply {id} · belljar discard {id}",
                style.green("applied:"),
                now_real(*applied, id)
            )
        }
        Settlement::Discarded => format!("{} what waited in {id} is gone", style.green("discarded:")),
        Settlement::Left => format!(
            "nothing is real yet: belljar show {id} · belljar diff {id} · belljar apply {id} · belljar discard {id}"
        ),
    }
}

fn now_real(applied: u64, id: &TrialId) -> String {
    let are = if applied == 1 { "is" } else { "are" };
    format!("{} of {id} {are} real now", changes::count(applied, "change"))
}

/// A line each.
pub(crate) fn trials(rows: &[(&Listed, Weight)], broken: &[Broken]) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    for (listed, weight) in rows {
        let record = &listed.record;
        let state = engine::state(listed);
        writeln!(
            out,
            "{} {:<11} {} {:>9} in {:>11}  {}  {}",
            style.bold(&record.id.0),
            state,
            when(record.created_ms),
            bytes(weight.bytes),
            changes::count(weight.files, "file"),
            command(&record.argv),
            style.dim(&record.place.workspace.to_string()),
        )?;
    }
    for broken in broken {
        let error = broken.error.as_deref().unwrap_or_default();
        writeln!(out, "{} {} {}", style.bold(&broken.id.0), style.red("damaged"), model::escape::text(error))?;
    }
    if rows.is_empty() && broken.is_empty() {
        writeln!(out, "no trial waits for a decision")?;
    }
    Ok(())
}

fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} B"),
    }
}

/// UTC to the minute: civil date from days since the epoch (proleptic Gregorian calendar).
pub(super) fn when(ms: u64) -> String {
    let (days, minutes) = (ms / 86_400_000, ms / 60_000 % 1440);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}Z", minutes / 60, minutes % 60)
}

/// Everything known of one trial.
pub(crate) fn show(frozen: &Trial<Frozen>) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    let record = frozen.record();
    write!(out, "{}", heading(style, record))?;
    writeln!(out, "  in {} at {}, {}", record.place.workspace, when(record.created_ms), state_words(record.state))?;
    writeln!(out, "  predicted {} in a jar, {} bare", record.assessment.tiers.contained, record.assessment.tiers.bare)?;
    for sentence in &record.assessment.explanation {
        writeln!(out, "    {sentence}")?;
    }
    let layers: Vec<String> = record.containment.active.iter().map(layer).collect();
    if !layers.is_empty() {
        writeln!(out, "  held by {}", layers.join(", "))?;
    }
    weaker(&mut out, style, record)?;
    if !record.env_withheld.is_empty() {
        let names: Vec<String> = record.env_withheld.iter().map(|name| model::escape::text(name)).collect();
        writeln!(out, "  withheld from its environment: {}", names.join(" "))?;
    }
    write!(out, "{}", changes::summary(style, record, frozen.changes(), frozen.review(), true))?;
    if frozen.changes().changes.is_empty() {
        writeln!(out, "  it changed nothing")?;
    }
    Ok(())
}

fn layer(state: &model::LayerState) -> String {
    if state.detail.is_empty() { state.layer.to_string() } else { format!("{} ({})", state.layer, state.detail) }
}

fn state_words(state: TrialState) -> &'static str {
    match state {
        TrialState::Running => "running",
        TrialState::Pending => "waiting for a decision",
        TrialState::Applying => "half applied: apply goes on where it stopped",
        TrialState::Applied => "applied",
        TrialState::Discarded => "being discarded",
    }
}

/// A line a change, and one for each directory that tools filled.
pub(crate) fn summary(frozen: &Trial<Frozen>) -> io::Result<()> {
    write!(io::stdout().lock(), "{}", changes::folded_summary(Style::stdout(), frozen))
}

/// Unified diffs, escaped line by line.
pub(crate) fn diff(place: &Place, previews: &[(&Change, Preview)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let style = Style::stdout();
    previews.iter().try_for_each(|(change, preview)| write!(out, "{}", one_diff(style, place, change, preview)))
}

/// A heading that says what happened to the name, and what differs inside it.
pub(super) fn one_diff(style: Style, place: &Place, change: &Change, preview: &Preview) -> String {
    let heading = style.bold(&changes::line(place, change));
    match preview {
        Preview::Text { diff, .. } => {
            let lines = diff.split_inclusive(|byte| *byte == b'\n');
            format!("{heading}\n{}", lines.map(|line| diff_line(style, line)).collect::<String>())
        }
        Preview::Binary { before, after } => {
            let size = |size: &Option<u64>| size.map_or("nothing".to_owned(), bytes);
            format!("{heading}\n{}\n", style.dim(&format!("binary: {} -> {}", size(before), size(after))))
        }
        _ => format!("{heading}\n"),
    }
}

fn diff_line(style: Style, line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    // Tabs are layout in a diff and harmless; everything else that deceives is spelled out.
    let safe = line.split(|byte| *byte == b'\t').map(model::escape::bytes).collect::<Vec<_>>().join("\t");
    let painted = match line.first() {
        Some(b'+') => style.green(&safe),
        Some(b'-') => style.red(&safe),
        Some(b'@') => style.dim(&safe),
        _ => safe,
    };
    format!("{painted}\n")
}

/// How many changes need a person.
pub(super) fn red(frozen: &Trial<Frozen>) -> usize {
    frozen.review().risks.iter().filter(|risk| **risk == Risk::High).count()
}

/// How many of those a choice of `paths` would make real.
pub(super) fn red_within(frozen: &Trial<Frozen>, paths: &[FilePath]) -> usize {
    let judged = frozen.changes().changes.iter().zip(&frozen.review().risks);
    let chosen = |change: &Change| paths.iter().any(|path| change.path.starts_with(path));
    judged.filter(|(change, risk)| **risk == Risk::High && chosen(change)).count()
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates() {
        for (ms, expected) in [
            (0, "1970-01-01 00:00Z"),
            (951_782_400_000, "2000-02-29 00:00Z"),
            (1_735_689_599_000, "2024-12-31 23:59Z"),
            (1_795_219_200_000, "2026-11-21 00:00Z"),
        ] {
            assert_eq!(super::when(ms), expected);
        }
    }
}
