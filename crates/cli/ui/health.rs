//! The doctor and the audit log in words.

use super::changes::count;
use super::style::Style;
use engine::layers::Checked;
use engine::{Checkup, Verification};
use model::{AuditRecord, Door, Stage, Tier};
use std::io::{self, Write};

/// One line for each thing a jar needs, with the remedy for what is missing.
pub(crate) fn doctor(checkup: &Checkup) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    for item in &checkup.host.items {
        let mark = if item.available { style.green("ok     ") } else { style.red("missing") };
        writeln!(out, "{mark} {:<40} {}{}", item.name, item.detail, item.why)?;
        if !item.available && !item.remedy.is_empty() {
            writeln!(out, "        {} {}", style.dim("->"), item.remedy)?;
        }
    }
    for leftover in &checkup.leftovers {
        writeln!(out, "{} {leftover}", style.yellow("left   "))?;
        writeln!(out, "        {} {}", style.dim("->"), leftover.remedy())?;
    }
    let verdict = match checkup.host.tier() {
        Some(Tier::T1) => style.green("belljar can build a full jar here (tier T1)"),
        Some(Tier::T2) => style.yellow(
            "belljar builds a jar without namespaces here (tier T2): commands work on a copy, without a network of their own, \
             and can ask for names, sizes and times of hidden files",
        ),
        None => style.red("belljar cannot build a full jar here"),
    };
    writeln!(out, "{verdict}")
}

/// What `policy check` found, a line for each file.
pub(crate) fn policies(checked: &[Checked]) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    if checked.is_empty() {
        writeln!(out, "no policy of your own or your organisation is in force here: the built-in one is")?;
    }
    for file in checked {
        match &file.fault {
            None => writeln!(out, "ok      {}", file.path)?,
            Some(fault) => {
                writeln!(out, "{}   {fault}", style.red("wrong"))?;
                writeln!(out, "        {}", fault.hint())?;
            }
        }
    }
    Ok(())
}

/// One record in one line.
pub(crate) fn record(record: &AuditRecord) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let trial = record.trial.as_ref().map_or("-", |trial| trial.0.as_str());
    writeln!(out, "{:>6} {} {trial:<8} {}", record.seq, super::trials::when(record.time_ms), stage(&record.stage))
}

fn stage(stage: &Stage) -> String {
    match stage {
        Stage::Decided { analysis, assessment, decision, profile, approved_by, .. } => {
            let by = approved_by.as_deref().map_or("nobody".to_owned(), model::escape::text);
            let text = model::escape::text(&analysis.text);
            let decided = format!("{:?} ({})", decision.verdict, assessment.tiers.contained).to_lowercase();
            let under = profile.as_ref().filter(|profile| profile.name != engine::profile::DEFAULT);
            let under =
                under.map(|profile| format!(" under {}", model::escape::text(&profile.name))).unwrap_or_default();
            format!("{decided}{under}, approved by {by}: {text}")
        }
        Stage::Ran { exit, changes, attempts, connections, .. } => {
            let peers = match connections.len() {
                0 => String::new(),
                peers => format!(", {} reached", count(peers as u64, "peer")),
            };
            format!(
                "ran: {}, {}, {}{peers}",
                super::trials::exit(*exit),
                count(changes.changes.len() as u64, "change"),
                count(attempts.len() as u64, "refused attempt")
            )
        }
        Stage::Settling { verb, paths, by, granted } => {
            let what = if paths.is_empty() { "all".to_owned() } else { count(paths.len() as u64, "path") };
            let of = if granted.is_empty() { String::new() } else { format!(" ({} of it)", granted.len()) };
            format!("{verb} {what}, chosen by {}{of}", model::escape::text(by))
        }
        Stage::Settled { outcome, applied } => format!("{outcome}, {} made real", count(*applied, "change")),
        Stage::Rewinding { to, commands } => {
            format!("rewind to before command {to}: {}", count(*commands, "command"))
        }
        Stage::Rewound { to, left } => format!("rewound to before command {to}, {} left", count(*left, "change")),
        Stage::Failed { error } => format!("failed: {}", model::escape::text(error)),
        Stage::Granted { grant } => {
            let door = if grant.door == Door::Review { " changes" } else { "" };
            format!("granted{door} {}: {}", model::escape::text(&grant.id), super::grants::effects(grant))
        }
        Stage::Revoked { grants } => format!("revoked {}", model::escape::text(&grants.join(", "))),
        Stage::Receipted { sha256 } => format!("receipt {}", model::escape::text(sha256)),
        Stage::Checkpoint { lines, epoch: Some(epoch), .. } => format!("checkpoint over {lines} lines, key {epoch}"),
        Stage::Checkpoint { lines, .. } => format!("checkpoint over {lines} lines, no key"),
    }
}

/// What the chain says.
pub(crate) fn verification(found: &Verification, as_expected: bool) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    for line in &found.torn {
        writeln!(out, "{} line {line} was cut short by a crash", style.yellow("torn"))?;
    }
    // Each hash covers all lines before it: after one that was altered no line follows.
    if let Some((first, rest)) = found.faults.split_first() {
        let place = if first.line == 0 { first.file.clone() } else { format!("{} line {}", first.file, first.line) };
        let more = if rest.is_empty() {
            String::new()
        } else {
            format!(", and what follows it is broken in {} places", rest.len())
        };
        writeln!(out, "{} {place}: {}{more}", style.red("BROKEN"), first.what)?;
    }
    if !as_expected {
        writeln!(out, "{} the head is not the expected one: the log was cut or rewritten", style.red("BROKEN"))?;
    }
    let verdict = if found.is_sound() && as_expected { style.green("sound") } else { style.red("NOT SOUND") };
    let seals = match (found.sealed, found.seals_checked) {
        (0, false) => "no key was set up".to_owned(),
        (sealed, true) => format!("{} checked", count(sealed, "seal")),
        (sealed, false) => format!("{} not checked: --key FILE", count(sealed, "seal")),
    };
    let files = count(found.segments, "file");
    writeln!(out, "{verdict}: {} records in {files}, {seals}, head {}", found.records, found.head)
}
