//! `belljar doctor`: what this machine offers a jar, and what earlier runs left.

use crate::args;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};
use engine::{doctor, host};

/// Probes the kernel for real; fails when a jar cannot be built here.
pub(crate) fn doctor(args: &args::Json) -> Result<Exit, Failure> {
    let checkup = doctor::checkup(&host::place(true)?)?;
    let able = checkup.host.able();
    if args.json {
        ui::print_json(&json::doctor(&checkup, able))?;
    } else {
        ui::doctor(&checkup)?;
    }
    Ok(if checkup.host.tier().is_some() { Exit::Ok } else { Exit::Failed })
}
