//! Grants in words.

use super::style::Style;
use super::trials::when;
use crate::cmd::check::CheckedText;
use engine::grants::now_ms;
use model::{Door, Grant, GrantScope};
use std::io::{self, Write};

/// What a grant is for.
pub(super) fn effects(grant: &Grant) -> String {
    grant.effects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn scope(grant: &Grant) -> String {
    match &grant.scope {
        GrantScope::Jar { trial } => format!("in the jar {}", model::escape::text(&trial.0)),
        GrantScope::Project { path } => format!("in {path}"),
        GrantScope::Always => "everywhere".to_owned(),
    }
}

fn until(style: Style, grant: &Grant) -> String {
    match grant.expires_ms {
        Some(_) if grant.expired(now_ms()) => style.yellow("expired, counts no more"),
        Some(expires) => format!("until {}", when(expires)),
        None => "as long as the jar is there".to_owned(),
    }
}

fn line(style: Style, grant: &Grant) -> String {
    format!(
        "{}  {}{}, {}, {}",
        style.bold(&model::escape::text(&grant.id)),
        if grant.door == Door::Review { "changes become real: " } else { "" },
        effects(grant),
        scope(grant),
        until(style, grant)
    )
}

/// All of them, each with what was shown when it was made.
pub(crate) fn grants(all: &[Grant]) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    if all.is_empty() {
        return writeln!(out, "nothing is granted: what a rule asks about is asked every time");
    }
    for grant in all {
        writeln!(out, "{}", line(style, grant))?;
        let shown = grant.shown.first().map(|shown| format!("; {}", model::escape::text(shown))).unwrap_or_default();
        writeln!(out, "          {}", style.dim(&format!("by user {} {}{shown}", grant.uid, when(grant.made_ms))))?;
    }
    Ok(())
}

/// Which answer a question that `check` shows.
pub(super) fn foreseen(out: &mut impl Write, style: Style, checked: &CheckedText) -> io::Result<()> {
    let place = if checked.judged.place.contained { "nobody is asked" } else { "in a jar nobody is asked" };
    for grant in &checked.granted {
        writeln!(out, "  {} {place}: {}", style.green("granted"), line(style, grant))?;
    }
    Ok(())
}

/// One was made.
pub(crate) fn granted(grant: &Grant) -> io::Result<()> {
    let style = Style::stdout();
    writeln!(io::stdout().lock(), "{} {}", style.green("granted:"), line(style, grant))
}

/// These were taken back.
pub(crate) fn grants_revoked(all: &[Grant]) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    if all.is_empty() {
        return writeln!(out, "there was no grant");
    }
    all.iter().try_for_each(|grant| writeln!(out, "{} {}", style.green("revoked:"), line(style, grant)))
}
