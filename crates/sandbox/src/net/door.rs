//! The network by name for a jar without a network namespace. What its programs take for a socket of the network is a unix
//! socket of the supervisor's: no call on it leads anywhere but to us, whatever a program does with it. When it is connected
//! its other end comes here, and is carried like any connection of any jar.

use crate::net::broker::{Place, Shared, is_resolver};
use crate::net::carry::{self, End as _};
use crate::net::dial::{Meant, NO_SUCH_NAME, UNREACHABLE};
use crate::net::setup;
use crate::sys;
use model::{Endpoint, Protocol};
use nix::errno::Errno;
use nix::sys::socket::{Backlog, MsgFlags, UnixAddr, getsockname, getsockopt, listen, send, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// What a thread that answers or carries needs.
const STACK_BYTES: usize = 256 << 10;
/// How long a question over TCP may take.
const QUESTION: Duration = Duration::from_secs(5);
/// Questions that are looked into at the same time; each has a thread.
const ASKING_MAX: usize = 256;

/// The way from a supervisor to the broker.
#[derive(Clone)]
pub(crate) struct Door {
    pub(super) shared: Arc<Shared>,
}

/// What an unconnected socket of the jar stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Stream,
    Datagrams,
}

/// How a connection is begun.
pub(crate) enum Begun {
    /// It is made, as far as the program can tell.
    Made,
    /// Not before this has been called, which takes its time.
    Later(Box<dyn FnOnce() -> Result<(), Errno> + Send>),
}

impl Door {
    /// What the jar's programs find names with, by path. The host's own tables would give them addresses that no rule
    /// names.
    pub(crate) fn tables(hostname: &str) -> [(&'static str, String); 2] {
        let own = if hostname.is_empty() { String::new() } else { format!("127.0.1.1 {hostname}\n") };
        let hosts = format!("127.0.0.1 localhost\n::1 localhost\n{own}");
        [("/etc/hosts", hosts), ("/etc/resolv.conf", format!("nameserver {}\n", setup::RESOLVER))]
    }

    /// Connects a stream, which the jar holds too, to `at`. Who `waits` is told what became of it; others are told by the
    /// end of the connection.
    ///
    /// # Errors
    /// What connect(2) fails with.
    pub(super) fn connect(&self, socket: &OwnedFd, at: SocketAddr, waits: bool) -> Result<Begun, Errno> {
        if is_resolver(at) {
            return self.ask_by_stream(socket).map(|()| Begun::Made);
        }
        self.stream(socket, at, waits)
    }

    /// Programs connect a datagram socket to every address of a name to learn which they would use, without sending
    /// anything: that is no attempt.
    pub(super) fn no_datagrams(&self, at: SocketAddr) {
        if self.shared.name(at.ip()).is_none() {
            self.shared.record.refused(self.peer(at, Protocol::Udp), self.shared.refusal());
        }
    }

    /// Nobody in the jar answers there, and what does on the host is out of reach.
    pub(super) fn nobody(&self, at: SocketAddr) -> Errno {
        self.shared.record.refused(self.peer(at, Protocol::Tcp), self.shared.refusal());
        Errno::ECONNREFUSED
    }

    fn peer(&self, at: SocketAddr, protocol: Protocol) -> Endpoint {
        Endpoint { host: at.ip().to_canonical().to_string(), port: Some(at.port()), protocol: Some(protocol) }
    }

    fn stream(&self, socket: &OwnedFd, at: SocketAddr, waits: bool) -> Result<Begun, Errno> {
        let meant = Meant::of(&self.shared, at, Protocol::Tcp);
        if let Err(rule) = meant.allowed(&self.shared) {
            self.shared.record.refused(meant.peer, &rule);
            return Err(Errno::ECONNREFUSED);
        }
        let (copy, shared) = (socket.try_clone().map_err(|_| Errno::EMFILE)?, Arc::clone(&self.shared));
        if waits {
            return Ok(Begun::Later(Box::new(move || {
                let place = Place::wait(&shared).ok_or(Errno::EAGAIN)?;
                let outside = meant.connect(&shared).map_err(|rule| refuse(&shared, &meant, &rule))?;
                let inside = attach(&copy).map(UnixStream::from)?;
                drop(copy);
                spawn("belljar-net", move || carry::between(&shared, inside, outside, &meant.peer, place))
            })));
        }
        let place = Place::take(&shared).ok_or(Errno::EAGAIN)?;
        let inside = UnixStream::from(attach(socket)?);
        spawn("belljar-net", move || match meant.connect(&shared) {
            Ok(outside) => {
                drop(copy);
                carry::between(&shared, inside, outside, &meant.peer, place);
            }
            Err(rule) => {
                refuse(&shared, &meant, &rule);
                // A refusal is not to be taken for the end of an answer: what is never read makes it a reset.
                let _ = send(copy.as_raw_fd(), b"x", MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
            }
        })?;
        Ok(Begun::Made)
    }

    fn ask_by_stream(&self, socket: &OwnedFd) -> Result<(), Errno> {
        let asking = Asking::begin(&self.shared).ok_or(Errno::EAGAIN)?;
        let inside = UnixStream::from(attach(socket)?);
        spawn("belljar-name", move || {
            let limited =
                inside.set_read_timeout(Some(QUESTION)).and_then(|()| inside.set_write_timeout(Some(QUESTION)));
            // A program that leaves in the middle of its question gets no answer.
            let _ = limited.and_then(|()| carry::answer(&asking.0, &inside));
            let _ = inside.close();
        })
    }
}

fn refuse(shared: &Shared, meant: &Meant, rule: &str) -> Errno {
    shared.record.refused(meant.peer.clone(), rule);
    match rule {
        UNREACHABLE | NO_SUCH_NAME => Errno::EHOSTUNREACH,
        _ => Errno::ECONNREFUSED,
    }
}

pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
    let thread = thread::Builder::new().name(name.into()).stack_size(STACK_BYTES);
    thread.spawn(work).map(drop).map_err(|_| Errno::EAGAIN)
}

/// One of those who ask; it does no more when this is dropped.
pub(super) struct Asking(pub(super) Arc<Shared>);

impl Asking {
    pub(super) fn begin(shared: &Arc<Shared>) -> Option<Asking> {
        let asking = Asking(Arc::clone(shared));
        (shared.asked.fetch_add(1, Ordering::AcqRel) < ASKING_MAX).then_some(asking)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.asked.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Connects a unix socket to ourselves; the other end. The socket that listens has a name for a moment, which others could
/// connect to: whoever it is, it is not taken for us.
pub(super) fn attach(socket: &OwnedFd) -> Result<OwnedFd, Errno> {
    let kind = match getsockopt(socket, sockopt::SockType)? {
        nix::sys::socket::SockType::Stream => libc::SOCK_STREAM,
        _ => libc::SOCK_SEQPACKET,
    };
    let listener = sys::unix_socket(kind, libc::SOCK_NONBLOCK)?;
    // Without a name the kernel finds an abstract one.
    let family = u16::try_from(libc::AF_UNIX).map_err(|_| Errno::EINVAL)?.to_ne_bytes();
    sys::bind_raw(listener.as_fd(), &family)?;
    listen(&listener, Backlog::new(64)?)?;
    let name: UnixAddr = getsockname(listener.as_raw_fd())?;
    let name = name.as_abstract().ok_or(Errno::EINVAL)?;
    sys::connect_raw(socket.as_fd(), &[&family[..], &[0], name].concat())?;
    let own = i32::try_from(std::process::id()).map_err(|_| Errno::ESRCH)?;
    let listener = UnixListener::from(listener);
    loop {
        let (end, _) = listener.accept().map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
        end.set_nonblocking(false).map_err(|_: io::Error| Errno::EIO)?;
        if getsockopt(&end, sockopt::PeerCredentials)?.pid() == own {
            return Ok(OwnedFd::from(end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn a_socket_is_connected_to_ourselves_and_to_nobody_else() {
        for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET] {
            let socket = sys::unix_socket(kind, 0).unwrap();
            let mut inside = UnixStream::from(attach(&socket).unwrap());
            let mut own = UnixStream::from(socket);
            own.write_all(b"one").unwrap();
            let mut read = [0; 8];
            assert_eq!(inside.read(&mut read).unwrap(), 3);
            inside.write_all(b"four").unwrap();
            assert_eq!(own.read(&mut read).unwrap(), 4);
            assert_eq!(attach(&OwnedFd::from(own)).err(), Some(Errno::EISCONN));
        }
    }
}
