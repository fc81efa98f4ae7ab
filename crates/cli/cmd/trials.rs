//! `belljar trials`: what waits for a decision.

use crate::args;
use crate::cmd::select;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};
use engine::{Broken, Engine, Listed, RunError, StoreError, Weight, expiry};
use model::TrialState;

/// Lists the trials, and finishes what crashes left half removed.
pub(crate) fn trials(args: &args::Trials) -> Result<Exit, Failure> {
    let (engine, _) = select::open()?;
    if let Some(days) = args.expire {
        return expire(&engine, days.unwrap_or(expiry::UNDO_DAYS), args.json);
    }
    let (mut trials, mut broken) = engine.trials()?;
    trials.retain(|listed| args.all || listed.record.state != TrialState::Applied);
    let mut rows = Vec::new();
    for listed in &trials {
        match engine.weigh(listed) {
            Ok(weight) => rows.push((listed, weight)),
            // It was begun or ended just now.
            Err(RunError::Store(StoreError::Busy(_))) => rows.push((listed, Weight::default())),
            Err(error) => broken.push(damaged(listed, &error.into())),
        }
    }
    if args.json {
        ui::print_json(&json::trials(&rows, &broken))?;
    } else {
        ui::trials(&rows, &broken)?;
    }
    Ok(Exit::Ok)
}

fn expire(engine: &Engine, days: u32, as_json: bool) -> Result<Exit, Failure> {
    let gone = engine.expire(days)?;
    if as_json {
        ui::print_json(&json::expired(days, &gone))?;
    } else {
        ui::expired(days, &gone)?;
    }
    Ok(Exit::Ok)
}

/// One trial that cannot be read must not hide the others.
fn damaged(listed: &Listed, failure: &Failure) -> Broken {
    let hint = failure.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    let error = failure.message() + &hint;
    Broken { id: listed.record.id.clone(), path: listed.record.place.workspace.clone(), error: Some(error) }
}
