//! Pid 1 of the jar: starts the command, reaps what is left alone, passes signals on, and ends everything when the
//! command ends or Belljar is gone. The kernel ends every process of a pid namespace with its pid 1.

use crate::ahead::{Ahead, Pending};
use crate::perform::Executor;
use crate::plan::{Plan, Step};
use crate::stage::read_file;
use crate::sys;
use crate::wire::{Channel, Down, Fault, FaultKind, Start, Up};
use model::{Exit, FilePath};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::unistd::{AccessFlags, access, chdir, dup2_stderr, dup2_stdin, dup2_stdout};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Where execvp(3) looks when there is no `PATH`.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";
/// The name of pid 1 in every jar.
pub(crate) const INIT_NAME: &std::ffi::CStr = c"belljar-init";
/// What runs a script without an interpreter line, as in execvp(3).
pub(crate) const SHELL: &std::ffi::CStr = c"/bin/sh";

/// Blocks the signals pid 1 reads from a descriptor; returns the mask before that, and the set.
pub(crate) fn listen() -> Result<(SigSet, SigSet), Errno> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    let before = SigSet::thread_get_mask()?;
    set.thread_block()?;
    // The command's environment and memory are its own; those of pid 1 are nobody's.
    prctl::set_dumpable(false)?;
    // How another Belljar inside knows where it is; nobody but this process can change it.
    prctl::set_name(INIT_NAME)?;
    Ok((before, set))
}

/// Tells that the jar stands, and runs its command to the end; in a live jar, one after the other. What is `absent` is not looked
/// for.
pub(crate) fn run(
    channel: &Channel,
    plan: &Plan,
    absent: &[Vec<u8>],
    executor: Executor<'_>,
    mask: &SigSet,
    sigchld: &SigSet,
) -> Result<(), Errno> {
    if plan.ends_with_its_parent() {
        // The closed socket tells the same, unless a thread of Belljar cannot be killed: see `Watch::apart`.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
    }
    let children = SignalFd::with_flags(sigchld, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let Executor { containment, watch, counted, .. } = executor;
    channel.send(&Up::Ready { containment, counted }, watch.as_ref().map(AsFd::as_fd))?;
    drop(watch);
    let one = One { channel, children: &children, mask, absent, ahead: plan.ahead.as_ref() };
    match plan.live {
        true => live(&one),
        false => one.run(&plan.argv, &plan.env, &[]),
    }
}

/// One command after the other, until Belljar hangs up.
fn live(one: &One<'_>) -> Result<(), Errno> {
    // What it has of Belljar's own streams is for no command.
    let nothing = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    dup2_stderr(&nothing)?;
    let mut ahead = one.ahead;
    while let Some((message, fds)) = one.channel.receive_with::<Down>()? {
        // A signal may come late, for a command that has ended.
        let Down::Command { start } = message else { continue };
        let (start, stdio) = match (start, fds.split_first()) {
            (Some(start), _) => (start, fds.as_slice()),
            (None, Some((file, stdio))) => (read_file::<Start>(file).map_err(|_| Errno::EPROTO)?, stdio),
            (None, None) => return Err(Errno::EPROTO),
        };
        match chdir(start.cwd.as_path()) {
            Ok(()) => One { ahead: ahead.take(), ..*one }.run(&start.argv, &start.env, stdio)?,
            Err(errno) => {
                let fault = Fault::new(FaultKind::Cwd, format!("enter the working directory {}", start.cwd), errno);
                one.channel.send(&Up::Failed { fault }, None)?;
            }
        }
    }
    Ok(())
}

/// What the run of one command needs.
struct One<'a> {
    channel: &'a Channel,
    children: &'a SignalFd,
    mask: &'a SigSet,
    /// Where its program is known not to be.
    absent: &'a [Vec<u8>],
    /// Is begun with it.
    ahead: Option<&'a Ahead>,
}

impl One<'_> {
    /// From its start to the end of all it has started. `stdio` are its standard descriptors, or none for those of pid 1.
    fn run(&self, argv: &[FilePath], env: &[FilePath], stdio: &[OwnedFd]) -> Result<(), Errno> {
        let command = match self.execute(argv, env, stdio) {
            Ok(pid) => pid,
            Err(errno) => return self.channel.send(&Up::NotExecuted { errno: errno as i32 }, None),
        };
        let exit = attend(self.channel, self.children, command, None, self.ahead.map(Pending::new))?;
        end_everything()?;
        self.channel.send(&Up::Ended { exit }, None)
    }

    /// Starts the command with the caller's signal mask, in the caller's process group and session.
    fn execute(&self, argv: &[FilePath], env: &[FilePath], stdio: &[OwnedFd]) -> Result<i32, Errno> {
        let name = argv.first().ok_or(Errno::ENOENT)?;
        let (words, vars) = (strings(argv)?, strings(env)?);
        let (attributes, streams) = (attributes(self.mask)?, Streams::new(stdio)?);
        let mut refused = Errno::ENOENT;
        for path in candidates(name, env).into_iter().filter(|path| !self.absent.contains(path)) {
            let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
            // Where nothing is, no process need be made to find that out.
            let there = access(path.as_c_str(), AccessFlags::F_OK);
            match there.and_then(|()| start(&path, &attributes, &streams, &words, &vars)) {
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(Errno::EACCES) => refused = Errno::EACCES,
                done => return done,
            }
        }
        Err(refused)
    }
}

/// Waits until the command has ended; `keeper` is a process without whom it may not go on.
pub(crate) fn attend(
    channel: &Channel,
    children: &SignalFd,
    command: i32,
    keeper: Option<BorrowedFd<'_>>,
    mut ahead: Option<Pending<'_>>,
) -> Result<Exit, Errno> {
    let watched = [children.as_fd(), channel.as_fd()].into_iter().chain(keeper);
    let mut fds: Vec<PollFd<'_>> = watched.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    loop {
        match poll(&mut fds, ahead.as_ref().map_or(PollTimeout::NONE, Pending::left)) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        ahead = ahead.and_then(Pending::begin_in_time);
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
        let (child, control) = (ready.next().unwrap_or(true), ready.next().unwrap_or(true));
        if ready.next().unwrap_or(false) {
            return Err(Errno::EPIPE);
        }
        if child {
            while children.read_signal()?.is_some() {}
            if let Some(exit) = reap(channel, command)? {
                return Ok(exit);
            }
        }
        if control {
            match channel.receive::<Down>()? {
                // A command that has just ended cannot be signalled any more.
                Some((Down::Signal { signal }, _)) => or_gone(sys::kill(command, signal))?,
                Some((Down::End, _)) => end_all()?,
                Some((Down::Served | Down::Go | Down::Plan | Down::Command { .. }, _)) => {}
                None => return Err(Errno::EPIPE),
            }
        }
    }
}

fn or_gone(done: Result<(), Errno>) -> Result<(), Errno> {
    if done == Err(Errno::ESRCH) { Ok(()) } else { done }
}

/// Takes every change of state there is to learn; tells Belljar of the command's.
fn reap(channel: &Channel, command: i32) -> Result<Option<Exit>, Errno> {
    let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
    loop {
        let (pid, status) = match sys::wait(-1, flags) {
            Ok(Some(change)) => change,
            Ok(None) | Err(Errno::ECHILD) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        if pid != command {
            continue;
        }
        if let Some(exit) = exit_of(status) {
            return Ok(Some(exit));
        }
        let news = match libc::WIFSTOPPED(status) {
            true => Up::Stopped { signal: libc::WSTOPSIG(status) },
            false => Up::Continued,
        };
        channel.send(&news, None)?;
    }
}

/// How a process ended, if it did.
pub(crate) fn exit_of(status: i32) -> Option<Exit> {
    if libc::WIFEXITED(status) {
        return Some(Exit::Code(libc::WEXITSTATUS(status)));
    }
    libc::WIFSIGNALED(status).then(|| Exit::Signal(libc::WTERMSIG(status)))
}

/// Kills what the command left behind and waits for it, so that nothing writes any more when Belljar hears the end.
fn end_everything() -> Result<(), Errno> {
    // Who has no child is alone in its pid namespace: whoever loses its parent there becomes one.
    if sys::wait(-1, libc::WNOHANG) == Err(Errno::ECHILD) {
        return Ok(());
    }
    end_all()?;
    loop {
        match sys::wait(-1, 0) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
}

/// Kills every process of the jar but this one.
fn end_all() -> Result<(), Errno> {
    const EVERYBODY: i32 = -1;
    // Only pid 1 of a namespace may mean its own jar when it says everybody.
    if nix::unistd::getpid().as_raw() != 1 {
        return Err(Errno::EPERM);
    }
    or_gone(sys::kill(EVERYBODY, libc::SIGKILL))
}

/// Standard descriptors of a command's own.
struct Streams {
    actions: PosixSpawnFileActions,
    /// Numbers above those they are going to have.
    _above: Vec<OwnedFd>,
}

impl Streams {
    fn new(stdio: &[OwnedFd]) -> Result<Streams, Errno> {
        let above = stdio.iter().map(above_standard).collect::<Result<Vec<_>, _>>()?;
        let mut actions = PosixSpawnFileActions::init()?;
        for (number, fd) in (0..).zip(&above) {
            actions.add_dup2(fd.as_raw_fd(), number)?;
        }
        Ok(Streams { actions, _above: above })
    }
}

/// A descriptor that came over the socket may have the number of a stream that was closed.
fn above_standard(fd: &OwnedFd) -> Result<OwnedFd, Errno> {
    const ABOVE_STANDARD: i32 = 3;
    fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(ABOVE_STANDARD)).map(sys::adopt)
}

fn start(
    path: &CString,
    attributes: &PosixSpawnAttr,
    streams: &Streams,
    argv: &[CString],
    env: &[CString],
) -> Result<i32, Errno> {
    let spawned = posix_spawn(path.as_c_str(), &streams.actions, attributes, argv, env);
    let spawned = match spawned {
        Err(Errno::ENOEXEC) => {
            let rest = argv.iter().skip(1).cloned();
            let script: Vec<CString> = [SHELL.to_owned(), path.clone()].into_iter().chain(rest).collect();
            posix_spawn(SHELL, &streams.actions, attributes, &script, env)
        }
        other => other,
    };
    spawned.map(nix::unistd::Pid::as_raw)
}

pub(crate) fn strings(words: &[FilePath]) -> Result<Vec<CString>, Errno> {
    words.iter().map(|word| CString::new(word.as_bytes()).map_err(|_| Errno::EINVAL)).collect()
}

/// The caller's mask; and SIGPIPE as it is by default, because Rust programs start with it ignored.
fn attributes(mask: &SigSet) -> Result<PosixSpawnAttr, Errno> {
    let mut defaults = SigSet::empty();
    defaults.add(Signal::SIGPIPE);
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)?;
    attributes.set_sigmask(mask)?;
    attributes.set_sigdefault(&defaults)?;
    Ok(attributes)
}

/// Where the program may be, in order: itself when it names a path, else below each directory of the jar's `PATH`.
pub(crate) fn candidates(name: &FilePath, env: &[FilePath]) -> Vec<Vec<u8>> {
    let name = name.as_bytes();
    if name.contains(&b'/') || name.is_empty() {
        return vec![name.to_vec()];
    }
    let path = env.iter().find_map(|var| var.as_bytes().strip_prefix(b"PATH=")).unwrap_or(DEFAULT_PATH);
    let directories = path.split(|byte| *byte == b':');
    directories.map(|dir| if dir.is_empty() { name.to_vec() } else { [dir, b"/", name].concat() }).collect()
}

/// Where below the writable roots the command's program is not, as the host has them. Asked before any view is there: through
/// one each name on a long `PATH` costs messages to Belljar and back. Empty where the roots show more than the host has.
pub(crate) fn absent(plan: &Plan) -> Vec<Vec<u8>> {
    let roots: Vec<&FilePath> = plan.steps.iter().filter_map(root_of).filter(|_| plan.untouched).collect();
    let Some(name) = plan.argv.first().filter(|_| !roots.is_empty()) else { return Vec::new() };
    let candidates = candidates(name, &plan.env).into_iter().filter(|path| {
        let path = FilePath::from(path.clone());
        path != *name && path.normalise() == path && roots.iter().any(|root| path.starts_with(root))
    });
    let missing =
        |path: &Vec<u8>| matches!(access(path.as_slice(), AccessFlags::F_OK), Err(Errno::ENOENT | Errno::ENOTDIR));
    candidates.filter(missing).collect()
}

fn root_of(step: &Step) -> Option<&FilePath> {
    match step {
        Step::Root { at, .. } => Some(at),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_up_as_execvp_does() {
        let env = |text: &str| vec![FilePath::from("A=b"), FilePath::from(text)];
        let look = |name: &str, env: &[FilePath]| -> Vec<String> {
            let found = candidates(&FilePath::from(name), env);
            found.into_iter().map(|path| String::from_utf8(path).unwrap()).collect()
        };
        assert_eq!(look("ls", &env("PATH=/a::/b")), ["/a/ls", "ls", "/b/ls"]);
        assert_eq!(look("./ls", &env("PATH=/a")), ["./ls"]);
        assert_eq!(look("ls", &[]), ["/bin/ls", "/usr/bin/ls"]);
    }
}
