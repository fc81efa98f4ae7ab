//! `belljar run --jar NAME --jsonl FILE`: an open jar. One command a line in, what came of it a line out, and at the end
//! what became of the changes.

use super::batch::read_line;
use crate::approver::Approver;
use crate::args::{self, ApplyMode};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use engine::{Engine, Loaded, OpenJar, Person, Request, goes_on, host};
use model::{EnvVar, FilePath, Layer};
use sandbox::Streams;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, Seek as _, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What a command may print, where nothing else is said. It is held in memory.
const OUTPUT_BYTES: u64 = 16 << 20;

/// One line of the input. What else stands in it is the caller's business.
#[derive(Deserialize)]
struct Line {
    /// A text for a shell ...
    #[serde(default)]
    cmd: Option<String>,
    /// ... or a program and its arguments.
    #[serde(default)]
    argv: Vec<String>,
    #[serde(default)]
    cwd: Option<FilePath>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// What the command reads.
    #[serde(default)]
    stdin: Option<String>,
}

impl Line {
    fn argv(&self) -> Result<Vec<OsString>, &'static str> {
        match (&self.cmd, self.argv.as_slice()) {
            (Some(text), []) => Ok(["bash", "-c", text].map(OsString::from).to_vec()),
            (None, [_, ..]) => Ok(self.argv.iter().map(OsString::from).collect()),
            (None, []) => Err("neither `cmd` nor `argv` says what to run"),
            (Some(_), _) => Err("`cmd` and `argv` cannot both be given"),
        }
    }

    /// What `stdin` says, or nothing; in memory, because through a file of the host that could be changed.
    fn input(&self) -> io::Result<OwnedFd> {
        let text = self.stdin.as_deref().unwrap_or_default();
        let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
        let mut file = File::from(nix::sys::memfd::memfd_create(c"belljar-input", flags)?);
        file.write_all(text.as_bytes())?;
        file.rewind()?;
        Ok(file.into())
    }
}

/// Runs every line of `file` (`-`: standard input). The exit tells only whether every line could be read.
pub(crate) fn run(
    args: &args::Run,
    file: &Path,
    mut request: Request,
    loaded: &Loaded,
    accepted: &[Layer],
    mut approver: Option<&mut Approver>,
) -> Result<Exit, Failure> {
    if args.apply == Some(ApplyMode::Ask) && approver.is_none() {
        return Err(Failure::Usage {
            message: "--apply ask asks a person, and commands that come line by line have none".into(),
            hint: "use --apply never, then `belljar show` and `belljar apply`; or --ask-at".into(),
        });
    }
    let failed = |source| Failure::Input { path: file.into(), source };
    let input = match file.as_os_str().as_encoded_bytes() {
        b"-" => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        _ => File::open(file),
    };
    let mut input = BufReader::new(input.map_err(failed)?);
    let standby = engine::standby(accepted, None, request.allow_nested)?;
    // As for one command: read when the copy of this process that becomes the jar's first has been made.
    request.env = host::environment();
    let engine = Engine::open_under(&request.place, loaded)?;
    let jar = engine.open_jar(&request, standby)?;
    let most = request.limits.output.unwrap_or(OUTPUT_BYTES);
    let mut session = Session { jar, most, bad: 0, approver: approver.as_deref_mut() };
    let mut signal = None;
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        // What is at hand already needs no waiting for.
        if input.buffer().is_empty() {
            signal = session.jar.live().wait_for(input.get_ref().as_fd()).map_err(engine::RunError::from)?;
        }
        let Some(whole) = (if signal.is_some() { None } else { read_line(&mut input, &mut line).map_err(failed)? })
        else {
            break;
        };
        number += 1;
        print(&session.line(number, whole.then_some(line.as_slice()))?)?;
    }
    let exit = if session.bad == 0 { Exit::Ok } else { Exit::Usage };
    let jar = session.jar;
    let outcome = jar.close(request.apply, approver.map(person))?;
    print(&json::outcome(&outcome, exit.code(), None))?;
    Ok(signal.map_or(exit, Exit::Signal))
}

fn person(approver: &mut Approver) -> &mut dyn Person {
    approver
}

struct Session<'e, 'a> {
    jar: OpenJar<'e>,
    /// Who can be asked.
    approver: Option<&'a mut Approver>,
    /// Bytes that each command may print.
    most: u64,
    bad: u64,
}

impl Session<'_, '_> {
    /// Runs one line; `None` stands for one that was too long.
    ///
    /// # Errors
    /// When the jar is gone.
    fn line(&mut self, number: u64, line: Option<&[u8]>) -> Result<Value, Failure> {
        let Some(bytes) = line else { return Ok(self.refuse(&Value::Null, number, "the line is too long")) };
        let object = match serde_json::from_slice::<Value>(bytes) {
            Ok(value) => value,
            Err(error) => return Ok(self.refuse(&Value::Null, number, &format!("no JSON object: {error}"))),
        };
        let id = object.get("id").cloned().unwrap_or(Value::Null);
        let line = match serde_json::from_value::<Line>(object) {
            Ok(line) => line,
            Err(error) => return Ok(self.refuse(&id, number, &error.to_string())),
        };
        match line.argv() {
            Ok(argv) => self.run(&id, &line, &argv),
            Err(why) => Ok(self.refuse(&id, number, why)),
        }
    }

    fn run(&mut self, id: &Value, line: &Line, argv: &[OsString]) -> Result<Value, Failure> {
        let var = |(name, value): (&String, &String)| EnvVar {
            name: FilePath::from(name.as_str()),
            value: FilePath::from(value.as_str()),
        };
        let env: Vec<EnvVar> = line.env.iter().map(var).collect();
        let input = line.input()?;
        let output = Streams::Kept(self.most);
        let command = engine::Command { argv, cwd: line.cwd.as_ref(), env: &env, input: input.as_fd(), output };
        match self.jar.run(&command, self.approver.as_deref_mut().map(person)) {
            Ok(told) => Ok(json::told(id, &told)),
            Err(error) if goes_on(&error) => Ok(json::not_run(id, &Failure::from(error))),
            Err(error) => Err(error.into()),
        }
    }

    fn refuse(&mut self, id: &Value, number: u64, message: &str) -> Value {
        self.bad += 1;
        json::bad_command(id, number, &model::escape::text(message))
    }
}

/// At once: whoever wrote the line waits for the answer.
fn print(document: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{document}")?;
    out.flush()
}
