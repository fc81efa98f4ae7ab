//! The file format: JSON lines, each a record. The numbers in a record count from the last `begin` before it.

use crate::fs::at::Stat;
use model::FilePath;
use serde::{Deserialize, Serialize};

/// Its name in the store directory.
pub(crate) const NAME: &str = "effects";

/// The number of nobody in particular: the kernel brought a shared mapping to the disk.
pub(crate) const NOBODY: u32 = 0;
/// The number of the processes beyond those that are told apart.
pub(crate) const UNTOLD: u32 = u32::MAX;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Line {
    /// A view began to be served; numbers start anew.
    Begin {
        at_ms: u64,
    },
    Process(Seen),
    Effect(Effect),
    /// The effect `seq` was seen `times` times by now, the last time as number `last`.
    Again {
        seq: u64,
        times: u64,
        last: u64,
    },
    /// The journal had reached its size: what happened after this is not on record.
    Full,
}

/// A process as it was when it was first seen with this program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Its number in this journal, from 1.
    pub(crate) id: u32,
    /// Its process id inside the jar.
    pub(crate) pid: u32,
    /// Clock ticks after boot; with the process id it names a process for good.
    pub(crate) started: u64,
    /// Its name as the kernel has it, at most 15 bytes.
    pub(crate) name: FilePath,
    pub(crate) executable: Option<FilePath>,
    pub(crate) argv: Vec<FilePath>,
    /// There were more arguments than are kept.
    pub(crate) cut: bool,
    /// Number of the process that started it; `None` for the command itself and where that had ended.
    pub(crate) parent: Option<u32>,
    /// The process that started it had ended before it was first seen.
    pub(crate) orphan: bool,
    pub(crate) at_ms: u64,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// A file was created.
    Create,
    /// A directory was made.
    Mkdir,
    /// A symbolic link was made.
    Symlink,
    /// A fifo or socket was made.
    Mknod,
    /// A further name was given.
    Link,
    /// A name was deleted.
    Unlink,
    /// A directory was removed.
    Rmdir,
    /// A name became another one.
    Rename,
    /// Two names changed places.
    Exchange,
    /// It was opened for writing; what was written then went past us, or came later in nobody's name.
    Open,
    /// Bytes were written.
    Write,
    /// The size was set.
    Truncate,
    /// Mode, owner or times were set.
    Setattr,
    /// An extended attribute was set or removed.
    Xattr,
}

impl Op {
    /// In the past tense, for a person.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Op::Create => "created",
            Op::Mkdir => "made",
            Op::Symlink | Op::Link => "linked",
            Op::Mknod => "made",
            Op::Unlink | Op::Rmdir => "deleted",
            Op::Rename => "renamed",
            Op::Exchange => "exchanged",
            Op::Open => "opened for writing",
            Op::Write => "wrote",
            Op::Truncate => "cut",
            Op::Setattr => "set attributes of",
            Op::Xattr => "set extended attributes of",
        }
    }

    /// Whether something was there before.
    pub(crate) fn had_pre_image(self) -> bool {
        !matches!(self, Op::Create | Op::Mkdir | Op::Symlink | Op::Mknod | Op::Link)
    }

    /// Whether the name stands for something else since.
    pub(crate) fn gives_birth(self) -> bool {
        !self.had_pre_image() || matches!(self, Op::Rename | Op::Exchange)
    }
}

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Effect {
    pub(crate) seq: u64,
    pub(crate) at_ms: u64,
    /// Number of the process, [`NOBODY`] or [`UNTOLD`].
    pub(crate) by: u32,
    pub(crate) op: Op,
    /// Below the root, as the command saw it.
    pub(crate) path: FilePath,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) to: Option<FilePath>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) was: Option<Was>,
}

/// What the host had there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Was {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    /// Nanoseconds since the epoch.
    pub(crate) ctime_ns: i64,
    pub(crate) size: i64,
    pub(crate) mode: u32,
}

impl Was {
    pub(crate) fn of(stat: &Stat) -> Was {
        let ctime_ns = stat.st_ctime.saturating_mul(1_000_000_000).saturating_add(stat.st_ctime_nsec);
        Was { dev: stat.st_dev, ino: stat.st_ino, ctime_ns, size: stat.st_size, mode: stat.st_mode }
    }
}
