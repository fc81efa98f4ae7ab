//! Rules by a word: what `policy diff`, `policy prove` and `policy replay` mean by `built-in`, `current`, a profile, a file or a
//! directory. One meaning for all of them, so that what one says of a policy is about the same rules as what another says.

use crate::error::RunError;
use crate::layers;
use crate::profile::{self, ProfileError, RulesText};
use model::{FilePath, Place};
use policy::Profile;
use std::fs;
use std::io;
use std::path::Path;

/// The name of the rules that are part of Belljar.
pub(crate) const BUILT_IN: &str = "built-in";
/// The name of the rules that hold here.
const CURRENT: &str = "current";

/// Rules that a word names, over the built-in ones.
#[derive(Clone, Debug)]
pub(crate) struct NamedRules {
    /// The word, escaped.
    pub(crate) name: String,
    /// What else the profile says, if they are one's.
    #[cfg_attr(not(feature = "prove"), expect(dead_code))]
    pub(crate) profile: Profile,
    /// The rules, by layer.
    pub(crate) texts: Vec<RulesText>,
}

impl NamedRules {
    /// The rules called so at `place`:
    ///
    /// - `built-in`, and `current`: with the user's and the organisation's layers;
    /// - with a `/` in it, or ending in `.cedar` or `.toml`: a policy, a profile, or every policy of a directory;
    /// - else a profile by its name, or if there is none a file or directory here.
    ///
    /// # Errors
    /// When they are not there or cannot be read, or a profile is wrong. Whether rules are is told where they are used.
    pub(crate) fn find(place: &Place, word: &str) -> Result<NamedRules, RunError> {
        let name = model::escape::text(word);
        let of = |texts| NamedRules { name: name.clone(), profile: Profile::default(), texts };
        let path = place.cwd.as_path().join(word);
        match word {
            BUILT_IN => return Ok(of(Vec::new())),
            CURRENT => return Ok(of(layers::texts(place)?)),
            _ if path.is_dir() && word.contains('/') || word.ends_with(".cedar") => return Ok(of(read(&path)?)),
            _ => {}
        }
        match profile::alone(place, word) {
            Ok((profile, texts)) => Ok(NamedRules { name, profile, texts }),
            Err(RunError::Profile(ProfileError::NotFound { .. })) if path.exists() => Ok(of(read(&path)?)),
            Err(error) => Err(error),
        }
    }

    /// The rules of a file, whatever it is called.
    ///
    /// # Errors
    /// When it cannot be read.
    #[cfg(feature = "prove")]
    pub(crate) fn of_file(place: &Place, path: &FilePath) -> Result<NamedRules, RunError> {
        let texts = vec![read_file(&place.cwd.as_path().join(path.as_path()))?];
        Ok(NamedRules { name: path.to_string(), profile: Profile::default(), texts })
    }
}

/// A policy, or all of a directory. One without any is not what was meant.
fn read(path: &Path) -> Result<Vec<RulesText>, RunError> {
    if !path.is_dir() {
        return Ok(vec![read_file(path)?]);
    }
    let files = layers::entries(path)?.into_iter().filter(|path| layers::is(path, "cedar"));
    let texts = files.map(|path| read_file(&path)).collect::<Result<Vec<_>, _>>()?;
    if texts.is_empty() {
        let source = io::Error::new(io::ErrorKind::NotFound, "there is no .cedar file in it");
        return Err(RunError::PolicyFile { path: FilePath::from(path), source });
    }
    Ok(texts)
}

/// Called by its last name: the same file lies elsewhere on another machine.
fn read_file(path: &Path) -> Result<RulesText, RunError> {
    let text =
        fs::read_to_string(path).map_err(|source| RunError::PolicyFile { path: FilePath::from(path), source })?;
    let name = path.file_name().map(|name| FilePath::new(name).to_string()).unwrap_or_default();
    Ok(RulesText { name, may_permit: true, text })
}
