//! The built-in policy as ready-made trees. Written from policies/default.cedar by tests/builtin.rs; do not edit.

use crate::error::PolicyError;
use crate::term::{Terms, and, attr, contains, context, eq, less_eq, long, not, or, resource, statement};
use crate::words::Words;
use cedar_policy_core::ast::Policy;
use cedar_policy_core::pst::{Effect, ResourceConstraint};

/// Every rule, in the order of the text.
#[rustfmt::skip]
pub(crate) fn statements(words: &Words) -> Result<Vec<Policy>, PolicyError> {
    let t = Terms::new(words);
    Ok(vec![
        statement(
            "run/low", Effect::Permit,
            t.action_in(&["effect"]), ResourceConstraint::Any,
            eq(attr(context(), "risk"), long(0)),
        )?,
        statement(
            "run/contained", Effect::Permit,
            t.action_in(&["effect"]), ResourceConstraint::Any,
            and(attr(context(), "contained"), less_eq(attr(context(), "risk"), long(1))),
        )?,
        statement(
            "run/approved", Effect::Permit,
            t.action_in(&["effect"]), ResourceConstraint::Any,
            attr(context(), "approved"),
        )?,
        statement(
            "deny/device", Effect::Forbid,
            t.action_in(&["change"]), t.resource_is("Path"),
            and(not(attr(context(), "contained")), eq(attr(resource(), "location"), t.entity("Location", "device"))),
        )?,
        statement(
            "deny/root", Effect::Forbid,
            t.action_in(&["delete", "rename", "attributes"]), t.resource_is("Path"),
            and(and(not(attr(context(), "contained")), attr(resource(), "top")), not(eq(attr(resource(), "scope"), t.entity("Scope", "exact")))),
        )?,
        statement(
            "deny/belljar-state", Effect::Forbid,
            t.action_in(&["change"]), t.resource_is("Path"),
            and(not(attr(context(), "contained")), contains(attr(resource(), "rules"), t.entity("Rule", "belljar/state"))),
        )?,
        statement(
            "apply/harmless", Effect::Permit,
            t.action_is("apply"), ResourceConstraint::Any,
            eq(attr(context(), "risk"), long(0)),
        )?,
        statement(
            "apply/announced", Effect::Permit,
            t.action_is("apply"), ResourceConstraint::Any,
            and(and(and(less_eq(attr(context(), "risk"), long(1)), attr(context(), "named")), not(attr(resource(), "protected"))), not(or(or(contains(attr(resource(), "rules"), t.entity("Rule", "lockfile/install-script")), contains(attr(resource(), "rules"), t.entity("Rule", "lockfile/not-understood"))), contains(attr(resource(), "rules"), t.entity("Rule", "manifest/install-script"))))),
        )?,
        statement(
            "apply/approved", Effect::Permit,
            t.action_is("apply"), ResourceConstraint::Any,
            attr(context(), "approved"),
        )?,
        statement(
            "never/device-node", Effect::Forbid,
            t.action_is("apply"), t.resource_is("Change"),
            or(eq(attr(resource(), "kind"), t.entity("Kind", "char-device")), eq(attr(resource(), "kind"), t.entity("Kind", "block-device"))),
        )?,
        statement(
            "never/belljar-state", Effect::Forbid,
            t.action_is("apply"), t.resource_is("Change"),
            contains(attr(resource(), "rules"), t.entity("Rule", "belljar/state")),
        )?,
    ])
}
