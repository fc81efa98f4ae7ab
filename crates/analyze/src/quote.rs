//! Quoting: an argument vector as shell text that bash reads back as exactly that.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// `argv` as one line of shell text. Bash reads it back as exactly these arguments, whatever bytes they hold.
///
/// Plain words stay as they are; others are put into single quotes, and words with control characters into `$'...'`
/// so that the text is one visible line. Arguments of a process hold no NUL; one given here ends its word.
#[must_use]
pub fn quote(argv: &[impl AsRef<OsStr>]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, argument) in argv.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        push(&mut out, argument.as_ref().as_bytes(), at == 0);
    }
    out
}

fn push(out: &mut Vec<u8>, argument: &[u8], first: bool) {
    let argument = argument.split(|byte| *byte == 0).next().unwrap_or(&[]);
    if !argument.is_empty() && argument.iter().all(|byte| is_plain(*byte, first)) && !is_reserved(argument, first) {
        out.extend_from_slice(argument);
    } else if std::str::from_utf8(argument).is_ok_and(|text| !text.chars().any(char::is_control)) {
        single(out, argument);
    } else {
        ansi(out, argument);
    }
}

/// `=` is plain but in the first word, where it would assign.
fn is_plain(byte: u8, first: bool) -> bool {
    byte.is_ascii_alphanumeric() || b"_-./:,@%+".contains(&byte) || (byte == b'=' && !first)
}

/// Reserved words are words of their own only when they are quoted.
fn is_reserved(argument: &[u8], first: bool) -> bool {
    const RESERVED: &[&str] = &[
        "if", "then", "else", "elif", "fi", "do", "done", "case", "esac", "while", "until", "for", "in", "function",
        "select", "time", "coproc",
    ];
    first && RESERVED.iter().any(|word| word.as_bytes() == argument)
}

fn single(out: &mut Vec<u8>, argument: &[u8]) {
    out.push(b'\'');
    for byte in argument {
        if *byte == b'\'' {
            out.extend_from_slice(b"'\\''");
        } else {
            out.push(*byte);
        }
    }
    out.push(b'\'');
}

/// `$'...'` with every byte that is not printable ASCII in octal; three digits, so that no digit behind joins it.
fn ansi(out: &mut Vec<u8>, argument: &[u8]) {
    out.extend_from_slice(b"$'");
    for byte in argument {
        match byte {
            b'\'' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0x20..=0x7e => out.push(*byte),
            _ => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
        }
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn examples() {
        for (argv, expected) in [
            (vec!["ls", "-la"], "ls -la"),
            (vec!["echo", "it's", ""], r"echo 'it'\''s' ''"),
            (vec!["a=b", "a=b"], "'a=b' a=b"),
            (vec!["if", "if"], "'if' if"),
            (vec!["x", "a\nb"], r"x $'a\012b'"),
            (vec!["~", "*"], "'~' '*'"),
        ] {
            assert_eq!(String::from_utf8(quote(&argv)).unwrap(), expected);
        }
    }
}
