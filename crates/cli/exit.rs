//! Exit codes are a contract. `run` passes on the child's own code and dies of the same signal; these are reserved.

use model::Verdict;
use std::process::ExitCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// `policy diff --fail-on-widening`: something is answered more laxly.
    #[cfg(feature = "prove")]
    Wider,
    /// The arguments make no sense.
    Usage,
    /// `check`: a person would be asked.
    Ask,
    /// `check`: it would be denied.
    Deny,
    /// Belljar itself failed.
    Failed,
    /// Denied, or awaiting a person where there is none; or the command is no program.
    Denied,
    /// The command was not found.
    NotFound,
    /// The child's own code.
    Child(u8),
    /// The child died of this signal.
    Signal(i32),
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Exit {
        match verdict {
            Verdict::Allow => Exit::Ok,
            Verdict::Ask => Exit::Ask,
            Verdict::Deny => Exit::Deny,
        }
    }
}

impl From<model::Exit> for Exit {
    fn from(exit: model::Exit) -> Exit {
        match exit {
            model::Exit::Code(code) => u8::try_from(code).map_or(Exit::Failed, Exit::Child),
            model::Exit::Signal(signal) => Exit::Signal(signal),
        }
    }
}

impl Exit {
    /// The code, as a shell sees it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Ok => 0,
            #[cfg(feature = "prove")]
            Exit::Wider => 1,
            Exit::Usage => 2,
            Exit::Ask => 10,
            Exit::Deny => 20,
            Exit::Failed => 125,
            Exit::Denied => 126,
            Exit::NotFound => 127,
            Exit::Child(code) => code,
            // What a shell reports for a signal, where dying of it was not possible.
            Exit::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
