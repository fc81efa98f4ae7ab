//! `belljar show`: everything known of one trial.

use crate::args;
use crate::cmd::select;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};

/// Shows what was predicted, what held it, what it tried and what it changed.
pub(crate) fn show(args: &args::Selected) -> Result<Exit, Failure> {
    let (engine, place) = select::open()?;
    let id = select::trial(&engine, &place, args.trial.as_deref())?;
    let frozen = engine.reopen(&id)?;
    if args.json {
        ui::print_json(&json::trial(frozen.record(), frozen.changes(), frozen.review()))?;
    } else {
        ui::show(&frozen)?;
    }
    Ok(Exit::Ok)
}
