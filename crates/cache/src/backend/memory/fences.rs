//! The highest token of each fence of a namespace.

use std::collections::HashMap;

use plinth_core::{Fence, FenceName, FenceToken};

use crate::error::CacheError;

/// Most fences of one namespace. They have no expiry, so their number must have an end.
pub(super) const FENCES_PER_NAMESPACE_MAX: usize = 100_000;

/// The high-water marks. Whoever writes under a fence holds them locked from the check to the end of the write.
#[derive(Default)]
pub(super) struct Fences(HashMap<FenceName, FenceToken>);

impl Fences {
    /// Judges a fence. Errors: 1006 where its token was overtaken, 1007 where there are too many fences.
    pub(super) fn check(&self, fence: &Fence) -> Result<(), CacheError> {
        let highest = self.0.get(&fence.name).copied();
        if highest.is_none() && self.0.len() >= FENCES_PER_NAMESPACE_MAX {
            return Err(CacheError::TooManyFences {
                max: FENCES_PER_NAMESPACE_MAX,
            });
        }
        Ok(fence.check(highest)?)
    }

    /// Remembers the token of a write that was made. It is not below the highest: [`Fences::check`] passed.
    pub(super) fn raise(&mut self, fence: Fence) {
        self.0.insert(fence.name, fence.token);
    }
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
