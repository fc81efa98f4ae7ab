//! What was typed. Parsing touches nothing; each subcommand turns it into a plan.

mod audit;
mod check;
mod grants;
mod policy;
mod run;
mod trials;

pub(crate) use audit::{Audit, AuditCommand, AuditFilter, AuditQuestion, DecisionWord, ExportFormat, RiskWord};
pub(crate) use check::{Check, Format};
pub(crate) use grants::{Grants, GrantsCommand, Scope};
pub(crate) use policy::{AgentWord, Import, Policy, PolicyCommand, Replay, Suggest, Trust};
pub(crate) use run::{ApplyMode, Backend, Run, Watched};
pub(crate) use trials::{Apply, Diff, Discard, Rewind, Show, Trials, Undo};

use clap::{Args as ClapArgs, Parser, Subcommand};
use std::ffi::OsString;
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
    Run(Box<Run>),
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
    /// List what is granted beyond once, grant and take back
    Grants(Grants),
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
            Command::Policy(policy) => policy.command.json(),
            Command::Trust(trust) => trust.json,
            Command::Grants(grants) => grants.json,
            Command::Audit(audit) => audit.command.json(),
        }
    }
}

/// The commands that others wait for, of the same grammar: building that of all commands takes longer than judging one.
#[derive(Debug, Parser)]
#[command(name = "belljar")]
struct Hasty {
    #[command(subcommand)]
    command: HastyCommand,
}

#[derive(Debug, Subcommand)]
enum HastyCommand {
    Run(Box<Run>),
    Check(Check),
}

/// Reads the arguments.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Args, clap::Error> {
    let args: Vec<OsString> = args.collect();
    let hasty = args.get(1).is_some_and(|word| word == "run" || word == "check");
    match hasty.then(|| Hasty::try_parse_from(&args)) {
        Some(Ok(Hasty { command: HastyCommand::Run(run) })) => Ok(Args { command: Command::Run(run) }),
        Some(Ok(Hasty { command: HastyCommand::Check(check) })) => Ok(Args { command: Command::Check(check) }),
        // Help and errors tell of every command.
        Some(Err(_)) | None => Args::try_parse_from(args),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hasty_commands_are_read_as_by_the_whole_grammar() {
        for line in [
            "belljar run --apply discard --limit mem=1G -- true --json",
            "belljar run",
            "belljar run --json=report.json --allow-net a.example:443 make",
            "belljar run --apply sometimes",
            "belljar run --jsonl -",
            "belljar run --help",
            "belljar check --json true",
            "belljar check --no-such-option",
            "belljar runn true",
            "belljar",
        ] {
            let words = || line.split(' ').map(OsString::from);
            let told = |read: Result<Args, clap::Error>| match read {
                Ok(args) => format!("{args:?}"),
                Err(error) => error.render().to_string(),
            };
            assert_eq!(told(parse(words())), told(Args::try_parse_from(words())), "{line}");
        }
    }
}
