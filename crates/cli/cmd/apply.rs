//! `belljar apply`: makes changes real.

use crate::args;
use crate::cmd::select;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::ui::{self, Terminal};
use engine::{Choice, Chooser, Frozen, Picked, Trial};
use model::{FilePath, Risk};
use overlay::Pick;

/// Applies all changes of a trial, or the chosen ones. What is HIGH needs a person, or `--yes`.
pub(crate) fn apply(args: &args::Apply) -> Result<Exit, Failure> {
    let (engine, place) = select::open()?;
    let (id, paths) = select::trial_and_paths(&engine, &place, &args.what)?;
    let frozen = engine.reopen(&id)?;
    let picks = picks(args, paths, &frozen)?;
    let paths: Vec<FilePath> = picks.iter().map(|pick| pick.path.clone()).collect();
    // An interrupted apply goes on with what was agreed to then.
    if !args.yes && frozen.record().applying.is_none() {
        agree(&frozen, &paths)?;
    }
    let choice = match picks.as_slice() {
        [] if !args.merge => Choice::ApplyAll,
        whole if !args.merge && whole.iter().all(|pick| pick.hunks.is_empty()) => Choice::Apply(paths),
        _ => Choice::Pick(Picked { picks, merge: args.merge }),
    };
    let outcome = engine.settle(frozen, &choice, Chooser::Person)?;
    if args.json {
        ui::print_json(&json::settled(&id, &outcome.settlement))?;
    } else {
        ui::settled(&id, &outcome.settlement)?;
    }
    Ok(Exit::Ok)
}

/// What is to be applied, with the hunks of `--hunk` or behind an `@`.
fn picks(args: &args::Apply, paths: Vec<FilePath>, frozen: &Trial<Frozen>) -> Result<Vec<Pick>, Failure> {
    let Some(list) = &args.hunk else {
        return Ok(select::picks(paths, &frozen.changes().changes));
    };
    let hunks = select::hunks(list)?;
    match paths.as_slice() {
        [path] => Ok(vec![Pick { path: path.clone(), hunks }]),
        _ => Err(Failure::Usage {
            message: "--hunk needs one path".into(),
            hint: "belljar apply PATH --hunk 1,3, or several: belljar apply ONE@1,3 OTHER@2".into(),
        }),
    }
}

/// Asks before anything red becomes real.
fn agree(frozen: &Trial<Frozen>, paths: &[FilePath]) -> Result<(), Failure> {
    let chosen = |path: &FilePath| paths.is_empty() || paths.iter().any(|chosen| path.starts_with(chosen));
    let judged = frozen.changes().changes.iter().zip(&frozen.review().risks);
    let red = judged.filter(|(change, risk)| **risk == Risk::High && chosen(&change.path)).count();
    if red == 0 {
        return Ok(());
    }
    let message = format!("{red} of these changes are HIGH and need a person");
    let hint = format!("look at them with `belljar show {0}`, then `belljar apply {0} --yes`", frozen.id());
    let refused = || Failure::NeedsPerson { message: message.clone(), hint: hint.clone() };
    let mut terminal = Terminal::open().ok_or_else(refused)?;
    match terminal.agree_to_apply(frozen, red)? {
        true => Ok(()),
        false => Err(Failure::NeedsPerson { message: "not applied".into(), hint }),
    }
}
