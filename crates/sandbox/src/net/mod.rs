//! The network by name. Inside the jar every allowed name has an address of its own that nobody else has
//! ([`names`], from 198.18.0.0/15 of RFC 2544), and the kernel brings every connection to such an address to one
//! listening socket ([`setup`]). Its other end is held outside, by the [`broker`]: it knows the *name* that was meant,
//! looks it up itself, refuses what leads into the host's own networks ([`vet`]), dials ([`dial`]), and carries bytes
//! ([`carry`]). Datagrams come to another socket with the address they were sent to, and answers are written as packets
//! from there ([`datagrams`], [`packet`]).
//!
//! So programs need not know of it: no proxy variables, no certificates, any protocol over TCP and UDP. Nothing of Belljar
//! runs in the jar for it, and the jar's network namespace still has nothing but a loopback interface.

mod broker;
mod carry;
mod datagrams;
mod dial;
mod dns;
mod door;
pub(crate) mod inside;
mod lookup;
mod names;
mod netlink;
mod nft;
mod packet;
mod record;
mod setup;
mod upstream;
mod vet;

pub(crate) use broker::{Broker, NONE, NOT_ALLOWED, Sockets};
pub(crate) use door::{Begun, Door, Kind};
pub(crate) use inside::Inside;
pub(crate) use setup::{Datagrams, Opened, REFUSER, RESOLVER, open, over_udp, refuser, routed};
pub use upstream::Upstream;
