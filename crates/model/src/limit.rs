//! Limits of a jar, and which of them a command met.

use serde::{Deserialize, Serialize};

/// What a jar may take. `None` is no limit, where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Allocated bytes its layers may hold, over all its writable roots together; `None` for no limit but the reserve
    /// of the host's disk.
    pub disk: Option<u64>,
    /// Files, directories, links and whatever else has a name that its layers may hold.
    pub files: Option<u64>,
    /// Bytes of memory of all its processes together, and as many again in its private directories.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Processes and threads at the same time; `None` for [`Limits::PROCESSES`].
    #[serde(default)]
    pub processes: Option<u64>,
    /// Seconds of processor time of all its processes together.
    #[serde(default)]
    pub cpu_s: Option<u64>,
    /// Seconds that pass on a clock.
    #[serde(default)]
    pub wall_s: Option<u64>,
    /// Bytes that the command prints on its standard output and error together.
    #[serde(default)]
    pub output: Option<u64>,
    /// Open files of each process.
    #[serde(default)]
    pub open_files: Option<u64>,
}

impl Limits {
    /// How many processes a jar may have where nobody said: far above what builds and browsers use, far below what a
    /// fork bomb needs.
    pub const PROCESSES: u64 = 8192;

    /// Whether something is limited that all processes of a jar take together.
    #[must_use]
    pub fn on_processes(&self) -> bool {
        self.memory.is_some() || self.processes.is_some() || self.cpu_s.is_some()
    }

    /// Whether the layers are limited.
    #[must_use]
    pub fn on_layers(&self) -> bool {
        self.disk.is_some() || self.files.is_some()
    }
}

/// What a jar took in all, where the kernel counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Bytes of memory at the same time, files in memory and the kernel's own for it included.
    pub memory_peak: Option<u64>,
    /// Microseconds of processor time.
    pub cpu_us: Option<u64>,
}

/// A limit that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// [`Limits::disk`]: something inside got ENOSPC.
    Disk,
    /// [`Limits::files`]: likewise.
    Files,
    /// The last part of the host's disk, which a jar is not given.
    Reserve,
    /// The host's disk was full.
    HostDisk,
    /// [`Limits::memory`]: everything inside was killed.
    Memory,
    /// [`Limits::processes`]: no more could be started, or everything inside was killed.
    Processes,
    /// [`Limits::cpu_s`]: everything inside was killed.
    Cpu,
    /// [`Limits::wall_s`]: likewise.
    Wall,
    /// [`Limits::output`]: likewise.
    Output,
}
