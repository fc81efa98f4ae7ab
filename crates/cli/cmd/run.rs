//! `belljar run`: the whole journey.

use crate::args::{self, ApplyMode};
use crate::cmd::{limit, live};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::ui::{self, Terminal};
use engine::{Apply, BackendWish, Engine, JarName, Outcome, Person, Request, RunError, host};
use model::{FilePath, Layer, NetRule, TrialId};
use nix::errno::Errno;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Runs the command and says what it did.
pub(crate) fn run(args: &args::Run) -> Result<Exit, Failure> {
    let mut terminal = Terminal::open();
    let request = request(args, terminal.is_some())?;
    let accepted = args.accept_weak.iter().map(|word| layer(word)).collect::<Result<Vec<_>, _>>()?;
    if args.print_plan {
        ui::print(&Engine::open(&request.place)?.plan(&request)?)?;
        return Ok(Exit::Ok);
    }
    if let Some(file) = &args.jsonl {
        return live::run(args, file, &request, &accepted);
    }
    let mut report = Report::open(args.json.as_ref())?;
    let person = terminal.as_mut().map(|terminal| terminal as &mut dyn Person);
    let outcome = match journey(&request, &accepted, person) {
        Ok(outcome) => outcome,
        Err(error) => return failed(report, error.into()),
    };
    let (outcome, swept) = outcome;
    report.write(&json::outcome(&outcome, exit(&outcome).code()))?;
    // A run whose changes were to be thrown away has nothing to tell, except what nobody may miss.
    let record = &outcome.record;
    let told = !record.containment.missing.is_empty() || !record.limits_hit.is_empty() || record.unattributed.is_some();
    let telling = outcome.exec_error.is_some() || told;
    if args.json.is_none() && (request.apply != Apply::Discard || telling) {
        ui::ended(&outcome)?;
    }
    if args.json.is_none() {
        ui::swept(&swept)?;
    }
    Ok(exit(&outcome))
}

/// The jar's namespaces are made on one processor while the policy is loaded and the command judged on another.
fn journey(
    request: &Request,
    accepted: &[Layer],
    person: Option<&mut dyn Person>,
) -> Result<(Outcome, Swept), RunError> {
    let standby = engine::standby(accepted, request.limits.output)?;
    let engine = Engine::open(&request.place)?;
    let outcome = engine.run(request, standby, person)?;
    // What has expired goes when the command has ended: it must not wait for that.
    Ok((outcome, engine.sweep()))
}

/// Which trials expired.
type Swept = Result<Vec<TrialId>, RunError>;

/// A failure is told on every channel that waits for a report.
fn failed(mut report: Report, failure: Failure) -> Result<Exit, Failure> {
    report.write(&json::failure(&failure))?;
    match report {
        Report::Stdout(_) => Ok(failure.exit()),
        Report::None | Report::File(_) => Err(failure),
    }
}

fn request(args: &args::Run, attended: bool) -> Result<Request, Failure> {
    let place = host::place(true)?;
    let absolute = |paths: &[PathBuf]| paths.iter().map(|path| place.cwd.join(path).normalise()).collect();
    Ok(Request {
        argv: if args.jsonl.is_some() { Vec::new() } else { command(&args.command)? },
        env: host::environment(),
        pass_env: args.env.iter().map(|name| variable(name)).collect::<Result<_, _>>()?,
        write: args.write.iter().map(|path| real(path)).collect::<Result<_, _>>()?,
        read: absolute(&args.read),
        hide: hidden(&args.hide, &place.cwd)?,
        allow_net: args.allow_net.iter().map(|text| net_rule(text)).collect::<Result<_, _>>()?,
        backend: backend(args.backend),
        attribution: args.who,
        apply: mode(args.apply, attended && args.jsonl.is_none())?,
        jar: args.jar.as_deref().map(|name| jar(name, args.apply)).transpose()?,
        limits: limit::limits(&args.limit)?,
        allow_nested: args.allow_nested,
        place,
    })
}

/// A path that is not there is a slip of the pen more often than not, and what was meant would stay in sight.
fn hidden(paths: &[PathBuf], cwd: &FilePath) -> Result<Vec<FilePath>, Failure> {
    let there = |path: &PathBuf| {
        let path = cwd.join(path).normalise();
        match path.as_path().symlink_metadata() {
            Ok(_) => Ok(path),
            Err(source) => Err(Failure::Input { path, source }),
        }
    };
    paths.iter().map(there).collect()
}

fn layer(word: &str) -> Result<Layer, Failure> {
    let known = Layer::MAY_LACK.into_iter().find(|layer| layer.word() == word);
    known.ok_or_else(|| Failure::Usage {
        message: format!("--accept-weak {}: no layer that a jar can do without", model::escape::text(word)),
        hint: format!("one of {}", Layer::MAY_LACK.map(Layer::word).join(", ")),
    })
}

fn net_rule(text: &str) -> Result<NetRule, Failure> {
    text.parse().map_err(|why| Failure::Usage {
        message: format!("--allow-net {}: {why}", model::escape::text(text)),
        hint:
            "for example --allow-net registry.npmjs.org:443, '*.example.org', 10.1.0.0/16:5432, ntp.example.org:123/udp"
                .into(),
    })
}

fn jar(name: &str, apply: Option<ApplyMode>) -> Result<JarName, Failure> {
    if apply == Some(ApplyMode::Discard) {
        return Err(Failure::Usage {
            message: "--apply discard would throw away what earlier commands of the jar did too".into(),
            hint: "use --apply never, then `belljar rewind` takes the last command back".into(),
        });
    }
    name.parse().map_err(|why| Failure::Usage {
        message: format!("--jar {}: {why}", model::escape::text(name)),
        hint: "letters, digits, `-` and `_`, a letter first".into(),
    })
}

/// The command as given, else the user's shell on a terminal.
fn command(given: &[OsString]) -> Result<Vec<OsString>, Failure> {
    match given {
        [] if io::stdin().is_terminal() => Ok(vec![std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into())]),
        [] => Err(Failure::Usage {
            message: "no command given, and standard input is no terminal for a shell".into(),
            hint: "belljar run -- CMD ARG...".into(),
        }),
        [program, ..] if program.is_empty() => Err(Failure::Usage {
            message: "the command is an empty word".into(),
            hint: "belljar run -- CMD ARG...".into(),
        }),
        given => Ok(given.to_vec()),
    }
}

fn mode(given: Option<ApplyMode>, attended: bool) -> Result<Apply, Failure> {
    match (given, attended) {
        (Some(ApplyMode::Ask), false) => Err(Failure::Usage {
            message: "--apply ask needs a terminal".into(),
            hint: "use --apply never, then `belljar show` and `belljar apply`".into(),
        }),
        (Some(ApplyMode::Ask), true) | (None, true) => Ok(Apply::Ask),
        (None, false) | (Some(ApplyMode::Never), _) => Ok(Apply::Never),
        (Some(ApplyMode::Auto), _) => Ok(Apply::Auto),
        (Some(ApplyMode::Always), _) => Ok(Apply::Always),
        (Some(ApplyMode::Discard), _) => Ok(Apply::Discard),
    }
}

fn backend(given: Option<args::Backend>) -> BackendWish {
    match given {
        None | Some(args::Backend::Auto) => BackendWish::Auto,
        Some(args::Backend::Fuse) => BackendWish::Fuse,
        Some(args::Backend::Kernel) => BackendWish::Kernel,
    }
}

/// `NAME` hands a variable on, `NAME=VALUE` sets it.
fn variable(text: &OsStr) -> Result<(OsString, Option<OsString>), Failure> {
    let mut parts = text.as_bytes().splitn(2, |byte| *byte == b'=');
    let name = OsStr::from_bytes(parts.next().unwrap_or_default());
    let value = parts.next().map(|value| OsStr::from_bytes(value).to_owned());
    if name.is_empty() {
        let message = format!("--env {} names no variable", ui::os(text));
        return Err(Failure::Usage { message, hint: "--env NAME hands it on, --env NAME=VALUE sets it".into() });
    }
    Ok((name.to_owned(), value))
}

fn real(path: &Path) -> Result<FilePath, Failure> {
    path.canonicalize().map(FilePath::from).map_err(|source| Failure::Input { path: path.into(), source })
}

/// The child's own code and signal; 127 and 126 where it could not be started.
fn exit(outcome: &Outcome) -> Exit {
    match (outcome.exec_error.map(Errno::from_raw), outcome.record.exit) {
        (Some(Errno::ENOENT | Errno::ENOTDIR), _) => Exit::NotFound,
        (Some(_), _) => Exit::Denied,
        (None, Some(exit)) => exit.into(),
        (None, None) => Exit::Failed,
    }
}

/// Where the JSON report goes.
enum Report {
    None,
    File(File),
    /// Standard output, where the report must be alone: the command's own output goes to standard error meanwhile.
    Stdout(OwnedFd),
}

impl Report {
    /// Opened before the run, so that a report that cannot be written stops it.
    fn open(json: Option<&Option<PathBuf>>) -> Result<Report, Failure> {
        match json {
            None => Ok(Report::None),
            Some(Some(path)) => {
                let file =
                    File::create(path).map_err(|source| Failure::Report { path: path.as_path().into(), source })?;
                Ok(Report::File(file))
            }
            Some(None) => {
                let stdout = io::stdout().as_fd().try_clone_to_owned()?;
                nix::unistd::dup2_stdout(io::stderr()).map_err(io::Error::from)?;
                Ok(Report::Stdout(stdout))
            }
        }
    }

    fn write(&mut self, document: &Value) -> io::Result<()> {
        match self {
            Report::None => Ok(()),
            Report::File(file) => writeln!(file, "{document}"),
            Report::Stdout(stdout) => {
                nix::unistd::dup2_stdout(&*stdout).map_err(io::Error::from)?;
                ui::print_json(document)
            }
        }
    }
}
