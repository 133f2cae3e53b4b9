//! From the journal into chunks.
//!
//! A compaction takes the samples that every series had in its head when it began, sorts them, writes them as chunks and at
//! last deletes the journal up to there. It runs in slices between group commits, so that no write waits for all of it. A
//! crash between two slices leaves samples both in chunks and in the journal: reading takes one for each time, so nothing
//! is lost or doubled.

use std::sync::Arc;

use rusqlite::Connection;

use super::codec;
use super::index::{Index, Series, weight};
use crate::backend::StoredSample;
use crate::error::MonitorError;

/// Most samples of one chunk.
const CHUNK_SAMPLES_MAX: usize = 480;
/// How many samples one slice writes, about.
const SLICE_SAMPLES: usize = 20_000;
/// Most series of one slice.
const SLICE_SERIES_MAX: usize = 1_000;

/// A compaction under way.
pub(super) struct Compaction {
    /// The last journal entry that it covers.
    upto_seq: i64,
    /// The series with the number of head samples that they had, and their weight.
    todo: Vec<(Arc<Series>, usize)>,
    /// About how many bytes of the head it empties.
    pub(super) head_bytes: usize,
}

/// One slice, ready to be written.
pub(super) struct Slice {
    series: Vec<SeriesSlice>,
}

struct SeriesSlice {
    series: Arc<Series>,
    taken: usize,
    first_ms: i64,
    newest: Option<Vec<u8>>,
    chunks: Vec<ChunkRow>,
}

struct ChunkRow {
    start_ms: i64,
    end_ms: i64,
    samples: Vec<u8>,
}

impl Compaction {
    /// Plans to empty every head as it is now.
    pub(super) fn plan(index: &Index, upto_seq: i64) -> Self {
        let mut head_bytes = 0;
        let mut todo = Vec::new();
        for (_, _, _, series) in index.all() {
            let state = series.state.lock();
            if !state.head.is_empty() {
                head_bytes += state.head.iter().map(weight).sum::<usize>();
                todo.push((Arc::clone(series), state.head.len()));
            }
        }
        Self {
            upto_seq,
            todo,
            head_bytes,
        }
    }

    /// Takes the next slice; `None` when only the journal is left to be deleted.
    pub(super) fn next_slice(&mut self) -> Option<Slice> {
        let mut slice = Slice { series: Vec::new() };
        let mut samples = 0;
        while samples < SLICE_SAMPLES && slice.series.len() < SLICE_SERIES_MAX {
            let Some((series, taken)) = self.todo.pop() else {
                break;
            };
            let state = series.state.lock();
            if state.removed {
                continue;
            }
            let head: Vec<StoredSample> = state.head.iter().take(taken).cloned().collect();
            let (first_ms, newest) = (state.first_ms, state.newest.clone());
            drop(state);
            samples += head.len();
            slice.series.push(SeriesSlice {
                taken,
                first_ms,
                newest: newest.as_ref().map(codec::encode_sample),
                chunks: in_time_order(head)
                    .chunks(CHUNK_SAMPLES_MAX)
                    .filter_map(ChunkRow::of)
                    .collect(),
                series,
            });
        }
        (!slice.series.is_empty()).then_some(slice)
    }

    /// Deletes the journal that the compaction covers.
    pub(super) fn delete_journal(
        upto_seq: i64,
        transaction: &Connection,
    ) -> Result<(), MonitorError> {
        transaction
            .prepare_cached("DELETE FROM journal WHERE seq <= ?1")?
            .execute([upto_seq])?;
        Ok(())
    }

    pub(super) fn upto_seq(&self) -> i64 {
        self.upto_seq
    }
}

impl ChunkRow {
    fn of(samples: &[StoredSample]) -> Option<Self> {
        Some(Self {
            start_ms: samples.first()?.at_ms,
            end_ms: samples.last()?.at_ms,
            samples: codec::encode_chunk(samples),
        })
    }
}

impl Slice {
    /// Writes the chunks and the newest sample of each series.
    pub(super) fn write(&self, transaction: &Connection) -> Result<(), MonitorError> {
        let mut insert = transaction.prepare_cached(
            "INSERT INTO chunk (series, start_ms, end_ms, samples) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let mut update = transaction
            .prepare_cached("UPDATE series SET first_ms = ?2, newest = ?3 WHERE id = ?1")?;
        for one in &self.series {
            for chunk in &one.chunks {
                insert.execute((one.series.id, chunk.start_ms, chunk.end_ms, &chunk.samples))?;
            }
            update.execute((one.series.id, one.first_ms, &one.newest))?;
        }
        Ok(())
    }

    /// Once it is durable: takes the samples out of the heads.
    pub(super) fn forget_heads(&self) {
        for one in &self.series {
            let mut state = one.series.state.lock();
            let taken = one.taken.min(state.head.len());
            state.head.drain(..taken);
            if state.head.capacity() > 4 * (state.head.len() + 4) {
                state.head.shrink_to_fit();
            }
        }
    }
}

/// Sorts samples by time and keeps the later write where times are equal.
pub(super) fn in_time_order(mut samples: Vec<StoredSample>) -> Vec<StoredSample> {
    // Stable: among equal times the order of arrival stays.
    samples.sort_by_key(|sample| sample.at_ms);
    samples.dedup_by(|later, earlier| {
        let same = later.at_ms == earlier.at_ms;
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
    samples
}
