//! Where randomness comes in, so that a simulation can choose it.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::digest::sha256_of_parts;

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct EntropyError;

/// A source of random bytes.
pub trait Entropy: Send + Sync + 'static {
    /// Fills a buffer. Errors: the source has nothing to give.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError>;
}

/// The generator of the cryptographic library, seeded by the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl SystemEntropy {
    /// A shared one.
    #[must_use]
    pub fn shared() -> Arc<dyn Entropy> {
        Arc::new(Self)
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| EntropyError)
    }
}

/// A generator that gives the same bytes for the same seed. For tests and simulation only: whoever knows the seed knows
/// every key.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    blocks: Mutex<u64>,
}

impl SeededEntropy {
    /// Starts at a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            blocks: Mutex::new(0),
        }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let mut blocks = self.blocks.lock();
        for chunk in bytes.chunks_mut(crate::digest::SHA256_BYTES) {
            let block = sha256_of_parts(&[&self.seed.to_be_bytes(), &blocks.to_be_bytes()]);
            *blocks = blocks.wrapping_add(1);
            for (to, from) in chunk.iter_mut().zip(block) {
                *to = from;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_the_system_does_not() {
        let draw = |source: &dyn Entropy| {
            let mut bytes = [0; 40];
            source.fill(&mut bytes).expect("fills");
            bytes
        };
        assert_eq!(draw(&SeededEntropy::new(7)), draw(&SeededEntropy::new(7)));
        assert_ne!(draw(&SeededEntropy::new(7)), draw(&SeededEntropy::new(8)));
        let system = SystemEntropy;
        assert_ne!(draw(&system), draw(&system));
    }
}
