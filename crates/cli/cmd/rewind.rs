//! `belljar rewind`: takes back commands of a jar.

use crate::args;
use crate::cmd::select;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::ui::{self, Terminal};
use engine::{Frozen, Trial};

/// Brings a jar back to before its last command, or to before command N. Says first what goes, and asks.
pub(crate) fn rewind(args: &args::Rewind) -> Result<Exit, Failure> {
    let (engine, place) = select::open()?;
    let id = match args.trial.as_deref() {
        Some(query) => select::trial(&engine, &place, Some(query))?,
        None => engine.store().latest_jar(&place.workspace)?,
    };
    let frozen = engine.reopen(&id)?;
    frozen.record().taken_back(args.to)?;
    if !args.yes {
        agree(&frozen, args.to)?;
    }
    let record = frozen.record().clone();
    let rewound = engine.rewind(frozen, args.to)?;
    if args.json {
        ui::print_json(&json::rewound(&record, &rewound))?;
    } else {
        ui::rewound(&record, &rewound)?;
    }
    Ok(Exit::Ok)
}

fn agree(frozen: &Trial<Frozen>, to: Option<u64>) -> Result<(), Failure> {
    let record = frozen.record();
    let number = record.taken_back(to)?.first().map_or(0, |run| run.number);
    let hint = format!("`belljar rewind {} --to {number} --yes`", record.id);
    let refused =
        || Failure::NeedsPerson { message: "what these commands changed would be gone".into(), hint: hint.clone() };
    let mut terminal = Terminal::open().ok_or_else(refused)?;
    match terminal.agree_to_rewind(frozen, to)? {
        true => Ok(()),
        false => Err(Failure::NeedsPerson { message: "not taken back".into(), hint }),
    }
}
