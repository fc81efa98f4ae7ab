//! Perl one-liners that only edit lines and print (BJ013): `perl -ne`, `-pe`, `-lane`.
//!
//! What a text means in Perl depends on what ran before it, so no grammar can be trusted with it; the best published one
//! adds 4.7 MB to the program and has to guess as well. This reader knows a small part of the language. Each sign is
//! taken only where it can have one meaning, and everything else is opaque.

use super::Facts;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Longest program that is looked at.
const CODE_BYTES_MAX: usize = 4096;

/// Words that only compute, print, or steer. Behind some of them a slash starts a regular expression.
static WORDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    super::walk::words(
        "print printf say if unless and or not next last redo length uc lc ucfirst lcfirst chomp chop split join sprintf int \
         abs sqrt sin cos exp log reverse sort keys values each exists defined delete push shift pop unshift splice scalar \
         substr index rindex map grep my our local for foreach while until else elsif eq ne lt gt le ge x cmp ord chr hex \
         oct time localtime gmtime undef exit rand wantarray sum sum0 max min first uniq floor ceil STDERR STDOUT END BEGIN",
    )
});

/// Words behind which an operand comes, so that a slash starts a regular expression.
const BEFORE_OPERAND: &[&str] =
    &["if", "unless", "and", "or", "not", "split", "grep", "while", "until", "x", "eq", "ne"];

/// Reads `code`; `None` where anything in it is not known to be harmless.
pub(crate) fn read(code: &str) -> Option<Facts> {
    let odd = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || (!c.is_ascii() && c.is_whitespace());
    if code.len() > CODE_BYTES_MAX || code.contains(odd) {
        return None;
    }
    let mut reader =
        Reader { rest: code, before: Before::Operand, brackets: Vec::new(), subscript_at: 0, facts: Facts::default() };
    while !reader.rest.is_empty() {
        reader.token()?;
    }
    reader.brackets.is_empty().then_some(reader.facts)
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A value starts: a slash is a regular expression.
    Operand,
    /// A value has ended: a slash is a division.
    Operator,
    /// Nobody can say.
    Either,
}

struct Reader<'c> {
    rest: &'c str,
    before: Before,
    /// Open brackets; `k` stands for the brace of a key.
    brackets: Vec<char>,
    /// Where a brace holds a key: directly behind what ends here.
    subscript_at: usize,
    facts: Facts,
}

impl<'c> Reader<'c> {
    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.rest = self.rest.get(bytes..)?;
        Some(())
    }

    fn token(&mut self) -> Option<()> {
        let c = self.rest.chars().next()?;
        match c {
            // A line that starts with `=` starts documentation.
            '\n' if self.rest.get(1..)?.starts_with('=') => None,
            ' ' | '\t' | '\n' => self.skip(1),
            '#' => self.skip(self.rest.find('\n').unwrap_or(self.rest.len())),
            '0'..='9' => self.number(),
            '\'' => self.single(),
            '"' => self.double(),
            '$' | '@' => self.variable(),
            '%' if self.before != Before::Operator => self.hash(),
            '/' => self.slash(),
            c if c.is_ascii_alphabetic() => self.word(),
            '(' | '[' => self.open(c),
            '{' => self.brace(),
            ')' | ']' | '}' => self.close(c),
            _ => self.operator(c),
        }
    }

    fn number(&mut self) -> Option<()> {
        let end = self.rest.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '_'))).unwrap_or(self.rest.len());
        // `1..9`
        let end = self.rest.find("..").map_or(end, |range| end.min(range));
        self.before = Before::Operator;
        self.skip(end)
    }

    fn single(&mut self) -> Option<()> {
        let end = until(self.rest.get(1..)?, '\'')?;
        self.before = Before::Operator;
        self.skip(1 + end + 1)
    }

    fn double(&mut self) -> Option<()> {
        let body = self.rest.get(1..)?;
        let end = until(body, '"')?;
        interpolates(body.get(..end)?, false, &mut self.facts)?;
        self.before = Before::Operator;
        self.skip(1 + end + 1)
    }

    fn variable(&mut self) -> Option<()> {
        let length = variable(self.rest, &mut self.facts)?;
        self.before = Before::Operator;
        self.skip(length)?;
        self.subscript_at = self.rest.len();
        Some(())
    }

    /// `%seen`
    fn hash(&mut self) -> Option<()> {
        let name = name(self.rest.get(1..)?);
        if !is_own(name) {
            return None;
        }
        self.before = Before::Operator;
        self.skip(1 + name.len())
    }

    fn slash(&mut self) -> Option<()> {
        match self.before {
            Before::Operand => self.quoted(0, 1, "gimsxo", Interpolates::Pattern),
            Before::Operator => {
                self.before = Before::Operand;
                self.skip(if self.rest.starts_with("//") { 2 } else { 1 })
            }
            Before::Either => None,
        }
    }

    /// `/.../`, `s/.../.../`, `tr/.../.../` behind `skip` letters, with as many parts, and flags.
    fn quoted(&mut self, skip: usize, parts: usize, flags: &str, how: Interpolates) -> Option<()> {
        self.skip(skip)?;
        let delimiter = self.rest.chars().next().filter(|c| "/|#,!:".contains(*c))?;
        self.skip(1)?;
        for part in 0..parts {
            let end = until(self.rest, delimiter)?;
            let body = self.rest.get(..end)?;
            if how == Interpolates::Pattern {
                interpolates(body, part == 0, &mut self.facts)?;
            }
            self.skip(end + 1)?;
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        if !self.rest.get(..end)?.chars().all(|c| flags.contains(c)) {
            // `/a/and`, `s/a/b/if`: flags and a word in one.
            return None;
        }
        self.before = Before::Operator;
        self.skip(end)
    }

    fn word(&mut self) -> Option<()> {
        let word = name(self.rest);
        let behind = self.rest.get(word.len()..)?;
        let key = self.brackets.last() == Some(&'k') && behind.starts_with('}') && self.before == Before::Operand;
        if key || (behind.trim_start().starts_with("=>") && self.before == Before::Operand) {
            self.before = Before::Operator;
            return self.skip(word.len());
        }
        let quotes = behind.starts_with(['/', '|', '#', ',', '!', ':']) && !behind.starts_with("||");
        match word {
            "s" if quotes => return self.quoted(1, 2, "gimsxr", Interpolates::Pattern),
            "m" if quotes => return self.quoted(1, 1, "gimsxo", Interpolates::Pattern),
            "tr" if quotes => return self.quoted(2, 2, "cdsr", Interpolates::Never),
            "y" if quotes => return self.quoted(1, 2, "cdsr", Interpolates::Never),
            _ => {}
        }
        if !WORDS.contains(word) || behind.starts_with("::") || behind.starts_with('\'') {
            return None;
        }
        self.before = if BEFORE_OPERAND.contains(&word) { Before::Operand } else { Before::Either };
        self.skip(word.len())
    }

    fn open(&mut self, c: char) -> Option<()> {
        self.brackets.push(c);
        self.before = Before::Operand;
        self.skip(1)
    }

    /// A brace directly behind a variable or its subscript holds a key, any other a block or a hash.
    fn brace(&mut self) -> Option<()> {
        let key = self.before == Before::Operator && self.subscript_at == self.rest.len();
        self.open(if key { 'k' } else { '{' })
    }

    fn close(&mut self, c: char) -> Option<()> {
        let open = self.brackets.pop()?;
        let (fits, before) = match (open, c) {
            ('(', ')') => (true, Before::Operator),
            ('[', ']') => (true, Before::Operator),
            ('k', '}') => (true, Before::Operator),
            // Behind a block a statement starts, behind a hash a value has ended.
            ('{', '}') => (true, Before::Either),
            _ => (false, Before::Either),
        };
        self.before = before;
        if !fits {
            return None;
        }
        self.skip(1)?;
        if matches!((open, c), ('[', ']') | ('k', '}')) {
            self.subscript_at = self.rest.len();
        }
        Some(())
    }

    fn operator(&mut self, c: char) -> Option<()> {
        const LONG: &[&str] = &[
            "<=>", "**=", "||=", "&&=", "//=", "->[", "->{", "=~", "!~", "==", "!=", "<=", ">=", "&&", "||", "++",
            "--", "+=", "-=", "*=", ".=", "%=", "x=", "=>", "..", "**",
        ];
        if let Some(long) = LONG.iter().find(|long| self.rest.starts_with(**long)) {
            let bracket = long.chars().last().filter(|_| long.starts_with("->"));
            self.skip(long.len() - usize::from(bracket.is_some()))?;
            // `$x->[0]`: what follows is a subscript, as directly behind the variable.
            if bracket.is_some() {
                self.subscript_at = self.rest.len();
                return (self.before == Before::Operator).then_some(());
            }
            if !matches!(*long, "++" | "--") {
                self.before = Before::Operand;
            }
            return Some(());
        }
        let fits = match c {
            '+' | '-' | '*' | '.' | ',' | ';' | '=' | '>' | '!' | ':' | '%' => true,
            // `<STDIN>`, `<*.c>`, a here-document; a file of that name.
            '<' | '?' => self.rest.get(1..)?.starts_with(' ') && self.before == Before::Operator,
            _ => false,
        };
        // `*name` is all things of that name, `-e` asks for a file.
        let sigil = matches!(c, '*' | '-' | '%') && self.before != Before::Operator;
        let number = self.rest.get(1..)?.starts_with(|next: char| next.is_ascii_digit() || next == '$');
        if !fits || (sigil && !(c == '-' && number)) {
            return None;
        }
        self.before = Before::Operand;
        self.skip(1)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Interpolates {
    Pattern,
    Never,
}

/// Offset of the next `end` that is not escaped.
fn until(text: &str, end: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == end => return Some(at),
            _ => {}
        }
    }
    None
}

fn name(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    text.get(..end).unwrap_or("")
}

/// A name that Perl keeps nothing of its own in: `ENV`, `INC`, `ARGV`, `SIG` decide what runs.
fn is_own(name: &str) -> bool {
    name == "F" || name == "_" || name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// The length of the variable that `text` starts with: `$x`, `@x`, `$_`, `$1`, `$#x`, `$ENV{NAME}`.
fn variable(text: &str, facts: &mut Facts) -> Option<usize> {
    let body = text.get(1..)?;
    if let Some(rest) = body.strip_prefix("ENV{").filter(|_| text.starts_with('$')) {
        let key = name(rest);
        facts.variables.push(key.to_owned());
        return (!key.is_empty() && rest.get(key.len()..)?.starts_with('}')).then_some(1 + 4 + key.len() + 1);
    }
    if text.starts_with('$') {
        if let Some(rest) = body.strip_prefix('#') {
            let name = name(rest);
            return is_own(name).then_some(2 + name.len());
        }
        if body.starts_with(['.', '&', ',', '/', '\\']) {
            return Some(2);
        }
    }
    let name = name(body);
    let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) && text.starts_with('$');
    let qualified = body.get(name.len()..)?.starts_with("::") || body.get(name.len()..)?.starts_with('\'');
    ((is_own(name) || digits) && !qualified).then_some(1 + name.len())
}

/// Judges what a text between double quotes or slashes makes Perl evaluate: variables with plain subscripts, and nothing
/// else.
fn interpolates(text: &str, pattern: bool, facts: &mut Facts) -> Option<()> {
    if text.contains("(?{") || text.contains("(??") || text.contains("(?p") || text.contains("(*") {
        return None;
    }
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '$', '@']) {
        rest = rest.get(at..)?;
        if rest.starts_with('\\') {
            let escaped = rest.get(1..)?.chars().next()?;
            rest = rest.get(1 + escaped.len_utf8()..)?;
            continue;
        }
        let behind = rest.get(1..)?;
        // The end of a line in a pattern.
        if pattern && rest.starts_with('$') && (behind.is_empty() || behind.starts_with([')', '|', '\n'])) {
            rest = behind;
            continue;
        }
        let length = variable(rest, facts)?;
        let special = rest.get(1..)?.starts_with(['.', '&', ',', '/', '\\', '#']);
        rest = rest.get(length..)?;
        if special && !rest.is_empty() {
            return None;
        }
        rest = subscripts(rest)?;
    }
    Some(())
}

/// Passes over `[0]`, `[-1]`, `[$i]`, `{name}`, `{$name}`, with arrows between them.
fn subscripts(mut text: &str) -> Option<&str> {
    loop {
        let inner = text.strip_prefix("->").filter(|rest| rest.starts_with(['[', '{'])).unwrap_or(text);
        let (open, close) = match inner.chars().next() {
            Some('[') => ('[', ']'),
            Some('{') => ('{', '}'),
            _ => return Some(text),
        };
        let end = inner.find(close)?;
        let index = inner.get(1..end)?;
        let plain = match index.strip_prefix('$') {
            Some(variable) => is_own(variable) && name(variable) == variable,
            None if open == '[' => {
                let digits = index.strip_prefix('-').unwrap_or(index);
                !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
            }
            None => !index.is_empty() && name(index) == index,
        };
        if !plain {
            return None;
        }
        text = inner.get(end + 1..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn one_liners_that_edit_and_print() {
        for code in [
            "print if /x/",
            "s/a/b/g",
            "s|a/b|c|; print",
            "tr/a-z/A-Z/",
            "next if /^#/; s/ +$//",
            "print \"$F[0] $F[-1]\\n\"",
            "print $F[1]",
            "$s += $F[0]; END { print \"$s\\n\" }",
            "print \"$1\\n\" if /id=(\\d+)/",
            "print if $. == 5",
            "print if 5..10",
            "$n++ if /x/; END { print $n }",
            "s/(\\w+)/\\u$1/g",
            "print join(',', @F)",
            "print scalar reverse $_",
            "print length($_), \"\\n\"",
            "print 1 + 2 * 3 / 4",
            "print \"hi\\n\"",
            "printf \"%.2f\\n\", 10 / 3",
            "$h{$F[0]}++; END { print \"$_ $h{$_}\\n\" for sort keys %h }",
            "print unless $seen{$_}++",
            "chomp; print \"$_,\"",
            "print ucfirst lc",
            "print \"$ENV{HOME}\\n\"",
            "s/\\s+$/\\n/",
            "print sprintf('%05d', $_), \"\\n\" for 1..3",
            "my @w = split /,/; print $w[1], \"\\n\"",
        ] {
            assert!(read(code).is_some(), "{code}");
        }
    }

    #[test]
    fn everything_else_is_opaque() {
        for code in [
            "system('id')",
            "system 'id'",
            "s/a/b/e",
            "s/a/b/ee",
            "s/a/system(1)/gee",
            "print `id`",
            "print qx(id)",
            "s/a/@{[`id`]}/",
            "print \"@{[system 1]}\"",
            "print \"$x[system(1)]\"",
            "print \"$x{system(1)}\"",
            "/$x[system(1)]/",
            "s/(?{system(1)})//",
            "/(*{system(1)})/",
            "s/(??{system(1)})//",
            "print; unlink 'x'",
            "s/a/${\\system(1)}/",
            "s/a;b/c/e",
            "exec 'id' if /x/",
            "open F, '>x'",
            "open(F, 'id|')",
            "s/a/b/ if system(1)",
            "BEGIN { system 1 }",
            "BEGIN { unshift @ARGV, 'id|' } print",
            "@ARGV = ('id|'); while (<>) { print }",
            "$ARGV[0] = 'id|'; print",
            "$ENV{PATH} = '/tmp'; $x = y",
            "use POSIX; POSIX::system(1)",
            "require './x.pl'",
            "do './x.pl'",
            "eval $_",
            "eval { 1 }",
            "print <*.c>",
            "print <STDIN>",
            "print <<E\nx\nE",
            "$x->system(1)",
            "&$x",
            "&{'system'}(1)",
            "$SIG{ALRM} = 'x'",
            "*x = \\&system",
            "sub f { }",
            "print F 1",
            "if (1) {unlink}",
            "for (1) {system}",
            "{unlink}",
            "length /x;system(1);/",
            "} /x;system(1);/ {",
            "$x{a} /x;system(1);/",
            "print $' . 'x'; system(1) #'",
            "print \"$\";system(1);\"\"",
            "\n=begin\nx\n=cut\nsystem 1",
            "__END__",
            "print main::x",
            "$main::x = 1",
            "y!a!b!e",
            "m?x?",
            "s{a}{b}e",
            "print -e 'x'",
            "kill 9, 1",
            "dump",
            "@x = glob '*'",
            "sleep 1",
        ] {
            assert_eq!(read(code), None, "{code}");
        }
    }
}
