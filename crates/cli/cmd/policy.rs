//! `belljar policy`: what policy files are worth before anything is decided by them.

use crate::args::{Policy, PolicyCommand};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};
use engine::{host, layers};
use model::FilePath;
use std::path::PathBuf;

/// Checks files; one that is wrong is a failure.
pub(crate) fn policy(args: &Policy) -> Result<Exit, Failure> {
    let PolicyCommand::Check { files, project, json } = &args.command;
    check(files, *project, *json)
}

fn check(files: &[PathBuf], project: bool, json: bool) -> Result<Exit, Failure> {
    let place = host::place(false)?;
    let files: Vec<FilePath> = files.iter().map(|file| FilePath::from(file.as_path())).collect();
    let checked = layers::check(&place, &files, project)?;
    if json {
        ui::print_json(&json::policies(&checked))?;
    } else {
        ui::policies(&checked)?;
    }
    let sound = checked.iter().all(|file| file.fault.is_none());
    Ok(if sound { Exit::Ok } else { Exit::Failed })
}
