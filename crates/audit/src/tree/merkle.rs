//! Merkle tree hashing and verification, RFC 6962 section 2.1 (the same tree as RFC 9162 section 2.1) with SHA-256.

use plinth_security::digest::{SHA256_BYTES, sha256, sha256_of_parts};

/// Length of a hash, in bytes.
pub const HASH_BYTES: usize = SHA256_BYTES;

/// A SHA-256 hash.
pub type Hash = [u8; HASH_BYTES];

/// Most hashes of an inclusion or consistency proof: one for each level, and one more for consistency.
pub const PROOF_HASHES_MAX: usize = 65;

/// Hash of a leaf: SHA-256 over `0x00` and its bytes.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256_of_parts(&[&[0x00], entry])
}

/// Hash of an inner node: SHA-256 over `0x01`, the left and the right child.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256_of_parts(&[&[0x01], left, right])
}

/// Root of the tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// The right edge of a growing tree: the roots of its perfect subtrees from left to right, the largest first. Takes
/// leaves (or roots of perfect subtrees of one height, which are then its leaves) one by one and knows the root at every
/// size; holds at most 64 hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier over some leaf hashes.
    #[must_use]
    pub fn over<'h>(hashes: impl IntoIterator<Item = &'h Hash>) -> Self {
        let mut frontier = Self::default();
        for hash in hashes {
            frontier.push(*hash);
        }
        frontier
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends the hash of one leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        // Every trailing one of the size is a perfect subtree that now has its sibling.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// Root of the tree; that of the empty tree where there are no leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.root_before(None).unwrap_or_else(empty_root)
    }

    /// Root of the tree that has this one on the left and a smaller one with the root `right` on its right.
    #[must_use]
    pub fn root_before(&self, right: Option<Hash>) -> Option<Hash> {
        self.peaks
            .iter()
            .rev()
            .fold(right, |right, peak| match right {
                Some(right) => Some(node_hash(peak, &right)),
                None => Some(*peak),
            })
    }
}

/// The largest power of two that is smaller than a size of at least 2: where RFC 6962 splits a tree.
#[must_use]
pub const fn split_point(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size.saturating_sub(1)).leading_zeros())
}

/// Root that an inclusion proof leads to, after RFC 9162 section 2.1.3.2. `None` where the proof has not the form that
/// index and size call for.
#[must_use]
pub fn root_from_inclusion(leaf: Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut node, mut last, mut root) = (index, size - 1, leaf);
    for sibling in proof {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            root = node_hash(sibling, &root);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}

/// Whether the tree of `second_size` and `second_root` is an extension of the tree of `first_size` and `first_root`,
/// after RFC 9162 section 2.1.4.2.
#[must_use]
pub fn consistency_holds(
    first_size: u64,
    first_root: &Hash,
    second_size: u64,
    second_root: &Hash,
    proof: &[Hash],
) -> bool {
    if first_size == second_size {
        return proof.is_empty() && first_root == second_root;
    }
    if first_size == 0 {
        return proof.is_empty() && *first_root == empty_root();
    }
    if first_size > second_size {
        return false;
    }
    let (mut node, mut last) = (first_size - 1, second_size - 1);
    let mut path = proof.iter();
    let begin = if first_size.is_power_of_two() {
        Some(first_root)
    } else {
        path.next()
    };
    let Some(begin) = begin else { return false };
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut first, mut second) = (*begin, *begin);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            first = node_hash(sibling, &first);
            second = node_hash(sibling, &second);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            second = node_hash(&second, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && first == *first_root && second == *second_root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_splits_at_the_largest_smaller_power_of_two() {
        for (size, split) in [(2, 1), (3, 2), (4, 2), (5, 4), (8, 4), (9, 8), (257, 256)] {
            assert_eq!(split_point(size), split, "size {size}");
        }
    }
}
