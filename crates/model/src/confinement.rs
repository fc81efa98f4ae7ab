//! What is asked for: the jar as a description, before any of it is enforced.

use crate::{FilePath, NetRule};
use serde::{Deserialize, Serialize};

/// Why a root is writable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootKind {
    /// The project the command works on.
    Workspace,
    /// The user's home: caches and settings; most changes there are unexpected.
    Home,
    /// Declared with `--write`.
    Declared,
}

/// A directory whose changes go to a copy-on-write overlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritableRoot {
    /// Absolute, symbolic links resolved.
    pub path: FilePath,
    /// Why.
    pub kind: RootKind,
}

/// A path the jar must not show. Inside a writable root the overlay leaves it out; elsewhere the view covers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    /// Absolute. It need not exist.
    pub path: FilePath,
    /// The rule that hides it, for example `secrets/aws`.
    pub rule: String,
}

/// What of the network exists inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Network {
    /// Only the jar's own loopback.
    None,
    /// Besides that, these peers.
    Named {
        /// Whom; not empty.
        allow: Vec<NetRule>,
    },
}

impl Network {
    /// The permissions.
    #[must_use]
    pub fn rules(&self) -> &[NetRule] {
        match self {
            Network::None => &[],
            Network::Named { allow } => allow,
        }
    }
}

/// One variable of the environment handed to the child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Raw name bytes in the path escape.
    pub name: FilePath,
    /// Raw value bytes in the path escape.
    pub value: FilePath,
}

/// The whole jar, as asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Outer roots before the roots inside them.
    pub roots: Vec<WritableRoot>,
    /// Never visible.
    pub hidden: Vec<Hidden>,
    /// Where names alone hide nothing, with all below: where the command works, and what was asked for.
    #[serde(default)]
    pub shown: Vec<FilePath>,
    /// Network view.
    pub network: Network,
    /// The child's whole environment.
    pub env: Vec<EnvVar>,
    /// Names of variables of the caller that were withheld; values are never recorded.
    pub env_withheld: Vec<String>,
    /// The child's working directory.
    pub cwd: FilePath,
}

impl Confinement {
    /// Nothing is written, hidden or reached, and the environment is empty.
    #[must_use]
    pub fn closed(cwd: FilePath) -> Confinement {
        Confinement {
            roots: Vec::new(),
            hidden: Vec::new(),
            shown: Vec::new(),
            network: Network::None,
            env: Vec::new(),
            env_withheld: Vec::new(),
            cwd,
        }
    }
}
