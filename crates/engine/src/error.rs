//! Everything that can end a journey early, with what to do next.

use crate::{AuditError, GrantError, HostError, JarError, ProfileError, Refusal, SettleError, StoreError};
use std::error::Error;
use std::io;

/// Why a command did not run, or its changes could not be taken stock of.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The place of the command is unknown.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The policy could not be loaded.
    #[error(transparent)]
    Policy(#[from] policy::PolicyError),
    /// A policy file could not be read.
    #[error("read the policy {path}")]
    PolicyFile {
        /// The file.
        path: model::FilePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A profile could not be read.
    #[error("read the profile {path}")]
    ProfileFile {
        /// The file.
        path: model::FilePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such profile, or what a project says cannot be taken.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The jar that was asked for makes no sense.
    #[error(transparent)]
    Confine(#[from] policy::ConfineError),
    /// The policy or the person said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The trial could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A jar cannot be gone on with, or back in.
    #[error(transparent)]
    Jar(#[from] JarError),
    /// The backend that was asked for cannot be had.
    #[error(transparent)]
    Backend(#[from] crate::BackendRefusal),
    /// The overlay failed.
    #[error(transparent)]
    Overlay(#[from] overlay::OverlayError),
    /// The jar could not be built.
    #[error(transparent)]
    Sandbox(#[from] sandbox::SandboxError),
    /// The audit log could not be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// What was granted cannot be told.
    #[error(transparent)]
    Grants(#[from] GrantError),
    /// Nothing came of a replay.
    #[error(transparent)]
    Replay(#[from] crate::ReplayError),
    /// Applying or discarding failed.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// Nothing could be proved.
    #[cfg(feature = "prove")]
    #[error(transparent)]
    Prove(#[from] crate::prove::ProveError),
}

impl RunError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            RunError::Host(error) => error.hint(),
            RunError::Policy(error) => Some(error.hint().into()),
            RunError::PolicyFile { .. } => Some("make it readable, or remove it".into()),
            RunError::ProfileFile { .. } => Some("name a file that is there and that you may read".into()),
            RunError::Profile(error) => Some(error.hint()),
            RunError::Confine(error) => Some(error.hint().into()),
            RunError::Refused(error) => error.hint(),
            RunError::Store(error) => error.hint(),
            RunError::Jar(error) => Some(error.hint()),
            RunError::Backend(_) => Some("use --backend auto or fuse; `belljar doctor` says what this host has".into()),
            RunError::Overlay(error) => error.hint().map(Into::into),
            RunError::Sandbox(error) => error.hint().map(Into::into),
            RunError::Audit(error) => error.hint(),
            RunError::Grants(error) => Some(error.hint()),
            RunError::Replay(error) => error.hint(),
            RunError::Settle(error) => error.hint(),
            #[cfg(feature = "prove")]
            RunError::Prove(error) => Some(error.hint()),
        }
    }
}

/// An error with the whole chain of its causes, in one line.
#[must_use]
pub fn in_full(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors already carry their cause's words.
        if !message.ends_with(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    message
}
