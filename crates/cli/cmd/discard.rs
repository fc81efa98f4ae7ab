//! `belljar discard`: throws changes away.

use crate::args;
use crate::cmd::select;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};
use engine::{Choice, Chooser, Engine, RunError, StoreError};
use model::{Place, TrialId, TrialState};

/// Removes trials with all their layers. Naming a trial is the agreement; `--all` asks for `--yes`.
pub(crate) fn discard(args: &args::Discard) -> Result<Exit, Failure> {
    let (engine, place) = select::open()?;
    let mut gone = Vec::new();
    for id in chosen(&engine, &place, args)? {
        gone.push((discard_one(&engine, &id)?, id));
    }
    if args.json {
        let rows: Vec<_> = gone.iter().map(|(settlement, id)| json::settled(id, settlement)).collect();
        ui::print_json(&json::list("belljar.discard/1", "discarded", rows))?;
    } else {
        for (settlement, id) in &gone {
            ui::settled(id, settlement)?;
        }
    }
    Ok(Exit::Ok)
}

fn chosen(engine: &Engine, place: &Place, args: &args::Discard) -> Result<Vec<TrialId>, Failure> {
    if args.all {
        return all(engine, args.yes);
    }
    if args.trials.is_empty() {
        return Ok(vec![select::trial(engine, place, None)?]);
    }
    args.trials.iter().map(|query| Ok(engine.store().find(query, &place.workspace)?)).collect()
}

fn all(engine: &Engine, yes: bool) -> Result<Vec<TrialId>, Failure> {
    let (trials, _) = engine.trials()?;
    let waits = |state| !matches!(state, TrialState::Applied | TrialState::Empty);
    let waiting = trials.into_iter().filter(|listed| !listed.in_use && waits(listed.record.state));
    let ids: Vec<TrialId> = waiting.map(|listed| listed.record.id).collect();
    if yes || ids.is_empty() {
        return Ok(ids);
    }
    Err(Failure::NeedsPerson {
        message: format!("this throws away the changes of {}", ui::count(ids.len() as u64, "trial")),
        hint: "`belljar discard --all --yes`".into(),
    })
}

fn discard_one(engine: &Engine, id: &TrialId) -> Result<engine::Settlement, Failure> {
    match engine.reopen(id) {
        Ok(frozen) => Ok(engine.settle(frozen, &Choice::Discard, Chooser::Person)?.settlement),
        // What cannot be read any more can still be thrown away by name.
        Err(RunError::Store(StoreError::Busy(id))) => Err(StoreError::Busy(id).into()),
        Err(_) => Ok(engine.purge(id)?),
    }
}
