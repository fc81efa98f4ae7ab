//! A jar at work: passes signals in, learns how the command goes, and how it ended.

use crate::bare::guard::Seen;
use crate::error::SandboxError;
use crate::meter::Meter;
use crate::net::Broker;
use crate::output::Carrying;
use crate::signals::Forwarding;
use crate::start::Jar;
use crate::terminal::Foreground;
use crate::watch::Watch;
use crate::wire::{Channel, Down, Up};
use model::{Attempt, Connection, Containment, Exit, Limit, Usage, Used};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

/// How a command ended and what held it.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code or signal; 127 when it was not found, 126 when it could not be executed.
    pub exit: Exit,
    /// The errno of execve(2) when the command never ran.
    pub exec_error: Option<i32>,
    /// What was really enforced.
    pub containment: Containment,
    /// What it tried on the network and was refused.
    pub attempts: Vec<Attempt>,
    /// Whom it reached.
    pub connections: Vec<Connection>,
    /// The limit that ended it, or that it met.
    pub limit: Option<Limit>,
    /// What it took, where the kernel counted that.
    pub usage: Option<Usage>,
    /// What it took, where that was measured.
    pub used: Option<Used>,
    /// What the kernel may still have of the jar.
    pub remains: Remains,
}

/// Namespaces and mounts of a jar in which nothing runs any more, and which the kernel takes apart. That takes it about a
/// millisecond, in which nothing of the jar can change. Dropping this waits for the end of it.
#[derive(Default)]
pub struct Remains(Option<Jar>);

impl Remains {
    /// Whether nothing of the jar is mounted any more.
    #[must_use]
    pub fn are_gone(&self) -> bool {
        self.0.is_none()
    }
}

impl std::fmt::Debug for Remains {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.are_gone() { "Remains(none)" } else { "Remains(pid 1)" })
    }
}

/// A jar whose command runs. Dropping it ends the command and everything else in the jar.
pub struct Running {
    pub(crate) channel: Channel,
    pub(crate) jar: Jar,
    pub(crate) containment: Containment,
    pub(crate) watching: Watching,
    pub(crate) broker: Option<Broker>,
    pub(crate) output: Option<Carrying>,
    pub(crate) meter: Meter,
    /// Whether the watch has a thread of its own.
    pub(crate) apart: bool,
    /// Whether this process stops when the command does, as a job of a shell has to.
    pub(crate) stops_along: bool,
    pub(crate) forwarding: Forwarding,
    pub(crate) foreground: Foreground,
    /// Standard descriptors that the command has opened again, see `reopen`.
    pub(crate) reopened: Vec<(i32, OwnedFd)>,
}

/// Who sees what the command asks of the kernel.
pub(crate) enum Watching {
    Nothing,
    /// Its network calls.
    Network(Watch),
    /// Everything that namespaces would hold.
    Guard(JoinHandle<Seen>),
}

/// What there is to see.
struct Ready {
    message: bool,
    /// A watched call.
    call: bool,
    /// One about a name, which is refused.
    question: bool,
}

/// What the loop has learned when it ends.
pub(crate) enum News {
    Nothing,
    Over {
        exit: Exit,
        exec_error: Option<i32>,
        /// Whether the jar told it, after it had seen to that nothing else is left in it.
        told: bool,
    },
    /// More than a limit allows.
    TookTooMuch,
}

impl Running {
    /// What is enforced, as the stage reported it.
    #[must_use]
    pub fn containment(&self) -> &Containment {
        &self.containment
    }

    /// Waits until the command has ended and nothing of the jar runs any more; the [`Remains`] are for the kernel to remove. Signals that a process sends to this
    /// one meanwhile (SIGINT, SIGTERM, SIGHUP ...) are passed on to the command; network calls of the command wait
    /// until this is called.
    ///
    /// # Errors
    /// [`SandboxError::Died`] when pid 1 of the jar was killed, [`SandboxError::Wire`] when the socket broke.
    pub fn wait(mut self) -> Result<Ended, SandboxError> {
        let (mut watch, guard) = match std::mem::replace(&mut self.watching, Watching::Nothing) {
            Watching::Nothing => (None, None),
            Watching::Network(watch) => (Some(watch), None),
            Watching::Guard(guard) => (None, Some(guard)),
        };
        let thread =
            if self.apart { watch.take().map(Watch::apart).transpose().map_err(SandboxError::Spawn)? } else { None };
        let mut stopped = false;
        let (exit, exec_error, told) = loop {
            match self.turn(&mut watch, &mut stopped)? {
                News::Nothing => {}
                News::Over { exit, exec_error, told } => {
                    // While the kernel takes the jar apart.
                    self.broker.iter_mut().for_each(Broker::end);
                    break (exit, exec_error, told);
                }
                News::TookTooMuch => {
                    self.jar.end();
                    break (Exit::Signal(libc::SIGKILL), None, false);
                }
            }
        };
        // What somebody else listens to, or counts, ends with the last process.
        let watched = thread.is_some() || guard.is_some() || self.meter.counts_all();
        if watched || !told {
            self.jar.reap_init();
        }
        self.foreground.restore();
        self.follow_readers();
        // What ended before anybody looked may have printed too much all the same.
        let printed = self.output.take().is_some_and(Carrying::finish).then_some(Limit::Output);
        // Nobody is left to call, so the thread ends. A panic in it costs what it had seen.
        let mut watch = thread.map_or(watch, |thread| thread.join().ok());
        let full = watch.as_mut().is_some_and(Watch::crowded);
        let mut attempts = watch.map(Watch::into_attempts).unwrap_or_default();
        let (connections, refused) = self.broker.take().map(Broker::finish).unwrap_or_default();
        attempts.extend(refused);
        let guarded = guard.and_then(|thread| thread.join().ok()).unwrap_or_default();
        attempts.extend(guarded.attempts);
        let crowded = (guarded.crowded || full).then_some(Limit::Processes);
        let limit = self.meter.met().or(printed).or(crowded);
        let (usage, used) = (self.meter.usage(), self.meter.used());
        let remains = Remains(Some(self.jar).filter(Jar::is_there));
        Ok(Ended {
            exit,
            exec_error,
            containment: self.containment,
            attempts,
            connections,
            limit,
            usage,
            used,
            remains,
        })
    }

    /// Whoever shares the caller's descriptors reads on behind what the command has read.
    fn follow_readers(&self) {
        for (number, fd) in &self.reopened {
            if let Some(own) = crate::facts::standard(*number) {
                // Fails where the file system cannot seek; then there never was a place to keep.
                let _ = crate::reopen::follow(own, fd);
            }
        }
    }

    /// Waits for something to happen and deals with it.
    pub(crate) fn turn(&mut self, watch: &mut Option<Watch>, stopped: &mut bool) -> Result<News, SandboxError> {
        let Ready { message, call, question } = self.ready(watch.as_ref()).map_err(wire)?;
        if question {
            self.broker.iter().for_each(Broker::answer);
        }
        if self.meter.look(self.output.as_ref().is_some_and(Carrying::over)) {
            return Ok(News::TookTooMuch);
        }
        // Not only when poll said so: on its way out with a message, this process may have been stopped and
        // continued, and that must be known before the message of the command's own stop is acted on.
        let resumed = self.forward(*stopped).map_err(wire)?;
        if call && watch.as_mut().is_some_and(|watch| !watch.look()) {
            *watch = watch.take().map(Watch::close);
        }
        if message { self.listen(stopped, resumed) } else { Ok(News::Nothing) }
    }

    /// Blocks until the meter wants to look, or there is something to see or a signal.
    fn ready(&self, watch: Option<&Watch>) -> Result<Ready, Errno> {
        let questions = self.broker.as_ref().and_then(Broker::questions);
        let call = watch.and_then(Watch::descriptor);
        let mut fds = vec![
            PollFd::new(self.forwarding.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.channel.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend([call, questions].into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        // A signal and the message of what it did must be seen together: after EINTR both are looked for again.
        while let Err(errno) = poll(&mut fds, self.meter.patience()) {
            if errno != Errno::EINTR {
                return Err(errno);
            }
        }
        let mut ready = fds.iter().skip(1).map(|fd| fd.any().unwrap_or(true));
        let mut next = |is_there: bool| is_there && ready.next().unwrap_or(true);
        Ok(Ready { message: next(true), call: next(call.is_some()), question: next(questions.is_some()) })
    }

    /// Passes on what has arrived. True when this process was continued.
    fn forward(&self, stopped: bool) -> Result<bool, Errno> {
        let mut resumed = false;
        for signal in self.forwarding.pending() {
            resumed |= signal == libc::SIGCONT;
            if signal != libc::SIGCONT || stopped {
                match self.channel.send(&Down::Signal { signal }, None) {
                    // The end of the jar is on its way up.
                    Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(resumed),
                    sent => sent?,
                }
            }
        }
        Ok(resumed)
    }

    fn listen(&mut self, stopped: &mut bool, resumed: bool) -> Result<News, SandboxError> {
        match self.channel.receive::<Up>().map_err(wire)? {
            Some((Up::Ended { exit }, _)) => {
                return Ok(News::Over { exit, exec_error: None, told: true });
            }
            Some((Up::NotExecuted { errno }, _)) => return Ok(not_executed(errno)),
            Some((Up::Failed { fault }, _)) => return Err(SandboxError::from_fault(fault)),
            Some((Up::Stopped { signal }, _)) => {
                *stopped = true;
                // SIGSTOP to the whole group: then this process was stopped with the command, has just been continued
                // with it, and must not stop again.
                if !resumed && self.stops_along {
                    self.forwarding.stop_like(signal);
                }
            }
            Some((Up::Continued, _)) => *stopped = false,
            Some((Up::Ending, _)) => self.jar.ending.store(true, Ordering::Relaxed),
            Some(_) => return Err(wire(Errno::EPROTO)),
            // The kernel spares no process of a jar that ran out of memory, nor its first.
            None if self.meter.out_of_memory() => {
                return Ok(News::Over { exit: Exit::Signal(libc::SIGKILL), exec_error: None, told: false });
            }
            None => return Err(self.jar.death()),
        }
        Ok(News::Nothing)
    }
}

pub(crate) fn wire(errno: Errno) -> SandboxError {
    SandboxError::Wire(errno.into())
}

/// The codes of a POSIX shell.
fn not_executed(errno: i32) -> News {
    let code = if Errno::from_raw(errno) == Errno::ENOENT { 127 } else { 126 };
    News::Over { exit: Exit::Code(code), exec_error: Some(errno), told: true }
}
