//! `belljar show`: everything known of one trial.

use crate::args;
use crate::cmd::select;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};
use engine::{Frozen, SettleError, Trial, Who};
use model::{Change, FilePath};

/// Shows what was predicted, what held it, what it tried and what it changed; or who changed what.
pub(crate) fn show(args: &args::Show) -> Result<Exit, Failure> {
    let (engine, place) = select::open()?;
    let (id, paths) = if args.who {
        select::trial_and_paths(&engine, &place, &args.what)?
    } else {
        (select::only_trial(&engine, &place, &args.what)?, Vec::new())
    };
    let frozen = engine.reopen(&id)?;
    match (args.who, args.json) {
        (true, json) => who(&frozen, &paths, json)?,
        (false, true) => ui::print_json(&json::trial(frozen.record(), frozen.changes(), frozen.review()))?,
        (false, false) => ui::show(&frozen)?,
    }
    Ok(Exit::Ok)
}

fn who(frozen: &Trial<Frozen>, paths: &[FilePath], as_json: bool) -> Result<(), Failure> {
    let all = &frozen.changes().changes;
    if let Some(path) = paths.iter().find(|path| !all.iter().any(|change| change.path.starts_with(path))) {
        return Err(SettleError::Unchanged(path.clone()).into());
    }
    let Who { authors, unwatched } = frozen.who()?;
    let chosen = |change: &Change| paths.is_empty() || paths.iter().any(|path| change.path.starts_with(path));
    let rows: Vec<_> = all.iter().zip(&authors).filter(|(change, _)| chosen(change)).collect();
    if as_json {
        ui::print_json(&json::who(frozen.record(), &rows, &unwatched))?;
    } else {
        ui::who(frozen.record(), &rows, &unwatched)?;
    }
    Ok(())
}
