//! The rules of nf_tables a jar has: TCP to these addresses comes to the broker's one socket, datagrams to another. Made
//! by netlink, so that no `nft` program is needed. Numbers from `linux/netfilter/nf_tables.h` and `nfnetlink.h`; the way
//! of a packet from nft(8), "nat statements" and "tproxy statement".

use crate::net::netlink::{Bytes, Message, ask};
use crate::net::setup::{number, octets};
use model::Block;
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEW_TABLE: u16 = SUBSYSTEM << 8;
const NEW_CHAIN: u16 = SUBSYSTEM << 8 | 3;
const NEW_RULE: u16 = SUBSYSTEM << 8 | 6;

const TABLE: &str = "belljar";
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A chain: its name, what it is for, and where packets meet it.
struct Chain {
    name: &'static str,
    kind: &'static str,
    hook: u32,
    priority: i32,
}

/// `NF_INET_LOCAL_OUT` and `NF_IP_PRI_NAT_DST`: what the jar itself sends, where destinations are translated.
const OUT: Chain = Chain { name: "out", kind: "nat", hook: 3, priority: -100 };
/// `NF_INET_PRE_ROUTING` and `NF_IP_PRI_MANGLE`: where it comes back by the loopback interface.
const BACK: Chain = Chain { name: "back", kind: "filter", hook: 0, priority: -150 };

/// A table, a chain at the way out, and a rule for each block: `ip daddr BLOCK tcp dnat to TO`. The jar's own loopback is
/// left alone, which a wide block would hold too.
pub(super) fn bring_connections(blocks: &[Block], to: SocketAddr) -> Result<(), Errno> {
    let translate = |block: &Block| {
        let family = u32::from(number(to.ip()));
        let translate = Bytes::default().number(1, 1).number(2, family).number(3, FIRST).number(5, SECOND);
        [&protocol(TCP)[..], &destination(*block), &target(to), &[expression("nat", &translate)]].concat()
    };
    let rules: Vec<_> =
        [accept(&destination(loopback(to.ip())))].into_iter().chain(blocks.iter().map(translate)).collect();
    install(to.ip(), &OUT, &rules)
}

/// For each block `ip daddr BLOCK udp tproxy to TO`, but for what is marked or for the jar's `own` addresses.
pub(super) fn bring_datagrams(blocks: &[Block], to: SocketAddr, own: &[IpAddr], mark: u32) -> Result<(), Errno> {
    let carry = |block: &Block| {
        let family = u32::from(number(to.ip()));
        let proxy = Bytes::default().number(1, family).number(2, FIRST).number(3, SECOND);
        [&protocol(UDP)[..], &destination(*block), &target(to), &[expression("tproxy", &proxy)]].concat()
    };
    let whole = |address: &IpAddr| Block { base: *address, prefix: if address.is_ipv4() { 32 } else { 128 } };
    let inside = own.iter().map(whole).chain([loopback(to.ip())]).map(|block| accept(&destination(block)));
    // `meta mark`
    let load = expression("meta", &Bytes::default().number(1, FIRST).number(2, 3));
    let marked = accept(&[load, equal(&mark.to_ne_bytes())]);
    let rules: Vec<_> = [marked].into_iter().chain(inside).chain(blocks.iter().map(carry)).collect();
    install(to.ip(), &BACK, &rules)
}

/// A table, which may be there already, a chain in it, and its rules.
fn install(family: IpAddr, chain: &Chain, rules: &[Vec<Bytes>]) -> Result<(), Errno> {
    let family = number(family);
    let table = Message { kind: NEW_TABLE, body: head(family, 0).text(1, TABLE), answered: true };
    let hook = Bytes::default().number(1, chain.hook).number(2, chain.priority.cast_unsigned());
    let body = head(family, 0).text(1, TABLE).text(3, chain.name).nest(4, &hook).text(7, chain.kind);
    let mut messages = vec![batch(BATCH_BEGIN), table, Message { kind: NEW_CHAIN, body, answered: true }];
    // Each new rule goes before those that are there.
    messages.extend(rules.iter().rev().map(|walk| {
        let walk = walk.iter().fold(Bytes::default(), |walk, step| walk.nest(1, step));
        let body = head(family, 0).text(1, TABLE).text(2, chain.name).nest(4, &walk);
        Message { kind: NEW_RULE, body, answered: true }
    }));
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

fn loopback(family: IpAddr) -> Block {
    match family {
        IpAddr::V4(_) => Block::v4(Ipv4Addr::new(127, 0, 0, 0), 8),
        IpAddr::V6(_) => Block::v6(Ipv6Addr::LOCALHOST, 128),
    }
}

// Registers 1 and 2, 16 bytes each: `NFT_REG_1`, `NFT_REG_2`.
const FIRST: u32 = 1;
const SECOND: u32 = 2;

fn equal(value: &[u8]) -> Bytes {
    expression("cmp", &Bytes::default().number(1, FIRST).number(2, 0).nest(3, &data(value)))
}

fn data(value: &[u8]) -> Bytes {
    Bytes::default().with(1, value)
}

/// `meta l4proto`
fn protocol(number: u8) -> [Bytes; 2] {
    [expression("meta", &Bytes::default().number(1, FIRST).number(2, 16)), equal(&[number])]
}

/// The destination address, in the network header, lies in the block.
fn destination(block: Block) -> [Bytes; 3] {
    let base = octets(block.base);
    let (offset, length) = if block.base.is_ipv4() { (16, 4) } else { (24, 16) };
    let load = Bytes::default().number(1, FIRST).number(2, 1).number(3, offset).number(4, length);
    let fixed: Vec<u8> = block.mask().to_be_bytes().into_iter().take(base.len()).collect();
    let mask = Bytes::default().number(1, FIRST).number(2, FIRST).number(3, length);
    let mask = mask.nest(4, &data(&fixed)).nest(5, &data(&vec![0; base.len()]));
    [expression("payload", &load), expression("bitwise", &mask), equal(&base)]
}

/// Address and port, in the two registers.
fn target(to: SocketAddr) -> [Bytes; 2] {
    let immediate = |register: u32, value: &[u8]| {
        expression("immediate", &Bytes::default().number(1, register).nest(2, &data(value)))
    };
    [immediate(FIRST, &octets(to.ip())), immediate(SECOND, &to.port().to_be_bytes())]
}

/// What the conditions hold for goes its way.
fn accept(conditions: &[Bytes]) -> Vec<Bytes> {
    const VERDICT: u32 = 0;
    const ACCEPT: u32 = 1;
    let verdict = Bytes::default().nest(2, &Bytes::default().number(1, ACCEPT));
    let accept = expression("immediate", &Bytes::default().number(1, VERDICT).nest(2, &verdict));
    conditions.iter().cloned().chain([accept]).collect()
}

fn expression(name: &str, what: &Bytes) -> Bytes {
    Bytes::default().text(1, name).nest(2, what)
}
