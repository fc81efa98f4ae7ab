//! One command in a jar: `one_command DIRECTORY COMMAND [ARGUMENT...]` works on DIRECTORY, as far as the command can tell. What
//! it changes goes beside it, into `DIRECTORY.changes`; what of the home is secret is not there; there is no network.

use belljar_sandbox::{Request, model, stage_entry};
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    stage_entry();
    let mut words = std::env::args_os().skip(1);
    let directory = fs::canonicalize(words.next().ok_or("which directory?")?)?;
    let argv: Vec<OsString> = words.collect();
    let mut beside = directory.clone().into_os_string();
    beside.push(".changes");
    let beside = PathBuf::from(beside);
    let (upper, work) = (beside.join("upper"), beside.join("work"));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;

    let mut request = Request::builder(argv).directory(&directory).write(&directory, &upper, &work);
    request = request.env_of_caller(["PATH", "HOME", "LANG", "TERM"]);
    for name in [".ssh", ".aws", ".gnupg", ".netrc"] {
        request = request.hide(PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(name));
    }
    let limits = model::Limits { wall_s: Some(600), processes: Some(512), ..model::Limits::default() };
    let ended = request.limits(limits).run()?;

    eprintln!("ended: {:?}", ended.exit);
    for layer in &ended.containment.active {
        eprintln!("held by {}: {}", layer.layer, layer.detail);
    }
    for attempt in &ended.attempts {
        eprintln!("refused: {:?} {:?} ({})", attempt.action, attempt.target, attempt.rule);
    }
    eprintln!("what it changed is in {}", upper.display());
    Ok(())
}
