//! Texts of commands: rows of the tables with their options and operands, and the shapes of the shell around them.

use super::rows::{Opt, Row, Takes};
use super::shapes::SHAPES;
use super::tree::{DIRS, FILES, GLOBS, NEW};
use std::collections::HashMap;
use testkit::Random;

/// How deep a shape may stand in shapes before each ends with its first.
const DEEP: usize = 6;
const WORDS: &[&str] =
    &["alpha", "a", "error", "x*", "beta", ".", "name", "out", "1", "s/a/b/", "'^a'", "-", "", "words.txt", "%s"];
/// Values of options whose row does not say what they are: text, numbers, and names of files, which would be a fault.
const VALUES: &[&str] = &[
    "1",
    "2",
    "3",
    "alpha",
    ",",
    "1,2",
    "out",
    "out.txt",
    "logs",
    "notes",
    "words.txt",
    "never",
    "auto",
    "a",
    "+1",
    "1k",
    "%d",
    "/tmp/x",
    "text",
    "always",
];
const NUMBERS: &[&str] = &["0", "1", "2", "3", "10", "1k"];

pub(crate) struct Generator<'a> {
    pub(crate) random: Random,
    pub(crate) rows: &'a [Row],
    pub(crate) helps: &'a HashMap<String, Vec<Opt>>,
}

impl Generator<'_> {
    /// The next text.
    pub(crate) fn text(&mut self) -> String {
        self.symbol("text", 0)
    }

    fn symbol(&mut self, name: &str, depth: usize) -> String {
        match name {
            "file" => {
                let file = self.random.pick(FILES);
                self.named(file)
            }
            "dir" => {
                let dir = self.random.pick(DIRS);
                self.named(dir)
            }
            "new" => {
                let new = self.random.pick(NEW);
                self.named(new)
            }
            "glob" => (self.random.pick(GLOBS)).to_owned(),
            "word" => {
                let word = self.random.pick(WORDS);
                if word.is_empty() { "''".to_owned() } else { word.to_owned() }
            }
            "number" => (self.random.pick(NUMBERS)).to_owned(),
            "row" => self.row(depth),
            _ => {
                let shapes =
                    SHAPES.iter().find(|(symbol, _)| *symbol == name).unwrap_or_else(|| panic!("no «{name}»")).1;
                let shape = if depth > DEEP { shapes[0] } else { self.random.pick(shapes) };
                self.fill(shape, depth + 1)
            }
        }
    }

    fn fill(&mut self, shape: &str, depth: usize) -> String {
        let mut parts = shape.split('«');
        let mut out = parts.next().unwrap().to_owned();
        for part in parts {
            let (symbol, rest) = part.split_once('»').unwrap();
            out.push_str(&self.symbol(symbol, depth));
            out.push_str(rest);
        }
        out
    }

    /// A name as people and programs write it.
    fn named(&mut self, name: &str) -> String {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/~".contains(&byte));
        let name = match (name.starts_with('-'), self.random.below(12)) {
            (true, 0..=8) => format!("./{name}"),
            (false, 0) if !name.starts_with(['~', '/']) => format!("./{name}"),
            _ => name.to_owned(),
        };
        if name.contains('\n') {
            return format!("$'{}'", name.replace('\n', "\\n"));
        }
        match self.random.below(4) {
            0 if !name.starts_with('~') => format!("\"{name}\""),
            1 if !name.contains('\'') && !name.starts_with('~') => format!("'{name}'"),
            _ if plain => name,
            _ => name.chars().flat_map(|c| [" '".contains(c).then_some('\\'), Some(c)]).flatten().collect(),
        }
    }

    /// A row of a table with options and operands of its roles.
    fn row(&mut self, depth: usize) -> String {
        let rows = self.rows;
        let row = &rows[self.random.below(rows.len())];
        let mut words = vec![row.name.clone()];
        for _ in 0..self.random.below(4) {
            self.option(row, &mut words);
        }
        if self.random.once_in(25) {
            words.push("--".to_owned());
        }
        let operands = self.operands(row, depth);
        words.extend(operands);
        // Options behind operands.
        if self.random.once_in(6) && !row.wraps {
            self.option(row, &mut words);
        }
        words.join(" ")
    }

    fn option(&mut self, row: &Row, words: &mut Vec<String>) {
        let helps = self.helps.get(&row.name).map_or(&[][..], Vec::as_slice);
        let from =
            if row.options.is_empty() || (!helps.is_empty() && self.random.once_in(3)) { helps } else { &row.options };
        if from.is_empty() {
            return;
        }
        let option = &from[self.random.below(from.len())];
        // Help and version end a command; once in a while is enough.
        if option.names.iter().any(|name| ["--help", "--version"].contains(&name.as_str())) && !self.random.once_in(8) {
            return;
        }
        let mut name = option.names[self.random.below(option.names.len())].clone();
        if name == "-#" {
            words.push(format!("-{}", self.random.pick(NUMBERS)));
            return;
        }
        let long = name.starts_with("--");
        if long && name.len() > 6 && self.random.once_in(4) {
            name.truncate(5 + self.random.below(name.len() - 5));
        }
        let value = (option.takes != Takes::Nothing).then(|| self.value(row, option));
        match (option.takes, value) {
            (Takes::Nothing, _) | (_, None) => {
                // Two letters in one word.
                match words.last_mut() {
                    Some(last)
                        if !long
                            && name.len() == 2
                            && last.len() == 2
                            && last.starts_with('-')
                            && last != "--"
                            && self.random.once_in(2) =>
                    {
                        last.push_str(&name[1..]);
                    }
                    _ => words.push(name),
                }
            }
            (Takes::Value, Some(value)) if self.random.once_in(2) => words.extend([name, value]),
            (Takes::Attached, Some(_)) if self.random.once_in(2) => words.push(name),
            (_, Some(value)) => words.push(if long { format!("{name}={value}") } else { format!("{name}{value}") }),
        }
    }

    fn value(&mut self, row: &Row, option: &Opt) -> String {
        let symbol = symbol_of(&option.role, &row.name);
        if option.role.is_empty() || symbol == "word" {
            (self.random.pick(VALUES)).to_owned()
        } else {
            self.symbol(symbol, DEEP)
        }
    }

    fn operands(&mut self, row: &Row, depth: usize) -> Vec<String> {
        if row.wraps {
            let mut words = match row.name.as_str() {
                "timeout" => vec!["3".to_owned()],
                "chrt" | "taskset" => vec!["1".to_owned()],
                "flock" => vec![self.symbol("target", depth)],
                _ => vec![],
            };
            words.push(self.symbol(if depth > DEEP { "plain" } else { "command" }, depth + 1));
            return words;
        }
        let mut words = Vec::new();
        for role in row.operands.trim_start_matches('+').split_ascii_whitespace() {
            let (role, times) = match role.split_once('*') {
                Some((role, _)) => (role, self.random.below(3)),
                None => (role, usize::from(!self.random.once_in(12))),
            };
            for _ in 0..times {
                words.push(self.symbol(symbol_of(role, &row.name), depth));
            }
        }
        // One more than the row has room for.
        if self.random.once_in(15) {
            words.push(self.symbol("any", depth));
        }
        words
    }
}

/// What stands for an operand or a value in this role.
fn symbol_of(role: &str, program: &str) -> &'static str {
    match (role, program) {
        ("data", "chmod") => "mode",
        ("data", "seq" | "factor" | "numfmt" | "sleep") => "number",
        ("read" | "tree", _) => "files",
        ("list" | "attr" | "attrtree" | "delete" | "deltree" | "from", _) => "files",
        ("write" | "dest", _) => "place",
        ("create" | "dir" | "link", _) => "new",
        ("cwd", _) => "dir",
        ("cmd" | "shell" | "program", _) => "plain",
        ("exec", _) => "file",
        ("module", _) => "any",
        _ => "word",
    }
}
