//! The Cedar engine: questions in, three-valued answers with their reasons out.
//!
//! Cedar knows permit and forbid. A question is asked with `context.approved` false and, if that is not permitted, with
//! true: permitted at once is allow, permitted with approval is ask, neither is deny. Whatever goes wrong is deny.

use crate::words::{self, Question, Words};
use cedar_policy_core::ast::{
    ActionConstraint, Context, Effect, Entity, EntityUID, EntityUIDEntry, ExprKind, PartialValue, Policy, Request,
    Value,
};
use cedar_policy_core::entities::{Entities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use model::Verdict;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Names with their values.
pub(crate) type Attributes = Vec<(&'static str, Value)>;

/// What Cedar says about one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// Ids of the determining rules; empty when no rule permits it. Where a person may agree and a rule forbids it until
    /// then, that rule.
    pub(crate) rules: Vec<String>,
    /// Whether a rule forbids it, until a person agrees or for good: more than that none permits it.
    pub(crate) held: bool,
}

/// One question: may `question` be done to `resource`?
pub(crate) struct Asked {
    pub(crate) question: Question,
    pub(crate) uid: u32,
    pub(crate) kind: &'static str,
    pub(crate) attributes: Attributes,
    pub(crate) context: Attributes,
}

/// The rules, sliced: for each question only those whose head can match it.
pub(crate) struct Engine {
    words: Words,
    slices: Vec<Vec<Policy>>,
    by_question: HashMap<Question, usize>,
    extensions: &'static Extensions<'static>,
}

/// Whether rules may call Cedar's extension functions. The built-in ones do not, and starting them costs 0.5 ms.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Functions {
    None,
    All,
}

/// The resource of every question. Its attributes tell the rules what it is; the id says nothing, so that no rule can
/// depend on it.
pub(crate) const RESOURCE: &str = "it";

impl Engine {
    pub(crate) fn new(words: Words, policies: &[Policy], functions: Functions) -> Engine {
        let mut slices: Vec<Vec<Policy>> = Vec::new();
        let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
        let mut by_question = HashMap::new();
        for question in Question::ALL {
            let matching = matching(&words, policies, question);
            let chosen = matching.iter().filter_map(|at| policies.get(*at)).cloned().collect();
            let slice = *known.entry(matching).or_insert_with(|| {
                slices.push(chosen);
                slices.len() - 1
            });
            by_question.insert(question, slice);
        }
        let extensions = match functions {
            Functions::None => Extensions::none(),
            Functions::All => Extensions::all_available(),
        };
        Engine { words, slices, by_question, extensions }
    }

    pub(crate) fn words(&self) -> &Words {
        &self.words
    }

    pub(crate) fn slice(&self, question: Question) -> Option<&[Policy]> {
        self.slices.get(*self.by_question.get(&question)?).map(Vec::as_slice)
    }

    /// Whether any rule for `question` looks at an attribute of this name.
    pub(crate) fn looks_at(&self, question: Question, attribute: &str) -> bool {
        let Some(slice) = self.slice(question) else { return true };
        slice.iter().any(|policy| {
            policy.condition().subexpressions().any(|part| match part.expr_kind() {
                ExprKind::GetAttr { attr, .. } | ExprKind::HasAttr { attr, .. } => attr == attribute,
                _ => false,
            })
        })
    }

    /// Asks.
    pub(crate) fn ask(&self, asked: Asked) -> Answer {
        match self.try_ask(asked) {
            Ok(answer) => answer,
            Err(what) => Answer { verdict: Verdict::Deny, rules: vec![format!("error/{what}")], held: true },
        }
    }

    fn try_ask(&self, asked: Asked) -> Result<Answer, &'static str> {
        let slice = self.slice(asked.question).ok_or("no-slice")?;
        let resource = self.words.uid(asked.kind, RESOURCE);
        let entities = self.entities(asked.question, &resource, asked.attributes).ok_or("entities")?;
        let mut refused: Vec<String> = Vec::new();
        for (approved, verdict) in [(false, Verdict::Allow), (true, Verdict::Ask)] {
            let context = asked.context.iter().cloned().chain([("approved", words::yes(approved))]);
            let request = self.request(asked.question, asked.uid, &resource, context);
            match judge(slice, &Evaluator::new(request, &entities, self.extensions)) {
                Judged::Permitted(rules) if refused.is_empty() => return Ok(Answer { verdict, rules, held: false }),
                Judged::Permitted(_) => return Ok(Answer { verdict, rules: refused, held: true }),
                Judged::Failed(rules) => return Ok(Answer { verdict: Verdict::Deny, rules, held: true }),
                Judged::Refused(rules) => refused = rules,
            }
        }
        let held = !refused.is_empty();
        Ok(Answer { verdict: Verdict::Deny, rules: refused, held })
    }

    /// What the rules say to one request, where a person agreed or did not.
    pub(crate) fn once(&self, asked: Asked, approved: bool) -> Judged {
        let failed = |what: &str| Judged::Failed(vec![format!("error/{what}")]);
        let Some(slice) = self.slice(asked.question) else { return failed("no-slice") };
        let resource = self.words.uid(asked.kind, RESOURCE);
        let Some(entities) = self.entities(asked.question, &resource, asked.attributes) else {
            return failed("entities");
        };
        let context = asked.context.into_iter().chain([("approved", words::yes(approved))]);
        let request = self.request(asked.question, asked.uid, &resource, context);
        judge(slice, &Evaluator::new(request, &entities, self.extensions))
    }

    /// The resource with its attributes, and the action with its groups. All groups are named, so there is no closure
    /// to compute.
    fn entities(&self, question: Question, resource: &EntityUID, attributes: Attributes) -> Option<Entities> {
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), PartialValue::Value(value)));
        let entity =
            Entity::new_with_attr_partial_value(resource.clone(), attributes, HashSet::new(), HashSet::new(), []);
        let known = [entity, self.words.action_entity(question)];
        let closed = TCComputation::AssumeAlreadyComputed;
        Entities::from_entities(known, None::<&NoEntitiesSchema>, closed, Extensions::none()).ok()
    }

    fn request(
        &self,
        question: Question,
        uid: u32,
        resource: &EntityUID,
        context: impl Iterator<Item = (&'static str, Value)>,
    ) -> Request {
        let known = |uid| EntityUIDEntry::known(uid, None);
        let context = context.map(|(name, value)| (name.into(), value)).collect();
        Request::new_unchecked(
            known(self.words.user(uid)),
            known(self.words.action(question.name())),
            known(resource.clone()),
            Some(Context::Value(Arc::new(context))),
        )
    }
}

/// What the rules say to one request, with the ids of those that determined it.
pub(crate) enum Judged {
    Permitted(Vec<String>),
    Refused(Vec<String>),
    /// Cedar would skip a rule that cannot be evaluated, also a forbid; here it denies.
    Failed(Vec<String>),
}

/// Cedar's combination of rules: default deny, and any forbid beats every permit.
fn judge(slice: &[Policy], evaluator: &Evaluator<'_>) -> Judged {
    let (mut permits, mut forbids, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for policy in slice {
        match (evaluator.evaluate(policy), policy.effect()) {
            (Ok(false), _) => {}
            (Ok(true), Effect::Permit) => permits.push(policy.id().to_string()),
            (Ok(true), Effect::Forbid) => forbids.push(policy.id().to_string()),
            (Err(_), _) => failed.push(format!("error/{}", policy.id())),
        }
    }
    if !failed.is_empty() {
        Judged::Failed(failed)
    } else if !forbids.is_empty() || permits.is_empty() {
        Judged::Refused(forbids)
    } else {
        Judged::Permitted(permits)
    }
}

/// Indexes of the policies whose head lets them apply to `question`.
fn matching(words: &Words, policies: &[Policy], question: Question) -> Vec<usize> {
    let asked = AskedAbout::new(words, question);
    policies.iter().enumerate().filter(|(_, policy)| asked.admits(policy)).map(|(index, _)| index).collect()
}

/// An action with the groups it is in, as heads of policies name them.
pub(crate) struct AskedAbout {
    own: EntityUID,
    names: Vec<EntityUID>,
}

impl AskedAbout {
    pub(crate) fn new(words: &Words, question: Question) -> AskedAbout {
        let own = words.action(question.name());
        let mut names: Vec<EntityUID> = question.groups().iter().map(|group| words.action(group)).collect();
        names.push(own.clone());
        AskedAbout { own, names }
    }

    /// Whether the head of a policy lets it apply.
    pub(crate) fn admits(&self, policy: &Policy) -> bool {
        match policy.template().action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(action) => **action == self.own,
            ActionConstraint::In(actions) => actions.iter().any(|action| self.names.contains(action)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Engine, Functions};
    use crate::words::{Question, Words, number, text, yes};
    use cedar_policy_core::ast::{Policy, PolicySet};
    use cedar_policy_core::authorizer::{Authorizer, Decision};
    use cedar_policy_core::parser::parse_policyset;
    use model::Verdict;
    use proptest::prelude::*;

    /// Rules that permit, forbid, ask and fail, by the numbers in the question.
    const RULES: &str = "
        permit (principal, action, resource) when { context.risk == 0 };
        permit (principal, action == Action::\"apply\", resource) when { context.risk == 1 && context.approved };
        permit (principal, action, resource) when { context.risk == 2 };
        permit (principal, action in Action::\"effect\", resource is Thing) when { context.approved };
        forbid (principal, action in [Action::\"change\"], resource) when { resource.what == \"a\" };
        forbid (principal, action, resource) when { context.risk == 2 } unless { context.approved };
        forbid (principal, action, resource) when { context.risk + 9223372036854775804 > 0 && resource.what == \"b\" };
    ";

    fn rules() -> Vec<Policy> {
        parse_policyset(RULES).unwrap().into_policies().collect()
    }

    fn asked(question: Question, what: &str, risk: i64) -> Asked {
        let attributes = vec![("what", text(what))];
        Asked { question, uid: 1000, kind: "Thing", attributes, context: vec![("risk", number(risk))] }
    }

    /// The answer of Cedar's own authorizer over all rules, unsliced.
    fn reference(engine: &Engine, set: &PolicySet, asked: &Asked) -> Verdict {
        let resource = engine.words.uid(asked.kind, super::RESOURCE);
        let entities = engine.entities(asked.question, &resource, asked.attributes.clone()).unwrap();
        for (approved, verdict) in [(false, Verdict::Allow), (true, Verdict::Ask)] {
            let context = asked.context.iter().cloned().chain([("approved", yes(approved))]);
            let request = engine.request(asked.question, asked.uid, &resource, context);
            let response = Authorizer::new().is_authorized(request, set, &entities);
            if !response.diagnostics.errors.is_empty() {
                return Verdict::Deny;
            }
            if response.decision == Decision::Allow {
                return verdict;
            }
        }
        Verdict::Deny
    }

    proptest! {
        #[test]
        fn answers_are_those_of_cedars_authorizer(
            question in proptest::sample::select(Question::ALL.as_slice()),
            what in "[abc]",
            risk in 0i64..5,
            keep in proptest::collection::vec(any::<bool>(), 7),
        ) {
            let kept = rules().into_iter().zip(keep).filter(|(_, keep)| *keep).map(|(rule, _)| rule);
            let kept: Vec<Policy> = kept.collect();
            let engine = Engine::new(Words::new().unwrap(), &kept, Functions::None);
            let set = PolicySet::try_from_iter(kept).unwrap();
            let expected = reference(&engine, &set, &asked(question, &what, risk));
            prop_assert_eq!(engine.ask(asked(question, &what, risk)).verdict, expected);
        }
    }
}
