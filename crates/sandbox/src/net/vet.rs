//! Which addresses a name may lead to. A name that leads to an address of the host or of the networks around it (DNS
//! rebinding, cloud metadata services, a router's own page) was allowed by nobody.

use model::{Block, NetRule, Protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Blocks that are not the public internet, with what they are: the IANA special-purpose address registries (RFC 6890).
const SPECIAL: &[(Block, &str)] = &[
    (v4(0, 0, 0, 8), "this-host"),
    (v4(10, 0, 0, 8), "private"),
    (v4(100, 64, 0, 10), "shared"),
    (v4(127, 0, 0, 8), "loopback"),
    (v4(169, 254, 0, 16), "link-local"),
    (v4(172, 16, 0, 12), "private"),
    (v4(192, 0, 0, 24), "reserved"),
    (v4(192, 168, 0, 16), "private"),
    (v4(198, 18, 0, 15), "reserved"),
    (v4(224, 0, 0, 4), "multicast"),
    (v4(240, 0, 0, 4), "reserved"),
    (v6(0, 0, 0, 0, 127), "loopback"),
    // Local NAT64 (RFC 8215), discard-only (RFC 6666), Teredo (RFC 4380: what it embeds is scrambled), benchmarks (RFC 5180).
    (v6(0x64, 0xff9b, 1, 0, 48), "reserved"),
    (v6(0x100, 0, 0, 0, 64), "reserved"),
    (v6(0x2001, 0, 0, 0, 32), "reserved"),
    (v6(0x2001, 2, 0, 0, 48), "reserved"),
    (v6(0xfc00, 0, 0, 0, 7), "private"),
    (v6(0xfe80, 0, 0, 0, 10), "link-local"),
    // Site-local (RFC 3879).
    (v6(0xfec0, 0, 0, 0, 10), "private"),
    (v6(0xff00, 0, 0, 0, 8), "multicast"),
];

const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Block {
    Block::v4(Ipv4Addr::new(a, b, c, 0), prefix)
}

const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Block {
    Block::v6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// An address that is about to be dialled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    /// It is one of this machine's own.
    pub(super) own: bool,
}

/// Whether an address may be dialled. A special one only where a rule names addresses of just that kind, and one of this
/// machine, however public it is, only where a rule names it alone: neither `*` nor 0.0.0.0/0 opens the host or the
/// networks around it, and nothing opens what an IPv6 address embeds.
pub(super) fn vetted(candidate: Candidate, rules: &[NetRule]) -> Result<(), &'static str> {
    let Candidate { address, port, protocol, own } = candidate;
    let address = address.to_canonical();
    if let Some((kind, what)) = special(address).or_else(|| own.then(|| (alone(address), "this-host"))) {
        let kind_alone = |rule: &NetRule| rule.block().is_some_and(|own| kind.covers(own));
        let named = |rule: &NetRule| rule.allows_address(address, port, protocol) && kind_alone(rule);
        return if rules.iter().any(named) { Ok(()) } else { Err(what) };
    }
    match embedded(address).and_then(|inner| special(inner.into())) {
        Some((_, what)) => Err(what),
        None => Ok(()),
    }
}

fn alone(address: IpAddr) -> Block {
    match address {
        IpAddr::V4(address) => Block::v4(address, 32),
        IpAddr::V6(address) => Block::v6(address, 128),
    }
}

fn special(address: IpAddr) -> Option<(Block, &'static str)> {
    SPECIAL.iter().copied().find(|(block, _)| block.contains(address))
}

/// The IPv4 address an IPv6 address stands for: IPv4-compatible, NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(address) = address else { return None };
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, high, low] | [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => Some(join(high, low)),
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<NetRule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_not_the_public_internet_is_known_in_every_dress() {
        let any = |address: &str| {
            let address = address.parse().unwrap();
            vetted(Candidate { address, port: 443, protocol: Protocol::Udp, own: false }, &rules(&["*/udp"]))
        };
        for (address, what) in [
            ("127.0.0.1", "loopback"),
            ("127.255.0.9", "loopback"),
            ("0.0.0.0", "this-host"),
            ("10.1.2.3", "private"),
            ("172.31.255.255", "private"),
            ("192.168.0.1", "private"),
            ("100.127.0.1", "shared"),
            ("169.254.169.254", "link-local"),
            ("198.19.0.1", "reserved"),
            ("224.0.0.251", "multicast"),
            ("255.255.255.255", "reserved"),
            ("::1", "loopback"),
            ("::", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:169.254.169.254", "link-local"),
            ("::127.0.0.1", "loopback"),
            ("64:ff9b::10.0.0.1", "private"),
            ("64:ff9b:1::a00:1", "reserved"),
            ("2002:7f00:1::", "loopback"),
            ("2001:0:1::1", "reserved"),
            ("2001:2::3", "reserved"),
            ("fe80::1", "link-local"),
            ("fd00:ec2::254", "private"),
            ("fec0::1", "private"),
            ("ff02::1", "multicast"),
        ] {
            assert_eq!(any(address), Err(what), "{address}");
        }
        for address in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1"]
        {
            assert_eq!(any(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn a_special_address_is_dialled_only_where_its_kind_was_named() {
        let candidate = |address: &str| {
            let address = address.parse().unwrap();
            Candidate { address, port: 443, protocol: Protocol::Tcp, own: false }
        };
        let vetted = |address: &str, texts: &[&str]| super::vetted(candidate(address), &rules(texts));
        assert_eq!(vetted("1.1.1.1", &["*"]), Ok(()));
        assert_eq!(vetted("10.0.0.1", &["*", "0.0.0.0/0", "a.example"]), Err("private"));
        assert_eq!(vetted("10.0.0.1", &["10.0.0.0/8:80"]), Err("private"));
        assert_eq!(vetted("10.0.0.1", &["10.0.0.0/8"]), Ok(()));
        assert_eq!(vetted("::ffff:10.0.0.1", &["10.0.0.1:443"]), Ok(()));
        assert_eq!(vetted("169.254.169.254", &["169.254.169.254"]), Ok(()));
        assert_eq!(vetted("169.254.169.254", &["128.0.0.0/1"]), Err("link-local"));
        assert_eq!(vetted("fe80::1", &["0.0.0.0/0", "[::/0]"]), Err("link-local"));
        assert_eq!(vetted("fd00::1", &["[fd00::/8]:443"]), Ok(()));
        assert_eq!(vetted("fd00::1", &["[fd00::/8]:80", "[fd00::/8]:443/udp", "[f000::/4]"]), Err("private"));
        assert_eq!(vetted("64:ff9b::10.0.0.1", &["[64:ff9b::/96]", "10.0.0.0/8"]), Err("private"));
    }
    #[test]
    fn an_address_of_this_machine_is_dialled_only_where_it_was_named_alone() {
        let own = |address: &str, texts: &[&str]| {
            let address = address.parse().unwrap();
            vetted(Candidate { address, port: 443, protocol: Protocol::Tcp, own: true }, &rules(texts))
        };
        assert_eq!(own("1.1.1.1", &["*", "1.1.1.0/24", "a.example"]), Err("this-host"));
        assert_eq!(own("1.1.1.1", &["1.1.1.1:80", "1.1.1.2"]), Err("this-host"));
        assert_eq!(own("1.1.1.1", &["1.1.1.1:443"]), Ok(()));
        assert_eq!(own("2606:4700::1111", &["[2606:4700::/32]"]), Err("this-host"));
        assert_eq!(own("2606:4700::1111", &["[2606:4700::1111]:443"]), Ok(()));
        assert_eq!(own("10.0.0.1", &["10.0.0.0/8"]), Ok(()), "a kind that was named has this machine in it");
    }
}
