//! Choices: what is to become of a trial's changes, who says so, and how an apply that was begun remembers it.

use model::FilePath;
use overlay::Pick;
use serde::{Deserialize, Serialize};

/// What is to become of a trial's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Make all of them real.
    ApplyAll,
    /// Make these real (and what is below them); the rest waits.
    Apply(Vec<FilePath>),
    /// The same, in parts or with merging.
    Pick(Picked),
    /// Throw all of them away.
    Discard,
    /// Decide later.
    Leave,
}

/// A choice that goes into files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picked {
    /// Paths, and of text files perhaps only some hunks. None mean all changes.
    pub picks: Vec<Pick>,
    /// Merge text files that the host changed meanwhile.
    pub merge: bool,
}

/// The grants that answered, and for which changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uses {
    /// By name.
    pub grants: Vec<String>,
    /// Absolute.
    pub paths: Vec<FilePath>,
}

/// Who chose, which bounds what may become real.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chooser {
    /// A person who saw the change set, or who answered beforehand by name of the trial.
    Person,
    /// A mode given before the run (`--apply auto`, `--apply always`).
    Mode,
    /// A mode, and grants for what it would have left.
    Grants(Uses),
}

impl Chooser {
    /// In the words of the audit log.
    pub(crate) fn name(&self) -> String {
        match self {
            Chooser::Person => "person".to_owned(),
            Chooser::Mode => "policy".to_owned(),
            Chooser::Grants(uses) => format!("grant {}", uses.grants.join(", ")),
        }
    }

    pub(crate) fn uses(&self) -> Option<&Uses> {
        match self {
            Chooser::Grants(uses) => Some(uses),
            Chooser::Person | Chooser::Mode => None,
        }
    }
}

/// The choice an apply was begun with; kept on disk until it is done, so that going on makes real what was chosen and
/// nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Absolute; none, and no parts, mean all.
    pub(crate) paths: Vec<FilePath>,
    /// Files of which only some hunks were chosen.
    #[serde(default)]
    pub(crate) parts: Vec<PartBegun>,
    #[serde(default)]
    pub(crate) merge: bool,
    pub(crate) by: Chooser,
}

/// Hunks of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartBegun {
    pub(crate) path: FilePath,
    pub(crate) hunks: Vec<u32>,
    /// The host's file that they were counted in. When it is another one the hunks are real already, and the same
    /// numbers would mean others.
    pub(crate) of: Option<u64>,
}

impl Begun {
    pub(crate) fn new(paths: &[FilePath], by: Chooser) -> Begun {
        Begun { paths: paths.to_vec(), parts: Vec::new(), merge: false, by }
    }

    pub(crate) fn is_all(&self) -> bool {
        self.paths.is_empty() && self.parts.is_empty()
    }

    /// Every path that it concerns.
    pub(crate) fn named(&self) -> Vec<FilePath> {
        self.paths.iter().chain(self.parts.iter().map(|part| &part.path)).cloned().collect()
    }

    /// Whether `choice` is this one again.
    pub(crate) fn is(&self, choice: &Choice) -> bool {
        match choice {
            Choice::Apply(paths) => self.parts.is_empty() && *paths == self.paths,
            Choice::Pick(picked) if picked.picks.is_empty() => true,
            Choice::Pick(picked) => {
                let (whole, parts) = split(&picked.picks);
                let same = |(part, pick): (&PartBegun, &&Pick)| part.path == pick.path && part.hunks == pick.hunks;
                whole == self.paths && parts.len() == self.parts.len() && self.parts.iter().zip(&parts).all(same)
            }
            _ => true,
        }
    }
}

/// Whole paths, and those with hunks.
pub(crate) fn split(picks: &[Pick]) -> (Vec<FilePath>, Vec<&Pick>) {
    let (parts, whole): (Vec<&Pick>, Vec<&Pick>) = picks.iter().partition(|pick| !pick.hunks.is_empty());
    (whole.into_iter().map(|pick| pick.path.clone()).collect(), parts)
}
