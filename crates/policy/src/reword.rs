//! Rewording: a model may put an explanation into other words, and may change nothing else. Line for line, whatever is
//! named (a path, a host, a program, a number, a check), every verb, every tier and every "not" must still be there, and none
//! may have come in; each name stands behind the verb that it stood behind, and tiers and places keep their order. What
//! fails this is dropped, and the plain explanation stands.

use model::{Analysis, Target};
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

/// Words of targets that name nothing.
const PLAIN: &[&str] =
    &["the", "a", "an", "of", "to", "and", "or", "on", "in", "at", "by", "for", "all", "other", "its", "it"];

/// Words of an explanation that are names although they look like any other: programs, things, text that was not understood.
#[must_use]
pub fn names(analysis: &Analysis) -> BTreeSet<String> {
    let targets = analysis.effects.iter().map(|effect| match &effect.target {
        Target::Program { name } => model::escape::text(name),
        Target::Thing { what } => model::escape::text(what),
        Target::Unknown { text } => model::escape::text(text),
        Target::Path { .. } | Target::Peer(_) => String::new(),
    });
    let words = targets.flat_map(|text| words(&text).map(str::to_owned).collect::<Vec<_>>());
    words.filter(|word| !PLAIN.contains(&word.as_str())).collect()
}

/// The lines of a rewording of `plain`, in which `names` are names.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn checked(plain: &[String], names: &BTreeSet<String>, reworded: &str) -> Result<Vec<String>, Fault> {
    let lines: Vec<&str> = reworded.trim_end_matches('\n').split('\n').collect();
    if lines.len() != plain.len() {
        return Err(Fault::Lines { given: lines.len(), wanted: plain.len() });
    }
    let pairs = plain.iter().zip(lines).zip(1..);
    pairs.map(|((plain, said), line)| one(plain, names, said, line).map(|()| said.to_owned())).collect()
}

fn one(plain: &str, names: &BTreeSet<String>, said: &str, line: usize) -> Result<(), Fault> {
    if said.trim().is_empty() || said.len() > 2 * plain.len() + LONGER_MAX {
        return Err(Fault::Length { line });
    }
    if said.chars().any(model::escape::is_deceptive) {
        return Err(Fault::Characters { line });
    }
    let (facts, told) = (Facts::of(plain, names), Facts::of(said, names));
    for (facts, told) in [(&facts.single, &told.single), (&facts.joined, &told.joined)] {
        let escaped = |fact: &String| model::escape::text(fact);
        if let Some(what) = facts.difference(told).next().map(escaped) {
            return Err(Fault::Lost { line, what });
        }
        if let Some(what) = told.difference(facts).next().map(escaped) {
            return Err(Fault::Added { line, what });
        }
    }
    Ok(())
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
#[derive(Default)]
struct Facts {
    /// Names, and what other words mean.
    single: BTreeSet<String>,
    /// Names with the verb before them; tiers and places in their order.
    joined: BTreeSet<String>,
}

/// What one word says.
enum Said {
    Name(String),
    Verb(&'static str),
    Tier(&'static str),
    Not,
}

impl Facts {
    fn of(line: &str, names: &BTreeSet<String>) -> Facts {
        let (mut facts, mut verb, mut tiers) = (Facts::default(), "", Vec::new());
        for word in words(line) {
            match fact(word, names) {
                Some(Said::Name(name)) => {
                    facts.joined.insert(format!("{verb} {name}"));
                    facts.single.insert(name);
                }
                Some(Said::Verb(means)) => {
                    facts.single.insert(means.to_owned());
                    verb = if DOES.contains(&means) { means } else { verb };
                }
                Some(Said::Tier(word)) => {
                    facts.single.insert(format!("tier {word}"));
                    tiers.push(word);
                }
                Some(Said::Not) => {
                    facts.single.insert("not".to_owned());
                }
                None => {
                    let place = PLACES.iter().find(|place| word.eq_ignore_ascii_case(place));
                    tiers.extend(place.copied());
                }
            }
        }
        facts.joined.insert(format!("order {}", tiers.join(" ")));
        facts
    }
}

/// Where a tier counts.
const PLACES: [&str; 2] = ["jar", "bare"];

/// Verbs that stand before what they are done to.
const DOES: [&str; 11] =
    ["read", "write", "create", "delete", "rename", "change", "execute", "connect", "listen", "signal", "privilege"];

/// The words of a line, without the signs around them.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| c.is_whitespace() || "()\"`,;".contains(c));
    let bare = words.map(|word| word.trim_end_matches(['.', ':', '!', '?', '\'']).trim_start_matches('\''));
    bare.filter(|word| !word.is_empty())
}

/// Named things stand as they are; of other words only those that matter, by what they mean.
fn fact(word: &str, names: &BTreeSet<String>) -> Option<Said> {
    const TIERS: [&str; 3] = ["low", "medium", "high"];
    let lower = word.to_lowercase();
    if let Some(tier) = TIERS.into_iter().find(|tier| lower == *tier) {
        return Some(Said::Tier(tier));
    }
    let plain = |c: char| c.is_ascii_alphabetic() || c == '\'' || c == '-';
    if names.contains(word) || word.starts_with('-') || is_a_name(word) {
        return Some(Said::Name(word.to_owned()));
    }
    if NOT.contains(&lower.as_str()) || lower.ends_with("n't") || lower.ends_with("n\u{2019}t") {
        return Some(Said::Not);
    }
    if !word.chars().all(plain) {
        return Some(Said::Name(word.to_owned()));
    }
    VERBS.iter().find(|(_, forms)| forms.contains(&lower.as_str())).map(|(means, _)| Said::Verb(means))
}

/// Capitals inside a word: `Makefile` begins a sentence as any word may, `GNUmakefile` and `README` are names.
fn is_a_name(word: &str) -> bool {
    word.chars().skip(1).any(|c| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::{Fault, checked};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn plain() -> Vec<String> {
        [
            "MEDIUM in the jar: what it changes is held back and can be reviewed. It would be HIGH on the bare machine.",
            "HIGH: connect to github.com:443: what is sent cannot be taken back.",
            "HIGH: read /home/u/.ssh/id_rsa: it holds secrets.",
            "It would write /w/a, delete /w/b, execute make.",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn with(line: usize, said: &str) -> Result<Vec<String>, Fault> {
        let mut lines = plain();
        lines[line - 1] = said.to_owned();
        checked(&plain(), &names(), &lines.join("\n"))
    }

    fn names() -> BTreeSet<String> {
        BTreeSet::from(["make".to_owned(), "docker".to_owned()])
    }

    #[test]
    fn other_words_for_the_same_are_taken() {
        assert_eq!(checked(&plain(), &names(), &plain().join("\n")).unwrap(), plain());
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
            (4, "It would delete /w/a, write /w/b, execute make.", "line 4 lost delete /w/b"),
            (4, "It would write /w/a, delete /w/b, execute a program.", "line 4 lost make"),
            (4, "It would write /w/a, delete /w/b, execute make and docker.", "line 4 added docker"),
            (
                1,
                "HIGH in the jar: what it changes is held back and can be reviewed. It would be MEDIUM on the bare machine.",
                "line 1 lost order medium jar high bare",
            ),
            (
                1,
                "MEDIUM bare: what it changes is held back and can be reviewed. In the jar it would be HIGH.",
                "line 1 lost order medium jar high bare",
            ),
        ] {
            assert_eq!(with(line, said).unwrap_err().to_string(), fault, "{said}");
        }
        let long = format!("HIGH: read /home/u/.ssh/id_rsa: it holds secrets{}.", " indeed".repeat(40));
        assert_eq!(with(3, &long), Err(Fault::Length { line: 3 }));
        assert!(matches!(checked(&plain(), &names(), "HIGH."), Err(Fault::Lines { given: 1, wanted: 4 })));
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
            prop_assert_eq!(checked(&plain(), &names(), &said), Err(Fault::Added { line: line + 1, what: name.clone() }));
            prop_assert_eq!(checked(&plain_with, &names(), &plain().join("\n")), Err(Fault::Lost { line: line + 1, what: name }));
        }
    }
}
