//! Which profile holds: the one that was asked for, found by name or path, and over it what the project asks for.

use crate::digest;
use crate::error::RunError;
use crate::host::config_dir;
use crate::trust::{Project, Trust};
use model::{FilePath, Place, ProfileId, ProfileOrigin, ProjectPart};
use policy::profile::{SHIPPED, Whose, shipped};
use policy::{Origin, Profile};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// An organisation's profiles: found before everybody else's.
const ORGANISATION: &str = "/etc/belljar/profiles";
/// Where a project keeps what it has to say.
pub const PROJECT_DIR: &str = ".belljar";

/// The profile that holds without a word.
pub const DEFAULT: &str = "workspace";

/// Why there is no such profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// None has this name.
    #[error("there is no profile {name}")]
    NotFound {
        /// As it was asked for, escaped.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// It can be no name.
    #[error("{name} is no name of a profile")]
    Name {
        /// As it was asked for, escaped.
        name: String,
    },
    /// A directory that it wants to be written is not there.
    #[error("make {path} writable, as the profile {profile} says")]
    Absent {
        /// The profile, escaped.
        profile: String,
        /// The directory.
        path: FilePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What a project says of itself cannot be taken.
    #[error("read the project's {path}: {why}")]
    Project {
        /// What of it.
        path: FilePath,
        /// Why not.
        why: String,
    },
    /// The list of trusted projects cannot be read or written.
    #[error("keep the list of trusted projects {path}")]
    Trust {
        /// The list.
        path: FilePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is nothing that could be trusted.
    #[error("trust {path}: it has no {PROJECT_DIR}/")]
    Nothing {
        /// The project.
        path: FilePath,
    },
}

impl ProfileError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            ProfileError::NotFound { known, .. } => {
                format!("there are {}; a path of a file must have a / in it or end in .toml", known.join(", "))
            }
            ProfileError::Name { .. } => {
                "letters, digits, `-`, `_` and `.`; or the path of a file, with a / in it".into()
            }
            ProfileError::Absent { .. } => "make the directory, or take it out of the profile".into(),
            ProfileError::Project { .. } => {
                format!(
                    "{PROJECT_DIR}/ holds plain files and directories, a few and small; nothing runs under half a profile"
                )
            }
            ProfileError::Trust { .. } => "it must be a file that you may read and write".into(),
            ProfileError::Nothing { .. } => format!("only what a project says in its {PROJECT_DIR}/ can be trusted"),
        }
    }
}

/// Rules that hold besides those of the layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesText {
    /// Stands in front of the ids of its rules.
    pub name: String,
    /// Whether they may permit.
    pub may_permit: bool,
    /// Cedar.
    pub text: String,
}

impl RulesText {
    pub(crate) fn layer(&self) -> policy::Layer<'_> {
        let origin = if self.may_permit { Origin::User } else { Origin::Project };
        policy::Layer { name: &self.name, origin, text: &self.text }
    }
}

/// A profile, ready to be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says, with what the project adds or tightens.
    pub profile: Profile,
    /// Which it is.
    pub id: ProfileId,
    /// Its rules and the project's.
    pub rules: Vec<RulesText>,
}

/// The text of a profile, and where it was found.
struct Found {
    text: String,
    origin: ProfileOrigin,
    /// For errors: a path, or the name of a shipped one.
    called: String,
}

/// Finds the profile `wanted` (a name, or a path with a `/` or ending in `.toml`) for a command at `place`, and puts what
/// the project there says over it. The default one costs three looks at names that are most often not there.
///
/// # Errors
/// When it is not there, cannot be read or is wrong: nothing runs under half a profile.
pub fn load(place: &Place, wanted: Option<&str>) -> Result<Loaded, RunError> {
    let name = wanted.unwrap_or(DEFAULT);
    let project = Project::read(place.workspace.as_path())?;
    let trusted = match &project {
        None => false,
        Some(project) => Trust::load(&place.home)?.holds(project),
    };
    let found = find(place, name, project.as_ref())?;
    let digest = digest::sha256(&found.text);
    let mut loaded = match found.origin {
        // Its text reads as this value, which a test holds.
        ProfileOrigin::Shipped if name == DEFAULT => Loaded {
            profile: Profile::default(),
            id: ProfileId { name: name.to_owned(), origin: found.origin, digest, project: None },
            rules: Vec::new(),
        },
        _ => chosen(name, &found, digest, trusted)?,
    };
    if let Some(project) = &project {
        add_project(&mut loaded, project, trusted)?;
    }
    Ok(loaded)
}

/// A profile by itself, without what the project here says over it; its errors and its rules name it as `called`.
pub(crate) fn alone(place: &Place, name: &str) -> Result<(Profile, Vec<RulesText>), RunError> {
    let project = Project::read(place.workspace.as_path())?;
    let found = find(place, name, project.as_ref())?;
    let whose = if found.origin == ProfileOrigin::Project { Whose::Project } else { Whose::Own };
    let parsed = Profile::parse(&found.called, &found.text, whose)?;
    let rules = rules_of(&found.called, name, &parsed, whose == Whose::Own);
    Ok((parsed, rules))
}

fn chosen(name: &str, found: &Found, digest: String, trusted: bool) -> Result<Loaded, RunError> {
    let (origin, own) = (found.origin, found.origin != ProfileOrigin::Project);
    let parsed = Profile::parse(&found.called, &found.text, if own { Whose::Own } else { Whose::Project })?;
    let rules = rules_of(&found.called, name, &parsed, own || trusted);
    let id = ProfileId { name: name.to_owned(), origin, digest, project: None };
    if own {
        return Ok(Loaded { profile: parsed, id, rules });
    }
    let (profile, refused) = Profile::default().with_project(&parsed, trusted);
    // The digest of the whole is filled in with what the project says besides.
    let project = Some(ProjectPart { digest: String::new(), trusted, refused });
    Ok(Loaded { profile, id: ProfileId { project, ..id }, rules })
}

fn rules_of(called: &str, name: &str, profile: &Profile, may_permit: bool) -> Vec<RulesText> {
    let layer = if called.contains('/') { called } else { name };
    let text = profile.rules_in_place();
    if profile.rules.is_empty() { Vec::new() } else { vec![RulesText { name: layer.to_owned(), may_permit, text }] }
}

/// `.belljar/profile.toml` and `.belljar/policies/*.cedar`, which hold whatever was asked for.
fn add_project(loaded: &mut Loaded, project: &Project, trusted: bool) -> Result<(), RunError> {
    let mut part = ProjectPart { digest: project.digest.clone(), trusted, refused: Vec::new() };
    part.refused.extend(loaded.id.project.take().map(|part| part.refused).unwrap_or_default());
    let own = format!("{PROJECT_DIR}/profile.toml");
    if let Some(text) = project.text("profile.toml")? {
        let parsed = Profile::parse(&own, text, Whose::Project)?;
        let (profile, refused) = loaded.profile.with_project(&parsed, trusted);
        loaded.profile = profile;
        part.refused.extend(refused);
        loaded.rules.extend(rules_of(&own, &own, &parsed, trusted));
    }
    for (path, text) in project.policies()? {
        let name = format!("{PROJECT_DIR}/{path}");
        loaded.rules.push(RulesText { name, may_permit: trusted, text: text.to_owned() });
    }
    loaded.id.project = Some(part);
    Ok(())
}

fn find(place: &Place, name: &str, project: Option<&Project>) -> Result<Found, RunError> {
    if name.contains('/') || name.ends_with(".toml") {
        return by_path(place, name, project);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(ProfileError::Name { name: model::escape::text(name) }.into());
    }
    let file = format!("{name}.toml");
    for (dir, origin) in own_dirs(place) {
        let path = dir.join(&file);
        if let Some(text) = read_if_there(&path)? {
            return Ok(Found { text, origin, called: FilePath::from(path.as_path()).to_string() });
        }
    }
    if let Some(shipped) = shipped(name) {
        return Ok(Found { text: shipped.text.to_owned(), origin: ProfileOrigin::Shipped, called: name.to_owned() });
    }
    let below = format!("profiles/{file}");
    match project.map(|project| project.text(&below)).transpose()?.flatten() {
        Some(text) => Ok(Found {
            text: text.to_owned(),
            origin: ProfileOrigin::Project,
            called: format!("{PROJECT_DIR}/{below}"),
        }),
        None => Err(ProfileError::NotFound { name: model::escape::text(name), known: names(place, project) }.into()),
    }
}

/// A file that was named is the choice of whoever named it, unless it is the project's own.
fn by_path(place: &Place, name: &str, project: Option<&Project>) -> Result<Found, RunError> {
    let path = place.cwd.as_path().join(name);
    let unreadable = |source| RunError::ProfileFile { path: FilePath::from(path.as_path()), source };
    let real = path.canonicalize().map_err(unreadable)?;
    let called = FilePath::from(Path::new(name)).to_string();
    let own = place.workspace.as_path().join(PROJECT_DIR);
    if let Ok(below) = real.strip_prefix(&own) {
        let text = project.map(|project| project.text(&below.to_string_lossy())).transpose()?.flatten();
        let text = text.ok_or_else(|| unreadable(io::ErrorKind::NotFound.into()))?;
        return Ok(Found { text: text.to_owned(), origin: ProfileOrigin::Project, called });
    }
    let text = fs::read_to_string(&real).map_err(unreadable)?;
    Ok(Found { text, origin: ProfileOrigin::File, called })
}

fn own_dirs(place: &Place) -> [(PathBuf, ProfileOrigin); 2] {
    let user = config_dir(&place.home).join("profiles");
    [(PathBuf::from(ORGANISATION), ProfileOrigin::Organisation), (user, ProfileOrigin::User)]
}

/// Names of all profiles that can be asked for here.
fn names(place: &Place, project: Option<&Project>) -> Vec<String> {
    let mut names: Vec<String> = SHIPPED.iter().map(|shipped| shipped.name.to_owned()).collect();
    for (dir, _) in own_dirs(place) {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        names.extend(entries.filter_map(|entry| profile_name(&entry.file_name().to_string_lossy())));
    }
    let own = project.into_iter().flat_map(Project::names);
    names.extend(own.filter_map(|path| profile_name(path.strip_prefix("profiles/")?)));
    names.sort();
    names.dedup();
    names
}

fn profile_name(file: &str) -> Option<String> {
    let name = file.strip_suffix(".toml").filter(|name| !name.ends_with(".test") && !name.contains('/'))?;
    Some(model::escape::text(name))
}

/// Every profile and policy file that can hold at `place`, for those who check and test them.
pub(crate) fn own_files(place: &Place) -> Result<Vec<PathBuf>, RunError> {
    let mut files = Vec::new();
    for (dir, _) in own_dirs(place) {
        files.extend(crate::layers::entries(&dir)?);
    }
    Ok(files)
}

fn read_if_there(path: &Path) -> Result<Option<String>, RunError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(RunError::ProfileFile { path: FilePath::from(path), source }),
    }
}
