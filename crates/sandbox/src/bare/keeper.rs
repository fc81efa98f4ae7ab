//! The processes that hold a jar without namespaces. The *keeper* (the stage, in a session of its own, so that no signal to
//! the caller's group meets it) begins the *first process*, which begins the command and does for it what pid 1 does in a
//! pid namespace. Both are subreapers and watch whom they depend on: whichever of Belljar, keeper and first process dies,
//! the others end everything below. Only the command is in the Landlock domain and under the filter, so it can reach
//! neither of them.

use super::tree;
use crate::init::{self, INIT_NAME};
use crate::perform::Executor;
use crate::plan::{Ground, Plan};
use crate::stage::{describe, wait_for_plan};
use crate::sys;
use crate::wire::{Channel, Fault, FaultKind, Up};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, execve, getpid, getppid, setsid};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Runs in the stage, until the jar is over; the code it leaves with.
pub(crate) fn run(channel: Channel, ground: &Ground) -> i32 {
    match begin(&channel, ground) {
        Ok((caller, first)) => {
            drop(channel);
            keep(&caller, &first);
            tree::end(getpid().as_raw());
            0
        }
        Err(errno) => {
            let fault = Fault::new(FaultKind::Other, "begin the jar's first process", errno);
            // If Belljar is gone, nobody wants to know.
            let _ = channel.send(&Up::Failed { fault }, None);
            125
        }
    }
}

/// Descriptors of Belljar and of the first process.
fn begin(channel: &Channel, ground: &Ground) -> Result<(OwnedFd, OwnedFd), Errno> {
    prctl::set_child_subreaper(true)?;
    let caller = sys::pidfd(getppid().as_raw())?;
    let keeper = sys::pidfd(getpid().as_raw())?;
    let Some(first) = sys::clone_process(libc::SIGCHLD)? else {
        drop(caller);
        sys::leave(first_process(channel, ground, &keeper));
    };
    let done = sys::pidfd(first.as_raw()).and_then(|first| settle_down().map(|()| (caller, first)));
    done.inspect_err(|_| tree::end(getpid().as_raw()))
}

/// Nothing of the caller's is held, and no signal but SIGKILL arrives.
fn settle_down() -> Result<(), Errno> {
    SigSet::all().thread_block()?;
    setsid()?;
    prctl::set_dumpable(false)?;
    prctl::set_name(c"belljar-keeper")?;
    let nothing = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    dup2_stderr(&nothing)
}

fn keep(caller: &OwnedFd, first: &OwnedFd) {
    let mut fds = [caller, first].map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
    while poll(&mut fds, PollTimeout::NONE) == Err(Errno::EINTR) {}
}

/// From its first breath to its exit code.
fn first_process(channel: &Channel, ground: &Ground, keeper: &OwnedFd) -> i32 {
    let plain = |errno| Fault::new(FaultKind::Other, "prepare the first process", errno);
    // Told here and not by the keeper, so that it is told before anything else is.
    let born = || channel.send(&Up::Born { pid: getpid().as_raw() }, None);
    let begun = listen().and_then(|before| born().map(|()| before)).map_err(plain).and_then(|before| {
        let plan = wait_for_plan(channel)?;
        let command = start(channel, ground, &plan, &before).map_err(plain)?;
        Ok((plan, command))
    });
    match begun {
        Ok((_, command)) => {
            let served = serve(channel, keeper.as_fd(), command);
            tree::end(getpid().as_raw());
            served.and_then(|exit| channel.send(&Up::Ended { exit }, None)).map_or(125, |()| 0)
        }
        Err(fault) => {
            // If Belljar is gone, nobody wants to know.
            let _ = channel.send(&Up::Failed { fault }, None);
            125
        }
    }
}

/// A pid 1 gets no signal it has not asked for; this one must not either. Returns the mask before that.
fn listen() -> Result<SigSet, Errno> {
    let before = SigSet::thread_get_mask()?;
    SigSet::all().thread_block()?;
    prctl::set_child_subreaper(true)?;
    prctl::set_dumpable(false)?;
    prctl::set_name(INIT_NAME)?;
    Ok(before)
}

fn serve(channel: &Channel, keeper: BorrowedFd<'_>, command: i32) -> Result<model::Exit, Errno> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    let children = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let exit = init::attend(channel, &children, command, Some(keeper), None)?;
    // From here on nobody starts a process any more.
    channel.send(&Up::Ending, None)?;
    Ok(exit)
}

/// Forks the command, which restricts itself.
fn start(channel: &Channel, ground: &Ground, plan: &Plan, mask: &SigSet) -> Result<i32, Errno> {
    match sys::clone_process(libc::SIGCHLD)? {
        Some(command) => Ok(command.as_raw()),
        None => sys::leave(become_command(channel, ground, plan, mask)),
    }
}

fn become_command(channel: &Channel, ground: &Ground, plan: &Plan, mask: &SigSet) -> i32 {
    let mut executor = Executor::new(channel, ground);
    describe(&mut executor, plan);
    let said = match executor.perform(&plan.steps) {
        Ok(()) => {
            let Executor { containment, watch, .. } = executor;
            let ready = Up::Ready { containment, counted: false };
            let told = channel.send(&ready, watch.as_ref().map(AsFd::as_fd));
            drop(watch);
            let refused = told.and_then(|()| execute(plan, mask));
            let errno = refused.err().unwrap_or(Errno::ENOEXEC);
            channel.send(&Up::NotExecuted { errno: errno as i32 }, None)
        }
        Err(fault) => channel.send(&Up::Failed { fault }, None),
    };
    said.map_or(125, |()| 127)
}

/// Returns only when there is nothing to execute.
fn execute(plan: &Plan, mask: &SigSet) -> Result<(), Errno> {
    sys::default_signal(libc::SIGPIPE)?;
    mask.thread_set_mask()?;
    let (argv, env) = (init::strings(&plan.argv)?, init::strings(&plan.env)?);
    let name = plan.argv.first().ok_or(Errno::ENOENT)?;
    let mut refused = Errno::ENOENT;
    for path in init::candidates(name, &plan.env) {
        let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
        let Err(errno) = execve(&path, &argv, &env);
        match errno {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => refused = Errno::EACCES,
            Errno::ENOEXEC => {
                let rest = argv.iter().skip(1).cloned();
                let script: Vec<CString> = [init::SHELL.to_owned(), path].into_iter().chain(rest).collect();
                let Err(errno) = execve(init::SHELL, &script, &env);
                return Err(errno);
            }
            errno => return Err(errno),
        }
    }
    Err(refused)
}
