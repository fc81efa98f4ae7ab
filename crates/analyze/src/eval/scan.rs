//! Looking ahead over a structure without evaluating it: what a loop assigns, whether a function calls itself.

use crate::syntax::ast::{Command, Kind, List, Simple, Word};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Builtins whose arguments name variables they assign.
const ASSIGNERS: &[&str] = &[
    "read",
    "printf",
    "declare",
    "typeset",
    "local",
    "export",
    "readonly",
    "mapfile",
    "readarray",
    "getopts",
    "unset",
    "let",
    "wait",
];

/// What a piece of script changes in its own shell.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    pub(super) names: Vec<String>,
    /// It changes the working directory.
    pub(super) moves: bool,
    /// It changes the positional parameters.
    pub(super) shifts: bool,
    /// It may assign anything (`eval`, a function, a name that is computed).
    pub(super) anything: bool,
}

impl Assigned {
    pub(super) fn list(&mut self, list: &List, functions: &BTreeMap<String, Rc<Command>>) {
        for command in commands(list) {
            match &command.kind {
                Kind::Simple(simple) => self.simple(simple, functions),
                Kind::For { name, .. } => self.names.push(name.clone()),
                Kind::Arith(_) | Kind::ForArith { .. } => self.anything = true,
                _ => {}
            }
            for list in inner_lists(&command.kind) {
                self.list(list, functions);
            }
        }
    }

    fn simple(&mut self, simple: &Simple, functions: &BTreeMap<String, Rc<Command>>) {
        let Some((first, rest)) = simple.words.split_first() else {
            self.names.extend(simple.assigns.iter().map(|assign| assign.name.clone()));
            return;
        };
        match first.plain() {
            Some("cd" | "pushd" | "popd") => self.moves = true,
            Some("set" | "shift") => self.shifts = true,
            Some("eval" | "source" | "." | "builtin" | "command") | None => self.anything = true,
            Some(name) if ASSIGNERS.contains(&name) => {
                for word in rest {
                    match word.plain() {
                        Some(text) => self.names.push(text.split(['=', '[']).next().unwrap_or(text).to_owned()),
                        None => self.anything |= name != "printf" && name != "let",
                    }
                }
            }
            Some(name) => self.anything |= functions.contains_key(name),
        }
    }
}

fn commands(list: &List) -> impl Iterator<Item = &Command> {
    list.entries.iter().flat_map(|entry| entry.pipeline.commands.iter())
}

/// The lists that run in the same shell as the command.
fn inner_lists(kind: &Kind) -> Vec<&List> {
    match kind {
        Kind::Group(list) => vec![list],
        Kind::If { branches, otherwise } => branches.iter().flat_map(|(a, b)| [a, b]).chain(otherwise).collect(),
        Kind::Loop { condition, body } => vec![condition, body],
        Kind::For { body, .. } | Kind::ForArith { body, .. } => vec![body],
        Kind::Case { arms, .. } => arms.iter().map(|arm| &arm.body).collect(),
        Kind::Simple(_)
        | Kind::Subshell(_)
        | Kind::Function { .. }
        | Kind::Arith(_)
        | Kind::Test(_)
        | Kind::Coproc(_) => Vec::new(),
    }
}

/// Whether a function's body starts the function twice in one pipeline or in the background: a fork bomb.
pub(super) fn calls_itself(name: &str, body: &Command) -> bool {
    let list = match &body.kind {
        Kind::Group(list) | Kind::Subshell(list) => list,
        _ => return false,
    };
    let calls = |command: &Command| matches!(&command.kind, Kind::Simple(simple) if simple.words.first().and_then(Word::plain) == Some(name));
    list.entries.iter().any(|entry| {
        let count = entry.pipeline.commands.iter().filter(|command| calls(command)).count();
        count > 1 || (count == 1 && entry.joint == crate::syntax::ast::Joint::Background)
    })
}
