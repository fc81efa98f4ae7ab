//! `*.rules` of Codex: `prefix_rule(pattern = [...], decision = "allow|prompt|forbidden")` in Starlark's syntax, of which
//! only calls with literal arguments are read. The strictest of those that match decides.

use super::command::{End, Pattern};
use super::{About, Given, Read, Source, Wrong};
use model::Verdict;

/// A literal.
enum Value {
    Text(String),
    List(Vec<Value>),
    Other,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// Lists in lists.
const DEPTH_MAX: usize = 8;

pub(super) fn read(given: &Given<'_>) -> Result<Read, Wrong> {
    let mut reader = Reader { text: given.text, at: 0 };
    let mut sources = Vec::new();
    loop {
        reader.blank();
        if reader.peek().is_none() {
            return Ok(Read { sources });
        }
        let at = reader.at;
        let name = reader.name()?;
        reader.expect('(')?;
        let mut arguments = Vec::new();
        while !reader.eat(')') {
            let at = reader.skipped();
            let name = reader.name()?;
            reader.expect('=')?;
            arguments.push((name, at, reader.value(0)?));
            if !reader.eat(',') {
                reader.expect(')')?;
                break;
            }
        }
        let shown = given.text.get(at..reader.at).unwrap_or_default().to_owned();
        match name.as_str() {
            "prefix_rule" => sources.push(rule(at, shown, arguments)?),
            // They say where programs lie, and decide nothing.
            "host_executable" => {}
            _ => {
                let about = About::Other(format!("{name} has no counterpart here"));
                let (verdict, tool) = (Verdict::Deny, name.clone());
                sources.push(Source { at, shown, verdict, tool, about, conditions: Vec::new(), never: None, rank: 0 });
            }
        }
    }
}

fn rule(at: usize, shown: String, arguments: Vec<(String, usize, Value)>) -> Result<Source, Wrong> {
    let mut pattern = None;
    let mut verdict = Verdict::Allow;
    let (mut matching, mut failing) = (Vec::new(), Vec::new());
    for (name, at, value) in arguments {
        match (name.as_str(), value) {
            ("pattern", Value::List(words)) => {
                let words: Option<Vec<Vec<String>>> = words.into_iter().map(word).collect();
                pattern =
                    Some(words.ok_or_else(|| Wrong::new(at, "a pattern is a list of words, or of lists of words"))?);
            }
            ("decision", Value::Text(word)) => {
                verdict = match word.as_str() {
                    "allow" => Verdict::Allow,
                    "prompt" => Verdict::Ask,
                    "forbidden" => Verdict::Deny,
                    _ => return Err(Wrong::new(at, "a decision is allow, prompt or forbidden")),
                };
            }
            ("match", Value::List(examples)) => matching = examples,
            ("not_match", Value::List(examples)) => failing = examples,
            ("justification", Value::Text(_)) => {}
            _ => return Err(Wrong::new(at, format!("prefix_rule takes no such {name}"))),
        }
    }
    let words = pattern.ok_or_else(|| Wrong::new(at, "prefix_rule without a pattern"))?;
    let never = if words.is_empty() {
        Some("an empty pattern: Codex takes no such file")
    } else if words.iter().any(Vec::is_empty) {
        Some("no word is one of none")
    } else if !matching.iter().all(|example| fits(&words, example)) {
        Some("a `match` of it does not match: Codex takes no such file")
    } else if failing.iter().any(|example| fits(&words, example)) {
        Some("a `not_match` of it matches: Codex takes no such file")
    } else {
        None
    };
    let rank = verdict as u32;
    let about = About::Commands(Pattern { words, end: End::Anything });
    let (tool, never) = ("command".to_owned(), never.map(str::to_owned));
    Ok(Source { at, shown, verdict, tool, about, conditions: Vec::new(), never, rank })
}

/// One place of a pattern: a word, or one of several.
fn word(value: Value) -> Option<Vec<String>> {
    match value {
        Value::Text(word) => Some(vec![word]),
        Value::List(words) => words
            .into_iter()
            .map(|word| match word {
                Value::Text(word) => Some(word),
                _ => None,
            })
            .collect(),
        Value::Other => None,
    }
}

fn fits(pattern: &[Vec<String>], example: &Value) -> bool {
    let words: Vec<&str> = match example {
        Value::Text(text) => text.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect(),
        Value::List(words) => words
            .iter()
            .filter_map(|word| match word {
                Value::Text(word) => Some(word.as_str()),
                _ => None,
            })
            .collect(),
        Value::Other => return false,
    };
    let is = |(at, any): (usize, &Vec<String>)| words.get(at).is_some_and(|word| any.iter().any(|one| one == word));
    pattern.iter().enumerate().all(is)
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Spaces and comments.
    fn blank(&mut self) {
        while let Some(c) = self.peek() {
            if c == '#' {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            } else if c.is_whitespace() {
                self.next();
            } else {
                return;
            }
        }
    }

    fn skipped(&mut self) -> usize {
        self.blank();
        self.at
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.blank();
        let there = self.peek() == Some(wanted);
        if there {
            self.next();
        }
        there
    }

    fn expect(&mut self, wanted: char) -> Result<(), Wrong> {
        if self.eat(wanted) { Ok(()) } else { Err(Wrong::new(self.at, format!("`{wanted}` is missing"))) }
    }

    fn name(&mut self) -> Result<String, Wrong> {
        let at = self.skipped();
        let end = self.rest().find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest().len());
        let name = self.rest().get(..end).unwrap_or_default().to_owned();
        self.at += end;
        if name.is_empty() {
            Err(Wrong::new(at, "a name is expected: calls with literal arguments are read, nothing else"))
        } else {
            Ok(name)
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Wrong> {
        let at = self.skipped();
        match self.peek() {
            Some(quote @ ('"' | '\'')) => self.string(quote).map(Value::Text),
            Some('[') if depth < DEPTH_MAX => {
                self.next();
                let mut items = Vec::new();
                while !self.eat(']') {
                    items.push(self.value(depth + 1)?);
                    if !self.eat(',') {
                        self.expect(']')?;
                        break;
                    }
                }
                Ok(Value::List(items))
            }
            Some(c) if c.is_alphanumeric() => self.name().map(|_| Value::Other),
            _ => Err(Wrong::new(at, "a text or a list is expected")),
        }
    }

    fn string(&mut self, quote: char) -> Result<String, Wrong> {
        let at = self.at;
        let open = |message| Wrong::new(at, message);
        let three: String = [quote; 3].iter().collect();
        let end = if self.rest().starts_with(&three) { three } else { quote.to_string() };
        self.at += end.len();
        let mut out = String::new();
        loop {
            if self.rest().starts_with(&end) {
                self.at += end.len();
                return Ok(out);
            }
            match self.next().ok_or_else(|| open("a text that does not end"))? {
                '\n' if end.len() == 1 => return Err(open("a text that does not end in its line")),
                '\\' => match self.next() {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some(c @ ('\\' | '"' | '\'')) => out.push(c),
                    _ => return Err(Wrong::new(self.at, "an escape that is not known")),
                },
                c => out.push(c),
            }
        }
    }
}
