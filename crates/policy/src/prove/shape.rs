//! Shapes: every kind of request the schema knows, an action on a type of resource.

use crate::words::Question;
use model::Action;

/// An action on a type of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) question: Question,
    pub(super) kind: &'static str,
}

impl Shape {
    /// All of them, for each action the resource it usually has first.
    pub(super) fn all() -> impl Iterator<Item = Shape> {
        Question::ALL.into_iter().flat_map(|question| kinds(question).iter().map(move |kind| Shape { question, kind }))
    }
}

fn kinds(question: Question) -> &'static [&'static str] {
    match question {
        Question::Run => &["Command"],
        Question::Apply => &["Change"],
        Question::Effect(Action::Connect | Action::Listen) => &["Peer", "Path", "Program", "Thing", "Unknown"],
        Question::Effect(Action::Execute) => &["Program", "Path", "Unknown", "Thing", "Peer"],
        Question::Effect(Action::Signal | Action::Privilege) => &["Thing", "Program", "Path", "Peer", "Unknown"],
        Question::Effect(_) => &["Path", "Thing", "Program", "Peer", "Unknown"],
    }
}
