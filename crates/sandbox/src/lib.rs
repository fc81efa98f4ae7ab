//! Containment for one command on Linux: what it may see, what it may write, what it may ask of the kernel.
//!
//! A [`Request`] becomes a [`Plan`], a printable list of steps; a *stage* (this program executed again) walks it and
//! reports what really stands as a [`model::Containment`]. The layers: user, mount, pid, ipc, uts, network and cgroup
//! namespaces; a read-only view with private places and covered secrets; a copy-on-write overlay over each writable
//! root, served by the caller; Landlock; a system call filter; no capabilities.
//!
//! A layer that cannot be had is an error, unless the request accepts its loss by name.
//!
//! What it does not stop: reading what the user can read and nobody hid; unix sockets that a server of the host makes
//! after the jar, outside of `/run`, `/tmp` and other users' homes; locks on files that the view shows; escape sequences
//! on the caller's terminal; using up memory and processors, where no limit is asked for.

#![deny(unsafe_code)]

mod ahead;
mod around;
mod bare;
mod cgroup;
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
pub use cgroup::dead as dead_groups;
pub use die::die_of;
pub use error::SandboxError;
pub use facts::{IdRange, RunFacts};
pub use live::{Command, Done, Live, Streams};
pub use net::Upstream;
pub use plan::{Ground, Identity, Plan, Step, ground, plan};
pub use probe::{HostFact, HostFacts, namespaces, probe};
pub use request::{KernelRoot, Request};
pub use running::{Ended, Running};
pub use stage::stage_entry;
pub use start::{Building, Mounted, Serve, Standby, bare_plan, standby, standby_bare, start};
