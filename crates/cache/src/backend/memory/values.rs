//! The values of one answer in one allocation: one for each of a thousand keys would cost more than all else about them.

use std::ops::Range;

use bytes::Bytes;

use crate::model::Read;

/// Room that is made for one value at first, in bytes.
const VALUE_BYTES_GUESS: usize = 128;

/// Values that stand one behind the other, and for which read each is.
pub(super) struct Values {
    bytes: Vec<u8>,
    places: Vec<(usize, Range<usize>)>,
}

impl Values {
    pub(super) fn with_capacity(reads: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(reads.saturating_mul(VALUE_BYTES_GUESS)),
            places: Vec::with_capacity(reads),
        }
    }

    /// Takes the value of a read. What is returned is empty until [`Values::hand_out`].
    pub(super) fn copy(&mut self, read: usize, value: &[u8]) -> Bytes {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.places.push((read, from..self.bytes.len()));
        Bytes::new()
    }

    /// Gives each read its value.
    pub(super) fn hand_out(self, reads: &mut [Read]) {
        let bytes = Bytes::from(self.bytes);
        for (read, place) in self.places {
            if let Some(Read::Found(found)) = reads.get_mut(read) {
                found.value.bytes = bytes.slice(place);
            }
        }
    }
}
