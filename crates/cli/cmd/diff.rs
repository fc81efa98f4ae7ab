//! `belljar diff`: the differences a trial made.

use crate::args;
use crate::cmd::select;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};
use engine::SettleError;
use model::Change;

/// Prints a unified diff of every change, or of the chosen ones.
pub(crate) fn diff(args: &args::Diff) -> Result<Exit, Failure> {
    let (engine, place) = select::open()?;
    let (id, paths) = select::trial_and_paths(&engine, &place, &args.what)?;
    let frozen = engine.reopen(&id)?;
    if args.summary {
        if !paths.is_empty() {
            let message = "--summary is for all changes of a trial".to_owned();
            return Err(Failure::Usage { message, hint: "belljar diff PATH shows the differences of some".into() });
        }
        ui::summary(&frozen)?;
        return Ok(Exit::Ok);
    }
    let all = &frozen.changes().changes;
    if let Some(path) = paths.iter().find(|path| !all.iter().any(|change| change.path.starts_with(path))) {
        return Err(SettleError::Unchanged(path.clone()).into());
    }
    let chosen = |change: &&Change| paths.is_empty() || paths.iter().any(|path| change.path.starts_with(path));
    let mut previews = Vec::new();
    for change in all.iter().filter(chosen) {
        previews.push((change, frozen.preview(change)?));
    }
    if args.json {
        ui::print_json(&json::diff(&id, &previews))?;
    } else {
        ui::diff(&frozen.record().place, &previews)?;
    }
    Ok(Exit::Ok)
}
