//! Whether a jar met its limit on processes, where RLIMIT_NPROC keeps it: the kernel refuses one more and tells nobody but the
//! command. So the watch sees them begin, and counts when there may be as many as are allowed. It refuses nothing.
//!
//! Some ten microseconds for each process, and the count only near the limit.

use crate::meter;
use crate::seccomp::table::FORKS;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long a process that was let go on may take to be seen.
const BIRTH: Duration = Duration::from_millis(5);
/// Between two looks for it.
const GLANCE: Duration = Duration::from_millis(1);

/// What the watch knows of the jar's processes.
pub(crate) struct Crowd {
    /// The root of the jar's proc(5).
    processes: OwnedFd,
    max: u64,
    /// No fewer processes and threads than there are, but for pid 1.
    most: u64,
    /// When one was last let go on.
    last: Instant,
    met: bool,
}

impl Crowd {
    pub(crate) fn new(processes: OwnedFd, max: u64) -> Crowd {
        Crowd { processes, max, most: 1, last: Instant::now(), met: false }
    }

    /// Whether a call starts a process or a thread.
    pub(crate) fn is_fork(call: i32) -> bool {
        FORKS.contains(&i64::from(call))
    }

    /// One more is about to begin.
    pub(crate) fn grows(&mut self) {
        if self.most >= self.max {
            self.count();
        }
        if self.most >= self.max {
            self.met = true;
        } else {
            self.most += 1;
        }
        self.last = Instant::now();
    }

    /// Counts them. The last one that went on may not have begun, so one too few is no answer yet.
    fn count(&mut self) {
        loop {
            // A jar that cannot be looked at is ending.
            let Ok(threads) = meter::threads_in(&self.processes) else { return };
            self.most = threads;
            if threads + 1 != self.max || self.last.elapsed() > BIRTH {
                return;
            }
            std::thread::sleep(GLANCE);
        }
    }

    /// Whether the limit was met since this was last asked.
    pub(crate) fn take(&mut self) -> bool {
        std::mem::take(&mut self.met)
    }
}
