//! `src/builtin.rs` is `policies/default.cedar` as ready-made syntax trees; this test writes it and holds it.
//!
//! After a change to the policy: `BELLJAR_BLESS=1 cargo test -p belljar-policy --test builtin`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

use cedar_policy::PolicySet;
use cedar_policy::pst::{
    ActionConstraint, BinaryOp, Clause, Effect, EntityUID, Expr, Literal, Policy, PrincipalConstraint,
    ResourceConstraint, UnaryOp, Var,
};
use std::fmt::Write as _;

const HEAD: &str =
    "//! The built-in policy as ready-made trees. Written from policies/default.cedar by tests/builtin.rs; do not edit.

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
";

#[test]
fn the_trees_are_the_text() {
    let text = render(belljar_policy::DEFAULT);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/builtin.rs");
    if std::env::var_os("BELLJAR_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap();
    assert_eq!(there, text, "run BELLJAR_BLESS=1 cargo test -p belljar-policy --test builtin");
}

fn render(policy: &str) -> String {
    let set: PolicySet = policy.parse().expect("the default policy parses");
    // Cedar numbers the policies of a text in order: policy0, policy1 ...
    let count = set.policies().count();
    let mut out = HEAD.to_owned();
    for index in 0..count {
        let policy = set.policy(&cedar_policy::PolicyId::new(format!("policy{index}"))).expect("numbered");
        let id = policy.annotation("id").expect("every rule has an @id");
        write!(out, "{}", rule(id, policy.to_pst().expect("a tree"))).unwrap();
    }
    out.push_str("    ])\n}\n");
    out
}

fn rule(id: &str, policy: Policy) -> String {
    let Policy::Static(policy) = policy else { panic!("{id} is linked") };
    let body = policy.body();
    assert_eq!(body.principal, PrincipalConstraint::Any, "{id}: the built-in rules are for everybody");
    let effect = match body.effect {
        Effect::Permit => "Effect::Permit",
        Effect::Forbid => "Effect::Forbid",
    };
    let [Clause::When(condition)] = body.clauses().as_slice() else { panic!("{id}: one when clause, please") };
    format!(
        "        statement(\n            {id:?}, {effect},\n            {}, {},\n            {},\n        )?,\n",
        action(&body.action),
        resource(&body.resource),
        expr(condition)
    )
}

fn action(constraint: &ActionConstraint) -> String {
    match constraint {
        ActionConstraint::Eq(uid) => format!("t.action_is({:?})", uid.eid.as_str()),
        ActionConstraint::In(uids) => {
            let names: Vec<_> = uids.iter().map(|uid| format!("{:?}", uid.eid.as_str())).collect();
            format!("t.action_in(&[{}])", names.join(", "))
        }
        other => panic!("{other:?}"),
    }
}

fn resource(constraint: &ResourceConstraint) -> String {
    match constraint {
        ResourceConstraint::Any => "ResourceConstraint::Any".to_owned(),
        ResourceConstraint::Is(kind) => format!("t.resource_is(\"{kind}\")"),
        other => panic!("{other:?}"),
    }
}

fn uid(uid: &EntityUID) -> String {
    format!("t.entity(\"{}\", {:?})", uid.ty, uid.eid.as_str())
}

fn expr(of: &Expr) -> String {
    match of {
        Expr::Literal(Literal::Long(value)) => format!("long({value})"),
        Expr::Literal(Literal::EntityUID(entity)) => uid(entity),
        Expr::Var(Var::Context) => "context()".to_owned(),
        Expr::Var(Var::Resource) => "resource()".to_owned(),
        Expr::GetAttr { expr: of, attr } => format!("attr({}, {:?})", expr(of), attr.as_str()),
        Expr::UnaryOp { op: UnaryOp::Not, expr: of } => format!("not({})", expr(of)),
        Expr::BinaryOp { op, left, right } => {
            format!("{}({}, {})", operator(*op), expr(left), expr(right))
        }
        other => panic!("teach src/term.rs and this test about {other:?}"),
    }
}

fn operator(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Eq => "eq",
        BinaryOp::LessEq => "less_eq",
        BinaryOp::And => "and",
        BinaryOp::Or => "or",
        BinaryOp::Contains => "contains",
        other => panic!("teach src/term.rs and this test about {other:?}"),
    }
}
