//! The one door to execution: an [`Approval`] can only be made here, from a decision and, where it says ask, a person.

use model::{Analysis, Assessment, Decision, Verdict};
use std::io;

/// Permission to run one command once. Its field is private, so nothing outside this file can make one.
#[derive(Debug)]
pub struct Approval {
    by: Grantor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grantor {
    Policy,
    Person,
}

impl Approval {
    /// Who granted it, in the words of the audit log.
    #[must_use]
    pub fn by(&self) -> &'static str {
        match self.by {
            Grantor::Policy => "policy",
            Grantor::Person => "person",
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
}

/// A person's answer to a [`Question`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Run it.
    Yes,
    /// Do not.
    No,
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
    fn settle(&mut self, frozen: &crate::Trial<crate::Frozen>) -> io::Result<crate::Choice>;
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
            Refusal::Unattended(_) => Some("run it on a terminal, or let a policy of your own allow it".into()),
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

/// Turns a decision into permission, asking `person` where the decision says so.
///
/// # Errors
/// A [`Refusal`] when it may not run. Everything but an explicit yes is a no.
pub(crate) fn approve<'p>(
    question: &Question<'_>,
    person: Option<&mut (dyn Person + 'p)>,
) -> Result<Approval, Refusal> {
    let decision = || question.decision.clone();
    match (question.decision.verdict, person) {
        (Verdict::Allow, _) => Ok(Approval { by: Grantor::Policy }),
        (Verdict::Deny, _) => Err(Refusal::Denied(decision())),
        (Verdict::Ask, None) => Err(Refusal::Unattended(decision())),
        (Verdict::Ask, Some(person)) => match person.approve(question).map_err(Refusal::Unanswered)? {
            Answer::Yes => Ok(Approval { by: Grantor::Person }),
            Answer::No => Err(Refusal::Declined(decision())),
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
        fn settle(&mut self, _: &crate::Trial<crate::Frozen>) -> io::Result<crate::Choice> {
            Ok(crate::Choice::Leave)
        }
    }

    fn outcome(verdict: Verdict, person: Option<io::Result<Answer>>) -> Result<&'static str, Refusal> {
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
        let question = Question { analysis: &analysis, assessment: &assessment, decision: &decision };
        let mut person = person.map(Says);
        let asked = person.as_mut().map(|person| person as &mut dyn Person);
        approve(&question, asked).map(|approval| approval.by())
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
    }
}
