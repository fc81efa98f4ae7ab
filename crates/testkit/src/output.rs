//! What a finished command printed and how it ended, with assertions that show both when they fail.

use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// A finished command.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output; invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error; invalid UTF-8 replaced.
    pub stderr: String,
}

impl Output {
    /// Both streams and the status, for the message of a failed assertion.
    #[must_use]
    pub fn report(&self) -> String {
        format!("\n$ {}\n--- {}\n--- stdout\n{}\n--- stderr\n{}\n", self.command, self.status, self.stdout, self.stderr)
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn code(&self, expected: i32) -> &Output {
        assert_eq!(self.status.code(), Some(expected), "exit code{}", self.report());
        self
    }

    /// Asserts exit code 0.
    #[track_caller]
    pub fn success(&self) -> &Output {
        self.code(0)
    }

    /// Asserts that it was killed by `signal`.
    #[track_caller]
    pub fn killed_by(&self, signal: i32) -> &Output {
        assert_eq!(self.status.signal(), Some(signal), "signal{}", self.report());
        self
    }

    /// Asserts that standard output is exactly `expected`.
    #[track_caller]
    pub fn stdout_is(&self, expected: &str) -> &Output {
        assert_eq!(self.stdout, expected, "stdout{}", self.report());
        self
    }

    /// Asserts that standard output holds `part`.
    #[track_caller]
    pub fn stdout_has(&self, part: &str) -> &Output {
        assert!(self.stdout.contains(part), "no {part:?} in stdout{}", self.report());
        self
    }

    /// Asserts that standard error holds `part`.
    #[track_caller]
    pub fn stderr_has(&self, part: &str) -> &Output {
        assert!(self.stderr.contains(part), "no {part:?} in stderr{}", self.report());
        self
    }

    /// Asserts that standard error does not hold `part`.
    #[track_caller]
    pub fn stderr_lacks(&self, part: &str) -> &Output {
        assert!(!self.stderr.contains(part), "{part:?} in stderr{}", self.report());
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("stdout is not JSON: {e}{}", self.report()))
    }
}
