//! Which addresses a name may lead to. A name that leads to an address of the host or of the networks around it (DNS
//! rebinding, cloud metadata services, a router's own page) was allowed by nobody.

use model::{Block, NetRule};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Blocks that are not the public internet, with what they are: the IANA special-purpose address registries (RFC 6890).
const SPECIAL: &[(Ipv4Addr, u8, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this-host"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "reserved"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// What an address is that no name may lead to by itself; `None` for one of the public internet.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => special_v4(address).map(|(_, what)| what),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// Whether an address may be dialled. A special one only where a rule names addresses of just that kind: neither `*` nor
/// 0.0.0.0/0 opens the networks around the host.
pub(super) fn vetted(address: IpAddr, port: u16, rules: &[NetRule]) -> Result<(), &'static str> {
    let Some(what) = special(address) else {
        return Ok(());
    };
    let IpAddr::V4(v4) = address.to_canonical() else {
        return Err(what);
    };
    let Some((kind, _)) = special_v4(v4) else {
        return Err(what);
    };
    let named = |rule: &&NetRule| rule.allows_address(v4, port) && rule.block().is_some_and(|own| kind.covers(own));
    if rules.iter().any(|rule| named(&rule)) { Ok(()) } else { Err(what) }
}

fn special_v4(address: Ipv4Addr) -> Option<(Block, &'static str)> {
    let blocks = SPECIAL.iter().map(|(base, prefix, what)| (Block { base: *base, prefix: *prefix }, *what));
    blocks.into_iter().find(|(block, _)| block.contains(address))
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() || address.is_unspecified() {
        return Some("loopback");
    }
    if address.is_multicast() {
        return Some("multicast");
    }
    if let Some(inner) = embedded(address) {
        return special_v4(inner).map(|(_, what)| what);
    }
    match address.segments() {
        [first, ..] if first & 0xffc0 == 0xfe80 => Some("link-local"),
        [first, ..] if first & 0xfe00 == 0xfc00 => Some("private"),
        // Site-local (RFC 3879), discard-only (RFC 6666), Teredo (RFC 4380: what it embeds is scrambled), local NAT64
        // (RFC 8215).
        [first, ..] if first & 0xffc0 == 0xfec0 => Some("private"),
        [0x0100, 0, 0, 0, ..] => Some("reserved"),
        [0x2001, 0, ..] => Some("reserved"),
        [0x0064, 0xff9b, 1, ..] => Some("reserved"),
        _ => None,
    }
}

/// The IPv4 address an IPv6 address stands for: IPv4-compatible, NAT64 (RFC 6052) and 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
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
            ("fe80::1", "link-local"),
            ("fd00:ec2::254", "private"),
            ("fec0::1", "private"),
            ("ff02::1", "multicast"),
        ] {
            assert_eq!(special(address.parse().unwrap()), Some(what), "{address}");
        }
        for address in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::1"]
        {
            assert_eq!(special(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn a_special_address_is_dialled_only_where_its_kind_was_named() {
        let vetted = |address: &str, texts: &[&str]| vetted(address.parse().unwrap(), 443, &rules(texts));
        assert_eq!(vetted("1.1.1.1", &["*"]), Ok(()));
        assert_eq!(vetted("10.0.0.1", &["*", "0.0.0.0/0", "a.example"]), Err("private"));
        assert_eq!(vetted("10.0.0.1", &["10.0.0.0/8:80"]), Err("private"));
        assert_eq!(vetted("10.0.0.1", &["10.0.0.0/8"]), Ok(()));
        assert_eq!(vetted("::ffff:10.0.0.1", &["10.0.0.1:443"]), Ok(()));
        assert_eq!(vetted("169.254.169.254", &["169.254.169.254"]), Ok(()));
        assert_eq!(vetted("169.254.169.254", &["128.0.0.0/1"]), Err("link-local"));
        assert_eq!(vetted("fe80::1", &["0.0.0.0/0"]), Err("link-local"));
    }
}
