//! `belljar audit`: reads and verifies the log.

use crate::args::{self, AuditCommand};
use crate::cmd::select;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};
use engine::AuditLog;

/// Prints or verifies the log; a broken chain is a failure.
pub(crate) fn audit(args: &args::Audit) -> Result<Exit, Failure> {
    let (engine, _) = select::open()?;
    match &args.command {
        AuditCommand::Log(args) => log(engine.audit(), args.json),
        AuditCommand::Verify { expected_head, json } => verify(engine.audit(), expected_head.as_deref(), *json),
    }
}

fn log(log: &AuditLog, json: bool) -> Result<Exit, Failure> {
    let mut records = Vec::new();
    log.read(|record| records.push(record))?;
    for record in &records {
        if json {
            ui::print_json(&json::record(record))?;
        } else {
            ui::record(record)?;
        }
    }
    Ok(Exit::Ok)
}

fn verify(log: &AuditLog, expected_head: Option<&str>, json: bool) -> Result<Exit, Failure> {
    let found = log.verify(None)?;
    let as_expected = expected_head.is_none_or(|head| head == found.head);
    let sound = found.is_sound() && as_expected;
    if json {
        ui::print_json(&json::verification(&found, as_expected))?;
    } else {
        ui::verification(&found, as_expected)?;
    }
    Ok(if sound { Exit::Ok } else { Exit::Failed })
}
