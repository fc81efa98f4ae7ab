//! Whom the jar means, whether that is allowed, and the way there.

use crate::net::broker::Shared;
use crate::net::upstream::Detour;
use crate::net::vet::{Candidate, vetted};
use model::{Endpoint, Protocol};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long a peer may take to answer at one of its addresses.
const DIAL: Duration = Duration::from_secs(10);
/// The same where there is a proxy to try next.
const DIAL_BEFORE_PROXY: Duration = Duration::from_secs(3);
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 8;

/// Any port would do (RFC 863).
const DISCARD: u16 = 9;

/// It was allowed, and has no address.
pub(super) const NO_SUCH_NAME: &str = "network/no-such-name";
/// Nothing answers at any address it may have.
pub(super) const UNREACHABLE: &str = "network/unreachable";

/// Whom a connection or a datagram is for.
#[derive(Clone)]
pub(super) struct Meant {
    pub(super) peer: Endpoint,
    /// What the program sent to.
    at: SocketAddr,
    /// Whether that stands for a name.
    named: bool,
    protocol: Protocol,
}

impl Meant {
    pub(super) fn of(shared: &Shared, at: SocketAddr, protocol: Protocol) -> Meant {
        let name = shared.name(at.ip());
        let named = name.is_some();
        let host = name.unwrap_or_else(|| at.ip().to_canonical().to_string());
        Meant { peer: Endpoint { host, port: Some(at.port()), protocol: Some(protocol) }, at, named, protocol }
    }

    /// By a rule; its addresses are judged later.
    pub(super) fn allowed(&self, shared: &Shared) -> Result<(), String> {
        let (port, protocol) = (self.at.port(), self.protocol);
        let allowed = match self.named {
            true => shared.network.allows_name(&self.peer.host, port, protocol),
            false => shared.network.allows_address(self.at.ip(), port, protocol),
        };
        if allowed { Ok(()) } else { Err(shared.refusal().to_owned()) }
    }

    /// A name is looked up here, outside, where the program cannot see or change how.
    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        if !self.named {
            return Ok(vec![self.at]);
        }
        let found = (self.peer.host.as_str(), self.at.port()).to_socket_addrs()?;
        Ok(found.take(ADDRESSES_MAX).collect())
    }

    /// The first of the addresses that may be had and that `way` leads to. Each is judged as it is used: what a name leads
    /// to a moment later is of no account.
    fn first<T>(
        &self,
        shared: &Shared,
        found: &[SocketAddr],
        way: impl Fn(&SocketAddr) -> io::Result<T>,
    ) -> Result<T, String> {
        let mut why = UNREACHABLE.to_owned();
        for address in found {
            let (address_alone, port, protocol) = (address.ip(), address.port(), self.protocol);
            let candidate = Candidate { address: address_alone, port, protocol, own: is_own(address_alone) };
            // What is refused by its address is not had by a name that leads there.
            let refused = shared.network.refused();
            if refused.iter().any(|rule| rule.allows_address(address_alone.to_canonical(), port, protocol)) {
                why = crate::net::NOT_ALLOWED.to_owned();
                continue;
            }
            match vetted(candidate, shared.network.rules()) {
                Err(what) => why = format!("network/{what}-address"),
                Ok(()) => match way(address) {
                    Ok(way) => return Ok(way),
                    Err(_) => why = UNREACHABLE.to_owned(),
                },
            }
        }
        Err(why)
    }

    /// A connection to it, by the host's proxy where there is no other way.
    pub(super) fn connect(&self, shared: &Shared) -> Result<TcpStream, String> {
        let by_proxy = shared.upstream.as_ref().filter(|proxy| proxy.is_for(&self.peer.host));
        let detour = |proxy: &crate::net::Upstream| {
            let stream = proxy.connect(&self.peer.host, self.at.port());
            shared.only_by_proxy.fetch_or(stream.is_ok(), Ordering::Relaxed);
            stream.map_err(|why| match why {
                Detour::Refused => "network/proxy-refused".to_owned(),
                Detour::Broken => "network/proxy-unreachable".to_owned(),
            })
        };
        let found = match (self.addresses(), by_proxy) {
            (Ok(found), _) => found,
            // Behind such a proxy only it knows the names of the world.
            (Err(_), Some(proxy)) => return detour(proxy),
            (Err(_), None) => return Err(NO_SUCH_NAME.to_owned()),
        };
        let direct = |patience| self.first(shared, &found, |address| TcpStream::connect_timeout(address, patience));
        match by_proxy {
            None => direct(DIAL),
            Some(proxy) if shared.only_by_proxy.load(Ordering::Relaxed) => {
                // Judged all the same: a name that leads into the host's networks is no business of the proxy's.
                self.first(shared, &found, |_| Ok(()))?;
                detour(proxy).or_else(|why| direct(DIAL_BEFORE_PROXY).map_err(|_| why))
            }
            Some(proxy) => match direct(DIAL_BEFORE_PROXY) {
                Err(why) if why == UNREACHABLE => detour(proxy),
                done => done,
            },
        }
    }

    /// A socket that sends to it and receives from nobody else.
    pub(super) fn socket(&self, shared: &Shared) -> Result<UdpSocket, String> {
        let found = self.addresses().map_err(|_| NO_SUCH_NAME.to_owned())?;
        self.first(shared, &found, |address| {
            let socket = connected(*address)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
    }
}

/// Sends nothing: that comes with the first datagram.
fn connected(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket)
}

/// Whether an address is one of this machine's, whose servers may take whoever reaches them for a neighbour. To speak to
/// itself the kernel takes the address that is spoken to; where it has no route there is nothing to be reached.
fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let local = connected((address, DISCARD).into()).and_then(|socket| socket.local_addr());
    local.is_ok_and(|local| local.ip() == address)
}
