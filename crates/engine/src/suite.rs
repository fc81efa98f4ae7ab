//! The cases beside policies and profiles, run.

use crate::error::RunError;
use crate::layers;
use crate::profile::{self, own_files};
use model::{FilePath, Place};
use policy::cases::{Cases, DEFAULT_CASES};
pub use policy::cases::{Ran, Wrong};
use policy::profile::{SHIPPED, Whose};
use policy::{Layer, Origin, Policy, PolicyError, Profile};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One file of cases.
#[derive(Debug)]
pub struct Tested {
    /// The file, or the name of one that is part of Belljar.
    pub name: String,
    /// How each case went.
    pub ran: Vec<Ran>,
    /// Why they could not be run.
    pub fault: Option<Fault>,
}

/// Why cases could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The cases, or what they are about, are wrong.
    #[error(transparent)]
    Wrong(#[from] PolicyError),
    /// Nothing lies beside the cases.
    #[error("{name}: there is neither {stem}.toml nor {stem}.cedar beside it")]
    Alone {
        /// The cases.
        name: String,
        /// Without the ending.
        stem: String,
    },
    /// No cases lie beside a profile or policy.
    #[error("{name}: it has no cases: write {stem}.test.toml beside it")]
    NoCases {
        /// The profile or policy.
        name: String,
        /// Without the ending.
        stem: String,
    },
}

impl Tested {
    /// Whether every case holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.fault.is_none() && self.ran.iter().all(|ran| ran.wrong.is_empty())
    }
}

/// Runs cases: of the files named, or beside the files named; without any, those of Belljar itself and all that lie in the
/// directories of policies and profiles that hold at `place`.
///
/// # Errors
/// When a file cannot be read.
pub fn test(place: &Place, files: &[FilePath]) -> Result<Vec<Tested>, RunError> {
    let mut tested = Vec::new();
    if files.is_empty() {
        tested.push(run("default.test.toml", DEFAULT_CASES, None, None));
        for shipped in SHIPPED {
            let name = format!("{}.test.toml", shipped.name);
            tested.push(run(&name, shipped.cases, Some((shipped.name, shipped.text)), None));
        }
        for path in known(place)? {
            tested.push(beside(&path)?);
        }
    }
    for file in files {
        tested.push(beside(file.as_path())?);
    }
    Ok(tested)
}

/// All files of cases that lie where profiles and policies do.
fn known(place: &Place) -> Result<Vec<PathBuf>, RunError> {
    let mut files = own_files(place)?;
    for dir in layers::dirs(place) {
        files.extend(layers::entries(&dir)?);
    }
    let project = place.workspace.as_path().join(profile::PROJECT_DIR);
    for dir in [project.clone(), project.join("policies"), project.join("profiles")] {
        files.extend(layers::entries(&dir)?);
    }
    files.retain(|path| path.to_string_lossy().ends_with(".test.toml"));
    Ok(files)
}

/// The cases of one file, or those beside it.
fn beside(path: &Path) -> Result<Tested, RunError> {
    let name = FilePath::from(path).to_string();
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let endings = [".test.toml", ".toml", ".cedar"];
    let stem = endings.iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(&file).to_owned();
    let at = |ending: &str| path.with_file_name(format!("{stem}{ending}"));
    let failed = |fault| Tested { name: name.clone(), ran: Vec::new(), fault: Some(fault) };
    let (profile, rules) = (text(&at(".toml"))?, text(&at(".cedar"))?);
    let Some(cases) = text(&at(".test.toml"))? else {
        if profile.is_none() && rules.is_none() {
            return Err(RunError::PolicyFile { path: FilePath::from(path), source: io::ErrorKind::NotFound.into() });
        }
        return Ok(failed(Fault::NoCases { name: name.clone(), stem }));
    };
    if profile.is_none() && rules.is_none() {
        return Ok(failed(Fault::Alone { name: name.clone(), stem }));
    }
    let called = |ending: &str| FilePath::from(at(ending)).to_string();
    let (profile_name, rules_name) = (called(".toml"), called(".cedar"));
    let profile = profile.as_deref().map(|text| (profile_name.as_str(), text));
    let rules = rules.as_deref().map(|text| (rules_name.as_str(), text));
    Ok(run(&called(".test.toml"), &cases, profile, rules))
}

fn text(path: &Path) -> Result<Option<String>, RunError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RunError::PolicyFile { path: FilePath::from(path), source }),
    }
}

/// What cases are about: a name and its text.
type About<'a> = Option<(&'a str, &'a str)>;

fn run(name: &str, cases: &str, profile: About<'_>, rules: About<'_>) -> Tested {
    let tried = || -> Result<Vec<Ran>, PolicyError> {
        let cases = Cases::parse(name, cases)?;
        let parsed = match profile {
            Some((name, text)) => Profile::parse(name, text, Whose::Own)?,
            None => Profile::default(),
        };
        let own = parsed.rules_in_place();
        let mut layers: Vec<Layer<'_>> = Vec::new();
        let own = profile.filter(|_| !parsed.rules.is_empty()).map(|(name, _)| (name, own.as_str()));
        for (name, text) in own.into_iter().chain(rules) {
            layers.push(Layer { name, origin: Origin::User, text });
        }
        Ok(cases.run(&Policy::layered(&layers)?, &parsed))
    };
    match tried() {
        Ok(ran) => Tested { name: name.to_owned(), ran, fault: None },
        Err(fault) => Tested { name: name.to_owned(), ran: Vec::new(), fault: Some(fault.into()) },
    }
}
