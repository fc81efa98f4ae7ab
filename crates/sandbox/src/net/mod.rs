//! The network by name. Inside the jar every allowed name has an address of its own that nobody else has
//! ([`names`], from 198.18.0.0/15 of RFC 2544), and the kernel brings every connection to such an address to one
//! listening socket ([`setup`]). Its other end is held outside, by the [`broker`]: it knows the *name* that was meant,
//! looks it up itself, refuses what leads into the host's own networks ([`vet`]), dials, and carries bytes.
//!
//! So programs need not know of it: no proxy variables, no certificates, any TCP protocol. Nothing of Belljar runs in
//! the jar for it, and the jar's network namespace still has nothing but a loopback interface.

mod broker;
mod carry;
mod dns;
mod names;
mod netlink;
mod nft;
mod record;
mod setup;
mod vet;

pub(crate) use broker::{Broker, NONE, NOT_ALLOWED, Sockets};
pub(crate) use setup::{REFUSER, RESOLVER, open, refuser, routed};
