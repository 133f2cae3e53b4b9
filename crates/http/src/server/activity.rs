//! What a connection is doing, and until when it may.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Watches one connection. The stream reports bytes, the service reports requests, the connection's task asks for the
/// instant at which it must give up.
#[derive(Clone)]
pub(super) struct Activity(Arc<Mutex<Watch>>);

impl Activity {
    pub(super) fn new(header_timeout: Duration, idle_timeout: Duration) -> Self {
        let watch = Watch::new(Instant::now(), header_timeout, idle_timeout);
        Self(Arc::new(Mutex::new(watch)))
    }

    /// Bytes came in.
    pub(super) fn received(&self) {
        self.0.lock().received(Instant::now());
    }

    /// Bytes went out: the peer reads.
    pub(super) fn sent(&self) {
        self.0.lock().idle_since = Instant::now();
    }

    /// A request's header is complete; it is in flight until the guard is dropped.
    pub(super) fn begin(&self, multiplexed: bool) -> InFlight {
        self.0.lock().begin(multiplexed);
        InFlight(self.clone())
    }

    /// When to give up on the connection; `None` while a handler is at work, which has limits of its own.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.lock().deadline()
    }
}

/// A request in flight.
pub(super) struct InFlight(Activity);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.lock().end(Instant::now());
    }
}

/// The state machine behind it; time comes in as an argument.
struct Watch {
    header_timeout: Duration,
    idle_timeout: Duration,
    /// Requests that have a handler at work.
    in_flight: usize,
    /// Since when nothing happened, while nothing is in flight.
    idle_since: Instant,
    /// Since when a request is arriving, while nothing is in flight.
    header_since: Option<Instant>,
    /// On HTTP/2 bytes between requests are mostly not requests (pings, window updates): only the idle time counts.
    multiplexed: bool,
}

impl Watch {
    fn new(now: Instant, header_timeout: Duration, idle_timeout: Duration) -> Self {
        Self {
            header_timeout,
            idle_timeout,
            in_flight: 0,
            idle_since: now,
            // A connection that never says anything is as bad as one that says it slowly.
            header_since: Some(now),
            multiplexed: false,
        }
    }

    fn received(&mut self, now: Instant) {
        if self.in_flight == 0 && !self.multiplexed && self.header_since.is_none() {
            self.header_since = Some(now);
        }
    }

    fn begin(&mut self, multiplexed: bool) {
        self.in_flight += 1;
        self.header_since = None;
        self.multiplexed |= multiplexed;
    }

    fn end(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.idle_since = now;
    }

    fn deadline(&self) -> Option<Instant> {
        if self.in_flight > 0 {
            return None;
        }
        let idle_end = self.idle_since + self.idle_timeout;
        Some(match self.header_since {
            Some(since) => idle_end.min(since + self.header_timeout),
            None => idle_end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_headers_and_idleness_each_have_their_end() {
        let (header, idle) = (Duration::from_secs(10), Duration::from_secs(100));
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut watch = Watch::new(start, header, idle);
        assert_eq!(watch.deadline(), Some(at(10)), "silence from the start");
        watch.begin(false);
        assert_eq!(watch.deadline(), None, "in flight");
        watch.end(at(50));
        assert_eq!(watch.deadline(), Some(at(150)), "idle");
        watch.received(at(51));
        watch.received(at(56));
        assert_eq!(
            watch.deadline(),
            Some(at(61)),
            "a slow header gains nothing by more bytes"
        );
        watch.begin(true);
        watch.end(at(70));
        watch.received(at(71));
        assert_eq!(
            watch.deadline(),
            Some(at(170)),
            "pings of HTTP/2 are not requests"
        );
    }
}
