//! Trials: one command's run in a jar.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Name of a trial: lower-case letters, digits and `-`, sortable by time of creation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrialId(pub String);

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the child ended, as wait(2) tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "lowercase")]
pub enum Exit {
    /// Exit status 0 to 255.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
}

/// Where a trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrialState {
    /// The command is running, or Belljar was killed while it ran.
    Running,
    /// It ended; its changes wait for a decision.
    Pending,
    /// An apply was begun and not finished; `apply` resumes it.
    Applying,
    /// All or the chosen changes are real.
    Applied,
    /// An undo was begun and not finished; `undo` resumes it.
    Undoing,
    /// Its changes are gone.
    Discarded,
    /// A jar in which nothing waits; the next command goes on in it.
    Empty,
}
