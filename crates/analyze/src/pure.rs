//! Small allow-lists for code in other languages: what is provably only computing and printing.
//!
//! Anything outside them is opaque. They are narrow on purpose: a wrong "pure" is a hole, a wrong "opaque" a question.

/// Longest program that is looked at.
const CODE_BYTES_MAX: usize = 4096;

/// Python: `print(...)` of literals and arithmetic, imports of a few pure modules and nothing of them but attributes.
pub(crate) fn python(code: &str) -> bool {
    const MODULES: &[&str] = &["sys", "math", "json", "platform", "string", "datetime", "re"];
    const NAMES: &[&str] = &[
        "print",
        "len",
        "sum",
        "range",
        "sorted",
        "min",
        "max",
        "abs",
        "str",
        "int",
        "float",
        "repr",
        "round",
        "list",
        "tuple",
        "set",
        "dict",
        "bool",
        "ord",
        "chr",
        "hex",
        "bin",
        "True",
        "False",
        "None",
        "version",
        "version_info",
        "platform",
        "prefix",
        "executable",
        "path",
        "maxsize",
        "math",
        "pi",
        "e",
        "sqrt",
        "floor",
        "ceil",
        "sys",
        "import",
        "for",
        "in",
        "if",
        "else",
        "not",
        "and",
        "or",
        "x",
        "i",
        "n",
        "join",
        "upper",
        "lower",
        "strip",
        "split",
        "python_version",
        "system",
        "machine",
    ];
    if code.len() > CODE_BYTES_MAX {
        return false;
    }
    if code.contains("\"\"\"") || code.contains("'''") {
        return false;
    }
    let Some(words) = words(code, &['#']) else { return false };
    code.split(['\n', ';']).map(str::trim).filter(|line| !line.is_empty()).all(|line| match line.strip_prefix("import ") {
        Some(modules) => modules.split(',').all(|module| MODULES.contains(&module.trim())),
        None => !line.contains("import"),
    }) && words.iter().all(|word| NAMES.contains(&word.as_str()))
        // platform.system() only asks for a name; os.system is not reachable without `os`, but a bare `system` is refused.
        && (!words.iter().any(|word| word == "system") || code.contains("platform.system()"))
}

/// JavaScript: `console.log` of literals, arithmetic and facts of the process.
pub(crate) fn javascript(code: &str) -> bool {
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
    ];
    code.len() <= CODE_BYTES_MAX
        && !code.contains(['`', '['])
        && words(code, &['/']).is_some_and(|words| words.iter().all(|word| NAMES.contains(&word.as_str())))
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
        assert!(python("print(1)"));
        assert!(python("import sys; print(sys.version)"));
        assert!(javascript("console.log(process.version)"));
        assert!(awk("{print $1}"));
        assert!(awk("NR > 1 && $3 ~ /foo|bar/ {sum += $4} END {print sum / 2}"));
        assert!(awk("$3 > 10 {print $1, \"a > b\"}"));
        assert!(awk("BEGIN{FS=\",\"} NR==1||NR==2{print $2}"));
    }

    #[test]
    fn impure_programs() {
        for code in [
            "import os; os.remove('x')",
            "open('x','w')",
            "exec('1')",
            "print(__import__('os'))",
            "import sys; sys.exit()",
            "eval('1')",
            "print(f'{x}')",
            "getattr(sys,'x')",
            "from os import system",
            "import sys,os",
            "print(open('x'))",
            "system('id')",
            "\"\"\" \" \"\"\"; evil(); \"\"\" \" \"\"\"",
        ] {
            assert!(!python(code), "{code}");
        }
        for code in [
            "require('fs')",
            "process.exit(1)",
            "console.log(`x`)",
            "process['mainModule']",
            "eval('1')",
            "import('fs')",
            "/'/.test(1);evil();/'/",
        ] {
            assert!(!javascript(code), "{code}");
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
