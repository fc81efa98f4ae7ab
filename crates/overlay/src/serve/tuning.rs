//! How a view is served: everything that trades speed, in one place.
//!
//! Every setting is correct for every program; they differ in what is fast and in what is lost when the process that
//! serves is killed.

use std::str::FromStr;
use std::time::Duration;

/// How data passes between the kernel and the layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The kernel opens files by itself, without a message; what was written is in the upper layer when write(2)
    /// returns. Copy-up happens at the first write.
    #[default]
    ZeroMessage,
    /// As [`Mode::ZeroMessage`], but every open and release is told.
    WriteThrough,
    /// The kernel collects writes and hands them over later. What a program wrote to a file that is still open is
    /// lost when the process that serves is killed. It also believes its own sizes and times: of what the host changes
    /// in a file the jar knows already, it sees nothing. No holes are told.
    WriteBack,
    /// Every open is told, and the content of large files passes the process that serves by. Needs the rights of
    /// root over the machine (`CAP_SYS_ADMIN`); files that cannot be passed through are served as in
    /// [`Mode::WriteThrough`]. As on kernel overlayfs, who has a large host file open for reading goes on seeing the
    /// host's bytes after somebody else has begun to write it; and a file that is open for writing can still be written
    /// when [`Served::finish`](crate::Served::finish) has given up on a view that stays mounted.
    Passthrough,
}

impl Mode {
    /// Every mode, for suites that run in each.
    pub const ALL: [Mode; 4] = [Mode::ZeroMessage, Mode::WriteThrough, Mode::WriteBack, Mode::Passthrough];

    /// Its name on command lines and in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::ZeroMessage => "zero-message",
            Mode::WriteThrough => "write-through",
            Mode::WriteBack => "write-back",
            Mode::Passthrough => "passthrough",
        }
    }

    /// Whether the kernel tells of opens and releases.
    pub(crate) fn tells_opens(self) -> bool {
        matches!(self, Mode::WriteThrough | Mode::Passthrough)
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        let known = Mode::ALL.into_iter().find(|mode| mode.name() == text);
        known.ok_or_else(|| format!("no mode {text:?}; there are {}", Mode::ALL.map(Mode::name).join(", ")))
    }
}

/// All settings of one served view. The default is what a jar gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How data passes.
    pub mode: Mode,
    /// Threads that answer requests, at least 1.
    pub threads: usize,
    /// How long the kernel may believe what the host can change under the view: names that are not there, and objects
    /// that were not copied up. Edits of the host are seen after at most this.
    pub host_ttl: Duration,
    /// The same for what lies in directories of the host that are watched: edits are seen as they happen, except for
    /// those that inotify(7) does not tell, which are writes through a shared mapping. Nothing is watched when this is
    /// not longer than `host_ttl`.
    pub watched_ttl: Duration,
    /// In [`Mode::Passthrough`]: bytes a file must have to be passed through. New files always are: how much will be
    /// written to them is not known.
    pub passthrough_bytes: u64,
}

impl Default for Tuning {
    fn default() -> Tuning {
        // One thread more than a request that waits for the disk.
        let threads = 2;
        let (host_ttl, watched_ttl) = (Duration::from_secs(5), Duration::from_secs(60));
        Tuning { mode: Mode::default(), threads, host_ttl, watched_ttl, passthrough_bytes: 1 << 20 }
    }
}

impl From<Mode> for Tuning {
    fn from(mode: Mode) -> Tuning {
        Tuning { mode, ..Tuning::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_known_by_their_names() {
        for mode in Mode::ALL {
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        assert!("fast".parse::<Mode>().unwrap_err().contains("zero-message, write-through"));
    }
}
