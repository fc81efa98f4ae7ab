//! The analyser: what a shell text would do, which of it is dangerous, and what of it nobody understood.
//!
//! [`analyze`] reads a text twice, with a reader of its own and with tree-sitter-bash; where the two differ, nobody
//! should trust either (BJ002). From the own structure it follows the shell's state (working directory, variables,
//! functions) from command to command, takes wrappers off, and looks each program up in tables of rows. What no row
//! explains stays visible in the coverage and is never called read-only.
//!
//! Invariant: pure. No files, clock, environment, network, processes; facts come in as [`ShellContext`]. The crate's
//! clippy.toml refuses the methods, and a test refuses the names.

#![forbid(unsafe_code)]

mod agree;
mod check;
mod code;
mod commands;
mod context;
mod environment;
mod eval;
mod glob;
mod index;
mod jq;
mod limits;
mod names;
mod quote;
mod sed;
mod sql;
mod syntax;
mod text;
mod tree;

pub use check::{CHECKS, Check};
pub use context::ShellContext;
pub use quote::quote;

use eval::{Eval, Report};
use model::{Analysis, Coverage, Risk, Span};
use syntax::{Base, Notes, ProblemKind};

/// What `text` would do when bash runs it in `shell`. Never fails and never panics: what is wrong with the text is a
/// finding, what is not understood is in the coverage.
#[must_use]
pub fn analyze(text: &str, shell: &ShellContext) -> Analysis {
    let mut report = Report::default();
    if text.len() > limits::TEXT_BYTES_MAX {
        let whole = Span::new(0, text.len());
        report.find(90, whole, "the text is too long to be analysed");
        report.unexplained(whole);
        return finish(text, report);
    }
    text::disguises(text, &mut report);
    let (list, notes) = syntax::read(text, Base::At(0));
    // A text that is too large for the one reader is not given to the slower one: the verdict stands.
    let tree = if notes.exhausted { tree::Outcome::Stopped } else { tree::read(text) };
    judge_readings(text, &list, &notes, tree, &mut report);
    let (evaluated, exhausted) = Eval::new(text, shell).finish(&list, notes.nodes);
    merge(&mut report, evaluated);
    if let Some(span) = exhausted.or(notes.exhausted.then(|| Span::new(0, text.len()))) {
        report.find(90, span, "the text is too deeply nested or too large to be followed to its end");
        report.unexplained(span);
    }
    finish(text, report)
}

/// Whether `name` is a top-level module of Python's standard library: a file of that name in the working directory runs
/// in its place.
#[must_use]
pub fn is_python_library(name: &str) -> bool {
    code::python_names::LIBRARY.contains(name)
}

/// [`analyze`] for bytes: what is not UTF-8 is a finding, and the text is analysed with U+FFFD in its place. Spans are
/// about that text, which the analysis holds.
#[must_use]
pub fn analyze_bytes(text: &[u8], shell: &ShellContext) -> Analysis {
    let lossy = String::from_utf8_lossy(text);
    let mut analysis = analyze(&lossy, shell);
    if matches!(lossy, std::borrow::Cow::Owned(_)) {
        let mut report = Report::default();
        let at = lossy.find('\u{fffd}').unwrap_or(0);
        report.find(5, Span::new(at, at + '\u{fffd}'.len_utf8()), "bytes that are not UTF-8");
        analysis.findings.append(&mut report.findings);
        analysis.findings.sort_by_key(|finding| (finding.span.start, finding.check));
        analysis.coverage = partial(vec![Span::new(at, at + '\u{fffd}'.len_utf8())], analysis.coverage);
    }
    analysis
}

fn judge_readings(text: &str, list: &syntax::ast::List, notes: &Notes, tree: tree::Outcome, report: &mut Report) {
    for splice in &notes.splices {
        report.find(3, *splice, "a line is continued inside a word or operator");
    }
    for problem in &notes.problems {
        report.find(1, problem.span, problem.what);
        report.unexplained(problem.span);
    }
    let unsupported = notes.problems.iter().find(|problem| problem.kind == ProblemKind::Unsupported);
    if let Some(problem) = unsupported {
        report.find(2, problem.span, "a form that other versions of bash read differently");
    }
    fragment(text, list, report);
    let whole = notes.problems.is_empty();
    match tree {
        tree::Outcome::Stopped => {
            report.find(90, Span::new(0, text.len()), "the second parser did not come to an end");
            report.unexplained(Span::new(0, text.len()));
        }
        tree::Outcome::Clean(seen) => {
            if let Some(difference) = agree::difference(list, &seen) {
                let end = (difference.at + 1).min(text.len());
                report.find(
                    2,
                    Span::new(difference.at.min(end), end),
                    &format!("two parsers differ about {}", difference.what),
                );
            } else if !whole {
                report.find(
                    2,
                    notes.problems.first().map_or(Span::new(0, 0), |problem| problem.span),
                    "only one of two parsers could read the text",
                );
            }
        }
        tree::Outcome::Broken(span) if whole => report.find(2, span, "only one of two parsers could read the text"),
        // Bash may still run some of it; where words can hold commands nobody can tell what. Plain words are no danger.
        tree::Outcome::Broken(span) if text.contains(['$', '`', '<', '>', '(']) => {
            report.find(2, span, "neither of two parsers could read the text");
        }
        tree::Outcome::Broken(..) => {}
    }
}

/// A text that starts with an option is a piece of another command.
fn fragment(text: &str, list: &syntax::ast::List, report: &mut Report) {
    let first = list.entries.first().and_then(|entry| entry.pipeline.commands.first());
    if let Some(command) = first
        && text.get(command.span.start..).is_some_and(|rest| rest.starts_with('-'))
    {
        report.find(1, command.span, "the text starts with an option, not with a command");
    }
}

fn merge(report: &mut Report, evaluated: Report) {
    report.effects = evaluated.effects;
    report.findings.extend(evaluated.findings);
    report.unexplained.extend(evaluated.unexplained);
    report.canonical = evaluated.canonical;
    report.certificates = evaluated.certificates;
    if evaluated.overflowed {
        report.find_as(90, Risk::High, Span::new(0, 0), "more effects than are listed");
    }
}

fn finish(text: &str, mut report: Report) -> Analysis {
    report.effects.sort_by_key(|effect| effect.span.map(|span| span.start));
    report.findings.sort_by_key(|finding| (finding.span.start, finding.check));
    report.findings.dedup();
    Analysis {
        text: text.to_owned(),
        effects: report.effects,
        findings: report.findings,
        coverage: if report.unexplained.is_empty() {
            Coverage::Full
        } else {
            partial(report.unexplained, Coverage::Full)
        },
        canonical: report.canonical,
        certificates: report.certificates,
    }
}

fn partial(mut spans: Vec<Span>, with: Coverage) -> Coverage {
    if let Coverage::Partial(more) = with {
        spans.extend(more);
    }
    spans.sort_unstable();
    spans.dedup();
    Coverage::Partial(spans)
}
