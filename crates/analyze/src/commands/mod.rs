//! Commands as data: one row says which options a program has, what its operands are and what each does.
//!
//! A row is written like a short manual page, in a small notation that [`options`] and [`roles`] read:
//!
//! - options, blank-separated: `-a,--all` a flag; `-o,--output=` takes a value; `--color?` may have one attached;
//!   `-#` a number such as `-5`; behind `:` what the option does, joined with `+` (see [`options::Act`]).
//! - operands: roles in order; `*` after a role repeats it; roles behind the repeated one are taken from the end;
//!   `role*=X` stands for `X` when there is none. A leading `+` stops option parsing at the first operand.
//! - does: facts that hold for every run (see [`roles::Fact`]).
//!
//! Tools without rows for all they do are told by tables that can only raise the risk: [`runners`] whose operands are another
//! command, [`verbs`] that cannot be taken back, [`kinds`] of tools and of options.
//!
//! What a row does not list is not understood: the command stays visible and is never called read-only.

pub(crate) mod build;
pub(crate) mod builtin;
pub(crate) mod cloud;
pub(crate) mod files;
pub(crate) mod git;
pub(crate) mod kinds;
pub(crate) mod network;
pub(crate) mod options;
pub(crate) mod package;
pub(crate) mod process;
pub(crate) mod roles;
pub(crate) mod runners;
pub(crate) mod search;
pub(crate) mod system;
pub(crate) mod text;
pub(crate) mod verbs;
pub(crate) mod version;
pub(crate) mod wrapper;

use crate::index::Index;

/// One command, or one subcommand as `git log`.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) options: &'static str,
    pub(crate) operands: &'static str,
    pub(crate) does: &'static str,
}

/// A row.
pub(crate) const fn row(name: &'static str, options: &'static str, operands: &'static str, does: &'static str) -> Row {
    Row { name, options, operands, does }
}

/// Every family with its rows.
pub(crate) static FAMILIES: &[(&str, &[Row])] = &[
    ("files", files::ROWS),
    ("text", text::ROWS),
    ("search", search::ROWS),
    ("git", git::ROWS),
    ("build", build::ROWS),
    ("package", package::ROWS),
    ("network", network::ROWS),
    ("process", process::ROWS),
    ("system", system::ROWS),
    ("builtin", builtin::ROWS),
    ("cloud", cloud::ROWS),
];

/// The row of `name` with its family.
pub(crate) fn find(name: &str) -> Option<(&'static str, &'static Row)> {
    BY_NAME.may_have(name).find_map(|(family, row)| {
        let (family, rows) = FAMILIES.get(family)?;
        rows.get(row).filter(|row| row.name == name).map(|row| (*family, row))
    })
}

static BY_NAME: Index<4096> = {
    let mut index = Index::new();
    let (mut table, mut families) = (0, FAMILIES);
    while let [(_, rows), behind @ ..] = families {
        let (mut at, mut rows) = (0, *rows);
        while let [row, behind @ ..] = rows {
            index.add(row.name.as_bytes(), table, at);
            (at, rows) = (at + 1, behind);
        }
        (table, families) = (table + 1, behind);
    }
    index
};

/// Whether `name` is a program or builtin that some table knows: shadowing it deceives.
pub(crate) fn is_known(name: &str) -> bool {
    find(name).is_some() || wrapper::find(name).is_some() || builtin::IN_CODE.contains(&name)
}
