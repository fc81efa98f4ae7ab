//! Held: rules that a jar holds although nobody announced anything.
//!
//! A rule about reading or connecting speaks of facts that the kernel's side of a jar knows as well: a path, or a peer. So
//! it does not only decide about what a command says it will do, it also shapes the jar: what it forbids to read is not
//! seen, and whom it forbids is not reached. Such rules stand in the confinement as they are. Where a view or a search of
//! ours meets a name, the ordinary evaluator is asked about it ([`Judge`]); what a rule names outright, a path or all below
//! a directory, is hidden by path too, so that it is held where no view is ours; and rules about peers become exceptions
//! from whom the jar may reach.
//!
//! Not held are rules about what is executed, because a jar cannot tell that from reading; and changes are not real
//! before rules about `apply` were asked.

mod condition;
mod judge;
mod peers;

pub use judge::Judge;
pub(crate) use peers::exceptions;

use crate::engine::AskedAbout;
use crate::error::PolicyError;
use crate::syntax::{of_context, of_resource};
use crate::words::{Question, Words};
use cedar_policy_core::ast::{Effect, EntityType, Expr, Policy, PolicyID, PrincipalOrResourceConstraint};
use cedar_policy_core::parser::parse_policyset;
use condition::Condition;
use model::{Action, Agreed, Analysis, Held, PathScope, Target};

/// What is held, with the type of resource it is about.
const HELD: [(Action, &str); 2] = [(Action::Read, "Path"), (Action::Connect, "Peer")];

/// Those of the rules that a jar holds. Of rules that only ask, those that tell one path from another: a rule that asks
/// about every command is answered when the command is, and one about connections by who names the peer.
pub(crate) fn rules(words: &Words, policies: &[Policy]) -> Vec<Held> {
    let mut held = Vec::new();
    for (action, kind) in HELD {
        let asked = AskedAbout::new(words, Question::Effect(action));
        for policy in policies.iter().filter(|policy| policy.effect() == Effect::Forbid && asked.admits(policy)) {
            let Some(condition) = body(words.kind(kind), policy) else { continue };
            let never = |approved| Condition::of_path(&condition, approved).is(false);
            let only_asks = never(true);
            let looks = condition.subexpressions().any(tells_one_from_another);
            let is_held = if only_asks { action == Action::Read && looks && !never(false) } else { true };
            if is_held {
                held.push(Held { rule: policy.id().to_string(), action, text: policy.to_string() });
            }
        }
    }
    held
}

/// What a command says it reads. It does not run before each of that was allowed or approved.
#[must_use]
pub fn agreed(announced: &Analysis) -> Vec<Agreed> {
    let reads = announced.effects.iter().filter(|effect| effect.action == Action::Read);
    let paths = reads.filter_map(|effect| match &effect.target {
        Target::Path { path, scope } if *scope != PathScope::Glob && path.is_absolute() => {
            Some(Agreed { path: path.normalise(), below: *scope == PathScope::Tree })
        }
        _ => None,
    });
    paths.collect()
}

/// Held rules, read again.
///
/// # Errors
/// [`PolicyError::Held`] for the first that is not one rule.
#[cfg(feature = "prove")]
pub(crate) fn policies(held: &[Held]) -> Result<Vec<Policy>, PolicyError> {
    held.iter().map(policy).collect()
}

fn policy(held: &Held) -> Result<Policy, PolicyError> {
    let broken = |message: String| PolicyError::Held { rule: held.rule.clone(), message };
    let set = parse_policyset(&held.text).map_err(|error| broken(error.to_string()))?;
    let mut policies = set.into_policies();
    match (policies.next(), policies.next()) {
        (Some(policy), None) => Ok(policy.new_id(PolicyID::from_string(&held.rule))),
        _ => Err(broken("it is not one rule".to_owned())),
    }
}

/// The condition of a rule about resources of one type; nothing where it cannot be about one.
fn body(kind: &EntityType, policy: &Policy) -> Option<Expr> {
    let template = policy.template();
    let condition = || template.non_scope_constraints().cloned().unwrap_or_else(|| Expr::val(true));
    match template.resource_constraint().as_inner() {
        PrincipalOrResourceConstraint::Any => Some(condition()),
        PrincipalOrResourceConstraint::Is(own) => (**own == *kind).then(condition),
        // The schema knows no single resources.
        _ => None,
    }
}

/// Whether it is an attribute that differs between two paths: one of the resource, or the risk.
fn tells_one_from_another(part: &Expr) -> bool {
    of_resource(part).is_some() || of_context(part) == Some("risk")
}
