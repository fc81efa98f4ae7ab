//! Proofs: which rules they are about, and the solver that is asked.

mod solver;

pub use policy::prove::{Difference, Fact, Outcome, Proof, Property, Transition, Witness};
pub use solver::Cvc5;

use crate::error::RunError;
use crate::named::{BUILT_IN, NamedRules};
use crate::profile::RulesText;
use model::{FilePath, Place};
use policy::profile::SHIPPED;
use policy::prove::{Prover, Rules};
use policy::{Layer, Origin, Profile};
use std::fs;
use std::io;

/// Why nothing could be proved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProveError {
    /// There is no solver.
    #[error("start cvc5, the solver that proofs need: it is not installed")]
    NoSolver,
    /// The solver does not start.
    #[error("start cvc5, the solver that proofs need")]
    Start(#[source] io::Error),
    /// The solver does not do what every proof needs.
    #[error("use cvc5, the solver that proofs need: {0}")]
    Useless(String),
    /// There is no property of this name.
    #[error("there is no property {name}")]
    NoProperty {
        /// As it was asked for, escaped.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
}

impl ProveError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            ProveError::NoSolver | ProveError::Start(_) => {
                "install it: apt-get install cvc5 (or put a cvc5 from https://cvc5.github.io on your PATH)".into()
            }
            ProveError::Useless(_) => "version 1.0.3 or newer does; `cvc5 --version` says which yours is".into(),
            ProveError::NoProperty { known, .. } => format!("there are {}", known.join(", ")),
        }
    }
}

/// Rules that something is asked about.
#[derive(Debug)]
pub struct Subject {
    /// As they are called.
    pub name: String,
    /// What else the profile says, if they are one's.
    pub profile: Profile,
    rules: Rules,
}

impl Subject {
    /// The rules that a word names at `place`, over the built-in ones: `built-in`, `current`, a profile, a file, or a directory
    /// of policies. What else holds at `place` does not count.
    ///
    /// # Errors
    /// When they are not there, cannot be read or are wrong.
    pub fn find(place: &Place, word: &str) -> Result<Subject, RunError> {
        Subject::of(NamedRules::find(place, word)?)
    }

    /// The rules of a policy file, on the built-in ones.
    ///
    /// # Errors
    /// When it cannot be read or is wrong.
    pub fn of_file(place: &Place, path: &FilePath) -> Result<Subject, RunError> {
        Subject::of(NamedRules::of_file(place, path)?)
    }

    fn of(NamedRules { name, profile, texts }: NamedRules) -> Result<Subject, RunError> {
        let layers: Vec<Layer<'_>> = texts.iter().map(RulesText::layer).collect();
        Ok(Subject { name, profile, rules: Rules::layered(&layers)? })
    }

    /// All rules that are part of Belljar: the built-in ones, and every profile that has some.
    ///
    /// # Errors
    /// If this build is defective.
    pub fn shipped() -> Result<Vec<Subject>, RunError> {
        let mut subjects = {
            let profile = Profile::default();
            vec![Subject { name: BUILT_IN.to_owned(), rules: Rules::layered(&[])?, profile }]
        };
        for shipped in SHIPPED {
            let profile = Profile::parse(shipped.name, shipped.text, policy::profile::Whose::Own)?;
            let text = profile.rules_in_place();
            let layer = Layer { name: shipped.name, origin: Origin::User, text: &text };
            let rules = Rules::layered(if profile.rules.is_empty() { &[] } else { std::slice::from_ref(&layer) })?;
            subjects.push(Subject { name: shipped.name.to_owned(), rules, profile });
        }
        Ok(subjects)
    }
}

/// What came of the properties of some rules.
#[derive(Debug)]
pub struct Proved {
    /// The rules.
    pub name: String,
    /// Each property.
    pub proofs: Vec<Proof>,
}

impl Proved {
    /// Whether all of them hold.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.proofs.iter().all(|proof| proof.outcome == Outcome::Holds)
    }
}

/// The properties that are part of Belljar and those of a file; of these the ones that are asked for, or all.
///
/// # Errors
/// When the file cannot be read or is wrong, or when one that is asked for is not there.
pub fn properties(wanted: &[String], file: Option<&FilePath>) -> Result<Vec<Property>, RunError> {
    let mut properties = Property::shipped()?;
    if let Some(path) = file {
        let text =
            fs::read_to_string(path.as_path()).map_err(|source| RunError::PolicyFile { path: path.clone(), source })?;
        properties.extend(Property::parse(&path.to_string(), &text)?);
    }
    let known: Vec<String> = properties.iter().map(|property| property.name.clone()).collect();
    if let Some(name) = wanted.iter().find(|name| !known.contains(name)) {
        return Err(ProveError::NoProperty { name: model::escape::text(name), known }.into());
    }
    properties.retain(|property| wanted.is_empty() || wanted.contains(&property.name));
    Ok(properties)
}

/// Tries to prove properties of rules.
///
/// # Errors
/// When there is no solver.
pub fn prove(subjects: Vec<Subject>, properties: &[Property]) -> Result<Vec<Proved>, RunError> {
    let mut solver = Cvc5::new()?;
    let mut prover = Prover::new(&mut solver)?;
    let all: Vec<&Property> = properties.iter().collect();
    let mut proved = Vec::with_capacity(subjects.len());
    for Subject { name, profile, rules } in subjects {
        let rules = if all.iter().any(|property| property.is_of_jars()) { rules.in_jar(&profile)? } else { rules };
        proved.push(Proved { name, proofs: prover.prove(&rules, &all) });
    }
    Ok(proved)
}

/// Which requests two sets of rules answer differently.
///
/// # Errors
/// When there is no solver.
pub fn diff(before: &Subject, after: &Subject) -> Result<Difference, RunError> {
    let mut solver = Cvc5::new()?;
    Ok(Prover::new(&mut solver)?.diff(&before.rules, &after.rules))
}
