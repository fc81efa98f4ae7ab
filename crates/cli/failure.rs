//! Everything a subcommand can fail of, with its exit and the next step.

use crate::exit::Exit;
use engine::RunError;
use std::io;

/// Why a subcommand ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The engine said so.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The arguments fit the grammar but not each other or the machine.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// A file named on the command line cannot be read.
    #[error("read {path}")]
    Input {
        /// Which.
        path: model::FilePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file for a report cannot be written.
    #[error("write the report {path}")]
    Report {
        /// Which.
        path: model::FilePath,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The command has run, and the profile it needed cannot be written.
    #[error("write the profile {path}")]
    Learnt {
        /// Where to.
        path: model::FilePath,
        /// It, so that it is not lost.
        text: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Proofs were asked for, and this build has none.
    #[cfg(not(feature = "prove"))]
    #[error("this belljar was built without proofs")]
    WithoutProofs,
    /// Parquet was asked for, and this build has none.
    #[cfg(not(feature = "parquet"))]
    #[error("this belljar was built without Parquet")]
    WithoutParquet,
    /// A person would have to agree first.
    #[error("{message}")]
    NeedsPerson {
        /// To what.
        message: String,
        /// How to answer beforehand.
        hint: String,
    },
    /// Our own output could not be written.
    #[error("write output")]
    Output(#[source] io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

macro_rules! through_run_error {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                Failure::Run(error.into())
            }
        })*
    };
}
through_run_error!(engine::HostError, engine::StoreError, engine::AuditError, engine::SettleError, engine::JarError);

impl Failure {
    /// The exit that belongs to it.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Usage { .. } => Exit::Usage,
            Failure::NeedsPerson { .. } | Failure::Run(RunError::Refused(_)) => Exit::Denied,
            failure if failure.is_broken_pipe() => Exit::Ok,
            _ => Exit::Failed,
        }
    }

    /// Whether our own output was not wanted any more, as with `belljar trials | head -1`.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// A word for programs.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Failure::Usage { .. } => "usage",
            Failure::Input { .. } => "input",
            Failure::Report { .. } | Failure::Learnt { .. } => "report",
            Failure::NeedsPerson { .. } => "needs-person",
            Failure::Output(_) => "output",
            #[cfg(not(feature = "prove"))]
            Failure::WithoutProofs => "prove",
            #[cfg(not(feature = "parquet"))]
            Failure::WithoutParquet => "parquet",
            Failure::Run(error) => match error {
                RunError::Refused(_) => "refused",
                RunError::Host(_) => "host",
                RunError::Policy(_) | RunError::PolicyFile { .. } => "policy",
                RunError::Profile(_) | RunError::ProfileFile { .. } => "profile",
                RunError::Confine(_) => "confine",
                RunError::Store(_) => "store",
                RunError::Backend(_) => "backend",
                RunError::Overlay(_) => "overlay",
                RunError::Sandbox(_) => "sandbox",
                RunError::Audit(_) => "audit",
                RunError::Settle(_) => "settle",
                RunError::Jar(_) => "jar",
                RunError::Grants(_) => "grants",
                #[cfg(feature = "prove")]
                RunError::Prove(_) => "prove",
                _ => "other",
            },
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Failure::Run(error) => error.hint(),
            Failure::Usage { hint, .. } | Failure::NeedsPerson { hint, .. } => Some(hint.clone()),
            Failure::Input { .. } => {
                Some("it must exist, be what the option wants (a file, a directory) and be readable for you".into())
            }
            Failure::Report { .. } => Some("name a file that you may write; nothing has run".into()),
            Failure::Learnt { text, .. } => Some(format!("the command has run; this is the profile:\n{text}")),
            #[cfg(not(feature = "prove"))]
            Failure::WithoutProofs => {
                Some("build it with its default features, or with `cargo build --release --features prove`".into())
            }
            #[cfg(not(feature = "parquet"))]
            Failure::WithoutParquet => Some(
                "build it with `cargo build --release --features parquet`; --format jsonl has the same lines".into(),
            ),
            Failure::Output(_) => None,
        }
    }

    /// The whole chain of causes in one line.
    pub(crate) fn message(&self) -> String {
        engine::in_full(self)
    }
}
