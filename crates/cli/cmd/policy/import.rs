//! `belljar policy import`: the rules people have for coding agents, as a policy.

use crate::args::{self, AgentWord};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{json, ui};
use engine::host;
use engine::import::{self, Agent};
use model::FilePath;
use std::fs;

/// The policy on standard output or in a file, what became of each rule on standard error.
pub(crate) fn import(args: &args::Import) -> Result<Exit, Failure> {
    let agent = args.from.map(|word| match word {
        AgentWord::Claude => Agent::Claude,
        AgentWord::Codex => Agent::Codex,
        AgentWord::Gemini => Agent::Gemini,
    });
    let imported = import::import(&host::place(true)?, &args.files, agent)?;
    if let Some(path) = &args.output {
        fs::write(path, &imported.text)
            .map_err(|source| Failure::Report { path: FilePath::from(path.as_path()), source })?;
    }
    if args.json {
        ui::print_json(&json::imported(&imported))?;
        return Ok(Exit::Ok);
    }
    if args.output.is_none() {
        ui::print(&imported.text)?;
    }
    ui::imported(&imported, args.output.as_deref())?;
    Ok(Exit::Ok)
}
