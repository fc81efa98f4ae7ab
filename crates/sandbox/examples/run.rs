//! Runs a command in a jar without writable roots: `run [--plan] [--allow-net RULE]... COMMAND [ARGUMENT...]`.
//!
//! Everything is read-only but the private places; the caller's environment is passed on. What the jar is made of
//! is printed with `--plan` before, and a summary goes to standard error after when `JAR_REPORT` is set.

use belljar_sandbox::{Request, RunFacts, die_of, plan, stage_entry, start};
use model::{Confinement, EnvVar, Exit, FilePath, Network};
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    stage_entry();
    let mut argv: Vec<OsString> = std::env::args_os().skip(1).collect();
    let print = argv.first().is_some_and(|word| word == "--plan");
    if print {
        argv.remove(0);
    }
    let mut allow = Vec::new();
    while argv.first().is_some_and(|word| word == "--allow-net") && argv.len() > 1 {
        let rule = argv.drain(..2).nth(1).unwrap_or_default();
        match rule.to_string_lossy().parse() {
            Ok(rule) => allow.push(rule),
            Err(why) => {
                eprintln!("--allow-net: {why}");
                return ExitCode::from(2);
            }
        }
    }
    let env =
        std::env::vars_os().map(|(name, value)| EnvVar { name: FilePath::new(name), value: FilePath::new(value) });
    let confinement = Confinement {
        network: if allow.is_empty() { Network::None } else { Network::Named { allow, refuse: Vec::new() } },
        env: env.collect(),
        ..Confinement::closed(std::env::current_dir().map_or_else(|_| FilePath::from("/"), FilePath::from))
    };
    let request = Request::new(confinement, argv);
    match run(&request, print) {
        Ok(code) => code,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("failed to {error}{cause}\nhint: {}", error.hint().unwrap_or("none"));
            ExitCode::from(125)
        }
    }
}

fn run(request: &Request, print: bool) -> Result<ExitCode, belljar_sandbox::SandboxError> {
    if print {
        eprint!("{}", plan(request, &RunFacts::gather()?)?);
    }
    let ended = start(request, &mut |_, _| Ok(()))?.wait()?;
    if std::env::var_os("JAR_REPORT").is_some() {
        eprintln!("{ended:#?}");
    }
    Ok(match ended.exit {
        Exit::Code(code) => ExitCode::from(u8::try_from(code).unwrap_or(255)),
        Exit::Signal(signal) => {
            die_of(signal);
            ExitCode::from(u8::try_from(128 + signal).unwrap_or(255))
        }
    })
}
