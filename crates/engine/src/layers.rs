//! Which policy files hold: the built-in one, the user's, the organisation's; and what is wrong with them.

use crate::error::RunError;
use crate::host::config_dir;
use crate::profile::{self, RulesText};
use crate::trust::{Project, Trust};
use crate::valid::Valid;
use model::{FilePath, Place, hex};
use policy::cases::Cases;
use policy::profile::Whose;
use policy::{Layer, Origin, Policy, PolicyError, Profile};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// An organisation's policies; its forbids win over everything.
const ORGANISATION: &str = "/etc/belljar/policies";

/// The policy that holds at `place`, with further rules, and the digest by which the audit log names it.
pub(crate) fn load(place: &Place, more: &[RulesText]) -> Result<(Policy, String), RunError> {
    let sources = in_force(place)?;
    let digest = digest(&sources, more);
    if sources.is_empty() && more.is_empty() {
        return Ok((Policy::builtin()?, digest));
    }
    let layers: Vec<Layer<'_>> = sources.iter().map(Source::layer).chain(more.iter().map(RulesText::layer)).collect();
    let valid = Valid::in_state(place.state.as_path());
    let policy = Policy::layered_again(&layers, valid.knows(&digest))?;
    valid.remember(&digest);
    Ok((policy, digest))
}

/// SHA-256 over this version with its built-in rules and over every layer, each part with its length before it.
pub(crate) fn digest(sources: &[Source], more: &[RulesText]) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    for built_in in [env!("CARGO_PKG_VERSION"), policy::SCHEMA, policy::DEFAULT] {
        part(built_in.as_bytes());
    }
    for source in sources {
        part(format!("{:?}", source.origin).as_bytes());
        part(source.name.as_bytes());
        part(source.text.as_bytes());
    }
    for rules in more {
        part(if rules.may_permit { b"rules" } else { b"limits" });
        part(rules.name.as_bytes());
        part(rules.text.as_bytes());
    }
    hex(&hash.finalize())
}

/// Every file of rules in force, by name: the user's and the organisation's.
pub(crate) fn texts(place: &Place) -> Result<Vec<RulesText>, RunError> {
    let sources = in_force(place)?.into_iter();
    Ok(sources.map(|source| RulesText { name: source.name, may_permit: true, text: source.text }).collect())
}

fn in_force(place: &Place) -> Result<Vec<Source>, RunError> {
    let [user, organisation] = dirs(place);
    let mut sources = read(&user, Origin::User)?;
    sources.append(&mut read(&organisation, Origin::Organisation)?);
    Ok(sources)
}

/// Where files of rules lie: the user's, the organisation's.
pub(crate) fn dirs(place: &Place) -> [PathBuf; 2] {
    [config_dir(&place.home).join("policies"), PathBuf::from(ORGANISATION)]
}

/// A policy file and what is wrong with it, if anything.
#[derive(Debug)]
pub struct Checked {
    /// The file.
    pub path: FilePath,
    /// The first fault, with line and column where it has them; it names the file.
    pub fault: Option<PolicyError>,
}

/// Checks files of policies (`.cedar`), profiles (`.toml`) and cases (`.test.toml`) as loading them would, each for itself:
/// syntax, schema, names of rules. `project` holds them to what a project's own may say. Without `files`, those that hold
/// at `place`.
///
/// # Errors
/// When one cannot be read.
pub fn check(place: &Place, files: &[FilePath], project: bool) -> Result<Vec<Checked>, RunError> {
    let origin = if project { Origin::Project } else { Origin::User };
    let sources = if files.is_empty() {
        let mut sources = in_force(place)?;
        let mut more = profile::own_files(place)?;
        more.retain(|path| is(path, "toml"));
        sources.extend(read_files(more.iter().map(PathBuf::as_path), Origin::User)?);
        sources.extend(of_project(place)?);
        sources
    } else {
        read_files(files.iter().map(FilePath::as_path), origin)?
    };
    let checked = |source: Source| Checked { path: FilePath::from(source.path.as_path()), fault: source.fault() };
    Ok(sources.into_iter().map(checked).collect())
}

/// What the project at `place` says, held to what it may: more once it is trusted.
fn of_project(place: &Place) -> Result<Vec<Source>, RunError> {
    let Some(project) = Project::read(place.workspace.as_path())? else { return Ok(Vec::new()) };
    let trusted = Trust::load(&place.home)?.holds(&project);
    let origin = if trusted { Origin::User } else { Origin::Project };
    let dir = place.workspace.as_path().join(profile::PROJECT_DIR);
    let own = |name: &&str| [".cedar", ".toml"].iter().any(|end| name.ends_with(end));
    let files: Vec<PathBuf> = project.names().filter(own).map(|name| dir.join(name)).collect();
    read_files(files.iter().map(PathBuf::as_path), origin)
}

pub(crate) struct Source {
    path: PathBuf,
    name: String,
    origin: Origin,
    text: String,
}

impl Source {
    /// The first thing that is wrong.
    fn fault(&self) -> Option<PolicyError> {
        if self.name.ends_with(".test.toml") {
            return Cases::parse(&self.name, &self.text).err();
        }
        if !is(&self.path, "toml") {
            return policy::lint(&self.layer()).err();
        }
        let whose = if self.origin == Origin::Project { Whose::Project } else { Whose::Own };
        let profile = match Profile::parse(&self.name, &self.text, whose) {
            Ok(profile) => profile,
            Err(fault) => return Some(fault),
        };
        let rules = profile.rules_in_place();
        let layer = Layer { name: &self.name, origin: self.origin, text: &rules };
        if profile.rules.is_empty() { None } else { policy::lint(&layer).err() }
    }

    fn layer(&self) -> Layer<'_> {
        Layer { name: &self.name, origin: self.origin, text: &self.text }
    }
}

/// Every `*.cedar` file of `dir` in the order of names. A directory that does not exist holds none.
fn read(dir: &Path, origin: Origin) -> Result<Vec<Source>, RunError> {
    let files = entries(dir)?.into_iter().filter(|path| is(path, "cedar"));
    let files: Vec<PathBuf> = files.collect();
    read_files(files.iter().map(PathBuf::as_path), origin)
}

/// Whether a file's name ends so.
pub(crate) fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|own| own == extension)
}

/// What is in a directory, in the order of names. One that does not exist holds nothing.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>, RunError> {
    let failed = |source| RunError::PolicyFile { path: FilePath::from(dir), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(failed)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(failed)?.path());
    }
    files.sort();
    Ok(files)
}

fn read_files<'p>(paths: impl Iterator<Item = &'p Path>, origin: Origin) -> Result<Vec<Source>, RunError> {
    let read = |path: &Path| match fs::read_to_string(path) {
        Ok(text) => Ok(Source { path: path.to_owned(), name: FilePath::from(path).to_string(), origin, text }),
        Err(source) => Err(RunError::PolicyFile { path: FilePath::from(path), source }),
    };
    paths.map(read).collect()
}
