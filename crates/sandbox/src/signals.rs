//! Signals while a command runs: what a process sends to Belljar is meant for the command. What the terminal sends
//! (Ctrl-C, Ctrl-\, Ctrl-Z) reaches the command by itself, because it is in the same process group; Belljar survives
//! it and stops only when the command has.

use crate::sys;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{pipe2, read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// SIGTTOU is not among them: a write to the terminal from the background would be restarted for ever.
const CAUGHT: &[i32] = &[
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGCONT,
];

/// Handlers in place until dropped. Signal handlers belong to the whole process: of several jars at once, the first
/// has the signals.
pub(crate) struct Forwarding {
    numbers: OwnedFd,
    _writer: OwnedFd,
    saved: Vec<(i32, libc::sigaction)>,
    ours: bool,
}

impl Forwarding {
    pub(crate) fn install() -> Result<Forwarding, Errno> {
        let (numbers, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let ours = sys::claim_signal_pipe(writer.as_raw_fd());
        let mut forwarding = Forwarding { numbers, _writer: writer, saved: Vec::new(), ours };
        if ours {
            for signal in CAUGHT {
                let old = sys::catch_signal(*signal)?;
                forwarding.saved.extend(old.map(|old| (*signal, old)));
            }
        }
        Ok(forwarding)
    }

    /// The signals that have arrived since the last call.
    pub(crate) fn pending(&self) -> Vec<i32> {
        // More than the kernel can have waiting of nine kinds; what is left over is read the next time.
        let mut bytes = [0u8; 64];
        let length = read(&self.numbers, &mut bytes).unwrap_or(0);
        bytes.iter().take(length).map(|byte| i32::from(*byte)).collect()
    }

    /// Stops this process as the command was stopped, so that a shell sees the job stopped; returns when it has been
    /// continued. SIGSTOP for what is not caught here, as for what the caller ignores.
    ///
    /// The terminal's own stop signal is caught, and not left to its default: it arrives at some moment around the
    /// message that the command has stopped, and acted on twice it would stop a job that was just resumed.
    pub(crate) fn stop_like(&self, signal: i32) {
        let stopping = match signal {
            libc::SIGTSTP | libc::SIGTTIN => self.saved.iter().any(|(caught, _)| *caught == signal),
            _ => signal == libc::SIGTTOU,
        };
        // Raising a valid signal in this very thread cannot fail.
        let _ = sys::stop_by(if stopping { signal } else { libc::SIGSTOP });
    }
}

impl AsFd for Forwarding {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.numbers.as_fd()
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        for (signal, old) in &self.saved {
            sys::restore_signal(*signal, old);
        }
        if self.ours {
            sys::release_signal_pipe();
        }
    }
}
