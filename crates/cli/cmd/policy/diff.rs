//! `belljar policy diff`: what changes with a policy, over all requests.

use crate::args::PolicyCommand;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{proofs, ui};
use engine::host;
use engine::prove::{self, Subject};

/// Compares. What could not be compared is a failure; for a gate it is as bad as what became laxer.
pub(super) fn diff(command: &PolicyCommand) -> Result<Exit, Failure> {
    let PolicyCommand::Diff { before, after, fail_on_widening, json } = command else { return Ok(Exit::Usage) };
    let place = host::place(true)?;
    let [before, after] = [Subject::find(&place, before)?, Subject::find(&place, after)?];
    let difference = prove::diff(&before, &after)?;
    let looser = after.profile.looser_than(&before.profile);
    if *json {
        ui::print_json(&proofs::difference(&before.name, &after.name, &difference, &looser))?;
    } else {
        ui::difference(&before.name, &after.name, &difference, &looser)?;
    }
    let wider = difference.widens() || !looser.is_empty();
    Ok(match (*fail_on_widening && wider, difference.open.is_empty()) {
        (true, _) => Exit::Wider,
        (false, true) => Exit::Ok,
        (false, false) => Exit::Failed,
    })
}
