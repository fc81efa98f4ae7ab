//! Words of profiles: named confinements with rules.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How the changes of a run are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Apply {
    /// Ask the person, if there is one; else leave them.
    Ask,
    /// Apply what the policy calls harmless, hold the rest.
    Auto,
    /// Apply all but what needs a person.
    Always,
    /// Leave them.
    Never,
    /// Throw them away.
    Discard,
}

impl Apply {
    /// The word for it in options and files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Apply::Ask => "ask",
            Apply::Auto => "auto",
            Apply::Always => "always",
            Apply::Never => "never",
            Apply::Discard => "discard",
        }
    }
}

/// What the caller wishes to keep the overlays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendWish {
    /// The kernel where nothing is lost by it, else FUSE.
    #[default]
    Auto,
    /// FUSE for every root.
    Fuse,
    /// The kernel for every root but the home, whose secrets only FUSE hides; an error where it cannot be had.
    Kernel,
}

impl BackendWish {
    /// The word for it in options and files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            BackendWish::Auto => "auto",
            BackendWish::Fuse => "fuse",
            BackendWish::Kernel => "kernel",
        }
    }
}

/// What a command may do with a directory. The order is the order of strictness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Change a copy of it.
    #[default]
    Copy,
    /// Read it.
    ReadOnly,
    /// Nothing: it is empty, but for the workspace where that lies inside.
    Hidden,
}

impl Access {
    /// The word for it in files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Access::Copy => "copy",
            Access::ReadOnly => "read-only",
            Access::Hidden => "hidden",
        }
    }
}

/// Which variables of the caller pass without being named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvBase {
    /// All that are known to be harmless.
    #[default]
    Usual,
    /// Who and where, terminal and language.
    Basic,
}

impl EnvBase {
    /// The word for it in files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            EnvBase::Usual => "usual",
            EnvBase::Basic => "basic",
        }
    }
}

/// Where a profile comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProfileOrigin {
    /// It is part of Belljar.
    Shipped,
    /// The user's directory of profiles.
    User,
    /// The organisation's.
    Organisation,
    /// A project's own.
    Project,
    /// A file that was named.
    File,
}

impl fmt::Display for ProfileOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProfileOrigin::Shipped => "shipped",
            ProfileOrigin::User => "user",
            ProfileOrigin::Organisation => "organisation",
            ProfileOrigin::Project => "project",
            ProfileOrigin::File => "file",
        })
    }
}

/// Which profile a command ran under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileId {
    /// As it was asked for: a name, or the path of a file.
    pub name: String,
    /// Where it was found.
    pub origin: ProfileOrigin,
    /// SHA-256 of its file, hexadecimal.
    pub digest: String,
    /// What a project's own profile took part in it, by the digest of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectPart>,
}

/// The part of a project in a profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectPart {
    /// SHA-256 of all files of its `.belljar/`.
    pub digest: String,
    /// Whether the user trusts it; if not, it only tightens.
    pub trusted: bool,
    /// What it asks for and was not given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}
