//! The two policies: what they are called on the command line, and their texts, from which each thread makes its own.

use crate::error::RunError;
use crate::named::NamedRules;
use crate::profile::RulesText;
use model::Place;
use policy::replay::Replay;
use policy::{Layer, Policy};
use sha2::{Digest, Sha256};

/// A policy that can be made again.
#[derive(Clone, Debug)]
pub struct Side {
    name: String,
    sha256: String,
    /// The layers over the built-in rules.
    texts: Vec<RulesText>,
}

/// From one policy to another.
#[derive(Clone, Debug)]
pub struct Sides {
    /// From this.
    pub a: Side,
    /// To this.
    pub b: Side,
}

impl Side {
    /// The rules that a word names at `place`, over the built-in ones: `built-in`, `current`, a profile, a file, or a directory
    /// of policies.
    ///
    /// # Errors
    /// When they are not there, cannot be read, or a profile is wrong. Whether rules are is told where they are made.
    pub fn load(place: &Place, word: &str) -> Result<Side, RunError> {
        let NamedRules { name, texts, .. } = NamedRules::find(place, word)?;
        let mut hash = Sha256::new();
        // Not their names: the same files lie elsewhere on another machine.
        let built_in = [env!("CARGO_PKG_VERSION"), policy::SCHEMA, policy::DEFAULT];
        for part in built_in.into_iter().chain(texts.iter().map(|rules| rules.text.as_str())) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let sha256 = model::hex(&hash.finalize());
        Ok(Side { name, sha256, texts })
    }

    /// As it was called, escaped.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 over this version of Belljar, its rules and these, hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    fn policy(&self) -> Result<Policy, RunError> {
        let layers: Vec<Layer<'_>> = self.texts.iter().map(RulesText::layer).collect();
        Ok(Policy::layered(&layers)?)
    }
}

impl Sides {
    /// Both, made anew.
    ///
    /// # Errors
    /// When one is no policy.
    pub fn replay(&self) -> Result<Replay, RunError> {
        Ok(Replay::new(self.a.policy()?, self.b.policy()?))
    }
}
