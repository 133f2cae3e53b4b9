//! Which slot of a cluster a key lies in.

/// Slots of a cluster.
pub(crate) const SLOTS: usize = 16_384;
/// CRC-16/XMODEM, as the cluster specification names it.
const POLYNOMIAL: u16 = 0x1021;

/// A slot of a cluster; on a single server every slot is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The number, below 16,384.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The slot of a key: of what stands between its first `{` and the next `}`, where that is not empty, else of the whole.
///
/// Source: Redis cluster specification, "Key distribution model".
#[must_use]
pub fn slot_of(key: &[u8]) -> Slot {
    let tagged = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    });
    let crc = tagged.unwrap_or(key).iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ POLYNOMIAL
            }
        })
    });
    Slot(crc & 0x3FFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // Told by `CLUSTER KEYSLOT`.
        for (key, slot) in [
            ("123456789", 12_739),
            ("foo", 12_182),
            ("{foo}.bar", 12_182),
            ("bar{foo}{zap}", 12_182),
            ("", 0),
        ] {
            assert_eq!(slot_of(key.as_bytes()).get(), slot, "{key}");
        }
        assert_eq!(slot_of(b"a{}{foo}"), slot_of(b"a{}{foo}"));
        assert_ne!(
            slot_of(b"a{}{foo}"),
            slot_of(b"foo"),
            "an empty tag is none"
        );
    }
}
