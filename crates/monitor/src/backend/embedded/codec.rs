//! How samples lie in the file: journal entries and chunks, each with a version in its first byte.
//!
//! Integers are LEB128 varints, signed ones zigzagged. A chunk stores times as deltas of deltas and scalars as the XOR
//! with their predecessor, byte-reversed so that equal leading bytes become a short varint: the idea of Gorilla
//! (Pelkonen et al., VLDB 2015) on byte boundaries.

use std::sync::Arc;

use crate::backend::{StoredSample, Value};
use crate::error::MonitorError;
use crate::model::HistogramState;

/// Version of both forms.
const VERSION: u8 = 1;
/// Tag of a scalar value.
const SCALAR: u64 = 0;
/// Most counts of a histogram's state that a stored form may claim: the bucket limit with room to grow.
const COUNTS_MAX: u64 = 4_096;

/// Encodes the samples of one group commit. `entries` yields series id and sample.
pub(super) fn encode_journal<'a>(
    entries: impl Iterator<Item = (i64, &'a StoredSample)>,
) -> Vec<u8> {
    let mut out = vec![VERSION];
    let mut previous_ms = 0_i64;
    for (series, sample) in entries {
        put_signed(&mut out, series);
        put_signed(&mut out, sample.at_ms.wrapping_sub(previous_ms));
        previous_ms = sample.at_ms;
        put_value(&mut out, &sample.value);
    }
    out
}

/// Decodes what [`encode_journal`] wrote. Errors: corrupt input.
pub(super) fn decode_journal(bytes: &[u8]) -> Result<Vec<(i64, StoredSample)>, MonitorError> {
    let mut reader = Reader::new(bytes, "journal entry");
    reader.version()?;
    let mut entries = Vec::new();
    let mut previous_ms = 0_i64;
    while !reader.is_empty() {
        let series = reader.signed()?;
        let at_ms = previous_ms.wrapping_add(reader.signed()?);
        previous_ms = at_ms;
        let value = reader.value()?;
        entries.push((series, StoredSample { at_ms, value }));
    }
    Ok(entries)
}

/// Encodes samples of one series, sorted by time.
pub(super) fn encode_chunk(samples: &[StoredSample]) -> Vec<u8> {
    let mut out = vec![VERSION];
    let (mut previous_ms, mut previous_delta) = (0_i64, 0_i64);
    let mut previous_bits = 0_u64;
    let mut previous_state: Option<Arc<HistogramState>> = None;
    for sample in samples {
        let delta = sample.at_ms.wrapping_sub(previous_ms);
        put_signed(&mut out, delta.wrapping_sub(previous_delta));
        (previous_ms, previous_delta) = (sample.at_ms, delta);
        match &sample.value {
            Value::Scalar(value) => {
                put_varint(&mut out, SCALAR);
                put_bits(&mut out, value.to_bits(), &mut previous_bits);
            }
            Value::Histogram(state) => {
                put_varint(&mut out, state.counts.len() as u64);
                for (index, count) in state.counts.iter().enumerate() {
                    let before = count_at(previous_state.as_deref(), index);
                    put_signed(&mut out, count.wrapping_sub(before).cast_signed());
                }
                put_bits(&mut out, state.sum.to_bits(), &mut previous_bits);
                previous_state = Some(Arc::clone(state));
            }
        }
    }
    out
}

/// Decodes what [`encode_chunk`] wrote, at the end of `into`. Errors: corrupt input.
pub(super) fn decode_chunk(bytes: &[u8], into: &mut Vec<StoredSample>) -> Result<(), MonitorError> {
    let mut reader = Reader::new(bytes, "chunk");
    reader.version()?;
    let (mut at_ms, mut delta) = (0_i64, 0_i64);
    let mut bits = 0_u64;
    let mut previous_state: Option<Arc<HistogramState>> = None;
    while !reader.is_empty() {
        delta = delta.wrapping_add(reader.signed()?);
        at_ms = at_ms.wrapping_add(delta);
        let counts = reader.varint()?;
        let value = if counts == SCALAR {
            Value::Scalar(reader.bits(&mut bits)?)
        } else {
            let mut state = HistogramState {
                counts: vec![0; reader.length(counts)?].into(),
                sum: 0.0,
            };
            for (index, count) in state.counts.iter_mut().enumerate() {
                let before = count_at(previous_state.as_deref(), index);
                *count = before.wrapping_add(reader.signed()?.cast_unsigned());
            }
            state.sum = reader.bits(&mut bits)?;
            let state = Arc::new(state);
            previous_state = Some(Arc::clone(&state));
            Value::Histogram(state)
        };
        into.push(StoredSample { at_ms, value });
    }
    Ok(())
}

/// Encodes one sample by itself: a series' newest.
pub(super) fn encode_sample(sample: &StoredSample) -> Vec<u8> {
    encode_chunk(std::slice::from_ref(sample))
}

/// Decodes what [`encode_sample`] wrote. Errors: corrupt input.
pub(super) fn decode_sample(bytes: &[u8]) -> Result<StoredSample, MonitorError> {
    let mut samples = Vec::with_capacity(1);
    decode_chunk(bytes, &mut samples)?;
    samples.pop().ok_or(MonitorError::Corrupt {
        what: "newest sample",
    })
}

fn count_at(state: Option<&HistogramState>, index: usize) -> u64 {
    state
        .and_then(|state| state.counts.get(index))
        .copied()
        .unwrap_or(0)
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Scalar(value) => {
            put_varint(out, SCALAR);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Value::Histogram(state) => {
            put_varint(out, state.counts.len() as u64);
            for count in &state.counts {
                put_varint(out, *count);
            }
            out.extend_from_slice(&state.sum.to_le_bytes());
        }
    }
}

fn put_bits(out: &mut Vec<u8>, bits: u64, previous: &mut u64) {
    put_varint(out, (bits ^ *previous).swap_bytes());
    *previous = bits;
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Reads a stored form; every length is checked against what is left.
struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    fn corrupt(&self) -> MonitorError {
        MonitorError::Corrupt { what: self.what }
    }

    fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn byte(&mut self) -> Result<u8, MonitorError> {
        let (first, rest) = self.rest.split_first().ok_or_else(|| self.corrupt())?;
        self.rest = rest;
        Ok(*first)
    }

    fn version(&mut self) -> Result<(), MonitorError> {
        match self.byte()? {
            VERSION => Ok(()),
            _ => Err(self.corrupt()),
        }
    }

    fn varint(&mut self) -> Result<u64, MonitorError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.corrupt())
    }

    fn signed(&mut self) -> Result<i64, MonitorError> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    fn bits(&mut self, previous: &mut u64) -> Result<f64, MonitorError> {
        *previous ^= self.varint()?.swap_bytes();
        Ok(f64::from_bits(*previous))
    }

    fn float(&mut self) -> Result<f64, MonitorError> {
        let (bytes, rest) = self
            .rest
            .split_first_chunk::<8>()
            .ok_or_else(|| self.corrupt())?;
        self.rest = rest;
        Ok(f64::from_le_bytes(*bytes))
    }

    /// A count of elements that each take at least one byte.
    fn length(&self, count: u64) -> Result<usize, MonitorError> {
        usize::try_from(count)
            .ok()
            .filter(|length| count <= COUNTS_MAX && *length <= self.rest.len())
            .ok_or_else(|| self.corrupt())
    }

    fn value(&mut self) -> Result<Value, MonitorError> {
        let counts = self.varint()?;
        if counts == SCALAR {
            return Ok(Value::Scalar(self.float()?));
        }
        let length = self.length(counts)?;
        let counts = (0..length)
            .map(|_| self.varint())
            .collect::<Result<Box<[u64]>, _>>()?;
        Ok(Value::Histogram(Arc::new(HistogramState {
            counts,
            sum: self.float()?,
        })))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<f64>()
                .prop_filter("finite", |value| value.is_finite())
                .prop_map(Value::Scalar),
            (
                proptest::collection::vec(any::<u64>(), 1..20),
                -1e9..1e9_f64
            )
                .prop_map(|(counts, sum)| {
                    Value::Histogram(Arc::new(HistogramState {
                        counts: counts.into(),
                        sum,
                    }))
                }),
        ]
    }

    fn samples() -> impl Strategy<Value = Vec<StoredSample>> {
        proptest::collection::vec(
            (any::<i64>(), value()).prop_map(|(at_ms, value)| StoredSample { at_ms, value }),
            0..50,
        )
    }

    proptest! {
        #[test]
        fn both_forms_survive(samples in samples(), series in any::<i64>()) {
            let mut back = Vec::new();
            decode_chunk(&encode_chunk(&samples), &mut back).expect("decodes");
            prop_assert_eq!(&back, &samples);
            let entries = decode_journal(&encode_journal(samples.iter().map(|sample| (series, sample))))
                .expect("decodes");
            prop_assert_eq!(entries.len(), samples.len());
            for ((id, sample), expected) in entries.iter().zip(&samples) {
                prop_assert_eq!(*id, series);
                prop_assert_eq!(sample, expected);
            }
        }

        #[test]
        fn damaged_input_is_refused_and_never_crashes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut back = Vec::new();
            let _either = decode_chunk(&bytes, &mut back).is_ok();
            let _either = decode_journal(&bytes).is_ok();
        }
    }

    #[test]
    fn a_steady_counter_takes_a_few_bytes_a_sample() {
        let samples: Vec<_> = (0..240_i64)
            .map(|index| StoredSample {
                at_ms: 1_700_000_000_000 + index * 15_000,
                value: Value::Scalar((index * 3) as f64),
            })
            .collect();
        let bytes = encode_chunk(&samples).len();
        assert!(bytes < samples.len() * 6, "{bytes} bytes");
    }

    #[test]
    fn a_lying_length_allocates_nothing() {
        let mut bytes = vec![VERSION];
        put_signed(&mut bytes, 1);
        put_varint(&mut bytes, u64::MAX);
        assert!(decode_chunk(&bytes, &mut Vec::new()).is_err());
        let mut other_version = encode_chunk(&[]);
        other_version[0] = 2;
        assert!(decode_chunk(&other_version, &mut Vec::new()).is_err());
    }
}
