//! What the link counts of itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Upper ends of the classes into which latencies are counted, in microseconds; what is slower is in one class more.
pub const LATENCY_BOUNDS_US: [u64; 8] = [250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000];

/// Numbers since the start, shared by all parts of the link.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    open: AtomicU64,
    in_flight: AtomicU64,
    queued: AtomicU64,
    queue_us: AtomicU64,
    connects: AtomicU64,
    commands: AtomicU64,
    unknown: AtomicU64,
    redirects: AtomicU64,
    latency_us: AtomicU64,
    latencies: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
}

/// Numbers of the link. Those named `…_total` are since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkNumbers {
    /// Connections that are open now.
    pub connections: u64,
    /// Commands whose answer is awaited now.
    pub in_flight: u64,
    /// Callers that wait for a place now.
    pub queued: u64,
    /// Microseconds that callers waited for a place.
    pub queue_us_total: u64,
    /// Connections that were made anew after one was lost, or after a failed attempt.
    pub reconnects_total: u64,
    /// Commands, pipelines and scripts that were sent.
    pub commands_total: u64,
    /// Of those, the ones whose effect is not known.
    pub unknown_total: u64,
    /// Commands that a cluster sent to another server.
    pub redirects_total: u64,
    /// Microseconds from sending to the answer.
    pub latency_us_total: u64,
    /// Answers by latency: up to each of [`LATENCY_BOUNDS_US`], and above.
    pub latencies_total: [u64; LATENCY_BOUNDS_US.len() + 1],
}

impl Gauges {
    pub(crate) fn read(&self) -> LinkNumbers {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        LinkNumbers {
            connections: read(&self.open),
            in_flight: read(&self.in_flight),
            queued: read(&self.queued),
            queue_us_total: read(&self.queue_us),
            reconnects_total: read(&self.connects),
            commands_total: read(&self.commands),
            unknown_total: read(&self.unknown),
            redirects_total: read(&self.redirects),
            latency_us_total: read(&self.latency_us),
            latencies_total: std::array::from_fn(|class| self.latencies.get(class).map_or(0, read)),
        }
    }

    /// A connection stands until the answer is dropped.
    pub(crate) fn open(&self) -> Counted<'_> {
        Counted::of(&self.open)
    }

    /// A caller waits until the answer is dropped.
    pub(crate) fn queued(&self) -> Counted<'_> {
        Counted::of(&self.queued)
    }

    /// A command is under way until the answer is dropped.
    pub(crate) fn in_flight(&self) -> Counted<'_> {
        self.commands.fetch_add(1, Ordering::Relaxed);
        Counted::of(&self.in_flight)
    }

    pub(crate) fn waiting(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    pub(crate) fn waited(&self, duration: Duration) {
        self.queue_us.fetch_add(micros(duration), Ordering::Relaxed);
    }

    pub(crate) fn reconnected(&self) {
        self.connects.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn redirected(&self) {
        self.redirects.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn unknown(&self) {
        self.unknown.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, sent: Instant) {
        let latency_us = micros(sent.elapsed());
        self.latency_us.fetch_add(latency_us, Ordering::Relaxed);
        let class = LATENCY_BOUNDS_US.partition_point(|bound| *bound < latency_us);
        if let Some(class) = self.latencies.get(class) {
            class.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Counts one up, and down again when it is dropped.
pub(crate) struct Counted<'gauge>(&'gauge AtomicU64);

impl<'gauge> Counted<'gauge> {
    fn of(gauge: &'gauge AtomicU64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
