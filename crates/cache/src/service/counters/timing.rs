//! How long the backend takes to answer: counts by time, in steps of about a fifth.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::Latency;

/// Steps of one doubling of the time.
const STEPS_PER_OCTAVE: u32 = 4;
/// The times of the first step end here: 2 to this power, in nanoseconds.
const FIRST_OCTAVE: u32 = 7;
/// The last step begins at 2 to this power, in nanoseconds: 17 seconds.
const LAST_OCTAVE: u32 = 34;
const STEPS: usize = ((LAST_OCTAVE - FIRST_OCTAVE) * STEPS_PER_OCTAVE) as usize + 1;

/// The times of one kind of call.
pub(super) struct Timings {
    counts: [AtomicU64; STEPS],
    max_ns: AtomicU64,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            max_ns: AtomicU64::new(0),
        }
    }
}

impl Timings {
    /// Counts calls that took so long.
    pub(super) fn note(&self, took_ns: u64, weight: u64) {
        if let Some(count) = self.counts.get(step_of(took_ns)) {
            count.fetch_add(weight, Ordering::Relaxed);
        }
        self.max_ns.fetch_max(took_ns, Ordering::Relaxed);
    }

    /// What they were; each share is told by the end of its step, so never too short.
    pub(super) fn tell(&self, operation: &'static str) -> Latency {
        let counts: Vec<u64> = self
            .counts
            .iter()
            .map(|it| it.load(Ordering::Relaxed))
            .collect();
        let calls: u64 = counts.iter().sum();
        let max_ns = self.max_ns.load(Ordering::Relaxed);
        let share_us = |percent: u64| {
            let rank = calls.saturating_mul(percent).div_ceil(100);
            let mut seen = 0;
            let step = counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            micros(step.map_or(max_ns, |step| end_of(step).min(max_ns)))
        };
        Latency {
            operation,
            calls,
            p50_us: share_us(50),
            p95_us: share_us(95),
            p99_us: share_us(99),
            max_us: micros(max_ns),
        }
    }
}

fn step_of(took_ns: u64) -> usize {
    let octave = took_ns.max(1).ilog2();
    if octave < FIRST_OCTAVE {
        return 0;
    }
    if octave >= LAST_OCTAVE {
        return STEPS - 1;
    }
    // The two bits after the first one tell the quarter of the octave.
    let quarter = (took_ns >> (octave - 2)) & 3;
    let step = (octave - FIRST_OCTAVE) * STEPS_PER_OCTAVE;
    usize::try_from(u64::from(step) + quarter).unwrap_or(STEPS - 1)
}

/// The first time that a step no longer holds, in nanoseconds.
fn end_of(step: usize) -> u64 {
    let step = u64::try_from(step).unwrap_or(0) + 1;
    let (octave, quarter) = (
        step / u64::from(STEPS_PER_OCTAVE),
        step % u64::from(STEPS_PER_OCTAVE),
    );
    let begin = 1_u64 << (u64::from(FIRST_OCTAVE) + octave);
    begin + begin / u64::from(STEPS_PER_OCTAVE) * quarter
}

fn micros(ns: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a time for people; 52 bits are enough"
    )]
    let micros = ns as f64 / 1_000.0;
    micros
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_before_the_end_of_its_step_and_not_before_its_beginning() {
        let mut took_ns = 1_u64;
        while took_ns < 1 << LAST_OCTAVE {
            let step = step_of(took_ns);
            assert!(took_ns < end_of(step), "{took_ns} in {step}");
            assert!(
                step == 0 || took_ns >= end_of(step - 1),
                "{took_ns} in {step}"
            );
            took_ns += took_ns / 7 + 1;
        }
        assert_eq!(step_of(u64::MAX), STEPS - 1);
        assert_eq!(step_of(0), 0);
    }

    #[test]
    fn shares_are_those_of_the_calls_within_a_step() {
        let timings = Timings::default();
        assert_eq!(timings.tell("get").calls, 0);
        for took_us in 1..=1_000 {
            timings.note(took_us * 1_000, 16);
        }
        let told = timings.tell("get");
        assert_eq!((told.calls, told.max_us), (16_000, 1_000.0));
        for (share, real) in [
            (told.p50_us, 500.0),
            (told.p95_us, 950.0),
            (told.p99_us, 990.0),
        ] {
            assert!((real..=real * 1.25).contains(&share), "{share} for {real}");
        }
    }
}
