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
    let (chosen, running) = chosen(&engine, &place, args)?;
    for id in chosen {
        gone.push((discard_one(&engine, &id)?, id));
    }
    if args.json {
        let rows: Vec<_> = gone.iter().map(|(settlement, id)| json::settled(id, settlement)).collect();
        ui::print_json(&json::discarded(rows, &running))?;
    } else {
        for (settlement, id) in &gone {
            ui::settled(id, settlement)?;
        }
        ui::not_discarded(gone.len(), &running)?;
    }
    Ok(Exit::Ok)
}

/// What is to be discarded, and what of `--all` is in use and stays.
type Chosen = (Vec<TrialId>, Vec<TrialId>);

fn chosen(engine: &Engine, place: &Place, args: &args::Discard) -> Result<Chosen, Failure> {
    if args.all {
        return all(engine, args.yes);
    }
    if args.trials.is_empty() {
        return Ok((vec![select::trial(engine, place, None)?], Vec::new()));
    }
    let found = args.trials.iter().map(|query| engine.store().find(query, &place.workspace));
    Ok((found.collect::<Result<_, _>>()?, Vec::new()))
}

fn all(engine: &Engine, yes: bool) -> Result<Chosen, Failure> {
    let (trials, _) = engine.trials()?;
    let waits = |state| !matches!(state, TrialState::Applied | TrialState::Empty);
    let (running, rest): (Vec<_>, Vec<_>) = trials.into_iter().partition(|listed| listed.in_use);
    let running = running.into_iter().map(|listed| listed.record.id).collect();
    let ids: Vec<TrialId> =
        rest.into_iter().filter(|listed| waits(listed.record.state)).map(|listed| listed.record.id).collect();
    if yes || ids.is_empty() {
        return Ok((ids, running));
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
