//! `belljar undo`: takes back what was applied.

use crate::args;
use crate::cmd::select;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::ui::{self, Terminal};
use engine::{Frozen, Trial};
use model::TrialState;

/// Takes back all applied changes of a trial; they wait again. Needs a person, or `--yes`.
pub(crate) fn undo(args: &args::Undo) -> Result<Exit, Failure> {
    let (engine, place) = select::open()?;
    let id = match &args.trial {
        Some(query) => engine.store().find(query, &place.workspace)?,
        None => engine.store().latest_applied(&place.workspace)?,
    };
    let frozen = engine.reopen(&id)?;
    // An interrupted undo goes on: it was agreed to when it began.
    let asked = frozen.record().applied > 0 && frozen.record().state != TrialState::Undoing;
    if !args.yes && asked {
        agree(&frozen)?;
    }
    let settlement = engine.undo(frozen)?;
    if args.json {
        ui::print_json(&json::settled(&id, &settlement))?;
    } else {
        ui::settled(&id, &settlement)?;
    }
    Ok(Exit::Ok)
}

fn agree(frozen: &Trial<Frozen>) -> Result<(), Failure> {
    let changes = ui::count(frozen.record().applied, "change");
    let message =
        format!("this takes {changes} back that {} real", if frozen.record().applied == 1 { "is" } else { "are" });
    let hint = format!("`belljar undo {} --yes`", frozen.id());
    let refused = || Failure::NeedsPerson { message: message.clone(), hint: hint.clone() };
    let mut terminal = Terminal::open().ok_or_else(refused)?;
    match terminal.agree_to_undo(frozen)? {
        true => Ok(()),
        false => Err(Failure::NeedsPerson { message: "not undone".into(), hint }),
    }
}
