//! The two policies: what they are called on the command line, and their texts, from which each thread makes its own.

use crate::error::RunError;
use crate::layers;
use model::{FilePath, Place};
use policy::profile::Whose;
use policy::replay::Replay;
use policy::{Layer, Origin, Policy, Profile};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// A policy that can be made again.
#[derive(Clone, Debug)]
pub struct Side {
    name: String,
    sha256: String,
    /// Names and texts of the layers over the built-in rules.
    texts: Vec<(String, String)>,
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
    /// The policy called so at `place`: `built-in`, `current` (with the user's and the organisation's layers), or the built-in
    /// rules with a file (`.cedar`, or the rules of a profile, `.toml`) or every `.cedar` file of a directory.
    ///
    /// # Errors
    /// When it cannot be read. Whether it is a policy is told where it is made.
    pub fn load(place: &Place, word: &str) -> Result<Side, RunError> {
        let texts = match word {
            "built-in" => Vec::new(),
            "current" => layers::texts(place)?.into_iter().map(|rules| (rules.name, rules.text)).collect(),
            path => read(&place.cwd.as_path().join(path))?,
        };
        let mut hash = Sha256::new();
        // Not their names: the same files lie elsewhere on another machine.
        let built_in = [env!("CARGO_PKG_VERSION"), policy::SCHEMA, policy::DEFAULT];
        for part in built_in.into_iter().chain(texts.iter().map(|(_, text)| text.as_str())) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let sha256 = model::hex(&hash.finalize());
        Ok(Side { name: model::escape::text(word), sha256, texts })
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
        let layers = self.texts.iter().map(|(name, text)| Layer { name, origin: Origin::User, text });
        let layers: Vec<Layer<'_>> = layers.collect();
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

fn read(path: &Path) -> Result<Vec<(String, String)>, RunError> {
    if !path.is_dir() {
        return Ok(vec![read_file(path)?]);
    }
    let files = layers::entries(path)?.into_iter().filter(|path| layers::is(path, "cedar"));
    files.map(|path| read_file(&path)).collect()
}

fn read_file(path: &Path) -> Result<(String, String), RunError> {
    let text =
        fs::read_to_string(path).map_err(|source| RunError::PolicyFile { path: FilePath::from(path), source })?;
    let name = path.file_name().map(|name| FilePath::new(name).to_string()).unwrap_or_default();
    if !layers::is(path, "toml") {
        return Ok((name, text));
    }
    let profile = Profile::parse(&name, &text, Whose::Own)?;
    Ok((name, profile.rules_in_place()))
}
