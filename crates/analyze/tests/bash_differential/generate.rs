//! Texts for the comparison: programs that follow bash's grammar into its corners, pieces put together at random, and
//! either with a few wounds.

use crate::pieces::{self, PIECES};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use testkit::Random;

/// Names of features of the grammar, as far as a text was meant to have them.
pub(crate) type Features = BTreeSet<&'static str>;

/// Nesting of commands in commands.
const DEPTH_MAX: usize = 3;
/// Bytes after which only short things are added.
const BYTES_MAX: usize = 80;

/// One text, and which features the generator put in.
pub(crate) fn text(random: &mut Random) -> (String, Features) {
    let mut features = Features::new();
    // What is judged HIGH proves nothing: most texts have few corners each, so that many are not.
    let tame = !random.once_in(6);
    let whole = if random.once_in(if tame { 12 } else { 3 }) {
        features.insert("pieces");
        let count = 2 + random.below(9);
        (0..count).map(|_| random.pick(PIECES)).collect()
    } else {
        let own = Random(random.number());
        let mut writer = Writer {
            random: own,
            out: String::new(),
            depth: random.below(DEPTH_MAX),
            bytes_max: if tame { 12 + random.below(BYTES_MAX) / 2 } else { BYTES_MAX },
            tame,
            names: 0,
            waiting: Vec::new(),
            features,
        };
        writer.program();
        features = writer.features;
        writer.out
    };
    let wounds = if random.once_in(if tame { 16 } else { 3 }) { 1 + random.below(2) } else { 0 };
    let whole = (0..wounds).fold(whole, |text, _| wound(random, &text, &mut features));
    (whole, features)
}

/// A text with a piece put in, taken out, doubled or moved.
fn wound(random: &mut Random, text: &str, features: &mut Features) -> String {
    let bounds: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let at = bounds[random.below(bounds.len())];
    let end =
        bounds[(bounds.iter().position(|bound| *bound == at).unwrap() + 1 + random.below(4)).min(bounds.len() - 1)];
    let (head, tail) = text.split_at(at);
    features.insert("wounded");
    match random.below(6) {
        0 => head.to_owned() + &text[end..],
        1 => head.to_owned() + &text[at..end] + tail,
        2 => {
            features.insert("continuation");
            head.to_owned() + "\\\n" + tail
        }
        3 if text.contains('\n') => {
            features.insert("crlf");
            text.replacen('\n', "\r\n", 1 + random.below(3))
        }
        4 => head.to_owned() + random.pick(pieces::STRAY) + tail,
        _ => head.to_owned() + random.pick(PIECES) + tail,
    }
}

/// Writes a program that mostly follows the grammar.
pub(crate) struct Writer {
    pub(crate) random: Random,
    pub(crate) out: String,
    pub(crate) depth: usize,
    bytes_max: usize,
    tame: bool,
    names: usize,
    /// Bodies of here-documents that come after the line.
    pub(crate) waiting: Vec<String>,
    features: Features,
}

pub(crate) type Rule = fn(&mut Writer);

impl Writer {
    pub(crate) fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    pub(crate) fn one_of(&mut self, texts: &[&str]) {
        let text = self.random.pick(texts);
        self.put(text);
    }

    pub(crate) fn feature(&mut self, name: &'static str) {
        self.features.insert(name);
    }

    pub(crate) fn rule(&mut self, rules: &[Rule]) {
        let rule = rules[self.random.below(rules.len())];
        rule(self);
    }

    pub(crate) fn full(&self) -> bool {
        self.depth >= DEPTH_MAX || self.out.len() > self.bytes_max
    }

    /// Whether the next choice is a plain one.
    pub(crate) fn plain(&mut self) -> bool {
        self.tame && !self.random.once_in(4)
    }

    fn program(&mut self) {
        for _ in 0..1 + self.random.below(if self.tame { 2 } else { 3 }) {
            self.chain();
            self.line_end();
        }
        self.newline_if_waiting();
    }

    fn line_end(&mut self) {
        match self.random.below(8) {
            0 => self.put("; "),
            1 => self.put(" & "),
            2 => {
                self.feature("comment");
                self.put(" # x 'y $(cz) `cz`");
                self.newline();
            }
            3 => self.put(";\n\n\t"),
            _ => self.newline(),
        }
        if !self.out.ends_with('\n') {
            return;
        }
        let waiting: String = std::mem::take(&mut self.waiting).concat();
        self.put(&waiting);
    }

    fn newline(&mut self) {
        self.put("\n");
        let waiting: String = std::mem::take(&mut self.waiting).concat();
        self.put(&waiting);
    }

    pub(crate) fn newline_if_waiting(&mut self) {
        if !self.waiting.is_empty() {
            self.newline();
        }
    }

    /// Commands joined on one line.
    pub(crate) fn chain(&mut self) {
        self.pipeline();
        while self.random.once_in(4) && !self.full() {
            self.one_of(&[" && ", " || ", "&&", "||", " &&\n", " || \\\n", "; ", ";", " & "]);
            self.newline_if_waiting();
            self.pipeline();
        }
    }

    fn pipeline(&mut self) {
        if self.random.once_in(14) {
            self.feature("! and time");
            self.one_of(&["! ", "time ", "time -p ", "! ! ", "time ! ", "! time "]);
        }
        self.command();
        while self.random.once_in(7) && !self.full() {
            self.feature("pipe");
            self.one_of(&[" | ", "|", " |& ", "|\n", " | \\\n"]);
            self.newline_if_waiting();
            self.command();
        }
    }

    fn command(&mut self) {
        if self.full() || self.random.below(5) < 3 {
            return self.simple();
        }
        if self.plain() && self.random.once_in(3) {
            return self.sample();
        }
        self.depth += 1;
        self.rule(COMPOUND);
        self.depth -= 1;
        if self.random.once_in(5) {
            self.redirect();
        }
    }

    /// A list inside of something, ended by a newline or `;`.
    fn body(&mut self) {
        self.chain();
        self.newline_if_waiting();
        self.one_of(&["; ", "\n", ";\n", " ;"]);
    }

    /// A list where anything may follow it.
    pub(crate) fn inner(&mut self) {
        let outer = std::mem::take(&mut self.waiting);
        self.depth += 1;
        self.chain();
        if self.random.once_in(4) {
            self.one_of(&["; ", "\n", " & "]);
            self.newline_if_waiting();
            self.chain();
        }
        self.depth -= 1;
        self.newline_if_waiting();
        self.waiting = outer;
    }

    /// What would be run: every place has its own name.
    pub(crate) fn name(&mut self) {
        self.names += 1;
        let letter = char::from(b'a' + u8::try_from(self.names % 26).unwrap());
        self.out.push('c');
        self.out.push(letter);
    }

    fn blank(&mut self) {
        match self.random.below(if self.tame { 80 } else { 20 }) {
            0 => self.put("\t"),
            1 => self.put("  "),
            2 => {
                self.feature("continuation");
                self.put(" \\\n");
            }
            3 => {
                self.feature("continuation");
                self.put("\\\n ");
            }
            _ => self.put(" "),
        }
    }

    fn simple(&mut self) {
        while self.random.once_in(7) {
            self.assignment();
            self.blank();
        }
        if self.random.once_in(12) && !self.full() {
            self.redirect();
            self.blank();
        }
        match self.random.below(if self.tame { 24 } else { 16 }) {
            2 if self.plain() => self.name(),
            0 | 16 => self.sample(),
            1 => {
                self.feature("name from an expansion");
                self.word();
            }
            2 => {
                self.feature("quoted name");
                self.one_of(&["'ca'", "\"cb\"", "\\cc", "c'd'", "$'c\\x61'", "c\"\"e", "\"c\"f", "c\\g", "$\"ch\""]);
            }
            _ => self.name(),
        }
        for _ in 0..self.random.below(3) {
            self.blank();
            if self.random.once_in(6) { self.redirect() } else { self.word() }
        }
    }

    fn if_command(&mut self) {
        self.feature("if");
        self.put("if ");
        self.body();
        self.one_of(&["then ", "then\n"]);
        self.body();
        if self.random.once_in(3) {
            self.put("elif ");
            self.body();
            self.put("then ");
            self.body();
        }
        if self.random.once_in(2) {
            self.put("else ");
            self.body();
        }
        self.put("fi");
    }

    fn group(&mut self) {
        self.feature("group");
        self.one_of(&["{ ", "{\n", "{\t"]);
        self.body();
        self.put("}");
    }

    fn subshell(&mut self) {
        self.feature("subshell");
        self.one_of(&["(", "( ", "(\n"]);
        self.inner();
        self.one_of(&[")", " )", ";)", "\n)"]);
    }

    fn while_loop(&mut self) {
        self.feature("while");
        self.one_of(&["while ", "until "]);
        self.body();
        self.one_of(&["do ", "do\n"]);
        self.body();
        self.put("break; done");
    }

    fn for_loop(&mut self) {
        self.feature("for");
        self.one_of(&["for v in ", "for w in a ", "for c in ca cb ", "for v in {1..2} "]);
        self.word();
        self.one_of(&["; do ", "\ndo ", ";\ndo\n", "; { "]);
        let end = if self.out.ends_with("{ ") { "}" } else { "done" };
        if self.random.once_in(3) {
            self.put("$v x; ");
        }
        self.body();
        self.put(end);
    }

    fn for_arguments(&mut self) {
        self.feature("for without in");
        self.one_of(&["for v do ", "for v; do ", "for v\ndo ", "set a b; for v do "]);
        self.body();
        self.put("done");
    }

    fn for_arithmetic(&mut self) {
        self.feature("for ((");
        self.one_of(&["for ((i=0;i<2;i++)); do ", "for (( i=0; i<1; i++ )) do ", "for ((i=0;i<1;i++)) { "]);
        let end = if self.out.ends_with("{ ") { "}" } else { "done" };
        self.body();
        self.put(end);
    }

    fn select(&mut self) {
        self.feature("select");
        self.one_of(&["select v in a b; do ", "select v; do "]);
        self.body();
        self.put("break; done <<< 1");
    }

    fn case(&mut self) {
        self.feature("case");
        self.put("case ");
        self.word();
        self.one_of(&[" in ", "\nin\n", " in\n"]);
        for _ in 0..1 + self.random.below(3) {
            self.one_of(&["x) ", "(x) ", "*) ", "a|b) ", "[a-z]) ", "'') ", "\"$v\") ", "$(ct)) ", "@(x|y)) "]);
            if !self.random.once_in(6) {
                self.chain();
                self.newline_if_waiting();
            }
            self.one_of(&[";; ", ";;\n", " ;; ", ";& ", ";;& "]);
        }
        self.put("esac");
    }

    fn function(&mut self) {
        self.feature("function");
        self.one_of(&["fa() ", "function fa ", "fa ()\n", "function fa() ", "function fa\n"]);
        self.rule(&[Self::group, Self::group, Self::subshell, Self::if_command, Self::case]);
        if self.random.once_in(4) {
            self.redirect();
        }
        self.newline_if_waiting();
        self.one_of(&["; fa", "\nfa x", "; fa y z | cb", "\nfa; fa", "; ca $(fa)", ""]);
    }

    fn test(&mut self) {
        self.feature("[[");
        self.put("[[ ");
        self.sample_of("[[");
        if self.random.once_in(3) {
            self.one_of(&[" && ", " || "]);
            self.word();
        }
        self.put(" ]]");
        if self.random.once_in(2) {
            self.put(" && ");
            self.name();
        }
    }

    fn arithmetic_command(&mut self) {
        self.sample_of("((");
        if self.random.once_in(2) {
            self.put(" && ");
            self.name();
        }
    }

    /// A whole command from the table, of any feature that has whole commands.
    fn sample(&mut self) {
        let features: Vec<&'static str> = samples().keys().copied().filter(|name| !PARTS.contains(name)).collect();
        let feature = features[self.random.below(features.len())];
        self.sample_of(feature);
    }

    pub(crate) fn sample_of(&mut self, feature: &'static str) {
        self.feature(feature);
        let all = &samples()[feature];
        let text = &all[self.random.below(all.len())];
        self.put(text);
    }

    fn evaluated(&mut self) {
        self.feature("eval");
        let start = self.out.len();
        self.inner();
        let inner = self.out.split_off(start);
        match self.random.below(4) {
            0 => self.put(&format!("eval \"{}\"", inner.replace(['\\', '"', '$', '`'], "x"))),
            1 => self.put(&format!("v='{}'; eval \"$v\"", inner.replace('\'', "'\\''"))),
            2 => self.put(&format!("eval {}", inner.replace(['\n', '\''], " "))),
            _ => self.put(&format!("eval '{}'", inner.replace('\'', "'\\''"))),
        }
    }
}

/// Features of the table whose samples are only parts of commands.
const PARTS: &[&str] =
    &["[[", "((", "parameter", "parameter operator", "arithmetic", "brace expansion", "glob", "$'..'", "redirection"];

/// The table: under a line `# feature` one sample a line, with ⏎ for a newline.
fn samples() -> &'static BTreeMap<&'static str, Vec<String>> {
    static SAMPLES: LazyLock<BTreeMap<&'static str, Vec<String>>> = LazyLock::new(|| {
        let mut all: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        let mut feature = "";
        for line in include_str!("samples.txt").lines() {
            match line.strip_prefix("# ") {
                Some(name) => feature = name,
                None => all.entry(feature).or_default().push(line.replace('⏎', "\n")),
            }
        }
        all
    });
    &SAMPLES
}

const COMPOUND: &[Rule] = &[
    Writer::group,
    Writer::subshell,
    Writer::if_command,
    Writer::while_loop,
    Writer::for_loop,
    Writer::for_arguments,
    Writer::for_arithmetic,
    Writer::select,
    Writer::case,
    Writer::case,
    Writer::function,
    Writer::function,
    Writer::test,
    Writer::arithmetic_command,
    Writer::evaluated,
    Writer::evaluated,
    Writer::sample,
    Writer::sample,
    Writer::sample,
    Writer::sample,
];
