//! Differences: which requests two sets of rules answer differently.

use super::condition::{Whole, all, any, not};
use super::prover::{Found, Outcome, Prover, differing};
use super::rules::{Rules, Slice};
use super::shape::Shape;
use super::witness::Witness;
use cedar_policy_core::ast::Expr;
use model::Verdict;

/// What two sets of rules answer differently.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Each way in which an answer changes, by action and type of resource.
    pub changes: Vec<Transition>,
    /// What could not be compared, and why.
    pub open: Vec<String>,
}

impl Difference {
    /// Whether the answers are the same to every request.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.changes.is_empty() && self.open.is_empty()
    }

    /// Whether any request gets a laxer answer, as far as that is known.
    #[must_use]
    pub fn widens(&self) -> bool {
        self.changes.iter().any(|change| change.after < change.before)
    }
}

/// One way in which an answer changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The answer before.
    pub before: Verdict,
    /// The answer after.
    pub after: Verdict,
    /// The actions to which it happens for requests like the witness.
    pub actions: Vec<&'static str>,
    /// A request to which it happens.
    pub witness: Witness,
    /// The rules that determine the answer before.
    pub rules_before: Vec<String>,
    /// The rules that determine the answer after.
    pub rules_after: Vec<String>,
}

const CHANGES: [(Verdict, Verdict); 6] = [
    (Verdict::Deny, Verdict::Allow),
    (Verdict::Ask, Verdict::Allow),
    (Verdict::Deny, Verdict::Ask),
    (Verdict::Allow, Verdict::Ask),
    (Verdict::Allow, Verdict::Deny),
    (Verdict::Ask, Verdict::Deny),
];

impl Prover<'_> {
    /// Which requests `after` answers differently from `before`.
    pub fn diff(&mut self, before: &Rules, after: &Rules) -> Difference {
        let mut difference = Difference::default();
        for rules in [before, after] {
            match self.failing(rules) {
                Outcome::Holds => {}
                Outcome::Refuted { rules, .. } => {
                    difference.open.push(format!("a rule can fail: {}", rules.join(", ")))
                }
                Outcome::Unproved { why } => difference.open.push(format!("whether a rule can fail: {why}")),
                Outcome::Useless { .. } => {}
            }
        }
        if !difference.open.is_empty() {
            return difference;
        }
        for shape in Shape::all() {
            self.diff_shape(shape, before, after, &mut difference);
        }
        difference
    }

    fn diff_shape(&mut self, shape: Shape, before: &Rules, after: &Rules, difference: &mut Difference) {
        let (slice_before, slice_after) = (before.slice(shape), after.slice(shape));
        if slice_before.same(&slice_after) {
            return;
        }
        let open = |why: &str| format!("{} of {}: {why}", shape.question.name(), shape.kind);
        let whole = "a rule speaks of the context as a whole";
        let Ok(differs) = differing(&slice_before, &slice_after) else { return difference.open.push(open(whole)) };
        if matches!(self.find(shape, differs), Found::Nothing) {
            return;
        }
        for change in CHANGES {
            let Ok(condition) = changing(&slice_before, &slice_after, change) else {
                return difference.open.push(open(whole));
            };
            match self.find(shape, condition) {
                Found::Nothing => {}
                Found::Unknown(why) => difference.open.push(open(&why)),
                Found::Request(witness) => match self.transition(*witness, before, after, change) {
                    Some(transition) => add(&mut difference.changes, transition),
                    None => difference.open.push(open("the solver's example does not show it when it is replayed")),
                },
            }
        }
    }

    fn transition(
        &self,
        witness: Witness,
        before: &Rules,
        after: &Rules,
        change: (Verdict, Verdict),
    ) -> Option<Transition> {
        let said = |rules: &Rules, witness: &Witness| rules.engine.ask(witness.asked(rules.engine.words()));
        let shows = |witness: &Witness| (said(before, witness).verdict, said(after, witness).verdict) == change;
        let witness = self.replayed(witness, &shows)?;
        let (rules_before, rules_after) = (said(before, &witness).rules, said(after, &witness).rules);
        let actions = vec![witness.action];
        Some(Transition { before: change.0, after: change.1, actions, witness, rules_before, rules_after })
    }
}

/// Requests that are alike but for the action stand together.
fn add(changes: &mut Vec<Transition>, new: Transition) {
    let alike = |old: &&mut Transition| {
        let as_new = Transition {
            actions: new.actions.clone(),
            witness: old.witness.with(new.witness.question()),
            ..(**old).clone()
        };
        as_new == new
    };
    match changes.iter_mut().find(alike) {
        Some(old) => old.actions.extend(new.actions),
        None => changes.push(new),
    }
}

/// Where an answer changes in one way.
fn changing(before: &Slice, after: &Slice, (from, to): (Verdict, Verdict)) -> Result<Expr, Whole> {
    Ok(all(vec![answered(before, from)?, answered(after, to)?]))
}

fn answered(slice: &Slice, verdict: Verdict) -> Result<Expr, Whole> {
    let [at_once, agreed] = slice.both()?;
    Ok(match verdict {
        Verdict::Allow => at_once,
        Verdict::Ask => all(vec![not(at_once), agreed]),
        Verdict::Deny => not(any(vec![at_once, agreed])),
    })
}
