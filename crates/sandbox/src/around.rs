//! The jar around this process, when Belljar runs inside one, and what a jar holds ready for a Belljar inside.
//!
//! A jar that allows others inside has a directory of its own for them in its private `/run`. A process that plants one
//! where nothing is allowed gains nothing by it: the kernel refuses what the inner jar needs.

use crate::plan::Identity;
use crate::stage::write_identity;
use crate::sys;
use crate::wire::{Channel, Up};
use model::FilePath;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use nix::unistd::{getegid, geteuid};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, AsRawFd};

/// What a jar holds ready, below `/run`. A jar inside another has it too, empty where none is allowed inside, because
/// there pid 1 may not be seen.
pub(crate) const READY: &str = "belljar-inside";
/// Where a Belljar inside keeps its state, below `/run`: the jar's own memory, gone with it.
pub(crate) const STATE: &str = "belljar-inside/state";
/// The door of [`make_door`], below `/run`.
pub(crate) const DOOR: &str = "belljar-inside/userns";

/// A jar that allows others inside, seen from within.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Around {
    /// The user namespace through which uid 0 comes to an inner jar, see user_namespaces(7): without CAP_SETFCAP nobody
    /// may map uid 0 by himself, and in a jar nobody has it.
    pub door: Option<FilePath>,
}

/// Where this process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In no jar.
    Host,
    /// In a jar that allows none inside.
    Closed,
    /// In a jar that does.
    Open(Around),
}

/// Whether this process is in a jar already: pid 1 has the name, or is hidden as it is where root's jars allow others
/// inside. A process that removes what it is then known by makes the error worse that it gets, and nothing else.
#[must_use]
pub fn in_a_jar() -> bool {
    match std::fs::read("/proc/1/comm") {
        Ok(name) => name.strip_suffix(b"\n") == Some(crate::init::INIT_NAME.to_bytes()),
        Err(_) => FilePath::from("/run").join(READY).as_path().is_dir(),
    }
}

/// Where Belljar keeps its state in a jar that allows others inside; `None` anywhere else. What the host has is hidden
/// there, and must be.
#[must_use]
pub fn state_inside() -> Option<FilePath> {
    let state = FilePath::from("/run").join(STATE);
    (state.as_path().is_dir() && in_a_jar()).then_some(state)
}

pub(crate) fn place() -> Place {
    match (in_a_jar(), state_inside()) {
        (false, _) => Place::Host,
        (true, None) => Place::Closed,
        (true, Some(_)) => {
            let door = geteuid().is_root().then(|| FilePath::from("/run").join(DOOR));
            Place::Open(Around { door })
        }
    }
}

/// Goes through the door: from here on this process has every capability in the namespace behind it, and none more in
/// the jar. The kernel lets the owner of a user namespace enter it, and nobody else.
pub(crate) fn enter(door: &FilePath) -> Result<(), Errno> {
    let door = open(door.as_path(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    sys::enter_user_namespace(door.as_fd())
}

/// Makes a user namespace that nobody is in, with this user alone in its map, and binds it to the file `at`. Called by
/// pid 1 of a jar while it has its capabilities.
///
/// The map holds no other id, because the capabilities of its owner reach every file whose owner and group it maps.
pub(crate) fn make_door(at: &FilePath) -> Result<(), Errno> {
    let (ours, theirs) = Channel::pair()?;
    // Inside, before there is a map, nobody has a number.
    let identity = Identity::own(geteuid().as_raw(), getegid().as_raw());
    let Some(child) = sys::clone_process(libc::CLONE_NEWUSER | libc::SIGCHLD)? else {
        sys::leave(i32::from(show_own(&Channel::from_socket(theirs), &identity).is_err()));
    };
    drop(theirs);
    let shown = ours.receive::<Up>();
    while sys::wait(child.as_raw(), 0) == Err(Errno::EINTR) {}
    let Some((Up::Processes, Some(namespace))) = shown? else { return Err(Errno::EPERM) };
    let from = format!("/proc/self/fd/{}", namespace.as_raw_fd());
    mount(Some(from.as_str()), at.as_path(), None::<&str>, MsFlags::MS_BIND, None::<&str>)
}

fn show_own(channel: &Channel, identity: &Identity) -> Result<(), Errno> {
    write_identity(identity, "self")?;
    let namespace = open("/proc/self/ns/user", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    channel.send(&Up::Processes, Some(namespace.as_fd()))
}
