//! Hashes and proofs of the tree against an independent, naive reading of RFC 6962 section 2.1.
#![expect(
    clippy::indexing_slicing,
    reason = "an index out of range is a fault of the test"
)]

use plinth_audit::tree::merkle::{
    Frontier, Hash, consistency_holds, empty_root, leaf_hash, root_from_inclusion,
};
use plinth_audit::tree::proof::{Subtrees, consistency, inclusion};
use plinth_security::digest::sha256;
use proptest::prelude::*;

/// `MTH(D[n])`, word for word.
fn naive_root(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => sha256(b""),
        [leaf] => sha256(&[&[0x00], leaf.as_slice()].concat()),
        _ => {
            let (left, right) = leaves.split_at(naive_split(leaves.len()));
            let parts = [&[0x01][..], &naive_root(left), &naive_root(right)];
            sha256(&parts.concat())
        }
    }
}

/// The largest power of two smaller than `n`.
fn naive_split(n: usize) -> usize {
    let mut split = 1;
    while split * 2 < n {
        split *= 2;
    }
    split
}

/// `PATH(m, D[n])`, word for word.
fn naive_path(m: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let split = naive_split(leaves.len());
    let (left, right) = leaves.split_at(split);
    let (mut path, sibling) = if m < split {
        (naive_path(m, left), naive_root(right))
    } else {
        (naive_path(m - split, right), naive_root(left))
    };
    path.push(sibling);
    path
}

/// `SUBPROOF(m, D[n], b)`, word for word.
fn naive_subproof(m: usize, leaves: &[Vec<u8>], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole {
            Vec::new()
        } else {
            vec![naive_root(leaves)]
        };
    }
    let split = naive_split(leaves.len());
    let (left, right) = leaves.split_at(split);
    let (mut proof, sibling) = if m <= split {
        (naive_subproof(m, left, whole), naive_root(right))
    } else {
        (naive_subproof(m - split, right, false), naive_root(left))
    };
    proof.push(sibling);
    proof
}

/// Perfect subtrees straight from the leaves.
struct FromLeaves<'l>(&'l [Vec<u8>]);

impl Subtrees for FromLeaves<'_> {
    type Error = String;

    fn perfect(&mut self, height: u32, index: u64) -> Result<Hash, String> {
        let first = usize::try_from(index << height).map_err(|error| error.to_string())?;
        let range = first..first + (1 << height);
        self.0
            .get(range)
            .map(naive_root)
            .ok_or_else(|| "past the end".to_owned())
    }
}

fn leaves(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|place| place.to_be_bytes()[..place % 9].to_vec())
        .collect()
}

fn frontier(leaves: &[Vec<u8>]) -> Frontier {
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    Frontier::over(&hashes)
}

#[test]
fn the_published_vectors_of_certificate_transparency_hold() {
    // The inputs and roots of the reference implementation's tests (google/certificate-transparency).
    let inputs = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let inputs: Vec<Vec<u8>> = inputs
        .iter()
        .map(|input| hex::decode(input).expect("hex"))
        .collect();
    assert_eq!(
        hex::encode(empty_root()),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_eq!(
        hex::encode(frontier(&inputs[..1]).root()),
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    );
    assert_eq!(
        hex::encode(frontier(&inputs).root()),
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    );
}

#[test]
fn every_small_tree_and_every_proof_agree_with_the_naive_reading() {
    let all = leaves(70);
    for size in 0..=all.len() {
        let tree = &all[..size];
        let root = naive_root(tree);
        assert_eq!(frontier(tree).root(), root, "size {size}");
        for index in 0..size {
            let path = inclusion(&mut FromLeaves(tree), index as u64, size as u64).expect("proves");
            assert_eq!(path, naive_path(index, tree), "leaf {index} of {size}");
            let led =
                root_from_inclusion(leaf_hash(&tree[index]), index as u64, size as u64, &path);
            assert_eq!(led, Some(root));
        }
        for first in 0..=size {
            let proof =
                consistency(&mut FromLeaves(tree), first as u64, size as u64).expect("proves");
            let old = naive_root(&tree[..first]);
            if first > 0 {
                assert_eq!(
                    proof,
                    naive_subproof(first, tree, true),
                    "{first} to {size}"
                );
            }
            assert!(
                consistency_holds(first as u64, &old, size as u64, &root, &proof),
                "{first} to {size}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// A proof with one bit changed, one hash more or less, or for another place proves nothing.
    #[test]
    fn a_wrong_proof_proves_nothing(size in 2_usize..200, seed in any::<u64>(), bit in 0_usize..256) {
        let tree = leaves(size);
        let root = naive_root(&tree);
        let index = usize::try_from(seed % size as u64).expect("fits");
        let first = 1 + usize::try_from((seed >> 8) % (size as u64 - 1)).expect("fits");
        let old = naive_root(&tree[..first]);
        let path = naive_path(index, &tree);
        let proof = naive_subproof(first, &tree, true);
        let leaf = leaf_hash(&tree[index]);
        let (at, of) = (index as u64, size as u64);
        let place = usize::try_from(seed >> 16).expect("fits");

        let mut changed = path.clone();
        let count = changed.len();
        changed[place % count][bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(root_from_inclusion(leaf, at, of, &changed), Some(root));
        prop_assert_ne!(root_from_inclusion(leaf, at, of, &path[1..]), Some(root));
        let longer = [path.as_slice(), &[root]].concat();
        prop_assert_eq!(root_from_inclusion(leaf, at, of, &longer), None);
        prop_assert_eq!(root_from_inclusion(leaf, of, of, &path), None);

        let mut changed = proof.clone();
        let count = changed.len();
        changed[place % count][bit / 8] ^= 1 << (bit % 8);
        let holds = |proof: &[Hash]| consistency_holds(first as u64, &old, of, &root, proof);
        prop_assert!(holds(&proof));
        prop_assert!(!holds(&changed));
        prop_assert!(!holds(&proof[1..]));
        prop_assert!(!holds(&[proof.as_slice(), &[root]].concat()));
        prop_assert!(!consistency_holds(first as u64, &root, of, &root, &proof));
    }
}
