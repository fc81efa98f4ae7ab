//! What the rules look at. Two questions that look the same to both policies have the same answers, so one of them is
//! enough: a path that rules only compare with patterns is known by which of them it meets.
//!
//! Cedar's answer depends on nothing but the values a rule reads. Attributes of few values are always told apart; of a
//! text, the outcomes of the comparisons that the rules make, or all of it where a rule does anything else with it.

use super::request::{Asks, On, Part};
use crate::engine::Engine;
use crate::syntax::{of_resource, text};
use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Pattern, Var};
use std::collections::BTreeSet;

/// The attributes that are texts.
const TEXTS: [&str; 4] = ["path", "name", "host", "what"];

/// What the rules of two policies look at, by question.
pub(crate) struct Lens {
    /// In the order of [`ASKS`].
    views: Vec<View>,
    everything: View,
}

/// What the rules for one question look at.
#[derive(Default)]
struct View {
    principal: bool,
    whole: BTreeSet<&'static str>,
    tests: Vec<(&'static str, Test)>,
}

enum Test {
    Is(String),
    Like(Pattern),
}

impl Test {
    fn holds(&self, text: &str) -> bool {
        match self {
            Test::Is(other) => text == other,
            Test::Like(pattern) => pattern.wildcard_match(text),
        }
    }
}

/// As they are declared.
const ASKS: [Asks; 12] = [
    Asks::Read,
    Asks::Write,
    Asks::Create,
    Asks::Delete,
    Asks::Rename,
    Asks::Attributes,
    Asks::Execute,
    Asks::Connect,
    Asks::Listen,
    Asks::Signal,
    Asks::Privilege,
    Asks::Run,
];

impl Lens {
    pub(crate) fn new(policies: [&Engine; 2]) -> Lens {
        let view = |asks: Asks| {
            let mut view = View::default();
            for engine in policies {
                match engine.slice(asks.question()) {
                    Some(slice) => slice.iter().for_each(|policy| view.look(&policy.condition())),
                    None => view.everything(),
                }
            }
            view
        };
        let mut everything = View::default();
        everything.everything();
        Lens { views: ASKS.into_iter().map(view).collect(), everything }
    }

    /// Writes to `key` what the rules see of a part.
    pub(crate) fn key(&self, part: &Part<'_>, uid: u32, contained: bool, key: &mut Vec<u8>) {
        let view = self.views.get(part.action as usize).unwrap_or(&self.everything);
        key.clear();
        key.push(part.action as u8);
        key.push(part.risk);
        key.push(u8::from(contained) | u8::from(part.uncertain) << 1 | u8::from(part.lasting) << 2);
        if view.principal {
            key.extend_from_slice(&uid.to_le_bytes());
        }
        match &part.on {
            On::Path(path) => {
                let flags = [path.secret, path.protected, path.derived, path.top];
                key.extend([b'p', path.location as u8, path.scope as u8]);
                key.extend(flags.map(u8::from));
                view.text("path", || path.path.0.as_ref().into(), key);
                view.text("name", || path.name(), key);
                for rule in &path.rules {
                    key.extend_from_slice(rule.0.as_bytes());
                    key.push(0);
                }
            }
            On::Peer(peer) => {
                key.extend([b'n', peer.network as u8, peer.protocol.map_or(0, |protocol| 1 + protocol as u8)]);
                key.extend(peer.port.map_or([0; 3], |port| [1, port.to_le_bytes()[0], port.to_le_bytes()[1]]));
                view.text("host", || peer.host.0.as_ref().into(), key);
            }
            On::Program(name) => {
                key.push(b'x');
                view.text("name", || name.0.as_ref().into(), key);
            }
            On::Thing(what) => {
                key.push(b't');
                view.text("what", || what.0.as_ref().into(), key);
            }
            On::Unknown => key.push(b'u'),
            On::Command { checks, understood } => {
                key.extend([b'c', u8::from(*understood)]);
                checks.iter().for_each(|check| key.extend_from_slice(&check.0.to_le_bytes()));
            }
        }
    }
}

impl View {
    /// Nothing is left out.
    fn everything(&mut self) {
        self.principal = true;
        self.whole.extend(TEXTS);
    }

    fn text<'t>(&self, attribute: &str, text: impl FnOnce() -> std::borrow::Cow<'t, str>, key: &mut Vec<u8>) {
        let mut tests = self.tests.iter().filter(|(of, _)| *of == attribute).peekable();
        if self.whole.contains(attribute) {
            let text = text();
            key.extend_from_slice(&text.len().to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        } else if tests.peek().is_some() {
            let text = text();
            key.extend(tests.map(|(_, test)| u8::from(test.holds(&text))));
        }
    }

    fn look(&mut self, expr: &Expr) {
        match expr.expr_kind() {
            ExprKind::Lit(_) => {}
            ExprKind::Var(var) => self.principal |= *var == Var::Principal,
            ExprKind::If { test_expr, then_expr, else_expr } => {
                [test_expr, then_expr, else_expr].into_iter().for_each(|part| self.look(part));
            }
            ExprKind::And { left, right } | ExprKind::Or { left, right } => {
                self.look(left);
                self.look(right);
            }
            ExprKind::UnaryApp { arg, .. } => self.look(arg),
            ExprKind::Is { expr, .. } | ExprKind::HasAttr { expr, .. } => self.look(expr),
            ExprKind::Like { expr, pattern } => match text_of(expr) {
                Some(attribute) => self.tests.push((attribute, Test::Like(pattern.clone()))),
                None => self.look(expr),
            },
            ExprKind::BinaryApp { op, arg1, arg2 } => self.look_at_two(*op, arg1, arg2),
            ExprKind::GetAttr { expr, attr } => {
                self.whole.extend(TEXTS.into_iter().find(|known| known == attr));
                self.look(expr);
            }
            ExprKind::Set(items) => items.iter().for_each(|item| self.look(item)),
            ExprKind::Record(fields) => fields.values().for_each(|field| self.look(field)),
            ExprKind::ExtensionFunctionApp { args, .. } => args.iter().for_each(|arg| self.look(arg)),
            _ => self.everything(),
        }
    }

    fn look_at_two(&mut self, op: BinaryOp, left: &Expr, right: &Expr) {
        let compared = match op {
            BinaryOp::Eq => text_of(left).zip(texts(right)).or_else(|| text_of(right).zip(texts(left))),
            BinaryOp::Contains => text_of(right).zip(members(left)),
            _ => None,
        };
        match compared {
            Some((attribute, texts)) => self.tests.extend(texts.into_iter().map(|text| (attribute, Test::Is(text)))),
            None => {
                self.look(left);
                self.look(right);
            }
        }
    }
}

/// The attribute, where an expression is nothing but a text of the resource.
fn text_of(expr: &Expr) -> Option<&'static str> {
    let attribute = of_resource(expr)?;
    TEXTS.into_iter().find(|known| *known == attribute)
}

fn texts(expr: &Expr) -> Option<Vec<String>> {
    text(expr).map(|text| vec![text.to_owned()])
}

fn members(expr: &Expr) -> Option<Vec<String>> {
    let ExprKind::Set(items) = expr.expr_kind() else { return None };
    items.iter().map(texts).collect::<Option<Vec<_>>>().map(|all| all.concat())
}
