//! Terms: short constructors for Cedar's syntax tree, in which the built-in policy is written down ready-made.
//!
//! Cedar's parser costs 0.6 ms on its first use, more than everything else before a command starts; a tree costs 3 µs.

use crate::error::PolicyError;
use crate::words::Words;
use cedar_policy_core::ast::Policy;
use cedar_policy_core::pst::{
    ActionConstraint, BinaryOp, Clause, Effect, EntityUID, Expr, Literal, PolicyID, PrincipalConstraint,
    ResourceConstraint, StaticPolicy, Template, UnaryOp, Var,
};
use std::sync::Arc;

pub(crate) type Term = Arc<Expr>;

/// Builds statements with the words of the schema.
pub(crate) struct Terms<'w> {
    words: &'w Words,
}

impl<'w> Terms<'w> {
    pub(crate) fn new(words: &'w Words) -> Terms<'w> {
        Terms { words }
    }

    fn uid(&self, kind: &str, id: &str) -> EntityUID {
        EntityUID { ty: self.words.kind(kind).clone().into(), eid: id.into() }
    }

    pub(crate) fn entity(&self, kind: &str, id: &str) -> Term {
        Arc::new(Expr::Literal(Literal::EntityUID(self.uid(kind, id))))
    }

    pub(crate) fn action_is(&self, id: &str) -> ActionConstraint {
        ActionConstraint::Eq(self.uid("Action", id))
    }

    pub(crate) fn action_in(&self, ids: &[&str]) -> ActionConstraint {
        ActionConstraint::In(ids.iter().map(|id| self.uid("Action", id)).collect())
    }

    pub(crate) fn resource_is(&self, kind: &str) -> ResourceConstraint {
        ResourceConstraint::Is(self.words.kind(kind).clone().into())
    }
}

/// One statement with its conditions.
pub(crate) fn statement(
    id: &str,
    effect: Effect,
    action: ActionConstraint,
    resource: ResourceConstraint,
    when: Term,
) -> Result<Policy, PolicyError> {
    let broken = |error: &dyn std::fmt::Display| PolicyError::Builtin { message: error.to_string() };
    let template = Template::new(PolicyID(id.into()), effect, PrincipalConstraint::Any, action, resource);
    let template = template.try_with_clauses(vec![Clause::When(when)]).map_err(|e| broken(&e))?;
    let fixed = StaticPolicy::try_from(template).map_err(|e| broken(&e))?;
    Policy::try_from(fixed).map_err(|e| broken(&e))
}

pub(crate) fn context() -> Term {
    Arc::new(Expr::Var(Var::Context))
}

pub(crate) fn resource() -> Term {
    Arc::new(Expr::Var(Var::Resource))
}

pub(crate) fn attr(of: Term, name: &str) -> Term {
    Arc::new(Expr::GetAttr { expr: of, attr: name.into() })
}

pub(crate) fn long(value: i64) -> Term {
    Arc::new(Expr::Literal(Literal::Long(value)))
}

pub(crate) fn not(expr: Term) -> Term {
    Arc::new(Expr::UnaryOp { op: UnaryOp::Not, expr })
}

fn binary(op: BinaryOp, left: Term, right: Term) -> Term {
    Arc::new(Expr::BinaryOp { op, left, right })
}

pub(crate) fn eq(left: Term, right: Term) -> Term {
    binary(BinaryOp::Eq, left, right)
}

pub(crate) fn less_eq(left: Term, right: Term) -> Term {
    binary(BinaryOp::LessEq, left, right)
}

pub(crate) fn and(left: Term, right: Term) -> Term {
    binary(BinaryOp::And, left, right)
}

pub(crate) fn or(left: Term, right: Term) -> Term {
    binary(BinaryOp::Or, left, right)
}

pub(crate) fn contains(left: Term, right: Term) -> Term {
    binary(BinaryOp::Contains, left, right)
}
