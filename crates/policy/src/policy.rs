//! The policy: built-in rules with whatever layers stand on them, and the four judgements made with it.

use crate::content::Notes;
use crate::engine::{Answer, Engine, Functions};
use crate::error::PolicyError;
use crate::grant::{self, Asked};
use crate::layer::{self, Layer};
use crate::review::Seen;
use crate::words::Words;
use crate::{builtin, decide, held, review, risk};
use model::{Analysis, Assessment, Attempt, ChangeSet, Decision, Held, Place, Review};

/// A loaded policy. Cheap to keep; give each thread its own.
pub struct Policy {
    engine: Engine,
    held: Vec<Held>,
}

impl Policy {
    /// The built-in policy alone.
    ///
    /// # Errors
    /// [`PolicyError::Builtin`] if this build is defective.
    pub fn builtin() -> Result<Policy, PolicyError> {
        Policy::layered(&[])
    }

    /// The built-in policy with layers on top. Any forbid beats every permit, so a layer that only forbids can only
    /// tighten; the order of the layers does not matter.
    ///
    /// # Errors
    /// The first layer that is not valid; nothing of an invalid layer is used.
    pub fn layered(layers: &[Layer<'_>]) -> Result<Policy, PolicyError> {
        Policy::layered_again(layers, false)
    }

    /// [`Policy::layered`], where texts that are `valid`, as an earlier load with this version and [`SCHEMA`](crate::SCHEMA)
    /// has found of all of them, are not validated again. Everything else is looked at as there.
    ///
    /// # Errors
    /// As there.
    pub fn layered_again(layers: &[Layer<'_>], valid: bool) -> Result<Policy, PolicyError> {
        let words = Words::new()?;
        let mut policies = builtin::statements(&words)?;
        let own = layer::load_again(layers, valid)?;
        // The built-in rules forbid nothing that a jar could hold.
        let held = held::rules(&words, &own);
        policies.extend(own);
        let functions = if layers.is_empty() { Functions::None } else { Functions::All };
        Ok(Policy { engine: Engine::new(words, &policies, functions), held })
    }

    /// The layers alone, without the built-in rules: for tools that compare and test policies. It denies what no layer
    /// permits.
    ///
    /// # Errors
    /// As [`Policy::layered`].
    pub fn without_builtin(layers: &[Layer<'_>]) -> Result<Policy, PolicyError> {
        let (words, policies) = (Words::new()?, layer::load_all(layers)?);
        let held = held::rules(&words, &policies);
        Ok(Policy { engine: Engine::new(words, &policies, Functions::All), held })
    }

    /// How dangerous a command is, in a jar and bare, with every reason and an explanation.
    #[must_use]
    pub fn assess(&self, analysis: &Analysis, place: &Place) -> Assessment {
        risk::assess(analysis, place)
    }

    /// Whether it may run: the strictest answer over its effects, its findings and itself as a whole.
    #[must_use]
    pub fn decide(&self, analysis: &Analysis, assessment: &Assessment, place: &Place) -> Decision {
        decide::decide(&self.engine, analysis, assessment, place)
    }

    /// The parts of a command that the rules want a person for, each with what could be granted beyond this once.
    #[must_use]
    pub fn asked(&self, analysis: &Analysis, assessment: &Assessment, place: &Place) -> Vec<Asked> {
        grant::asked(&self.engine, analysis, assessment, place)
    }

    /// What to make of the changes of a finished run, measured against what was announced, without their contents.
    #[must_use]
    pub fn review(&self, changes: &ChangeSet, analysis: &Analysis, place: &Place, attempts: &[Attempt]) -> Review {
        self.review_read(changes, &Notes::new(), analysis, place, attempts)
    }

    /// [`Policy::review`] with what the contents tell.
    #[must_use]
    pub fn review_read(
        &self,
        changes: &ChangeSet,
        notes: &Notes,
        analysis: &Analysis,
        place: &Place,
        attempts: &[Attempt],
    ) -> Review {
        review::review(&self.engine, Seen { changes, notes, analysis, place, attempts }, &mut |_| {})
    }

    /// The rules that a jar holds, whatever was announced.
    #[must_use]
    pub fn held(&self) -> Vec<Held> {
        self.held.clone()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The rules that decide on each change.
    pub(crate) fn rulings(
        &self,
        changes: &ChangeSet,
        notes: &Notes,
        analysis: &Analysis,
        place: &Place,
    ) -> Vec<Vec<String>> {
        let mut rulings = Vec::new();
        let mut heard = |answer: &Answer| rulings.push(answer.rules.clone());
        review::review(&self.engine, Seen { changes, notes, analysis, place, attempts: &[] }, &mut heard);
        rulings
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").finish_non_exhaustive()
    }
}
