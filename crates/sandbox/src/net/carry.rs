//! One connection: whom it is for, whether that is allowed, and its bytes, in both directions until both have ended.

use crate::net::broker::{NOT_ALLOWED, Shared, is_resolver};
use crate::net::record::endpoint;
use crate::net::vet;
use model::Endpoint;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::Duration;

/// Bytes on their way in one direction.
const BUFFER_BYTES: usize = 64 << 10;
/// How long a peer may take to answer at one of its addresses.
const DIAL: Duration = Duration::from_secs(10);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;
/// How long a question over TCP may take.
const QUESTION: Duration = Duration::from_secs(5);

/// Carries a connection from the jar to its end.
pub(super) fn carry(shared: &Shared, inside: TcpStream) {
    let Ok(meant) = meant(&inside) else {
        return reset(&inside);
    };
    if is_resolver(meant) {
        // A program that leaves in the middle of its question gets no answer.
        let _ = answer(shared, inside);
        return;
    }
    let (peer, dialled) = match shared.name(meant) {
        Some(name) => named(shared, name, meant.port()),
        None => numbered(shared, meant),
    };
    match dialled {
        Ok(outside) => {
            shared.record.opened(&peer);
            // An error is of one end, and the other learns of it by the end of its connection.
            let _ = Pump::new(inside, outside).and_then(|mut pump| pump.run(shared, &peer));
        }
        Err(rule) => {
            shared.record.refused(peer, &rule);
            reset(&inside);
        }
    }
}

/// Where the program wanted to go, before the kernel brought it here.
fn meant(inside: &TcpStream) -> io::Result<SocketAddrV4> {
    let address = getsockopt(inside, sockopt::OriginalDst)?;
    Ok(SocketAddrV4::new(Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr)), u16::from_be(address.sin_port)))
}

/// To a name: looked up here, outside, where the program cannot see or change how.
fn named(shared: &Shared, name: String, port: u16) -> (Endpoint, Result<TcpStream, String>) {
    let allowed = shared.rules.iter().any(|rule| rule.allows_name(&name, port));
    let dialled = if allowed {
        let found = (name.as_str(), port).to_socket_addrs().map(|found| found.take(ADDRESSES_MAX).collect());
        found.map_err(|_| "network/no-such-name".to_owned()).and_then(|found: Vec<_>| dial(shared, &found))
    } else {
        Err(NOT_ALLOWED.to_owned())
    };
    (Endpoint { host: name, port: Some(port) }, dialled)
}

/// To an address the program named itself.
fn numbered(shared: &Shared, meant: SocketAddrV4) -> (Endpoint, Result<TcpStream, String>) {
    let allowed = shared.rules.iter().any(|rule| rule.allows_address(*meant.ip(), meant.port()));
    let dialled = if allowed { dial(shared, &[meant.into()]) } else { Err(NOT_ALLOWED.to_owned()) };
    (endpoint(meant), dialled)
}

/// The first address that may be dialled and answers. Each is judged as it is dialled: what a name leads to a moment
/// later is of no account.
fn dial(shared: &Shared, found: &[SocketAddr]) -> Result<TcpStream, String> {
    let mut why = "network/unreachable".to_owned();
    for address in found {
        match vet::vetted(address.ip(), address.port(), &shared.rules) {
            Err(what) => why = format!("network/{what}-address"),
            Ok(()) => match TcpStream::connect_timeout(address, DIAL) {
                Ok(stream) => return Ok(stream),
                Err(_) => why = "network/unreachable".to_owned(),
            },
        }
    }
    Err(why)
}

/// Closes with a reset: a program is not to take a refusal for the end of an answer.
fn reset(inside: &TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    // Without it the connection is closed in good order, which is as much of a refusal to most programs.
    let _ = setsockopt(inside, sockopt::Linger, &linger);
}

/// Questions over TCP: each with its length before it (RFC 1035, section 4.2.2).
fn answer(shared: &Shared, mut inside: TcpStream) -> io::Result<()> {
    inside.set_nonblocking(false)?;
    inside.set_read_timeout(Some(QUESTION))?;
    inside.set_write_timeout(Some(QUESTION))?;
    loop {
        let mut length = [0u8; 2];
        inside.read_exact(&mut length)?;
        let mut question = vec![0u8; usize::from(u16::from_be_bytes(length))];
        inside.read_exact(&mut question)?;
        let Some(answer) = shared.answer(&question) else {
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
    fn step(&mut self, mut source: &TcpStream, mut target: &TcpStream) -> io::Result<usize> {
        if self.is_empty() && !self.ended {
            (self.from, self.to) = (0, 0);
            match source.read(&mut self.buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => self.to = count,
                Err(error) if passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let mut written = 0;
        if !self.is_empty() {
            match target.write(self.buffer.get(self.from..self.to).unwrap_or_default()) {
                Ok(count) => written = count,
                Err(error) if passing(&error) => {}
                Err(error) => return Err(error),
            }
            self.from += written;
        }
        if self.ended && self.is_empty() && !self.closed {
            self.closed = true;
            target.shutdown(Shutdown::Write)?;
        }
        Ok(written)
    }
}

fn passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

struct Pump {
    inside: TcpStream,
    outside: TcpStream,
    out: Flow,
    back: Flow,
    /// The command has ended: only what it sent matters.
    over: bool,
}

impl Pump {
    fn new(inside: TcpStream, outside: TcpStream) -> io::Result<Pump> {
        for stream in [&inside, &outside] {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
        }
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
