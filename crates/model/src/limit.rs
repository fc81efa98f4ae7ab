//! Limits of a jar, and which of them a command met.

use serde::{Deserialize, Serialize};

/// What a jar may take, over all its writable roots together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Allocated bytes its layers may hold; `None` for no limit but the reserve of the host's disk.
    pub disk: Option<u64>,
    /// Files, directories, links and whatever else has a name that its layers may hold.
    pub files: Option<u64>,
}

/// A limit that was met: something inside got ENOSPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// [`Limits::disk`].
    Disk,
    /// [`Limits::files`].
    Files,
    /// The last part of the host's disk, which a jar is not given.
    Reserve,
    /// The host's disk was full.
    HostDisk,
}
