//! The entries of a shard in the order in which they came, in chunks: growing copies nothing, and the memory held is that of
//! the entries that are there, not of twice as many.

use super::entry::Entry;

/// Slots of a chunk, as a power of two.
const CHUNK_BITS: u32 = 10;
const CHUNK: usize = 1 << CHUNK_BITS;

/// An entry with its hash.
pub(super) struct Slot {
    pub(super) hash: u64,
    pub(super) entry: Entry,
}

/// Dense: a removal moves the last slot into the gap, so that any index can be sampled.
#[derive(Default)]
pub(super) struct Slab {
    /// All but the last are full; the last is never empty.
    chunks: Vec<Vec<Slot>>,
}

impl Slab {
    pub(super) fn len(&self) -> usize {
        match self.chunks.last() {
            Some(last) => ((self.chunks.len() - 1) << CHUNK_BITS) + last.len(),
            None => 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Slot> {
        self.chunks.get(index >> CHUNK_BITS)?.get(index % CHUNK)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Slot> {
        self.chunks
            .get_mut(index >> CHUNK_BITS)?
            .get_mut(index % CHUNK)
    }

    pub(super) fn push(&mut self, slot: Slot) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(slot),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(slot);
                self.chunks.push(chunk);
            }
        }
    }

    /// Takes a slot out and moves the last one into its place.
    pub(super) fn swap_remove(&mut self, index: usize) -> Option<Slot> {
        let chunk = self.chunks.last_mut()?;
        let last = chunk.pop()?;
        if chunk.is_empty() {
            self.chunks.pop();
        }
        match self.get_mut(index) {
            Some(place) => Some(std::mem::replace(place, last)),
            // It was the last itself.
            None => Some(last),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.chunks.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Times;
    use super::super::tags::TagStamps;
    use super::*;
    use crate::model::Life;

    fn slot(hash: u64) -> Slot {
        let times = Times::of(Life::FOREVER, 0, &plinth_core::SystemClock::new());
        Slot {
            hash,
            entry: Entry::new(0, "key", None, times, TagStamps::default()),
        }
    }

    #[test]
    fn it_behaves_as_a_vector_over_many_chunks() {
        let (mut slab, mut model) = (Slab::default(), Vec::new());
        let mut number = 1_u64;
        for step in 0..20_000_u64 {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let grows = if step < 12_000 { 8 } else { 2 };
            if number >> 60 < grows || model.is_empty() {
                slab.push(slot(step));
                model.push(step);
            } else {
                let index = usize::try_from(number % model.len() as u64).expect("an index");
                let taken = slab.swap_remove(index).map(|slot| slot.hash);
                assert_eq!(taken, Some(model.swap_remove(index)));
            }
            assert_eq!(slab.len(), model.len());
        }
        assert!(slab.iter().map(|slot| slot.hash).eq(model.iter().copied()));
        assert!(slab.get(model.len()).is_none());
        while !model.is_empty() {
            assert_eq!(slab.get(0).map(|slot| slot.hash), model.first().copied());
            model.swap_remove(0);
            slab.swap_remove(0);
        }
        assert!(slab.is_empty() && slab.swap_remove(0).is_none());
    }
}
