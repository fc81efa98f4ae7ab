//! Arguments of `belljar policy` and `belljar trust`.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// `belljar policy`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Policy {
    /// What to do with them.
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

/// Subcommands of `belljar policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say what is wrong with policies (.cedar), profiles (.toml) and cases (.test.toml): syntax, unknown words, rules
    /// without names
    Check {
        /// Files [default: those in force here]
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Hold them to what a project's own policy may say, which is only to forbid
        #[arg(long)]
        project: bool,
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
    },
    /// Run the cases (NAME.test.toml) beside policies and profiles
    Test {
        /// Cases, or what they lie beside [default: those of Belljar itself and of all that is in force here]
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
    },
    /// Say which rule of which layer decides on a command, why, and what would change it
    Explain {
        /// As for `belljar run --profile`
        #[arg(long, value_name = "NAME|FILE")]
        profile: Option<String>,
        /// Decide for the bare machine rather than for `belljar run`
        #[arg(long, conflicts_with = "profile")]
        bare: bool,
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
        /// One word: a shell text. Several: a program and its arguments
        #[arg(value_name = "CMD", trailing_var_arg = true, required = true)]
        command: Vec<OsString>,
    },
    /// Say what another policy would decide differently on what was recorded
    Replay(Replay),
    /// Turn the rules of Claude Code, Codex and the Gemini CLI into a policy, and say which of them can never fire
    Import(Import),
    /// Propose rules for what was approved again and again on this machine. Nothing is installed
    Suggest(Suggest),
    /// Say which requests one policy or profile answers differently from another, each with an example: what becomes
    /// allowed, asked or denied. Needs cvc5
    Diff {
        /// `built-in`, `current` (what holds here), a profile (name or .toml), a policy (.cedar) or a directory of them
        #[arg(value_name = "BEFORE")]
        before: String,
        /// The other one
        #[arg(value_name = "AFTER")]
        after: String,
        /// End with 1 where anything is answered more laxly, or may be
        #[arg(long)]
        fail_on_widening: bool,
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
    },
    /// Prove properties of policies for all requests at once, or give a request that refutes them. Needs cvc5
    Prove {
        /// Properties by name [default: all]
        #[arg(value_name = "PROPERTY")]
        properties: Vec<String>,
        /// Prove them of this policy, on top of the built-in one [default: all that are part of Belljar]
        #[arg(long, value_name = "FILE", conflicts_with = "profile")]
        policy: Option<PathBuf>,
        /// Prove them of the rules of this profile, of `current` or of a directory of policies
        #[arg(long, value_name = "NAME|FILE")]
        profile: Option<String>,
        /// Properties of your own besides: `forbid` rules that must change nothing
        #[arg(long, value_name = "FILE")]
        more: Option<PathBuf>,
        /// Only list the properties
        #[arg(long)]
        list: bool,
        /// Print one JSON document instead of text
        #[arg(long)]
        json: bool,
    },
}

/// `belljar policy suggest`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Suggest {
    /// Approved so often
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) min: u32,
    /// On so many days
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) days: u32,
    /// From this time on: 2026-11-21, 2026-11-21T15:00Z, or so long ago: 30m, 2h, 3d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Write the rules to this file and not to standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `belljar policy import`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Import {
    /// settings.json of Claude Code, *.rules of Codex, *.toml of the Gemini CLI
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Whose they are [default: by how the names end]
    #[arg(long, value_enum)]
    pub(crate) from: Option<AgentWord>,
    /// Write the policy to this file and not to standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print one JSON document, policy and report, instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Agents as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AgentWord {
    /// Claude Code
    Claude,
    /// Codex
    Codex,
    /// The Gemini CLI
    Gemini,
}

/// `belljar policy replay`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Replay {
    /// From this policy: `built-in`, `current` (what holds here), a profile (name or .toml), a policy (.cedar) or a directory of
    /// them, each over the built-in rules
    pub(crate) a: String,
    /// To this one
    pub(crate) b: String,
    /// Requests as `belljar audit export --format requests` prints them, `-` for standard input [default: standard input
    /// where that is a file or a pipe, else --log]
    #[arg(value_name = "FILE")]
    pub(crate) requests: Option<PathBuf>,
    /// Replay the audit log of this machine
    #[arg(long, conflicts_with_all = ["requests", "worker", "merge"])]
    pub(crate) log: bool,
    /// Of the log, from this time on: 2026-11-21, 2026-11-21T15:00Z, or so long ago: 30m, 2h, 3d
    #[arg(long, value_name = "TIME", conflicts_with_all = ["requests", "worker", "merge"])]
    pub(crate) since: Option<String>,
    /// Of the log, before this time
    #[arg(long, value_name = "TIME", conflicts_with_all = ["requests", "worker", "merge"])]
    pub(crate) until: Option<String>,
    /// Threads [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: Option<u16>,
    /// Read a part of the requests from standard input and print its table as one line of JSON, for --merge
    #[arg(long, conflicts_with = "merge")]
    pub(crate) worker: bool,
    /// Read what workers printed, in any order, and show the table of all
    #[arg(long)]
    pub(crate) merge: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `belljar trust`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Trust {
    /// A project, or anything in it [default: the one here]
    pub(crate) path: Option<PathBuf>,
    /// List the projects that are trusted, and whether they still are what was trusted
    #[arg(long, conflicts_with_all = ["path", "revoke", "yes"])]
    pub(crate) list: bool,
    /// Trust it no more
    #[arg(long, conflicts_with = "yes")]
    pub(crate) revoke: bool,
    /// Agree beforehand; without it, and without a terminal, only what would be trusted is shown
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

impl PolicyCommand {
    /// Whether the answer is a JSON document.
    pub(super) fn json(&self) -> bool {
        match self {
            PolicyCommand::Check { json, .. }
            | PolicyCommand::Test { json, .. }
            | PolicyCommand::Explain { json, .. }
            | PolicyCommand::Diff { json, .. }
            | PolicyCommand::Prove { json, .. } => *json,
            PolicyCommand::Replay(replay) => replay.json,
            PolicyCommand::Import(import) => import.json,
            PolicyCommand::Suggest(suggest) => suggest.json,
        }
    }
}
