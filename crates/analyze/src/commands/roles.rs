//! What operands, option values and whole commands can be, as the words of the row notation.

/// The roles a row may name. Kept in one list so that a misspelt row is a failing test, not a missed effect.
#[cfg(test)]
pub(crate) static ROLES: &[&str] = &[
    // Not a name of anything: text, numbers, patterns.
    "data", // Content of a file; of everything below it; only names and metadata.
    "read", "tree", "list",
    // A file is written, made, changed in its attributes or removed; the last with everything below it.
    "write", "create", "dir", "attr", "attrtree", "delete", "deltree", // Overwritten, then removed.
    "shredded",
    // Moved away; a copy's or move's target, which may be a directory; a link.
    // Moved into a directory with any name.
    "from", "dest", "link", "into",
    // A file that is run, a program that is run, shell text, code in another language.
    "exec", "program", "shell", "code", // A peer: host, address or host:path; URL; where HOST:PORT leads instead.
    "host", "remote", "url", "rerouted", // A working directory for what follows.
    "cwd",      // The inner command of a wrapper; a subcommand that selects another row.
    "cmd",
    "sub", // What a manager installs and runs; code or a description that may be remote; NAME=value; a key.
    "package", "module", "assign", "binding", // A process, a variable, a service or other thing that is changed.
    "pid", "var", "thing",
];

/// Facts a row may state in its last column, as `word` or `word:argument`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// `exec`: code of the project or of others runs, which nobody here explains.
    Exec,
    /// `exec-quiet`: a known tool runs that may read anything and writes only what the row says.
    Tool,
    /// `repo`: the git repository's own data changes.
    Repo,
    /// `write:PATH`: everything below PATH (relative to the working directory, `~/` allowed) may be written.
    Write(&'static str),
    /// `tree:PATH`: everything below PATH is read.
    Tree(&'static str),
    /// `net:HOST`: HOST may be connected to; no host means one that is not known.
    Net(&'static str),
    /// `asks:HOST`: the tool's own service is asked and changes nothing. What it is asked stands in the command; where a
    /// value there is not known this is a connection like any other.
    Asks(&'static str),
    /// `listen`: connections are accepted.
    Listen,
    /// `signal:WHAT`: processes are signalled.
    Signal(&'static str),
    /// `privilege:WHAT`: privilege is used or gained.
    Privilege(&'static str),
    /// `remote:WHAT`: state on another machine changes, for good.
    Remote(&'static str),
    /// `changes:WHAT`: state outside the file tree changes (a service, a container, a database).
    Changes(&'static str),
    /// `bj0NN`: this check fires.
    Check(u16),
}

/// Reads one fact. `None` when the word is none.
pub(crate) fn fact(text: &'static str) -> Option<Fact> {
    let (word, argument) = text.split_once(':').unwrap_or((text, ""));
    Some(match word {
        "exec" => Fact::Exec,
        "tool" => Fact::Tool,
        "repo" => Fact::Repo,
        "write" => Fact::Write(argument),
        "tree" => Fact::Tree(argument),
        "net" => Fact::Net(argument),
        "asks" => Fact::Asks(argument),
        "listen" => Fact::Listen,
        "signal" => Fact::Signal(argument),
        "privilege" => Fact::Privilege(argument),
        "remote" => Fact::Remote(argument),
        "changes" => Fact::Changes(argument),
        _ => Fact::Check(word.strip_prefix("bj")?.parse().ok()?),
    })
}

/// The operand column of a row, taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Operands {
    pub(crate) head: Vec<&'static str>,
    pub(crate) star: Option<&'static str>,
    pub(crate) tail: Vec<&'static str>,
    /// Stands for the repeated operand when there is none.
    pub(crate) default: Option<&'static str>,
}

impl Operands {
    /// Reads the operand column.
    pub(crate) fn read(column: &'static str) -> Operands {
        let mut operands = Operands::default();
        for word in column.trim_start_matches('+').split_ascii_whitespace() {
            match word.split_once('*') {
                Some((role, default)) => {
                    operands.star = Some(role);
                    operands.default = default.strip_prefix('=');
                }
                None if operands.star.is_some() => operands.tail.push(word),
                None => operands.head.push(word),
            }
        }
        operands
    }

    /// The role of the operand at `index` of `count`; `None` when the row has no room for it.
    pub(crate) fn role(&self, index: usize, count: usize) -> Option<&'static str> {
        if let Some(role) = self.head.get(index) {
            return Some(role);
        }
        let from_end = count - index;
        if from_end <= self.tail.len() && count > self.head.len() + usize::from(self.star.is_some()) {
            return self.tail.get(self.tail.len() - from_end).copied();
        }
        self.star
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::options::{Act, entries};
    use crate::commands::{FAMILIES, Row, wrapper::WRAPPERS};

    fn roles_of(row: &Row) -> Vec<&'static str> {
        let operands = Operands::read(row.operands);
        let mut roles: Vec<&str> = operands.head.iter().chain(&operands.star).chain(&operands.tail).copied().collect();
        for entry in entries(row).iter() {
            for act in entry.acts() {
                match act {
                    Act::Value(role) | Act::Operands(role) => roles.push(role),
                    Act::Does(text) => assert!(fact(text).is_some(), "{}: {text}", row.name),
                    _ => {}
                }
            }
        }
        roles
    }

    #[test]
    fn every_row_is_well_spelt() {
        let rows = FAMILIES.iter().flat_map(|(_, rows)| rows.iter()).chain(WRAPPERS.iter().map(|wrapper| &wrapper.row));
        let mut seen = std::collections::BTreeSet::new();
        let runs = crate::commands::runners::rows().map(|row| (row, "runner "));
        for (row, kind) in rows.map(|row| (row, "")).chain(runs) {
            assert!(seen.insert(format!("{kind}{}", row.name)), "{} stands twice", row.name);
            for role in roles_of(row) {
                assert!(ROLES.contains(&role), "{}: no role {role}", row.name);
            }
            for text in row.does.split_ascii_whitespace() {
                assert!(fact(text).is_some(), "{}: no fact {text}", row.name);
            }
        }
        assert!(seen.len() > 200, "{} rows", seen.len());
    }

    #[test]
    fn operands_take_their_places() {
        let copy = Operands::read("read* dest");
        assert_eq!([copy.role(0, 2), copy.role(1, 2)], [Some("read"), Some("dest")]);
        assert_eq!(copy.role(0, 1), Some("read"));
        let grep = Operands::read("data read*=.");
        assert_eq!([grep.role(0, 2), grep.role(1, 2)], [Some("data"), Some("read")]);
        assert_eq!(grep.default, Some("."));
        assert_eq!(Operands::read("data").role(1, 2), None);
    }
}
