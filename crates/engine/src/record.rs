//! What is remembered of a trial: one JSON document in its directory.

use crate::choice::Begun;
use crate::profile::RulesText;
use model::{
    Analysis, Assessment, Attempt, Connection, Containment, Decision, Exit, FilePath, Limit, Limits, NetRule, Place,
    ProfileId, TrialId, TrialState, Usage, Used, WritableRoot,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What is remembered of a trial besides its layers. Everything later commands need to enter the journey at freeze.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// Layout of this record; 1.
    pub version: u32,
    /// Name.
    pub id: TrialId,
    /// The command, word by word.
    pub argv: Vec<FilePath>,
    /// Where it ran.
    pub place: Place,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// Where it stands.
    pub state: TrialState,
    /// The overlays, in the order of their directories.
    pub roots: Vec<WritableRoot>,
    /// What was predicted.
    pub analysis: Analysis,
    /// How risky it was judged.
    pub assessment: Assessment,
    /// What the policy said.
    pub decision: Decision,
    /// How it ended; `None` while it runs or when Belljar was killed.
    pub exit: Option<Exit>,
    /// Wall time of the command, milliseconds.
    pub wall_ms: Option<u64>,
    /// What held it.
    pub containment: Containment,
    /// What it tried and was refused.
    pub attempts: Vec<Attempt>,
    /// Whom it might reach over the network.
    #[serde(default)]
    pub allow_net: Vec<NetRule>,
    /// Whom it reached.
    #[serde(default)]
    pub connections: Vec<Connection>,
    /// Names of variables that were withheld.
    pub env_withheld: Vec<String>,
    /// Secrets that it was shown because somebody asked for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<FilePath>,
    /// The choice that an apply was begun with; kept until it is done, so that it can be resumed.
    pub applying: Option<Begun>,
    /// Changes made real so far, and not undone.
    pub applied: u64,
    /// When the last of them became real, in milliseconds since the epoch.
    #[serde(default)]
    pub applied_ms: Option<u64>,
    /// Name of the jar it is; `None` for a trial of one command.
    #[serde(default)]
    pub jar: Option<JarName>,
    /// Which lines beside it belong to it, see `runs.rs`.
    #[serde(default, skip_serializing_if = "is_first")]
    pub(crate) log: u64,
    /// The commands of the jar, oldest first; what stands above tells of the last one.
    #[serde(default)]
    pub runs: Vec<JarRun>,
    /// The command before which a rewind goes that was begun and not finished.
    #[serde(default)]
    pub rewinding: Option<u64>,
    /// Why it is not on record who made some of the changes.
    #[serde(default)]
    pub unattributed: Option<String>,
    /// What it may take.
    #[serde(default)]
    pub limits: Limits,
    /// What of that it met: some of its writes were refused.
    #[serde(default)]
    pub limits_hit: Vec<Limit>,
    /// What the last command took, where the kernel counted it.
    #[serde(default)]
    pub usage: Option<Usage>,
    /// The profile it ran under.
    #[serde(default)]
    pub profile: Option<ProfileId>,
    /// What it took, where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Used>,
    /// The rules of profiles and the project that its changes are judged by, whatever becomes of their files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RulesText>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first(log: &u64) -> bool {
    *log == 0
}

/// Letters of an id: without look-alikes.
pub(crate) const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// How many it has.
pub(crate) const ID_CHARS: usize = 8;

/// Whether `word` could be the id of a trial.
pub(crate) fn is_id(word: &str) -> bool {
    word.len() == ID_CHARS && word.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// Longest name of a jar, in letters.
pub const JAR_NAME_MAX: usize = 64;

/// Name of a jar: letters, digits, `-` and `_`, a letter first, and nothing that could be a trial's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JarName(String);

impl JarName {
    /// The name as typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JarName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<JarName, &'static str> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match name.chars().next() {
            None => Err("it is empty"),
            Some(first) if !first.is_ascii_alphabetic() => Err("it must begin with a letter"),
            Some(_) if !name.chars().all(plain) => Err("it may have letters, digits, `-` and `_` only"),
            Some(_) if name.len() > JAR_NAME_MAX => Err("it is longer than 64 letters"),
            Some(_) if is_id(name) => Err("it looks like a trial's id; add a `-` or another letter"),
            Some(_) => Ok(JarName(name.to_owned())),
        }
    }
}

impl TryFrom<String> for JarName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<JarName, &'static str> {
        name.parse()
    }
}

impl From<JarName> for String {
    fn from(name: JarName) -> String {
        name.0
    }
}

impl fmt::Display for JarName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One command of a jar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JarRun {
    /// 1, 2, 3 ...; the checkpoint before it is called the same.
    pub number: u64,
    /// The command, word by word.
    pub argv: Vec<FilePath>,
    /// Where.
    pub cwd: FilePath,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// What was predicted.
    pub analysis: Analysis,
    /// How risky it was judged.
    pub assessment: Assessment,
    /// What the policy said.
    pub decision: Decision,
    /// How it ended; `None` while it runs or when Belljar was killed.
    pub exit: Option<Exit>,
    /// Wall time, milliseconds.
    pub wall_ms: Option<u64>,
    /// What held it.
    pub containment: Containment,
    /// What it tried and was refused.
    pub attempts: Vec<Attempt>,
    /// Whom it might reach over the network.
    #[serde(default)]
    pub allow_net: Vec<NetRule>,
    /// Whom it reached.
    #[serde(default)]
    pub connections: Vec<Connection>,
    /// Names of variables that were withheld.
    pub env_withheld: Vec<String>,
    /// The profile it ran under.
    #[serde(default)]
    pub profile: Option<ProfileId>,
    /// The checkpoint before it in each layer; none when an apply ended it.
    pub checkpoints: Vec<u64>,
    /// Nothing of it waits any more: all that waited then is real.
    pub applied: bool,
}

#[cfg(test)]
mod tests {
    use super::JarName;

    #[test]
    fn names_of_jars() {
        let long = "a".repeat(64);
        for name in ["a", "work", "front-end_2", "Z", long.as_str(), "frontend", "abcdefgh-"] {
            assert_eq!(name.parse::<JarName>().map(String::from), Ok(name.to_owned()));
        }
        let too_long = "a".repeat(65);
        // The last two could be ids of trials.
        let wrong = ["", "-a", "1a", "_a", "a/b", "..", ".a", "a b", "a\n", "é", &too_long, "abcdefgh", "backends"];
        for name in wrong {
            assert!(name.parse::<JarName>().is_err(), "{name:?}");
        }
    }
}
