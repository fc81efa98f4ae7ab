//! Small allow-lists for code in other languages: what is provably only computing and printing.
//!
//! Anything outside them is opaque. They are narrow on purpose: a wrong "pure" is a hole, a wrong "opaque" a question.

/// Longest program that is looked at.
const CODE_BYTES_MAX: usize = 4096;

/// JavaScript: `console.log` of literals, arithmetic, facts of the process, and `require('./x.json')`. Gives those files;
/// `None` where anything else stands.
pub(crate) fn javascript(code: &str) -> Option<Vec<String>> {
    let (code, files) = without_files(code, "require(", |name| name.ends_with(".json") && name.starts_with(['.', '/']));
    javascript_computes(&code).then_some(files)
}

/// Takes `CALL'name')` out of code where `name` is a plain file name that `fits`. A name without blanks, brackets and
/// quotes cannot be code, whatever stands around it.
fn without_files(code: &str, call: &str, fits: fn(&str) -> bool) -> (String, Vec<String>) {
    let mut files = Vec::new();
    let mut out = String::new();
    let mut rest = code;
    while let Some((head, tail)) = rest.split_once(call) {
        out.push_str(head);
        let name = tail.strip_prefix(['\'', '"']).and_then(|text| text.split_once(['\'', '"']));
        let plain = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
        };
        let bounded = !head.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'));
        match name.and_then(|(name, behind)| Some((name, behind.strip_prefix(')')?))) {
            Some((name, behind)) if bounded && plain(name) && fits(name) => {
                files.push(name.to_owned());
                out.push_str(" x ");
                rest = behind;
            }
            _ => {
                out.push_str(call);
                rest = tail;
            }
        }
    }
    out.push_str(rest);
    (out, files)
}

/// `console.log` of literals, arithmetic and facts of the process.
fn javascript_computes(code: &str) -> bool {
    const NAMES: &[&str] = &[
        "console",
        "log",
        "process",
        "version",
        "versions",
        "platform",
        "arch",
        "Math",
        "PI",
        "sqrt",
        "max",
        "min",
        "JSON",
        "stringify",
        "true",
        "false",
        "null",
        "node",
        "v8",
        "x",
        "name",
        "scripts",
        "dependencies",
        "devDependencies",
        "engines",
        "main",
        "Object",
        "keys",
        "length",
        "join",
        "parse",
    ];
    code.len() <= CODE_BYTES_MAX
        && !code.contains(['`', '['])
        && words(code, &['/']).is_some_and(|words| words.iter().all(|word| NAMES.contains(&word.as_str())))
}

/// Perl: statements `print`, `s/re/text/`, `tr/a/b/`, `next`, each perhaps with `if /re/`. Patterns and texts may hold
/// code in Perl; what could start it is refused.
pub(crate) fn perl(code: &str) -> bool {
    if code.len() > CODE_BYTES_MAX || code.contains(['`', '@', '\n']) || code.contains("(?") || code.contains("${") {
        return false;
    }
    // `;` and `#` may stand inside a pattern: then what is cut here is no statement, and refused.
    code.split(';').map(str::trim).filter(|statement| !statement.is_empty()).all(|statement| {
        let (what, condition) = match statement.split_once(" if ").or_else(|| statement.split_once(" unless ")) {
            Some((what, condition)) => (what.trim(), Some(condition.trim())),
            None => (statement, None),
        };
        let tests = |text: &str| slashed(text.trim_start_matches('!'), 1, "ix");
        let does = match what.get(..1) {
            _ if matches!(what, "print" | "next" | "last") => true,
            Some("s") => slashed(what.get(1..).unwrap_or(""), 2, "gimsx"),
            Some("y") => slashed(what.get(1..).unwrap_or(""), 2, "dsr"),
            _ => what.strip_prefix("tr").is_some_and(|rest| slashed(rest, 2, "dsr")),
        };
        does && condition.is_none_or(tests)
    })
}

/// Whether `text` is `/.../` with as many parts, and behind them nothing but letters of `flags`.
fn slashed(text: &str, parts: usize, flags: &str) -> bool {
    let Some(delimiter) = text.chars().next().filter(|c| "/|#,!".contains(*c)) else { return false };
    let mut found = 0;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == delimiter => {
                found += 1;
                if found == parts {
                    return text.get(at + 1..).is_some_and(|rest| rest.chars().all(|c| flags.contains(c)));
                }
            }
            _ => {}
        }
    }
    false
}

/// awk: no `system`, no pipes, no redirections, no `getline`, no indirect calls, no includes.
pub(crate) fn awk(code: &str) -> bool {
    const REFUSED: &[&str] = &["system", "getline", "close", "fflush", "ENVIRON", "PROCINFO"];
    if code.len() > CODE_BYTES_MAX || code.contains('@') {
        return false;
    }
    if REFUSED.iter().any(|word| code.contains(word)) {
        return false;
    }
    let Some(bare) = without_literals(code) else { return false };
    let words = identifiers(&bare);
    if words.iter().any(|word| REFUSED.contains(&word.as_str())) {
        return false;
    }
    let one_bar = bare.replace("||", "").contains('|');
    let prints = words.iter().any(|word| word == "print" || word == "printf");
    // `print > file` writes; a comparison in a pattern does not, so `>` only counts behind a print in the same statement.
    let writes = prints
        && bare.split(['{', '}', ';', '\n']).any(|statement| {
            statement.find("print").is_some_and(|at| statement.get(at..).is_some_and(|rest| rest.contains('>')))
        });
    !one_bar && !writes
}

/// The identifiers of code outside its strings; `None` when a string does not end, an escape hides a name, or one of
/// `refused` stands outside (comments, regular expressions: quotes in them would hide code).
fn words(code: &str, refused: &[char]) -> Option<Vec<String>> {
    let (bare, formatted) = without_strings(code)?;
    if formatted || bare.contains(refused) || bare.contains('\\') || bare.contains("__") {
        return None;
    }
    Some(identifiers(&bare))
}

/// Code with its string literals taken out, and whether one was a formatted string that holds code.
fn without_strings(code: &str) -> Option<(String, bool)> {
    let mut out = String::new();
    let mut formatted = false;
    let mut chars = code.chars();
    while let Some(c) = chars.next() {
        if c != '"' && c != '\'' {
            out.push(c);
            continue;
        }
        formatted |= out.ends_with(['f', 'F', 'r', 'b'])
            && !out.trim_end_matches(['f', 'F', 'r', 'b']).ends_with(char::is_alphanumeric);
        loop {
            match chars.next()? {
                '\\' => {
                    chars.next()?;
                }
                end if end == c => break,
                _ => {}
            }
        }
        out.push(' ');
    }
    Some((out, formatted))
}

/// awk code without its strings and regular expressions. `None` where a quote or bracket inside a regular expression
/// makes it doubtful where the literal ends.
fn without_literals(code: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = code.chars();
    while let Some(c) = chars.next() {
        // Behind these a division is impossible, so a slash starts a regular expression.
        let opens =
            out.trim_end_matches([' ', '\t']).chars().next_back().is_none_or(|before| "~(,!&|;{}\n".contains(before));
        match c {
            '"' => skip_literal(&mut chars, '"', "")?,
            '/' if opens => skip_literal(&mut chars, '/', "\"[\n")?,
            '#' => return None,
            c => out.push(c),
        }
        if matches!(c, '"' | '/') {
            out.push_str(" 0 ");
        }
    }
    Some(out)
}

/// Passes over a literal up to its `end`; `None` when it does not end or holds one of `doubtful`.
fn skip_literal(chars: &mut std::str::Chars<'_>, end: char, doubtful: &str) -> Option<()> {
    loop {
        match chars.next()? {
            '\\' => {
                chars.next()?;
            }
            c if c == end => return Some(()),
            c if doubtful.contains(c) => return None,
            _ => {}
        }
    }
}

fn identifiers(code: &str) -> Vec<String> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pure_programs() {
        assert_eq!(
            javascript("console.log(require('./package.json').version)"),
            Some(vec!["./package.json".to_owned()])
        );
        for code in ["print if /x/", "s/a/b/g", "s|a/b|c|; print", "tr/a-z/A-Z/", "next if /^#/; s/ +$//"] {
            assert!(perl(code), "{code}");
        }
        for code in [
            "system('id')",
            "s/a/b/e",
            "s/a/b/ee",
            "print `id`",
            "s/a/@{[`id`]}/",
            "s/(?{system(1)})//",
            "print; unlink 'x'",
            "s/a/${\\system(1)}/",
            "s/a;b/c/e",
            "exec 'id' if /x/",
            "print STDERR",
            "open F, '>x'",
            "s/a/b/ if system(1)",
        ] {
            assert!(!perl(code), "{code}");
        }
        assert_eq!(javascript("console.log(process.version)"), Some(vec![]));
        assert!(awk("{print $1}"));
        assert!(awk("NR > 1 && $3 ~ /foo|bar/ {sum += $4} END {print sum / 2}"));
        assert!(awk("$3 > 10 {print $1, \"a > b\"}"));
        assert!(awk("BEGIN{FS=\",\"} NR==1||NR==2{print $2}"));
    }

    #[test]
    fn impure_programs() {
        for code in [
            "require('fs')",
            "process.exit(1)",
            "console.log(`x`)",
            "process['mainModule']",
            "eval('1')",
            "import('fs')",
            "/'/.test(1);evil();/'/",
        ] {
            assert_eq!(javascript(code), None, "{code}");
        }
        for code in [
            "BEGIN{system(\"id\")}",
            "{print > \"f\"}",
            "{print | \"sh\"}",
            "{\"id\" | getline}",
            "@include \"x\"",
            "{printf \"x\" >> \"y\"}",
            "\"unclosed",
            "/\"/{system(\"id\")} /\"/",
            "{x = a / b; print | \"sh\"} / c",
            "/\"/{print | \"sh\"} /\"/",
        ] {
            assert!(!awk(code), "{code}");
        }
    }
}
