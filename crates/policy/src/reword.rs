//! Rewording: a model may put an explanation into other words, and may change nothing else. Line for line, whatever is
//! named (a path, a host, a number, a check), every verb, every tier and every "not" must still be there, and none may have
//! come in. What fails this is dropped, and the plain explanation stands.

use std::collections::BTreeSet;
use std::fmt;

/// Why a rewording was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has not a line for each line.
    Lines {
        /// How many there are.
        given: usize,
        /// How many there must be.
        wanted: usize,
    },
    /// A line is empty, or much longer than the plain one.
    Length {
        /// Which, counted from 1.
        line: usize,
    },
    /// A character in it controls the terminal, turns the text around or cannot be seen.
    Characters {
        /// Which, counted from 1.
        line: usize,
    },
    /// Something that the plain line says is missing.
    Lost {
        /// Which, counted from 1.
        line: usize,
        /// What, escaped.
        what: String,
    },
    /// It says something that the plain line does not.
    Added {
        /// Which, counted from 1.
        line: usize,
        /// What, escaped.
        what: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Lines { given, wanted } => write!(f, "it has {given} lines and not {wanted}"),
            Fault::Length { line } => write!(f, "line {line} is empty or too long"),
            Fault::Characters { line } => write!(f, "line {line} holds characters that are not shown as they are"),
            Fault::Lost { line, what } => write!(f, "line {line} lost {what}"),
            Fault::Added { line, what } => write!(f, "line {line} added {what}"),
        }
    }
}

/// How much longer than the plain line a reworded one may be, in bytes, besides being twice as long.
const LONGER_MAX: usize = 80;

/// The lines of a rewording of `plain`.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn checked(plain: &[String], reworded: &str) -> Result<Vec<String>, Fault> {
    let lines: Vec<&str> = reworded.trim_end_matches('\n').split('\n').collect();
    if lines.len() != plain.len() {
        return Err(Fault::Lines { given: lines.len(), wanted: plain.len() });
    }
    let pairs = plain.iter().zip(lines).zip(1..);
    pairs.map(|((plain, said), line)| one(plain, said, line).map(|()| said.to_owned())).collect()
}

fn one(plain: &str, said: &str, line: usize) -> Result<(), Fault> {
    if said.trim().is_empty() || said.len() > 2 * plain.len() + LONGER_MAX {
        return Err(Fault::Length { line });
    }
    if said.chars().any(model::escape::is_deceptive) {
        return Err(Fault::Characters { line });
    }
    let (facts, told) = (facts(plain), facts(said));
    let escaped = |fact: &String| model::escape::text(fact);
    if let Some(what) = facts.difference(&told).next().map(escaped) {
        return Err(Fault::Lost { line, what });
    }
    match told.difference(&facts).next().map(escaped) {
        Some(what) => Err(Fault::Added { line, what }),
        None => Ok(()),
    }
}

/// Words for what is done, by what they mean: another form of the same verb is none that was added.
static VERBS: &[(&str, &[&str])] = &[
    ("read", &["read", "reads", "reading", "open", "opens", "opening", "look", "looks"]),
    (
        "write",
        &[
            "write",
            "writes",
            "writing",
            "written",
            "wrote",
            "overwrite",
            "overwrites",
            "modify",
            "modifies",
            "edit",
            "edits",
        ],
    ),
    ("create", &["create", "creates", "creating", "created", "make", "makes", "making", "add", "adds"]),
    (
        "delete",
        &[
            "delete", "deletes", "deleting", "deleted", "remove", "removes", "removing", "removed", "erase", "erases",
            "wipe", "wipes", "destroy", "destroys",
        ],
    ),
    ("rename", &["rename", "renames", "renaming", "renamed", "move", "moves", "moving", "moved"]),
    ("change", &["change", "changes", "changing", "changed"]),
    (
        "execute",
        &[
            "execute",
            "executes",
            "executing",
            "executed",
            "run",
            "runs",
            "running",
            "ran",
            "start",
            "starts",
            "launch",
            "launches",
        ],
    ),
    ("connect", &["connect", "connects", "connecting", "connection", "contact", "contacts"]),
    ("send", &["send", "sends", "sending", "sent", "upload", "uploads", "post", "posts"]),
    ("fetch", &["fetch", "fetches", "download", "downloads", "install", "installs"]),
    ("listen", &["listen", "listens", "listening"]),
    ("signal", &["signal", "signals", "kill", "kills", "end", "ends"]),
    ("privilege", &["privilege", "privileges", "sudo", "root"]),
    ("undo", &["undo", "undone", "reverse", "reversed", "reversible", "revert", "reverted"]),
    ("taken back", &["taken"]),
    ("safe", &["safe", "safely", "harmless", "trusted", "approved", "allowed", "secure"]),
    ("safer", &["safer"]),
    ("secret", &["secret", "secrets", "credential", "credentials", "password", "passwords"]),
];

/// Words that turn a sentence into its opposite.
static NOT: &[&str] = &[
    "not", "no", "never", "cannot", "nothing", "nobody", "none", "without", "only", "unless", "except", "hardly",
    "unknown",
];

/// What a line says that no rewording may change.
fn facts(line: &str) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for word in line.split(|c: char| c.is_whitespace() || "()\"`,;".contains(c)) {
        let word = word.trim_end_matches(['.', ':', '!', '?', '\'']).trim_start_matches('\'');
        if !word.is_empty() {
            facts.extend(fact(word));
        }
    }
    facts
}

/// Named things stand as they are; of other words only those that matter, by what they mean.
fn fact(word: &str) -> Option<String> {
    let lower = word.to_lowercase();
    if ["low", "medium", "high"].contains(&lower.as_str()) {
        return Some(format!("tier {lower}"));
    }
    if NOT.contains(&lower.as_str()) || lower.ends_with("n't") || lower.ends_with("n\u{2019}t") {
        return Some("not".to_owned());
    }
    let plain = |c: char| c.is_ascii_alphabetic() || c == '\'' || c == '-';
    if !word.chars().all(plain) || word.starts_with('-') || is_a_name(word) {
        return Some(word.to_owned());
    }
    let verb = VERBS.iter().find(|(_, forms)| forms.contains(&lower.as_str()));
    verb.map(|(means, _)| (*means).to_owned())
}

/// Capitals inside a word: `Makefile` begins a sentence as any word may, `GNUmakefile` and `README` are names.
fn is_a_name(word: &str) -> bool {
    word.chars().skip(1).any(|c| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::{Fault, checked};
    use proptest::prelude::*;

    fn plain() -> Vec<String> {
        [
            "MEDIUM in the jar: what it changes is held back and can be reviewed. It would be HIGH on the bare machine.",
            "HIGH: connect to github.com:443: what is sent cannot be taken back.",
            "HIGH: read /home/u/.ssh/id_rsa: it holds secrets.",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn with(line: usize, said: &str) -> Result<Vec<String>, Fault> {
        let mut lines = plain();
        lines[line - 1] = said.to_owned();
        checked(&plain(), &lines.join("\n"))
    }

    #[test]
    fn other_words_for_the_same_are_taken() {
        assert_eq!(checked(&plain(), &plain().join("\n")).unwrap(), plain());
        let said = "HIGH: it reads your secrets in /home/u/.ssh/id_rsa.";
        assert_eq!(with(3, said).unwrap()[2], said);
        assert!(
            with(2, "HIGH: connects to github.com:443, and whatever was sent there can never be taken back.").is_ok()
        );
    }

    #[test]
    fn what_is_lost_added_or_turned_around_is_found() {
        for (line, said, fault) in [
            (3, "HIGH: it reads your secrets.", "line 3 lost /home/u/.ssh/id_rsa"),
            (3, "It reads secrets in /home/u/.ssh/id_rsa.", "line 3 lost tier high"),
            (3, "LOW: read /home/u/.ssh/id_rsa: it holds secrets.", "line 3 lost tier high"),
            (3, "HIGH: /home/u/.ssh/id_rsa holds secrets.", "line 3 lost read"),
            (3, "HIGH: read /home/u/.ssh/id_rsa and /etc/shadow: secrets.", "line 3 added /etc/shadow"),
            (3, "HIGH: read and delete /home/u/.ssh/id_rsa: secrets.", "line 3 added delete"),
            (3, "HIGH: read /home/u/.ssh/id_rsa: it holds no secrets.", "line 3 added not"),
            (3, "HIGH: read /home/u/.ssh/id_rsa: secrets, but this is safe.", "line 3 added safe"),
            (2, "HIGH: connect to github.com:443: what is sent can be taken back.", "line 2 lost not"),
            (2, "HIGH: connect to github.com: what is sent cannot be taken back.", "line 2 lost github.com:443"),
            (
                2,
                "HIGH: connect to g\u{456}thub.com:443 for what is sent cannot be taken back.",
                "line 2 lost github.com:443",
            ),
            (
                2,
                "HIGH: connect to github.com:443 (evil.example): what is sent cannot be taken back.",
                "line 2 added evil.example",
            ),
            (
                3,
                "HIGH: read /home/u/.ssh/id_rsa\u{1b}[2K: secrets.",
                "line 3 holds characters that are not shown as they are",
            ),
            (
                3,
                "HIGH: read /home/u/.ssh/id_rsa\u{202e}: secrets.",
                "line 3 holds characters that are not shown as they are",
            ),
            (2, "", "line 2 is empty or too long"),
        ] {
            assert_eq!(with(line, said).unwrap_err().to_string(), fault, "{said}");
        }
        let long = format!("HIGH: read /home/u/.ssh/id_rsa: it holds secrets{}.", " indeed".repeat(40));
        assert_eq!(with(3, &long), Err(Fault::Length { line: 3 }));
        assert!(matches!(checked(&plain(), "HIGH."), Err(Fault::Lines { given: 1, wanted: 3 })));
    }

    proptest! {
        /// Whatever named word is taken out of a line, or put into it, is found.
        #[test]
        fn no_named_thing_comes_or_goes(line in 0_usize..3, name in "/[a-z]{1,8}/[a-z]{1,8}", at in 0_usize..9) {
            let mut lines = plain();
            let mut words: Vec<&str> = lines[line].split(' ').collect();
            words.insert(at.min(words.len()), &name);
            let more = words.join(" ");
            let mut plain_with = plain();
            plain_with[line] = more.clone();
            lines[line] = more;
            let said = lines.join("\n");
            prop_assert_eq!(checked(&plain(), &said), Err(Fault::Added { line: line + 1, what: name.clone() }));
            prop_assert_eq!(checked(&plain_with, &plain().join("\n")), Err(Fault::Lost { line: line + 1, what: name }));
        }
    }
}
