//! The doctor: what this machine can give a jar, and what earlier runs left behind.

use crate::store::{Broken, Listed, Store};
use crate::{RunError, StoreError};
use model::{FilePath, Place, TrialId, TrialState};
use sandbox::HostFacts;
use serde::Serialize;
use std::fmt;
use std::fs;

/// Everything the doctor found.
#[derive(Debug, Serialize)]
pub struct Checkup {
    /// What the kernel offers, probed for real.
    pub host: HostFacts,
    /// What earlier runs left.
    pub leftovers: Vec<Leftover>,
}

/// Something an earlier run left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Leftover {
    /// Belljar was killed while this trial ran; its changes are whole and wait.
    Interrupted {
        /// Which.
        trial: TrialId,
    },
    /// An apply was begun and not finished.
    HalfApplied {
        /// Which.
        trial: TrialId,
    },
    /// An undo was interrupted.
    HalfUndone {
        /// Which.
        trial: TrialId,
    },
    /// A discard was begun and not finished; `belljar trials` finishes it.
    HalfDiscarded {
        /// Which.
        trial: TrialId,
    },
    /// A directory in which nothing ever ran; `belljar trials` removes it.
    Empty {
        /// Where.
        path: FilePath,
    },
    /// A trial whose record cannot be read.
    Damaged {
        /// Which.
        trial: TrialId,
        /// What is wrong.
        error: String,
    },
    /// A control group of a jar whose Belljar was killed; the next run with such a limit removes it.
    Group {
        /// Where.
        path: FilePath,
    },
    /// A Belljar file system mounted in this mount namespace; jars mount only in their own.
    Mount {
        /// Where.
        path: FilePath,
    },
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Leftover::Interrupted { trial } => write!(f, "trial {trial} was interrupted; its changes wait"),
            Leftover::HalfApplied { trial } => write!(f, "trial {trial} is half applied"),
            Leftover::HalfUndone { trial } => write!(f, "trial {trial} is half undone"),
            Leftover::HalfDiscarded { trial } => write!(f, "trial {trial} is half discarded"),
            Leftover::Empty { path } => write!(f, "{path} is a trial in which nothing ever ran"),
            Leftover::Damaged { trial, error } => write!(f, "trial {trial} is damaged: {}", model::escape::text(error)),
            Leftover::Group { path } => write!(f, "{path} is an empty control group of a jar that is gone"),
            Leftover::Mount { path } => write!(f, "{path} is a belljar file system mounted outside any jar"),
        }
    }
}

impl Leftover {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Leftover::Interrupted { trial } => format!("belljar show {trial}, then apply or discard it"),
            Leftover::HalfApplied { trial } => format!("belljar apply {trial} goes on where it stopped"),
            Leftover::HalfUndone { trial } => format!("belljar undo {trial} goes on where it stopped"),
            Leftover::HalfDiscarded { .. } | Leftover::Empty { .. } => "belljar trials removes it".into(),
            Leftover::Damaged { trial, .. } => format!("belljar discard {trial} throws it away"),
            Leftover::Group { path } => {
                format!("the next run with a limit on processes, memory or time removes it; or: rmdir {path}")
            }
            Leftover::Mount { path } => format!("umount {path}"),
        }
    }
}

/// Looks at the machine and at the store.
///
/// # Errors
/// When the store cannot be read.
pub fn checkup(place: &Place) -> Result<Checkup, RunError> {
    Ok(Checkup { host: sandbox::probe(), leftovers: leftovers(&Store::new(place.state.as_path()))? })
}

/// What crashes left in the store and in this mount namespace.
///
/// # Errors
/// When the store cannot be read.
pub fn leftovers(store: &Store) -> Result<Vec<Leftover>, StoreError> {
    let (trials, broken) = store.list()?;
    let of_trials = trials.iter().filter(|listed| !listed.in_use).filter_map(of_trial);
    Ok(of_trials.chain(broken.into_iter().map(of_broken)).chain(mounts()).chain(groups()).collect())
}

fn of_trial(listed: &Listed) -> Option<Leftover> {
    let trial = listed.record.id.clone();
    match listed.record.state {
        TrialState::Running => Some(Leftover::Interrupted { trial }),
        TrialState::Applying => Some(Leftover::HalfApplied { trial }),
        TrialState::Undoing => Some(Leftover::HalfUndone { trial }),
        TrialState::Discarded => Some(Leftover::HalfDiscarded { trial }),
        TrialState::Pending | TrialState::Applied | TrialState::Empty => None,
    }
}

fn of_broken(broken: Broken) -> Leftover {
    match broken.error {
        Some(error) => Leftover::Damaged { trial: broken.id, error },
        None => Leftover::Empty { path: broken.path },
    }
}

fn groups() -> Vec<Leftover> {
    let dead = if sandbox::in_a_jar() { Vec::new() } else { sandbox::dead_groups() };
    dead.into_iter().map(|path| Leftover::Group { path: FilePath::new(path) }).collect()
}

/// Overlays of ours in proc_pid_mountinfo(5). In a jar they are no leftovers.
fn mounts() -> Vec<Leftover> {
    if sandbox::in_a_jar() {
        return Vec::new();
    }
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let ours = table.lines().filter(|line| is_ours(line));
    let point = |line: &str| line.split(' ').nth(4).map(|path| Leftover::Mount { path: FilePath::from(path) });
    ours.filter_map(point).collect()
}

/// The name that the stage mounts under is the source of the mount.
fn is_ours(line: &str) -> bool {
    line.contains(" - fuse belljar ") || line.contains(" - overlay belljar ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn mounts_of_jars_are_known() {
        let line = |rest: &str| format!("119 171 0:43 / /h/ws rw,nosuid,nodev,relatime - {rest}");
        for rest in ["fuse belljar rw,user_id=0", "overlay belljar rw,lowerdir=/proc/self/fd/7"] {
            assert!(super::is_ours(&line(rest)), "{rest}");
        }
        for rest in ["fuse.sshfs belljar:/x rw", "tmpfs belljar rw", "overlay overlay rw"] {
            assert!(!super::is_ours(&line(rest)), "{rest}");
        }
    }
}
