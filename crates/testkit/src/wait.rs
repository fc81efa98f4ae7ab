//! Bounded waits: nothing in a test waits for ever.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How long one command may take before its test fails. A debug build on two busy cores is slow; a hang is longer.
pub(crate) const COMMAND_SECONDS_MAX: u64 = 240;

/// How long a running command may take to print what a test waits for.
const OUTPUT_SECONDS_MAX: u64 = 60;

/// Between two looks at something that will change soon: short against a process start, long against a busy loop.
const POLL: Duration = Duration::from_millis(10);

/// Looks until `done` says yes, at most `limit`. Returns whether it did.
pub fn until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

/// A started program that is killed when its test forgets it.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    stdout: Option<File>,
}

impl Child {
    pub(crate) fn new(process: std::process::Child, stdout: Option<File>) -> Child {
        Child { process, stdout }
    }

    /// Waits until it has printed `text`; panics when it ends or a minute passes before.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let mut gone = false;
        let seen = until(Duration::from_secs(OUTPUT_SECONDS_MAX), || {
            let found = self.printed().contains(text);
            gone = !found && !self.is_running();
            found || gone
        });
        assert!(seen && (!gone || self.printed().contains(text)), "no {text:?} in {:?}", self.printed());
    }

    /// What it has printed so far, without moving the offset it writes at.
    fn printed(&self) -> String {
        let Some(file) = &self.stdout else { return String::new() };
        let length = file.metadata().map_or(0, |meta| meta.len());
        let mut bytes = vec![0; usize::try_from(length).expect("output fits memory")];
        let read = file.read_at(&mut bytes, 0).expect("read the output");
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).expect("a pid fits an i32")
    }

    /// Sends `signal`.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).expect("signal the child");
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().expect("look at the child").is_none()
    }

    /// Waits for its end; panics when that takes too long.
    pub fn wait(&mut self) -> ExitStatus {
        self.wait_at_most(Duration::from_secs(COMMAND_SECONDS_MAX))
    }

    /// Waits for its end, at most `limit`; panics when it takes longer.
    pub fn wait_at_most(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        let ended = until(limit, || {
            status = self.process.try_wait().expect("look at the child");
            status.is_some()
        });
        if !ended {
            self.kill();
            panic!("the command did not end within {limit:?}");
        }
        status.expect("the loop ended because there is a status")
    }

    /// Kills it, as `kill -9` does, and reaps it.
    pub fn kill(&mut self) {
        // It may have ended by itself just now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
