//! Netlink messages, netlink(7): written as nested attributes, sent, and acknowledged.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};
use std::os::fd::{AsRawFd, OwnedFd};

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const NLMSG_ERROR: u16 = 2;
/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// Marks an attribute that holds attributes.
const NESTED: u16 = 0x8000;
/// Answers are an error number and the head of what it is about.
const ANSWER_BYTES_MAX: usize = 8 << 10;

/// Bytes of attributes, or of the fixed head of a message before them; padded to 4 as they grow.
#[derive(Clone, Default)]
pub(super) struct Bytes(Vec<u8>);

impl Bytes {
    /// The fixed part of a message.
    pub(super) fn head(bytes: &[u8]) -> Bytes {
        let mut head = Bytes::default();
        head.push(bytes);
        head
    }

    /// Adds an attribute.
    #[must_use]
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Bytes {
        // No value here comes near the 64 kB an attribute can hold; one that did would be refused by the kernel.
        let length = u16::try_from(value.len() + 4).unwrap_or(0);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.push(value);
        self
    }

    /// Adds a number, in the byte order of nf_tables.
    #[must_use]
    pub(super) fn number(self, kind: u16, value: u32) -> Bytes {
        self.with(kind, &value.to_be_bytes())
    }

    /// Adds text with the NUL that ends it.
    #[must_use]
    pub(super) fn text(self, kind: u16, value: &str) -> Bytes {
        self.with(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// Adds an attribute that holds others.
    #[must_use]
    pub(super) fn nest(self, kind: u16, inner: &Bytes) -> Bytes {
        self.with(kind | NESTED, &inner.0)
    }

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// One request.
pub(super) struct Message {
    /// What is asked.
    pub(super) kind: u16,
    /// Its fixed head and attributes.
    pub(super) body: Bytes,
    /// Whether the kernel is to answer it alone; the ends of a batch are not answered.
    pub(super) answered: bool,
}

/// Sends all requests as one datagram, and waits for an answer to each that gets one.
///
/// # Errors
/// The first that the kernel refused.
pub(super) fn ask(protocol: SockProtocol, messages: &[Message]) -> Result<(), Errno> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    let mut bytes = Vec::new();
    for (number, message) in (1u32..).zip(messages) {
        write(&mut bytes, message, number)?;
    }
    sendto(socket.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut open = messages.iter().filter(|message| message.answered).count();
    while open > 0 {
        open = open.saturating_sub(answers(&socket)?);
    }
    Ok(())
}

fn write(bytes: &mut Vec<u8>, message: &Message, number: u32) -> Result<(), Errno> {
    let length = u32::try_from(HEADER_BYTES + message.body.0.len()).map_err(|_| Errno::EMSGSIZE)?;
    let ack = if message.answered { NLM_F_ACK } else { 0 };
    bytes.extend(length.to_ne_bytes());
    bytes.extend(message.kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | NLM_F_CREATE | ack).to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend(&message.body.0);
    Ok(())
}

/// How many answers one datagram brought; an error among them is returned.
fn answers(socket: &OwnedFd) -> Result<usize, Errno> {
    let mut bytes = vec![0u8; ANSWER_BYTES_MAX];
    let length = recv(socket.as_raw_fd(), &mut bytes, MsgFlags::empty())?;
    let mut rest = bytes.get(..length).ok_or(Errno::EPROTO)?;
    let mut count = 0;
    while let Some((length, kind, errno)) = head(rest) {
        match (kind, errno) {
            (NLMSG_ERROR, 0) => count += 1,
            (NLMSG_ERROR, errno) => return Err(Errno::from_raw(errno.saturating_neg())),
            _ => return Err(Errno::EPROTO),
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    if count == 0 { Err(Errno::EPROTO) } else { Ok(count) }
}

/// Length and type of a message, and the first number in it.
fn head(bytes: &[u8]) -> Option<(usize, u16, i32)> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let errno = i32::from_ne_bytes(*bytes.get(HEADER_BYTES..)?.first_chunk()?);
    (length >= HEADER_BYTES).then_some((length, kind, errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_their_lengths_are_not() {
        let bytes = Bytes::head(&[1, 2]).text(3, "ab").nest(4, &Bytes::default().number(5, 6));
        let (three, seven) = (3u16.to_ne_bytes(), 7u16.to_ne_bytes());
        let (nested, twelve, five, eight) =
            ((4u16 | NESTED).to_ne_bytes(), 12u16.to_ne_bytes(), 5u16.to_ne_bytes(), 8u16.to_ne_bytes());
        let expected =
            [&[1, 2, 0, 0][..], &seven, &three, b"ab\0\0", &twelve, &nested, &eight, &five, &[0, 0, 0, 6]].concat();
        assert_eq!(bytes.0, expected);
    }

    #[test]
    fn a_refusal_is_an_error() {
        // Deleting a route that is not there; what an ordinary user is told is that he may not.
        let body = Bytes::head(&[2, 32, 0, 0, 255, 4, 254, 2, 0, 0, 0, 0]).with(1, &[192, 0, 2, 1]);
        let message = Message { kind: 25, body, answered: true };
        let refused = ask(SockProtocol::NetlinkRoute, &[message]);
        assert!(matches!(refused, Err(Errno::ESRCH | Errno::EPERM)), "{refused:?}");
    }
}
