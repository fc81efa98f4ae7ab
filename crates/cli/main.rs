//! The `belljar` command: a translation table from arguments to the engine and from results to exits.

#![forbid(unsafe_code)]

mod approver;
mod args;
mod cmd;
mod exit;
mod failure;
mod json;
#[cfg(feature = "prove")]
mod proofs;
mod report;
mod ui;

use exit::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The jar's own first process is this program again; it goes no further than this line.
    sandbox::stage_entry();
    match args::parse(std::env::args_os()) {
        Ok(args) => finish(cmd::run(&args), args.json()),
        Err(error) => args::report(&error),
    }
}

fn finish(result: Result<Exit, failure::Failure>, json: bool) -> ExitCode {
    let exit = result.unwrap_or_else(|failure| {
        ui::failure(&failure, json);
        failure.exit()
    });
    if let Exit::Signal(signal) = exit {
        sandbox::die_of(signal);
    }
    exit.into()
}
