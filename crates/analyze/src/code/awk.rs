//! awk: what a program writes, reads and runs beside its input (BJ013). A reader of tokens is enough, because redirections,
//! pipes and `getline` are told by the tokens around them.

use super::Facts;

/// Longest program that is looked at.
const CODE_BYTES_MAX: usize = 16 << 10;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    /// A text, or `None` where an escape makes it doubtful which.
    Text(Option<String>),
    Number,
    Regex,
    /// A sign or two.
    Sign(&'static str),
    Line,
}

/// Signs, longest first.
const SIGNS: &[&str] = &[
    "**=", ">>", "|&", "||", "&&", "==", "!=", "<=", ">=", "!~", "++", "--", "+=", "-=", "*=", "/=", "%=", "^=", "**",
    "{", "}", "(", ")", "[", "]", ";", ",", "+", "-", "*", "/", "%", "^", "!", ">", "<", "|", "?", ":", "~", "$", "=",
];

/// What `code` does beside its input; `None` where it is not known.
pub(crate) fn read(code: &str) -> Option<Facts> {
    if code.len() > CODE_BYTES_MAX || code.contains('\0') {
        return None;
    }
    let tokens = tokens(code)?;
    let mut facts = Facts::default();
    (0..tokens.len()).try_for_each(|at| token(&tokens, at, &mut facts))?;
    Some(facts)
}

fn tokens(code: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(c) = rest.chars().next() {
        let behind = rest.get(c.len_utf8()..)?;
        match c {
            ' ' | '\t' | '\r' => rest = behind,
            '\\' if behind.starts_with('\n') => rest = behind.get(1..)?,
            '\n' => {
                tokens.push(Token::Line);
                rest = behind;
            }
            '#' => rest = rest.get(rest.find('\n').unwrap_or(rest.len())..)?,
            '"' => {
                let (text, after) = text(behind)?;
                tokens.push(Token::Text(text));
                rest = after;
            }
            '/' if !ends_value(tokens.last()) => {
                rest = regex(behind)?;
                tokens.push(Token::Regex);
            }
            '/' if doubtful(tokens.last())
                && behind.split(['/', '\n']).next().is_some_and(|body| body.contains('"')) =>
            {
                return None;
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                tokens.push(Token::Name(rest.get(..end)?.to_owned()));
                rest = rest.get(end..)?;
            }
            c if c.is_ascii_digit() || (c == '.' && behind.starts_with(|c: char| c.is_ascii_digit())) => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len());
                tokens.push(Token::Number);
                rest = rest.get(end..)?;
            }
            _ => {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign))?;
                tokens.push(Token::Sign(sign));
                rest = rest.get(sign.len()..)?;
            }
        }
    }
    Some(tokens)
}

/// Whether a value has ended here, so that a slash divides.
fn ends_value(before: Option<&Token>) -> bool {
    match before {
        // `print /x/`, `return /x/`
        Some(Token::Name(name)) => !matches!(name.as_str(), "print" | "printf" | "return" | "in" | "else" | "do"),
        Some(Token::Text(_) | Token::Number) => true,
        Some(Token::Sign(sign)) => matches!(*sign, ")" | "]" | "$" | "++" | "--"),
        Some(Token::Regex | Token::Line) | None => false,
    }
}

/// Whether a slash could also start a regular expression: behind the bracket of `if (x) /re/`, or a name. If a quote stands
/// in what that would be, the two readings see code in different places.
fn doubtful(before: Option<&Token>) -> bool {
    matches!(before, Some(Token::Name(_) | Token::Sign(")")))
}

/// A text and what is behind it.
fn text(code: &str) -> Option<(Option<String>, &str)> {
    let mut value = Some(String::new());
    let mut chars = code.char_indices();
    loop {
        let (at, c) = chars.next()?;
        match c {
            '"' => return Some((value, code.get(at + 1..)?)),
            '\n' => return None,
            '\\' => {
                let (_, escaped) = chars.next()?;
                let meant = match escaped {
                    '"' | '\\' | '/' => Some(escaped),
                    'n' => Some('\n'),
                    't' => Some('\t'),
                    _ => None,
                };
                value = value.zip(meant).map(|(mut value, c)| {
                    value.push(c);
                    value
                });
            }
            c => {
                if let Some(value) = &mut value {
                    value.push(c);
                }
            }
        }
    }
}

/// Passes over a regular expression. In a bracket expression some awks take a slash for its end and others do not.
fn regex(code: &str) -> Option<&str> {
    let mut bracket = false;
    let mut chars = code.char_indices();
    loop {
        let (at, c) = chars.next()?;
        match c {
            '\\' => {
                chars.next()?;
            }
            '/' if bracket => return None,
            '/' => return code.get(at + 1..),
            '[' => bracket = true,
            ']' => bracket = false,
            '\n' => return None,
            _ => {}
        }
    }
}

fn sign(token: Option<&Token>, signs: &[&str]) -> bool {
    matches!(token, Some(Token::Sign(sign)) if signs.contains(sign))
}

/// The end of a statement or expression: behind it nothing is joined to the text before.
fn ends(token: Option<&Token>) -> bool {
    matches!(token, None | Some(Token::Line)) || sign(token, &[";", "}", ")", "&&", "||", "?", ":"])
}

fn token(tokens: &[Token], at: usize, facts: &mut Facts) -> Option<()> {
    match tokens.get(at)? {
        Token::Name(name) => match name.as_str() {
            "print" | "printf" => printed(tokens, at + 1, facts),
            "system" => {
                let open = sign(tokens.get(at + 1), &["("]);
                facts.shell.push(constant(tokens, at + 2).filter(|_| open && sign(tokens.get(at + 3), &[")"]))?);
                Some(())
            }
            "getline" => getline(tokens, at, facts),
            "ENVIRON" => {
                let name = constant(tokens, at + 2).filter(|_| sign(tokens.get(at + 1), &["["]))?;
                facts.variables.push(name);
                sign(tokens.get(at + 3), &["]"]).then_some(())
            }
            // What is read next, and how pipes are run.
            "ARGV" | "ARGC" | "PROCINFO" | "SYMTAB" | "FUNCTAB" | "BINMODE" => None,
            _ => Some(()),
        },
        // Coprocesses; gawk takes these names for connections wherever they stand.
        Token::Sign("|&") => None,
        Token::Text(Some(text)) if text.starts_with("/inet") => None,
        Token::Sign("|") => piped_into(tokens, at).or_else(|| piped_from(tokens, at)),
        _ => Some(()),
    }
}

/// The text at a place, where it stands alone.
fn constant(tokens: &[Token], at: usize) -> Option<String> {
    match tokens.get(at) {
        Some(Token::Text(Some(text))) => Some(text.clone()),
        _ => None,
    }
}

/// `print ... > "file"`, `>> "file"`, `| "command"`: behind the first such sign outside of brackets stands the target.
fn printed(tokens: &[Token], from: usize, facts: &mut Facts) -> Option<()> {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(from) {
        match token {
            Token::Sign("(" | "[") => depth += 1,
            Token::Sign(")" | "]") => depth = depth.checked_sub(1)?,
            // A line goes on behind these.
            Token::Line
                if sign(at.checked_sub(1).and_then(|before| tokens.get(before)), &[",", "&&", "||", "{", "?", ":"]) => {
            }
            Token::Line | Token::Sign(";" | "}") => return Some(()),
            Token::Sign(sign @ (">" | ">>" | "|")) if depth == 0 => {
                let target = constant(tokens, at + 1).filter(|_| ends(tokens.get(at + 2)))?;
                if *sign == "|" {
                    facts.pipes.push(target);
                } else {
                    facts.writes.push(target);
                }
                return Some(());
            }
            _ => {}
        }
    }
    Some(())
}

/// A bar of a print statement was judged with it.
fn piped_into(tokens: &[Token], at: usize) -> Option<()> {
    let start = tokens.get(..at)?.iter().rposition(|token| matches!(token, Token::Line | Token::Sign(";" | "{" | "}")));
    let statement = tokens.get(start.map_or(0, |start| start + 1)..at)?;
    statement
        .iter()
        .any(|token| matches!(token, Token::Name(name) if name == "print" || name == "printf"))
        .then_some(())
}

/// The bar of `"command" | getline` is judged with it.
fn piped_from(tokens: &[Token], at: usize) -> Option<()> {
    matches!(tokens.get(at + 1), Some(Token::Name(name)) if name == "getline").then_some(())
}

/// `getline`, `getline x`, `getline < "file"`, `"command" | getline`
fn getline(tokens: &[Token], at: usize, facts: &mut Facts) -> Option<()> {
    if sign(at.checked_sub(1).and_then(|before| tokens.get(before)), &["|"]) {
        let command = constant(tokens, at.checked_sub(2)?)?;
        // Another value before the text would be joined to it.
        let before = at.checked_sub(3).and_then(|before| tokens.get(before));
        let alone = matches!(before, None | Some(Token::Line)) || sign(before, &["(", "{", "}", ";", "&&", "||", "!"]);
        return alone.then(|| facts.pipes.push(command));
    }
    // Behind the variable, if there is one.
    let mut next = at + 1;
    if sign(tokens.get(next), &["$"]) {
        next += 2;
    } else if matches!(tokens.get(next), Some(Token::Name(_))) {
        next += 1;
        if sign(tokens.get(next), &["["]) {
            let close = tokens.get(next..)?.iter().position(|token| *token == Token::Sign("]"))?;
            next += close + 1;
        }
    }
    if !sign(tokens.get(next), &["<"]) {
        return Some(());
    }
    let file = constant(tokens, next + 1)?;
    let alone = ends(tokens.get(next + 2)) || sign(tokens.get(next + 2), &[">", "<", "==", ">=", "!=", ","]);
    alone.then(|| facts.reads.push(file))
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::read;

    #[test]
    fn programs_that_only_compute() {
        for code in [
            "{print $1}",
            "NR > 1 && $3 ~ /foo|bar/ {sum += $4} END {print sum / 2}",
            "$3 > 10 {print $1, \"a > b\"}",
            "BEGIN{FS=\",\"} NR==1||NR==2{print $2}",
            "{print ($1 > 2 ? \"a\" : \"b\")}",
            "{a[$1]++} END {for (k in a) print k, a[k] # all\n}",
            "!seen[$0]++",
            "/\"/{n++} END{print n}",
            "{while ((getline line) > 0) n++} END {print n}",
            "{printf \"%s|%s\\n\", $1, $2}",
            "function f(x) { return x * 2 } {print f($1)}",
            "{print $NF/2}",
        ] {
            assert_eq!(read(code), Some(Facts::default()), "{code}");
        }
    }

    #[test]
    fn constant_files_and_commands() {
        let one = |code: &str| read(code).unwrap();
        assert_eq!(one("{print > \"out.txt\"}").writes, ["out.txt"]);
        assert_eq!(one("{printf \"%s\", $1 >> \"x\"; close(\"x\")}").writes, ["x"]);
        assert_eq!(one("{print 1 ?\n2 : 3 > \"z\"}").writes, ["z"]);
        assert_eq!(one("{print 1,\n2 > \"y\"}").writes, ["y"]);
        assert_eq!(one("{print | \"sort -u\"}").pipes, ["sort -u"]);
        assert_eq!(one("BEGIN{system(\"date\")}").shell, ["date"]);
        assert_eq!(one("BEGIN{\"date\" | getline d; print d}").pipes, ["date"]);
        assert_eq!(one("BEGIN{while ((getline l < \"f\") > 0) print l}").reads, ["f"]);
        assert_eq!(one("BEGIN{while ((\"ls\" | getline x) > 0) print x}").pipes, ["ls"]);
        assert_eq!(one("BEGIN{print ENVIRON[\"HOME\"]}").variables, ["HOME"]);
        assert_eq!(one("{print \"a\" > \"/dev/stderr\"}").writes, ["/dev/stderr"]);
    }

    #[test]
    fn everything_else_is_opaque() {
        for code in [
            "{print > $1}",
            "if (1) /\"/; system(\"id\"); x = \"/\" #\"",
            "{print > \"a\" $1}",
            "{print > (\"a\")}",
            "{print | $0}",
            "{print | \"sh \" x}",
            "{$0 | getline}",
            "{\"x\" $1 | getline}",
            "{$1 \"x\" | getline}",
            "{system($0)}",
            "{system(\"a\" $0)}",
            "{print |& \"sh\"}",
            "{\"id\" |& getline}",
            "@include \"x\"",
            "@load \"x\"",
            "{@f($1)}",
            "{getline x < $1}",
            "{getline < \"a\" $1}",
            "BEGIN{ARGV[1]=\"/etc/shadow\"; ARGC=2} {print}",
            "BEGIN{for (k in ENVIRON) print k, ENVIRON[k]}",
            "{print > \"\\x2fetc\"}",
            "{print \"x\" > \"/inet/tcp/0/h/1\"}",
            "\"unclosed",
            "/[/]/{system(x)} /]/",
            "/unclosed",
            "`id`",
        ] {
            assert_eq!(read(code), None, "{code}");
        }
        assert!(read("/\"/{print | \"sh\"} /\"/").is_some_and(|facts| facts.pipes == ["sh"]));
        assert!(read("{x = a / b; print | \"sh\"} / c").is_none_or(|facts| !facts.pipes.is_empty()));
    }
}
