//! Granting and queueing.

use super::{Ask, Granted, Queued, Reply, Step};
use crate::error::LockError;
use crate::model::limits;
use crate::record::{Holder, Mode, Place};

impl Step<'_> {
    pub(super) fn acquire(&mut self, ask: Ask) -> Result<Reply, LockError> {
        if let Some(granted) = self.granted_before(&ask) {
            return Ok(Reply::Granted(granted));
        }
        self.check_kind(ask.mode)?;
        if let Some(granted) = self.enter_again(&ask)? {
            return Ok(Reply::Granted(granted));
        }
        let places = &self.record.places;
        let at = places.iter().position(|place| place.attempt == ask.attempt);
        let ahead = at.unwrap_or(places.len());
        let (earlier, _) = places.split_at(ahead);
        if self.record.lets_in(ask.mode, earlier) {
            let waiting_since = at.and_then(|at| places.get(at)).map(|place| place.since);
            return Ok(Reply::Granted(self.grant(ask, waiting_since)));
        }
        match at {
            Some(at) => Ok(self.stay(at, &ask)),
            None => self.queue(ask),
        }
    }

    /// The grant that this attempt got already: its answer was lost on the way. The lease begins anew.
    fn granted_before(&mut self, ask: &Ask) -> Option<Granted> {
        let now = self.now;
        let who = ask.who();
        let holder = self
            .record
            .holders
            .iter_mut()
            .find(|holder| holder.who() == who && holder.attempts.contains(&ask.attempt))?;
        holder.expires_at = now.at.saturating_add(holder.lease_ms);
        let granted = granted(holder);
        self.changed = true;
        Some(granted)
    }

    /// While it is in use a lock stays what it is: exclusive and shared, or a semaphore of one size.
    fn check_kind(&mut self, mode: Mode) -> Result<(), LockError> {
        let size = mode.size();
        if !self.record.is_busy() {
            self.record.size = size;
            return Ok(());
        }
        if self.record.size == size {
            return Ok(());
        }
        Err(LockError::OtherKind {
            size: self.record.size,
        })
    }

    /// Lets an owner in that holds it already. Errors: where it would wait for itself.
    fn enter_again(&mut self, ask: &Ask) -> Result<Option<Granted>, LockError> {
        if ask.mode.size().is_some() {
            // Permits of one owner are independent of each other.
            return Ok(None);
        }
        let now = self.now;
        let own = self
            .record
            .holders
            .iter_mut()
            .find(|holder| holder.who() == ask.who());
        let Some(holder) = own else {
            return Ok(None);
        };
        let covered = holder.mode == Mode::Exclusive || ask.mode == Mode::Shared;
        if !covered {
            return Err(LockError::Upgrade);
        }
        if !ask.reentrant {
            return match holder.mode {
                Mode::Shared => Ok(None),
                _ => Err(LockError::HeldByItself),
            };
        }
        if holder.attempts.len() >= limits::HOLDS_MAX {
            return Err(LockError::Limit {
                limit: "holds",
                most: limits::HOLDS_MAX,
            });
        }
        holder.attempts.push(ask.attempt.clone());
        holder.lease_ms = holder.lease_ms.max(ask.lease_ms);
        holder.expires_at = now.at.saturating_add(holder.lease_ms);
        let granted = granted(holder);
        self.changed = true;
        Ok(Some(granted))
    }

    fn grant(&mut self, ask: Ask, waiting_since: Option<i64>) -> Granted {
        self.changed = true;
        self.token_used = true;
        let record = &mut *self.record;
        record.places.retain(|place| place.attempt != ask.attempt);
        let waited = waiting_since.map_or(0, |since| self.now.at.saturating_sub(since).max(0));
        record.counters.granted = record.counters.granted.saturating_add(1);
        record.counters.waited_ms = record.counters.waited_ms.saturating_add(waited);
        record.last_token = self.next_token;
        let holder = Holder {
            owner: ask.owner,
            principal: ask.principal,
            attempts: vec![ask.attempt],
            mode: ask.mode,
            token: self.next_token,
            lease_ms: ask.lease_ms,
            since: self.now.at,
            expires_at: self.now.at.saturating_add(ask.lease_ms),
        };
        let granted = granted(&holder);
        record.holders.push(holder);
        granted
    }

    /// Renews a place, or gives it up where the attempt does not wait any more.
    fn stay(&mut self, at: usize, ask: &Ask) -> Reply {
        self.changed = true;
        let Some(place_ms) = ask.place_ms else {
            self.record.places.remove(at);
            return Reply::Taken;
        };
        if let Some(place) = self.record.places.get_mut(at) {
            place.place_ms = place_ms;
            place.expires_at = self.now.at.saturating_add(place_ms);
        }
        Reply::Queued(self.queued(at, false))
    }

    fn queue(&mut self, ask: Ask) -> Result<Reply, LockError> {
        let counters = &mut self.record.counters;
        counters.contended = counters.contended.saturating_add(1);
        self.changed = true;
        let Some(place_ms) = ask.place_ms else {
            return Ok(Reply::Taken);
        };
        let at = self.record.places.len();
        if at >= limits::WAITERS_PER_LOCK_MAX {
            return Err(LockError::Limit {
                limit: "waiters",
                most: limits::WAITERS_PER_LOCK_MAX,
            });
        }
        self.record.places.push(Place {
            owner: ask.owner,
            principal: ask.principal,
            attempt: ask.attempt,
            mode: ask.mode,
            since: self.now.at,
            place_ms,
            expires_at: self.now.at.saturating_add(place_ms),
        });
        Ok(Reply::Queued(self.queued(at, true)))
    }

    /// The first that cannot be let in watches the leases that end by themselves; the others are woken by it.
    fn queued(&self, at: usize, new: bool) -> Queued {
        let is_next = self.record.candidates().len() == at;
        let (earlier, _) = self.record.places.split_at(at);
        let leases = self
            .record
            .holders
            .iter()
            .map(|holder| holder.left_ms(self.now));
        let places = earlier.iter().map(|place| place.left_ms(self.now));
        Queued {
            ahead: at,
            recheck_ms: is_next.then(|| leases.chain(places).min()).flatten(),
            new,
        }
    }
}

fn granted(holder: &Holder) -> Granted {
    Granted {
        token: holder.token,
        lease_ms: holder.lease_ms,
        depth: holder.attempts.len(),
    }
}
