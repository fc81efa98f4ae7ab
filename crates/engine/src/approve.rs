//! The one door to execution: an [`Approval`] can only be made here, from a decision and, where it says ask, a person or
//! grants that a person made.

use crate::consent::Offer;
use model::{Analysis, Assessment, Decision, Place, Verdict};
use std::io;

/// Permission to run one command once. Its field is private, so nothing outside this file can make one.
#[derive(Debug)]
pub struct Approval {
    by: Grantor,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Grantor {
    Policy,
    /// With the channel over which the answer came, where that is not the terminal.
    Person(Option<String>),
    /// By name.
    Grants(Vec<String>),
}

impl Approval {
    /// Who granted it, in the words of the audit log.
    #[must_use]
    pub fn by(&self) -> String {
        match &self.by {
            Grantor::Policy => "policy".to_owned(),
            Grantor::Person(None) => "person".to_owned(),
            Grantor::Person(Some(channel)) => format!("person at {channel}"),
            Grantor::Grants(names) => format!("grant {}", names.join(", ")),
        }
    }
}

/// What a person is asked before a command runs.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What it would do.
    pub analysis: &'a Analysis,
    /// How risky that is, and why.
    pub assessment: &'a Assessment,
    /// Which rule wants a person.
    pub decision: &'a Decision,
    /// Where it would run.
    pub place: &'a Place,
    /// What may be granted with the answer.
    pub offer: &'a Offer,
}

/// A person's answer to a [`Question`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Run it.
    Yes,
    /// Do not.
    No,
    /// Run it, and do not ask again about what is offered.
    Grant(Wish),
}

/// How long an answer is to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Where.
    pub scope: Lasting,
    /// For so many days; as usual for the scope otherwise.
    pub days: Option<u32>,
}

/// Where an answer counts that is more than a yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// In this jar.
    Jar,
    /// In this project.
    Project,
    /// Everywhere.
    Always,
}

impl Lasting {
    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Lasting::Jar => "jar",
            Lasting::Project => "project",
            Lasting::Always => "always",
        }
    }
}

/// What is known before somebody is asked, and what the answer said besides yes.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    /// The grants that cover everything that is asked for.
    pub(crate) granted: Option<Vec<String>>,
    /// The grant that is to be made.
    pub(crate) wish: Option<Wish>,
}

/// Somebody who can be asked. Front ends implement it; where nobody can answer there is none.
pub trait Person {
    /// Asked before a command runs, when the policy wants a person.
    ///
    /// # Errors
    /// When the question could not be put or the answer not be read; that counts as no.
    fn approve(&mut self, question: &Question<'_>) -> io::Result<Answer>;

    /// Asked after a command ran, about its changes.
    ///
    /// # Errors
    /// When the question could not be put or the answer not be read; the changes are then left as they are.
    fn settle(&mut self, frozen: &crate::Trial<crate::Frozen>) -> io::Result<crate::Settle>;

    /// Told that he is not asked, at either door, because grants of these names answer.
    fn granted(&mut self, _names: &[String]) {}

    /// Where he is asked, for the audit log; `None`: at the terminal.
    fn channel(&self) -> Option<String> {
        None
    }
}

/// Why a command may not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A rule forbids it, or none permits it.
    #[error("denied by policy: {}", rules(.0))]
    Denied(Decision),
    /// A rule wants a person, and nobody can be asked here.
    #[error("needs a person's approval, and nobody can be asked here: {}", rules(.0))]
    Unattended(Decision),
    /// The person said no.
    #[error("not approved")]
    Declined(Decision),
    /// The person could not be asked.
    #[error("ask for approval")]
    Unanswered(#[source] io::Error),
}

impl Refusal {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Refusal::Denied(_) => {
                Some("`belljar check` shows which rule and why; a policy of your own can change it".into())
            }
            Refusal::Unattended(_) => Some("run it on a terminal, name who can be asked with --ask-at, or let a grant or a policy of your own allow it".into()),
            Refusal::Declined(_) | Refusal::Unanswered(_) => None,
        }
    }
}

fn rules(decision: &Decision) -> String {
    let strictest = decision.because.iter().filter(|because| because.verdict == decision.verdict);
    let words: Vec<String> = strictest
        .take(3)
        .map(|because| match because.rules.as_slice() {
            [] => format!("{} (no rule permits it)", because.about),
            rules => format!("{} ({})", because.about, rules.join(", ")),
        })
        .collect();
    words.join("; ")
}

/// Turns a decision into permission, by grants or by asking `person` where the decision says so.
///
/// # Errors
/// A [`Refusal`] when it may not run. Everything but an explicit yes is a no, and so is a yes that wants more than was
/// offered.
pub(crate) fn approve<'p>(
    question: &Question<'_>,
    asking: &mut Asking,
    person: Option<&mut (dyn Person + 'p)>,
) -> Result<Approval, Refusal> {
    let decision = || question.decision.clone();
    match (question.decision.verdict, asking.granted.take(), person) {
        (Verdict::Allow, _, _) => Ok(Approval { by: Grantor::Policy }),
        (Verdict::Deny, _, _) => Err(Refusal::Denied(decision())),
        (Verdict::Ask, Some(names), person) if !names.is_empty() => {
            person.into_iter().for_each(|person| person.granted(&names));
            Ok(Approval { by: Grantor::Grants(names) })
        }
        (Verdict::Ask, _, None) => Err(Refusal::Unattended(decision())),
        (Verdict::Ask, _, Some(person)) => match person.approve(question).map_err(Refusal::Unanswered)? {
            Answer::No => Err(Refusal::Declined(decision())),
            Answer::Grant(wish) if !question.offer.scopes().contains(&wish.scope) => Err(Refusal::Declined(decision())),
            yes => {
                asking.wish = yes.wish();
                Ok(Approval { by: Grantor::Person(person.channel()) })
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Analysis, Assessment, Because, Coverage, Risk, Tiers};

    struct Says(io::Result<Answer>);

    impl Person for Says {
        fn approve(&mut self, _: &Question<'_>) -> io::Result<Answer> {
            std::mem::replace(&mut self.0, Ok(Answer::No))
        }
        fn settle(&mut self, _: &crate::Trial<crate::Frozen>) -> io::Result<crate::Settle> {
            Ok(crate::Choice::Leave.into())
        }
    }

    fn outcome(verdict: Verdict, person: Option<io::Result<Answer>>) -> Result<String, Refusal> {
        with(verdict, None, person)
    }

    fn with(
        verdict: Verdict,
        granted: Option<Vec<String>>,
        person: Option<io::Result<Answer>>,
    ) -> Result<String, Refusal> {
        let analysis = Analysis {
            text: "x".into(),
            effects: Vec::new(),
            findings: Vec::new(),
            coverage: Coverage::Full,
            canonical: Vec::new(),
            certificates: Vec::new(),
        };
        let tiers = Tiers { contained: Risk::High, bare: Risk::High };
        let assessment = Assessment { tiers, reasons: Vec::new(), explanation: Vec::new() };
        let because = vec![Because { verdict, rules: vec!["r".into()], about: "x".into() }];
        let decision = Decision { verdict, because };
        let path = model::FilePath::from("/w");
        let (cwd, home, workspace, state) = (path.clone(), path.clone(), path.clone(), path);
        let place = Place { cwd, home, workspace, state, uid: 0, contained: true };
        let offer = Offer::default();
        let (analysis, assessment, decision, place, offer) = (&analysis, &assessment, &decision, &place, &offer);
        let question = Question { analysis, assessment, decision, place, offer };
        let mut person = person.map(Says);
        let asked = person.as_mut().map(|person| person as &mut dyn Person);
        approve(&question, &mut Asking { granted, wish: None }, asked).map(|approval| approval.by())
    }

    #[test]
    fn only_allow_or_an_explicit_yes_opens_the_door() {
        assert_eq!(outcome(Verdict::Allow, None).unwrap(), "policy");
        assert_eq!(outcome(Verdict::Ask, Some(Ok(Answer::Yes))).unwrap(), "person");
        assert!(matches!(outcome(Verdict::Ask, Some(Ok(Answer::No))), Err(Refusal::Declined(_))));
        let broken = io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(matches!(outcome(Verdict::Ask, Some(Err(broken))), Err(Refusal::Unanswered(_))));
        assert!(matches!(outcome(Verdict::Ask, None), Err(Refusal::Unattended(_))));
        assert!(matches!(outcome(Verdict::Deny, Some(Ok(Answer::Yes))), Err(Refusal::Denied(_))));
        let wish = Wish { scope: Lasting::Always, days: None };
        assert!(
            matches!(outcome(Verdict::Ask, Some(Ok(Answer::Grant(wish)))), Err(Refusal::Declined(_))),
            "a yes to more than was offered"
        );
    }

    #[test]
    fn grants_answer_what_is_asked_and_lift_no_denial() {
        let named = || Some(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(with(Verdict::Ask, named(), None).unwrap(), "grant a, b");
        assert_eq!(with(Verdict::Allow, named(), None).unwrap(), "policy");
        assert!(matches!(with(Verdict::Deny, named(), None), Err(Refusal::Denied(_))));
        assert!(matches!(with(Verdict::Ask, Some(Vec::new()), None), Err(Refusal::Unattended(_))), "by nothing");
    }
}
