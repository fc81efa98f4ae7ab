//! `belljar trials`: what waits for a decision.

use crate::args;
use crate::cmd::select;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};
use model::TrialState;

/// Lists the trials, and finishes what crashes left half removed.
pub(crate) fn trials(args: &args::Trials) -> Result<Exit, Failure> {
    let (engine, _) = select::open()?;
    let (mut trials, broken) = engine.trials()?;
    trials.retain(|listed| args.all || listed.record.state != TrialState::Applied);
    let mut rows = Vec::new();
    for listed in &trials {
        rows.push((listed, engine.weigh(listed)?));
    }
    if args.json {
        ui::print_json(&json::trials(&rows, &broken))?;
    } else {
        ui::trials(&rows, &broken)?;
    }
    Ok(Exit::Ok)
}
