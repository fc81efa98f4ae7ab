//! Text for a terminal: nothing a stranger wrote reaches it raw.
//!
//! Control characters, bidirectional overrides and invisible characters can hide or reorder what a person reads
//! (Trojan Source, CVE-2021-42574), so names and output are shown with them spelled out.

use std::fmt::Write as _;

/// `bytes` as one line of printable text: invalid UTF-8 as `\xHH`, dangerous characters as `\u{..}`.
#[must_use]
pub fn bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        push(&mut out, chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out
}

/// `text` as one line of printable text.
#[must_use]
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push(&mut out, text);
    out
}

fn push(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_deceptive(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// Whether `c` can change how the characters around it look, or cannot be seen at all: C0 and C1 controls, bidi
/// controls, zero-width and other default-ignorable characters, tag characters, and line separators.
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    #[test]
    fn nothing_raw_gets_through() {
        assert_eq!(super::bytes(b"a\x1b[2Jb\xff"), "a\\u{1b}[2Jb\\xff");
        assert_eq!(super::text("x\u{202e}y\u{200b}\n"), "x\\u{202e}y\\u{200b}\\n");
        assert_eq!(super::text("naïve 日本 🫙"), "naïve 日本 🫙");
    }
}
