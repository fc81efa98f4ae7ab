//! The byte pre-filter: characters that make a text look like something else (BJ003, BJ004, BJ005).

use crate::eval::Report;
use model::{Risk, Span};
use std::fmt::Write as _;

/// Looks at every character before anything is parsed.
pub(crate) fn disguises(text: &str, report: &mut Report) {
    scan(text, None, report);
}

/// The same for text computed from the word at `fixed`.
pub(crate) fn disguises_in(text: &str, fixed: Span, report: &mut Report) {
    scan(text, Some(fixed), report);
}

fn scan(text: &str, fixed: Option<Span>, report: &mut Report) {
    if text.is_ascii() && !text.bytes().any(|byte| byte < 0x20 && !matches!(byte, b'\n' | b'\t') || byte == 0x7f) {
        return;
    }
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        let joins_emoji = matches!(c, '\u{200d}' | '\u{fe0f}') && u32::from(before) > 0x2000;
        before = c;
        if joins_emoji {
            continue;
        }
        let span = fixed.unwrap_or_else(|| Span::new(at, at + c.len_utf8()));
        if let Some((check, severity, what)) = disguise(c) {
            let mut message = format!("{what} (U+");
            // Writing to a String cannot fail.
            let _ = write!(message, "{:04X})", u32::from(c));
            report.find_as(check, severity, span, &message);
        }
    }
    for (span, word) in words(text) {
        if word.contains("://") && word.contains(model::escape::is_deceptive) {
            report.find(4, fixed.unwrap_or(span), "an address with a character that is not seen");
        }
        if mixes_scripts(word) {
            report.find(4, fixed.unwrap_or(span), "letters of another script look like Latin ones in this word");
        }
    }
}

fn disguise(c: char) -> Option<(u16, Risk, &'static str)> {
    Some(match c {
        '\n' | '\t' => return None,
        '\r' => (3, Risk::High, "a carriage return, which a terminal shows as a new line and bash as part of a word"),
        '\u{b}' | '\u{c}' => (3, Risk::High, "a vertical tab or form feed, which bash reads as part of a word"),
        '\0' => (5, Risk::High, "a NUL byte, which ends the text for some readers"),
        // These only move or ring; others start what a terminal obeys, and some bash itself uses as marks.
        '\u{7}' | '\u{8}' => (5, Risk::Medium, "a control character"),
        c if c.is_control() => (5, Risk::High, "a control character"),
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            (4, Risk::High, "a blank that bash reads as part of a word")
        }
        '\u{2028}' | '\u{2029}' => (4, Risk::High, "a line separator that bash reads as part of a word"),
        // Shown as what it is, it does what the words around it do; in the name of a program or a peer it makes another.
        c if model::escape::is_deceptive(c) => (4, Risk::Medium, "an invisible or reordering character"),
        _ => return None,
    })
}

/// Blank-separated words with their spans.
fn words(text: &str) -> impl Iterator<Item = (Span, &str)> {
    let mut at = 0usize;
    text.split([' ', '\t', '\n']).map(move |word| {
        let start = at;
        at += word.len() + 1;
        (Span::new(start, start + word.len()), word)
    })
}

/// Whether a word holds Latin letters next to Cyrillic or Greek ones that look the same, or starts with a dash that is none.
fn mixes_scripts(word: &str) -> bool {
    const TWINS: &str = "аеорсухіјѕһԁԛԝАВЕКМНОРСТХІЈЅᴀⅰⅼɡοανικρυΑΒΕΖΗΙΚΜΝΟΡΤΥΧ";
    let latin = word.chars().any(|c| c.is_ascii_alphabetic());
    let dash = word.starts_with(|c| matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}'))
        && word.chars().nth(1).is_some_and(|c| c.is_ascii_alphanumeric());
    let wide = word.chars().any(|c| matches!(c, '\u{ff01}'..='\u{ff5e}'));
    (latin && word.chars().any(|c| TWINS.contains(c))) || dash || wide
}
