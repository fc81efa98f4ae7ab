//! Rules as a solver needs them: for each shape of request the conditions of those that can apply to it.

use super::condition::{Whole, all, any, given, not};
use super::jar::Jar;
use super::shape::Shape;
use crate::confine::{ConfineRequest, confine};
use crate::engine::{AskedAbout, Engine, Functions};
use crate::error::PolicyError;
use crate::layer::{self, Layer};
use crate::profile::Profile;
use crate::words::Words;
use crate::{builtin, cases, held};
use cedar_policy_core::ast::{Effect, Expr, Policy, PrincipalOrResourceConstraint};
use model::{Confinement, Place};

/// Rules to prove something of, or to compare.
pub struct Rules {
    pub(super) policies: Vec<Policy>,
    pub(super) engine: Engine,
    /// Before it stand the built-in rules, where the layers stand on them.
    pub(super) own: usize,
    /// The jar that is made by them, or why there is none.
    pub(super) jar: Option<Result<Box<Jar>, String>>,
}

impl Rules {
    /// The built-in rules with layers on top.
    ///
    /// # Errors
    /// As [`crate::Policy::layered`].
    pub fn layered(layers: &[Layer<'_>]) -> Result<Rules, PolicyError> {
        let words = Words::new()?;
        let policies = builtin::statements(&words)?;
        let own = if layers.is_empty() { 0 } else { policies.len() };
        Rules::of(policies, own, layers)
    }

    /// The layers alone, without the built-in rules. They deny what no layer permits.
    ///
    /// # Errors
    /// As [`crate::Policy::layered`].
    pub fn alone(layers: &[Layer<'_>]) -> Result<Rules, PolicyError> {
        Rules::of(Vec::new(), 0, layers)
    }

    fn of(mut policies: Vec<Policy>, own: usize, layers: &[Layer<'_>]) -> Result<Rules, PolicyError> {
        policies.extend(layer::load_all(layers)?);
        Ok(Rules { engine: Engine::new(Words::new()?, &policies, Functions::All), policies, own, jar: None })
    }

    /// Rules that were read.
    pub(super) fn of_policies(policies: Vec<Policy>) -> Result<Rules, PolicyError> {
        Ok(Rules { engine: Engine::new(Words::new()?, &policies, Functions::All), policies, own: 0, jar: None })
    }

    /// With the jar that is made by them and the profile, in a place like everybody's.
    ///
    /// # Errors
    /// [`PolicyError`] if this build is defective. That no jar can be made is for the properties of jars to say.
    pub fn in_jar(self, profile: &Profile) -> Result<Rules, PolicyError> {
        let place = cases::place(true);
        let held = held::rules(self.engine.words(), &self.policies);
        match confine(&place, &ConfineRequest { held, ..profile.wishes(&place) }) {
            Ok(confinement) => self.in_this_jar(&place, profile, &confinement),
            Err(error) => Ok(Rules { jar: Some(Err(format!("there is no jar: {error}"))), ..self }),
        }
    }

    /// With a jar that is said to be made by them and the profile.
    ///
    /// # Errors
    /// When it holds a rule that cannot be read.
    pub fn in_this_jar(
        self,
        place: &Place,
        profile: &Profile,
        confinement: &Confinement,
    ) -> Result<Rules, PolicyError> {
        let jar = Box::new(Jar::new(place, profile, confinement)?);
        Ok(Rules { jar: Some(Ok(jar)), ..self })
    }

    /// All but one of them.
    pub(super) fn without(&self, index: usize) -> Result<Rules, PolicyError> {
        let kept = self.policies.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, policy)| policy.clone());
        let policies: Vec<Policy> = kept.collect();
        Ok(Rules { engine: Engine::new(Words::new()?, &policies, Functions::All), policies, own: self.own, jar: None })
    }

    /// Those that can apply to a request of this shape.
    pub(super) fn slice(&self, shape: Shape) -> Slice {
        let words = self.engine.words();
        let asked = AskedAbout::new(words, shape.question);
        let mut slice = Slice { permits: Vec::new(), forbids: Vec::new() };
        for (index, policy) in self.policies.iter().enumerate().filter(|(_, policy)| asked.admits(policy)) {
            let Some(condition) = residual(words, policy, shape) else { continue };
            match policy.effect() {
                Effect::Permit => slice.permits.push((index, condition)),
                Effect::Forbid => slice.forbids.push((index, condition)),
            }
        }
        slice
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").field("count", &self.policies.len()).finish_non_exhaustive()
    }
}

/// What is left of a rule for this action where the shape of the request is known; nothing where it cannot apply.
fn residual(words: &Words, policy: &Policy, shape: Shape) -> Option<Expr> {
    use PrincipalOrResourceConstraint::{Any, Is};
    let template = policy.template();
    let mut parts = Vec::new();
    match template.principal_constraint().as_inner() {
        Any => {}
        _ => parts.push(template.principal_constraint().as_expr()),
    }
    match template.resource_constraint().as_inner() {
        Any => {}
        Is(kind) if **kind == *words.kind(shape.kind) => {}
        Is(_) => return None,
        _ => parts.push(template.resource_constraint().as_expr()),
    }
    parts.extend(template.non_scope_constraints().cloned());
    Some(all(parts))
}

/// The rules that can apply to one shape of request: their places in the list, and what is left of their conditions.
#[derive(Clone, PartialEq)]
pub(super) struct Slice {
    pub(super) permits: Vec<(usize, Expr)>,
    pub(super) forbids: Vec<(usize, Expr)>,
}

impl Slice {
    /// Whether a request is permitted; exact where no rule can fail.
    pub(super) fn permitted(&self) -> Expr {
        let conditions = |rules: &[(usize, Expr)]| any(rules.iter().map(|(_, condition)| condition.clone()).collect());
        all(vec![conditions(&self.permits), not(conditions(&self.forbids))])
    }

    /// Whether it is permitted at once, and whether it is when a person agrees.
    pub(super) fn both(&self) -> Result<[Expr; 2], Whole> {
        let permitted = self.permitted();
        Ok([given(&permitted, "approved", &Expr::val(false))?, given(&permitted, "approved", &Expr::val(true))?])
    }

    pub(super) fn without(&self, index: usize) -> Slice {
        let mut out = self.clone();
        out.permits.retain(|(at, _)| *at != index);
        out.forbids.retain(|(at, _)| *at != index);
        out
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &(usize, Expr)> {
        self.permits.iter().chain(&self.forbids)
    }

    /// Whether two slices say the same by being the same, wherever their rules stand.
    pub(super) fn same(&self, other: &Slice) -> bool {
        let equal = |a: &[(usize, Expr)], b: &[(usize, Expr)]| a.iter().map(|(_, e)| e).eq(b.iter().map(|(_, e)| e));
        equal(&self.permits, &other.permits) && equal(&self.forbids, &other.forbids)
    }
}

/// What is left of a rule for requests of this shape; nothing where it cannot apply.
pub(super) fn applying(words: &Words, policy: &Policy, shape: Shape) -> Option<Expr> {
    if AskedAbout::new(words, shape.question).admits(policy) { residual(words, policy, shape) } else { None }
}
