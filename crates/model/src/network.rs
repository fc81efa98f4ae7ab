//! The network by name: whom a jar may reach, and whom it reached.

use crate::Endpoint;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// One permission to connect: a host name, all names below one, or a block of addresses; and ports.
///
/// Written `registry.npmjs.org`, `*.example.org:443`, `*:443`, `10.1.0.0/16:8000-8010` or `192.0.2.7`. Without ports,
/// every port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetRule {
    /// Whom.
    pub peers: Peers,
    /// On which ports.
    pub ports: Ports,
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

/// A block of IPv4 addresses (RFC 4632).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Block {
    /// Its first address.
    pub base: Ipv4Addr,
    /// How many leading bits are fixed, 0 to 32.
    pub prefix: u8,
}

/// A range of TCP ports, both ends in it.
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

    fn contain(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl Block {
    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == u32::from(self.base)
    }

    /// Whether all of `other` lies in it.
    #[must_use]
    pub fn covers(self, other: Block) -> bool {
        other.prefix >= self.prefix && self.contains(other.base)
    }

    /// The fixed bits, from the highest.
    #[must_use]
    pub fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0)
    }
}

impl NetRule {
    /// Whether it lets a program find this name, on whatever port.
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
    pub fn allows_name(&self, name: &str, port: u16) -> bool {
        self.ports.contain(port) && self.knows(name)
    }

    /// Whether it allows this port of this address, where the program names the address itself.
    #[must_use]
    pub fn allows_address(&self, address: Ipv4Addr, port: u16) -> bool {
        self.ports.contain(port) && self.block().is_some_and(|block| block.contains(address))
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
    /// IPv6 addresses cannot be allowed by number.
    Ipv6,
    /// The jar has a loopback of its own.
    Loopback,
    /// Not a number from 1 to 65535, nor two.
    Ports(String),
    /// Not a number from 0 to 32, or bits beyond it are set.
    Block(String),
}

impl fmt::Display for NotARule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = crate::escape::text;
        match self {
            NotARule::Host(host) => write!(f, "`{}` is no host name", text(host)),
            NotARule::Url => f.write_str("a URL names more than a host: give `HOST` or `HOST:PORT`"),
            NotARule::Ipv6 => f.write_str("IPv6 addresses are allowed by name only"),
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
        if text.matches(':').count() > 1 {
            return Err(NotARule::Ipv6);
        }
        let (host, ports) = match text.split_once(':') {
            Some((host, ports)) => (host, parse_ports(ports)?),
            None => (text, Ports::ALL),
        };
        Ok(NetRule { peers: parse_peers(&host.to_ascii_lowercase())?, ports })
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
    if let Ok(base) = host.parse::<Ipv4Addr>() {
        return outside(Block { base, prefix: 32 });
    }
    match (host, host.strip_prefix("*.")) {
        ("*", _) => Ok(Peers::AnyName),
        (_, Some(above)) if is_name(above) => Ok(Peers::Below(above.to_owned())),
        (_, None) if is_name(host) => Ok(Peers::Name(host.to_owned())),
        _ => Err(NotARule::Host(host.to_owned())),
    }
}

fn parse_block(base: &str, prefix: &str) -> Option<Block> {
    let block = Block { base: base.parse().ok()?, prefix: prefix.parse().ok().filter(|prefix| *prefix <= 32)? };
    (u32::from(block.base) & !block.mask() == 0).then_some(block)
}

fn outside(block: Block) -> Result<Peers, NotARule> {
    let loopback = Block { base: Ipv4Addr::new(127, 0, 0, 0), prefix: 8 };
    if loopback.covers(block) { Err(NotARule::Loopback) } else { Ok(Peers::Block(block)) }
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
            Peers::Block(Block { base, prefix: 32 }) => write!(f, "{base}")?,
            Peers::Block(Block { base, prefix }) => write!(f, "{base}/{prefix}")?,
        }
        match self.ports {
            Ports::ALL => Ok(()),
            Ports { first, last } if first == last => write!(f, ":{first}"),
            Ports { first, last } => write!(f, ":{first}-{last}"),
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
    /// How many connections were made.
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
        for text in ["a.example", "*.a.example:443", "*", "*:80-443", "10.0.0.0/8", "192.0.2.7:22", "0.0.0.0/0", "_x.a"]
        {
            assert_eq!(rule(text).to_string(), text);
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
            ("[2001:db8::1]:443", NotARule::Ipv6),
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
        assert!(rule("a.example:443").allows_name("a.example", 443));
        assert!(!rule("a.example:443").allows_name("a.example", 80) && !rule("a.example").knows("b.a.example"));
        assert!(!rule("10.0.0.0/8").knows("a.example") && !rule("*").allows_address(Ipv4Addr::new(10, 0, 0, 1), 1));
    }

    #[test]
    fn blocks_contain_what_shares_their_bits() {
        let block = |text: &str| rule(text).block().unwrap();
        assert!(block("10.0.0.0/8").contains(Ipv4Addr::new(10, 255, 1, 2)));
        assert!(!block("10.0.0.0/8").contains(Ipv4Addr::new(11, 0, 0, 0)));
        assert!(block("0.0.0.0/0").contains(Ipv4Addr::BROADCAST));
        assert!(block("10.0.0.0/8").covers(block("10.1.0.0/16")) && !block("10.1.0.0/16").covers(block("10.0.0.0/8")));
        assert!(rule("192.0.2.7:22").allows_address(Ipv4Addr::new(192, 0, 2, 7), 22));
        assert!(!rule("192.0.2.7:22").allows_address(Ipv4Addr::new(192, 0, 2, 8), 22));
    }
}
