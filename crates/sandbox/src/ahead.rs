//! Reading ahead: names and attributes below the workspace, before the command asks for them one by one.
//!
//! Through FUSE every new name costs the command a message to Belljar and back; a whole directory that is listed costs
//! hardly more than one. The kernel keeps what it was told, so a listing by pid 1 serves the command as well. Nothing
//! depends on it: whatever goes wrong here only leaves things to be asked later.

use model::FilePath;
use nix::poll::PollTimeout;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A command that ends within this is not read ahead for.
const DELAY: Duration = Duration::from_millis(20);
/// Each entry costs the kernel and Belljar about 2 KiB.
const ENTRIES_MAX: usize = 50_000;
const TIME_MAX: Duration = Duration::from_secs(2);
/// The kernel lists attributes with names only as long as somebody seems to want them; it is shown so this often,
/// in entries, which is less than come in one message.
const STAT_EVERY: usize = 64;

/// Where to read, and what not to touch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// The workspace.
    pub root: FilePath,
    /// Hidden paths: to read one would count as an attempt of the command.
    pub hidden: Vec<FilePath>,
}

/// What is to be read when the command has run for a while.
pub(crate) struct Pending<'a> {
    ahead: &'a Ahead,
    at: Instant,
}

impl<'a> Pending<'a> {
    /// For a command that has just begun.
    pub(crate) fn new(ahead: &'a Ahead) -> Pending<'a> {
        Pending { ahead, at: Instant::now() + DELAY }
    }

    /// How long that still is; a little more, so that it is time then.
    pub(crate) fn left(&self) -> PollTimeout {
        let left = self.at.saturating_duration_since(Instant::now()).saturating_add(Duration::from_millis(1));
        PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
    }

    /// Begins if it is time, in a thread of its own, which ends with the process at the latest; else waits on.
    pub(crate) fn begin_in_time(self) -> Option<Pending<'a>> {
        if Instant::now() < self.at {
            return Some(self);
        }
        let ahead = self.ahead.clone();
        let read = move || walk(&ahead, ENTRIES_MAX, Instant::now() + TIME_MAX);
        // Without the thread everything is merely slower.
        let _ = std::thread::Builder::new().name("belljar-ahead".into()).spawn(read);
        None
    }
}

/// Lists every directory, the upper ones first, until `entries` were seen or it is `until`. How many were seen.
fn walk(ahead: &Ahead, entries: usize, until: Instant) -> usize {
    let mut waiting = VecDeque::from([PathBuf::from(ahead.root.as_os_str())]);
    let mut seen = 0;
    while let Some(dir) = waiting.pop_front() {
        let Ok(listing) = std::fs::read_dir(&dir) else {
            continue;
        };
        for entry in listing.flatten() {
            if seen >= entries || Instant::now() >= until {
                return seen;
            }
            seen += 1;
            if seen % STAT_EVERY == 0 {
                let _ = entry.metadata();
            }
            let path = entry.path();
            let hidden = || ahead.hidden.iter().any(|hidden| hidden.as_os_str() == path);
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !hidden() {
                waiting.push_back(path);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_is_bounded_and_leaves_hidden_directories_alone() {
        let dir = std::env::temp_dir().join(format!("belljar-ahead-{}", std::process::id()));
        for part in ["a/b", "secret/deep", "c"] {
            std::fs::create_dir_all(dir.join(part)).unwrap();
        }
        std::os::unix::fs::symlink(&dir, dir.join("c/loop")).unwrap();
        let path = |part: &str| FilePath::from(dir.join(part).as_path());
        let ahead = Ahead { root: path(""), hidden: vec![path("secret")] };
        let later = Instant::now() + TIME_MAX;
        // a, secret, c, a/b, c/loop; not what is below the secret or behind the link.
        assert_eq!(walk(&ahead, 100, later), 5);
        assert_eq!(walk(&ahead, 3, later), 3);
        assert_eq!(walk(&ahead, 100, Instant::now()), 0);
        assert_eq!(walk(&Ahead { root: path("none"), hidden: Vec::new() }, 100, later), 0);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
