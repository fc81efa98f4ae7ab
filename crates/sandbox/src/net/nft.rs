//! The one rule of nf_tables a jar has: TCP to these addresses comes to the broker's socket. Made by netlink, so that no
//! `nft` program is needed. Numbers from `linux/netfilter/nf_tables.h` and `nfnetlink.h`; the way of a packet from
//! nft(8), "nat statements".

use crate::net::netlink::{Bytes, Message, ask};
use model::Block;
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::net::SocketAddrV4;

const FAMILY_IPV4: u8 = 2;
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;

const TABLE: &str = "belljar";
const CHAIN: &str = "out";
/// `NF_INET_LOCAL_OUT` and `NF_IP_PRI_NAT_DST`: what the jar itself sends, where destinations are translated.
const HOOK_OUT: u32 = 3;
const PRIORITY_DNAT: u32 = (-100i32).cast_unsigned();

/// A table, a chain at the way out, and a rule for each block: `ip daddr BLOCK tcp dnat to TO`.
pub(super) fn bring(blocks: &[Block], to: SocketAddrV4) -> Result<(), Errno> {
    let mut messages = vec![batch(BATCH_BEGIN), table(), chain()];
    messages.extend(blocks.iter().map(|block| rule(*block, to)));
    messages.push(batch(BATCH_END));
    ask(SockProtocol::NetlinkNetFilter, &messages)
}

/// `struct nfgenmsg`: family, version, and for a batch the subsystem.
fn head(family: u8, subsystem: u16) -> Bytes {
    let [high, low] = subsystem.to_be_bytes();
    Bytes::head(&[family, 0, high, low])
}

fn batch(kind: u16) -> Message {
    Message { kind, body: head(0, SUBSYSTEM), answered: false }
}

fn table() -> Message {
    Message { kind: NEW_TABLE, body: head(FAMILY_IPV4, 0).text(1, TABLE), answered: true }
}

fn chain() -> Message {
    let hook = Bytes::default().number(1, HOOK_OUT).number(2, PRIORITY_DNAT);
    let body = head(FAMILY_IPV4, 0).text(1, TABLE).text(3, CHAIN).nest(4, &hook).text(7, "nat");
    Message { kind: NEW_CHAIN, body, answered: true }
}

fn rule(block: Block, to: SocketAddrV4) -> Message {
    // Registers 1 and 2, 16 bytes each: `NFT_REG_1`, `NFT_REG_2`.
    const FIRST: u32 = 1;
    const SECOND: u32 = 2;
    let equal = |value: &[u8]| {
        let data = Bytes::default().with(1, value);
        expression("cmp", &Bytes::default().number(1, FIRST).number(2, 0).nest(3, &data))
    };
    let immediate = |register: u32, value: &[u8]| {
        let data = Bytes::default().with(1, value);
        expression("immediate", &Bytes::default().number(1, register).nest(2, &data))
    };
    let data = |value: &[u8]| Bytes::default().with(1, value);
    let l4_protocol = expression("meta", &Bytes::default().number(1, FIRST).number(2, 16));
    // The destination address, in the network header.
    let destination = expression("payload", &Bytes::default().number(1, FIRST).number(2, 1).number(3, 16).number(4, 4));
    let mask = Bytes::default().number(1, FIRST).number(2, FIRST).number(3, 4);
    let mask = mask.nest(4, &data(&block.mask().to_be_bytes())).nest(5, &data(&[0; 4]));
    let translate = Bytes::default().number(1, 1).number(2, FAMILY_IPV4.into()).number(3, FIRST).number(5, SECOND);
    let walk = [
        l4_protocol,
        equal(&[6]),
        destination,
        expression("bitwise", &mask),
        equal(&block.base.octets()),
        immediate(FIRST, &to.ip().octets()),
        immediate(SECOND, &to.port().to_be_bytes()),
        expression("nat", &translate),
    ];
    let walk = walk.iter().fold(Bytes::default(), |walk, step| walk.nest(1, step));
    Message { kind: NEW_RULE, body: head(FAMILY_IPV4, 0).text(1, TABLE).text(2, CHAIN).nest(4, &walk), answered: true }
}

fn expression(name: &str, what: &Bytes) -> Bytes {
    Bytes::default().text(1, name).nest(2, what)
}
