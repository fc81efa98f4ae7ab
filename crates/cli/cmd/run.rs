//! `belljar run`: the whole journey.

use crate::approver::Approver;
use crate::args::{self, ApplyMode};
use crate::cmd::{learn, limit, live};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::ui::{self, Terminal};
use engine::{Engine, JarName, Loaded, Outcome, Person, ProfileError, Request, RunError, host, profile};
use model::{Apply, BackendWish, FilePath, Layer, NetRule, Place, TrialId};
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
    let place = host::place(true)?;
    let loaded = profile::load(&place, args.profile.as_deref())?;
    let unattended = loaded.profile.unattended == Some(true);
    let mut terminal = if unattended || args.ask_at.is_some() { None } else { Terminal::open() };
    let elsewhere = args.ask_at.as_deref();
    if elsewhere.is_some() && unattended {
        return Err(Failure::Usage {
            message: format!("--ask-at: the profile {} lets nobody be asked", model::escape::text(&loaded.id.name)),
            hint: "leave --ask-at out, or use another profile".into(),
        });
    }
    let attended = elsewhere.is_some() || (terminal.is_some() && args.jsonl.is_none());
    let mut request = request(args, place, &loaded, attended)?;
    let reach = || engine::consent::reach(&request);
    let mut approver = elsewhere.map(|at| Approver::open(at, args.ask_within, reach()?)).transpose()?;
    let mut accepted = args.accept_weak.iter().map(|word| layer(word)).collect::<Result<Vec<_>, _>>()?;
    accepted.extend(&loaded.profile.accept_weak);
    if args.print_plan {
        request.env = host::environment();
        ui::print(&Engine::open_under(&request.place, &loaded)?.plan(&request)?)?;
        return Ok(Exit::Ok);
    }
    if let Some(file) = &args.jsonl {
        return live::run(args, file, request, &loaded, &accepted, approver.as_mut());
    }
    let target = learn::target(args)?;
    let mut report = Report::open(args.json.as_ref())?;
    let person = match (&mut approver, &mut terminal) {
        (Some(approver), _) => Some(approver as &mut dyn Person),
        (None, terminal) => terminal.as_mut().map(|terminal| terminal as &mut dyn Person),
    };
    let outcome = match journey(&mut request, &loaded, &accepted, person) {
        Ok(outcome) => outcome,
        Err(error) => return failed(report, error.into()),
    };
    let (outcome, swept) = outcome;
    report.write(&json::outcome(&outcome, exit(&outcome).code(), target.as_deref()))?;
    // A run whose changes were to be thrown away has nothing to tell, except what nobody may miss.
    let record = &outcome.record;
    let told = !record.containment.missing.is_empty() || !record.limits_hit.is_empty() || record.unattributed.is_some();
    let telling = outcome.exec_error.is_some() || told;
    if args.json.is_none() && (request.apply != Apply::Discard || telling) {
        ui::ended(&outcome)?;
    }
    if args.json.is_none() {
        ui::not_given(&request.profile)?;
        ui::swept(&swept)?;
    }
    if let (Some(path), Some(text)) = (&target, &outcome.learnt) {
        learn::write(path, text, args.overwrite)?;
        if args.json.is_none() {
            ui::learnt(path)?;
        }
    }
    Ok(exit(&outcome))
}

/// The jar's namespaces are made on one processor while the policy is loaded and the command judged on another. The
/// environment is read after that has begun: the jar's first process is a copy of this one and needs no copy of secrets.
fn journey(
    request: &mut Request,
    loaded: &Loaded,
    accepted: &[Layer],
    person: Option<&mut dyn Person>,
) -> Result<(Outcome, Swept), RunError> {
    let standby = engine::standby(accepted, request.limits.output, request.allow_nested)?;
    request.env = host::environment();
    let engine = Engine::open_under(&request.place, loaded)?;
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

/// What the profile says, with the options added; without the environment, which comes last.
fn request(args: &args::Run, place: Place, loaded: &Loaded, attended: bool) -> Result<Request, Failure> {
    let profile = &loaded.profile;
    let wishes = profile.wishes(&place);
    let own = |path: &FilePath| real_of(path, &loaded.id.name);
    let write = wishes.write.iter().map(own).chain(args.write.iter().map(|path| real(path)));
    let read = args.read.iter().map(|path| place.cwd.join(path).normalise());
    let given = args.env.iter().map(|name| variable(name));
    let rules = args.allow_net.iter().map(|text| net_rule(text));
    let mut request = Request {
        argv: if args.jsonl.is_some() { Vec::new() } else { command(&args.command)? },
        env: Vec::new(),
        pass_env: wishes.pass_env.into_iter().map(Ok).chain(given).collect::<Result<_, _>>()?,
        write: write.collect::<Result<_, _>>()?,
        read: wishes.read.into_iter().chain(read).collect(),
        hide: wishes.hide.into_iter().map(Ok).chain(hidden(&args.hide, &place.cwd)).collect::<Result<_, _>>()?,
        allow_net: wishes.allow_net.into_iter().map(Ok).chain(rules).collect::<Result<_, _>>()?,
        backend: args.backend.map(backend).or(profile.backend).unwrap_or_default(),
        attribution: args.who || args.learn.is_some(),
        apply: mode(args.apply, profile.apply, attended)?,
        jar: args.jar.as_deref().map(|name| jar(name, args.apply)).transpose()?,
        limits: limit::limits(&args.limit)?.or(profile.limits),
        allow_nested: args.allow_nested,
        home: wishes.home,
        workspace: wishes.workspace,
        env_base: wishes.env_base,
        profile: loaded.id.clone(),
        rules: loaded.rules.clone(),
        watch_files: args.learn.is_some() || args.watch.contains(&args::Watched::Files),
        learn: None,
        place,
    };
    if args.learn.is_some() {
        request.learn = Some(learn::asked(args, profile, &request, &request.place));
    }
    Ok(request)
}

/// A directory that a profile names.
fn real_of(path: &FilePath, profile: &str) -> Result<FilePath, Failure> {
    let profile = model::escape::text(profile);
    let absent = |source| RunError::from(ProfileError::Absent { profile, path: path.clone(), source });
    Ok(path.as_path().canonicalize().map(FilePath::from).map_err(absent)?)
}

/// A path that is not there is a slip of the pen more often than not, and what was meant would stay in sight.
fn hidden(paths: &[PathBuf], cwd: &FilePath) -> impl Iterator<Item = Result<FilePath, Failure>> {
    let cwd = cwd.clone();
    paths.iter().map(move |path| {
        let path = cwd.join(path).normalise();
        match path.as_path().symlink_metadata() {
            Ok(_) => Ok(path),
            Err(source) => Err(Failure::Input { path, source }),
        }
    })
}

pub(super) fn layer(word: &str) -> Result<Layer, Failure> {
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

/// What was given, else what the profile says, else what suits the place. A profile that asks where nobody can be asked
/// leaves the changes.
fn mode(given: Option<ApplyMode>, profile: Option<Apply>, attended: bool) -> Result<Apply, Failure> {
    let given = given.map(|mode| match mode {
        ApplyMode::Ask => Apply::Ask,
        ApplyMode::Auto => Apply::Auto,
        ApplyMode::Always => Apply::Always,
        ApplyMode::Never => Apply::Never,
        ApplyMode::Discard => Apply::Discard,
    });
    match (given, profile, attended) {
        (Some(Apply::Ask), _, false) => Err(Failure::Usage {
            message: "--apply ask needs a terminal or --ask-at, and a profile that lets somebody be asked".into(),
            hint: "use --apply never, then `belljar show` and `belljar apply`".into(),
        }),
        (None, None | Some(Apply::Ask), false) => Ok(Apply::Never),
        (given, profile, _) => Ok(given.or(profile).unwrap_or(Apply::Ask)),
    }
}

fn backend(given: args::Backend) -> BackendWish {
    match given {
        args::Backend::Auto => BackendWish::Auto,
        args::Backend::Fuse => BackendWish::Fuse,
        args::Backend::Kernel => BackendWish::Kernel,
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
