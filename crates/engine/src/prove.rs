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
        let built_in = Subject { name: BUILT_IN.to_owned(), profile: Profile::default(), rules: Rules::layered(&[])? };
        let mut subjects = vec![built_in];
        for shipped in SHIPPED {
            let profile = Profile::parse(shipped.name, shipped.text, policy::profile::Whose::Own)?;
            let text = profile.rules_in_place();
            let layer = Layer { name: shipped.name, origin: Origin::User, text: &text };
            let rules = Rules::layered(if profile.rules.is_empty() { &[] } else { std::slice::from_ref(&layer) })?;
            subjects.push(Subject { name: shipped.name.to_owned(), profile, rules });
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

/// Tries to prove properties of rules: those about jars beside the others, each with a solver of their own.
///
/// # Errors
/// When there is no solver.
pub fn prove(subjects: Vec<Subject>, properties: &[Property]) -> Result<Vec<Proved>, RunError> {
    let (of_jars, others): (Vec<&Property>, Vec<&Property>) =
        properties.iter().partition(|property| property.is_of_jars());
    let (mut names, mut all) = (Vec::new(), Vec::new());
    for Subject { name, profile, rules } in subjects {
        names.push(name);
        all.push(if of_jars.is_empty() { rules } else { rules.in_jar(&profile)? });
    }
    let (of_jars, others) = beside(|| of_each(&all, &of_jars), || of_each(&all, &others));
    let proofs = of_jars?.into_iter().zip(others?);
    let in_order = |(of_jars, others): (Vec<Proof>, Vec<Proof>)| {
        let (mut of_jars, mut others) = (of_jars.into_iter(), others.into_iter());
        let next = |property: &Property| if property.is_of_jars() { of_jars.next() } else { others.next() };
        properties.iter().filter_map(next).collect()
    };
    Ok(names.into_iter().zip(proofs.map(in_order)).map(|(name, proofs)| Proved { name, proofs }).collect())
}

/// The proofs of some properties for each set of rules.
fn of_each(all: &[Rules], properties: &[&Property]) -> Result<Vec<Vec<Proof>>, RunError> {
    if properties.is_empty() {
        return Ok(all.iter().map(|_| Vec::new()).collect());
    }
    let mut solver = Cvc5::new()?;
    let mut prover = Prover::new(&mut solver)?;
    Ok(all.iter().map(|rules| prover.prove(rules, properties)).collect())
}

/// Both at the same time, on two processors where there are two.
fn beside<A: Send, B>(one: impl Fn() -> A + Sync, other: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| match std::thread::Builder::new().spawn_scoped(scope, &one) {
        Ok(thread) => {
            let other = other();
            (thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), other)
        }
        // There may be no thread left.
        Err(_) => (one(), other()),
    })
}

/// Which requests two sets of rules answer differently.
///
/// # Errors
/// When there is no solver.
pub fn diff(before: &Subject, after: &Subject) -> Result<Difference, RunError> {
    let mut solver = Cvc5::new()?;
    Ok(Prover::new(&mut solver)?.diff(&before.rules, &after.rules))
}
