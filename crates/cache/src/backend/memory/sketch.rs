//! How often a key was asked for lately: a count-min sketch of 4-bit counters that halve with age.
//!
//! Source: Cormode & Muthukrishnan, J. Algorithms 2005; the ageing by Einziger, Friedman & Manes, ACM ToS 2017.

/// Counters of a sketch; a power of two.
const COUNTERS: usize = 16_384;
/// How many counters stand for one key.
const ROWS: u32 = 4;
/// Largest count.
const COUNT_MAX: u8 = 15;
/// After so many notes every count is halved.
const SAMPLE: u32 = 163_840;

/// The sketch of one shard. Its memory is made at the first note.
#[derive(Default)]
pub(super) struct Sketch {
    counters: Vec<u8>,
    noted: u32,
}

impl Sketch {
    /// Notes one use of a key.
    pub(super) fn note(&mut self, hash: u64) {
        if self.counters.is_empty() {
            self.counters = vec![0; COUNTERS];
        }
        for row in 0..ROWS {
            if let Some(counter) = self.counters.get_mut(place(hash, row)) {
                *counter = (*counter + 1).min(COUNT_MAX);
            }
        }
        self.noted += 1;
        if self.noted >= SAMPLE {
            self.noted /= 2;
            self.counters.iter_mut().for_each(|counter| *counter /= 2);
        }
    }

    /// Estimates how often a key was noted; never below the truth until it ages.
    pub(super) fn estimate(&self, hash: u64) -> u8 {
        (0..ROWS)
            .map(|row| self.counters.get(place(hash, row)).copied().unwrap_or(0))
            .min()
            .unwrap_or(0)
    }
}

fn place(hash: u64, row: u32) -> usize {
    // One multiplication by an odd constant for each row spreads the bits (Dietzfelbinger et al. 1997).
    let spread = hash
        .rotate_left(row * 16)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(spread >> 50).unwrap_or(0) & (COUNTERS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_never_too_low_and_ages() {
        let mut sketch = Sketch::default();
        assert_eq!(sketch.estimate(1), 0);
        for _ in 0..6 {
            sketch.note(0xABCD_EF01_2345_6789);
        }
        assert!(sketch.estimate(0xABCD_EF01_2345_6789) >= 6);
        for step in 0..SAMPLE {
            sketch.note(u64::from(step % 7).wrapping_mul(0x1234_5678_9ABC_DEF1));
        }
        assert!(sketch.estimate(0xABCD_EF01_2345_6789) <= 5);
    }
}
