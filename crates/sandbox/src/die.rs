//! Ending as the command ended: a parent that looks at `WIFSIGNALED` must see no difference.

use crate::sys;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Dies of `signal`, without a core dump of our own: the command, if anybody, has left one. Returns where that signal
/// does not end a process.
pub fn die_of(signal: i32) {
    // What fails here costs a core file or turns the death into an exit code, which says the same to a shell.
    let _ = getrlimit(Resource::RLIMIT_CORE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_CORE, 0, hard));
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    // SIGKILL and SIGSTOP have no other action than their default and refuse to be given it.
    let _ = sys::default_signal(signal);
    let _ = sys::kill(own, signal);
}
