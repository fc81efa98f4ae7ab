//! Looking ahead over a structure without evaluating it: what a loop assigns, whether a function calls itself.

use crate::syntax::ast::{Command, Kind, List, Word};

/// Names that a piece of script assigns, and whether it changes the working directory.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    pub(super) names: Vec<String>,
    pub(super) moves: bool,
}

impl Assigned {
    pub(super) fn list(&mut self, list: &List) {
        for command in commands(list) {
            self.command(command);
        }
    }

    fn command(&mut self, command: &Command) {
        match &command.kind {
            Kind::Simple(simple) => {
                if simple.words.is_empty() {
                    self.names.extend(simple.assigns.iter().map(|assign| assign.name.clone()));
                }
                self.moves |= simple
                    .words
                    .first()
                    .and_then(Word::plain)
                    .is_some_and(|name| matches!(name, "cd" | "pushd" | "popd"));
            }
            Kind::For { name, .. } => self.names.push(name.clone()),
            _ => {}
        }
        for list in inner_lists(&command.kind) {
            self.list(list);
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
