//! Conditions: Cedar expressions put together from those of rules.

use crate::syntax::of_context;
use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, UnaryOp, Var};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a condition about two requests at once is made of cannot be written: a rule uses the context as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whole;

/// All of them. The tree is balanced: a long policy must not become a deep one.
pub(super) fn all(parts: Vec<Expr>) -> Expr {
    joined(parts, true, Expr::and)
}

/// Any of them.
pub(super) fn any(parts: Vec<Expr>) -> Expr {
    joined(parts, false, Expr::or)
}

fn joined(mut parts: Vec<Expr>, neutral: bool, join: fn(Expr, Expr) -> Expr) -> Expr {
    parts.retain(|part| !is(part, neutral));
    if parts.iter().any(|part| is(part, !neutral)) {
        return Expr::val(!neutral);
    }
    while parts.len() > 1 {
        let mut halved = Vec::with_capacity(parts.len().div_ceil(2));
        let mut rest = parts.into_iter();
        while let Some(left) = rest.next() {
            halved.push(match rest.next() {
                Some(right) => join(left, right),
                None => left,
            });
        }
        parts = halved;
    }
    parts.pop().unwrap_or_else(|| Expr::val(neutral))
}

/// Whether a condition is this constant.
pub(super) fn is(expr: &Expr, value: bool) -> bool {
    matches!(expr.expr_kind(), ExprKind::Lit(Literal::Bool(is)) if *is == value)
}

pub(super) fn not(expr: Expr) -> Expr {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::Bool(value)) => Expr::val(!*value),
        _ => Expr::not(expr),
    }
}

/// A condition that fails exactly where one of these does: the elements of a set are all evaluated.
pub(super) fn fails_with(parts: Vec<Expr>) -> Expr {
    Expr::contains(Expr::set(parts), Expr::val(true))
}

/// Whether a condition of a rule that the schema allows could fail: only computing can, with a number that is too large
/// or a value that is none.
pub(super) fn computes(expr: &Expr) -> bool {
    expr.subexpressions().any(|part| match part.expr_kind() {
        ExprKind::UnaryApp { op, .. } => *op == UnaryOp::Neg,
        ExprKind::BinaryApp { op, .. } => {
            matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::GetTag | BinaryOp::HasTag)
        }
        ExprKind::ExtensionFunctionApp { .. } => true,
        _ => false,
    })
}

/// An attribute of the context.
pub(super) fn context(name: &str) -> Expr {
    Expr::get_attr(Expr::var(Var::Context), name.into())
}

/// Whether the condition says anything about which action it is.
pub(super) fn names_action(expr: &Expr) -> bool {
    expr.subexpressions().any(|part| matches!(part.expr_kind(), ExprKind::Var(Var::Action)))
}

/// The condition as it is where `context.name` has this value.
pub(super) fn given(expr: &Expr, name: &str, value: &Expr) -> Result<Expr, Whole> {
    let out = put(expr, name, value)?;
    if out.subexpressions().any(|part| is_attr(part, name)) { Err(Whole) } else { Ok(out) }
}

fn is_attr(expr: &Expr, name: &str) -> bool {
    of_context(expr) == Some(name)
}

fn is_context(expr: &Expr) -> bool {
    matches!(expr.expr_kind(), ExprKind::Var(Var::Context))
}

fn put(expr: &Expr, name: &str, value: &Expr) -> Result<Expr, Whole> {
    match expr.expr_kind() {
        ExprKind::GetAttr { .. } if is_attr(expr, name) => Ok(value.clone()),
        ExprKind::GetAttr { expr: of, .. }
        | ExprKind::HasAttr { expr: of, .. }
        | ExprKind::ExtHasAttr { expr: of, .. }
            if is_context(of) =>
        {
            Ok(expr.clone())
        }
        ExprKind::Var(Var::Context) => Err(Whole),
        _ => rebuilt(expr, &|part| put(part, name, value)),
    }
}

/// The same condition without sets of literals: a solver takes several equalities more easily than a set.
pub(super) fn unfolded(expr: &Expr) -> Expr {
    let same = |expr: &Expr| rebuilt(expr, &|part| Ok(unfolded(part))).unwrap_or_else(|Whole| expr.clone());
    let ExprKind::BinaryApp { op, arg1, arg2 } = expr.expr_kind() else { return same(expr) };
    match (op, literals(arg1), literals(arg2)) {
        (BinaryOp::Contains, Some(members), _) => {
            let of = unfolded(arg2);
            any(members.iter().map(|member| Expr::is_eq(of.clone(), member.clone())).collect())
        }
        (BinaryOp::ContainsAny, None, Some(members)) => {
            let of = unfolded(arg1);
            any(members.iter().map(|member| Expr::contains(of.clone(), member.clone())).collect())
        }
        _ => same(expr),
    }
}

/// The members of a set that is written out, where each is a literal.
fn literals(expr: &Expr) -> Option<&[Expr]> {
    let ExprKind::Set(members) = expr.expr_kind() else { return None };
    members.iter().all(|member| matches!(member.expr_kind(), ExprKind::Lit(_))).then_some(members)
}

/// The expression with each part replaced.
fn rebuilt(expr: &Expr, go: &dyn Fn(&Expr) -> Result<Expr, Whole>) -> Result<Expr, Whole> {
    Ok(match expr.expr_kind() {
        ExprKind::GetAttr { expr, attr } => Expr::get_attr(go(expr)?, attr.clone()),
        ExprKind::HasAttr { expr, attr } => Expr::has_attr(go(expr)?, attr.clone()),
        ExprKind::ExtHasAttr { expr, attrs } => Expr::extended_has_attr(go(expr)?, attrs.clone()),
        ExprKind::If { test_expr, then_expr, else_expr } => Expr::ite(go(test_expr)?, go(then_expr)?, go(else_expr)?),
        ExprKind::And { left, right } => Expr::and(go(left)?, go(right)?),
        ExprKind::Or { left, right } => Expr::or(go(left)?, go(right)?),
        ExprKind::UnaryApp { op, arg } => Expr::unary_app(*op, go(arg)?),
        ExprKind::BinaryApp { op, arg1, arg2 } => Expr::binary_app(*op, go(arg1)?, go(arg2)?),
        ExprKind::ExtensionFunctionApp { fn_name, args } => {
            let args: Result<Vec<Expr>, Whole> = args.iter().map(go).collect();
            Expr::call_extension_fn(fn_name.clone(), args?)
        }
        ExprKind::Like { expr, pattern } => Expr::like(go(expr)?, pattern.clone()),
        ExprKind::Is { expr, entity_type } => Expr::is_entity_type(go(expr)?, entity_type.clone()),
        ExprKind::Set(parts) => {
            let parts: Result<Vec<Expr>, Whole> = parts.iter().map(go).collect();
            Expr::set(parts?)
        }
        ExprKind::Record(parts) => {
            let mut put = BTreeMap::new();
            for (name, part) in parts.iter() {
                put.insert(name.clone(), go(part)?);
            }
            Expr::record_arc(Arc::new(put))
        }
        ExprKind::Lit(_) | ExprKind::Var(_) | ExprKind::Slot(_) | ExprKind::Unknown(_) => expr.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Expr, Whole, computes, given, unfolded};
    use cedar_policy_core::parser::parse_policyset;

    fn expr(text: &str) -> Expr {
        let rule = format!("permit (principal, action, resource) when {{ {text} }};");
        let set = parse_policyset(&rule).unwrap();
        set.policies().next().unwrap().non_scope_constraints().unwrap().clone()
    }

    #[test]
    fn a_value_is_put_in_everywhere_or_not_at_all() {
        for (before, after) in [
            ("context.approved", Ok("true")),
            ("context has port && !context.approved", Ok("context has port && !true")),
            (
                "if context.risk < 2 then [context.approved].contains(true) else {a: context.approved}.a",
                Ok("if context.risk < 2 then [true].contains(true) else {a: true}.a"),
            ),
            ("resource.approved && resource.name like \"a*\"", Ok("resource.approved && resource.name like \"a*\"")),
            ("context == {approved: true}", Err(Whole)),
            ("{a: context}.a.approved", Err(Whole)),
        ] {
            assert_eq!(given(&expr(before), "approved", &Expr::val(true)), after.map(expr), "{before}");
        }
    }

    #[test]
    fn sets_that_are_written_out_are_unfolded() {
        for (before, after) in [
            ("[1, 2].contains(context.risk)", "context.risk == 1 || context.risk == 2"),
            (
                "!resource.rules.containsAny([\"a\", \"b\"])",
                "!(resource.rules.contains(\"a\") || resource.rules.contains(\"b\"))",
            ),
            ("resource.rules.containsAll([\"a\"])", "resource.rules.containsAll([\"a\"])"),
            ("resource.rules.containsAny(context.rules)", "resource.rules.containsAny(context.rules)"),
            ("[context.risk].contains(2)", "[context.risk].contains(2)"),
        ] {
            assert_eq!(unfolded(&expr(before)), expr(after), "{before}");
        }
    }

    #[test]
    fn what_can_fail_is_told() {
        for (text, can) in [
            ("context.risk + 1 > 2", true),
            ("context.risk > 2 && -context.risk < 1", true),
            ("ip(resource.host).isLoopback()", true),
            ("resource.rules.contains(\"a\") || resource has port", false),
        ] {
            assert_eq!(computes(&expr(text)), can, "{text}");
        }
    }
}
