//! The channel over a unix socket: the other program listens, Belljar connects once for each question.

use super::ANSWER_BYTES_MAX;
use super::place::{HeldSocket, may_answer};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Sends the question and reads a line; nothing may follow it.
pub(super) fn ask(at: &HeldSocket, question: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
    let mut stream = open(at)?;
    let peer = getsockopt(&stream, sockopt::PeerCredentials)?;
    if !may_answer(peer.uid()) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "who listens there is somebody else"));
    }
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(question)?;
    let mut said = Vec::new();
    let mut part = [0_u8; 4096];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let count = match stream.read(&mut part) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(late()),
            read => read?,
        };
        said.extend(part.iter().take(count));
        let end = said.iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) if end + 1 == said.len() => return Ok(said),
            Some(_) => return Err(io::Error::other("more than one answer came back")),
            None if count == 0 => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no answer came back")),
            None if said.len() > ANSWER_BYTES_MAX => return Err(io::Error::other("the answer is too long")),
            None => {}
        }
    }
}

/// Connected without waiting for room in the queue of a listener that does not look.
fn open(at: &HeldSocket) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(&at.path())?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer came in time")
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(late()) } else { Ok(left) }
}
