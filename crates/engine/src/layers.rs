//! Which policy files hold: the built-in one, the user's, the organisation's.

use crate::error::RunError;
use crate::host::config_dir;
use model::{FilePath, Place};
use policy::{Layer, Origin, Policy};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// An organisation's policies; its forbids win over everything.
const ORGANISATION: &str = "/etc/belljar/policies";

/// The policy that holds at `place`.
pub(crate) fn load(place: &Place) -> Result<Policy, RunError> {
    let user = config_dir(&place.home).join("policies");
    let mut sources = read(&user, Origin::User)?;
    sources.append(&mut read(Path::new(ORGANISATION), Origin::Organisation)?);
    if sources.is_empty() {
        return Ok(Policy::builtin()?);
    }
    let layers: Vec<Layer<'_>> = sources.iter().map(Source::layer).collect();
    Ok(Policy::layered(&layers)?)
}

struct Source {
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
    let read = |path: PathBuf| match fs::read_to_string(&path) {
        Ok(text) => Ok(Source { name: FilePath::from(path).to_string(), origin, text }),
        Err(source) => Err(failed(&path, source)),
    };
    files.into_iter().map(read).collect()
}
