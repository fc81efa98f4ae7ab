//! Calls on what stands for a socket of the network: made here, on addresses and bytes that were read once, and answered with
//! the addresses that the program would see in a jar with a network of its own.
//!
//! Whatever is no such socket goes on, and so do calls that need no address: that permits nothing, because each of these
//! calls is free on the sockets a program of the jar can have, whichever of them the number means by the time the kernel
//! looks.

use super::caller::Caller;
use super::sockets::{Address, read};
use super::{Answer, Guard, low, number};
use crate::net::inside::{DATAGRAM_BYTES_MAX, Names, Received};
use crate::net::{Begun, Inside, Kind};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::time::TimeValLike as _;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two looks whether a caller that waits was killed or has a signal to attend to.
const GLANCE_MS: u8 = 50;
/// Parts of one message that the kernel takes (`UIO_MAXIOV`), and messages of one call.
const PARTS_MAX: usize = 1024;
/// `struct msghdr`, and the same with a length behind it, `struct mmsghdr`.
const HEADER_BYTES: usize = 56;
const MANY_STRIDE: u64 = 64;

impl Guard {
    /// One of the calls on sockets; `None` for any other.
    pub(super) fn on_network(&self, caller: Caller, call: i64, args: [u64; 6]) -> Option<Answer> {
        let inside = Arc::clone(&self.inside);
        let [a, b, c, d, e, f] = args;
        if !CALLS.contains(&call) {
            return None;
        }
        let known = caller.socket(number(a)).ok().and_then(|socket| Some((socket, inside.kind(socket)?)));
        let Some((socket, kind)) = known else {
            // Who names a peer to a unix socket is refused.
            return Some(if call == libc::SYS_sendto { Answer::Done(Err(Errno::EPERM)) } else { Answer::GoOn });
        };
        let on = On { inside, caller, socket };
        let datagrams = kind == Kind::Datagrams;
        Some(match call {
            libc::SYS_getsockname => on.name(b, c, |names| Ok(names.local.unwrap_or(nowhere(&names)))).into(),
            libc::SYS_getpeername => on.name(b, c, |names| names.peer.ok_or(Errno::ENOTCONN)).into(),
            libc::SYS_listen => on.inside.listen(socket).into(),
            libc::SYS_accept => on.accept(b, c, 0),
            libc::SYS_accept4 => on.accept(b, c, number(d)),
            libc::SYS_sendto if datagrams => on.send_to(b, c, e, f),
            // Fast open, whose address no filter sees.
            libc::SYS_sendto => Answer::Done(Err(Errno::EPERM)),
            libc::SYS_sendmsg if datagrams => on.send_message(b),
            libc::SYS_sendmmsg if datagrams => on.send_messages(b, low(c)),
            libc::SYS_recvfrom if datagrams => {
                on.receive(number(d), To::Buffer { at: b, length: c, name: e, name_length: f })
            }
            libc::SYS_recvmsg if datagrams => on.receive(number(c), To::Message { at: b }),
            libc::SYS_recvmmsg if datagrams && low(c) > 0 => on.receive(number(d), To::First { at: b }),
            _ => Answer::GoOn,
        })
    }

    /// connect(2) with an address of the network.
    pub(super) fn reach_out(&self, caller: Caller, descriptor: i32, at: SocketAddr) -> Answer {
        let inside = &self.inside;
        let begun = caller.socket(descriptor).and_then(|socket| {
            inside.kind(socket).ok_or(Errno::EAFNOSUPPORT)?;
            let waits = inside.own(socket).is_ok_and(|own| waits(&own));
            inside.connect(socket, at, waits)
        });
        match begun {
            Ok(Begun::Made) => Answer::Done(Ok(0)),
            Ok(Begun::Later(connect)) => later("belljar-connect", move || caller.reply(connect())),
            Err(errno) => Answer::Done(Err(errno)),
        }
    }

    /// bind(2) likewise.
    pub(super) fn bind_port(&self, caller: &Caller, descriptor: i32, at: SocketAddr) -> Answer {
        let inside = &self.inside;
        let bound = caller.socket(descriptor).and_then(|socket| {
            inside.kind(socket).ok_or(Errno::EAFNOSUPPORT)?;
            inside.bind(socket, at)
        });
        bound.into()
    }

    /// connect(2) to nobody, which parts a datagram socket from its peer.
    pub(super) fn part(&self, caller: &Caller, descriptor: i32) -> Answer {
        let inside = &self.inside;
        caller.socket(descriptor).and_then(|socket| inside.disconnect(socket)).into()
    }
}

const CALLS: [i64; 11] = [
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
];

fn nowhere(names: &Names) -> SocketAddr {
    let any: IpAddr = if names.six { [0u16; 8].into() } else { [0u8; 4].into() };
    (any, 0).into()
}

/// Whether a call on the socket may wait.
fn waits(socket: &OwnedFd) -> bool {
    fcntl(socket, FcntlArg::F_GETFL).is_ok_and(|flags| !OFlag::from_bits_truncate(flags).contains(OFlag::O_NONBLOCK))
}

fn later(name: &str, work: impl FnOnce() + Send + 'static) -> Answer {
    match std::thread::Builder::new().name(name.into()).spawn(work) {
        Ok(_) => Answer::Later,
        Err(_) => Answer::Done(Err(Errno::EAGAIN)),
    }
}

/// A call on a socket.
struct On {
    inside: Arc<Inside>,
    caller: Caller,
    socket: u64,
}

/// Where a datagram is to be put.
#[derive(Clone, Copy)]
enum To {
    Buffer {
        at: u64,
        length: u64,
        name: u64,
        name_length: u64,
    },
    Message {
        at: u64,
    },
    /// As the first of many: there need not be more (recvmmsg(2)).
    First {
        at: u64,
    },
}

impl On {
    /// Tells one of the socket's names.
    fn name(&self, at: u64, length: u64, which: impl FnOnce(Names) -> Result<SocketAddr, Errno>) -> Result<(), Errno> {
        let names = self.inside.names(self.socket).ok_or(Errno::ENOTSOCK)?;
        let address = which(names)?;
        self.tell(names.six, address, at, length)
    }

    /// As the kernel writes an address: as much as there is room for, and how long it is.
    fn tell(&self, six: bool, address: SocketAddr, at: u64, length_at: u64) -> Result<(), Errno> {
        let room = i32::from_ne_bytes(self.array(length_at)?);
        let bytes = bytes_of(six, address);
        let part = bytes.get(..usize::try_from(room).map_err(|_| Errno::EINVAL)?.min(bytes.len())).unwrap_or_default();
        self.caller.write(at, part)?;
        self.caller.write(length_at, &u32::try_from(bytes.len()).map_err(|_| Errno::EINVAL)?.to_ne_bytes())
    }

    fn array<const N: usize>(&self, at: u64) -> Result<[u8; N], Errno> {
        self.caller.bytes(at, N)?.try_into().map_err(|_| Errno::EFAULT)
    }

    fn accept(self, at: u64, length: u64, flags: i32) -> Answer {
        let Ok(own) = self.inside.own(self.socket) else { return Answer::Done(Err(Errno::EINVAL)) };
        self.attempt(own, true, move |on| {
            let owner = on.caller.process().unwrap_or(on.caller.thread);
            let call = match on.inside.accept(on.socket, owner) {
                Err(errno) => return Some(Answer::Done(Err(errno))),
                Ok(call) => call?,
            };
            let six = on.inside.names(on.socket).is_some_and(|names| names.six);
            let told = if at == 0 { Ok(()) } else { on.tell(six, call.from, at, length) };
            let set = || fcntl(&call.end, FcntlArg::F_SETFL(OFlag::from_bits_truncate(flags & libc::SOCK_NONBLOCK)));
            match told.and_then(|()| set()).and_then(|_| on.caller.give(&call.end, flags & libc::SOCK_CLOEXEC != 0)) {
                Ok(()) => Some(Answer::Later),
                Err(errno) => {
                    on.inside.take_back(on.socket, call);
                    Some(Answer::Done(Err(errno)))
                }
            }
        })
    }

    fn receive(self, flags: i32, to: To) -> Answer {
        let Ok(own) = self.inside.own(self.socket) else { return Answer::GoOn };
        // Where nobody wants to know whom it is from, the kernel does it.
        match self.wants_name(to) {
            Ok(true) => {}
            Ok(false) => return Answer::GoOn,
            Err(errno) => return Answer::Done(Err(errno)),
        }
        let (peek, whole) = (flags & libc::MSG_PEEK != 0, flags & libc::MSG_TRUNC != 0);
        self.attempt(own, flags & libc::MSG_DONTWAIT == 0, move |on| {
            let received = on.inside.receive(on.socket, peek);
            Some(Answer::Done(match received {
                Err(errno) => Err(errno),
                Ok(received) => on.put(&received?, to, whole),
            }))
        })
    }

    fn wants_name(&self, to: To) -> Result<bool, Errno> {
        match to {
            To::Buffer { name, .. } => Ok(name != 0),
            To::Message { at } | To::First { at } => Ok(self.header(at)?.name != 0),
        }
    }

    /// Writes a datagram where the program wants it. With `whole` it is told how long it was, and not how much of it fitted.
    fn put(&self, received: &Received, to: To, whole: bool) -> Result<i64, Errno> {
        let six = self.inside.names(self.socket).is_some_and(|names| names.six);
        let bytes = received.bytes.as_slice();
        let fitted = match to {
            To::Buffer { at, length, name, name_length } => {
                let fitted = self.scatter(&[(at, length)], bytes)?;
                self.tell(six, received.from, name, name_length)?;
                fitted
            }
            To::Message { at } | To::First { at } => {
                let header = self.header(at)?;
                let fitted = self.scatter(&header.parts, bytes)?;
                let name = bytes_of(six, received.from);
                let room = usize::try_from(header.name_length).map_err(|_| Errno::EINVAL)?.min(name.len());
                self.caller.write(header.name, name.get(..room).unwrap_or_default())?;
                let length = u32::try_from(name.len()).map_err(|_| Errno::EINVAL)?.to_ne_bytes();
                self.caller.write(at + 8, &length)?;
                // Nothing comes beside it.
                self.caller.write(at + 40, &[0; 8])?;
                let cut = if fitted < bytes.len() { libc::MSG_TRUNC } else { 0 };
                self.caller.write(at + 48, &cut.to_ne_bytes())?;
                fitted
            }
        };
        let told = if whole { bytes.len() } else { fitted };
        if let To::First { at } = to {
            let length = u32::try_from(told).map_err(|_| Errno::EINVAL)?.to_ne_bytes();
            return self.caller.write(at + HEADER_BYTES as u64, &length).map(|()| 1);
        }
        i64::try_from(told).map_err(|_| Errno::EINVAL)
    }

    /// How much of it there was room for.
    fn scatter(&self, parts: &[(u64, u64)], bytes: &[u8]) -> Result<usize, Errno> {
        let mut rest = bytes;
        for (at, length) in parts {
            let (now, later) = rest.split_at(usize::try_from(*length).unwrap_or(usize::MAX).min(rest.len()));
            self.caller.write(*at, now)?;
            rest = later;
        }
        Ok(bytes.len() - rest.len())
    }

    fn send_to(&self, at: u64, length: u64, name: u64, name_length: u64) -> Answer {
        let sent = (|| {
            let to = self.peer(name, name_length)?;
            let bytes = self.gather(&[(at, length)])?;
            self.inside.send(self.socket, to, &bytes)?;
            i64::try_from(bytes.len()).map_err(|_| Errno::EMSGSIZE)
        })();
        Answer::Done(sent)
    }

    fn send_message(&self, at: u64) -> Answer {
        Answer::Done(self.send_one(at).and_then(|count| i64::try_from(count).map_err(|_| Errno::EMSGSIZE)))
    }

    fn send_messages(&self, at: u64, many: u32) -> Answer {
        let mut sent = 0;
        for number in 0..u64::from(many).min(PARTS_MAX as u64) {
            let header = at + number * MANY_STRIDE;
            let one = self.send_one(header).and_then(|count| {
                let count = u32::try_from(count).map_err(|_| Errno::EMSGSIZE)?;
                self.caller.write(header + HEADER_BYTES as u64, &count.to_ne_bytes())
            });
            match one {
                Ok(()) => sent += 1,
                Err(errno) if sent == 0 => return Answer::Done(Err(errno)),
                Err(_) => break,
            }
        }
        Answer::Done(Ok(sent))
    }

    fn send_one(&self, at: u64) -> Result<usize, Errno> {
        let header = self.header(at)?;
        let to = self.peer(header.name, u64::from(header.name_length))?;
        let bytes = self.gather(&header.parts)?;
        self.inside.send(self.socket, to, &bytes)?;
        Ok(bytes.len())
    }

    fn peer(&self, name: u64, length: u64) -> Result<Option<SocketAddr>, Errno> {
        if name == 0 || length == 0 {
            return Ok(None);
        }
        match read(&self.caller, name, length)?.0 {
            Address::Network(at) => Ok(Some(at)),
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    fn gather(&self, parts: &[(u64, u64)]) -> Result<Vec<u8>, Errno> {
        let length: u64 = parts.iter().fold(0, |sum, (_, length)| sum.saturating_add(*length));
        if length > DATAGRAM_BYTES_MAX as u64 {
            return Err(Errno::EMSGSIZE);
        }
        let mut bytes = Vec::new();
        for (at, length) in parts.iter().filter(|(_, length)| *length > 0) {
            bytes.extend(self.caller.bytes(*at, usize::try_from(*length).map_err(|_| Errno::EMSGSIZE)?)?);
        }
        Ok(bytes)
    }

    /// A `struct msghdr` of the program's.
    fn header(&self, at: u64) -> Result<Header, Errno> {
        let bytes: [u8; HEADER_BYTES] = self.array(at)?;
        let [name, name_length, parts, count, ..] = words(&bytes)[..] else { return Err(Errno::EFAULT) };
        let count = usize::try_from(count).ok().filter(|count| *count <= PARTS_MAX).ok_or(Errno::EMSGSIZE)?;
        let parts = if count == 0 { Vec::new() } else { words(&self.caller.bytes(parts, count * 16)?) };
        let parts = parts.as_chunks::<2>().0.iter().map(|[at, length]| (*at, *length)).collect();
        Ok(Header { name, name_length: low(name_length), parts })
    }

    /// Tries until there is an answer, where the socket waits for one. A caller that has a signal to attend to is told so,
    /// which the kernel cannot do while it waits here.
    fn attempt(
        self,
        own: Arc<OwnedFd>,
        may_wait: bool,
        attempt: impl Fn(&On) -> Option<Answer> + Send + 'static,
    ) -> Answer {
        if let Some(answer) = attempt(&self) {
            return answer;
        }
        if !may_wait || !waits(&own) {
            return Answer::Done(Err(Errno::EAGAIN));
        }
        let patience = getsockopt(&own, sockopt::ReceiveTimeout).ok();
        let patience = patience.and_then(|time| u64::try_from(time.num_microseconds()).ok()).filter(|time| *time > 0);
        let end = patience.map(|time| Instant::now() + Duration::from_micros(time));
        later("belljar-wait", move || {
            let answer = loop {
                if let Some(answer) = attempt(&self) {
                    break answer;
                }
                let mut fds = [PollFd::new(own.as_fd(), PollFlags::POLLIN)];
                // Woken for nothing it is tried again, and that is all.
                let _ = poll(&mut fds, PollTimeout::from(GLANCE_MS));
                if self.caller.stands().is_err() {
                    return;
                }
                if self.caller.is_signalled() {
                    break Answer::Done(Err(Errno::EINTR));
                }
                if end.is_some_and(|end| Instant::now() >= end) {
                    break Answer::Done(Err(Errno::EAGAIN));
                }
            };
            self.caller.answer(&answer);
        })
    }
}

/// What counts of a `struct msghdr`.
struct Header {
    name: u64,
    name_length: u32,
    parts: Vec<(u64, u64)>,
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect()
}

/// A `struct sockaddr` of ip(7), or of ipv6(7) where the program speaks that.
fn bytes_of(six: bool, address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    let family = |family: i32| u16::try_from(family).unwrap_or_default().to_ne_bytes();
    match address.ip() {
        IpAddr::V4(v4) if !six => [&family(libc::AF_INET)[..], &port, &v4.octets(), &[0; 8]].concat(),
        ip => {
            let octets = match ip {
                IpAddr::V4(v4) if v4.is_unspecified() => [0; 16],
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            [&family(libc::AF_INET6)[..], &port, &[0; 4], &octets, &[0; 4]].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_kernel_writes_them() {
        let v4: SocketAddr = "1.2.3.4:258".parse().unwrap();
        assert_eq!(bytes_of(false, v4), [2, 0, 1, 2, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
        let six = bytes_of(true, v4);
        assert_eq!(
            (six.len(), &six[..8], &six[18..24]),
            (28, &[10, 0, 1, 2, 0, 0, 0, 0][..], &[255, 255, 1, 2, 3, 4][..])
        );
        let v6: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
        assert_eq!((bytes_of(true, v6).len(), bytes_of(true, v6)[8]), (28, 0x20));
    }
}
