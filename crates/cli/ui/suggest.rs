//! Suggestions in words.

use super::changes::count;
use super::style::Style;
use engine::suggest::Suggestions;
use model::FilePath;
use std::io::{self, Write};
use std::path::Path;

/// What was counted; the rules themselves are elsewhere.
pub(crate) fn suggested(suggestions: &Suggestions, inexact: u64, output: Option<&Path>) -> io::Result<()> {
    let style = Style::stderr();
    let mut out = io::stderr().lock();
    let rules = count(suggestions.rules.len() as u64, "rule");
    writeln!(out, "{} {rules}; nothing is installed", style.green("suggested"))?;
    for rule in &suggestions.rules {
        let (times, days) = (count(rule.times, "time"), count(rule.days, "day"));
        writeln!(out, "  {}  approved {times} on {days}: {}", rule.id, rule.about)?;
    }
    if !suggestions.not.is_empty() {
        writeln!(out, "approved too, and not suggested:")?;
        for (why, number) in &suggestions.not {
            writeln!(out, "  {number:>6}  {}", why.words())?;
        }
    }
    if inexact > 0 {
        writeln!(out, "{}", style.yellow(&format!("{inexact} records do not tell exactly what was approved")))?;
    }
    if let Some(path) = output {
        let path = FilePath::from(path);
        let next = format!("read it, then: belljar policy check {path} · belljar policy replay current {path} --log");
        writeln!(out, "{}", style.dim(&next))?;
    }
    Ok(())
}
