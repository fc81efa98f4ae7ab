//! Addresses that stand for names.

use crate::net::setup::SYNTHETIC_BASE;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// The first ones are Belljar's own.
const FIRST: u32 = 256;
/// How many names a jar may learn of. A rule with a star matches any number of them.
pub(super) const NAMES_MAX: usize = 65_536;

/// Which address stands for which name; each keeps its own as long as the jar lives.
#[derive(Default)]
pub(super) struct Names {
    of_name: HashMap<String, Ipv4Addr>,
    names: Vec<String>,
}

impl Names {
    /// The address of a name; `None` when the jar knows too many.
    pub(super) fn address(&mut self, name: &str) -> Option<Ipv4Addr> {
        if let Some(address) = self.of_name.get(name) {
            return Some(*address);
        }
        if self.names.len() >= NAMES_MAX {
            return None;
        }
        let offset = FIRST.checked_add(u32::try_from(self.names.len()).ok()?)?;
        let address = Ipv4Addr::from(u32::from(SYNTHETIC_BASE).checked_add(offset)?);
        self.names.push(name.to_owned());
        self.of_name.insert(name.to_owned(), address);
        Some(address)
    }

    /// Whether a name has an address already.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.of_name.contains_key(name)
    }

    /// The name an address stands for.
    pub(super) fn name(&self, address: Ipv4Addr) -> Option<&str> {
        let offset = u32::from(address).checked_sub(u32::from(SYNTHETIC_BASE))?.checked_sub(FIRST)?;
        self.names.get(usize::try_from(offset).ok()?).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::setup::SYNTHETIC;

    #[test]
    fn every_name_has_one_address_and_every_address_one_name() {
        let mut names = Names::default();
        let (a, b) = (names.address("a.example").unwrap(), names.address("b.example").unwrap());
        assert_eq!((a, names.address("a.example")), (Ipv4Addr::new(198, 18, 1, 0), Some(a)));
        assert_ne!(a, b);
        assert_eq!((names.name(a), names.name(b)), (Some("a.example"), Some("b.example")));
        for other in [Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 1, 2), Ipv4Addr::new(1, 1, 1, 1)] {
            assert_eq!(names.name(other), None);
        }
    }

    #[test]
    fn names_are_bounded_and_their_addresses_are_all_synthetic() {
        let mut names = Names::default();
        for number in 0..NAMES_MAX {
            assert!(SYNTHETIC.contains(names.address(&format!("n{number}.example")).unwrap().into()));
        }
        assert_eq!(names.address("one.more.example"), None);
        assert!(names.address("n0.example").is_some());
    }
}
