//! Datagrams: each pair of a sender in the jar and the peer it sends to is a flow, with a socket of its own outside. It
//! ends when nothing has passed for a while, or when it has waited longest and its place is needed.
//!
//! How they come out of the jar, and how answers get back, depends on the jar: as packets here ([`serve`]), as messages to
//! what stands for a socket where there is no network namespace ([`super::inside`]).

use crate::net::broker::{Busy, Shared};
use crate::net::dial::Meant;
use crate::net::packet;
use crate::net::setup::Datagrams;
use model::Protocol;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, Shutdown, SockaddrStorage, recvmsg, sendto, shutdown};
use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Flows at the same time, of one family of addresses. Each has one descriptor and a thread.
const FLOWS_MAX: usize = 128;
/// A flow ends when nothing has passed for so long (RFC 4787, requirement 5).
const IDLE: Duration = Duration::from_secs(120);
/// A flow that was used since then keeps its place, however many others want one.
const FRESH: Duration = Duration::from_secs(1);
/// Bytes that wait while a name is looked up; more are lost, as in a network that is busy.
const WAITING_BYTES_MAX: usize = 256 << 10;
/// The same for their number, since they may be empty.
const WAITING_MAX: usize = 256;
/// The longest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// What a thread that carries answers needs besides its buffer.
const STACK_BYTES: usize = 128 << 10;
/// Datagrams taken before flows are looked at again.
const AT_ONCE: usize = 64;
/// How long a thread that failed to wait rests.
const PATIENCE: Duration = Duration::from_millis(20);

/// No place was left, and none could be had.
const TOO_MANY: &str = "network/too-many-flows";

/// A sender in the jar, and what it sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) sender: SocketAddr,
    pub(super) meant: SocketAddr,
}

/// The way back into the jar. What does not arrive is lost, as datagrams are.
pub(super) trait Back: Send + Sync {
    /// To the sender, from whom it meant.
    fn answer(&self, ends: Ends, bytes: &[u8]);

    /// What a host says where nobody listens: a program that waits for an answer need not wait.
    fn unreachable(&self, ends: Ends);
}

/// By a raw socket that sends whole packets, from whatever address.
struct Packets(OwnedFd);

impl Packets {
    fn send(&self, to: SocketAddr, packet: Option<Vec<u8>>) {
        if let Some(packet) = packet {
            // A raw socket takes no port.
            let to = SockaddrStorage::from(SocketAddr::new(to.ip(), 0));
            let _ = sendto(self.0.as_raw_fd(), &packet, &to, MsgFlags::empty());
        }
    }
}

impl Back for Packets {
    fn answer(&self, Ends { sender, meant }: Ends, bytes: &[u8]) {
        self.send(sender, packet::datagram(meant, sender, bytes));
    }

    fn unreachable(&self, Ends { sender, meant }: Ends) {
        self.send(sender, packet::unreachable(sender, meant));
    }
}

enum State {
    /// The peer is being looked for; what was sent meanwhile.
    Looking(Vec<Vec<u8>>),
    Open(Arc<UdpSocket>),
    Ended,
}

struct Flow {
    ends: Ends,
    meant: Meant,
    state: Mutex<(State, Instant)>,
}

impl Flow {
    fn state(&self) -> MutexGuard<'_, (State, Instant)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long nothing has passed; `None` while the peer is looked for.
    fn idle(&self) -> Option<Duration> {
        let state = self.state();
        matches!(state.0, State::Open(_)).then(|| state.1.elapsed())
    }

    fn used(&self) {
        self.state().1 = Instant::now();
    }
}

/// What the threads of one family of addresses share.
struct Table {
    shared: Arc<Shared>,
    back: Box<dyn Back>,
    flows: Mutex<HashMap<Ends, Arc<Flow>>>,
}

impl Table {
    fn flows(&self) -> MutexGuard<'_, HashMap<Ends, Arc<Flow>>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, ends: Ends) -> Option<Arc<Flow>> {
        self.flows().get(&ends).map(Arc::clone)
    }

    /// Its place is free, if it is not another's already.
    fn forget(&self, flow: &Arc<Flow>) {
        flow.state().0 = State::Ended;
        let mut flows = self.flows();
        if flows.get(&flow.ends).is_some_and(|own| Arc::ptr_eq(own, flow)) {
            flows.remove(&flow.ends);
        }
    }

    fn refuse(&self, flow: &Flow, rule: &str, times: usize) {
        for _ in 0..times {
            self.shared.record.refused(flow.meant.peer.clone(), rule);
        }
        self.back.unreachable(flow.ends);
    }

    /// Sends a datagram of the jar to the peer.
    fn send(&self, flow: &Flow, outside: &UdpSocket, bytes: &[u8]) {
        let sent = match outside.send(bytes) {
            // Word of an earlier one, which was to be told; this one has not been sent yet.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.back.unreachable(flow.ends);
                outside.send(bytes)
            }
            sent => sent,
        };
        if let Ok(count) = sent {
            self.shared.record.sent(&flow.meant.peer, count);
        }
    }
}

/// Takes what the jar sends, from a thread of its own, until the command has ended and all of it is on its way.
pub(super) fn serve(shared: &Arc<Shared>, sockets: Datagrams) -> io::Result<()> {
    let Datagrams { arrivals, replies } = sockets;
    let busy = Busy::new(shared);
    let relay = Relay { arrivals, flows: Flows::new(shared, Box::new(Packets(replies))) };
    thread::Builder::new().name("belljar-udp".into()).spawn(move || {
        relay.run();
        drop(busy);
    })?;
    Ok(())
}

struct Relay {
    arrivals: OwnedFd,
    flows: Flows,
}

impl Relay {
    fn run(&self) {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        while self.wait() {
            for _ in 0..AT_ONCE {
                if !self.take(&mut buffer) {
                    break;
                }
            }
        }
        // The last words of the command wait here still.
        while self.take(&mut buffer) {}
    }

    /// Until something has arrived. False when the command has ended.
    fn wait(&self) -> bool {
        let mut fds = [
            PollFd::new(self.flows.0.shared.over.as_fd(), PollFlags::empty()),
            PollFd::new(self.arrivals.as_fd(), PollFlags::POLLIN),
        ];
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            // EINTR, or no memory for a moment.
            thread::sleep(PATIENCE);
            return true;
        }
        let [over, _] = fds;
        !over.any().unwrap_or(true)
    }

    /// Takes one datagram. False when there is none.
    fn take(&self, buffer: &mut [u8]) -> bool {
        match arrived(&self.arrivals, buffer) {
            Ok(Some((ends, length))) => self.flows.carry(ends, buffer.get(..length).unwrap_or_default()),
            // Of no family that is known, which cannot be.
            Ok(None) => {}
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
        true
    }
}

/// The flows of one family of addresses, or of all where the jar has no packets.
#[derive(Clone)]
pub(super) struct Flows(Arc<Table>);

impl Flows {
    pub(super) fn new(shared: &Arc<Shared>, back: Box<dyn Back>) -> Flows {
        Flows(Arc::new(Table { shared: Arc::clone(shared), back, flows: Mutex::default() }))
    }

    /// Brings a datagram on its way, or says that it has none.
    pub(super) fn carry(&self, ends: Ends, bytes: &[u8]) {
        let known = self.0.known(ends);
        if !known.is_some_and(|flow| self.pass(&flow, bytes)) {
            self.open(ends, bytes);
        }
    }

    /// To the peer, or to the others that wait. False where the flow has just ended.
    fn pass(&self, flow: &Flow, bytes: &[u8]) -> bool {
        let mut state = flow.state();
        state.1 = Instant::now();
        let outside = match &mut state.0 {
            State::Open(outside) => Arc::clone(outside),
            State::Looking(waiting) => {
                let room = waiting.iter().map(Vec::len).sum::<usize>() + bytes.len() <= WAITING_BYTES_MAX;
                if room && waiting.len() < WAITING_MAX {
                    waiting.push(bytes.to_vec());
                }
                return true;
            }
            State::Ended => return false,
        };
        drop(state);
        self.0.send(flow, &outside, bytes);
        true
    }

    /// A new flow, if a rule allows it. What is refused takes no place.
    fn open(&self, ends: Ends, bytes: &[u8]) {
        let shared = &self.0.shared;
        let meant = Meant::of(shared, ends.meant, Protocol::Udp);
        let allowed = meant.allowed(shared);
        let state = Mutex::new((State::Looking(vec![bytes.to_vec()]), Instant::now()));
        let flow = Arc::new(Flow { ends, meant, state });
        if allowed.is_err() {
            return self.0.refuse(&flow, shared.refusal(), 1);
        }
        if !self.make_place() {
            return shared.record.refused(flow.meant.peer.clone(), TOO_MANY);
        }
        self.0.flows().insert(ends, Arc::clone(&flow));
        let (table, busy) = (Arc::clone(&self.0), Busy::new(shared));
        let thread = thread::Builder::new().name("belljar-udp".into()).stack_size(STACK_BYTES);
        let started = thread.spawn(move || {
            run(&table, &flow);
            table.forget(&flow);
            drop(busy);
        });
        if let (Err(_), Some(flow)) = (started, self.0.known(ends)) {
            self.0.forget(&flow);
        }
    }

    /// Ends the flow that has waited longest, where all places are taken.
    fn make_place(&self) -> bool {
        let mut flows = self.0.flows();
        if flows.len() < FLOWS_MAX {
            return true;
        }
        let idle = flows.values().filter_map(|flow| flow.idle().map(|idle| (idle, flow.ends)));
        let Some((_, ends)) = idle.max_by_key(|(idle, _)| *idle).filter(|(idle, _)| *idle >= FRESH) else {
            return false;
        };
        if let Some(flow) = flows.remove(&ends)
            && let (State::Open(outside), _) = &*flow.state()
        {
            // Its thread sees the end of the socket, and ends.
            let _ = shutdown(outside.as_raw_fd(), Shutdown::Both);
        }
        true
    }
}

/// The next datagram: who sent it to whom, and its length.
fn arrived(arrivals: &OwnedFd, buffer: &mut [u8]) -> Result<Option<(Ends, usize)>, Errno> {
    let mut space = nix::cmsg_space!(libc::sockaddr_in6);
    let mut iov = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(arrivals.as_raw_fd(), &mut iov, Some(&mut space), MsgFlags::MSG_DONTWAIT)?;
    let mut meant = None;
    for control in message.cmsgs()? {
        meant = match control {
            ControlMessageOwned::Ipv4OrigDstAddr(to) => {
                Some((Ipv4Addr::from(u32::from_be(to.sin_addr.s_addr)), u16::from_be(to.sin_port)).into())
            }
            ControlMessageOwned::Ipv6OrigDstAddr(to) => {
                Some((Ipv6Addr::from(to.sin6_addr.s6_addr), u16::from_be(to.sin6_port)).into())
            }
            _ => meant,
        };
    }
    let sender = message.address.and_then(|from| socket_address(&from));
    Ok(sender.zip(meant).map(|(sender, meant)| (Ends { sender, meant }, message.bytes)))
}

fn socket_address(from: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = || from.as_sockaddr_in().map(|from| SocketAddr::from((from.ip(), from.port())));
    let v6 = || from.as_sockaddr_in6().map(|from| SocketAddr::from((from.ip(), from.port())));
    v4().or_else(v6)
}

/// A flow from its first datagram to its end.
fn run(table: &Table, flow: &Flow) {
    let shared = &table.shared;
    let outside = match flow.meant.socket(shared) {
        Ok(outside) => Arc::new(outside),
        Err(rule) => {
            let waiting = std::mem::replace(&mut flow.state().0, State::Ended);
            let times = if let State::Looking(waiting) = waiting { waiting.len() } else { 1 };
            return table.refuse(flow, &rule, times);
        }
    };
    shared.record.opened(&flow.meant.peer);
    let mut state = flow.state();
    let waiting = std::mem::replace(&mut state.0, State::Open(Arc::clone(&outside)));
    if let State::Looking(waiting) = waiting {
        // In their order: what comes meanwhile waits for the lock.
        waiting.iter().for_each(|bytes| table.send(flow, &outside, bytes));
    }
    drop(state);
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    while wait(shared, flow, &outside) && answers(table, flow, &outside, &mut buffer) {}
}

/// Until there is an answer. False when the flow is to end.
fn wait(shared: &Shared, flow: &Flow, outside: &UdpSocket) -> bool {
    let Some(left) = flow.idle().and_then(|idle| IDLE.checked_sub(idle)).filter(|left| !left.is_zero()) else {
        return false;
    };
    let mut fds =
        [PollFd::new(shared.over.as_fd(), PollFlags::empty()), PollFd::new(outside.as_fd(), PollFlags::POLLIN)];
    // Rounded up, so that what is left is never waited for in no time.
    let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, left) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(_) => return false,
    }
    let [over, outside] = fds;
    let events = outside.revents().unwrap_or(PollFlags::POLLHUP);
    !over.any().unwrap_or(true) && !events.contains(PollFlags::POLLHUP)
}

/// Passes on what the peer has sent. False when its socket is of no use any more.
fn answers(table: &Table, flow: &Flow, outside: &UdpSocket, buffer: &mut [u8]) -> bool {
    for _ in 0..AT_ONCE {
        match outside.recv(buffer) {
            Ok(count) => {
                table.back.answer(flow.ends, buffer.get(..count).unwrap_or_default());
                table.shared.record.received(&flow.meant.peer, count);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Nobody listens there; perhaps later somebody does.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => table.back.unreachable(flow.ends),
            Err(_) => return true,
        }
        flow.used();
    }
    true
}
