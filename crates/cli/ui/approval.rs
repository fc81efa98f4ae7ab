//! The question before a command runs: one screen, one key, details on demand. Nothing here is raw: the explanation comes
//! escaped from the facts, and what the command itself says is escaped here.

use super::style::Style;
use engine::grants::DAYS;
use engine::{Lasting, Offer, Question};
use model::Verdict;

/// Lines of the question on a terminal of 24.
const LINES_MAX: usize = 18;
/// Characters of one of them: two rows of most terminals.
const CHARS_MAX: usize = 200;

/// What it would do and which rule asks, on one screen.
pub(super) fn screen(style: Style, question: &Question<'_>) -> String {
    let all = lines(question);
    let shown = if all.len() > LINES_MAX { LINES_MAX - 1 } else { all.len() };
    let mut out = String::new();
    for (at, line) in all.iter().take(shown).enumerate() {
        // What is hidden of a long line is told, and with `d` it is there.
        let cut: String = line.chars().take(CHARS_MAX).collect();
        let more = match line.chars().count().saturating_sub(CHARS_MAX) {
            0 => String::new(),
            more => style.dim(&format!(" ... {more} more characters: d")),
        };
        out += &first_or_not(style, question, at, &format!("{cut}{more}"));
    }
    if let Some(rest) = all.get(shown..).filter(|rest| !rest.is_empty()) {
        let high = rest.iter().filter(|line| line.starts_with("HIGH")).count();
        let high = if high == 0 { String::new() } else { format!(", {}", style.red(&format!("{high} of them HIGH"))) };
        out += &format!("       ... {} more lines{high}: d\n", rest.len());
    }
    out
}

/// All of it, and what can be granted.
pub(super) fn details(style: Style, question: &Question<'_>) -> String {
    let all = lines(question).into_iter().enumerate();
    let mut out: String = all.map(|(at, line)| first_or_not(style, question, at, &line)).collect();
    for effect in &question.analysis.effects {
        out += &format!("       {} {}\n", effect.action, effect.target);
    }
    for part in &question.offer.parts {
        if let Err(why) = &part.grant {
            out += &format!("       asked every time: {}: {why}\n", part.about);
        }
    }
    out
}

/// The first line is the command and carries its tier.
fn first_or_not(style: Style, question: &Question<'_>, at: usize, line: &str) -> String {
    match at {
        0 => format!("{} {line}\n", style.risk(question.assessment.tiers.contained)),
        _ => format!("       {line}\n"),
    }
}

fn lines(question: &Question<'_>) -> Vec<String> {
    let mut lines = vec![model::escape::text(&question.analysis.text)];
    lines.extend(question.assessment.explanation.iter().cloned());
    let decision = question.decision;
    let asking = decision.because.iter().filter(|because| because.verdict == Verdict::Ask);
    lines.extend(asking.map(|because| format!("because {} [{}]", because.about, because.rules.join(", "))));
    // Names of rules come from files.
    lines.iter().map(|line| model::escape::text(line)).collect()
}

/// The keys that mean something.
pub(super) fn keys(offer: &Offer) -> String {
    let scopes = offer.scopes();
    if scopes.is_empty() {
        return "y = yes, d = details, any other key = no".to_owned();
    }
    format!("y = this once, without asking again: {}, d = details, any other key = no", scope_keys(&scopes))
}

/// The keys for where a grant counts.
pub(super) fn scope_keys(scopes: &[Lasting]) -> String {
    let each: Vec<String> = scopes.iter().map(|scope| format!("{} = {}", key(*scope), place(*scope))).collect();
    each.join(", ")
}

fn key(scope: Lasting) -> char {
    match scope {
        Lasting::Jar => 'j',
        Lasting::Project => 'p',
        Lasting::Always => 'a',
    }
}

fn place(scope: Lasting) -> &'static str {
    match scope {
        Lasting::Jar => "in this jar",
        Lasting::Project => "in this project",
        Lasting::Always => "everywhere",
    }
}

/// The scope that `key` grants for, if that is offered.
pub(super) fn scope(key: char, offer: &Offer) -> Option<Lasting> {
    scope_in(key, &offer.scopes())
}

pub(super) fn scope_in(key: char, scopes: &[Lasting]) -> Option<Lasting> {
    scopes.iter().copied().find(|scope| self::key(*scope) == key)
}

/// What exactly would be granted.
pub(super) fn grant(style: Style, scope: Lasting, question: &Question<'_>) -> String {
    let lasts = match scope {
        Lasting::Jar => "as long as it is there".to_owned(),
        Lasting::Project | Lasting::Always => format!("for {DAYS} days"),
    };
    let place = match scope {
        Lasting::Project => format!("in {}", question.place.workspace),
        _ => place(scope).to_owned(),
    };
    let mut out = style.bold(&format!("Not asked again {place} {lasts}, and nothing besides it:")) + "\n";
    for effect in question.offer.effects() {
        out += &format!("       {effect}\n");
    }
    out
}
