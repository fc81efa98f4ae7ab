//! The second door: a change set judged on facts.

use crate::{Effect, Risk};
use serde::{Deserialize, Serialize};

/// What the policy makes of a finished change set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Disposition {
    /// Harmless: may be applied without a person.
    Keep,
    /// A person decides.
    Ask,
    /// Never applied as it stands.
    Discard,
}

/// Something about one change that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// Index into the change set.
    pub change: usize,
    /// How dangerous.
    pub risk: Risk,
    /// The rule, for example `protected/git-hook`.
    pub rule: String,
    /// Plain words, lower case, no full stop; escaped.
    pub message: String,
}

/// One thing that the content of a change tells: a package, a script, a secret. The flag of the same change and rule sums
/// up all of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Index into the change set.
    pub change: usize,
    /// The rule, for example `lockfile/install-script`.
    pub rule: String,
    /// Which package, script, or kind of secret; escaped.
    pub name: String,
    /// Where in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What of it; escaped, and never the secret itself.
    pub message: String,
}

/// The judgement over one change set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// For the whole set: the strictest over its parts.
    pub disposition: Disposition,
    /// The tier of each change, by index into the change set.
    pub risks: Vec<Risk>,
    /// Red first.
    pub flags: Vec<Flag>,
    /// Observed effects that were not predicted.
    pub surprises: Vec<Effect>,
    /// Changes, by index, that a rule forbids until a person agrees, or for good: no mode given beforehand applies them,
    /// however small their risk.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<usize>,
    /// What the contents tell, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content: Vec<Found>,
}
