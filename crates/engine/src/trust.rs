//! Trust in projects: what a project says in its `.belljar/` may only tighten, until the user has looked at it and said
//! that it may more. Trust is in the content: any change ends it.

use crate::error::RunError;
use crate::host::config_dir;
use crate::profile::{PROJECT_DIR, ProfileError};
use crate::replace::replace;
use model::{FilePath, Place, hex};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The most files a project's directory has, and bytes in each.
const FILES_MAX: usize = 256;
const FILE_BYTES_MAX: u64 = 1 << 20;
const DEPTH_MAX: usize = 4;

/// All that a project says of itself, read once: what was looked at is what holds.
#[derive(Clone, Debug)]
pub struct Project {
    /// The workspace.
    pub path: FilePath,
    /// SHA-256 over the names and contents of all files, hexadecimal.
    pub digest: String,
    /// By path below `.belljar/`.
    files: BTreeMap<String, Vec<u8>>,
}

impl Project {
    /// What the project at `workspace` says; `None` where it says nothing.
    ///
    /// # Errors
    /// When something there is neither a plain file nor a directory, too large, too deep or one of too many.
    pub fn read(workspace: &Path) -> Result<Option<Project>, RunError> {
        let dir = workspace.join(PROJECT_DIR);
        match fs::symlink_metadata(&dir) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(wrong(&dir, &error.to_string())),
            Ok(meta) if !meta.is_dir() => return Err(wrong(&dir, "it is no directory")),
            Ok(_) => {}
        }
        let mut files = BTreeMap::new();
        walk(&dir, "", DEPTH_MAX, &mut files)?;
        let mut hash = Sha256::new();
        for (name, content) in &files {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update((content.len() as u64).to_le_bytes());
            hash.update(content);
        }
        let digest = hex(&hash.finalize());
        Ok(Some(Project { path: FilePath::from(workspace), digest, files }))
    }

    /// The file of this name.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, RunError> {
        let read = |bytes: &'_ Vec<u8>| std::str::from_utf8(bytes).is_ok();
        match self.files.get(name) {
            None => Ok(None),
            Some(bytes) if read(bytes) => Ok(std::str::from_utf8(bytes).ok()),
            Some(_) => Err(wrong(&self.path.as_path().join(PROJECT_DIR).join(name), "it is not UTF-8")),
        }
    }

    /// Names of all files, below `.belljar/`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The files of rules, in the order of names.
    pub(crate) fn policies(&self) -> Result<Vec<(&str, &str)>, RunError> {
        let rules = self.names().filter(|name| name.starts_with("policies/") && name.ends_with(".cedar"));
        rules.map(|name| Ok((name, self.text(name)?.unwrap_or_default()))).collect()
    }
}

fn wrong(path: &Path, why: &str) -> RunError {
    ProfileError::Project { path: FilePath::from(path), why: why.to_owned() }.into()
}

fn walk(dir: &Path, below: &str, depth: usize, files: &mut BTreeMap<String, Vec<u8>>) -> Result<(), RunError> {
    let failed = |path: &Path, error: &io::Error| wrong(path, &error.to_string());
    if depth == 0 {
        return Err(wrong(dir, "it lies too deep"));
    }
    for entry in fs::read_dir(dir).map_err(|error| failed(dir, &error))? {
        let path = entry.map_err(|error| failed(dir, &error))?.path();
        let name =
            path.file_name().and_then(|name| name.to_str()).ok_or_else(|| wrong(&path, "its name is not UTF-8"))?;
        let name = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let meta = fs::symlink_metadata(&path).map_err(|error| failed(&path, &error))?;
        if meta.is_dir() {
            walk(&path, &name, depth - 1, files)?;
        } else if meta.is_file() {
            files.insert(name, content(&path).map_err(|error| failed(&path, &error))?);
        } else {
            return Err(wrong(&path, "it is neither a file nor a directory"));
        }
        if files.len() > FILES_MAX {
            return Err(wrong(dir, "it has too many files"));
        }
    }
    Ok(())
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits()).open(path)?;
    let mut bytes = Vec::new();
    if file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)? as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("it is too large"));
    }
    Ok(bytes)
}

/// One project that is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trusted {
    /// Its workspace.
    pub path: FilePath,
    /// What it said then.
    pub digest: String,
    /// When, in milliseconds since the epoch.
    pub since_ms: u64,
}

/// The list on disk.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    version: u32,
    projects: Vec<Trusted>,
}

/// The user's trusted projects.
#[derive(Debug)]
pub struct Trust {
    path: PathBuf,
    projects: Vec<Trusted>,
}

/// Layout of the list.
const VERSION: u32 = 1;

impl Trust {
    /// Reads the list, in the user's configuration.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn load(home: &FilePath) -> Result<Trust, RunError> {
        let path = config_dir(home).join("trusted.json");
        let failed = |source| ProfileError::Trust { path: FilePath::from(path.as_path()), source };
        let projects = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error).into()),
            Ok(bytes) => {
                let list: List = serde_json::from_slice(&bytes).map_err(|error| failed(error.into()))?;
                if list.version != VERSION {
                    return Err(failed(io::Error::other("another version of Belljar wrote it")).into());
                }
                list.projects
            }
        };
        Ok(Trust { path, projects })
    }

    /// Whether the project is trusted as it stands.
    #[must_use]
    pub fn holds(&self, project: &Project) -> bool {
        self.projects.iter().any(|trusted| trusted.path == project.path && trusted.digest == project.digest)
    }

    /// All of them, by path.
    #[must_use]
    pub fn all(&self) -> &[Trusted] {
        &self.projects
    }

    /// Trusts a project as it stands.
    ///
    /// # Errors
    /// When the list cannot be written; nothing changed then.
    pub fn add(&mut self, project: &Project) -> Result<(), RunError> {
        self.projects.retain(|trusted| trusted.path != project.path);
        let since_ms = crate::audit::now_ms();
        self.projects.push(Trusted { path: project.path.clone(), digest: project.digest.clone(), since_ms });
        self.projects.sort_by(|a, b| a.path.cmp(&b.path));
        self.save()
    }

    /// Trusts it no more. False when it was not trusted.
    ///
    /// # Errors
    /// When the list cannot be written; nothing changed then.
    pub fn revoke(&mut self, path: &FilePath) -> Result<bool, RunError> {
        let before = self.projects.len();
        self.projects.retain(|trusted| trusted.path != *path);
        if self.projects.len() == before {
            return Ok(false);
        }
        self.save().map(|()| true)
    }

    fn save(&self) -> Result<(), RunError> {
        let failed = |source| RunError::from(ProfileError::Trust { path: FilePath::from(self.path.as_path()), source });
        let list = List { version: VERSION, projects: self.projects.clone() };
        let text = serde_json::to_vec_pretty(&list).map_err(|error| failed(error.into()))?;
        replace(&self.path, &text).map_err(failed)
    }
}

/// The project at `place`, which must say something.
///
/// # Errors
/// When it says nothing, or nothing that can be read.
pub fn project(place: &Place) -> Result<Project, RunError> {
    let path = place.workspace.clone();
    Project::read(place.workspace.as_path())?.ok_or_else(|| ProfileError::Nothing { path }.into())
}
