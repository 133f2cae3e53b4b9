//! What time does to a record.

use crate::model::limits;
use crate::record::{Holder, Place, Record};

/// One instant of a backend's clock.
///
/// The clock may be the wall clock of another machine, which jumps. So a backend measures it against the monotonic clock of
/// this process and says for how long both have agreed. A lease ends only where the backend's clock says so *and* the two
/// have agreed for at least as long as the lease: then either the whole lease lies in the time that was measured, or all
/// of that time is longer than the lease. A jump forward therefore shortens nothing. After a jump back a lease lasts at
/// most one full time more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The backend's clock, in milliseconds.
    pub at: i64,
    /// For how long that clock has agreed with the monotonic one, in milliseconds.
    pub trusted_ms: i64,
}

impl Now {
    /// How long it takes until something that lasts `span_ms` and ends at `expires_at` is over; 0 where it is.
    #[must_use]
    pub fn left_ms(self, expires_at: i64, span_ms: i64) -> i64 {
        let by_clock = expires_at.saturating_sub(self.at).min(span_ms);
        let by_trust = span_ms.saturating_sub(self.trusted_ms);
        by_clock.max(by_trust).max(0)
    }
}

impl Holder {
    /// How long the lease lasts, in milliseconds.
    #[must_use]
    pub fn left_ms(&self, now: Now) -> i64 {
        now.left_ms(self.expires_at, self.lease_ms)
    }
}

impl Place {
    /// How long the place lasts, in milliseconds.
    #[must_use]
    pub fn left_ms(&self, now: Now) -> i64 {
        now.left_ms(self.expires_at, self.place_ms)
    }
}

impl Record {
    /// Ends what is over. Returns whether anything changed.
    pub(super) fn let_time_pass(&mut self, now: Now) -> bool {
        let (held, waiting) = (self.holders.len(), self.places.len());
        self.holders.retain(|holder| holder.left_ms(now) > 0);
        self.places.retain(|place| place.left_ms(now) > 0);
        let expired = held - self.holders.len();
        let vanished = waiting - self.places.len();
        let add = |counter: &mut i64, count: usize| {
            *counter = counter.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        };
        add(&mut self.counters.expired, expired);
        add(&mut self.counters.vanished, vanished);
        let clamped = self.clamp(now);
        expired > 0 || vanished > 0 || clamped
    }

    /// A clock that jumped back must not lengthen anything by more than its own span.
    fn clamp(&mut self, now: Now) -> bool {
        let mut clamped = false;
        let mut clamp = |expires_at: &mut i64, span_ms: i64| {
            let latest = now.at.saturating_add(span_ms);
            if *expires_at > latest {
                *expires_at = latest;
                clamped = true;
            }
        };
        for holder in &mut self.holders {
            clamp(&mut holder.expires_at, holder.lease_ms);
        }
        for place in &mut self.places {
            clamp(&mut place.expires_at, place.place_ms);
        }
        clamped
    }

    /// When time changes something next, on the backend's clock; `None` for never.
    #[must_use]
    pub fn due(&self, now: Now) -> Option<i64> {
        let leases = self.holders.iter().map(|holder| holder.left_ms(now));
        let places = self.places.iter().map(|place| place.left_ms(now));
        let ends = leases.chain(places).min();
        let forgotten = self
            .free_since
            .map(|since| since.saturating_add(limits::COUNTERS_KEPT_MS));
        ends.map(|left_ms| now.at.saturating_add(left_ms))
            .or(forgotten)
    }

    /// Whether it is free and nobody fought for it lately.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let counters = &self.counters;
        !self.is_busy() && counters.contended == 0 && counters.expired == 0 && counters.forced == 0
    }

    /// Whether nothing of it is worth keeping: it is free, and nobody fought for it lately.
    #[must_use]
    pub fn is_disposable(&self, now: Now) -> bool {
        let kept_long = self
            .free_since
            .is_some_and(|since| since.saturating_add(limits::COUNTERS_KEPT_MS) <= now.at);
        self.is_quiet() || (!self.is_busy() && kept_long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_only_where_both_clocks_say_so() {
        let now = |at, trusted_ms| Now { at, trusted_ms };
        // (now, expires_at, span, left)
        let cases = [
            (now(1_000, 10_000), 1_500, 1_000, 500),
            (now(1_500, 10_000), 1_500, 1_000, 0),
            // The clock jumped an hour forward: nothing is over before it was measured for a whole lease.
            (now(3_601_000, 200), 1_500, 1_000, 800),
            (now(3_601_000, 1_000), 1_500, 1_000, 0),
            // The clock jumped an hour back: one full time more.
            (now(-3_600_000, 50), 1_500, 1_000, 1_000),
            (now(0, 10_000), i64::MAX, 1_000, 1_000),
        ];
        for (now, expires_at, span_ms, left_ms) in cases {
            assert_eq!(now.left_ms(expires_at, span_ms), left_ms, "{now:?}");
        }
    }
}
