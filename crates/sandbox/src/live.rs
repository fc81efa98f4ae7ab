//! A jar that lives over many commands: its namespaces and its view are made once, and its pid 1 forks one command after
//! the other. When a command has ended nothing of it runs any more, as in a jar of its own; what it wrote below private
//! places such as `/tmp` stays for the next.

use crate::cgroup::Groups;
use crate::error::SandboxError;
use crate::net::Broker;
use crate::output::{Carrying, Output};
use crate::plan::{environment, live_plan_on, words};
use crate::request::{Request, check_argv, check_environment};
use crate::running::{News, Running, Watching, wire};
use crate::start::{Serve, Standby, file_of};
use crate::watch::Watch;
use crate::wire::{Down, MESSAGE_BYTES_MAX, Start};
use model::{Attempt, Connection, Containment, EnvVar, Exit, FilePath, Limit};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Signals that ask a process to end.
const ENDS: [i32; 4] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP];

/// A jar that waits for commands. Dropping it ends everything in it.
pub struct Live {
    running: Running,
}

/// One command for a [`Live`] jar.
#[derive(Debug)]
pub struct Command<'a> {
    /// The program, looked up in the `PATH` of `env`, and its arguments.
    pub argv: &'a [OsString],
    /// Its whole environment.
    pub env: &'a [EnvVar],
    /// Where it starts.
    pub cwd: &'a FilePath,
    /// Its standard input. Like the others a pipe, a socket or a file without a name (memfd_create(2)): one of the host could
    /// be changed through it.
    pub input: BorrowedFd<'a>,
    /// Where its output goes.
    pub output: Streams<'a>,
}

/// Where the standard output and error of a command go.
#[derive(Clone, Copy, Debug)]
pub enum Streams<'a> {
    /// To these descriptors.
    To(BorrowedFd<'a>, BorrowedFd<'a>),
    /// Into memory, at most so many bytes together: one that prints more is ended.
    Kept(u64),
}

/// How a command in a live jar ended.
#[derive(Debug)]
pub struct Done {
    /// Its exit code or signal; 127 when it was not found, 126 when it could not be executed.
    pub exit: Exit,
    /// The errno of execve(2) when the command never ran.
    pub exec_error: Option<i32>,
    /// What it tried on the network and was refused.
    pub attempts: Vec<Attempt>,
    /// Whom it reached.
    pub connections: Vec<Connection>,
    /// The limit that ended it, or that it met.
    pub limit: Option<Limit>,
    /// What it printed on its standard output and error, where that was kept.
    pub kept: Option<[Vec<u8>; 2]>,
}

impl Standby {
    /// As [`Standby::start`], for a jar that is told later what to run, time and again. Of the request the command does
    /// not count; limits on processor time and wall time are for each command.
    ///
    /// # Errors
    /// As there.
    pub fn live(mut self, request: &Request, serve: &mut Serve<'_>) -> Result<Live, SandboxError> {
        if request.allow_nested {
            // Their file systems could stall whoever watches their calls, and here that is who runs the commands.
            return Err(SandboxError::Request("a live jar cannot allow jars inside".into()));
        }
        let ground = self.stand_on_ground_of(request)?;
        let groups = self.groups(request, Groups::around_live)?;
        let plan = live_plan_on(ground, request, &self.facts)?;
        let mut running = self.begin(plan, request, groups, None)?.start(serve)?;
        // One command that stops must not stop all that come after it.
        running.stops_along = false;
        Ok(Live { running })
    }
}

impl Live {
    /// What is enforced, as the stage reported it.
    #[must_use]
    pub fn containment(&self) -> &Containment {
        self.running.containment()
    }

    /// Runs a command to its end; then nothing of it runs any more. Signals that a process sends to this one meanwhile are
    /// passed on to the command.
    ///
    /// # Errors
    /// [`SandboxError::Request`] and [`SandboxError::Cwd`] when it did not run: the jar waits for the next. After any other the
    /// jar is gone.
    pub fn run(&mut self, command: &Command<'_>) -> Result<Done, SandboxError> {
        check_argv(command.argv)?;
        check_environment(command.env)?;
        let max = match command.output {
            Streams::Kept(max) => Some(max),
            Streams::To(..) => None,
        };
        let kept = max.map(Output::kept).transpose().map_err(spawn)?;
        self.send(command, kept.as_ref())?;
        self.running.meter.anew(max);
        let files = kept.as_ref().map(Output::memory).transpose().map_err(SandboxError::Spawn)?;
        self.running.output = kept.map(Output::carry).transpose().map_err(SandboxError::Spawn)?;
        self.follow(files)
    }

    /// Blocks until `input` can be read or has ended; a signal that wants this process to end, if one arrives before that.
    ///
    /// # Errors
    /// [`SandboxError::Wire`] when neither can be waited for.
    pub fn wait_for(&self, input: BorrowedFd<'_>) -> Result<Option<i32>, SandboxError> {
        loop {
            if let Some(signal) = self.running.forwarding.pending().into_iter().find(|signal| ENDS.contains(signal)) {
                return Ok(Some(signal));
            }
            let signals = PollFd::new(self.running.forwarding.as_fd(), PollFlags::POLLIN);
            let mut fds = [signals, PollFd::new(input, PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(wire(errno)),
            }
            let [signalled, readable] = fds.map(|fd| fd.any().unwrap_or(true));
            if readable && !signalled {
                return Ok(None);
            }
        }
    }

    fn send(&self, command: &Command<'_>, kept: Option<&Output>) -> Result<(), SandboxError> {
        let start = Start { argv: words(command.argv), env: environment(command.env), cwd: command.cwd.clone() };
        let mut fds = vec![command.input];
        match command.output {
            Streams::To(out, err) => fds.extend([out, err]),
            Streams::Kept(_) => fds.extend(kept.into_iter().flat_map(Output::ends).map(|(_, end)| end)),
        }
        check_streams(&fds)?;
        let channel = &self.running.channel;
        let short = Down::Command { start: Some(start) };
        let bytes = serde_json::to_vec(&short).map_err(|_| wire(Errno::EPROTO))?;
        if bytes.len() <= MESSAGE_BYTES_MAX {
            return channel.send_bytes(&bytes, &fds).map_err(wire);
        }
        let Down::Command { start: Some(start) } = short else { return Err(wire(Errno::EPROTO)) };
        let file = file_of(&start).map_err(SandboxError::Spawn)?;
        fds.insert(0, file.as_fd());
        channel.send_with(&Down::Command { start: None }, &fds).map_err(wire)
    }

    /// Until the command is over. The end of one that took too much is told by the jar like any other.
    fn follow(&mut self, files: Option<Vec<OwnedFd>>) -> Result<Done, SandboxError> {
        let running = &mut self.running;
        let mut watch = match std::mem::replace(&mut running.watching, Watching::Nothing) {
            Watching::Network(watch) => Some(watch),
            Watching::Nothing | Watching::Guard(_) => None,
        };
        let mut stopped = false;
        let over = loop {
            match running.turn(&mut watch, &mut stopped) {
                Ok(News::Nothing) => {}
                Ok(News::Over { exit, exec_error, .. }) => break Ok((exit, exec_error)),
                Ok(News::TookTooMuch) => running.channel.send(&Down::End, None).map_err(wire)?,
                Err(error) => break Err(error),
            }
        };
        let mut attempts = watch.as_mut().map(Watch::take).unwrap_or_default();
        let crowded = watch.as_mut().is_some_and(Watch::crowded).then_some(Limit::Processes);
        running.watching = watch.map_or(Watching::Nothing, Watching::Network);
        running.foreground.restore();
        let printed = running.output.take().is_some_and(Carrying::finish).then_some(Limit::Output);
        let (exit, exec_error) = over?;
        let (connections, refused) = running.broker.as_ref().map(Broker::pause).unwrap_or_default();
        attempts.extend(refused);
        let kept = files.map(kept_in).transpose().map_err(SandboxError::Spawn)?;
        let limit = running.meter.met().or(printed).or(crowded);
        Ok(Done { exit, exec_error, attempts, connections, limit, kept })
    }
}

fn kept_in(files: Vec<OwnedFd>) -> io::Result<[Vec<u8>; 2]> {
    let mut kept = [Vec::new(), Vec::new()];
    for (bytes, file) in kept.iter_mut().zip(files) {
        let mut file = File::from(file);
        file.rewind()?;
        file.read_to_end(bytes)?;
    }
    Ok(kept)
}

/// A file of the host could be changed through its descriptor: fchmod(2) asks no Landlock. And through a directory the
/// host's tree could be seen, uncovered.
fn check_streams(fds: &[BorrowedFd<'_>]) -> Result<(), SandboxError> {
    for (number, fd) in fds.iter().enumerate() {
        let stat = fstat(fd).map_err(spawn)?;
        let harmless = match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFIFO | SFlag::S_IFSOCK => true,
            // memfd_create(2).
            SFlag::S_IFREG => stat.st_nlink == 0,
            _ => false,
        };
        if !harmless {
            let which = ["input", "output", "error"].get(number).copied().unwrap_or_default();
            let why = format!("standard {which} of a command must be a pipe, a socket or a file without a name");
            return Err(SandboxError::Request(why));
        }
    }
    Ok(())
}

fn spawn(errno: Errno) -> SandboxError {
    SandboxError::Spawn(errno.into())
}
