//! One connection: whom it is for, whether that is allowed, and its bytes, in both directions until both have ended.

use crate::net::broker::{Place, Shared, is_resolver};
use crate::net::dial::Meant;
use model::{Endpoint, Protocol};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, Shutdown, getsockopt, recv, send, setsockopt, shutdown, sockopt};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// Bytes on their way in one direction.
const BUFFER_BYTES: usize = 64 << 10;
/// How long a question over TCP may take.
const QUESTION: Duration = Duration::from_secs(5);

/// Carries a connection from the jar to its end.
pub(super) fn carry(shared: &Arc<Shared>, inside: TcpStream) {
    let Ok(meant) = meant(&inside) else {
        return reset(&inside);
    };
    if is_resolver(meant) {
        // A program that leaves in the middle of its question gets no answer.
        let _ = patient(&inside).and_then(|()| answer(shared, &inside));
        return;
    }
    let meant = Meant::of(shared, meant, Protocol::Tcp);
    match meant.allowed(shared).and_then(|()| meant.connect(shared)) {
        Ok(outside) => pump(shared, inside, outside, &meant.peer),
        Err(rule) => {
            shared.record.refused(meant.peer, &rule);
            reset(&inside);
        }
    }
}

/// Carries a connection that was dialled, as long as it has its place.
pub(super) fn between(shared: &Shared, inside: impl End, outside: TcpStream, peer: &Endpoint, place: Place) {
    pump(shared, inside, outside, peer);
    drop(place);
}

fn pump(shared: &Shared, inside: impl End, outside: TcpStream, peer: &Endpoint) {
    shared.record.opened(peer);
    // An error is of one end, and the other learns of it by the end of its connection.
    let _ = Pump::new(inside, outside).and_then(|mut pump| pump.run(shared, peer));
}

/// One end of a connection.
pub(super) trait End: AsFd {
    /// It is not to wait, neither for others nor for more.
    fn prepare(&self) -> io::Result<()>;

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.as_fd().as_raw_fd(), buffer, MsgFlags::empty())?)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.as_fd().as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL)?)
    }

    /// Nothing more will be sent.
    fn close(&self) -> io::Result<()> {
        Ok(shutdown(self.as_fd().as_raw_fd(), Shutdown::Write)?)
    }
}

impl End for TcpStream {
    fn prepare(&self) -> io::Result<()> {
        self.set_nonblocking(true)?;
        self.set_nodelay(true)
    }
}

impl End for UnixStream {
    fn prepare(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }
}

/// Where the program wanted to go, before the kernel brought it here.
fn meant(inside: &TcpStream) -> io::Result<SocketAddr> {
    if inside.local_addr()?.is_ipv6() {
        let address = getsockopt(inside, sockopt::Ip6tOriginalDst)?;
        return Ok((Ipv6Addr::from(address.sin6_addr.s6_addr), u16::from_be(address.sin6_port)).into());
    }
    let address = getsockopt(inside, sockopt::OriginalDst)?;
    Ok((Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)), u16::from_be(address.sin_port)).into())
}

/// Closes with a reset: a program is not to take a refusal for the end of an answer.
fn reset(inside: &TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    // Without it the connection is closed in good order, which is as much of a refusal to most programs.
    let _ = setsockopt(inside, sockopt::Linger, &linger);
}

fn patient(inside: &TcpStream) -> io::Result<()> {
    inside.set_nonblocking(false)?;
    inside.set_read_timeout(Some(QUESTION))?;
    inside.set_write_timeout(Some(QUESTION))
}

/// Questions over TCP: each with its length before it (RFC 1035, section 4.2.2).
pub(super) fn answer(shared: &Arc<Shared>, mut inside: impl Read + Write) -> io::Result<()> {
    loop {
        let mut length = [0u8; 2];
        inside.read_exact(&mut length)?;
        let mut question = vec![0u8; usize::from(u16::from_be_bytes(length))];
        inside.read_exact(&mut question)?;
        let Some(answer) = shared.answer_in_time(&question) else {
            return Ok(());
        };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        inside.write_all(&[&length.to_be_bytes()[..], &answer].concat())?;
    }
}

/// One direction.
struct Flow {
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    /// Nothing more comes.
    ended: bool,
    /// And that was passed on.
    closed: bool,
}

impl Flow {
    fn new() -> Flow {
        Flow { buffer: vec![0; BUFFER_BYTES], from: 0, to: 0, ended: false, closed: false }
    }

    fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Moves what can be moved; returns how many bytes arrived.
    fn step(&mut self, source: &impl End, target: &impl End) -> io::Result<usize> {
        if self.is_empty() && !self.ended {
            (self.from, self.to) = (0, 0);
            match source.receive(&mut self.buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => self.to = count,
                Err(error) if passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let mut written = 0;
        if !self.is_empty() {
            match target.send(self.buffer.get(self.from..self.to).unwrap_or_default()) {
                Ok(count) => written = count,
                Err(error) if passing(&error) => {}
                Err(error) => return Err(error),
            }
            self.from += written;
        }
        if self.ended && self.is_empty() && !self.closed {
            self.closed = true;
            target.close()?;
        }
        Ok(written)
    }
}

fn passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

struct Pump<E> {
    inside: E,
    outside: TcpStream,
    out: Flow,
    back: Flow,
    /// The command has ended: only what it sent matters.
    over: bool,
}

impl<E: End> Pump<E> {
    fn new(inside: E, outside: TcpStream) -> io::Result<Pump<E>> {
        inside.prepare()?;
        outside.prepare()?;
        Ok(Pump { inside, outside, out: Flow::new(), back: Flow::new(), over: false })
    }

    fn run(&mut self, shared: &Shared, peer: &Endpoint) -> io::Result<()> {
        while !(self.out.closed && (self.back.closed || self.over)) {
            self.wait(shared)?;
            let sent = self.out.step(&self.inside, &self.outside)?;
            if sent > 0 {
                shared.record.sent(peer, sent);
            }
            let received = self.back.step(&self.outside, &self.inside)?;
            if received > 0 {
                shared.record.received(peer, received);
            }
        }
        Ok(())
    }

    /// Until one of the two can move something.
    fn wait(&mut self, shared: &Shared) -> io::Result<()> {
        let wants = |reads: &Flow, writes: &Flow| {
            let mut wants = PollFlags::empty();
            wants.set(PollFlags::POLLIN, reads.is_empty() && !reads.ended);
            wants.set(PollFlags::POLLOUT, !writes.is_empty());
            wants
        };
        let (inside, outside) = (wants(&self.out, &self.back), wants(&self.back, &self.out));
        let mut fds = Vec::with_capacity(3);
        fds.extend((!inside.is_empty()).then(|| PollFd::new(self.inside.as_fd(), inside)));
        fds.extend((!outside.is_empty()).then(|| PollFd::new(self.outside.as_fd(), outside)));
        let over = fds.len();
        fds.extend((!self.over).then(|| PollFd::new(shared.over.as_fd(), PollFlags::empty())));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => return Ok(()),
            polled => polled?,
        };
        self.over |= fds.get(over).is_some_and(|fd| fd.any().unwrap_or(true));
        Ok(())
    }
}
