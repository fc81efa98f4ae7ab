//! Arguments of `belljar grants`.

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

/// `belljar grants`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Grants {
    /// What to do [default: list]
    #[command(subcommand)]
    pub(crate) command: Option<GrantsCommand>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What is done with grants.
#[derive(Debug, Subcommand)]
pub(crate) enum GrantsCommand {
    /// List them, with what they are for, where they count and until when
    List,
    /// Make one by hand
    Add {
        /// An effect: `connect HOST:PORT`, `execute PROGRAM`, or read, write, create, delete, rename, attributes or execute
        /// with a path; a path that ends in / means all below it
        #[arg(value_name = "EFFECT")]
        effect: String,
        /// About what becomes of changes instead of what may run: `write PATH` or `delete PATH`, not asked about at the review
        #[arg(long)]
        changes: bool,
        /// Where it counts
        #[arg(long, value_name = "WHERE", default_value = "project")]
        scope: Scope,
        /// For how long: 12 (days), 12d or 4w, a year at most [default: 30d]
        #[arg(long, value_name = "DAYS")]
        expires: Option<String>,
        /// Agree beforehand; without it a terminal is needed
        #[arg(long, short)]
        yes: bool,
    },
    /// Take some back
    Revoke {
        /// Their names, or the beginnings of them
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<String>,
        /// All of them
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}

/// Where a grant made by hand counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    /// In the project here
    Project,
    /// Everywhere
    Always,
}
