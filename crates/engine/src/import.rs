//! Importing the rules of coding agents: which files they are of, and what their paths are relative to.

use crate::error::RunError;
use model::{FilePath, Place};
pub use policy::import::{Agent, Import, Imported, Kept};
use policy::import::{FILE_BYTES_MAX, Given};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Imports files of rules. Whose they are is told by `agent`, or else by how a name ends.
///
/// # Errors
/// When one cannot be read, or is not what it should be.
pub fn import(place: &Place, files: &[PathBuf], agent: Option<Agent>) -> Result<Import, RunError> {
    let mut read = Vec::new();
    for file in files {
        let path = place.cwd.as_path().join(file);
        let unreadable = |source| RunError::PolicyFile { path: FilePath::from(file.as_path()), source };
        let path = path.canonicalize().map_err(unreadable)?;
        let mut text = String::new();
        // One byte more than is taken: what is too long is told and not cut.
        let input = File::open(&path).map_err(unreadable)?.take(FILE_BYTES_MAX as u64 + 1);
        { input }.read_to_string(&mut text).map_err(unreadable)?;
        let name = FilePath::from(file.as_path()).to_string();
        let agent = agent.or_else(|| Agent::of(&name));
        let agent = agent.ok_or_else(|| {
            let kind = std::io::Error::other("whose rules these are is not told by its name");
            RunError::PolicyFile { path: FilePath::from(file.as_path()), source: kind }
        })?;
        let (project, base) = bases(place, &path);
        read.push((name, agent, text, project, base));
    }
    let exists = |path: &FilePath| path.as_path().symlink_metadata().is_ok();
    let given: Vec<Given<'_>> = read
        .iter()
        .map(|(name, agent, text, project, base)| Given {
            name,
            agent: *agent,
            text,
            home: &place.home,
            project: project.as_ref(),
            base,
            exists: &exists,
        })
        .collect();
    Ok(policy::import::import(&given)?)
}

/// The project whose rules a file has, if it is one's, and what paths with one slash in front are relative to. Settings in
/// the home hold everywhere, and their paths are relative to the directory they lie in.
fn bases(place: &Place, path: &Path) -> (Option<FilePath>, FilePath) {
    let dir = path.parent().unwrap_or(Path::new("/"));
    let above = dir.parent().filter(|_| dir.file_name().is_some_and(|name| name == ".claude"));
    match above {
        Some(project) if project != place.home.as_path() => (Some(project.into()), project.into()),
        _ => (None, dir.into()),
    }
}
