//! A reader for sed scripts: which files they read or write, and whether they run commands.

/// What a script does besides editing the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) reads: Vec<String>,
    pub(crate) writes: Vec<String>,
    /// Commands of `e`.
    pub(crate) commands: Vec<String>,
    /// What the stream holds is run: `e` alone, the flag `e`.
    pub(crate) executes: bool,
}

/// Reads a script. `None` when a part is not understood.
pub(crate) fn read(script: &str) -> Option<Facts> {
    let mut facts = Facts::default();
    let mut rest = script;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', ';', '{', '}']);
        if rest.is_empty() {
            return Some(facts);
        }
        rest = address(rest)?;
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.starts_with('{') {
            continue;
        }
        rest = command(rest, &mut facts)?;
    }
}

/// Passes over `N`, `$`, `/re/`, `\cREc`, `N,M`, `N~M`, `!`.
fn address(mut rest: &str) -> Option<&str> {
    loop {
        let first = rest.chars().next()?;
        match first {
            '0'..='9' | '$' | ',' | '!' | '~' | '+' | ' ' | '\t' => rest = rest.get(1..)?,
            '/' => rest = delimited(rest.get(1..)?, '/')?.trim_start_matches(['I', 'M']),
            '\\' => {
                let delimiter = rest.chars().nth(1)?;
                rest = delimited(rest.get(1 + delimiter.len_utf8()..)?, delimiter)?.trim_start_matches(['I', 'M']);
            }
            _ => return Some(rest),
        }
    }
}

/// What is behind the next `delimiter` that is not escaped and not in a bracket expression.
fn delimited(text: &str, delimiter: char) -> Option<&str> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == delimiter => return text.get(at + c.len_utf8()..),
            _ => {}
        }
    }
    None
}

/// Whether the delimiter that ends `pattern` (before `rest`) may stand inside a bracket expression. GNU sed ends the
/// pattern there, other seds do not: then nobody knows what the script says.
fn brackets_hold(pattern: &str, rest: &str, delimiter: char) -> bool {
    let length = pattern.len().saturating_sub(rest.len() + delimiter.len_utf8());
    let head = pattern.get(..length).unwrap_or("");
    head.rfind('[').is_some_and(|open| !head.get(open + 1..).is_some_and(|inside| inside.contains(']')))
}

fn command<'s>(rest: &'s str, facts: &mut Facts) -> Option<&'s str> {
    let letter = rest.chars().next()?;
    let tail = rest.get(letter.len_utf8()..)?;
    match letter {
        'p' | 'd' | 'D' | 'P' | 'n' | 'N' | 'g' | 'G' | 'h' | 'H' | 'x' | '=' | 'z' | 'F' => Some(tail),
        'q' | 'Q' | 'l' | 'L' => Some(tail.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ')),
        '#' => Some(after_line(tail)),
        'a' | 'i' | 'c' => Some(after_text(tail)),
        ':' | 'b' | 't' | 'T' => Some(tail.find([';', '\n', '}']).and_then(|at| tail.get(at..)).unwrap_or("")),
        'w' | 'W' => Some(file(tail, &mut facts.writes)),
        'r' | 'R' => Some(file(tail, &mut facts.reads)),
        'e' => {
            let (line, rest) = tail.split_once('\n').unwrap_or((tail, ""));
            match line.trim() {
                "" => facts.executes = true,
                // A line that goes on, or a bracket that may be one of sed's.
                text if text.contains(['\\', '}']) => facts.executes = true,
                text => facts.commands.push(text.to_owned()),
            }
            Some(rest)
        }
        's' => {
            let delimiter = tail.chars().next()?;
            let pattern = tail.get(delimiter.len_utf8()..)?;
            let replacement = delimited(pattern, delimiter)?;
            if brackets_hold(pattern, replacement, delimiter) {
                return None;
            }
            let behind = delimited(replacement, delimiter)?;
            flags(behind, facts)
        }
        'y' => {
            let delimiter = tail.chars().next()?;
            delimited(delimited(tail.get(delimiter.len_utf8()..)?, delimiter)?, delimiter)
        }
        _ => None,
    }
}

fn flags<'s>(mut rest: &'s str, facts: &mut Facts) -> Option<&'s str> {
    loop {
        match rest.chars().next() {
            Some('g' | 'p' | 'i' | 'I' | 'm' | 'M' | '0'..='9') => rest = rest.get(1..)?,
            Some('e') => {
                facts.executes = true;
                rest = rest.get(1..)?;
            }
            Some('w') => return Some(file(rest.get(1..)?, &mut facts.writes)),
            None | Some(';' | '\n' | '}' | ' ' | '#') => return Some(rest),
            Some(_) => return None,
        }
    }
}

fn after_line(text: &str) -> &str {
    text.split_once('\n').map_or("", |(_, rest)| rest)
}

/// Text of a, i, c: to the end of the line, further where the newline is escaped.
fn after_text(text: &str) -> &str {
    let mut rest = text;
    loop {
        match rest.split_once('\n') {
            None => return "",
            Some((line, more)) if line.ends_with('\\') => rest = more,
            Some((_, more)) => return more,
        }
    }
}

/// A file name reaches to the end of the line.
fn file<'s>(text: &'s str, into: &mut Vec<String>) -> &'s str {
    let (name, rest) = text.split_once('\n').unwrap_or((text, ""));
    into.push(name.trim().to_owned());
    rest
}

#[cfg(test)]
mod tests {
    use super::{Facts, read};

    #[test]
    fn scripts_that_only_edit() {
        for script in [
            "10,20p",
            "s/foo/bar/g",
            "/a/,/b/d",
            "s|x|y|;s/a/b/2p",
            "$!N;P;D",
            "1d;$d",
            "/re/{s/a/b/;p}",
            "y/abc/xyz/",
            "2q",
            "s/e/w/",
            "/x/!d",
            ":a;N;$!ba;s/\\n/ /g",
            "1i\\hello",
        ] {
            assert_eq!(read(script), Some(Facts::default()), "{script}");
        }
    }

    #[test]
    fn scripts_that_do_more() {
        assert_eq!(read("1e id").unwrap().commands, ["id"]);
        assert!(read("e").unwrap().executes);
        assert!(read("1{e id}").unwrap().executes);
        assert!(read("s/a/b/e").unwrap().executes);
        assert_eq!(read("s/a/b/w /etc/x").unwrap().writes, ["/etc/x"]);
        assert_eq!(read("p;w /tmp/o").unwrap().writes, ["/tmp/o"]);
        assert_eq!(read("r f").unwrap().reads, ["f"]);
        assert_eq!(read("s/a/b"), None);
        assert_eq!(read("s/[/]/;p;#/e"), None);
        assert_eq!(read("@"), None);
    }
}
