//! What a rule's condition says about paths or peers, as far as that can be read off it.

use crate::syntax::{equality, of_context, of_resource, plain, text};
use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, Pattern, PatternElem, UnaryOp};

/// A condition, with `A` for what it says of the resource.
#[derive(Clone, Debug)]
pub(super) enum Condition<A> {
    /// Always so, or never.
    Known(bool),
    /// Something that cannot be told beforehand.
    Unknown,
    /// About the resource.
    Atom(A),
    Not(Box<Condition<A>>),
    All(Vec<Condition<A>>),
    Any(Vec<Condition<A>>),
}

/// A pattern that a path, or its last name, must fit.
#[derive(Clone, Debug)]
pub(super) enum Fits {
    Path(Pattern),
    Name(Pattern),
}

/// What two atoms that hold at once leave.
pub(super) trait Meet: Clone {
    /// No less than they have in common; nothing where they have nothing in common.
    fn meet(&self, other: &Self) -> Option<Self>;
}

/// More combinations of atoms are not looked at.
const MEETS_MAX: usize = 64;

impl<A: Meet> Condition<A> {
    /// Reads a condition; `atom` knows what is not a connective.
    pub(super) fn of(expr: &Expr, atom: &dyn Fn(&Expr) -> Condition<A>) -> Condition<A> {
        let go = |part: &Expr| Condition::of(part, atom);
        match expr.expr_kind() {
            ExprKind::Lit(Literal::Bool(is)) => Condition::Known(*is),
            ExprKind::And { left, right } => all(vec![go(left), go(right)]),
            ExprKind::Or { left, right } => any(vec![go(left), go(right)]),
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => not(go(arg)),
            ExprKind::If { test_expr, then_expr, else_expr } => {
                let test = go(test_expr);
                any(vec![all(vec![test.clone(), go(then_expr)]), all(vec![not(test), go(else_expr)])])
            }
            // A set that is written out is several equalities.
            ExprKind::BinaryApp { op: BinaryOp::Contains, arg1, arg2 } => match arg1.expr_kind() {
                ExprKind::Set(members) => {
                    let equal = |member: &Expr| atom(&Expr::is_eq((**arg2).clone(), member.clone()));
                    any(members.iter().map(equal).collect())
                }
                _ => atom(expr),
            },
            _ => atom(expr),
        }
    }

    pub(super) fn is(&self, value: bool) -> bool {
        matches!(self, Condition::Known(is) if *is == value)
    }

    /// Atoms one of which holds wherever the condition does; `None` where there are no such.
    pub(super) fn over(&self) -> Option<Vec<A>> {
        match self {
            Condition::Known(true) | Condition::Unknown | Condition::Not(_) => None,
            Condition::Known(false) => Some(Vec::new()),
            Condition::Atom(atom) => Some(vec![atom.clone()]),
            Condition::Any(parts) => {
                let parts: Option<Vec<Vec<A>>> = parts.iter().map(Condition::over).collect();
                parts.map(|parts| parts.concat())
            }
            Condition::All(parts) => parts.iter().filter_map(Condition::over).reduce(|found, more| {
                if found.len().saturating_mul(more.len()) > MEETS_MAX {
                    return if more.len() < found.len() { more } else { found };
                }
                found.iter().flat_map(|one| more.iter().filter_map(|other| one.meet(other))).collect()
            }),
        }
    }

    /// Atoms each of which is enough for the condition to hold.
    pub(super) fn surely(&self) -> Vec<A> {
        match self {
            Condition::Atom(atom) => vec![atom.clone()],
            Condition::Any(parts) => parts.iter().flat_map(Condition::surely).collect(),
            // What is always so was left out of it.
            Condition::All(_) | Condition::Known(_) | Condition::Unknown | Condition::Not(_) => Vec::new(),
        }
    }

    /// Whether what is enough is also needed.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Condition::Atom(_) | Condition::Known(false) => true,
            Condition::Any(parts) => parts.iter().all(Condition::is_plain),
            Condition::All(_) | Condition::Known(_) | Condition::Unknown | Condition::Not(_) => false,
        }
    }
}

fn not<A>(condition: Condition<A>) -> Condition<A> {
    match condition {
        Condition::Known(is) => Condition::Known(!is),
        Condition::Unknown => Condition::Unknown,
        Condition::Not(inner) => *inner,
        Condition::All(parts) => any(parts.into_iter().map(not).collect()),
        Condition::Any(parts) => all(parts.into_iter().map(not).collect()),
        atom @ Condition::Atom(_) => Condition::Not(Box::new(atom)),
    }
}

fn all<A>(parts: Vec<Condition<A>>) -> Condition<A> {
    joined(parts, true, Condition::All)
}

fn any<A>(parts: Vec<Condition<A>>) -> Condition<A> {
    joined(parts, false, Condition::Any)
}

fn joined<A>(parts: Vec<Condition<A>>, neutral: bool, join: fn(Vec<Condition<A>>) -> Condition<A>) -> Condition<A> {
    let is = |part: &Condition<A>, value: bool| matches!(part, Condition::Known(known) if *known == value);
    if parts.iter().any(|part| is(part, !neutral)) {
        return Condition::Known(!neutral);
    }
    let mut parts: Vec<_> = parts.into_iter().filter(|part| !is(part, neutral)).collect();
    match parts.len() {
        0 => Condition::Known(neutral),
        1 => parts.swap_remove(0),
        _ => join(parts),
    }
}

impl Meet for Fits {
    /// As a bound one of the two is enough.
    fn meet(&self, _other: &Fits) -> Option<Fits> {
        Some(self.clone())
    }
}

impl Condition<Fits> {
    /// Of a rule about reading, for one path in a jar, where a person agreed or did not.
    pub(super) fn of_path(expr: &Expr, approved: bool) -> Condition<Fits> {
        Condition::of(expr, &|part| path_atom(part, approved))
    }
}

fn path_atom(expr: &Expr, approved: bool) -> Condition<Fits> {
    if let Some(known) = known_of_context(expr, approved) {
        return Condition::Known(known);
    }
    let (attribute, pattern) = match expr.expr_kind() {
        ExprKind::Like { expr, pattern } => (of_resource(expr), Some(pattern.clone())),
        ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 } => match equality(arg1, arg2) {
            Some(("scope", value)) => return Condition::Known(is_entity(value, "exact")),
            Some((attribute, value)) => (Some(attribute), text(value).map(literal)),
            None => (None, None),
        },
        _ => (None, None),
    };
    match (attribute, pattern) {
        (Some("path"), Some(pattern)) => Condition::Atom(Fits::Path(pattern)),
        (Some("name"), Some(pattern)) => Condition::Atom(Fits::Name(pattern)),
        _ => Condition::Unknown,
    }
}

/// What is known of the context of everything in a jar.
pub(super) fn known_of_context(expr: &Expr, approved: bool) -> Option<bool> {
    match of_context(expr)? {
        "contained" => Some(true),
        "approved" => Some(approved),
        _ => None,
    }
}

pub(super) fn is_entity(expr: &Expr, id: &str) -> bool {
    matches!(expr.expr_kind(), ExprKind::Lit(Literal::EntityUID(uid)) if AsRef::<str>::as_ref(uid.eid()) == id)
}

fn literal(text: &str) -> Pattern {
    text.chars().map(PatternElem::Char).collect()
}

/// What stands before the only star of a pattern, which is its end.
pub(super) fn before_star(pattern: &Pattern) -> Option<String> {
    let (last, head) = pattern.get_elems().split_last()?;
    (*last == PatternElem::Wildcard).then(|| plain(head))?
}

/// What stands before the first star of a pattern that has one.
pub(super) fn before_first_star(pattern: &Pattern) -> Option<String> {
    let elems = pattern.get_elems();
    let star = elems.iter().position(|elem| *elem == PatternElem::Wildcard)?;
    plain(elems.get(..star)?)
}
