//! A real terminal around a command: its keyboard and its screen.

use crate::wait::Child;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long the screen may stay without what a test waits for.
const SCREEN_SECONDS_MAX: u64 = 60;
/// One look at the screen.
const LOOK_MS: u8 = 50;
/// The size of every test's window, set by stty(1) because a safe ioctl(2) for it does not exist.
const WINDOW: [&str; 4] = ["rows", "40", "cols", "160"];

/// A command in a session of its own on a terminal of its own.
#[derive(Debug)]
pub struct Pty {
    master: File,
    child: Child,
    /// Everything that appeared so far, as it came.
    screen: Vec<u8>,
    /// How much of it earlier waits have used up.
    seen: usize,
}

impl Pty {
    /// Starts `program` with `args`. setsid(1) makes the terminal its controlling one, which a safe `Command` cannot.
    pub(crate) fn start(command: &mut Command, owner: (u32, u32)) -> Pty {
        let (master, slave) = open(owner);
        let end = || Stdio::from(slave.try_clone().expect("duplicate the terminal"));
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("start setsid");
        Pty { master: File::from(master), child: Child::new(child, None), screen: Vec::new(), seen: 0 }
    }

    /// The process id of the command.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// Types `keys`.
    pub fn send(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("type on the terminal");
    }

    /// Waits until `text` appears after what earlier waits have used up; panics with the screen when it does not.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> &mut Pty {
        let start = Instant::now();
        loop {
            let fresh = String::from_utf8_lossy(&self.screen[self.seen..]).into_owned();
            if let Some(at) = fresh.find(text) {
                // Replacement characters make `fresh` longer than the bytes; the bound keeps this inside.
                self.seen = (self.seen + at + text.len()).min(self.screen.len());
                return self;
            }
            let late = start.elapsed() > Duration::from_secs(SCREEN_SECONDS_MAX);
            assert!(!late && self.look(), "no {text:?} on the screen:\n{}", self.screen());
        }
    }

    /// Sends the command `signal`, as kill(1) does.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        self.child.signal(signal);
    }

    /// Everything that appeared so far.
    #[must_use]
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen).into_owned()
    }

    /// Reads the screen until the command closes it, and returns how it ended.
    pub fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        while self.look() {
            let late = start.elapsed() > Duration::from_secs(SCREEN_SECONDS_MAX);
            assert!(!late, "the command did not end; its screen:\n{}", self.screen());
            if !self.child.is_running() && !self.is_readable() {
                break;
            }
        }
        self.child.wait()
    }

    /// Closes the terminal, as closing its window does, and returns how the command ended.
    #[must_use]
    pub fn hang_up(self) -> ExitStatus {
        let Pty { master, mut child, .. } = self;
        drop(master);
        child.wait()
    }

    /// Takes what is on the screen now, waiting a moment for it. `false` when the other side is closed for good.
    fn look(&mut self) -> bool {
        if !self.is_readable() {
            return true;
        }
        let mut buffer = [0u8; 4096];
        match self.master.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.screen.extend_from_slice(&buffer[..count]);
                true
            }
        }
    }

    fn is_readable(&self) -> bool {
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(LOOK_MS)).is_ok_and(|ready| ready > 0)
    }
}

/// A new terminal that belongs to `owner`. Close-on-exec from the start (openpty(3) cannot): a child that inherited the
/// keyboard's end would keep the terminal from ever hanging up.
fn open(owner: (u32, u32)) -> (OwnedFd, File) {
    let master: PtyMaster = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("open a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("unlock the terminal");
    let path = ptsname_r(&master).expect("name the terminal");
    chown(&path, Some(owner.0), Some(owner.1)).expect("hand the terminal over");
    let no_controlling = OFlag::O_NOCTTY.bits();
    let slave =
        OpenOptions::new().read(true).write(true).custom_flags(no_controlling).open(&path).expect("open its end");
    let sized = Command::new("stty").arg("-F").arg(&path).args(WINDOW).status().expect("run stty");
    assert!(sized.success(), "set the size of {path}");
    (master.into(), slave)
}

#[cfg(test)]
mod tests {
    use super::Pty;
    use std::process::Command;

    fn shell(script: &str) -> Pty {
        let me = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        Pty::start(Command::new("setsid").args(["--ctty", "sh", "-c", script]), me)
    }

    #[test]
    fn keys_go_in_and_the_screen_comes_out() {
        let mut pty = shell("test -t 0 && echo name? && read name </dev/tty && echo hello $name; exit 3");
        pty.expect("name?").send("bell\n");
        pty.expect("hello bell");
        assert_eq!(pty.wait().code(), Some(3));
    }

    #[test]
    fn ctrl_c_is_a_signal_from_the_terminal() {
        let mut pty = shell("trap 'echo caught; exit 7' INT; echo ready; sleep 30 & wait");
        pty.expect("ready").send("\x03");
        pty.expect("caught");
        assert_eq!(pty.wait().code(), Some(7));
    }
}
