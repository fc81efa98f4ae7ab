//! What was typed. Parsing touches nothing; each subcommand turns it into a plan.

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs a command under glass: contained by the kernel, writing only to a copy-on-write overlay. Its changes are
/// listed and explained, then applied or discarded.
#[derive(Debug, Parser)]
#[command(name = "belljar", version, disable_help_subcommand = true)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One file of `cmd/` each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command (default: your shell) contained and speculative
    Run(Run),
    /// Say what a command would do: effects, findings, risk, decision
    Check(Check),
    /// List the trials that wait for a decision
    Trials(Trials),
    /// Show what a trial did and what it tried
    Show(Show),
    /// Show the differences a trial made
    Diff(Diff),
    /// Make the changes of a trial real
    Apply(Apply),
    /// Take back what was applied of a trial
    Undo(Undo),
    /// Throw the changes of a trial away
    Discard(Discard),
    /// Take back the last commands of a jar
    Rewind(Rewind),
    /// Look at what this machine offers, and what earlier runs left behind
    Doctor(Json),
    /// Check, test and explain policies and profiles
    Policy(Policy),
    /// Let what a project says in its .belljar/ do more than tighten, as it stands now
    Trust(Trust),
    /// Read, ask, verify and export the audit log
    Audit(Audit),
}

/// Only `--json`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Json {
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// `belljar run`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Run {
    /// The confinement and rules by name: workspace, untrusted-repo, agent, ci, strict, permissive-with-review, or one of
    /// your own; or a file (with a / in its path, or .toml). The options below add to it [default: workspace]
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) profile: Option<String>,
    /// Go on where the last command of the jar NAME stopped; the first use makes it
    #[arg(long, value_name = "NAME")]
    pub(crate) jar: Option<String>,
    /// What becomes of the changes [default: ask on a terminal, never elsewhere]
    #[arg(long, value_name = "HOW")]
    pub(crate) apply: Option<ApplyMode>,
    /// A further directory whose changes go to an overlay
    #[arg(long, value_name = "DIR")]
    pub(crate) write: Vec<PathBuf>,
    /// Do not hide this path although it is a secret by default
    #[arg(long, value_name = "PATH")]
    pub(crate) read: Vec<PathBuf>,
    /// Hide this path too
    #[arg(long, value_name = "PATH")]
    pub(crate) hide: Vec<PathBuf>,
    /// A peer the command may reach: a name (`*.a.example` for all below), an address or block (`[2001:db8::/32]:443` for
    /// IPv6); over TCP, or with `/udp` at the end over UDP
    #[arg(long, value_name = "HOST[:PORT][/udp]")]
    pub(crate) allow_net: Vec<String>,
    /// What keeps the overlays: belljar itself over FUSE, the kernel's overlayfs, or whichever fits [default: auto]
    #[arg(long, value_name = "NAME")]
    pub(crate) backend: Option<Backend>,
    /// Record which process makes each change, which only FUSE can; `belljar show --who` tells
    #[arg(long)]
    pub(crate) who: bool,
    /// Let belljar inside make jars of its own: opens user namespaces and mounts there, and Landlock rules no files
    #[arg(long)]
    pub(crate) allow_nested: bool,
    /// Hand on a variable that is withheld by default, or set one
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<OsString>,
    /// What the jar may take: mem=4G, pids=512, cpu=10m, time=20m, disk=10G, files=100000, fds=1024, output=64M
    #[arg(long, value_name = "NAME=VALUE,...")]
    pub(crate) limit: Vec<String>,
    /// Run although this layer of the jar cannot be had here; the result says that it was missing
    #[arg(long, value_name = "LAYER")]
    pub(crate) accept_weak: Vec<String>,
    /// Write the smallest profile that this run needed to FILE, which must not be there yet [default: learned.toml]; what was
    /// refused stands in it in comments. Observes files too, so the command is slower
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, conflicts_with = "print_plan")]
    pub(crate) learn: Option<Option<PathBuf>>,
    /// With --learn: write FILE although it is there
    #[arg(long, requires = "learn")]
    pub(crate) overwrite: bool,
    /// Observe more: `files` tells which paths it tried to write, or to read where they are hidden, and which system calls
    /// were refused; each call that names a file is slower then
    #[arg(long, value_name = "WHAT")]
    pub(crate) watch: Vec<Watched>,
    /// Print how the jar would be built, step by step, and run nothing
    #[arg(long, conflicts_with_all = ["json", "apply", "jar"])]
    pub(crate) print_plan: bool,
    /// Print a JSON report on standard output (the command's own goes to standard error), or write it to FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(crate) json: Option<Option<PathBuf>>,
    /// Keep the jar open and run many commands in it: a JSON object a line with `cmd` or `argv`, and perhaps `cwd`, `env`,
    /// `stdin`, `id`; `-` is standard input. What came of each is a line on standard output, the end of the jar the last.
    /// Nobody is asked
    #[arg(long, value_name = "FILE", requires = "jar", conflicts_with_all = ["json", "print_plan", "command", "allow_nested", "learn"])]
    pub(crate) jsonl: Option<PathBuf>,
    /// The command and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}

/// Values of `--apply`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ApplyMode {
    /// Ask on the terminal
    Ask,
    /// Apply what the policy calls harmless, hold the rest
    Auto,
    /// Apply everything but what needs a person
    Always,
    /// Keep the changes for later
    Never,
    /// Throw the changes away
    Discard,
}

/// Values of `--watch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Watched {
    /// Paths and refused system calls
    Files,
}

/// Values of `--backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// The kernel where nothing is lost by it, else FUSE
    Auto,
    /// FUSE: knows who did what, hides secrets, renames directories
    Fuse,
    /// overlayfs(5): fast where many files are made; directories of the host cannot be renamed
    Kernel,
}

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
    /// Decide as for `belljar run` rather than for the bare machine
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
        /// The log's own lines, or events of the Open Cybersecurity Schema Framework
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

impl Args {
    /// Whether failures too are told as JSON on standard output.
    pub(crate) fn json(&self) -> bool {
        match &self.command {
            Command::Run(run) => run.jsonl.is_some() || matches!(run.json, Some(None)),
            Command::Check(check) => check.json || check.format == Some(Format::Json),
            Command::Trials(trials) => trials.json,
            Command::Show(show) => show.json,
            Command::Diff(diff) => diff.json,
            Command::Apply(apply) => apply.json,
            Command::Undo(undo) => undo.json,
            Command::Discard(discard) => discard.json,
            Command::Rewind(rewind) => rewind.json,
            Command::Doctor(doctor) => doctor.json,
            Command::Policy(policy) => match &policy.command {
                PolicyCommand::Check { json, .. }
                | PolicyCommand::Test { json, .. }
                | PolicyCommand::Explain { json, .. } => *json,
            },
            Command::Trust(trust) => trust.json,
            Command::Audit(audit) => match &audit.command {
                AuditCommand::Log { json, .. } => *json,
                AuditCommand::Key(key) => key.json,
                AuditCommand::Query { question } => question.asked().json,
                AuditCommand::Receipt { .. } | AuditCommand::Export { .. } => false,
                AuditCommand::Verify { json, .. } => *json,
            },
        }
    }
}

/// Reads the arguments.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Args, clap::Error> {
    Args::try_parse_from(args)
}

/// Prints help, the version or a usage error.
pub(crate) fn report(error: &clap::Error) -> ExitCode {
    // Where even this cannot be written there is nobody to tell.
    let _ = error.print();
    match error.use_stderr() {
        true => crate::exit::Exit::Usage.into(),
        false => ExitCode::SUCCESS,
    }
}
