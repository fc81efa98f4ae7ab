//! A bounded map that forgets what was used least recently.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

struct Slot<V> {
    value: V,
    used: u64,
    since: Instant,
}

/// At most `max` entries; when one more comes, the older half goes, so that eviction costs O(1) per insertion.
pub(crate) struct Bounded<K, V> {
    slots: HashMap<K, Slot<V>>,
    clock: u64,
    max: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Bounded<K, V> {
    pub(crate) fn new(max: usize) -> Bounded<K, V> {
        Bounded { slots: HashMap::new(), clock: 0, max }
    }

    pub(crate) fn get<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.clock += 1;
        let slot = self.slots.get_mut(key)?;
        slot.used = self.clock;
        Some(slot.value.clone())
    }

    /// [`Bounded::get`], but only of what was put in less than `age` ago.
    pub(crate) fn get_young<Q>(&mut self, key: &Q, age: Duration) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let young = self.slots.get(key)?.since.elapsed() < age;
        if young { self.get(key) } else { None }
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        if self.slots.len() >= self.max {
            self.shrink();
        }
        self.clock += 1;
        self.slots.insert(key, Slot { value, used: self.clock, since: Instant::now() });
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.slots.remove(key);
    }

    fn shrink(&mut self) {
        let mut ages: Vec<u64> = self.slots.values().map(|slot| slot.used).collect();
        ages.sort_unstable();
        let middle = ages.get(ages.len() / 2).copied().unwrap_or(0);
        self.slots.retain(|_, slot| slot.used > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_the_bound_holds() {
        let mut cache = Bounded::new(4);
        for key in 0..100 {
            cache.put(key, key);
            assert!(cache.slots.len() <= 4);
            assert_eq!(cache.get(&key), Some(key));
        }
        assert_eq!(cache.get(&0), None);
        cache.remove(&99);
        assert_eq!(cache.get(&99), None);
    }
}
