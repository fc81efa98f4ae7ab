//! Tables of names that the compiler has filled: the first command of a start needs none to be gathered. A name is hashed
//! and compared with those of the few rows that share its slot.

/// Which rows of a table have a name. `SLOTS` is a power of two and well above the number of names: a table that does not
/// fit does not compile.
pub(crate) struct Index<const SLOTS: usize> {
    slots: [Slot; SLOTS],
}

#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    /// Where tables are several, which of them.
    table: u16,
    /// From 1 on; 0 for an empty slot.
    row: u16,
}

impl<const SLOTS: usize> Index<SLOTS> {
    pub(crate) const fn new() -> Index<SLOTS> {
        assert!(SLOTS.is_power_of_two(), "the number of slots is no power of two");
        Index { slots: [Slot { hash: 0, table: 0, row: 0 }; SLOTS] }
    }

    /// Adds row number `row` of `table` under `name`.
    pub(crate) const fn add(&mut self, name: &[u8], table: usize, row: usize) {
        assert!(table <= 0xffff && row < 0xffff, "too many rows");
        let hash = hash(name);
        let mut at = hash as usize % SLOTS;
        loop {
            let (_, from) = self.slots.split_at_mut(at);
            match from.first_mut() {
                Some(slot) if slot.row == 0 => {
                    *slot = Slot { hash, table: table as u16, row: row as u16 + 1 };
                    return;
                }
                _ => at = (at + 1) % SLOTS,
            }
        }
    }

    /// [`Index::add`] under each of the blank-separated words of `text`; under the empty name if there is none.
    pub(crate) const fn add_words(&mut self, text: &str, row: usize) {
        let mut rest = text.as_bytes().trim_ascii();
        loop {
            let (word, behind) = rest.split_at(word_length(rest));
            self.add(word, 0, row);
            rest = behind.trim_ascii_start();
            if rest.is_empty() {
                return;
            }
        }
    }

    /// Numbers of a table and of a row that may have `name`, in the order in which they were added.
    pub(crate) fn may_have(&self, name: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
        let hash = hash(name.as_bytes());
        let (before, from) = self.slots.split_at_checked(hash as usize % SLOTS).unwrap_or_default();
        let run = from.iter().chain(before).take_while(|slot| slot.row != 0);
        let same = run.filter(move |slot| slot.hash == hash);
        same.map(|slot| (usize::from(slot.table), usize::from(slot.row).saturating_sub(1)))
    }
}

/// FNV-1a: short, and the names are ours.
const fn hash(name: &[u8]) -> u32 {
    let (mut hash, mut rest) = (0x811c_9dc5u32, name);
    while let [first, behind @ ..] = rest {
        hash = (hash ^ *first as u32).wrapping_mul(0x0100_0193);
        rest = behind;
    }
    hash
}

const fn word_length(text: &[u8]) -> usize {
    let (mut length, mut rest) = (0, text);
    while let [first, behind @ ..] = rest {
        if first.is_ascii_whitespace() {
            break;
        }
        length += 1;
        rest = behind;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::Index;

    static INDEX: Index<8> = {
        let mut index = Index::new();
        index.add_words(" a  bc\n  d ", 0);
        index.add_words("", 1);
        index.add_words("a e f", 2);
        index
    };

    #[test]
    fn words_are_found_in_the_order_of_their_rows() {
        let rows = |name: &str| INDEX.may_have(name).map(|(_, row)| row).collect::<Vec<_>>();
        assert_eq!(rows("a"), [0, 2]);
        for (name, row) in [("bc", 0), ("d", 0), ("", 1), ("e", 2), ("f", 2)] {
            assert_eq!(rows(name), [row], "{name}");
        }
        assert_eq!(rows("b"), [0usize; 0]);
    }
}
