//! Vocabulary: the entity types and actions of the schema, as values Cedar takes.

use crate::error::PolicyError;
use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use model::Action;
use std::collections::{HashMap, HashSet};

/// What can be asked about. Everything but `Apply` is about a command before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Question {
    /// One effect.
    Effect(Action),
    /// The command as a whole: its findings, and how far it was understood.
    Run,
    /// One change of a finished run.
    Apply,
}

impl Question {
    pub(crate) const ALL: [Question; 13] = [
        Question::Effect(Action::Read),
        Question::Effect(Action::Write),
        Question::Effect(Action::Create),
        Question::Effect(Action::Delete),
        Question::Effect(Action::Rename),
        Question::Effect(Action::Attributes),
        Question::Effect(Action::Execute),
        Question::Effect(Action::Connect),
        Question::Effect(Action::Listen),
        Question::Effect(Action::Signal),
        Question::Effect(Action::Privilege),
        Question::Run,
        Question::Apply,
    ];

    /// The id of the action in the schema.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Question::Effect(Action::Read) => "read",
            Question::Effect(Action::Write) => "write",
            Question::Effect(Action::Create) => "create",
            Question::Effect(Action::Delete) => "delete",
            Question::Effect(Action::Rename) => "rename",
            Question::Effect(Action::Attributes) => "attributes",
            Question::Effect(Action::Execute) => "execute",
            Question::Effect(Action::Connect) => "connect",
            Question::Effect(Action::Listen) => "listen",
            Question::Effect(Action::Signal) => "signal",
            Question::Effect(Action::Privilege) => "privilege",
            Question::Run => "run",
            Question::Apply => "apply",
        }
    }

    /// The action groups it is in, all of them: Cedar need not compute a closure.
    pub(crate) fn groups(self) -> &'static [&'static str] {
        match self {
            Question::Effect(action) if crate::risk::is_change(action) => &["change", "effect"],
            Question::Effect(_) | Question::Run => &["effect"],
            Question::Apply => &[],
        }
    }
}

/// The entity types, made once: Cedar checks a name with a regular expression, whose first use costs 0.1 ms.
pub(crate) struct Words {
    action: EntityTypeName,
    user: EntityTypeName,
    types: HashMap<&'static str, EntityTypeName>,
}

/// Entity types besides `Action` and `User`.
const TYPES: &[&str] = &[
    "Path", "Peer", "Program", "Thing", "Unknown", "Command", "Change", "Location", "Scope", "Network", "Kind",
    "Happened", "Rule", "Check",
];

fn entity_type(name: &str) -> Result<EntityTypeName, PolicyError> {
    name.parse().map_err(|error: cedar_policy::ParseErrors| PolicyError::Builtin { message: error.to_string() })
}

impl Words {
    pub(crate) fn new() -> Result<Words, PolicyError> {
        let mut types = HashMap::new();
        for name in TYPES {
            types.insert(*name, entity_type(name)?);
        }
        Ok(Words { action: entity_type("Action")?, user: entity_type("User")?, types })
    }

    pub(crate) fn action_type(&self) -> &EntityTypeName {
        &self.action
    }

    pub(crate) fn type_named(&self, name: &str) -> Option<&EntityTypeName> {
        self.types.get(name)
    }

    pub(crate) fn action(&self, name: &str) -> EntityUid {
        EntityUid::from_type_name_and_id(self.action.clone(), EntityId::new(name))
    }

    pub(crate) fn user(&self, uid: u32) -> EntityUid {
        EntityUid::from_type_name_and_id(self.user.clone(), EntityId::new(uid.to_string()))
    }

    /// An entity of a type of the schema. A type that is not in it gives an action, which no policy takes for a
    /// resource: the question is denied by default.
    pub(crate) fn uid(&self, kind: &str, id: &str) -> EntityUid {
        let kind = self.types.get(kind).unwrap_or(&self.action);
        EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
    }

    /// A value of an enumerated type.
    pub(crate) fn value(&self, kind: &str, id: &str) -> RestrictedExpression {
        RestrictedExpression::new_entity_uid(self.uid(kind, id))
    }

    /// The action of a question with the groups it is in, as Cedar wants to be told.
    pub(crate) fn action_entity(&self, question: Question) -> Entity {
        let groups: HashSet<EntityUid> = question.groups().iter().map(|group| self.action(group)).collect();
        Entity::new_no_attrs(self.action(question.name()), groups)
    }
}

pub(crate) fn text(value: impl Into<String>) -> RestrictedExpression {
    RestrictedExpression::new_string(value.into())
}

pub(crate) fn yes(value: bool) -> RestrictedExpression {
    RestrictedExpression::new_bool(value)
}

pub(crate) fn number(value: impl Into<i64>) -> RestrictedExpression {
    RestrictedExpression::new_long(value.into())
}
