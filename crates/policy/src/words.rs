//! Vocabulary: the entity types and actions of the schema, as values Cedar takes.

use crate::error::PolicyError;
use cedar_policy_core::ast::{Eid, Entity, EntityType, EntityUID, Literal, Name, UnreservedId, Value};
use cedar_policy_core::parser::{Node, cst::Ident};
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
            Question::Effect(action) => action.word(),
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

/// The entity types, made once.
pub(crate) struct Words {
    action: EntityType,
    user: EntityType,
    types: HashMap<&'static str, EntityType>,
}

/// Entity types besides `Action` and `User`.
const TYPES: &[&str] = &[
    "Path", "Peer", "Program", "Thing", "Unknown", "Command", "Change", "Location", "Scope", "Network", "Kind",
    "Happened", "Rule", "Check",
];

/// As Cedar's parser makes one of an identifier. Its way from a text compiles a regular expression on its first use, which
/// costs 0.3 ms; what that would find out about these names a test does.
fn entity_type(name: &str) -> Result<EntityType, PolicyError> {
    let broken = |error: &dyn std::fmt::Display| PolicyError::Builtin { message: error.to_string() };
    let identifier = Node::new(Some(Ident::Ident(name.into()))).to_valid_ident().map_err(|e| broken(&e))?;
    let identifier = UnreservedId::try_from(identifier).map_err(|e| broken(&e))?;
    Ok(EntityType::from(Name::unqualified_name(identifier)))
}

impl Words {
    pub(crate) fn new() -> Result<Words, PolicyError> {
        let mut types = HashMap::new();
        for name in TYPES {
            types.insert(*name, entity_type(name)?);
        }
        Ok(Words { action: entity_type("Action")?, user: entity_type("User")?, types })
    }

    /// A type of the schema. One that is not in it gives `Action`, which no rule takes for a resource or a value: the
    /// question is denied by default.
    pub(crate) fn kind(&self, name: &str) -> &EntityType {
        self.types.get(name).unwrap_or(&self.action)
    }

    pub(crate) fn action(&self, name: &str) -> EntityUID {
        EntityUID::from_components(self.action.clone(), Eid::new(name), None)
    }

    pub(crate) fn user(&self, uid: u32) -> EntityUID {
        EntityUID::from_components(self.user.clone(), Eid::new(uid.to_string()), None)
    }

    pub(crate) fn uid(&self, kind: &str, id: &str) -> EntityUID {
        EntityUID::from_components(self.kind(kind).clone(), Eid::new(id), None)
    }

    /// A value of an enumerated type.
    pub(crate) fn value(&self, kind: &str, id: &str) -> Value {
        literal(Literal::from(self.uid(kind, id)))
    }

    /// A set of values of an enumerated type.
    pub(crate) fn values<'a>(&self, kind: &str, ids: impl Iterator<Item = &'a str>) -> Value {
        Value::set_of_lits(ids.map(|id| Literal::from(self.uid(kind, id))), None)
    }

    /// The action of a question with the groups it is in, as Cedar wants to be told.
    pub(crate) fn action_entity(&self, question: Question) -> Entity {
        let groups: HashSet<EntityUID> = question.groups().iter().map(|group| self.action(group)).collect();
        Entity::new_with_attr_partial_value(self.action(question.name()), [], HashSet::new(), groups, [])
    }
}

fn literal(value: Literal) -> Value {
    Value::new(value, None)
}

pub(crate) fn text(value: &str) -> Value {
    literal(Literal::from(value))
}

pub(crate) fn yes(value: bool) -> Value {
    literal(Literal::from(value))
}

pub(crate) fn number(value: impl Into<i64>) -> Value {
    literal(Literal::from(value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_types_are_what_cedar_reads() {
        let words = Words::new().unwrap();
        assert_eq!(words.action, EntityType::from_normalized_str("Action").unwrap());
        assert_eq!(words.user, EntityType::from_normalized_str("User").unwrap());
        assert_eq!(words.types.len(), TYPES.len());
        for name in TYPES {
            assert_eq!(*words.kind(name), EntityType::from_normalized_str(name).unwrap());
        }
    }
}
