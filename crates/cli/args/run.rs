//! Arguments of `belljar run`.

use clap::{Args as ClapArgs, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

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
    /// Ask another program instead of the terminal: `unix:PATH`, a socket on which it listens, or `dir:PATH`, a directory in
    /// which question-ID.json appears and answer-ID.json is awaited. It must be yours, and where no command writes
    #[arg(long, value_name = "unix:PATH|dir:PATH")]
    pub(crate) ask_at: Option<String>,
    /// With --ask-at: seconds to wait for an answer; none in time is a no
    #[arg(long, value_name = "SECONDS", requires = "ask_at", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub(crate) ask_within: u64,
    /// Print how the jar would be built, step by step, and run nothing
    #[arg(long, conflicts_with_all = ["json", "apply", "jar"])]
    pub(crate) print_plan: bool,
    /// Print a JSON report on standard output (the command's own goes to standard error), or write it to FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(crate) json: Option<Option<PathBuf>>,
    /// Keep the jar open and run many commands in it: a JSON object a line with `cmd` or `argv`, and perhaps `cwd`, `env`,
    /// `stdin`, `id`; `-` is standard input. What came of each is a line on standard output, the end of the jar the last.
    /// Nobody is asked but with --ask-at
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
