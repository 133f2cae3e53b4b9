//! Entry bundles: sequences of entries, each behind its length as a big-endian 16-bit number (C2SP tlog-tiles).

use bytes::Bytes;

use super::tile::TILE_WIDTH;

/// Longest entry, in bytes: what a 16-bit length can say.
pub const ENTRY_BYTES_MAX: usize = u16::MAX as usize;
/// Longest bundle, in bytes.
pub const BUNDLE_BYTES_MAX: usize = 256 * (2 + ENTRY_BYTES_MAX);

/// Appends an entry to the bytes of a bundle. Returns whether it fits: an entry past [`ENTRY_BYTES_MAX`] changes
/// nothing.
#[must_use]
pub fn append(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else {
        return false;
    };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}

/// The entries of a bundle, which share its memory. `None` where the bytes are not whole entries, or more than a bundle
/// holds.
#[must_use]
pub fn decode(bundle: &Bytes) -> Option<Vec<Bytes>> {
    let mut entries = Vec::new();
    let mut rest = bundle.clone();
    while !rest.is_empty() {
        if entries.len() as u64 >= TILE_WIDTH {
            return None;
        }
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?));
        if rest.len() < 2 + length {
            return None;
        }
        let _length = rest.split_to(2);
        entries.push(rest.split_to(length));
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_up_to_the_limit_and_not_one_past_it() {
        let mut bundle = Vec::new();
        assert!(append(&mut bundle, b""));
        assert!(append(&mut bundle, &vec![7; ENTRY_BYTES_MAX]));
        assert!(!append(&mut bundle, &vec![7; ENTRY_BYTES_MAX + 1]));
        let entries = decode(&Bytes::from(bundle.clone())).expect("decodes");
        assert_eq!(
            entries.iter().map(Bytes::len).collect::<Vec<_>>(),
            [0, ENTRY_BYTES_MAX]
        );
        bundle.pop();
        assert!(decode(&Bytes::from(bundle)).is_none());
        assert!(decode(&Bytes::from(vec![0; 2 * 256])).is_some());
        assert!(decode(&Bytes::from(vec![0; 2 * 257])).is_none());
    }
}
