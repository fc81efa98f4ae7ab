//! `belljar policy suggest`: rules for what was approved again and again.

use crate::args;
use crate::cmd::audit::time;
use crate::cmd::select;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};
use engine::audit::query::Filter;
use engine::suggest::{self, Often};
use model::FilePath;
use std::fs;

/// The rules on standard output or in a file, what was counted on standard error.
pub(crate) fn suggest(args: &args::Suggest) -> Result<Exit, Failure> {
    let (engine, place) = select::open()?;
    let filter = Filter {
        since_ms: args.since.as_deref().map(time).transpose()?,
        until_ms: args.until.as_deref().map(time).transpose()?,
        ..Filter::default()
    };
    let often = Often { times: args.min, days: args.days };
    let (suggestions, inexact) = suggest::suggest(engine.audit(), &place, &filter, often)?;
    if let Some(path) = &args.output {
        fs::write(path, &suggestions.text)
            .map_err(|source| Failure::Report { path: FilePath::from(path.as_path()), source })?;
    }
    if args.json {
        ui::print_json(&json::suggested(&suggestions, inexact))?;
        return Ok(Exit::Ok);
    }
    if args.output.is_none() {
        ui::print(&suggestions.text)?;
    }
    ui::suggested(&suggestions, inexact, args.output.as_deref())?;
    Ok(Exit::Ok)
}
