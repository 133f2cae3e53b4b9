//! Making proofs (RFC 6962 sections 2.1.1 and 2.1.2) out of perfect subtrees, and the text of an inclusion proof.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::merkle::{Hash, empty_root, node_hash, split_point};

/// Where the roots of perfect subtrees come from.
pub trait Subtrees {
    /// Why one cannot be had.
    type Error;
    /// Root of the perfect subtree of `1 << height` leaves that begins at leaf `index << height`.
    fn perfect(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// Root over the leaves of a range that begins at a multiple of its next larger power of two.
pub fn range_root<S: Subtrees>(source: &mut S, start: u64, end: u64) -> Result<Hash, S::Error> {
    let size = end.saturating_sub(start);
    if size == 0 {
        return Ok(empty_root());
    }
    if size.is_power_of_two() {
        let height = size.trailing_zeros();
        return source.perfect(height, start >> height);
    }
    let middle = start + split_point(size);
    let left = range_root(source, start, middle)?;
    Ok(node_hash(&left, &range_root(source, middle, end)?))
}

/// `PATH(index, D[size])`: the siblings from the leaf up.
pub fn inclusion<S: Subtrees>(
    source: &mut S,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, S::Error> {
    let mut siblings = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split_point(end - start);
        if index < middle {
            siblings.push(range_root(source, middle, end)?);
            end = middle;
        } else {
            siblings.push(range_root(source, start, middle)?);
            start = middle;
        }
    }
    siblings.reverse();
    Ok(siblings)
}

/// `PROOF(first, D[second])`: empty where either tree is, or both are the same.
pub fn consistency<S: Subtrees>(
    source: &mut S,
    first: u64,
    second: u64,
) -> Result<Vec<Hash>, S::Error> {
    let mut hashes = Vec::new();
    if first == 0 || first >= second {
        return Ok(hashes);
    }
    let (mut start, mut end) = (0, second);
    while end != first {
        let middle = start + split_point(end - start);
        if first <= middle {
            hashes.push(range_root(source, middle, end)?);
            end = middle;
        } else {
            hashes.push(range_root(source, start, middle)?);
            start = middle;
        }
    }
    // The verifier knows the root of the first tree already where that tree is one perfect subtree.
    if start != 0 {
        hashes.push(range_root(source, start, end)?);
    }
    hashes.reverse();
    Ok(hashes)
}

/// An inclusion proof as C2SP tlog-proof text (<https://c2sp.org/tlog-proof>).
#[must_use]
pub fn tlog_proof(index: u64, siblings: &[Hash], checkpoint: &str) -> String {
    let mut text = format!("c2sp.org/tlog-proof@v1\nindex {index}\n");
    for sibling in siblings {
        text.push_str(&STANDARD.encode(sibling));
        text.push('\n');
    }
    text.push('\n');
    text.push_str(checkpoint);
    text
}
