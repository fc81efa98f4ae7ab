//! Facts about the host that the pure floors need, read once at the edge.

use model::{FilePath, Place};
use nix::unistd::{Uid, User};
use std::env;
use std::io;
use std::path::{Path, PathBuf};

/// Why the place of a command cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// getcwd(3) failed.
    #[error("find the working directory")]
    WorkingDirectory(#[source] io::Error),
    /// Neither `HOME` nor passwd(5) names a directory.
    #[error("find the home directory{}", .tried.as_ref().map(|p| format!(" ({p})")).unwrap_or_default())]
    Home {
        /// What was tried.
        tried: Option<FilePath>,
        /// Why it did not do.
        #[source]
        source: io::Error,
    },
}

impl HostError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            HostError::WorkingDirectory(_) => "change to a directory that exists and that you may read".into(),
            HostError::Home { .. } => "set HOME to a directory that exists".into(),
        })
    }
}

/// Where a command would run, as the pure floors see it.
///
/// # Errors
/// When the working directory or the home directory cannot be found.
pub fn place(contained: bool) -> Result<Place, HostError> {
    let cwd = env::current_dir().and_then(|dir| dir.canonicalize()).map_err(HostError::WorkingDirectory)?;
    let home = home()?;
    Ok(Place {
        workspace: workspace(&cwd).into(),
        state: state_dir(&home).into(),
        cwd: cwd.into(),
        home: home.into(),
        uid: Uid::current().as_raw(),
        contained,
    })
}

/// `place` moved to another working directory, which need not exist here: a command may be judged for another machine.
#[must_use]
pub fn place_at(place: &Place, cwd: &Path) -> Place {
    let cwd = real(cwd);
    Place { workspace: workspace(&cwd).into(), cwd: cwd.into(), ..place.clone() }
}

/// `path` with the links on its way resolved, as far as it is there.
#[must_use]
pub fn real(path: &Path) -> PathBuf {
    let there = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let whole = there.map_or_else(
        || path.to_path_buf(),
        |(above, found)| found.join(path.strip_prefix(above).unwrap_or(Path::new(""))),
    );
    FilePath::from(whole).normalise().as_path().to_path_buf()
}

/// The caller's environment as it is.
#[must_use]
pub fn environment() -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    env::vars_os().collect()
}

/// The user's configuration directory, `$XDG_CONFIG_HOME/belljar`.
#[must_use]
pub fn config_dir(home: &FilePath) -> PathBuf {
    xdg("XDG_CONFIG_HOME", home.as_path(), ".config")
}

fn home() -> Result<PathBuf, HostError> {
    let from_env = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let from_passwd = || User::from_uid(Uid::current()).ok().flatten().map(|user| user.dir);
    let Some(home) = from_env.or_else(from_passwd) else {
        return Err(HostError::Home { tried: None, source: io::ErrorKind::NotFound.into() });
    };
    let failed = |source| HostError::Home { tried: Some(home.as_path().into()), source };
    let real = home.canonicalize().map_err(failed)?;
    if real.is_dir() { Ok(real) } else { Err(failed(io::ErrorKind::NotADirectory.into())) }
}

/// The nearest directory at or above `cwd` that holds a `.git`, else `cwd`.
fn workspace(cwd: &Path) -> PathBuf {
    let repository = cwd.ancestors().find(|dir| dir.join(".git").symlink_metadata().is_ok());
    repository.unwrap_or(cwd).to_path_buf()
}

/// `$XDG_STATE_HOME/belljar`, by the XDG base directory specification; a relative value is ignored, as it says. In a jar
/// that is hidden, and one that allows others inside has a place for their state.
fn state_dir(home: &Path) -> PathBuf {
    if let Some(inside) = sandbox::state_inside() {
        return inside.as_path().to_path_buf();
    }
    xdg("XDG_STATE_HOME", home, ".local/state")
}

fn xdg(variable: &str, home: &Path, default: &str) -> PathBuf {
    let set = env::var_os(variable).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let base = set.unwrap_or_else(|| home.join(default));
    // Resolved where it exists, so that a link on the way cannot show the state directory under a second name.
    base.canonicalize().unwrap_or(base).join("belljar")
}
