//! The jar's side of the network by name, made while every capability over its network namespace is still there:
//! addresses that lead to the jar itself, one rule that brings them to one socket, and that socket.

use crate::net::netlink::{Bytes, Message, ask};
use crate::net::nft;
use model::{Block, NetRule};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrIn, bind, listen, socket};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

/// Addresses that stand for names: 198.18.0.0/15, kept for tests of network devices (RFC 2544), so in use nowhere.
pub(crate) const SYNTHETIC: Block = Block { base: Ipv4Addr::new(198, 18, 0, 0), prefix: 15 };
/// Where the jar's programs ask for names.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
pub(crate) const RESOLVER_PORT: u16 = 53;
/// Where they ask in a jar without a network.
pub(crate) const REFUSER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 53);
/// Where connections arrive, whomever they are for.
const BROKER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 2), 1);

/// An address of the jar's own. Without one besides 127.0.0.1, getaddrinfo(3) with `AI_ADDRCONFIG` finds no IPv4 here.
const OWN: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 3);

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

/// Makes all of it. Returns the socket for connections and the one for questions.
pub(crate) fn open(blocks: &[Block]) -> Result<(OwnedFd, OwnedFd), Errno> {
    address(OWN)?;
    blocks.iter().try_for_each(|block| route(*block))?;
    nft::bring(blocks, BROKER)?;
    let connections = bound(SockType::Stream, BROKER)?;
    listen(&connections, Backlog::MAXCONN)?;
    Ok((connections, bound(SockType::Datagram, SocketAddrV4::new(RESOLVER, RESOLVER_PORT))?))
}

/// The socket for questions in a jar without a network, where `localhost` must be found all the same.
pub(crate) fn refuser() -> Result<OwnedFd, Errno> {
    address(OWN)?;
    bound(SockType::Datagram, SocketAddrV4::new(REFUSER, RESOLVER_PORT))
}

/// `ip address add ADDRESS/32 dev lo`.
fn address(own: Ipv4Addr) -> Result<(), Errno> {
    // `struct ifaddrmsg`: family, length of the prefix, flags, scope, and the interface.
    let head = [&[2, 32, 0, 0][..], &LOOPBACK_INDEX.to_ne_bytes()].concat();
    let body = Bytes::head(&head).with(1, &own.octets()).with(2, &own.octets());
    ask(SockProtocol::NetlinkRoute, &[Message { kind: RTM_NEWADDR, body, answered: true }])
}

/// `ip route add local BLOCK dev lo`: every address of the block is this host's own (rtnetlink(7)).
fn route(block: Block) -> Result<(), Errno> {
    const TABLE_LOCAL: u8 = 255;
    const PROTOCOL_STATIC: u8 = 4;
    const SCOPE_HOST: u8 = 254;
    const TYPE_LOCAL: u8 = 2;
    // `struct rtmsg`.
    let head = [2, block.prefix, 0, 0, TABLE_LOCAL, PROTOCOL_STATIC, SCOPE_HOST, TYPE_LOCAL, 0, 0, 0, 0];
    let body = Bytes::head(&head).with(1, &block.base.octets()).with(4, &LOOPBACK_INDEX.to_ne_bytes());
    ask(SockProtocol::NetlinkRoute, &[Message { kind: RTM_NEWROUTE, body, answered: true }])
}

fn bound(kind: SockType, at: SocketAddrV4) -> Result<OwnedFd, Errno> {
    let socket = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(at))?;
    Ok(socket)
}
