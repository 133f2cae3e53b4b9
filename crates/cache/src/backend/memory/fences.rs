//! The highest token of each fence of a namespace.

use std::collections::HashMap;

use plinth_core::{Fence, FenceName, FenceToken};

use crate::error::CacheError;

/// Most fences of one namespace. They have no expiry, so their number must have an end.
pub(super) const FENCES_PER_NAMESPACE_MAX: usize = 100_000;

/// Bytes that one costs beside its name: two words, the token and the count of pointers in a table that is half to nearly full.
const FENCE_OVERHEAD_BYTES: u64 = 72;

/// The high-water marks. Whoever writes under a fence holds them locked from the check to the end of the write.
#[derive(Default)]
pub(super) struct Fences {
    highest: HashMap<FenceName, FenceToken>,
    /// Whether their namespace was forgotten: they are those of nobody.
    is_gone: bool,
}

impl Fences {
    /// Judges a fence and says by how many bytes a write under it makes them grow. Errors: 1006 where its token was overtaken,
    /// 1007 where there are too many fences.
    pub(super) fn check(&self, fence: &Fence) -> Result<u64, CacheError> {
        let highest = self.highest.get(&fence.name).copied();
        if highest.is_none() && self.highest.len() >= FENCES_PER_NAMESPACE_MAX {
            return Err(CacheError::TooManyFences {
                max: FENCES_PER_NAMESPACE_MAX,
            });
        }
        fence.check(highest)?;
        Ok(highest.map_or_else(|| cost(&fence.name), |_| 0))
    }

    /// Remembers the token of a write that was made. It is not below the highest: [`Fences::check`] passed.
    pub(super) fn raise(&mut self, fence: Fence) {
        self.highest.insert(fence.name, fence.token);
    }

    /// Whether their namespace was forgotten: the one of that name by now has others.
    pub(super) const fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.highest.is_empty()
    }

    /// Marks them as those of a namespace that is forgotten.
    pub(super) const fn leave(&mut self) {
        self.is_gone = true;
    }
}

fn cost(name: &FenceName) -> u64 {
    let bytes = u64::try_from(name.as_str().len()).unwrap_or(u64::MAX);
    bytes.saturating_add(FENCE_OVERHEAD_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fence_past_the_limit_is_refused_and_known_ones_go_on() {
        let mut fences = Fences::default();
        let fence = |index: usize| Fence::parse(&format!("f{index}"), 1).expect("parses");
        for index in 0..FENCES_PER_NAMESPACE_MAX {
            assert!(fences.check(&fence(index)).is_ok());
            fences.raise(fence(index));
        }
        assert!(fences.check(&fence(FENCES_PER_NAMESPACE_MAX)).is_err());
        assert!(fences.check(&fence(0)).is_ok());
    }
}
