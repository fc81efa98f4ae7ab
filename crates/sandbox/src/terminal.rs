//! The terminal's foreground: an interactive shell inside takes it and, from its own pid namespace, cannot name the
//! group it took it from when it ends. Belljar takes it back.

use crate::facts::standard;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};
use std::os::fd::BorrowedFd;

/// The terminal on which this process group was in the foreground, if there was one.
pub(crate) struct Foreground(Option<(BorrowedFd<'static>, Pid)>);

impl Foreground {
    pub(crate) fn remember() -> Foreground {
        let group = getpgrp();
        let mine = |fd: &BorrowedFd<'static>| tcgetpgrp(fd).is_ok_and(|foreground| foreground == group);
        Foreground((0..=2).filter_map(standard).find(mine).map(|fd| (fd, group)))
    }

    /// Makes the group the foreground again. Done from the background, that sends SIGTTOU, which is kept away.
    pub(crate) fn restore(&self) {
        let Some((fd, group)) = self.0 else { return };
        if tcgetpgrp(fd).is_ok_and(|foreground| foreground == group) {
            return;
        }
        let mut background = SigSet::empty();
        background.add(Signal::SIGTTOU);
        let Ok(before) = background.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK) else {
            return;
        };
        // Fails when the terminal is gone; then there is no foreground to have.
        let _ = tcsetpgrp(fd, group);
        let _ = before.thread_set_mask();
    }
}
