//! The supervisor of a jar without namespaces, a thread of Belljar without capabilities: seccomp_unotify(2).
//!
//! A call is let go on only where the kernel itself judges what it does: Landlock every file that is opened. What the
//! caller's memory says may change after it was read, so whatever is judged here is also done here, on what was judged:
//! files by descriptor, sockets by the address that was read.

mod attributes;
mod caller;
mod files;
mod network;
mod sockets;

use super::tree;
use crate::net::{Door, Inside};
use crate::sys;
use attributes::Change;
use caller::Caller;
use files::Files;
use model::{Action, Attempt, FilePath, Hidden, PathScope, Target};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use sockets::Sockets;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Distinct attempts that are remembered.
const ATTEMPTS_MAX: usize = 1_024;

/// What the supervisor goes by.
pub(crate) struct Rules {
    /// The jar's first process, below which everything of it is.
    pub(crate) first: i32,
    /// Where it may write.
    pub(crate) trees: Vec<FilePath>,
    /// Directories of which it may see the names.
    pub(crate) listed: Vec<FilePath>,
    /// What it may not see, for the record.
    pub(crate) hidden: Vec<Hidden>,
    /// The most processes and threads.
    pub(crate) processes: u64,
    /// Where connections go.
    pub(crate) door: Door,
    /// The host's own name.
    pub(crate) hostname: String,
    /// Set when no process may be started any more.
    pub(crate) ending: Arc<AtomicBool>,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Seen {
    /// What was refused.
    pub(crate) attempts: Vec<Attempt>,
    /// Whether processes were refused.
    pub(crate) crowded: bool,
}

/// How a call is answered.
enum Answer {
    /// The kernel judges it.
    GoOn,
    /// It was made, with this result, or is refused.
    Done(Result<i64, Errno>),
    /// It gets this descriptor.
    Opened(OwnedFd, bool),
    /// Somebody else answers.
    Later,
}

impl From<Result<(), Errno>> for Answer {
    fn from(done: Result<(), Errno>) -> Answer {
        Answer::Done(done.map(|()| 0))
    }
}

/// The supervisor's end of the filter.
pub(crate) struct Guard {
    listener: Arc<OwnedFd>,
    rules: Rules,
    /// What of the rules is hidden, by its path.
    hidden: HashMap<PathBuf, String>,
    files: Files,
    sockets: Sockets,
    /// The network, as far as there is one.
    inside: Arc<Inside>,
    /// No fewer processes and threads than there are.
    forks: u64,
    crowded: bool,
    attempts: BTreeMap<(Action, Target, String), u64>,
}

impl Guard {
    /// Begins in a thread of its own, which ends when nobody is left who could call.
    pub(crate) fn start(listener: OwnedFd, rules: Rules) -> io::Result<JoinHandle<Seen>> {
        let files = Files::new(&rules.listed, &Door::tables(&rules.hostname))?;
        let listener = Arc::new(listener);
        let hidden =
            rules.hidden.iter().map(|hidden| (hidden.path.as_path().to_owned(), hidden.rule.clone())).collect();
        let (sockets, attempts) = (Sockets::default(), BTreeMap::new());
        let inside = Inside::start(rules.door.clone(), rules.first)?;
        let mut guard = Guard { listener, rules, hidden, files, sockets, inside, forks: 0, crowded: false, attempts };
        std::thread::Builder::new().name("belljar-guard".into()).spawn(move || {
            // What the command could not do by itself must not be done for it. Where that cannot be had, the listener is
            // closed and every judged call fails.
            if sys::clear_capabilities().is_ok() {
                guard.serve();
            }
            guard.finish()
        })
    }

    fn serve(&mut self) {
        // Without it everything is merely slower.
        let _ = sys::take_turns(self.listener.as_fd());
        loop {
            let mut fds = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
            let polled = poll(&mut fds, PollTimeout::NONE);
            let [fd] = fds;
            let events = fd.revents().unwrap_or(PollFlags::empty());
            if events.contains(PollFlags::POLLHUP) || matches!(polled, Err(errno) if errno != Errno::EINTR) {
                return;
            }
            if events.contains(PollFlags::POLLIN) {
                match sys::notification(self.listener.as_fd()) {
                    Ok(event) => self.answer(&event),
                    // The caller was killed between poll and here.
                    Err(Errno::ENOENT | Errno::EINTR) => {}
                    Err(_) => return,
                }
            }
        }
    }

    fn answer(&mut self, event: &libc::seccomp_notif) {
        let caller = || Caller::new(Arc::clone(&self.listener), event);
        let call = i64::from(event.data.nr);
        let answer = self.on_network(caller(), call, event.data.args).unwrap_or_else(|| self.judge(event));
        Caller::new(Arc::clone(&self.listener), event).answer(&answer);
    }

    fn judge(&mut self, event: &libc::seccomp_notif) -> Answer {
        let caller = Caller::new(Arc::clone(&self.listener), event);
        let [a, b, c, d, e, _] = event.data.args;
        match i64::from(event.data.nr) {
            #[cfg(target_arch = "x86_64")]
            libc::SYS_open => self.open(&caller, libc::AT_FDCWD, a, b),
            libc::SYS_openat => self.open(&caller, number(a), b, c),
            libc::SYS_clone => self.fork(),
            libc::SYS_pidfd_open => self.process(&caller, number(a)),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_fork | libc::SYS_vfork => self.fork(),
            libc::SYS_socket if number(a) == libc::AF_UNIX => self.sockets.make(number(b)),
            libc::SYS_socket => self.make_network(&caller, number(a), number(b), number(c)),
            libc::SYS_connect => self.connect(caller, number(a), b, c),
            libc::SYS_bind => self.bind(&caller, number(a), b, c),
            libc::SYS_inotify_add_watch => match caller.path(b) {
                Ok(path) => self.watch(&caller, number(a), &path, low(c)),
                Err(errno) => Answer::Done(Err(errno)),
            },
            call => match Change::of(&caller, call, [a, b, c, d, e]) {
                Ok(change) => self.change(&caller, &change),
                Err(errno) => Answer::Done(Err(errno)),
            },
        }
    }

    /// Files that Landlock cannot name, because they are about the process that opens them, or directories of which only
    /// the names may be seen. All others are Landlock's to judge.
    fn open(&mut self, caller: &Caller, dir: i32, path: u64, flags: u64) -> Answer {
        let flags = OFlag::from_bits_retain(low(flags).cast_signed());
        let Ok(path) = caller.path(path) else { return Answer::GoOn };
        let Some(path) = caller.absolute(dir, &path) else { return Answer::GoOn };
        let own = self.rules.trees.iter().any(|tree| path.starts_with(tree));
        let hidden = path.as_path().ancestors().find_map(|above| self.hidden.get(above)).filter(|_| !own);
        if let Some(rule) = hidden {
            let (rule, writes) = (rule.clone(), flags & OFlag::O_ACCMODE != OFlag::O_RDONLY);
            self.note(if writes { Action::Write } else { Action::Read }, exact(&path), &rule);
            return Answer::GoOn;
        }
        if flags.contains(OFlag::O_PATH) {
            return Answer::GoOn;
        }
        match self.files.open(caller, self.rules.first, &path, flags) {
            Some(Ok(fd)) => Answer::Opened(fd, flags.contains(OFlag::O_CLOEXEC)),
            Some(Err(errno)) => Answer::Done(Err(errno)),
            None => {
                self.note_writing(&path, flags);
                Answer::GoOn
            }
        }
    }

    /// What Landlock is going to refuse, for the record: it may say so itself, but only to the host's audit log.
    fn note_writing(&mut self, path: &FilePath, flags: OFlag) {
        let writes = flags & OFlag::O_ACCMODE != OFlag::O_RDONLY;
        let allowed =
            self.rules.trees.iter().any(|tree| path.starts_with(tree)) || path.starts_with(&FilePath::from("/dev"));
        if writes && !allowed {
            self.note(Action::Write, exact(path), "jar/read-only");
        }
    }

    /// Counted here, exactly, where no other limit holds for one jar alone. Threads are processes to the kernel.
    fn fork(&mut self) -> Answer {
        if self.rules.ending.load(Ordering::Relaxed) {
            return Answer::Done(Err(Errno::EAGAIN));
        }
        self.forks += 1;
        if self.forks >= self.rules.processes {
            self.forks = files::threads_below(self.rules.first) + 1;
        }
        if self.forks > self.rules.processes {
            self.crowded = true;
            return Answer::Done(Err(Errno::EAGAIN));
        }
        // The numbers in a call to start a process are of no consequence to what it may do.
        Answer::GoOn
    }

    /// A descriptor for a process of the jar; of another there is none, as in a pid namespace.
    fn process(&self, caller: &Caller, number: i32) -> Answer {
        let own = caller.process().is_ok_and(|own| own == number);
        let opened = sys::pidfd(number).and_then(|fd| {
            let inside = own || tree::is_below(number, self.rules.first);
            if inside { caller.stands().map(|()| fd) } else { Err(Errno::ESRCH) }
        });
        // Such descriptors are always closed on exec.
        opened.map_or_else(|errno| Answer::Done(Err(errno)), |fd| Answer::Opened(fd, true))
    }

    fn refuse(&mut self, action: Action, target: Target, rule: &str, errno: Errno) -> Answer {
        self.note(action, target, rule);
        Answer::Done(Err(errno))
    }

    fn note(&mut self, action: Action, target: Target, rule: &str) {
        let key = (action, target, rule.to_owned());
        if self.attempts.len() < ATTEMPTS_MAX || self.attempts.contains_key(&key) {
            *self.attempts.entry(key).or_insert(0) += 1;
        }
    }

    /// Whether what `fd` is open on lies where the jar may write.
    fn is_inside(&self, fd: &OwnedFd) -> Result<(bool, FilePath), Errno> {
        let path = files::path_of(fd)?;
        let inside = self.rules.trees.iter().any(|tree| path.starts_with(tree));
        Ok((inside, path))
    }

    fn finish(self) -> Seen {
        let attempt = |((action, target, rule), times)| Attempt { action, target, rule, times };
        Seen { attempts: self.attempts.into_iter().map(attempt).collect(), crowded: self.crowded }
    }
}

fn unknown(text: &str) -> Target {
    Target::Unknown { text: text.to_owned() }
}

fn exact(path: &FilePath) -> Target {
    Target::Path { path: path.clone(), scope: PathScope::Exact }
}

/// The low half of an argument, as the kernel takes flags and modes.
fn low(argument: u64) -> u32 {
    u32::try_from(argument & 0xffff_ffff).unwrap_or(u32::MAX)
}

/// A descriptor.
fn number(argument: u64) -> i32 {
    low(argument).cast_signed()
}

/// A handle on what `path` leads to from here.
fn handle(path: &std::path::Path, follow: bool) -> Result<OwnedFd, Errno> {
    let last = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    open(path, OFlag::O_PATH | OFlag::O_CLOEXEC | last, Mode::empty())
}
