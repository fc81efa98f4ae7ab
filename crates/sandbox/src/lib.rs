//! Containment for one command on Linux: what it may see, what it may write, what it may ask of the kernel.
//!
//! A [`Request`] becomes a [`Plan`], a printable list of steps; a *stage* (this program executed again) walks it and
//! reports what really stands as a [`model::Containment`]. The layers: user, mount, pid, ipc, uts, network and cgroup
//! namespaces; a read-only view with private places and covered secrets; a copy-on-write overlay over each writable
//! root, served by the caller; Landlock; a system call filter; no capabilities.
//!
//! A layer that cannot be had is an error, unless the request accepts its loss by name.
//!
//! ```no_run
//! use belljar_sandbox::{Request, stage_entry};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     stage_entry(); // First of all: a jar's first process can be this program, executed again.
//!     let ended = Request::builder(["make", "test"])
//!         .directory("/home/me/project")
//!         .write("/home/me/project", "/home/me/changes", "/home/me/work")
//!         .env("PATH", "/usr/bin:/bin")
//!         .hide("/home/me/.ssh")
//!         .run()?;
//!     println!("{:?}, held by {:?}", ended.exit, ended.containment);
//!     Ok(())
//! }
//! ```
//!
//! [`RequestBuilder`] says what can be asked for. The examples are whole programs: `one_command`, `live_jar` (many commands in
//! one jar) and `network_by_name`.
//!
//! # What each layer stops, and what it does not
//!
//! | layer | stops | does not stop |
//! |---|---|---|
//! | user namespace, no capabilities, `no_new_privs` | rights over the host; set-user-ID programs | what the user may do by himself; flaws of the kernel |
//! | pid, ipc, uts and cgroup namespaces | seeing, tracing and signalling others; System V objects and queues; a process that outlives the jar | what goes by files and unix sockets |
//! | network namespace | every address of the host and beyond | unix sockets with a path: that is the view's |
//! | view (mounts) | writing outside of the roots; reading what is hidden; `/run`, `/tmp`, `/dev/shm` and `/proc` of the host | reading what nobody hid; locks; sockets and pipes of the host that are seen (mounting read-only does not close them) |
//! | overlay | changing the host at all: what is written is a layer for somebody to judge | anything that is no file |
//! | Landlock | opening files, pipes and devices to write, whatever the mounts say; abstract unix sockets and signals (Linux 6.12) | asking for size, mode and times; `chmod`, `chown`, attributes and locks; a place below one that it allows; unix sockets with a path; datagrams; what is open already |
//! | system call filter | io_uring, bpf, keys, userfaultfd, mounting, further namespaces, typing into the terminal, set-user-ID bits | anything told by memory and not by registers, such as paths and addresses |
//! | notifying supervisor | with namespaces nothing, it tells of attempts; without them (tier T2) it makes sockets and changes attributes itself, by what it has read once | what the kernel reads again from memory, so it never lets such a call go on as a permission |
//! | control group, or limits and looking from outside | more memory, processes and processor time than was said | using them up below that, and without a limit |
//! | broker | peers that no rule names; names that lead into the host's own networks, judged as they are dialled | what an allowed peer is told |
//!
//! Nor is it stopped that escape sequences reach the caller's terminal, and that a server of the host makes a unix socket after
//! the jar, outside of `/run`, `/tmp` and other users' homes. What is really enforced is told by [`Ended::containment`], with
//! what is missing.

#![deny(unsafe_code)]

mod ahead;
mod around;
mod bare;
mod builder;
mod cgroup;
mod crowd;
mod die;
mod draft;
mod error;
mod facts;
mod files;
mod init;
mod live;
mod meter;
mod nested;
mod net;
mod output;
mod perform;
mod plan;
mod print;
mod probe;
mod refusals;
mod reopen;
mod request;
mod ruleset;
mod running;
mod seccomp;
mod signals;
mod stage;
mod start;
mod sys;
mod terminal;
mod view;
mod watch;
mod wire;

pub use ahead::Ahead;
pub use around::{Around, in_a_jar, state_inside};
pub use bare::Copies;
pub use builder::{RequestBuilder, by_kernel};
pub use cgroup::dead as dead_groups;
pub use die::die_of;
pub use error::SandboxError;
pub use facts::{IdRange, RunFacts};
pub use live::{Command, Done, Live, Streams};
pub use model;
pub use net::Upstream;
pub use plan::{Ground, Identity, Plan, Step, ground, plan};
pub use probe::{HostFact, HostFacts, namespaces, probe};
pub use request::{KernelRoot, Request};
pub use running::{Ended, Remains, Running};
pub use stage::stage_entry;
pub use start::{Building, Leave, Mounted, Serve, Standby, bare_plan, standby, standby_bare, start};
