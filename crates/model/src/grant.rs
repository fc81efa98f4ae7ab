//! Grants: approvals that are remembered. A grant is for effects, never for the text of a command.

use crate::{Action, FilePath, Reversibility, Target, Tiers, TrialId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An effect that was granted: what is done to what, and how bad that was when a person agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Granted {
    /// What is done.
    pub action: Action,
    /// To what: a path that is absolute and normalised, a peer with its port, a program by name.
    pub target: Target,
    /// The least that could be taken back.
    pub reversibility: Reversibility,
    /// The highest risk.
    pub tiers: Tiers,
}

impl fmt::Display for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.target)
    }
}

/// Which question a grant answers. What was shown at one door says nothing about the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// Whether a command may run; its changes are reviewed all the same.
    #[default]
    Run,
    /// Whether changes that lie there become real.
    Review,
}

impl Door {
    /// Whether it is the first one, of which records on disk say nothing.
    #[must_use]
    pub fn is_run(&self) -> bool {
        *self == Door::Run
    }
}

/// Where a grant counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum GrantScope {
    /// In one jar.
    Jar {
        /// Its trial.
        trial: TrialId,
    },
    /// Where this is the workspace.
    Project {
        /// Symbolic links resolved.
        path: FilePath,
    },
    /// Everywhere.
    Always,
}

/// An approval that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its name.
    pub id: String,
    /// Which question it answers.
    #[serde(default, skip_serializing_if = "Door::is_run")]
    pub door: Door,
    /// What it is for.
    pub effects: Vec<Granted>,
    /// Where it counts.
    pub scope: GrantScope,
    /// When it was made, in milliseconds since the epoch.
    pub made_ms: u64,
    /// From when on it does not count any more; `None`: it ends with its jar.
    pub expires_ms: Option<u64>,
    /// Numeric id of the user who made it.
    pub uid: u32,
    /// The lines that the person was shown, escaped and without secrets.
    pub shown: Vec<String>,
}

impl Grant {
    /// Whether its time is over.
    #[must_use]
    pub fn expired(&self, now_ms: u64) -> bool {
        self.expires_ms.is_some_and(|expires| expires <= now_ms)
    }
}
