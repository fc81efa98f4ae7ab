//! Arguments of `belljar check`.

use clap::{Args as ClapArgs, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// `belljar check`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    /// Check these shell scripts
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["stdin", "command"])]
    pub(crate) file: Vec<PathBuf>,
    /// Check the text on standard input
    #[arg(long, conflicts_with = "command")]
    pub(crate) stdin: bool,
    /// Check many commands: a JSON object a line with `cmd` and perhaps `cwd` (else the one here), `env`, `id`; links and
    /// modules on their way are looked up on this disk unless the line says `"look": false`; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "stdin", "command", "list", "explain", "format"])]
    pub(crate) jsonl: Option<PathBuf>,
    /// Decide as for `belljar run` rather than for the bare machine; where a grant answers what is asked, the exit is that of
    /// allow
    #[arg(long)]
    pub(crate) contained: bool,
    /// Decide as for `belljar run --profile`
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) profile: Option<String>,
    /// List all checks
    #[arg(long, conflicts_with_all = ["file", "stdin", "command", "explain"])]
    pub(crate) list: bool,
    /// Explain one check
    #[arg(long, value_name = "BJ000", conflicts_with_all = ["file", "stdin", "command"])]
    pub(crate) explain: Option<String>,
    /// Print one JSON document instead of text
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// How the result is written
    #[arg(long, value_name = "FORMAT", conflicts_with_all = ["list", "explain"])]
    pub(crate) format: Option<Format>,
    /// One word: a shell text. Several: a program and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}

/// How `belljar check` writes its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Words for a person
    Text,
    /// One JSON document
    Json,
    /// SARIF 2.1.0, as code scanning takes it
    Sarif,
    /// Workflow commands of GitHub Actions: annotations on the lines
    Github,
    /// A JUnit report: one case a text
    Junit,
}
