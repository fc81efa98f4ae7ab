//! Arguments of the subcommands about trials.

use clap::Args as ClapArgs;
use std::ffi::OsString;

/// `belljar trials`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Trials {
    /// Also those that were applied
    #[arg(long)]
    pub(crate) all: bool,
    /// Remove those that were applied so many days ago and can then not be undone any more; what waits stays
    #[arg(long, value_name = "DAYS", num_args = 0..=1, require_equals = true, conflicts_with = "all")]
    pub(crate) expire: Option<Option<u32>>,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `belljar show`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Show {
    /// A trial (an id, its first four letters or a jar's name; default: the last one here), and with --who paths to
    /// tell of only
    #[arg(value_name = "[TRIAL] PATH")]
    pub(crate) what: Vec<OsString>,
    /// Say of each change which process made it
    #[arg(long)]
    pub(crate) who: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `belljar diff`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Diff {
    /// A trial (an id, its first four letters or a jar's name; default: the last one here), and paths to show only
    #[arg(value_name = "[TRIAL] PATH")]
    pub(crate) what: Vec<OsString>,
    /// A line for each change, and one for all that tools made in a directory
    #[arg(long, conflicts_with = "json")]
    pub(crate) summary: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `belljar apply`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Apply {
    /// A trial (an id, its first four letters or a jar's name; default: the last one here), and paths to apply only.
    /// PATH@1,3-5 are hunks of a text file, by the numbers that `belljar diff` shows; mode and owner go with the whole
    /// file
    #[arg(value_name = "[TRIAL] PATH[@HUNKS]")]
    pub(crate) what: Vec<OsString>,
    /// Of the one PATH given, apply these hunks only
    #[arg(long, value_name = "N,M-K")]
    pub(crate) hunk: Option<String>,
    /// Merge text files that were changed outside meanwhile; what both changed in the same place stops it
    #[arg(long)]
    pub(crate) merge: bool,
    /// Agree beforehand, also to what is HIGH
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `belljar undo`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Undo {
    /// An id or a prefix that fits only one [default: the one that was applied last here]
    pub(crate) trial: Option<String>,
    /// Agree beforehand
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `belljar discard`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Discard {
    /// Ids, prefixes or names of jars [default: the last one here]
    pub(crate) trials: Vec<String>,
    /// All that wait, wherever they ran
    #[arg(long, conflicts_with = "trials")]
    pub(crate) all: bool,
    /// Agree beforehand
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `belljar rewind`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Rewind {
    /// A jar, by name or id [default: the last one here]
    pub(crate) trial: Option<String>,
    /// Back to before command N [default: the last one]
    #[arg(long, value_name = "N")]
    pub(crate) to: Option<u64>,
    /// Agree beforehand
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
