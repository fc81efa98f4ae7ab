//! The network by name: whom a jar may reach, and whom it reached.

use crate::Endpoint;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// One permission to connect: a host name, all names below one, or a block of addresses; and ports.
///
/// Written `registry.npmjs.org`, `*.example.org:443`, `*:443`, `10.1.0.0/16:8000-8010`, `192.0.2.7`,
/// `[2001:db8::/32]:443` or `time.example.org:123/udp`. Without ports, every port; without a protocol, TCP.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetRule {
    /// Whom.
    pub peers: Peers,
    /// On which ports.
    pub ports: Ports,
    /// By what.
    pub protocol: Protocol,
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peers {
    /// This host name, in lower case.
    Name(String),
    /// Every name below this one, and not it.
    Below(String),
    /// Every name.
    AnyName,
    /// These addresses, dialled as such.
    Block(Block),
}

/// A block of addresses (RFC 4632, RFC 4291).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Block {
    /// Its first address.
    pub base: IpAddr,
    /// How many leading bits are fixed, 0 to 32, or to 128.
    pub prefix: u8,
}

/// A range of ports, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// Lowest.
    pub first: u16,
    /// Highest.
    pub last: u16,
}

impl Ports {
    /// All of them.
    pub const ALL: Ports = Ports { first: 1, last: u16::MAX };

    /// Whether it is one of them.
    #[must_use]
    pub fn contain(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl Block {
    /// A block of IPv4 addresses.
    #[must_use]
    pub const fn v4(base: Ipv4Addr, prefix: u8) -> Block {
        Block { base: IpAddr::V4(base), prefix }
    }

    /// A block of IPv6 addresses.
    #[must_use]
    pub const fn v6(base: Ipv6Addr, prefix: u8) -> Block {
        Block { base: IpAddr::V6(base), prefix }
    }

    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let (own, other) = (bits(self.base), bits(address));
        self.base.is_ipv4() == address.is_ipv4() && (own ^ other) & self.mask() == 0
    }

    /// Whether it is one of IPv4 addresses.
    #[must_use]
    pub fn is_ipv4(self) -> bool {
        self.base.is_ipv4()
    }

    /// Whether it is a single address.
    #[must_use]
    pub fn is_one(self) -> bool {
        self.prefix == if self.base.is_ipv4() { 32 } else { 128 }
    }

    /// Whether all of `other` lies in it.
    #[must_use]
    pub fn covers(self, other: Block) -> bool {
        other.prefix >= self.prefix && self.contains(other.base)
    }

    /// The fixed bits, from the highest of an address; an IPv4 address has 32 bits, the highest of 128.
    #[must_use]
    pub fn mask(self) -> u128 {
        u128::MAX.checked_shl(u128::BITS - u32::from(self.prefix.min(128))).unwrap_or(0)
    }
}

/// An address as the highest bits of a number.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => u128::from(v6),
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base {
            IpAddr::V4(base) if self.prefix == 32 => write!(f, "{base}"),
            IpAddr::V4(base) => write!(f, "{base}/{}", self.prefix),
            IpAddr::V6(base) if self.prefix == 128 => write!(f, "[{base}]"),
            IpAddr::V6(base) => write!(f, "[{base}/{}]", self.prefix),
        }
    }
}

impl NetRule {
    /// Whether it lets a program find this name, for whatever port and protocol.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        match &self.peers {
            Peers::Name(own) => own == name,
            Peers::Below(above) => name.strip_suffix(above.as_str()).is_some_and(|rest| rest.ends_with('.')),
            Peers::AnyName => true,
            Peers::Block(_) => false,
        }
    }

    /// Whether it allows this port of this name.
    #[must_use]
    pub fn allows_name(&self, name: &str, port: u16, protocol: Protocol) -> bool {
        self.protocol == protocol && self.ports.contain(port) && self.knows(name)
    }

    /// Whether it allows this port of this address, where the program names the address itself.
    #[must_use]
    pub fn allows_address(&self, address: IpAddr, port: u16, protocol: Protocol) -> bool {
        let ported = self.protocol == protocol && self.ports.contain(port);
        ported && self.block().is_some_and(|block| block.contains(address))
    }

    /// The addresses it is about.
    #[must_use]
    pub fn block(&self) -> Option<Block> {
        match self.peers {
            Peers::Block(block) => Some(block),
            _ => None,
        }
    }
}

/// Why a word is no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotARule {
    /// Nothing, or something with characters no host name has.
    Host(String),
    /// An address of a URL.
    Url,
    /// An IPv6 address whose end cannot be told from ports.
    Ipv6,
    /// The jar has a loopback of its own.
    Loopback,
    /// Not a number from 1 to 65535, nor two.
    Ports(String),
    /// No length of such an address, or bits beyond it are set.
    Block(String),
}

impl fmt::Display for NotARule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = crate::escape::text;
        match self {
            NotARule::Host(host) => write!(f, "`{}` is no host name", text(host)),
            NotARule::Url => f.write_str("a URL names more than a host: give `HOST` or `HOST:PORT`"),
            NotARule::Ipv6 => f.write_str("an IPv6 address is written `[ADDRESS]` or `[ADDRESS]:PORT`"),
            NotARule::Loopback => f.write_str("the jar has a loopback of its own, which needs no permission"),
            NotARule::Ports(ports) => write!(f, "`{}` is neither a port nor a range of ports", text(ports)),
            NotARule::Block(block) => {
                write!(f, "`{}` is no block of addresses: bits beyond its length must be 0", text(block))
            }
        }
    }
}

impl std::error::Error for NotARule {}

impl FromStr for NetRule {
    type Err = NotARule;

    fn from_str(text: &str) -> Result<NetRule, NotARule> {
        if text.contains("://") {
            return Err(NotARule::Url);
        }
        let lower = text.to_ascii_lowercase();
        let (rest, protocol) = match (lower.strip_suffix("/udp"), lower.strip_suffix("/tcp")) {
            (Some(rest), _) => (rest, Protocol::Udp),
            (None, Some(rest)) => (rest, Protocol::Tcp),
            (None, None) => (lower.as_str(), Protocol::Tcp),
        };
        let (host, ports) = split_ports(rest)?;
        let ports = ports.map_or(Ok(Ports::ALL), parse_ports)?;
        Ok(NetRule { peers: parse_peers(&host)?, ports, protocol })
    }
}

/// The host or block, without brackets, and what stands behind its colon.
fn split_ports(text: &str) -> Result<(String, Option<&str>), NotARule> {
    let Some((host, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) else {
        return match text.split_once(':') {
            // Without brackets only where there can be no ports.
            Some((_, rest)) if rest.contains(':') => match text.split('/').next().map(str::parse::<Ipv6Addr>) {
                Some(Ok(_)) => Ok((text.to_owned(), None)),
                _ => Err(NotARule::Ipv6),
            },
            Some((host, ports)) => Ok((host.to_owned(), Some(ports))),
            None => Ok((text.to_owned(), None)),
        };
    };
    if !host.contains(':') {
        return Err(NotARule::Ipv6);
    }
    let (length, ports) = match rest.split_once(':') {
        Some((length, ports)) => (length, Some(ports)),
        None => (rest, None),
    };
    // `[2001:db8::]/32` is `[2001:db8::/32]`.
    if length.is_empty() || length.starts_with('/') {
        Ok((format!("{host}{length}"), ports))
    } else {
        Err(NotARule::Ipv6)
    }
}

fn parse_ports(text: &str) -> Result<Ports, NotARule> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let ports = match text.split_once('-') {
        None if text == "*" => Some(Ports::ALL),
        None => port(text).map(|port| Ports { first: port, last: port }),
        Some((first, last)) => port(first).zip(port(last)).map(|(first, last)| Ports { first, last }),
    };
    ports.filter(|ports| ports.first <= ports.last).ok_or_else(|| NotARule::Ports(text.to_owned()))
}

fn parse_peers(host: &str) -> Result<Peers, NotARule> {
    let host = host.strip_suffix('.').filter(|host| *host != "*").unwrap_or(host);
    if host == "localhost" || host.ends_with(".localhost") {
        return Err(NotARule::Loopback);
    }
    if let Some((base, prefix)) = host.split_once('/') {
        return parse_block(base, prefix).ok_or_else(|| NotARule::Block(host.to_owned())).and_then(outside);
    }
    if let Ok(base) = host.parse::<IpAddr>() {
        return outside(Block { base, prefix: if base.is_ipv4() { 32 } else { 128 } });
    }
    if host.contains(':') {
        return Err(NotARule::Ipv6);
    }
    match (host, host.strip_prefix("*.")) {
        ("*", _) => Ok(Peers::AnyName),
        (_, Some(above)) if is_name(above) => Ok(Peers::Below(above.to_owned())),
        (_, None) if is_name(host) => Ok(Peers::Name(host.to_owned())),
        _ => Err(NotARule::Host(host.to_owned())),
    }
}

fn parse_block(base: &str, prefix: &str) -> Option<Block> {
    let base: IpAddr = base.parse().ok()?;
    let most = if base.is_ipv4() { 32 } else { 128 };
    let block = Block { base, prefix: prefix.parse().ok().filter(|prefix| *prefix <= most)? };
    (bits(base) & !block.mask() == 0).then_some(block)
}

/// A block that is not of the jar's own loopback; IPv4 addresses in IPv6 ones (RFC 4291, section 2.5.5.2) as what they are.
fn outside(block: Block) -> Result<Peers, NotARule> {
    const MAPPED: u8 = 96;
    let plain = match (block.base.to_canonical(), block.prefix.checked_sub(MAPPED)) {
        (base @ IpAddr::V4(_), Some(prefix)) if block.base.is_ipv6() => Block { base, prefix },
        _ => block,
    };
    // 0.0.0.0 and :: lead there too.
    let own = [
        Block::v4(Ipv4Addr::new(127, 0, 0, 0), 8),
        Block::v4(Ipv4Addr::UNSPECIFIED, 8),
        Block::v6(Ipv6Addr::UNSPECIFIED, 127),
    ];
    if own.iter().any(|own| own.covers(plain)) { Err(NotARule::Loopback) } else { Ok(Peers::Block(plain)) }
}

/// Letters, digits, hyphens and underscores between dots (RFC 1123, RFC 8553), at most 253 of them (RFC 1035). Other
/// scripts are written as `xn--`; what ends in a number is an address that was miswritten (WHATWG URL, section 3.5).
#[must_use]
pub fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let fits = !label.is_empty() && label.len() <= 63;
        fits && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

impl fmt::Display for NetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.peers {
            Peers::Name(name) => f.write_str(name)?,
            Peers::Below(above) => write!(f, "*.{above}")?,
            Peers::AnyName => f.write_str("*")?,
            Peers::Block(block) => write!(f, "{block}")?,
        }
        match self.ports {
            Ports::ALL => {}
            Ports { first, last } if first == last => write!(f, ":{first}")?,
            Ports { first, last } => write!(f, ":{first}-{last}")?,
        }
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}

impl TryFrom<String> for NetRule {
    type Error = NotARule;

    fn try_from(text: String) -> Result<NetRule, NotARule> {
        text.parse()
    }
}

impl From<NetRule> for String {
    fn from(rule: NetRule) -> String {
        rule.to_string()
    }
}

/// What went to and came from one peer, over all connections to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Connection {
    /// The peer, as the program named it.
    pub peer: Endpoint,
    /// How many connections were made; over UDP, how many pairs of a sender and this peer there were.
    pub times: u64,
    /// Bytes that left the jar.
    pub sent: u64,
    /// Bytes that came into it.
    pub received: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> NetRule {
        text.parse().unwrap()
    }

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for text in [
            "a.example",
            "*.a.example:443",
            "*",
            "*:80-443",
            "10.0.0.0/8",
            "192.0.2.7:22",
            "0.0.0.0/0",
            "_x.a",
            "a.example:53/udp",
            "*/udp",
            "10.0.0.0/8:1-5/udp",
            "[2001:db8::1]:443",
            "[2001:db8::/32]:53/udp",
            "[::/0]",
        ] {
            assert_eq!(rule(text).to_string(), text);
        }
        for (text, same) in [
            ("a.example:22/TCP", "a.example:22"),
            ("[2001:DB8::]/32:80", "[2001:db8::/32]:80"),
            ("2001:db8::1", "[2001:db8::1]"),
            ("2001:db8::/32/udp", "[2001:db8::/32]/udp"),
            ("[::ffff:10.0.0.0/104]:80", "10.0.0.0/8:80"),
            ("[::ffff:192.0.2.7]:80", "192.0.2.7:80"),
        ] {
            assert_eq!(rule(text).to_string(), same);
        }
        assert_eq!(rule("Registry.NPMJS.org.:443").to_string(), "registry.npmjs.org:443");
        assert_eq!(rule("192.0.2.7/32:*").to_string(), "192.0.2.7");
    }

    #[test]
    fn what_is_no_rule_is_told() {
        let host = |text: &str| NotARule::Host(text.to_owned());
        for (text, why) in [
            ("", host("")),
            ("a b", host("a b")),
            ("*a.example", host("*a.example")),
            ("*.", host("*.")),
            ("a..example", host("a..example")),
            ("1.2.3", host("1.2.3")),
            ("0x7f.1", host("0x7f.1")),
            ("münchen.example", host("münchen.example")),
            ("https://a.example/x", NotARule::Url),
            ("2001:db8::1:port", NotARule::Ipv6),
            ("[2001:db8::1]443", NotARule::Ipv6),
            ("[2001:db8::x]:443", NotARule::Ipv6),
            ("[a.example]:443", NotARule::Ipv6),
            ("[::1]:443", NotARule::Loopback),
            ("[::]:443", NotARule::Loopback),
            ("0.0.0.0:80", NotARule::Loopback),
            ("[::ffff:127.0.0.1]:443", NotARule::Loopback),
            ("a.example:53/sctp", NotARule::Ports("53/sctp".into())),
            ("a.example:/udp", NotARule::Ports(String::new())),
            ("[2001:db8::/129]", NotARule::Block("2001:db8::/129".into())),
            ("[2001:db8::1/64]", NotARule::Block("2001:db8::1/64".into())),
            ("localhost:80", NotARule::Loopback),
            ("a.localhost", NotARule::Loopback),
            ("127.0.0.0/8", NotARule::Loopback),
            ("127.3.2.1", NotARule::Loopback),
            ("a.example:0", NotARule::Ports("0".into())),
            ("a.example:65536", NotARule::Ports("65536".into())),
            ("a.example:9-8", NotARule::Ports("9-8".into())),
            ("a.example:", NotARule::Ports(String::new())),
            ("10.0.0.1/8", NotARule::Block("10.0.0.1/8".into())),
            ("10.0.0.0/33", NotARule::Block("10.0.0.0/33".into())),
        ] {
            assert_eq!(text.parse::<NetRule>(), Err(why), "{text}");
        }
    }

    #[test]
    fn names_match_whole_labels() {
        assert!(rule("*.a.example").knows("b.a.example") && rule("*.a.example").knows("c.b.a.example"));
        for other in ["a.example", "ba.example", "a.example.evil.example", "b.a.examples"] {
            assert!(!rule("*.a.example").knows(other), "{other}");
        }
        let (tcp, udp) = (Protocol::Tcp, Protocol::Udp);
        assert!(rule("a.example:443").allows_name("a.example", 443, tcp));
        assert!(!rule("a.example:443").allows_name("a.example", 443, udp));
        assert!(rule("a.example:443/udp").allows_name("a.example", 443, udp));
        assert!(!rule("a.example:443/udp").allows_name("a.example", 443, tcp));
        assert!(!rule("a.example:443").allows_name("a.example", 80, tcp) && !rule("a.example").knows("b.a.example"));
        assert!(!rule("10.0.0.0/8").knows("a.example") && !rule("*").allows_address([10, 0, 0, 1].into(), 1, tcp));
    }

    #[test]
    fn blocks_contain_what_shares_their_bits() {
        let block = |text: &str| rule(text).block().unwrap();
        let v4 = |octets: [u8; 4]| IpAddr::from(octets);
        assert!(block("10.0.0.0/8").contains(v4([10, 255, 1, 2])));
        assert!(!block("10.0.0.0/8").contains(v4([11, 0, 0, 0])));
        assert!(block("0.0.0.0/0").contains(v4([255; 4])) && !block("0.0.0.0/0").contains("::1".parse().unwrap()));
        assert!(block("10.0.0.0/8").covers(block("10.1.0.0/16")) && !block("10.1.0.0/16").covers(block("10.0.0.0/8")));
        assert!(rule("192.0.2.7:22").allows_address(v4([192, 0, 2, 7]), 22, Protocol::Tcp));
        assert!(!rule("192.0.2.7:22").allows_address(v4([192, 0, 2, 8]), 22, Protocol::Tcp));
        let v6 = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(block("[2001:db8::/33]").contains(v6("2001:db8:7fff::1")));
        assert!(!block("[2001:db8::/33]").contains(v6("2001:db8:8000::1")));
        assert!(block("[::/0]").contains(v6("2001:db8::1")) && !block("[::/0]").contains(v4([0; 4])));
        assert!(!rule("[2001:db8::1]:53/udp").allows_address(v6("2001:db8::1"), 53, Protocol::Tcp));
    }
}
