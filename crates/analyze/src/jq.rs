//! A reader for jq programs. The language only computes; what matters is where it takes code or secrets from.

/// What a program uses besides its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `import`, `include`: code from other files.
    pub(crate) loads: bool,
    /// `env`, `$ENV`: the environment.
    pub(crate) environment: bool,
}

/// Reads a program. `None` when a string does not end.
pub(crate) fn read(program: &str) -> Option<Facts> {
    let mut facts = Facts::default();
    let mut rest = program;
    // How many parentheses are open, and at which of them a string goes on behind `\( ... )`.
    let mut open = 0usize;
    let mut strings: Vec<usize> = Vec::new();
    while let Some(c) = rest.chars().next() {
        let tail = rest.get(c.len_utf8()..)?;
        rest = match c {
            '"' => string(tail, open, &mut strings)?,
            '#' => tail.split_once('\n').map_or("", |(_, rest)| rest),
            '(' => {
                open += 1;
                tail
            }
            ')' => {
                open = open.checked_sub(1)?;
                if strings.last() == Some(&open) {
                    strings.pop();
                    string(tail, open, &mut strings)?
                } else {
                    tail
                }
            }
            // A field's name is no keyword.
            '.' => tail.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_'),
            '$' if word(tail) == "ENV" || word(tail) == "__prog_args" => {
                facts.environment = true;
                tail
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let name = word(rest);
                let behind = rest.get(name.len()..)?;
                let is_key = behind.trim_start().starts_with(':') && !behind.trim_start().starts_with("::");
                facts.loads |= matches!(name, "import" | "include");
                facts.environment |= name == "env" && !is_key;
                behind
            }
            _ => tail,
        };
    }
    (strings.is_empty() && open == 0).then_some(facts)
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    text.get(..end).unwrap_or("")
}

/// Passes over a string up to its end, or to an interpolation in it.
fn string<'p>(mut text: &'p str, open: usize, strings: &mut Vec<usize>) -> Option<&'p str> {
    loop {
        let at = text.find(['"', '\\'])?;
        let behind = text.get(at + 1..)?;
        if text.get(at..)?.starts_with('"') {
            return Some(behind);
        }
        if behind.starts_with('(') {
            // The bracket is read as any other; the string goes on behind its end.
            strings.push(open);
            return Some(behind);
        }
        text = behind.get(behind.chars().next()?.len_utf8()..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::{Facts, read};

    #[test]
    fn programs() {
        for program in [
            ".",
            ".a.env | keys[]",
            ".[] | select(.name == \"import x\") | {env: .b, c}",
            "\"a \\(.b | tostring) \\(\"x\\(1)\")\" # env",
            "to_entries | map(\"\\(.key)=\\(.value)\") | .[]",
            "\"\\\\\" , \"\\\"\"",
        ] {
            assert_eq!(read(program), Some(Facts::default()), "{program}");
        }
        assert!(read("import \"x\" as y; .").unwrap().loads);
        assert!(read("include \"x\"; .").unwrap().loads);
        for program in ["env", "$ENV.HOME", "\"\\(env.TOKEN)\"", ".a | env | .b"] {
            assert!(read(program).unwrap().environment, "{program}");
        }
        assert_eq!(read("\"open"), None);
        assert_eq!(read("\"\\(1\""), None);
    }
}
