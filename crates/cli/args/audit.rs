//! Arguments of `belljar audit`.

use super::Json;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use std::path::PathBuf;

/// `belljar audit`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Audit {
    /// What to do with it.
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
}

/// Subcommands of `belljar audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Print the records, oldest first
    Log {
        /// Which of them.
        #[command(flatten)]
        filter: AuditFilter,
        /// Print one JSON document a line instead of text
        #[arg(long)]
        json: bool,
    },
    /// Answer a ready-made question
    Query {
        /// What is asked.
        #[command(subcommand)]
        question: AuditQuestion,
    },
    /// Set up the key that seals the log, and print it. Keep it on another machine: here it is erased at once
    Key(Json),
    /// Print the receipt of what an apply made real, an in-toto statement
    Receipt {
        /// The trial, or the beginning of its id
        trial: String,
    },
    /// Print the records for other tools
    Export {
        /// The log's own lines, events of the Open Cybersecurity Schema Framework, what policies were asked, or Parquet
        #[arg(long, value_enum, default_value = "jsonl")]
        format: ExportFormat,
        /// Which of them.
        #[command(flatten)]
        filter: AuditFilter,
    },
    /// Recompute the hash chain, the Merkle tree and, with the key, the seals
    Verify {
        /// A file with the key that `belljar audit key` printed: finds whatever was rewritten or cut since it was set up,
        /// but for what no key had sealed yet when the machine was taken
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// The head of an earlier `verify`, kept elsewhere: finds a log that was cut or rewritten as a whole
        #[arg(long, value_name = "HASH")]
        expected_head: Option<String>,
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
    },
}

/// Which records.
#[derive(Debug, ClapArgs)]
pub(crate) struct AuditFilter {
    /// From this time on: 2026-11-21, 2026-11-21T15:00Z, or so long ago: 30m, 2h, 3d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Of this trial, or those whose id begins so
    #[arg(long, value_name = "TRIAL")]
    pub(crate) trial: Option<String>,
    /// Where the policy said this
    #[arg(long, value_enum)]
    pub(crate) decision: Option<DecisionWord>,
    /// At least this dangerous in a jar
    #[arg(long, value_enum)]
    pub(crate) risk: Option<RiskWord>,
    /// About this path, or something below it
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    /// About this host
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
}

/// Verdicts as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DecisionWord {
    /// It may run
    Allow,
    /// A person is needed
    Ask,
    /// It may not run
    Deny,
}

/// Risks as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RiskWord {
    /// All
    Low,
    /// MEDIUM and HIGH
    Medium,
    /// HIGH only
    High,
}

/// Formats of `belljar audit export`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One record a line
    Jsonl,
    /// One event a line, OCSF 1.3.0
    Ocsf,
    /// What each policy was asked, one command a line, for `belljar policy replay`
    Requests,
    /// A table in columns, for a file or pipe; needs a build with `--features parquet`
    Parquet,
}

/// How an answer is asked for.
#[derive(Debug, ClapArgs)]
pub(crate) struct Asked {
    /// Of which trials and times.
    #[command(flatten)]
    pub(crate) filter: AuditFilter,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Questions of `belljar audit query`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditQuestion {
    /// Who approved something, and what did they see
    Approvals {
        /// A piece of the command, or a trial [default: all]
        about: Option<String>,
        /// How.
        #[command(flatten)]
        asked: Asked,
    },
    /// What commands did that had not been predicted
    Surprises(Asked),
    /// Where a secret was read, or tried to be, and a connection made then
    SecretThenConnect(Asked),
    /// What was not run, by program
    Denials(Asked),
    /// What each rule decided
    Rules(Asked),
    /// Which policy was in force
    Policy {
        /// At this time [default: every policy and its time]
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
        /// How.
        #[command(flatten)]
        asked: Asked,
    },
}

impl AuditQuestion {
    /// How the answer is asked for.
    pub(crate) fn asked(&self) -> &Asked {
        match self {
            AuditQuestion::Surprises(asked)
            | AuditQuestion::SecretThenConnect(asked)
            | AuditQuestion::Denials(asked)
            | AuditQuestion::Rules(asked)
            | AuditQuestion::Approvals { asked, .. }
            | AuditQuestion::Policy { asked, .. } => asked,
        }
    }
}

impl AuditCommand {
    /// Whether the answer is a JSON document.
    pub(super) fn json(&self) -> bool {
        match self {
            AuditCommand::Log { json, .. } | AuditCommand::Verify { json, .. } => *json,
            AuditCommand::Key(key) => key.json,
            AuditCommand::Query { question } => question.asked().json,
            AuditCommand::Receipt { .. } | AuditCommand::Export { .. } => false,
        }
    }
}
