//! Decisions and the facts about the host they may use.

use crate::FilePath;
use serde::{Deserialize, Serialize};

/// What happens to a command before it runs. The order is the order of strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It runs.
    Allow,
    /// It runs if a person agrees.
    Ask,
    /// It does not run.
    Deny,
}

/// One rule that determined a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Because {
    /// What this rule makes of the effect.
    pub verdict: Verdict,
    /// Ids of the determining policies; empty means no rule permits it (default deny).
    pub rules: Vec<String>,
    /// What it is about, in plain words, escaped.
    pub about: String,
}

/// The strictest verdict over all effects, with what determined it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The strictest over `because`.
    pub verdict: Verdict,
    /// Strictest first.
    pub because: Vec<Because>,
}

/// What the pure floors may know about the host. Filled by the caller, never looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Working directory, absolute, symbolic links resolved.
    pub cwd: FilePath,
    /// The user's home, absolute, symbolic links resolved.
    pub home: FilePath,
    /// The enclosing git repository, else the working directory.
    pub workspace: FilePath,
    /// Where Belljar keeps trials and the audit log; never visible in a jar.
    pub state: FilePath,
    /// Numeric user id.
    pub uid: u32,
    /// Whether the command will run in a jar (contained and speculative).
    pub contained: bool,
}
