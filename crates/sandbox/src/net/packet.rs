//! Packets that are sent into the jar: an answer from the address that a program sent to, or word that nobody is there.

use crate::net::setup::octets;
use std::net::{IpAddr, SocketAddr};

const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;
const TTL: u8 = 64;
const IPV4_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;

/// A datagram (RFC 768) in a packet of its own; `None` where it would be too long for one, or of two families.
pub(super) fn datagram(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(UDP_HEADER_BYTES + payload.len()).ok()?.to_be_bytes();
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    let sum = checksum(&[&pseudo(from.ip(), to.ip(), UDP, length), &ports, &length, payload]);
    // 0 stands for no checksum at all.
    let sum = if sum == 0 { u16::MAX } else { sum };
    packet(from.ip(), to.ip(), UDP, &[&ports[..], &length, &sum.to_be_bytes(), payload].concat())
}

/// "Port unreachable" (RFC 792, RFC 4443) about a datagram that `sender` sent to `meant`.
pub(super) fn unreachable(sender: SocketAddr, meant: SocketAddr) -> Option<Vec<u8>> {
    let about = datagram(sender, meant, &[])?;
    let (protocol, kind, code) = if meant.is_ipv4() { (ICMP, 3, 3) } else { (ICMP_V6, 1, 4) };
    let bare = [&[kind, code, 0, 0, 0, 0, 0, 0][..], &about].concat();
    let length = u16::try_from(bare.len()).ok()?.to_be_bytes();
    // That of IPv4 is about the message alone.
    let pseudo = if meant.is_ipv4() { Vec::new() } else { pseudo(meant.ip(), sender.ip(), ICMP_V6, length) };
    let sum = checksum(&[&pseudo, &bare]).to_be_bytes();
    packet(meant.ip(), sender.ip(), protocol, &[&[kind, code][..], &sum, &[0; 4], &about].concat())
}

/// With a header of IPv4 (RFC 791), whose checksum and number the kernel writes, or of IPv6 (RFC 8200).
fn packet(from: IpAddr, to: IpAddr, protocol: u8, body: &[u8]) -> Option<Vec<u8>> {
    let ends = [octets(from), octets(to)].concat();
    let head = match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => {
            let [high, low] = u16::try_from(IPV4_HEADER_BYTES + body.len()).ok()?.to_be_bytes();
            vec![0x45, 0, high, low, 0, 0, 0, 0, TTL, protocol, 0, 0]
        }
        (IpAddr::V6(_), IpAddr::V6(_)) => {
            let [high, low] = u16::try_from(body.len()).ok()?.to_be_bytes();
            vec![0x60, 0, 0, 0, high, low, protocol, TTL]
        }
        _ => return None,
    };
    Some([&head, &ends, body].concat())
}

/// What checksums are about besides the message: both ends, the protocol, the length.
fn pseudo(from: IpAddr, to: IpAddr, protocol: u8, length: [u8; 2]) -> Vec<u8> {
    [&octets(from)[..], &octets(to), &[0, protocol], &length].concat()
}

/// RFC 1071. Every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let word = |pair: &[u8]| match pair {
        [high, low] => u64::from(u16::from_be_bytes([*high, *low])),
        [high] => u64::from(*high) << 8,
        _ => 0,
    };
    let mut sum: u64 = parts.iter().flat_map(|part| part.chunks(2)).map(word).sum();
    while sum > u64::from(u16::MAX) {
        sum = (sum & u64::from(u16::MAX)) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// What a receiver checks: the sum over all of it, checksum included, is nothing.
    fn holds(from: &str, to: &str, protocol: u8, message: &[u8]) -> bool {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        checksum(&[&pseudo(at(from).ip(), at(to).ip(), protocol, length), message]) == 0
    }

    #[test]
    fn checksums_are_right() {
        // The example of RFC 1071, section 3.
        assert_eq!(checksum(&[&[0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
        for payload in [&b""[..], b"x", b"xy", &[0xff; 1201]] {
            let (from, to) = ("198.18.1.0:443", "198.18.0.3:5000");
            let v4 = datagram(at(from), at(to), payload).unwrap();
            assert!(holds(from, to, UDP, &v4[20..]), "{payload:?}");
            assert_eq!((&v4[20..24], &v4[28..]), (&[1, 187, 19, 136][..], payload));
            let (from, to) = ("[2001:db8::1]:443", "[2001:2::3]:5000");
            assert!(holds(from, to, UDP, &datagram(at(from), at(to), payload).unwrap()[40..]), "{payload:?}");
        }
        let (client, meant) = ("[2001:2::3]:5000", "[2001:db8::1]:443");
        assert!(holds(meant, client, ICMP_V6, &unreachable(at(client), at(meant)).unwrap()[40..]));
        let v4 = unreachable(at("198.18.0.3:5000"), at("198.18.1.0:443")).unwrap();
        assert_eq!(checksum(&[&v4[20..]]), 0);
        assert_eq!(&v4[28..], datagram(at("198.18.0.3:5000"), at("198.18.1.0:443"), b"").unwrap());
    }

    #[test]
    fn what_is_too_long_or_of_two_families_is_no_packet() {
        let (a, b, six) = (at("198.18.1.0:443"), at("198.18.0.3:5000"), at("[2001:2::3]:5000"));
        assert_eq!(datagram(a, b, &[0; 65_507]).unwrap().len(), 65_535);
        assert_eq!((datagram(a, b, &[0; 65_508]), datagram(a, six, b"x")), (None, None));
    }
}
