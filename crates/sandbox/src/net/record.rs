//! What became of the jar's network: bounded, and complete at every moment, since a connection may outlive the command.

use crate::refusals::{PEERS_MAX, Refusals};
use model::{Attempt, Connection, Endpoint, Target};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct Sums {
    times: u64,
    sent: u64,
    received: u64,
}

#[derive(Default)]
struct Seen {
    carried: BTreeMap<Endpoint, Sums>,
    refused: Refusals,
}

impl Seen {
    fn told(&self) -> (Vec<Connection>, Vec<Attempt>) {
        let connection = |(peer, sums): (&Endpoint, &Sums)| {
            let Sums { times, sent, received } = *sums;
            Connection { peer: peer.clone(), times, sent, received }
        };
        (self.carried.iter().map(connection).collect(), self.refused.attempts())
    }
}

/// Counts what several threads carry.
#[derive(Default)]
pub(super) struct Record(Mutex<Seen>);

impl Record {
    /// A connection was made.
    pub(super) fn opened(&self, peer: &Endpoint) {
        self.sums(peer, |sums| sums.times += 1);
    }

    /// Bytes have left the jar.
    pub(super) fn sent(&self, peer: &Endpoint, bytes: usize) {
        self.sums(peer, |sums| sums.sent += bytes as u64);
    }

    /// Bytes have come into it.
    pub(super) fn received(&self, peer: &Endpoint, bytes: usize) {
        self.sums(peer, |sums| sums.received += bytes as u64);
    }

    /// A name or a connection was refused, by this rule.
    pub(super) fn refused(&self, peer: Endpoint, rule: &str) {
        self.seen().refused.note(Target::Peer(peer), rule);
    }

    /// All of it so far.
    pub(super) fn told(&self) -> (Vec<Connection>, Vec<Attempt>) {
        self.seen().told()
    }

    /// All of it since this was last asked.
    pub(super) fn take(&self) -> (Vec<Connection>, Vec<Attempt>) {
        std::mem::take(&mut *self.seen()).told()
    }

    fn sums(&self, peer: &Endpoint, add: impl FnOnce(&mut Sums)) {
        let mut seen = self.seen();
        let full = seen.carried.len() >= PEERS_MAX && !seen.carried.contains_key(peer);
        let unlisted = || Endpoint { host: "(more peers than are listed)".into(), port: None, protocol: None };
        let peer = if full { unlisted() } else { peer.clone() };
        add(seen.carried.entry(peer).or_default());
    }

    /// A thread that died while it counted has at worst not counted.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_bounded_and_loses_no_count() {
        let record = Record::default();
        for port in 0..1000u16 {
            let peer = Endpoint { host: "a.example".into(), port: Some(port), protocol: None };
            record.opened(&peer);
            record.sent(&peer, 2);
            record.received(&peer, 3);
            record.refused(peer, "network/not-allowed");
        }
        let (carried, refused) = record.told();
        assert_eq!((carried.len(), refused.len()), (PEERS_MAX + 1, PEERS_MAX + 1));
        let sum = |of: fn(&Connection) -> u64| carried.iter().map(of).sum::<u64>();
        assert_eq!((sum(|c| c.times), sum(|c| c.sent), sum(|c| c.received)), (1000, 2000, 3000));
        assert_eq!(refused.iter().map(|attempt| attempt.times).sum::<u64>(), 1000);
    }
}
