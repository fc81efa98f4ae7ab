//! The jar's side of the network by name, made while every capability over its network namespace is still there:
//! addresses that lead to the jar itself, rules that bring them to few sockets, and those sockets.

use crate::net::netlink::{Bytes, Message, ask};
use crate::net::nft;
use model::{Block, NetRule, Protocol};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
    sockopt,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

/// Addresses that stand for names: 198.18.0.0/15, kept for tests of network devices (RFC 2544), so in use nowhere.
pub(crate) const SYNTHETIC: Block = Block::v4(SYNTHETIC_BASE, 15);
pub(super) const SYNTHETIC_BASE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// Where the jar's programs ask for names.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
pub(crate) const RESOLVER_PORT: u16 = 53;
/// Where they ask in a jar without a network.
pub(crate) const REFUSER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
/// Where connections and datagrams arrive, whomever they are for.
const BROKER: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2), BROKER_PORT));
/// The same for IPv6, where blocks of it are allowed: 2001:2::/48 is kept for tests of network devices too (RFC 5180).
const BROKER_V6: SocketAddr =
    SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 2), BROKER_PORT, 0, 0));
/// No program of the jar can have it: it lacks the capability.
const BROKER_PORT: u16 = 1;

/// An address of the jar's own. Without one besides 127.0.0.1, getaddrinfo(3) with `AI_ADDRCONFIG` finds no IPv4 here.
pub(super) const OWN: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 3);
const OWN_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 3);

/// Marks what the broker sends into the jar, so that it is not brought back to it. No program of the jar can mark.
const MARK: u32 = 0x6a72;
/// Datagrams that wait for the broker: a burst of some megabytes, as far as the host allows.
const ARRIVALS_BYTES: usize = 4 << 20;

const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const LOOPBACK_INDEX: u32 = 1;

/// What leads to the broker: the addresses of names, and the blocks that were allowed as such.
pub(crate) fn routed(rules: &[NetRule]) -> Vec<Block> {
    let mut blocks = vec![SYNTHETIC];
    for block in rules.iter().filter_map(NetRule::block) {
        if !blocks.iter().any(|known| known.covers(block)) {
            blocks.push(block);
        }
    }
    blocks
}

/// Sockets for the datagrams of one family of addresses.
pub(crate) struct Datagrams {
    /// Where they arrive, each with whom it was for.
    pub(crate) arrivals: OwnedFd,
    /// Sends whole packets into the jar, from whatever address.
    pub(crate) replies: OwnedFd,
}

/// What is made, for each family of addresses that is routed.
pub(crate) struct Opened {
    pub(crate) connections: Vec<OwnedFd>,
    pub(crate) datagrams: Vec<Datagrams>,
    pub(crate) questions: OwnedFd,
}

/// Whether a rule needs datagrams carried.
pub(crate) fn over_udp(rules: &[NetRule]) -> bool {
    rules.iter().any(|rule| rule.protocol == Protocol::Udp)
}

/// Makes all of it. Where no rule needs datagrams they are carried all the same if the kernel can, so that they can be told.
pub(crate) fn open(blocks: &[Block], over_udp: bool) -> Result<Opened, Errno> {
    address(OWN.into())?;
    let (v4, v6): (Vec<Block>, Vec<Block>) = blocks.iter().partition(|block| block.base.is_ipv4());
    let mut families = vec![(v4, BROKER)];
    if !v6.is_empty() {
        address(OWN_V6.into())?;
        // Unlike with IPv4, a route to the host itself is not enough to bind.
        address(BROKER_V6.ip())?;
        families.push((v6, BROKER_V6));
    }
    let (mut connections, mut datagrams) = (Vec::new(), Vec::new());
    for (blocks, broker) in families {
        blocks.iter().try_for_each(|block| route(*block))?;
        nft::bring_connections(&blocks, broker)?;
        let listener = bound(SockType::Stream, broker)?;
        listen(&listener, Backlog::MAXCONN)?;
        connections.push(listener);
        match carry_datagrams(&blocks, broker) {
            Ok(sockets) => datagrams.push(sockets),
            Err(errno) if over_udp => return Err(errno),
            Err(_) => {}
        }
    }
    let questions = bound(SockType::Datagram, SocketAddrV4::new(RESOLVER, RESOLVER_PORT).into())?;
    Ok(Opened { connections, datagrams, questions })
}

/// Datagrams keep their destination on the way to the broker's socket (a "transparent proxy" of the kernel), unlike
/// connections, whose first destination the kernel remembers. The sockets are made here, where there is the capability.
fn carry_datagrams(blocks: &[Block], broker: SocketAddr) -> Result<Datagrams, Errno> {
    let own: [IpAddr; 2] = if broker.is_ipv4() { [OWN.into(), RESOLVER.into()] } else { [OWN_V6.into(); 2] };
    let family = family(broker.ip());
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let arrivals = socket(family, SockType::Datagram, flags, None)?;
    // One flag for both families.
    setsockopt(&arrivals, sockopt::IpTransparent, &true)?;
    if broker.is_ipv4() {
        setsockopt(&arrivals, sockopt::Ipv4OrigDstAddr, &true)?;
    } else {
        setsockopt(&arrivals, sockopt::Ipv6OrigDstAddr, &true)?;
    }
    // More than usual where the host allows it.
    setsockopt(&arrivals, sockopt::RcvBuf, &ARRIVALS_BYTES)?;
    bind(arrivals.as_raw_fd(), &SockaddrStorage::from(broker))?;
    let replies = socket(family, SockType::Raw, flags, SockProtocol::Raw)?;
    setsockopt(&replies, sockopt::Mark, &MARK)?;
    nft::bring_datagrams(blocks, broker, &own, MARK)?;
    Ok(Datagrams { arrivals, replies })
}

/// The socket for questions in a jar without a network, where `localhost` must be found all the same.
pub(crate) fn refuser() -> Result<OwnedFd, Errno> {
    address(OWN.into())?;
    bound(SockType::Datagram, SocketAddrV4::new(REFUSER, RESOLVER_PORT).into())
}

/// `ip address add ADDRESS dev lo`.
fn address(own: IpAddr) -> Result<(), Errno> {
    // Nobody else can have it here, and until that is found out it could not be bound: `IFA_F_NODAD`.
    const UNDOUBTED: u8 = 2;
    // `struct ifaddrmsg`: family, length of the prefix, flags, scope, and the interface.
    let bytes = octets(own);
    let head = [&[number(own), bits(&bytes), UNDOUBTED, 0][..], &LOOPBACK_INDEX.to_ne_bytes()].concat();
    let body = Bytes::head(&head).with(1, &bytes).with(2, &bytes);
    ask(SockProtocol::NetlinkRoute, &[Message { kind: RTM_NEWADDR, body, answered: true }])
}

/// `ip route add local BLOCK dev lo`: every address of the block is this host's own (rtnetlink(7)).
fn route(block: Block) -> Result<(), Errno> {
    const TABLE_LOCAL: u8 = 255;
    const PROTOCOL_STATIC: u8 = 4;
    const SCOPE_HOST: u8 = 254;
    const TYPE_LOCAL: u8 = 2;
    // `struct rtmsg`.
    let head =
        [number(block.base), block.prefix, 0, 0, TABLE_LOCAL, PROTOCOL_STATIC, SCOPE_HOST, TYPE_LOCAL, 0, 0, 0, 0];
    let body = Bytes::head(&head).with(1, &octets(block.base)).with(4, &LOOPBACK_INDEX.to_ne_bytes());
    ask(SockProtocol::NetlinkRoute, &[Message { kind: RTM_NEWROUTE, body, answered: true }])
}

/// An address as it stands in a packet.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn bits(bytes: &[u8]) -> u8 {
    if bytes.len() == size_of::<Ipv4Addr>() { 32 } else { 128 }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// The number of its family: `AF_INET`, `AF_INET6`; that of netfilter is the same.
pub(super) fn number(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

fn bound(kind: SockType, at: SocketAddr) -> Result<OwnedFd, Errno> {
    let socket = socket(family(at.ip()), kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(at))?;
    Ok(socket)
}
