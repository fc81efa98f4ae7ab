//! What the rules become.

use super::command::{End, Pattern};
use super::{About, Given, Import, Imported, Kept, Read, Source, never};
use crate::layer::position;
use model::Verdict;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Characters of a rule that are shown.
const SHOWN_MAX: usize = 120;

/// Adds the rules of one file.
pub(super) fn write(given: &Given<'_>, number: usize, read: &Read, out: &mut Import) {
    let word = given.agent.word();
    let prefix = if number == 0 { word.to_owned() } else { format!("{word}-{}", number + 1) };
    let _ = writeln!(out.text, "\n// ---- {} ----", comment(given.name));
    for (at, source) in read.sources.iter().enumerate() {
        let (line, column) = position(given.text, source.at);
        let place = |of: &Source| format!("line {}", position(given.text, of.at).0);
        let never = never(&read.sources, at, place);
        let mut said = if never.is_some() { Said::nothing() } else { said(source) };
        if never.is_none() && !source.conditions.is_empty() {
            said.under_conditions(source);
        }
        let id = format!("{prefix}/{}", at + 1);
        let rule = shown(&source.shown);
        let _ = writeln!(
            out.text,
            "\n// {}:{line}:{column}: {}: {}",
            comment(given.name),
            heading(source.verdict),
            comment(&rule)
        );
        for note in never.iter().map(|why| format!("it can never fire: {why}")).chain(said.notes.iter().cloned()) {
            let _ = writeln!(out.text, "// {}", comment(&note));
        }
        for (part, rule) in said.rules.iter().enumerate() {
            let id = if said.rules.len() == 1 { id.clone() } else { format!("{id}/{}", part + 1) };
            let _ = writeln!(out.text, "@id({})\n{rule}", quoted(&id));
        }
        out.rules.push(Imported {
            file: given.name.to_owned(),
            line,
            column,
            rule,
            verdict: source.verdict,
            kept: said.kept,
            notes: said.notes,
            never,
            id: if said.rules.is_empty() { String::new() } else { id },
        });
    }
}

/// What a rule is here.
struct Said {
    rules: Vec<String>,
    kept: Kept,
    notes: Vec<String>,
}

impl Said {
    fn nothing() -> Said {
        Said { rules: Vec::new(), kept: Kept::Not, notes: Vec::new() }
    }

    fn left_out(why: impl Into<String>) -> Said {
        Said { notes: vec![why.into()], ..Said::nothing() }
    }

    fn one(rule: String, kept: Kept) -> Said {
        Said { rules: vec![rule], kept, notes: Vec::new() }
    }

    fn noting(mut self, note: impl Into<String>) -> Said {
        self.notes.push(note.into());
        self
    }

    /// It holds only at times there. A permit must not hold at others; a forbid may.
    fn under_conditions(&mut self, source: &Source) {
        let conditions = source.conditions.join(", ");
        if source.verdict == Verdict::Allow {
            *self = Said::left_out(format!("left out: it allows only with {conditions}, which no rule here can ask"));
        } else if !self.rules.is_empty() {
            self.notes.push(format!("there it holds only with {conditions}, here always"));
            self.kept = self.kept.max(Kept::Tighter);
        }
    }
}

const READ: &str = "action == Action::\"read\"";
const NOT_EXACT: &str = "left out, so it is asked about as before";

fn said(source: &Source) -> Said {
    match &source.about {
        About::Everything => everything(source.verdict, "action in Action::\"effect\""),
        About::Commands(pattern) if pattern.words.is_empty() && pattern.end == End::Anything => {
            match source.verdict {
                Verdict::Allow => everything(source.verdict, "action in Action::\"effect\""),
                // Every command is asked about as a whole.
                _ => everything(source.verdict, "action == Action::\"run\""),
            }
        }
        About::Commands(pattern) => commands(source.verdict, pattern),
        About::Read(glob) => paths(source.verdict, READ, glob),
        About::Change(glob) => paths(source.verdict, "action in Action::\"change\"", glob),
        About::Fetch(host) => fetch(source.verdict, host.as_deref()),
        About::Tool(name) => {
            Said::left_out(format!("left out: {name} is a tool of the agent, and Belljar sees commands"))
        }
        About::Other(what) => Said::left_out(format!("left out: {what}")),
    }
}

/// One statement with the conditions that make its verdict.
fn statement(verdict: Verdict, action: &str, resource: &str, when: &str) -> String {
    let when = if when.is_empty() { String::new() } else { format!("\nwhen {{ {}}}", with_end(when)) };
    match verdict {
        Verdict::Allow => format!("permit (principal, {action}, {resource}){when}\nwhen {{ context.risk < 2 }};"),
        Verdict::Ask => format!("forbid (principal, {action}, {resource}){when}\nunless {{ context.approved }};"),
        Verdict::Deny => format!("forbid (principal, {action}, {resource}){when};"),
    }
}

/// A condition of several lines ends its last one.
fn with_end(when: &str) -> String {
    if when.ends_with('\n') { when.to_owned() } else { format!("{when} ") }
}

const HIGH: &str = "what is HIGH is for a person here";

fn everything(verdict: Verdict, action: &str) -> Said {
    let rule = statement(verdict, action, "resource", "");
    match verdict {
        Verdict::Allow => Said::one(rule, Kept::Tighter).noting(HIGH),
        _ => Said::one(rule, Kept::Same),
    }
}

/// Commands are known here by the programs that they start: their name, and a subcommand where Belljar knows it.
fn commands(verdict: Verdict, pattern: &Pattern) -> Said {
    let Some(spelled) = pattern.spelled() else {
        return Said::left_out("left out: it has too many alternatives");
    };
    if pattern.end == End::Unknown && (verdict == Verdict::Allow || pattern.words.is_empty()) {
        return Said::left_out(format!("{NOT_EXACT}: rules here see programs, not the text of commands"));
    }
    let mut tests: Vec<String> = Vec::new();
    match verdict {
        Verdict::Allow => {
            // A program is started with any arguments.
            if pattern.end == End::Here {
                return Said::left_out(format!(
                    "{NOT_EXACT}: rules here do not see arguments, and it allows only these"
                ));
            }
            for words in &spelled {
                let name = words.join(" ");
                if words.first().is_some_and(|word| word.contains('/') && !word.starts_with('/')) {
                    return Said::left_out(format!("{NOT_EXACT}: here a program of the project has its whole path"));
                }
                if words.len() > 2 || words.iter().skip(1).any(|word| word.starts_with('-')) {
                    return Said::left_out(format!(
                        "{NOT_EXACT}: rules here see `{}` and no further arguments",
                        first_two(words)
                    ));
                }
                tests.push(format!("resource.name == {}", quoted(&name)));
                tests.push(format!("resource.name like {}", like(&[&name, " "], true)));
            }
        }
        _ => {
            for words in &spelled {
                // By whatever path: programs that Belljar knows have none here.
                let words = without_path(words);
                // A name that is less than the pattern may be any command that begins so.
                for count in 1..=words.len() {
                    let name = words.get(..count).unwrap_or_default().join(" ");
                    tests.push(format!("resource.name == {}", quoted(&name)));
                    tests.push(format!("resource.name like {}", like_end(&name)));
                }
                let name = words.join(" ");
                let end = if pattern.end == End::MidWord { "" } else { " " };
                tests.push(format!("resource.name like {}", like(&[&name, end], true)));
                tests.push(format!("resource.name like {}", like_within(&name, end)));
            }
        }
    }
    let mut seen = BTreeSet::new();
    tests.retain(|test| seen.insert(test.clone()));
    let when = format!("{}\n", tests.join("\n    || "));
    let rule = statement(verdict, "action == Action::\"execute\"", "resource is Program", &when);
    if verdict == Verdict::Allow {
        return Said::one(rule, Kept::Tighter)
            .noting(format!("it may start; what else it is known to do is decided for itself, and {HIGH}"));
    }
    let said = Said::one(rule, Kept::Partly).noting(
        "NOT ALL OF IT: where Belljar knows what the command does (as of rm, curl, cat, ls), it sees that and no program",
    );
    match spelled.iter().find(|words| words.len() > 1) {
        Some(words) => said.noting(format!("arguments are not seen: `{}` as a whole", first_two(words))),
        None => said,
    }
}

fn without_path<'w>(words: &[&'w str]) -> Vec<&'w str> {
    let name = |(at, word): (usize, &&'w str)| match word.rsplit_once('/') {
        Some((_, name)) if at == 0 && !name.is_empty() => name,
        _ => *word,
    };
    words.iter().enumerate().map(name).collect()
}

fn first_two(words: &[&str]) -> String {
    words.get(..words.len().min(2)).unwrap_or_default().join(" ")
}

fn paths(verdict: Verdict, action: &str, glob: &super::glob::Glob) -> Said {
    if verdict == Verdict::Allow {
        return match glob.within() {
            Some(when) => {
                // Names that the shell has yet to find are not this path alone.
                let when = format!("{when} && resource.scope == Scope::\"exact\"");
                Said::one(statement(verdict, action, "resource is Path", &when), Kept::Tighter).noting(HIGH)
            }
            None => Said::left_out(format!("{NOT_EXACT}: the star of Cedar crosses `/`, so it would allow more")),
        };
    }
    if glob.is_everything() {
        return Said::one(statement(verdict, action, "resource is Path", ""), Kept::Same);
    }
    let around = glob.around();
    if action == READ {
        return Said::one(statement(verdict, action, "resource is Path", &around), Kept::Partly)
            .noting("NOT ALL OF IT: a command that reads a whole directory with it inside is not held");
    }
    // What is certain to change a whole directory changes this; what may change anything is held when it has.
    let above = format!(
        "{around}\n    || (context.certain && !(resource.scope == Scope::\"exact\") && {})\n",
        glob.reached_from_above()
    );
    let mut said = Said::one(statement(verdict, action, "resource is Path", &above), Kept::Partly);
    said.rules.push(statement(verdict, "action == Action::\"apply\"", "resource is Change", &around));
    said.noting(
        "NOT ALL OF IT: in a jar no such change becomes real; outside, a program that may change anything is not held",
    )
}

fn fetch(verdict: Verdict, host: Option<&str>) -> Said {
    if verdict == Verdict::Allow {
        return Said::left_out(format!(
            "{NOT_EXACT}: there the agent only reads a page, here any command could send to that host (`run --allow-net`)"
        ));
    }
    let when = host.map_or(String::new(), |host| {
        let host = host.trim_start_matches("*.").trim_end_matches('.').to_ascii_lowercase();
        format!("resource.host == {} || resource.host like {}", quoted(&host), like_dot(&host))
    });
    let rule = statement(verdict, "action == Action::\"connect\"", "resource is Peer", &when);
    Said::one(rule, Kept::Tighter).noting("here it holds for connections of commands, subdomains included")
}

fn heading(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Ask => "ask",
        Verdict::Deny => "deny",
    }
}

fn shown(rule: &str) -> String {
    let one_line: String = rule.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = one_line.chars().take(SHOWN_MAX).collect();
    if cut.len() < one_line.len() { format!("{cut} ...") } else { cut }
}

/// A text that stays within its line.
fn comment(text: &str) -> String {
    model::escape::text(text)
}

/// A text as Cedar writes it.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", inner(text, false))
}

/// A pattern of fixed texts, with a star behind them.
pub(super) fn like(texts: &[&str], star: bool) -> String {
    let fixed: String = texts.iter().map(|text| inner(text, true)).collect();
    format!("\"{fixed}{}\"", if star { "*" } else { "" })
}

fn like_end(name: &str) -> String {
    format!("\"*/{}\"", inner(name, true))
}

fn like_within(name: &str, end: &str) -> String {
    format!("\"*/{}{end}*\"", inner(name, true))
}

fn like_dot(host: &str) -> String {
    format!("\"*.{}\"", inner(host, true))
}

/// The inside of a text or pattern of Cedar: printable ASCII as it is, everything else by number.
pub(crate) fn inner(text: &str, pattern: bool) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' | '"' => {
                out.push('\\');
                out.push(c);
            }
            '*' if pattern => out.push_str("\\*"),
            ' '..='~' => out.push(c),
            c => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    out
}
