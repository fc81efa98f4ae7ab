//! `belljar policy prove`: what no request can get from a policy.

use crate::args::PolicyCommand;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{proofs, ui};
use engine::host;
use engine::prove::{self, Proved, Subject};
use model::FilePath;

/// Proves; what is refuted and what is not proved are failures.
pub(super) fn prove(command: &PolicyCommand) -> Result<Exit, Failure> {
    let PolicyCommand::Prove { properties, policy, profile, more, list, json } = command else {
        return Ok(Exit::Usage);
    };
    let more = more.as_deref().map(FilePath::from);
    let properties = prove::properties(properties, more.as_ref())?;
    if *list {
        if *json {
            ui::print_json(&proofs::properties(&properties))?;
        } else {
            ui::properties(&properties)?;
        }
        return Ok(Exit::Ok);
    }
    let place = host::place(true)?;
    let subjects = match (policy, profile) {
        (Some(file), _) => vec![Subject::of_file(&place, &FilePath::from(file.as_path()))?],
        (None, Some(name)) => vec![Subject::find(&place, name)?],
        (None, None) => Subject::shipped()?,
    };
    let proved = prove::prove(subjects, &properties)?;
    if *json {
        ui::print_json(&proofs::proved(&proved))?;
    } else {
        ui::proved(&proved)?;
    }
    Ok(if proved.iter().all(Proved::holds) { Exit::Ok } else { Exit::Failed })
}
