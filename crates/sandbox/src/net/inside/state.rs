//! What the sockets of a jar stand for.

use crate::net::door::Kind;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

/// Sockets of which no more than the addresses is known.
const KNOWN_MAX: usize = 4096;
/// Datagrams of which it is remembered whom they came from.
const ARRIVALS_MAX: usize = 1024;
/// Ports that are given to who does not ask for one.
const FIRST_PORT: u16 = 32_768;
const LAST_PORT: u16 = 60_999;

/// A socket of the jar's.
pub(super) struct Stand {
    pub(super) kind: Kind,
    /// Whether its program speaks IPv6.
    pub(super) six: bool,
    pub(super) local: Option<SocketAddr>,
    pub(super) peer: Option<SocketAddr>,
    /// The jar's own end, while it is of use here.
    pub(super) own: Option<Arc<OwnedFd>>,
    /// Ours.
    pub(super) other: Option<Arc<OwnedFd>>,
    /// Datagrams in the order they were passed on, each with whom it came from; kept where that is not the peer.
    pub(super) arrivals: VecDeque<(u64, SocketAddr)>,
    /// Word has come that nobody is there.
    pub(super) refused: bool,
    /// Who waits to be accepted, where it listens.
    pub(super) calls: Option<VecDeque<Call>>,
    /// No program had it when it was last looked for.
    pub(super) missing: bool,
    /// Who had it.
    pub(super) owner: i32,
}

/// A connection that waits to be accepted.
pub(crate) struct Call {
    pub(crate) end: OwnedFd,
    pub(crate) from: SocketAddr,
}

/// The names of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) six: bool,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: Option<SocketAddr>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) stands: HashMap<u64, Stand>,
    pub(super) ports: HashMap<(Kind, u16), u64>,
    /// Those that are not held, oldest first.
    pub(super) known: VecDeque<u64>,
    /// The last port that was given.
    pub(super) port: u16,
    /// How many are held when it is next looked for those that nobody has.
    pub(super) look_at: usize,
}

impl State {
    pub(super) fn held(&self) -> usize {
        self.stands.values().filter(|stand| stand.own.is_some()).count()
    }

    pub(super) fn stand(&mut self, number: u64) -> Result<&mut Stand, Errno> {
        self.stands.get_mut(&number).ok_or(Errno::ENOTSOCK)
    }

    pub(super) fn remove(&mut self, number: u64) {
        if let Some(local) = self.stands.remove(&number).and_then(|stand| Some((stand.kind, stand.local?.port())))
            && self.ports.get(&local) == Some(&number)
        {
            self.ports.remove(&local);
        }
    }

    /// From now on only its names are known.
    pub(super) fn let_go(&mut self, number: u64, local: SocketAddr, peer: SocketAddr) {
        if let Some(stand) = self.stands.get_mut(&number) {
            (stand.own, stand.other, stand.local, stand.peer) = (None, None, Some(local), Some(peer));
        }
        self.known.push_back(number);
        if self.known.len() > KNOWN_MAX
            && let Some(oldest) = self.known.pop_front()
        {
            self.remove(oldest);
        }
    }

    /// A port that nobody has.
    pub(super) fn free_port(&mut self, kind: Kind) -> Result<u16, Errno> {
        for _ in FIRST_PORT..=LAST_PORT {
            self.port = if (FIRST_PORT..LAST_PORT).contains(&self.port) { self.port + 1 } else { FIRST_PORT };
            if !self.ports.contains_key(&(kind, self.port)) {
                return Ok(self.port);
            }
        }
        Err(Errno::EADDRINUSE)
    }

    /// Its port, which it is given where it has none.
    pub(super) fn port_of(&mut self, number: u64) -> Result<u16, Errno> {
        let stand = self.stand(number)?;
        if let Some(local) = stand.local {
            return Ok(local.port());
        }
        let (kind, six) = (stand.kind, stand.six);
        let port = self.free_port(kind)?;
        self.ports.insert((kind, port), number);
        self.stand(number)?.local = Some(SocketAddr::new(unspecified(six), port));
        Ok(port)
    }

    /// Into the jar. A socket that is connected hears from its peer alone.
    pub(super) fn pass_on(&mut self, number: u64, from: SocketAddr, bytes: &[u8]) {
        let Some(stand) = self.stands.get_mut(&number) else { return };
        if stand.peer.is_some_and(|peer| peer != from) {
            return;
        }
        let Some(other) = stand.other.as_ref() else { return };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        // What does not fit is lost, as datagrams are.
        if send(other.as_raw_fd(), bytes, flags).is_ok() && stand.peer.is_none() {
            stand.arrivals.push_back((digest(bytes), from));
            if stand.arrivals.len() > ARRIVALS_MAX {
                stand.arrivals.pop_front();
            }
        }
    }
}

/// Tells two datagrams apart.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

pub(super) fn unspecified(six: bool) -> IpAddr {
    if six { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}

impl Stand {
    pub(super) fn named(kind: Kind, six: bool, owner: i32) -> Stand {
        Stand {
            kind,
            six,
            local: None,
            peer: None,
            own: None,
            other: None,
            arrivals: VecDeque::new(),
            refused: false,
            calls: None,
            missing: false,
            owner,
        }
    }

    /// Nobody is where it sent to. Who is connected and waits for an answer is woken by an empty message, and told when it
    /// asks whom that is from.
    pub(super) fn refuse(&mut self) {
        let wakes = !std::mem::replace(&mut self.refused, true) && self.peer.is_some();
        if let Some(other) = self.other.as_ref().filter(|_| wakes) {
            // Where there is no room, it is awake.
            let _ = send(other.as_raw_fd(), &[], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        }
    }

    /// Whether nobody was; told once.
    pub(super) fn was_refused(&mut self) -> bool {
        let refused = std::mem::take(&mut self.refused);
        if let Some(own) = self.own.as_ref().filter(|_| refused && self.peer.is_some()) {
            let (mut byte, peek) = ([0], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK);
            if recv(own.as_raw_fd(), &mut byte, peek) == Ok(0) {
                // It was there a moment ago, or the program has had it.
                let _ = recv(own.as_raw_fd(), &mut byte, MsgFlags::MSG_DONTWAIT);
            }
        }
        refused
    }
}
