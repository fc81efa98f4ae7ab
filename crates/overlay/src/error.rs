//! What can go wrong outside the view: each error has a kind, a cause and a next step.

use crate::changes::text::Clash;
use model::FilePath;
use nix::errno::Errno;
use std::path::PathBuf;

/// Overlapping places named in a message before the rest is only counted.
const CLASHES_TOLD_MAX: usize = 5;

/// A store, a view or a diff could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// The directory to be overlaid cannot be opened.
    #[error("open the writable root {path}")]
    Root {
        /// The root.
        path: FilePath,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The store directory cannot be made or written.
    #[error("prepare the store {}", path.display())]
    Store {
        /// What inside the store.
        path: PathBuf,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The file system of the store keeps no user extended attributes.
    #[error("keep extended attributes in the store {}", path.display())]
    Attributes {
        /// The store.
        path: PathBuf,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The file system of the store cannot hold whiteouts.
    #[error("make a whiteout in the store {}", path.display())]
    Whiteouts {
        /// The store.
        path: PathBuf,
        /// Why.
        #[source]
        source: Errno,
    },
    /// A file of the store is damaged or of another version.
    #[error("read {}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Somebody else is using the store.
    #[error("the store {} is in use", path.display())]
    Busy {
        /// The store.
        path: PathBuf,
    },
    /// The FUSE connection could not be set up.
    #[error("serve the view")]
    Fuse(#[source] std::io::Error),
    /// The mount was still there after the bounded wait; nothing is written to the upper layer any more.
    #[error("the view is still mounted somewhere after {waited_ms} ms")]
    StillMounted {
        /// How long it was waited for.
        waited_ms: u64,
    },
    /// There is no checkpoint of this number.
    #[error("there is no checkpoint {number}")]
    NoCheckpoint {
        /// What was asked for.
        number: u64,
    },
    /// An earlier apply, undo or rewind was interrupted and must be finished first.
    #[error("an earlier {what} was interrupted")]
    Unfinished {
        /// `apply`, `undo` or `rewind`.
        what: &'static str,
    },
    /// The layer holds a renamed directory, which the kernel's overlayfs does not show in a user namespace.
    #[error("let the kernel keep the overlay: {path} is a renamed directory")]
    Renamed {
        /// Absolute path in the view.
        path: FilePath,
    },
    /// A root is too large to be copied.
    #[error("copy {root}: up to {at} it has more than {files} files or {} MiB", bytes >> 20)]
    TooMuch {
        /// The root.
        root: FilePath,
        /// Where the copy ended.
        at: FilePath,
        /// The most files.
        files: u64,
        /// The most bytes.
        bytes: u64,
    },
    /// A file could not be read or compared.
    #[error("read {path}")]
    Read {
        /// Absolute host path.
        path: FilePath,
        /// Why.
        #[source]
        source: Errno,
    },
}

impl OverlayError {
    /// What the user can do next.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            OverlayError::Root { .. } => "check that the directory exists and that you may enter it",
            OverlayError::Store { source: Errno::EROFS | Errno::EACCES, .. } => {
                "choose a store on a file system you can write, with XDG_STATE_HOME"
            }
            OverlayError::Store { source: Errno::ENOSPC | Errno::EDQUOT, .. } => {
                "free some space; nothing was lost, the trial can still be discarded"
            }
            OverlayError::Store { .. } => "check the rights of the store directory",
            OverlayError::Attributes { .. } => {
                "use a store on ext4, xfs, btrfs or tmpfs (Linux 6.6 or later), which keep user attributes"
            }
            OverlayError::Whiteouts { .. } => "use a store on a local file system, and Linux 5.8 or later",
            OverlayError::Damaged { .. } => "discard the trial; the host's files are untouched",
            OverlayError::Busy { .. } => "wait until the command that uses it has ended",
            OverlayError::Fuse(_) => "run `belljar doctor`",
            OverlayError::Renamed { .. } => "use --backend fuse (or auto), which shows renamed directories",
            OverlayError::StillMounted { .. } => "end the processes that remain in the jar",
            OverlayError::NoCheckpoint { .. } => "`belljar show` lists the checkpoints; an apply ends those before it",
            OverlayError::Unfinished { what: "rewind" } => "run `belljar rewind` again to finish it",
            OverlayError::Unfinished { what: "undo" } => "run `belljar undo` again to finish it",
            OverlayError::Unfinished { .. } => "run `belljar apply` again to finish it",
            OverlayError::TooMuch { .. } => {
                "run it in a smaller directory, or allow user namespaces, with which nothing is copied: see `belljar doctor`"
            }
            OverlayError::Read { .. } => "check the rights of the file",
        })
    }
}

/// Why one path cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConflictKind {
    /// The host's file is another one, or was changed, since the jar first changed its own.
    Changed,
    /// The host has something where the jar saw nothing.
    Appeared,
    /// The host no longer has what the jar changed.
    Gone,
    /// It would be deleted with its directory, but the jar never saw it.
    Unseen,
    /// The jar itself changed it again after the apply that would be taken back.
    ChangedAgain,
    /// A merge was asked for, and both sides changed the same lines.
    Overlap(Vec<Clash>),
    /// A merge was asked for, and this file cannot be merged.
    Unmergeable(&'static str),
}

impl ConflictKind {
    /// Plain words, lower case, no full stop.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            ConflictKind::Changed => "the host's file was changed meanwhile".into(),
            ConflictKind::Appeared => "the host has something here that the jar did not see".into(),
            ConflictKind::Gone => "the host no longer has it".into(),
            ConflictKind::ChangedAgain => "the jar changed it again after that apply".into(),
            ConflictKind::Unseen => "it would be deleted with its directory, but the jar did not see it".into(),
            ConflictKind::Overlap(clashes) => {
                let first: Vec<String> = clashes.iter().take(CLASHES_TOLD_MAX).map(Clash::describe).collect();
                let more = clashes.len().saturating_sub(first.len());
                let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("both sides changed the same place: {}{rest}", first.join(", "))
            }
            ConflictKind::Unmergeable(why) => format!("the host's file was changed meanwhile; not merged: {why}"),
        }
    }
}

/// A host path that is no longer what the jar started from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Absolute host path.
    pub path: FilePath,
    /// What is in the way.
    pub kind: ConflictKind,
}

/// An apply was refused or interrupted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The host changed meanwhile; nothing was done.
    #[error("apply: {} of the host's paths changed meanwhile", .0.len())]
    Conflicts(Vec<Conflict>),
    /// The plan was made for an older state of the layer; nothing was done.
    #[error("apply: the plan is out of date")]
    Stale,
    /// An earlier apply was interrupted and must be finished first.
    #[error("an earlier apply was interrupted")]
    Unfinished,
    /// An undo was interrupted and must be finished first.
    #[error("an undo was interrupted")]
    Undoing,
    /// A selected path is not a change.
    #[error("select {0}: it is not changed")]
    NotAChange(FilePath),
    /// Hunks of a path were selected that cannot be taken apart.
    #[error("select hunks of {path}: {why}")]
    NoHunks {
        /// What was selected.
        path: FilePath,
        /// Why not.
        why: &'static str,
    },
    /// The difference of a path has no hunk of this number.
    #[error("select hunk {number} of {path}: it has {hunks}")]
    NoHunk {
        /// What was selected.
        path: FilePath,
        /// The number.
        number: u32,
        /// How many there are.
        hunks: usize,
    },
    /// A selected path takes the place of a directory that was renamed, which is not selected; nothing was done.
    #[error("apply {path} without {other}: what stood there was renamed to {other}")]
    Inseparable {
        /// What is selected.
        path: FilePath,
        /// Where the directory that stood there has gone.
        other: FilePath,
    },
    /// A device node is selected, and none is ever made on the host; nothing was done.
    #[error("apply {0}: it is a device node")]
    Device(FilePath),
    /// A step failed. The journal is kept: `resume` finishes or takes back what was begun.
    #[error("apply {path}")]
    Step {
        /// Absolute host path.
        path: FilePath,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The steps done so far were taken back because this one cannot be done; the host is as it was.
    #[error("apply {path}; everything was taken back")]
    RolledBack {
        /// Absolute host path.
        path: FilePath,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The layer itself.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
}

impl ApplyError {
    /// What the user can do next.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            ApplyError::Conflicts(_) => "look at both sides, then apply the other paths or run the command again",
            ApplyError::Stale => "look at the changes again, then apply",
            ApplyError::Unfinished | ApplyError::Step { .. } => "run `belljar apply` again to finish it",
            ApplyError::Undoing => "run `belljar undo` again to finish it",
            ApplyError::Inseparable { .. } => "choose both",
            ApplyError::Device(_) => "apply the other paths",
            ApplyError::NotAChange(_) => "`belljar diff` lists the changed paths",
            ApplyError::NoHunks { .. } => "apply the path without hunks",
            ApplyError::NoHunk { .. } => "`belljar diff` shows the numbers",
            ApplyError::RolledBack { .. } => "check rights and free space, then apply again",
            ApplyError::Overlay(inner) => return inner.hint(),
        })
    }
}

/// An undo was refused or interrupted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UndoError {
    /// Nothing that this layer held was applied, or its pre-images are not kept any more.
    #[error("undo: nothing of this was applied")]
    Nothing,
    /// The host changed after the apply; nothing was done.
    #[error("undo: {} of the host's paths changed after the apply", .0.len())]
    Conflicts(Vec<Conflict>),
    /// An apply was interrupted and must be finished first.
    #[error("an apply was interrupted")]
    Applying,
    /// An undo was interrupted and must be finished first.
    #[error("an undo was interrupted")]
    Unfinished,
    /// The plan was made for an older state; nothing was done.
    #[error("undo: the plan is out of date")]
    Stale,
    /// A step failed. The journal is kept: `resume_undo` finishes or takes back what was begun.
    #[error("undo {path}")]
    Step {
        /// Absolute host path.
        path: FilePath,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The steps done so far were taken back because this one cannot be done; everything is still applied.
    #[error("undo {path}; nothing was undone")]
    RolledBack {
        /// Absolute host path.
        path: FilePath,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The layer itself.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
}

impl UndoError {
    /// What the user can do next.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            UndoError::Nothing => "`belljar trials --all` lists what was applied",
            UndoError::Conflicts(_) => "move the later changes aside, then undo again",
            UndoError::Applying => "run `belljar apply` again to finish it, then undo",
            UndoError::Unfinished | UndoError::Step { .. } => "run `belljar undo` again to finish it",
            UndoError::Stale => "undo again",
            UndoError::RolledBack { .. } => "check rights and free space, then undo again",
            UndoError::Overlay(inner) => return inner.hint(),
        })
    }
}
