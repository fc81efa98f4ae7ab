//! What an expression of Cedar is, where it is something simple: for whoever reads rules instead of asking them.

use cedar_policy_core::ast::{Expr, ExprKind, Literal, PatternElem, Var};

/// The attribute of the resource that an expression is.
pub(crate) fn of_resource(expr: &Expr) -> Option<&str> {
    attribute_of(expr, Var::Resource)
}

/// The attribute of the context that it is.
pub(crate) fn of_context(expr: &Expr) -> Option<&str> {
    attribute_of(expr, Var::Context)
}

fn attribute_of(expr: &Expr, var: Var) -> Option<&str> {
    match expr.expr_kind() {
        ExprKind::GetAttr { expr, attr } if matches!(expr.expr_kind(), ExprKind::Var(own) if *own == var) => {
            Some(attr.as_str())
        }
        _ => None,
    }
}

/// The text that it is.
pub(crate) fn text(expr: &Expr) -> Option<&str> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::String(text)) => Some(text.as_str()),
        _ => None,
    }
}

/// The attribute of the resource and the value it is compared with, whichever stands first.
pub(crate) fn equality<'e>(one: &'e Expr, other: &'e Expr) -> Option<(&'e str, &'e Expr)> {
    match (of_resource(one), of_resource(other)) {
        (Some(attribute), None) => Some((attribute, other)),
        (None, Some(attribute)) => Some((attribute, one)),
        _ => None,
    }
}

/// The text that a pattern, or a part of one, is where it has no star.
pub(crate) fn plain(elems: &[PatternElem]) -> Option<String> {
    let char = |elem: &PatternElem| match elem {
        PatternElem::Char(c) => Some(*c),
        PatternElem::Wildcard => None,
    };
    elems.iter().map(char).collect()
}
