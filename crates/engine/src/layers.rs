//! Which policy files hold: the built-in one, the user's, the organisation's.

use crate::error::RunError;
use crate::host::config_dir;
use model::{FilePath, Place};
use policy::{Layer, Origin, Policy, PolicyError};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// An organisation's policies; its forbids win over everything.
const ORGANISATION: &str = "/etc/belljar/policies";

/// The policy that holds at `place`, and the digest by which the audit log names it.
pub(crate) fn load(place: &Place) -> Result<(Policy, String), RunError> {
    let sources = in_force(place)?;
    let digest = digest(&sources);
    if sources.is_empty() {
        return Ok((Policy::builtin()?, digest));
    }
    let layers: Vec<Layer<'_>> = sources.iter().map(Source::layer).collect();
    Ok((Policy::layered(&layers)?, digest))
}

/// SHA-256 over this version with its built-in rules and over every layer, each part with its length before it.
fn digest(sources: &[Source]) -> String {
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
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn in_force(place: &Place) -> Result<Vec<Source>, RunError> {
    let user = config_dir(&place.home).join("policies");
    let mut sources = read(&user, Origin::User)?;
    sources.append(&mut read(Path::new(ORGANISATION), Origin::Organisation)?);
    Ok(sources)
}

/// A policy file and what is wrong with it, if anything.
#[derive(Debug)]
pub struct Checked {
    /// The file.
    pub path: FilePath,
    /// The first fault, with line and column where it has them; it names the file.
    pub fault: Option<PolicyError>,
}

/// Checks policy files as loading them would, each for itself: syntax, schema, names of rules. `project` holds them to
/// what a project's own may say. Without `files`, those that hold at `place`.
///
/// # Errors
/// When one cannot be read.
pub fn check(place: &Place, files: &[FilePath], project: bool) -> Result<Vec<Checked>, RunError> {
    let origin = if project { Origin::Project } else { Origin::User };
    let sources =
        if files.is_empty() { in_force(place)? } else { read_files(files.iter().map(FilePath::as_path), origin)? };
    let checked = |source: Source| Checked {
        path: FilePath::from(source.path.as_path()),
        fault: Policy::layered(&[source.layer()]).err(),
    };
    Ok(sources.into_iter().map(checked).collect())
}

struct Source {
    path: PathBuf,
    name: String,
    origin: Origin,
    text: String,
}

impl Source {
    fn layer(&self) -> Layer<'_> {
        Layer { name: &self.name, origin: self.origin, text: &self.text }
    }
}

/// Every `*.cedar` file of `dir` in the order of names. A directory that does not exist holds none.
fn read(dir: &Path, origin: Origin) -> Result<Vec<Source>, RunError> {
    let failed = |path: &Path, source| RunError::PolicyFile { path: FilePath::from(path), source };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|source| failed(dir, source))?,
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in entries {
        files.push(entry.map_err(|source| failed(dir, source))?.path());
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "cedar"));
    files.sort();
    read_files(files.iter().map(PathBuf::as_path), origin)
}

fn read_files<'p>(paths: impl Iterator<Item = &'p Path>, origin: Origin) -> Result<Vec<Source>, RunError> {
    let read = |path: &Path| match fs::read_to_string(path) {
        Ok(text) => Ok(Source { path: path.to_owned(), name: FilePath::from(path).to_string(), origin, text }),
        Err(source) => Err(RunError::PolicyFile { path: FilePath::from(path), source }),
    };
    paths.map(read).collect()
}
