//! The words between Belljar and its stage: small JSON messages, some with a descriptor, over a socket pair that keeps
//! message boundaries.

use crate::sys;
use model::{Containment, Exit, FilePath, Layer};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, SockFlag, SockType, recvmsg, sendmsg,
    setsockopt, shutdown, socketpair, sockopt,
};
use nix::sys::time::TimeVal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// The longest message: a containment with every layer missing and a reason for each fits twice.
pub(crate) const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Descriptors that come along with one message: a file and the standard descriptors of a command.
const DESCRIPTORS_MAX: usize = 4;

/// What the stage tells.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Up {
    /// Pid 1 of the jar exists; the number is the one of Belljar's own pid namespace.
    Born { pid: i32 },
    /// The jar's own proc(5) is mounted; a descriptor of its directory comes along, before any root.
    Processes,
    /// A standard descriptor was opened again, by its number; the new one comes along.
    Reopened { number: i32 },
    /// The FUSE connection of a writable root is mounted; its descriptor comes along. Where the kernel was to keep this
    /// root, why it does not.
    Root { index: usize, instead: Option<String> },
    /// The kernel's overlay of a writable root is mounted.
    Kernel { index: usize },
    /// The socket to which the jar's connections come, one for each family of addresses; its descriptor comes along.
    Connections,
    /// The one to which datagrams come, likewise.
    Arrivals,
    /// The one that answers those of the last [`Up::Arrivals`], likewise.
    Replies,
    /// The one for its questions about names, likewise.
    Questions,
    /// Every layer stands. The descriptor of the network watch comes along where there is one.
    /// Whether the jar's processes must be counted, too.
    Ready { containment: Containment, counted: bool },
    /// The command could not be executed, by the errno of execve(2).
    NotExecuted { errno: i32 },
    /// The command was stopped by this signal.
    Stopped { signal: i32 },
    /// It runs again.
    Continued,
    /// The command ended, and what it left behind is being ended: no process may be started any more.
    Ending,
    /// The command ended and nothing is left in the jar.
    Ended { exit: Exit },
    /// A step failed; the jar does not exist.
    Failed { fault: Fault },
}

/// What Belljar tells its stage.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Down {
    /// What to build and run; the plan's file comes along.
    Plan,
    /// The next of the roots answers requests.
    Served,
    /// The command may begin.
    Go,
    /// Pass this signal to the command.
    Signal { signal: i32 },
    /// To a live jar: run this. The command's standard descriptors come along; before them, where there is no `start` because
    /// it is too long for a message, a file with one.
    Command { start: Option<Start> },
    /// To a live jar: end the command, and all it has started.
    End,
}

/// What a live jar is to run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) argv: Vec<FilePath>,
    /// Its whole environment, `NAME=value`.
    pub(crate) env: Vec<FilePath>,
    pub(crate) cwd: FilePath,
}

/// Which part of the jar could not be built: chooses the error and its hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FaultKind {
    Namespaces,
    /// Also not the least there must be.
    Withheld,
    IdentityMap,
    View,
    Proc,
    FuseDevice,
    FuseMount,
    KernelOverlay,
    Network,
    Root,
    Cwd,
    Standard,
    /// Where nothing else holds files.
    Landlock,
    /// A layer that may be missing where its loss is accepted.
    Weak(Layer),
    Other,
}

/// A step that failed in the stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// The step as a person reads it.
    pub(crate) step: String,
    pub(crate) errno: i32,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, step: impl Into<String>, errno: Errno) -> Fault {
        Fault { kind, step: step.into(), errno: errno as i32 }
    }
}

/// What messages are sent with. The second says nothing on a unix socket: a filter knows the stage's own messages by it,
/// which must get through before there is a supervisor to ask.
pub(crate) const OWN_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_CONFIRM;

/// One end of the socket pair.
pub(crate) struct Channel {
    socket: OwnedFd,
}

impl Channel {
    /// Two ends, both closed on exec.
    pub(crate) fn pair() -> Result<(Channel, OwnedFd), Errno> {
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Channel { socket: ours }, theirs))
    }

    pub(crate) fn from_socket(socket: OwnedFd) -> Channel {
        Channel { socket }
    }

    /// The same end once more.
    pub(crate) fn try_clone(&self) -> std::io::Result<Channel> {
        Ok(Channel { socket: self.socket.try_clone()? })
    }

    /// Tells the other end that nothing more will come; it can still tell.
    pub(crate) fn no_more(&self) -> Result<(), Errno> {
        shutdown(self.socket.as_raw_fd(), Shutdown::Write)
    }

    pub(crate) fn send<M: Serialize>(&self, message: &M, fd: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        self.send_with(message, fd.as_slice())
    }

    /// At most [`DESCRIPTORS_MAX`] arrive.
    pub(crate) fn send_with<M: Serialize>(&self, message: &M, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        self.send_bytes(&serde_json::to_vec(message).map_err(|_| Errno::EPROTO)?, fds)
    }

    /// [`Channel::send_with`] of a message that is in JSON already.
    pub(crate) fn send_bytes(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let rights = if raw.is_empty() { &[][..] } else { &rights[..] };
        let iov = [IoSlice::new(bytes)];
        let flags = MsgFlags::from_bits_retain(OWN_FLAGS);
        sendmsg::<()>(self.socket.as_raw_fd(), &iov, rights, flags, None).map(drop)
    }

    /// Gives up waiting for a message after so long.
    pub(crate) fn limit(&self, patience: std::time::Duration) -> Result<(), Errno> {
        let seconds = i64::try_from(patience.as_secs()).unwrap_or(i64::MAX);
        setsockopt(&self.socket, sockopt::ReceiveTimeout, &TimeVal::new(seconds, 0))
    }

    /// The next message; `None` when the other end is gone.
    pub(crate) fn receive<M: DeserializeOwned>(&self) -> Result<Option<(M, Option<OwnedFd>)>, Errno> {
        Ok(self.receive_with()?.map(|(message, fds)| (message, fds.into_iter().next())))
    }

    /// [`Channel::receive`] with all that came along.
    pub(crate) fn receive_with<M: DeserializeOwned>(&self) -> Result<Option<(M, Vec<OwnedFd>)>, Errno> {
        let mut bytes = vec![0u8; MESSAGE_BYTES_MAX];
        let (length, fds) = match self.receive_bytes(&mut bytes) {
            Ok((0, _)) => return Ok(None),
            other => other?,
        };
        let text = bytes.get(..length).ok_or(Errno::EPROTO)?;
        let message = serde_json::from_slice(text).map_err(|_| Errno::EPROTO)?;
        Ok(Some((message, fds)))
    }

    fn receive_bytes(&self, bytes: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), Errno> {
        let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS_MAX]);
        let mut iov = [IoSliceMut::new(bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = loop {
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut iov, Some(&mut space), flags) {
                // The other end went without reading all we said. That is told once; what it said before comes next.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                other => break other?,
            }
        };
        let mut received = Vec::new();
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control {
                received.extend(fds.into_iter().map(sys::adopt));
            }
        }
        Ok((message.bytes, received))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
