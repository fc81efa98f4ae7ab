//! Imports in words.

use super::changes::count;
use super::style::Style;
use engine::explain::word;
use engine::import::{Import, Imported, Kept};
use model::FilePath;
use std::io::{self, Write};
use std::path::Path;

/// What became of the rules; the policy itself is elsewhere.
pub(crate) fn imported(import: &Import, output: Option<&Path>) -> io::Result<()> {
    let style = Style::stderr();
    let mut out = io::stderr().lock();
    let of = |kept: Kept| import.rules.iter().filter(|rule| rule.never.is_none() && rule.kept == kept).count();
    let never: Vec<&Imported> = import.rules.iter().filter(|rule| rule.never.is_some()).collect();
    writeln!(
        out,
        "{} {}: {} as they were, {} tighter, {} in part, {} left out, {} that can never fire",
        style.green("imported"),
        count(import.rules.len() as u64, "rule"),
        of(Kept::Same),
        of(Kept::Tighter),
        of(Kept::Partly),
        of(Kept::Not),
        never.len(),
    )?;
    let losses: Vec<&Imported> = import.rules.iter().filter(|rule| rule.is_loss()).collect();
    if !losses.is_empty() {
        let told = "these forbade or asked about more than a policy of effects can: keep them where they are, too";
        writeln!(out, "{}", style.red(told))?;
        for rule in losses {
            line(&mut out, rule)?;
            told_of(&mut out, style, &rule.notes)?;
        }
    }
    if !never.is_empty() {
        writeln!(out, "{}", style.yellow("these can never fire, and are not in the policy"))?;
        for rule in never {
            line(&mut out, rule)?;
            told_of(&mut out, style, rule.never.as_slice())?;
        }
    }
    let left: Vec<&Imported> =
        import.rules.iter().filter(|rule| rule.kept == Kept::Not && rule.never.is_none() && !rule.is_loss()).collect();
    if !left.is_empty() {
        writeln!(out, "these are left out: what they allowed is decided as before")?;
        for rule in left {
            line(&mut out, rule)?;
            told_of(&mut out, style, &rule.notes)?;
        }
    }
    if let Some(path) = output {
        let path = FilePath::from(path);
        let next = format!("read it, then: belljar policy check {path} · belljar policy replay current {path} --log");
        writeln!(out, "{}", style.dim(&next))?;
    }
    Ok(())
}

fn line(out: &mut impl Write, rule: &Imported) -> io::Result<()> {
    let file = model::escape::text(&rule.file);
    writeln!(out, "  {file}:{}: {} {}", rule.line, word(rule.verdict), model::escape::text(&rule.rule))
}

fn told_of(out: &mut impl Write, style: Style, notes: &[String]) -> io::Result<()> {
    notes.iter().try_for_each(|note| writeln!(out, "    {} {}", style.dim("^"), model::escape::text(note)))
}
