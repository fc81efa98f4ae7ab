//! One file per subcommand: arguments -> engine -> words.

mod apply;
mod audit;
mod batch;
pub(crate) mod check;
mod diff;
mod discard;
mod doctor;
mod grants;
mod learn;
mod limit;
mod live;
mod policy;
mod rewind;
mod run;
pub(crate) mod select;
mod show;
mod trials;
mod trust;
mod undo;

use crate::args::{Args, Command};
use crate::exit::Exit;
use crate::failure::Failure;

/// Carries out what was asked.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::check(args),
        Command::Trials(args) => trials::trials(args),
        Command::Show(args) => show::show(args),
        Command::Diff(args) => diff::diff(args),
        Command::Apply(args) => apply::apply(args),
        Command::Undo(args) => undo::undo(args),
        Command::Discard(args) => discard::discard(args),
        Command::Rewind(args) => rewind::rewind(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Policy(args) => policy::policy(args),
        Command::Trust(args) => trust::trust(args),
        Command::Grants(args) => grants::grants(args),
        Command::Audit(args) => audit::audit(args),
    }
}
