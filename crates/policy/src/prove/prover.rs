//! The prover: questions about all requests, each answered by a solver and every example checked by the evaluator.

use super::condition::{all, any, context, fails_with, names_action, not};
use super::jar::About;
use super::property::{Never, Property, What};
use super::rules::{Rules, Slice};
use super::shape::Shape;
use super::wire::{Oracle, Wire, finished};
use super::witness::{Fact, Witness};
use super::{REQUESTS, condition};
use crate::SCHEMA;
use crate::engine::{Judged, RESOURCE};
use crate::error::PolicyError;
use crate::layer::{Layer, Origin};
use crate::words::{Question, Words};
use cedar_policy::{EntityTypeName, EntityUid, RequestEnv, Schema};
use cedar_policy_core::ast::{Effect, Expr, Policy, PolicyID, Var};
use cedar_policy_symcc::{
    CedarSymCompiler, CompiledPolicy, Env, ResetMode, WellFormedAsserts, never_errors_asserts, never_matches_asserts,
};
use model::{Action, Verdict};
use std::collections::HashMap;

/// What came of one property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The property's name.
    pub property: String,
    /// What it means.
    pub says: String,
    /// Whether it holds.
    pub outcome: Outcome,
}

/// Whether a property holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// For every request.
    Holds,
    /// Not for this one, to which the rules say this.
    Refuted {
        /// The request.
        witness: Box<Witness>,
        /// The answer.
        verdict: Verdict,
        /// The rules that determine it.
        rules: Vec<String>,
    },
    /// These rules are of no use.
    Useless {
        /// Their ids.
        rules: Vec<String>,
    },
    /// Nobody knows.
    Unproved {
        /// Why.
        why: String,
    },
}

/// What a solver says of a condition.
#[derive(Clone)]
pub(super) enum Found {
    /// No request meets it.
    Nothing,
    /// This one does.
    Request(Box<Witness>),
    /// It does not say.
    Unknown(String),
}

/// What is asked about a condition.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Mode {
    /// Which request meets it.
    Met,
    /// On which request it fails.
    Fails,
}

/// Proves and compares. One prover answers any number of questions, and a question that was asked before at once.
pub struct Prover<'o> {
    compiler: CedarSymCompiler<Wire<'o>>,
    schema: Schema,
    words: Words,
    requests: Rules,
    known: HashMap<(Mode, &'static str, Expr), Found>,
}

impl<'o> Prover<'o> {
    /// A prover with somebody to ask.
    ///
    /// # Errors
    /// [`PolicyError::Builtin`] if this build is defective.
    pub fn new(oracle: &'o mut dyn Oracle) -> Result<Prover<'o>, PolicyError> {
        let broken = |message: String| PolicyError::Builtin { message };
        let (schema, warnings) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| broken(error.to_string()))?;
        drop(warnings);
        let compiler = CedarSymCompiler::new(Wire::new(oracle)).map_err(|error| broken(error.to_string()))?;
        let requests = Rules::alone(&[Layer { name: "requests", origin: Origin::User, text: REQUESTS }])?;
        let compiler = compiler.with_reset_mode(ResetMode::Comment);
        Ok(Prover { compiler, schema, words: Words::new()?, requests, known: HashMap::new() })
    }

    /// How often the solver was asked.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.compiler.solver().asked
    }

    /// Tries to prove each property of the rules.
    pub fn prove(&mut self, rules: &Rules, properties: &[&Property]) -> Vec<Proof> {
        let failing = self.failing(rules);
        let mut of_requests = self.of_requests(rules, properties).into_iter();
        let mut proof = |property: &&Property| {
            let about_one = of_requests.next().unwrap_or_else(|| unproved("it was not asked about"));
            let outcome = match &property.what {
                What::NeverFails => failing.clone(),
                What::NoDeadRule => self.useless(rules, true),
                What::NoShadowedRule => self.useless(rules, false),
                What::Never(_) | What::ApprovalAllows | What::RiskTightens | What::Jar(_) => about_one,
            };
            // Where a rule can fail, what its condition says is not what happens; only a request that shows it counts.
            let outcome = match (outcome, &failing) {
                (Outcome::Holds, Outcome::Refuted { rules, .. }) => {
                    unproved(format!("a rule can fail: {}; see never-fails", rules.join(", ")))
                }
                (Outcome::Holds, Outcome::Unproved { why }) => unproved(why),
                (outcome, _) => outcome,
            };
            Proof { property: property.name.clone(), says: property.says.clone(), outcome }
        };
        properties.iter().map(&mut proof).collect()
    }

    /// Whether any rule fails on any request.
    pub(super) fn failing(&mut self, rules: &Rules) -> Outcome {
        for shape in Shape::all() {
            let conditions: Vec<Expr> = rules.slice(shape).all().map(|(_, condition)| condition.clone()).collect();
            match self.fails(shape, conditions) {
                Found::Nothing => {}
                Found::Unknown(why) => return unproved(why),
                Found::Request(witness) => {
                    let fails = |witness: &Witness| failed(rules, witness).is_some();
                    return self.shown(*witness, rules, &fails);
                }
            }
        }
        Outcome::Holds
    }

    /// For each property whether no request speaks against it. What is not about single requests holds here.
    fn of_requests(&mut self, rules: &Rules, properties: &[&Property]) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::Holds; properties.len()];
        for shape in Shape::all() {
            let slice = rules.slice(shape);
            let mut open = Vec::new();
            for (property, outcome) in properties.iter().zip(&mut outcomes) {
                match self.against(property, rules, &slice, shape) {
                    _ if *outcome != Outcome::Holds => {}
                    Ok(None) => {}
                    Ok(Some(condition)) => open.push((*property, outcome, condition)),
                    Err(why) => *outcome = unproved(why),
                }
            }
            self.of_shape(rules, shape, open);
        }
        outcomes
    }

    /// All are asked about at once, and again without those that the example speaks against; one by one only where that
    /// gets nowhere.
    fn of_shape(&mut self, rules: &Rules, shape: Shape, mut open: Vec<(&Property, &mut Outcome, Expr)>) {
        while open.len() > 1 {
            let together = any(open.iter().map(|(.., condition)| condition.clone()).collect());
            let witness = match self.find(shape, together) {
                Found::Nothing => return,
                Found::Request(witness) => witness,
                Found::Unknown(_) => break,
            };
            let before = open.len();
            open.retain_mut(|(property, outcome, _)| {
                let shown = self.shown((*witness).clone(), rules, &|w| speaks_against(property, rules, w));
                let refuted = matches!(shown, Outcome::Refuted { .. });
                if refuted {
                    **outcome = shown;
                }
                !refuted
            });
            if open.len() == before {
                break;
            }
        }
        for (property, outcome, condition) in open {
            *outcome = match self.find(shape, condition) {
                Found::Nothing => Outcome::Holds,
                Found::Unknown(why) => unproved(why),
                Found::Request(witness) => self.shown(*witness, rules, &|w| speaks_against(property, rules, w)),
            };
        }
    }

    /// The condition of requests that speak against a property; nothing where there can be none.
    fn against(
        &mut self,
        property: &Property,
        rules: &Rules,
        slice: &Slice,
        shape: Shape,
    ) -> Result<Option<Expr>, String> {
        let whole = |_| WHOLE.to_owned();
        let condition = match &property.what {
            What::Never(never) => {
                let Some(forbidden) = super::rules::applying(&self.words, &never.policy, shape) else {
                    return Ok(None);
                };
                match self.fails(shape, vec![forbidden.clone()]) {
                    Found::Nothing => all(vec![slice.permitted(), forbidden]),
                    Found::Request(_) => return Err("the property itself can fail: it computes with numbers".into()),
                    Found::Unknown(why) => return Err(why),
                }
            }
            What::ApprovalAllows => approval(slice).map_err(whole)?,
            What::RiskTightens => risk(slice).map_err(whole)?,
            What::Jar(about) => match let_through(*about, rules, slice, shape)? {
                Some(condition) => condition,
                None => return Ok(None),
            },
            What::NeverFails | What::NoDeadRule | What::NoShadowedRule => return Ok(None),
        };
        Ok(if condition::is(&condition, false) { None } else { Some(condition) })
    }

    /// The rules of the layers that never apply (`dead`), or that apply and never make a difference.
    fn useless(&mut self, rules: &Rules, dead: bool) -> Outcome {
        let mut useless = Vec::new();
        for index in rules.own..rules.policies.len() {
            match self.is_useless(rules, index, dead) {
                Ok(true) => useless.extend(rules.policies.get(index).map(|policy| policy.id().to_string())),
                Ok(false) => {}
                Err(why) => return unproved(why),
            }
        }
        if useless.is_empty() { Outcome::Holds } else { Outcome::Useless { rules: useless } }
    }

    fn is_useless(&mut self, rules: &Rules, index: usize, dead: bool) -> Result<bool, String> {
        let without = rules.without(index).map_err(|error| error.to_string())?;
        // Most rules decide some ordinary request, and that is quickly seen.
        if self.decides_something_ordinary(rules, index, &without) {
            return Ok(false);
        }
        let applies = self.applies_ever(rules, index)?;
        // Of what never applies `no-dead-rule` tells, and only that.
        if dead || !applies { Ok(dead && !applies) } else { Ok(!self.decides_ever(rules, index)?) }
    }

    fn decides_something_ordinary(&self, rules: &Rules, index: usize, without: &Rules) -> bool {
        let verdict = |rules: &Rules, witness: &Witness| rules.engine.ask(witness.asked(&self.words)).verdict;
        let differs = |witness: &Witness| verdict(rules, witness) != verdict(without, witness) && self.can_be(witness);
        // What is said of one action is mostly said of all: the first shape is tried.
        let first = Shape::all().find_map(|shape| {
            let slice = rules.slice(shape);
            let (_, condition) = slice.all().find(|(at, _)| *at == index)?;
            Some(Witness::around(shape, condition))
        });
        first.is_some_and(|around| around.iter().any(differs))
    }

    fn applies_ever(&mut self, rules: &Rules, index: usize) -> Result<bool, String> {
        self.ever(rules, |slice| {
            let (_, condition) = slice.all().find(|(at, _)| *at == index)?;
            Some(Ok(condition.clone()))
        })
    }

    fn decides_ever(&mut self, rules: &Rules, index: usize) -> Result<bool, String> {
        self.ever(rules, |slice| {
            slice.all().any(|(at, _)| *at == index).then(|| differing(slice, &slice.without(index)))
        })
    }

    /// Whether any request meets the condition that its shape's rules give.
    fn ever(
        &mut self,
        rules: &Rules,
        condition: impl Fn(&Slice) -> Option<Result<Expr, condition::Whole>>,
    ) -> Result<bool, String> {
        for shape in Shape::all() {
            let Some(condition) = condition(&rules.slice(shape)) else { continue };
            match self.find(shape, condition.map_err(|_| WHOLE.to_owned())?) {
                Found::Nothing => {}
                Found::Request(_) => return Ok(true),
                Found::Unknown(why) => return Err(why),
            }
        }
        Ok(false)
    }

    /// A counterexample, once the evaluator agrees with it.
    fn shown(&self, witness: Witness, rules: &Rules, shows: &dyn Fn(&Witness) -> bool) -> Outcome {
        match self.replayed(witness, shows) {
            Some(witness) => {
                let answer = rules.engine.ask(witness.asked(rules.engine.words()));
                Outcome::Refuted { witness: Box::new(witness), verdict: answer.verdict, rules: answer.rules }
            }
            None => unproved("the solver's example does not show it when it is replayed"),
        }
    }

    /// The witness made as ordinary as it goes, if it shows what it should and is a request that can come about.
    pub(super) fn replayed(&self, witness: Witness, shows: &dyn Fn(&Witness) -> bool) -> Option<Witness> {
        let mut holds = |witness: &Witness| self.can_be(witness) && shows(witness);
        holds(&witness).then(|| witness.minimised(&mut holds))
    }

    /// Whether nothing that is known of requests speaks against this one.
    fn can_be(&self, witness: &Witness) -> bool {
        matches!(self.requests.engine.once(witness.asked(&self.words), false), Judged::Refused(rules) if rules.is_empty())
    }

    /// A request of this shape that meets the condition.
    pub(super) fn find(&mut self, shape: Shape, condition: Expr) -> Found {
        if condition::is(&condition, false) {
            return Found::Nothing;
        }
        self.known(Mode::Met, shape, condition)
    }

    /// A request of this shape on which one of the conditions fails.
    fn fails(&mut self, shape: Shape, mut conditions: Vec<Expr>) -> Found {
        conditions.retain(condition::computes);
        if conditions.is_empty() {
            return Found::Nothing;
        }
        self.known(Mode::Fails, shape, fails_with(conditions))
    }

    /// What is asked of one action and says nothing of actions has the same answer for the next.
    fn known(&mut self, mode: Mode, shape: Shape, condition: Expr) -> Found {
        let assumed = self.requests.slice(shape).forbids.into_iter().map(|(_, condition)| condition);
        let mut parts = vec![self.resource(shape.kind)];
        parts.push(not(any(assumed.collect())));
        parts.push(condition);
        let whole = condition::unfolded(&all(parts));
        let key = (mode, shape.kind, whole);
        let once = names_action(&key.2);
        if let (false, Some(found)) = (once, self.known.get(&key)) {
            return match found.clone() {
                Found::Request(witness) => Found::Request(Box::new(witness.with(shape.question))),
                found => found,
            };
        }
        let found = self.asked_anew(mode, shape, key.2.clone());
        if !once {
            self.known.insert(key, found.clone());
        }
        found
    }

    /// The resource of every request has the same id.
    fn resource(&self, kind: &str) -> Expr {
        Expr::is_eq(Expr::var(Var::Resource), Expr::val(self.words.uid(kind, RESOURCE)))
    }

    fn asked_anew(&mut self, mode: Mode, shape: Shape, condition: Expr) -> Found {
        self.compiler.solver_mut().clear();
        let policy = Policy::from_when_clause(Effect::Permit, condition, PolicyID::from_string("asked"), None);
        let kind = EntityTypeName::from(self.words.kind(shape.kind).clone());
        let user = EntityTypeName::from(self.words.user(0).entity_type().clone());
        let env = RequestEnv::new(user, EntityUid::from(self.words.action(shape.question.name())), kind);
        let compiled = match CompiledPolicy::compile(&policy.into(), &env, &self.schema) {
            Ok(compiled) => compiled,
            Err(error) => return Found::Unknown(model::escape::text(&error.to_string())),
        };
        let asserts = match mode {
            Mode::Met => never_matches_asserts(&compiled),
            Mode::Fails => never_errors_asserts(&compiled),
        };
        match self.solved(&asserts) {
            Ok(None) => Found::Nothing,
            Ok(Some(env)) => match Witness::read(shape, &env) {
                Some(witness) => Found::Request(Box::new(witness)),
                None => Found::Unknown("the solver's example is none of Belljar's requests".to_owned()),
            },
            Err(why) => Found::Unknown(why),
        }
    }

    fn solved(&mut self, asserts: &WellFormedAsserts<'_>) -> Result<Option<Env>, String> {
        match finished(self.compiler.check_sat(asserts)) {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => {
                let why = self.compiler.solver_mut().why.take();
                Err(why.unwrap_or_else(|| model::escape::text(&error.to_string())))
            }
            None => Err("the solver is not done".to_owned()),
        }
    }
}

impl std::fmt::Debug for Prover<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prover").field("asked", &self.asked()).finish_non_exhaustive()
    }
}

const WHOLE: &str = "a rule speaks of the context as a whole";

pub(super) fn unproved(why: impl Into<String>) -> Outcome {
    Outcome::Unproved { why: why.into() }
}

/// Where two slices decide differently.
pub(super) fn differing(a: &Slice, b: &Slice) -> Result<Expr, condition::Whole> {
    let ([allow_a, ask_a], [allow_b, ask_b]) = (a.both()?, b.both()?);
    let refused = |allow: &Expr, ask: Expr| not(any(vec![allow.clone(), ask]));
    let (refused_a, refused_b) = (refused(&allow_a, ask_a), refused(&allow_b, ask_b));
    Ok(any(vec![not(Expr::is_eq(allow_a, allow_b)), not(Expr::is_eq(refused_a, refused_b))]))
}

/// Permitted, and not once a person agrees.
fn approval(slice: &Slice) -> Result<Expr, condition::Whole> {
    let [at_once, agreed] = slice.both()?;
    Ok(all(vec![at_once, not(agreed)]))
}

/// Whether a request, asked about, speaks against a property.
fn speaks_against(property: &Property, rules: &Rules, witness: &Witness) -> bool {
    match &property.what {
        What::Never(never) => permits_what(never, rules, witness),
        What::ApprovalAllows => permits(rules, witness, false) && !permits(rules, witness, true),
        What::RiskTightens => risk_shown(rules, witness),
        What::Jar(about) => is_let_through(*about, rules, witness),
        What::NeverFails | What::NoDeadRule | What::NoShadowedRule => false,
    }
}

/// What a jar lets through and should not; nothing for what jars are not compared in.
fn let_through(about: About, rules: &Rules, slice: &Slice, shape: Shape) -> Result<Option<Expr>, String> {
    let jar = match &rules.jar {
        Some(Ok(jar)) => jar,
        Some(Err(why)) => return Err(why.clone()),
        None => return Err("nothing is said of a jar".to_owned()),
    };
    let whole = |_| WHOLE.to_owned();
    let [shown, _] = jar.rules.slice(shape).both().map_err(whole)?;
    let refused = match (about, jar.never(about)) {
        (About::Policy, _) => {
            let [allowed, agreed] = slice.both().map_err(whole)?;
            // Who names a peer was asked; of what is read unannounced nobody was.
            let is_read = shape.question == Question::Effect(Action::Read);
            not(if is_read { allowed } else { any(vec![allowed, agreed]) })
        }
        (_, Some(never)) => any(never.slice(shape).forbids.into_iter().map(|(_, condition)| condition).collect()),
        (_, None) => return Ok(None),
    };
    Ok(Some(all(vec![shown, refused])))
}

fn is_let_through(about: About, rules: &Rules, witness: &Witness) -> bool {
    let Some(Ok(jar)) = &rules.jar else { return false };
    let through = permits(&jar.rules, witness, false) && jar.lets_through(witness);
    let refused = || match (about, jar.never(about)) {
        (About::Policy, _) => {
            let verdict = rules.engine.ask(witness.asked(rules.engine.words())).verdict;
            let asked =
                if witness.question() == Question::Effect(Action::Read) { Verdict::Allow } else { Verdict::Ask };
            verdict > asked
        }
        (_, Some(never)) => matches!(
            never.engine.once(witness.asked(never.engine.words()), false),
            Judged::Refused(rules) if !rules.is_empty()
        ),
        (_, None) => false,
    };
    through && refused()
}

/// With one more of risk, allowed where it was not, or asked where it was denied.
fn risk(slice: &Slice) -> Result<Expr, condition::Whole> {
    let [allowed, agreed] = slice.both()?;
    let lenient = any(vec![allowed.clone(), agreed]);
    let mut cases = Vec::new();
    for level in 0..2 {
        let (less, more) = (Expr::val(level), Expr::val(level + 1));
        let mut laxer = Vec::new();
        for answer in [&allowed, &lenient] {
            let (at_less, at_more) =
                (condition::given(answer, "risk", &less)?, condition::given(answer, "risk", &more)?);
            laxer.push(all(vec![at_more, not(at_less)]));
        }
        cases.push(all(vec![Expr::is_eq(context("risk"), less), any(laxer)]));
    }
    Ok(any(cases))
}

fn risk_shown(rules: &Rules, witness: &Witness) -> bool {
    let verdict = |witness: &Witness| rules.engine.ask(witness.asked(rules.engine.words())).verdict;
    witness.riskier().is_some_and(|riskier| verdict(&riskier) < verdict(witness))
}

fn permits(rules: &Rules, witness: &Witness, approved: bool) -> bool {
    matches!(rules.engine.once(witness.asked(rules.engine.words()), approved), Judged::Permitted(_))
}

fn permits_what(never: &Never, rules: &Rules, witness: &Witness) -> bool {
    let forbids = |approved| {
        let said = never.engine.once(witness.asked(never.engine.words()), approved);
        matches!(said, Judged::Refused(rules) if !rules.is_empty())
    };
    [false, true].into_iter().any(|approved| permits(rules, witness, approved) && forbids(approved))
}

fn failed(rules: &Rules, witness: &Witness) -> Option<Vec<String>> {
    [false, true].into_iter().find_map(|approved| {
        match rules.engine.once(witness.asked(rules.engine.words()), approved) {
            Judged::Failed(rules) => Some(rules),
            _ => None,
        }
    })
}

impl Witness {
    /// The same with one more of risk.
    fn riskier(&self) -> Option<Witness> {
        let Some(Fact::Number(risk)) = self.context.get("risk") else { return None };
        let mut out = self.clone();
        out.context.insert("risk", Fact::Number(risk.checked_add(1)?));
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::{Effect, Expr, Judged, Policy, PolicyID, Rules, Shape, Witness, Words};
    use crate::engine::Engine;
    use crate::engine::Functions;
    use crate::layer::{Layer, Origin};
    use crate::profile::{Profile, SHIPPED, Whose};
    use model::Verdict;

    /// The condition, evaluated.
    fn met(condition: &Expr, witness: &Witness) -> bool {
        let policy = Policy::from_when_clause(Effect::Permit, condition.clone(), PolicyID::from_string("c"), None);
        let engine = Engine::new(Words::new().unwrap(), &[policy], Functions::All);
        matches!(engine.once(witness.asked(engine.words()), true), Judged::Permitted(_))
    }

    /// What a solver is asked about is what the evaluator answers: the conditions put together from rules, met by a request,
    /// and the answer to it.
    #[test]
    fn conditions_say_what_the_rules_answer() {
        let (mut seen, mut verdicts) = (0, std::collections::BTreeSet::new());
        for shipped in SHIPPED {
            let profile = Profile::parse(shipped.name, shipped.text, Whose::Own).unwrap();
            let layer = [Layer { name: shipped.name, origin: Origin::User, text: &profile.rules }];
            let rules = Rules::layered(if profile.rules.is_empty() { &[] } else { &layer }).unwrap();
            for shape in Shape::all() {
                let slice = rules.slice(shape);
                let [allowed, agreed] = slice.both().unwrap();
                for witness in Witness::around(shape, &slice.permitted()).into_iter().step_by(7).take(24) {
                    let verdict = rules.engine.ask(witness.asked(rules.engine.words())).verdict;
                    assert_eq!(met(&allowed, &witness), verdict == Verdict::Allow, "{witness:?}");
                    // Whether a person may agree matters where it is not allowed at once.
                    assert!(
                        verdict == Verdict::Allow || met(&agreed, &witness) == (verdict == Verdict::Ask),
                        "{witness:?}"
                    );
                    seen += 1;
                    verdicts.insert(verdict);
                }
            }
        }
        assert!(seen > 1000 && verdicts.len() == 3, "{seen} {verdicts:?}");
    }
}
