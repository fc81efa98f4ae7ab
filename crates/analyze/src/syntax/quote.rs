//! Quoting: single quotes, `$'...'` and backslashes.

use super::ast::{Part, QuoteStyle};
use super::cursor::{ProblemKind, Reader};

impl Reader<'_> {
    /// `'...'` behind its opening quote.
    pub(super) fn single_quoted(&mut self) -> Part {
        let start = self.pos;
        let rest = self.rest();
        let text = rest.split('\'').next().unwrap_or("");
        self.pos += text.len();
        self.last = self.pos;
        if self.raw() == Some(b'\'') {
            self.bump_raw();
        } else {
            self.problem(ProblemKind::Incomplete, start.saturating_sub(1), "a single quote is not closed");
        }
        Part::Quoted(text.to_owned(), QuoteStyle::Single)
    }

    /// `$'...'` behind its opening quote, decoded as the bash manual's section 3.1.2.4 says.
    pub(super) fn ansi_quoted(&mut self) -> Part {
        let start = self.pos;
        let mut raw = String::new();
        loop {
            match self.bump_raw() {
                None => {
                    self.problem(ProblemKind::Incomplete, start.saturating_sub(2), "a $' quote is not closed");
                    break;
                }
                Some('\'') => break,
                Some('\\') => {
                    raw.push('\\');
                    raw.extend(self.bump_raw());
                }
                Some(c) => raw.push(c),
            }
        }
        Part::Quoted(decode_ansi(&raw), QuoteStyle::Ansi)
    }
}

/// Which escapes a text has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// `$'...'`
    Ansi,
    /// The format of `printf`.
    Format,
    /// `echo -e`
    Echo,
    /// `%b` of `printf`.
    Argument,
}

/// Decodes the escapes of `$'...'`. A NUL ends the string, as in bash.
pub(crate) fn decode_ansi(raw: &str) -> String {
    decode(raw, Escapes::Ansi).unwrap_or_default()
}

/// Decodes what a builtin prints. `None` where it would print less than the whole (`\\c`) or a NUL.
pub(crate) fn decode_printed(raw: &str, escapes: Escapes) -> Option<String> {
    decode(raw, escapes).filter(|text| !text.contains('\0'))
}

fn decode(raw: &str, escapes: Escapes) -> Option<String> {
    let mut out: Vec<u8> = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or("");
        if c != '\\' {
            push_char(&mut out, c);
            continue;
        }
        let Some(escape) = rest.chars().next() else {
            out.push(b'\\');
            break;
        };
        rest = rest.get(escape.len_utf8()..).unwrap_or("");
        rest = match (escape, escapes) {
            ('c', Escapes::Echo | Escapes::Argument) => return None,
            ('c', Escapes::Format) | ('\'' | '"' | '?', Escapes::Echo | Escapes::Argument) => {
                out.push(b'\\');
                push_char(&mut out, escape);
                rest
            }
            ('0', Escapes::Echo | Escapes::Argument) => octal(&mut out, '0', rest, 3),
            ('x', Escapes::Echo | Escapes::Argument | Escapes::Format) => numeric(&mut out, rest, 16, 2, escape),
            ('1'..='7', Escapes::Echo) => {
                out.push(b'\\');
                push_char(&mut out, escape);
                rest
            }
            _ => decode_escape(&mut out, escape, rest),
        };
    }
    let whole = out.split(|byte| *byte == 0).next().unwrap_or(&[]);
    let text = if escapes == Escapes::Ansi { whole } else { &out };
    Some(String::from_utf8_lossy(text).into_owned())
}

fn push_char(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Decodes one escape whose letter is `escape`; `rest` follows it. Gives what is left.
fn decode_escape<'a>(out: &mut Vec<u8>, escape: char, rest: &'a str) -> &'a str {
    let simple = match escape {
        'a' => Some(7),
        'b' => Some(8),
        'e' | 'E' => Some(27),
        'f' => Some(12),
        'n' => Some(10),
        'r' => Some(13),
        't' => Some(9),
        'v' => Some(11),
        '\\' | '\'' | '"' | '?' => u8::try_from(escape).ok(),
        _ => None,
    };
    if let Some(byte) = simple {
        out.push(byte);
        return rest;
    }
    match escape {
        'x' if rest.starts_with('{') => braced_byte(out, rest),
        'x' => numeric(out, rest, 16, 2, escape),
        'u' => numeric(out, rest, 16, 4, escape),
        'U' => numeric(out, rest, 16, 8, escape),
        'c' => {
            let mut chars = rest.chars();
            if let Some(c) = chars.next() {
                out.push(u8::try_from(c).map_or(b'?', |byte| byte.to_ascii_uppercase() & 0x1f));
            }
            chars.as_str()
        }
        '0'..='7' => octal(out, escape, rest, 2),
        other => {
            out.push(b'\\');
            push_char(out, other);
            rest
        }
    }
}

fn octal<'a>(out: &mut Vec<u8>, first: char, rest: &'a str, digits_max: usize) -> &'a str {
    let mut value = first.to_digit(8).unwrap_or(0);
    let more = rest.chars().take(digits_max).take_while(|c| c.is_digit(8)).count();
    for c in rest.chars().take(more) {
        value = value * 8 + c.to_digit(8).unwrap_or(0);
    }
    out.push((value & 0xff) as u8);
    rest.get(more..).unwrap_or("")
}

/// `\\x{H...}`, as bash reads it: any number of digits, of whose value one byte stays, and a brace that may be missing.
fn braced_byte<'a>(out: &mut Vec<u8>, rest: &'a str) -> &'a str {
    let rest = rest.strip_prefix('{').unwrap_or(rest);
    let digits = rest.chars().take_while(char::is_ascii_hexdigit).count();
    let (inside, rest) = rest.split_at_checked(digits).unwrap_or((rest, ""));
    let value = inside.chars().fold(0u32, |value, c| (value << 4 | c.to_digit(16).unwrap_or(0)) & 0xff);
    out.push((value & 0xff) as u8);
    rest.strip_prefix('}').unwrap_or(rest)
}

fn numeric<'a>(out: &mut Vec<u8>, rest: &'a str, radix: u32, digits_max: usize, escape: char) -> &'a str {
    let count = rest.chars().take(digits_max).take_while(|c| c.is_digit(radix)).count();
    let Some(value) = rest.get(..count).and_then(|digits| u32::from_str_radix(digits, radix).ok()) else {
        out.push(b'\\');
        push_char(out, escape);
        return rest;
    };
    if escape == 'x' {
        out.push((value & 0xff) as u8);
    } else {
        push_char(out, char::from_u32(value).unwrap_or('\u{fffd}'));
    }
    rest.get(count..).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::{Escapes, decode_ansi, decode_printed};

    #[test]
    fn what_builtins_print() {
        for (raw, escapes, expected) in [
            (r#"a\?b\'c\"\0141"#, Escapes::Format, Some("a?b'c\"\u{c}1")),
            (r#"a\?\'\"\0141|\141"#, Escapes::Argument, Some("a\\?\\'\\\"a|a")),
            (r#"a\?\'\"\0141|\141"#, Escapes::Echo, Some("a\\?\\'\\\"a|\\141")),
            (r"a\cb", Escapes::Format, Some("a\\cb")),
            (r"a\cb", Escapes::Echo, None),
            (r"a\0b", Escapes::Format, None),
        ] {
            assert_eq!(decode_printed(raw, escapes).as_deref(), expected, "{raw} {escapes:?}");
        }
    }

    #[test]
    fn escapes_of_the_manual() {
        for (raw, expected) in [
            (r"\x72\x6d", "rm"),
            (r"a\tb\n", "a\tb\n"),
            (r"\162\155", "rm"),
            (r"\u00e9\e", "é\u{1b}"),
            (r"\cA\q", "\u{1}\\q"),
            (r"ab\0cd", "ab"),
            (r"\x{41}\x{6a6b}c\x{6d", "Akcm"),
            (r"a\x{}b", "a"),
        ] {
            assert_eq!(decode_ansi(raw), expected, "{raw}");
        }
    }
}
