//! The Cedar engine: questions in, three-valued answers with their reasons out.
//!
//! Cedar knows permit and forbid. A question is asked with `context.approved` false and, if that is not permitted, with
//! true: permitted at once is allow, permitted with approval is ask, neither is deny. Whatever goes wrong is deny.

use crate::error::PolicyError;
use crate::words::{self, Question, Words};
use cedar_policy::{
    ActionConstraint, Authorizer, Context, Decision, Entities, Entity, EntityUid, Policy, PolicySet, Request,
    RestrictedExpression,
};
use model::Verdict;
use std::collections::{HashMap, HashSet};

/// What Cedar says about one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// Ids of the determining rules, sorted; empty when no rule permits it.
    pub(crate) rules: Vec<String>,
}

/// One question: may `question` be done to `resource`?
pub(crate) struct Asked {
    pub(crate) question: Question,
    pub(crate) uid: u32,
    pub(crate) kind: &'static str,
    pub(crate) attributes: Vec<(&'static str, RestrictedExpression)>,
    pub(crate) context: Vec<(&'static str, RestrictedExpression)>,
}

/// The rules, sliced: for each question only those whose head can match it.
pub(crate) struct Engine {
    words: Words,
    slices: Vec<PolicySet>,
    by_question: HashMap<Question, usize>,
    authorizer: Authorizer,
}

/// The resource of every question. Its attributes tell the rules what it is; the id says nothing, so that no rule can
/// depend on it.
const RESOURCE: &str = "it";

impl Engine {
    pub(crate) fn new(words: Words, policies: &[Policy]) -> Result<Engine, PolicyError> {
        let mut slices: Vec<PolicySet> = Vec::new();
        let mut known: HashMap<Vec<usize>, usize> = HashMap::new();
        let mut by_question = HashMap::new();
        for question in Question::ALL {
            let matching = matching(&words, policies, question);
            let slice = match known.get(&matching) {
                Some(slice) => *slice,
                None => {
                    slices.push(slice(policies, &matching)?);
                    slices.len() - 1
                }
            };
            known.insert(matching, slice);
            by_question.insert(question, slice);
        }
        Ok(Engine { words, slices, by_question, authorizer: Authorizer::new() })
    }

    pub(crate) fn words(&self) -> &Words {
        &self.words
    }

    fn slice(&self, question: Question) -> Option<&PolicySet> {
        self.slices.get(*self.by_question.get(&question)?)
    }

    /// Whether any rule for `question` looks at an attribute of this name, or could: the name stands in quotes in its JSON
    /// form, in which a name has one spelling.
    pub(crate) fn looks_at(&self, question: Question, attribute: &str) -> bool {
        let Some(slice) = self.slice(question) else {
            return true;
        };
        let quoted = format!("\"{attribute}\"");
        slice.policies().any(|policy| policy.to_json().map_or(true, |json| json.to_string().contains(&quoted)))
    }

    /// Asks.
    pub(crate) fn ask(&self, asked: Asked) -> Answer {
        match self.try_ask(asked) {
            Ok(answer) => answer,
            Err(what) => Answer { verdict: Verdict::Deny, rules: vec![format!("error/{what}")] },
        }
    }

    fn try_ask(&self, asked: Asked) -> Result<Answer, &'static str> {
        let slice = self.slice(asked.question).ok_or("no-slice")?;
        let resource = self.words.uid(asked.kind, RESOURCE);
        let attributes = asked.attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let entity = Entity::new(resource.clone(), attributes, HashSet::new()).map_err(|_| "attributes")?;
        let action = self.words.action_entity(asked.question);
        let entities = Entities::from_entities([entity, action], None).map_err(|_| "entities")?;
        let mut refused = Vec::new();
        for (approved, verdict) in [(false, Verdict::Allow), (true, Verdict::Ask)] {
            let context = asked.context.iter().cloned().chain([("approved", words::yes(approved))]);
            let context = Context::from_pairs(context.map(|(name, value)| (name.to_owned(), value)));
            let (principal, action) = (self.words.user(asked.uid), self.words.action(asked.question.name()));
            let request = Request::new(principal, action, resource.clone(), context.map_err(|_| "context")?, None);
            let response = self.authorizer.is_authorized(&request.map_err(|_| "request")?, slice, &entities);
            let errors: Vec<String> = errors(&response);
            if !errors.is_empty() {
                return Ok(Answer { verdict: Verdict::Deny, rules: errors });
            }
            let rules = reasons(&response);
            if response.decision() == Decision::Allow {
                return Ok(Answer { verdict, rules });
            }
            refused = rules;
        }
        Ok(Answer { verdict: Verdict::Deny, rules: refused })
    }
}

fn reasons(response: &cedar_policy::Response) -> Vec<String> {
    let mut rules: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
    rules.sort();
    rules
}

/// A rule that cannot be evaluated is skipped by Cedar, also a forbid; here it denies.
fn errors(response: &cedar_policy::Response) -> Vec<String> {
    let failed = response.diagnostics().errors().map(|error| match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(inner) => {
            format!("error/{}", inner.policy_id())
        }
    });
    let mut rules: Vec<String> = failed.collect();
    rules.sort();
    rules
}

/// Indexes of the policies whose head lets them apply to `question`.
fn matching(words: &Words, policies: &[Policy], question: Question) -> Vec<usize> {
    let mut names: Vec<EntityUid> = question.groups().iter().map(|group| words.action(group)).collect();
    names.push(words.action(question.name()));
    let applies = |policy: &Policy| match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(action) => words.action(question.name()) == action,
        ActionConstraint::In(actions) => actions.iter().any(|action| names.contains(action)),
    };
    policies.iter().enumerate().filter(|(_, policy)| applies(policy)).map(|(index, _)| index).collect()
}

fn slice(policies: &[Policy], matching: &[usize]) -> Result<PolicySet, PolicyError> {
    let chosen = matching.iter().filter_map(|index| policies.get(*index)).cloned();
    PolicySet::from_policies(chosen).map_err(|error| PolicyError::Builtin { message: error.to_string() })
}
