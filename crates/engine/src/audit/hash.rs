//! Hashes of the log: the chain over its lines, and the Merkle tree (RFC 6962, section 2.1) whose leaves they are.

use model::{hex, unhex};
use sha2::{Digest, Sha256};

/// SHA-256.
pub(crate) type Hash = [u8; 32];

/// The head after `line`, which goes on from the head `prev`.
pub(crate) fn chain(prev: &Hash, line: &[u8]) -> Hash {
    Sha256::new().chain_update(prev).chain_update(line).finalize().into()
}

/// A plain digest.
pub(crate) fn digest(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The tree over all lines so far, as the roots of its perfect subtrees: all that growing and comparing needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    lines: u64,
    /// Largest first; one for each bit that is set in `lines`.
    peaks: Vec<Hash>,
}

impl Tree {
    /// A tree that a checkpoint tells of.
    pub(crate) fn of(lines: u64, peaks: &[String]) -> Option<Tree> {
        let peaks: Vec<Hash> = peaks.iter().map(|peak| unhex(peak)).collect::<Option<_>>()?;
        (peaks.len() == lines.count_ones() as usize).then_some(Tree { lines, peaks })
    }

    pub(crate) fn push(&mut self, line: &[u8]) {
        let mut node: Hash = Sha256::new().chain_update([0]).chain_update(line).finalize().into();
        let mut lines = self.lines;
        while lines & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            node = parent(&left, &node);
            lines >>= 1;
        }
        self.peaks.push(node);
        self.lines += 1;
    }

    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    pub(crate) fn peaks(&self) -> Vec<String> {
        self.peaks.iter().map(|peak| hex(peak)).collect()
    }

    /// The Merkle tree hash.
    pub(crate) fn root(&self) -> Hash {
        let fold = |right: Hash, left: &Hash| parent(left, &right);
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => digest(b""),
            Some(last) => peaks.fold(*last, fold),
        }
    }
}

fn parent(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, word for word.
    fn by_definition(lines: &[Vec<u8>]) -> Hash {
        match lines {
            [] => digest(b""),
            [one] => digest(&[&[0][..], one].concat()),
            _ => {
                let half = lines.len().next_power_of_two() / 2;
                digest(&[&[1][..], &by_definition(&lines[..half]), &by_definition(&lines[half..])].concat())
            }
        }
    }

    #[test]
    fn the_tree_is_that_of_rfc_6962() {
        let lines: Vec<Vec<u8>> = (0..70).map(|n: u32| n.to_string().repeat(n as usize % 7).into_bytes()).collect();
        let mut tree = Tree::default();
        for n in 0..lines.len() {
            assert_eq!(tree.root(), by_definition(&lines[..n]), "{n}");
            assert_eq!(Tree::of(n as u64, &tree.peaks()), Some(tree.clone()));
            tree.push(&lines[n]);
        }
        // The first test vectors of Certificate Transparency's own implementations.
        let mut tree = Tree::default();
        tree.push(b"");
        assert_eq!(hex(&tree.root()), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        tree.push(b"\0");
        assert_eq!(hex(&tree.root()), "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
    }
}
