//! `belljar check` in words.

use super::style::Style;
use crate::cmd::check::CheckedText;
use analyze::Check;
use engine::Judged;
use model::{Reason, Span, Verdict};
use std::io::{self, Write};

/// Risk, decision, why, what it would do, and what was found where.
pub(crate) fn check(judged: &[CheckedText]) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    for checked in judged {
        if let Some(name) = &checked.name {
            writeln!(out, "{}", style.bold(&name.to_string()))?;
        }
        one(&mut out, style, &checked.judged)?;
        super::grants::foreseen(&mut out, style, checked)?;
    }
    Ok(())
}

/// Each fact once: the verdict with the rules behind it, what runs, then every reason at its place in the text.
fn one(out: &mut impl Write, style: Style, judged: &Judged) -> io::Result<()> {
    let tiers = judged.assessment.tiers;
    let rules = rules(judged);
    let rules = if rules.is_empty() { String::new() } else { style.dim(&format!("  [{}]", rules.join(", "))) };
    writeln!(
        out,
        "{}  {} bare, {} in a jar{rules}",
        verdict(style, judged.decision.verdict),
        tiers.bare,
        tiers.contained
    )?;
    for invocation in &judged.analysis.canonical {
        writeln!(out, "  {} {}", style.dim("runs"), words(&invocation.env, &invocation.argv, &invocation.redirects))?;
    }
    for reason in &judged.assessment.reasons {
        told(out, style, &judged.analysis.text, reason)?;
    }
    // What the lines above have said already.
    const TOLD: &[&str] = &["HIGH", "MEDIUM", "Noted:", "It would"];
    let new = |sentence: &&String| !TOLD.iter().any(|start| sentence.starts_with(start));
    for sentence in judged.assessment.explanation.iter().filter(new) {
        writeln!(out, "  {sentence}")?;
    }
    Ok(())
}

/// The rules that made the verdict what it is.
fn rules(judged: &Judged) -> Vec<&str> {
    let strictest = judged.decision.because.iter().filter(|because| because.verdict == judged.decision.verdict);
    let mut rules: Vec<&str> = strictest.flat_map(|because| because.rules.iter().map(String::as_str)).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// A reason; for a check also where it fired.
fn told(out: &mut impl Write, style: Style, text: &str, reason: &Reason) -> io::Result<()> {
    let tier = reason.tiers.bare.max(reason.tiers.contained);
    match reason.check {
        Some(check) => writeln!(out, "  {} {check} {}", style.risk(tier), reason.text)?,
        None => writeln!(out, "  {} {}", style.risk(tier), reason.text)?,
    }
    let placed = reason.span.filter(|_| reason.check.is_some()).and_then(|span| context(text, span));
    let Some((line, indent, width)) = placed else { return Ok(()) };
    writeln!(out, "         {line}")?;
    writeln!(out, "         {}{}", " ".repeat(indent), style.red(&"^".repeat(width)))
}

fn verdict(style: Style, verdict: Verdict) -> String {
    match verdict {
        Verdict::Allow => style.green("ALLOW"),
        Verdict::Ask => style.yellow("ASK"),
        Verdict::Deny => style.red("DENY"),
    }
}

fn words(env: &[String], argv: &[String], redirects: &[String]) -> String {
    let all = env.iter().chain(argv).chain(redirects);
    all.map(|word| model::escape::text(word)).collect::<Vec<_>>().join(" ")
}

/// Longest context line shown; a longer one says little.
const CONTEXT_CHARS_MAX: usize = 160;

/// The line that holds the start of `span`, escaped, with the column and width of the span in it.
fn context(text: &str, span: Span) -> Option<(String, usize, usize)> {
    let before = text.get(..span.start)?;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text.get(span.start..)?.find('\n').map_or(text.len(), |newline| span.start + newline);
    let line = model::escape::text(text.get(line_start..line_end)?);
    let indent = model::escape::text(text.get(line_start..span.start)?).chars().count();
    let marked = model::escape::text(text.get(span.start..span.end.min(line_end))?).chars().count();
    (line.chars().count() <= CONTEXT_CHARS_MAX).then_some((line, indent, marked.max(1)))
}

/// The registry, a line each.
pub(crate) fn checks(checks: &[Check]) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    for check in checks {
        writeln!(out, "{} {} {:<28} {}", check.id, style.risk(check.severity), check.name, check.says)?;
    }
    Ok(())
}

/// One check with its examples.
pub(crate) fn explain(check: &Check) -> io::Result<()> {
    let style = Style::stdout();
    let mut out = io::stdout().lock();
    writeln!(out, "{} {} {}", style.bold(&check.id.to_string()), check.name, style.risk(check.severity))?;
    writeln!(out, "{}\n\n{}", check.says, check.help)?;
    for (title, examples) in [("caught", check.caught), ("passed", check.passed)] {
        writeln!(out, "\n{}", style.dim(title))?;
        for example in examples {
            writeln!(out, "  {}", model::escape::text(example))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::context;
    use model::Span;

    #[test]
    fn carets_stand_under_the_span() {
        assert_eq!(context("ls\nrm -rf d; ls", Span::new(3, 11)), Some(("rm -rf d; ls".into(), 0, 8)));
        assert_eq!(context("a\x1bb", Span::new(1, 2)), Some(("a\\u{1b}b".into(), 1, 6)));
        assert_eq!(context("short", Span::new(9, 12)), None);
    }
}
