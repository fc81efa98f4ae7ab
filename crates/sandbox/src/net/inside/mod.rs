//! What the programs of a jar without a network namespace take for the network. Their sockets are unix sockets that stand
//! for others; here is what each stands for: its addresses, the port it has to itself, who waits to be accepted by it.
//!
//! No port is one of the host's, so a server in the jar is reached from the jar alone, and a loopback address leads to the
//! jar's own servers or nowhere. Datagrams are messages between a pair, of which the jar has one end and we the other.
//!
//! Of a socket that is connected only its addresses are remembered: its end must be the end. One that receives datagrams or
//! calls is held here too, since what it receives is taken for the program, with whom it came from; that no program holds
//! it any more is found by looking at their descriptors ([`Inside::lives`]).

mod relay;
mod state;

use crate::bare::tree;
use crate::net::broker::{Busy, is_resolver};
use crate::net::datagrams::Flows;
use crate::net::door::{Begun, Door, Kind, attach};
use crate::net::{dial::Meant, setup};
use crate::sys;
use model::Protocol;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, readlink};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use nix::sys::stat::fstat;
use nix::unistd::{pipe2, write};
use relay::Mail;
pub(crate) use state::{Call, Names};
use state::{Stand, State, digest, unspecified};
use std::collections::{HashSet, VecDeque};
use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Sockets that are held at the same time; each has one descriptor or two.
const HELD_MAX: usize = 256;
/// From so many on it is looked for those that nobody has any more.
const HELD_FEW: usize = 64;
/// Who waits to be accepted, at the most.
const CALLS_MAX: usize = 128;
/// The longest datagram.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 65_507;
/// Below it a port is the system's, here as everywhere.
const FIRST_FREE_PORT: u16 = 1024;
/// A datagram that was received.
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) from: SocketAddr,
}

/// The network as the jar sees it.
pub(crate) struct Inside {
    door: Door,
    state: Arc<Mutex<State>>,
    flows: Flows,
    /// The jar's first process, below which everybody is who may hold a socket.
    first: i32,
    /// Says that there are more sockets to listen to.
    more: OwnedFd,
}

impl Inside {
    /// Begins to carry datagrams, until the command has ended and all of them are on their way.
    ///
    /// # Errors
    /// Where there are no descriptors or no thread.
    pub(crate) fn start(door: Door, first: i32) -> io::Result<Arc<Inside>> {
        let state = Arc::new(Mutex::new(State { look_at: HELD_FEW, ..State::default() }));
        let (called, more) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let flows = Flows::new(&door.shared, Box::new(Mail(Arc::clone(&state))));
        let busy = Busy::new(&door.shared);
        let inside = Arc::new(Inside { door, state, flows, first, more });
        let relay = Arc::clone(&inside);
        thread::Builder::new().name("belljar-udp".into()).spawn(move || {
            relay.relay(&called);
            drop(busy);
        })?;
        Ok(inside)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new socket, which is the jar's.
    ///
    /// # Errors
    /// What socket(2) fails with.
    pub(crate) fn make(&self, kind: Kind, six: bool, waits: bool, owner: i32) -> Result<OwnedFd, Errno> {
        self.make_room()?;
        let (own, other) = match kind {
            Kind::Stream => (sys::unix_socket(libc::SOCK_STREAM, 0)?, None),
            // Messages have their bounds as datagrams have, and whatever name a program gives one, it has one way to go.
            Kind::Datagrams => {
                let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
                (pair.0, Some(Arc::new(pair.1)))
            }
        };
        if !waits {
            fcntl(&own, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let listens = other.is_some();
        let copy = Arc::new(own.try_clone().map_err(|_| Errno::EMFILE)?);
        let stand = Stand { own: Some(copy), other, ..Stand::named(kind, six, owner) };
        self.state().stands.insert(fstat(&own)?.st_ino, stand);
        if listens {
            self.wake();
        }
        Ok(own)
    }

    fn wake(&self) {
        // A pipe that is full has been heard already.
        let _ = write(&self.more, &[0]);
    }

    /// Forgets what nobody has any more, and refuses where that is not enough.
    fn make_room(&self) -> Result<(), Errno> {
        let mut state = self.state();
        if state.held() < state.look_at {
            return Ok(());
        }
        // One that is on its way from one process to another is in no table: only who is missed twice is gone.
        self.forget(&mut state);
        if state.held() >= HELD_MAX {
            self.forget(&mut state);
        }
        let held = state.held();
        state.look_at = (held + HELD_FEW).min(HELD_MAX);
        if held < HELD_MAX { Ok(()) } else { Err(Errno::EMFILE) }
    }

    fn forget(&self, state: &mut State) {
        let Some(had) = self.sockets() else { return };
        let mut gone = Vec::new();
        for (number, stand) in &mut state.stands {
            let missing = !had.contains(number);
            if std::mem::replace(&mut stand.missing, missing) && missing {
                gone.push(*number);
            }
        }
        gone.into_iter().for_each(|number| state.remove(number));
    }

    /// All sockets that processes of the jar have; `None` where one does not show its own.
    fn sockets(&self) -> Option<HashSet<u64>> {
        let mut all = HashSet::new();
        for process in tree::below(self.first) {
            all.extend(sockets_of(process)?);
        }
        Some(all)
    }

    /// Whether a process of the jar has this socket, as far as can be seen.
    fn lives(&self, number: u64, owner: i32) -> bool {
        let has = |sockets: Option<HashSet<u64>>| sockets.is_none_or(|sockets| sockets.contains(&number));
        has(Some(sockets_of(owner).unwrap_or_default())) || has(self.sockets())
    }

    /// What a socket is, where it stands for one of the network.
    pub(crate) fn kind(&self, number: u64) -> Option<Kind> {
        self.state().stands.get(&number).map(|stand| stand.kind)
    }

    /// Its names.
    pub(crate) fn names(&self, number: u64) -> Option<Names> {
        let state = self.state();
        let stand = state.stands.get(&number)?;
        Some(Names { six: stand.six, local: stand.local, peer: stand.peer })
    }

    /// The jar's end of a socket that is held, to wait for it.
    pub(crate) fn own(&self, number: u64) -> Result<Arc<OwnedFd>, Errno> {
        self.state().stand(number)?.own.clone().ok_or(Errno::EISCONN)
    }

    /// connect(2).
    ///
    /// # Errors
    /// What it fails with.
    pub(crate) fn connect(&self, number: u64, at: SocketAddr, waits: bool) -> Result<Begun, Errno> {
        let at = plain(at);
        match self.kind(number).ok_or(Errno::ENOTSOCK)? {
            Kind::Datagrams => self.connect_datagrams(number, at).map(|()| Begun::Made),
            Kind::Stream => {
                let own = self.own(number)?;
                if self.state().stand(number)?.calls.is_some() {
                    return Err(Errno::EISCONN);
                }
                if self.is_own(at, Protocol::Tcp) {
                    return self.call(number, at, &own).map(|()| Begun::Made);
                }
                let begun = self.door.connect(&own, at, waits)?;
                let mut state = self.state();
                let port = state.port_of(number)?;
                state.let_go(number, own_name(at, port), at);
                Ok(begun)
            }
        }
    }

    /// Whether this is the jar's own and no rule means the host's.
    fn is_own(&self, at: SocketAddr, protocol: Protocol) -> bool {
        is_here(at.ip()) && Meant::of(&self.door.shared, at, protocol).allowed(&self.door.shared).is_err()
    }

    /// A datagram socket speaks to this one alone from now on. What was sent before goes where it was sent to.
    fn connect_datagrams(&self, number: u64, at: SocketAddr) -> Result<(), Errno> {
        let reaches = is_resolver(at)
            || is_here(at.ip())
            || Meant::of(&self.door.shared, at, Protocol::Udp).allowed(&self.door.shared).is_ok();
        if !reaches {
            self.door.no_datagrams(at);
            return Err(Errno::ENETUNREACH);
        }
        self.take_all(number);
        let mut state = self.state();
        let port = state.port_of(number)?;
        let stand = state.stand(number)?;
        if stand.local.is_some_and(|local| local.ip().is_unspecified()) {
            stand.local = Some(own_name(at, port));
        }
        stand.peer = Some(at);
        Ok(())
    }

    /// To nobody in particular any more.
    ///
    /// # Errors
    /// Where it is no datagram socket.
    pub(crate) fn disconnect(&self, number: u64) -> Result<(), Errno> {
        if self.kind(number) != Some(Kind::Datagrams) {
            return Err(Errno::EAFNOSUPPORT);
        }
        self.take_all(number);
        let mut state = self.state();
        let stand = state.stand(number)?;
        stand.peer = None;
        let six = stand.six;
        stand.local = stand.local.map(|local| SocketAddr::new(unspecified(six), local.port()));
        Ok(())
    }

    /// bind(2), to a port of the jar's.
    ///
    /// # Errors
    /// What it fails with.
    pub(crate) fn bind(&self, number: u64, at: SocketAddr) -> Result<(), Errno> {
        let mut state = self.state();
        let stand = state.stand(number)?;
        let (kind, bound) = (stand.kind, stand.local.is_some());
        match at.port() {
            _ if !is_here(at.ip().to_canonical()) => Err(Errno::EADDRNOTAVAIL),
            _ if bound => Err(Errno::EINVAL),
            0 => {
                let port = state.port_of(number)?;
                state.stand(number)?.local = Some(SocketAddr::new(at.ip(), port));
                Ok(())
            }
            1..FIRST_FREE_PORT => Err(Errno::EACCES),
            port => {
                if let Some(other) = state.ports.get(&(kind, port)).copied() {
                    let owner = state.stand(other)?.owner;
                    if self.lives(other, owner) {
                        return Err(Errno::EADDRINUSE);
                    }
                    state.remove(other);
                }
                state.ports.insert((kind, port), number);
                state.stand(number)?.local = Some(at);
                Ok(())
            }
        }
    }

    /// listen(2). Each call is announced by a byte, so that a program that waits for the socket sees it.
    ///
    /// # Errors
    /// What it fails with.
    pub(crate) fn listen(&self, number: u64) -> Result<(), Errno> {
        let own = self.own(number)?;
        let mut state = self.state();
        state.port_of(number)?;
        let stand = state.stand(number)?;
        match (stand.kind, &stand.calls) {
            (Kind::Datagrams, _) => Err(Errno::EOPNOTSUPP),
            (Kind::Stream, Some(_)) => Ok(()),
            (Kind::Stream, None) => {
                stand.other = Some(Arc::new(attach(&own)?));
                stand.calls = Some(VecDeque::new());
                Ok(())
            }
        }
    }

    /// A connection within the jar.
    fn call(&self, number: u64, at: SocketAddr, own: &OwnedFd) -> Result<(), Errno> {
        let mut state = self.state();
        let listening = state.ports.get(&(Kind::Stream, at.port())).copied();
        let Some((server, owner)) = listening.and_then(|server| {
            let stand = state.stands.get(&server).filter(|stand| stand.calls.is_some())?;
            stand.local.is_some_and(|local| answers(local, at)).then_some((server, stand.owner))
        }) else {
            drop(state);
            return Err(self.door.nobody(at));
        };
        if !self.lives(server, owner) {
            state.remove(server);
            return Err(Errno::ECONNREFUSED);
        }
        let port = state.port_of(number)?;
        let from = own_name(at, port);
        let stand = state.stand(server)?;
        let (six, owner) = (stand.six, stand.owner);
        let Some(calls) = stand.calls.as_mut().filter(|calls| calls.len() < CALLS_MAX) else {
            return Err(Errno::ECONNREFUSED);
        };
        let end = attach(own)?;
        let accepted = fstat(&end)?.st_ino;
        calls.push_back(Call { end, from });
        announce(stand)?;
        state.stands.insert(accepted, Stand::named(Kind::Stream, six, owner));
        state.let_go(accepted, at, from);
        state.let_go(number, from, at);
        drop(state);
        // It is looked at whether the server still lives while somebody waits for it.
        self.wake();
        Ok(())
    }

    /// accept(2): who waits longest, and whom they take the socket for; `None` while nobody does.
    ///
    /// # Errors
    /// EINVAL where it does not listen.
    pub(crate) fn accept(&self, number: u64, owner: i32) -> Result<Option<Call>, Errno> {
        let mut state = self.state();
        let stand = state.stand(number)?;
        stand.owner = owner;
        let own = stand.own.clone().ok_or(Errno::EINVAL)?;
        let call = stand.calls.as_mut().ok_or(Errno::EINVAL)?.pop_front();
        let mut byte = [0];
        // Without one the program has read it, which it should not have.
        let _ = recv(own.as_raw_fd(), &mut byte, MsgFlags::MSG_DONTWAIT);
        Ok(call)
    }

    /// The call could not be handed over.
    pub(crate) fn take_back(&self, number: u64, call: Call) {
        let mut state = self.state();
        if let Ok(stand) = state.stand(number)
            && let Some(calls) = &mut stand.calls
        {
            calls.push_front(call);
            // Fails where the jar has shut the socket down, and wants no more calls.
            let _ = announce(stand);
        }
    }

    /// recvfrom(2): the next datagram with whom it came from; `None` while there is none.
    ///
    /// # Errors
    /// What it fails with.
    pub(crate) fn receive(&self, number: u64, peek: bool) -> Result<Option<Received>, Errno> {
        let mut state = self.state();
        let stand = state.stand(number)?;
        let own = stand.own.clone().ok_or(Errno::ENOTCONN)?;
        let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
        let flags = if peek { MsgFlags::MSG_PEEK } else { MsgFlags::empty() };
        match recv(own.as_raw_fd(), &mut bytes, flags | MsgFlags::MSG_DONTWAIT) {
            Ok(0) if std::mem::take(&mut stand.refused) => return Err(Errno::ECONNREFUSED),
            Ok(count) => bytes.truncate(count),
            Err(Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(errno),
        }
        // What a program received without asking whom it came from is here still, before it.
        let own = digest(&bytes);
        let at = stand.arrivals.iter().position(|(digest, _)| *digest == own);
        let from = at.and_then(|at| stand.arrivals.get(at)).map(|(_, from)| *from);
        if let Some(at) = at.filter(|_| !peek) {
            stand.arrivals.drain(..=at);
        }
        let from = from.or(stand.peer).unwrap_or(SocketAddr::new(unspecified(stand.six), 0));
        Ok(Some(Received { bytes, from }))
    }
}

/// Whether an address leads to the jar itself.
fn is_here(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || address == IpAddr::from(setup::OWN)
}

/// Who is meant: that any address will do means this machine.
fn plain(at: SocketAddr) -> SocketAddr {
    let address = match at.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    SocketAddr::new(address, at.port())
}

/// What speaks to `at` calls itself this.
fn own_name(at: SocketAddr, port: u16) -> SocketAddr {
    SocketAddr::new(if is_here(at.ip()) { at.ip() } else { setup::OWN.into() }, port)
}

/// Whether a socket that is bound to `local` is meant by `at`.
fn answers(local: SocketAddr, at: SocketAddr) -> bool {
    let address = local.ip().to_canonical();
    match address {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => true,
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => at.is_ipv4(),
        address => address == at.ip() || address.is_loopback() && at.ip() == IpAddr::from(setup::OWN),
    }
}

/// A program that waits for its socket sees it.
fn announce(stand: &Stand) -> Result<(), Errno> {
    let other = stand.other.as_ref().ok_or(Errno::ECONNREFUSED)?;
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    send(other.as_raw_fd(), &[0], flags).map(drop).map_err(|_| Errno::ECONNREFUSED)
}

/// The sockets that a process has; `None` where it does not show them. One that is gone has none.
fn sockets_of(process: i32) -> Option<HashSet<u64>> {
    let dir = match std::fs::read_dir(format!("/proc/{process}/fd")) {
        Ok(dir) => dir,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
        Err(_) => return Some(HashSet::new()),
    };
    let number = |place: io::Result<std::fs::DirEntry>| socket_in(&readlink(place.ok()?.path().as_path()).ok()?);
    Some(dir.filter_map(number).collect())
}

/// The number of the socket that a link in proc_pid_fd(5) leads to.
pub(crate) fn socket_in(link: &OsStr) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}
