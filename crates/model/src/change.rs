//! Change sets: what a trial did to its writable roots, as the difference between the overlay and the host.

use crate::FilePath;
use serde::{Deserialize, Serialize};

/// Kind of a file-system object, as in `st_mode & S_IFMT` of inode(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Unix socket.
    Socket,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
}

/// What a name pointed to on one side of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Kind.
    pub kind: FileKind,
    /// Permission bits including set-id and sticky, `st_mode & 07777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes.
    pub size: u64,
    /// Target of a symbolic link.
    pub link: Option<FilePath>,
}

/// What happened to a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It was there and differs.
    Modified,
    /// It is gone. For a directory: with all that was in it.
    Deleted,
    /// A directory or file of the host moved here; [`Change::differs`] tells what else became of it.
    Renamed {
        /// Its old absolute path.
        from: FilePath,
    },
    /// A further name (hard link) of another file.
    Linked {
        /// Absolute path of that file.
        to: FilePath,
    },
    /// It was there as something else (a file became a link, and so on).
    Replaced,
}

/// In which respects a modified name differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Differs {
    /// Bytes (or link target).
    pub content: bool,
    /// Permission bits.
    pub mode: bool,
    /// Owner or group.
    pub owner: bool,
    /// Extended attributes.
    pub xattr: bool,
    /// Modification time only matters where nothing else differs.
    pub times: bool,
}

/// One changed name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Absolute path on the host.
    pub path: FilePath,
    /// What happened.
    pub kind: ChangeKind,
    /// The host's side when the change set was taken; `None` when added.
    pub before: Option<Meta>,
    /// The jar's side; `None` when deleted.
    pub after: Option<Meta>,
    /// Respects in which a modified or renamed name differs; all false for other kinds.
    pub differs: Differs,
    /// For a deleted directory: how many names were below it on the host.
    pub below: u64,
}

/// All changes of one trial, over all its roots, sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeSet {
    /// Sorted by path, parents before children.
    pub changes: Vec<Change>,
}
