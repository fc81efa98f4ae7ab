//! `belljar policy`: what policies and profiles are worth before anything is decided by them, and why something was.

mod import;
mod replay;
mod suggest;

#[cfg(feature = "prove")]
mod diff;
#[cfg(feature = "prove")]
mod prove;

use crate::args::{Policy, PolicyCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};
use engine::{explain, host, layers, profile, suite};
use model::{FilePath, Verdict};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Checks, tests or explains; a file that is wrong and a case that does not hold are failures.
pub(crate) fn policy(args: &Policy) -> Result<Exit, Failure> {
    match &args.command {
        PolicyCommand::Check { files, project, json } => check(files, *project, *json),
        PolicyCommand::Test { files, json } => test(files, *json),
        PolicyCommand::Explain { profile, bare, json, command } => explain(profile.as_deref(), *bare, *json, command),
        PolicyCommand::Import(args) => import::import(args),
        PolicyCommand::Replay(args) => replay::replay(args),
        PolicyCommand::Suggest(args) => suggest::suggest(args),
        #[cfg(feature = "prove")]
        command @ PolicyCommand::Diff { .. } => diff::diff(command),
        #[cfg(feature = "prove")]
        command @ PolicyCommand::Prove { .. } => prove::prove(command),
        #[cfg(not(feature = "prove"))]
        PolicyCommand::Diff { .. } | PolicyCommand::Prove { .. } => Err(Failure::WithoutProofs),
    }
}

fn paths(files: &[PathBuf]) -> Vec<FilePath> {
    files.iter().map(|file| FilePath::from(file.as_path())).collect()
}

fn check(files: &[PathBuf], project: bool, json: bool) -> Result<Exit, Failure> {
    let checked = layers::check(&host::place(false)?, &paths(files), project)?;
    if json {
        ui::print_json(&json::policies(&checked))?;
    } else {
        ui::policies(&checked)?;
    }
    let sound = checked.iter().all(|file| file.fault.is_none());
    Ok(if sound { Exit::Ok } else { Exit::Failed })
}

fn test(files: &[PathBuf], json: bool) -> Result<Exit, Failure> {
    let tested = suite::test(&host::place(true)?, &paths(files))?;
    if json {
        ui::print_json(&json::tested(&tested))?;
    } else {
        ui::tested(&tested)?;
    }
    let holds = tested.iter().all(suite::Tested::holds);
    Ok(if holds { Exit::Ok } else { Exit::Failed })
}

/// The exit is that of `belljar check`.
fn explain(name: Option<&str>, bare: bool, json: bool, command: &[OsString]) -> Result<Exit, Failure> {
    let place = host::place(!bare)?;
    let loaded = profile::load(&place, name)?;
    let text = match command {
        [text] => text.as_bytes().to_vec(),
        argv => analyze::quote(argv),
    };
    let explained = explain::explain(&text, &place, &loaded)?;
    if json {
        ui::print_json(&json::explained(&explained, &loaded.id))?;
    } else {
        ui::explained(&explained, &loaded.id)?;
    }
    let verdict: Verdict = explained.judged.decision.verdict;
    Ok(verdict.into())
}
