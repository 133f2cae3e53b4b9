//! The rules of a lock: one pure function over its record.
//!
//! Every backend applies it inside a transaction of its own, so that all of them behave alike to the letter.

mod acquire;
mod time;

use crate::error::LockError;
use crate::record::{Holder, Mode, Record, Who};

pub use time::Now;

/// Asks for a grant, or comes back to a place.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who asks.
    pub owner: String,
    /// The authenticated caller.
    pub principal: String,
    /// Names this attempt: the same one again finds its place, or its grant.
    pub attempt: String,
    /// How much.
    pub mode: Mode,
    /// The lease, in milliseconds.
    pub lease_ms: i64,
    /// Whether an owner that holds it already is let in again.
    pub reentrant: bool,
    /// How long a place in the queue lasts unless it is renewed, in milliseconds; `None` does not wait.
    pub place_ms: Option<i64>,
}

impl Ask {
    /// Who asks.
    #[must_use]
    pub fn who(&self) -> Who<'_> {
        who(&self.principal, &self.owner)
    }
}

/// Why a place is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// The wait ended. The place stays for so many milliseconds; 0 gives it up.
    TimedOut {
        /// How long it stays.
        keep_ms: i64,
    },
    /// Waiting on would never end.
    Deadlock,
}

/// What is done to one lock.
#[derive(Clone, Debug)]
pub enum Command {
    /// Grant it, or queue.
    Acquire(Ask),
    /// Give up, or keep, the place of an attempt.
    Leave {
        /// The attempt.
        attempt: String,
        /// Why.
        leaving: Leaving,
    },
    /// Undo whatever an attempt got: its caller is gone, or does not want it.
    Abandon {
        /// The attempt.
        attempt: String,
    },
    /// Begin the lease anew.
    Renew {
        /// Who holds.
        owner: String,
        /// The authenticated caller, whose owner it must be.
        principal: String,
        /// The token of the grant.
        token: i64,
        /// A new lease, in milliseconds; `None` keeps the old one.
        lease_ms: Option<i64>,
    },
    /// End one hold.
    Release {
        /// Who holds.
        owner: String,
        /// The authenticated caller, whose owner it must be.
        principal: String,
        /// The token of the grant.
        token: i64,
        /// The depth that is released; a hold that is less deep already stays as it is.
        depth: Option<usize>,
    },
    /// End leases against their holders' will.
    Force {
        /// The grant to end; `None` ends all.
        token: Option<i64>,
    },
    /// Let time do its work.
    Sweep,
}

/// One grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The fencing token.
    pub token: i64,
    /// The lease, in milliseconds, from now on.
    pub lease_ms: i64,
    /// How deep its owner holds it.
    pub depth: usize,
}

/// One place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// How many came earlier and still wait.
    pub ahead: usize,
    /// When time alone may change the answer, in milliseconds from now; `None` where others must act first.
    pub recheck_ms: Option<i64>,
    /// Whether the place is new.
    pub new: bool,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is granted.
    Granted(Granted),
    /// It is taken; the attempt waits.
    Queued(Queued),
    /// It is taken, and the attempt does not wait.
    Taken,
    /// The lease began anew.
    Renewed {
        /// The lease, in milliseconds.
        lease_ms: i64,
        /// How deep its owner holds it.
        depth: usize,
    },
    /// One hold ended; so many are left.
    Released {
        /// Holds left.
        depth: usize,
    },
    /// This owner of this principal does not hold it by this token.
    Lost,
    /// So many leases were ended.
    Forced {
        /// How many.
        count: usize,
    },
    /// Done.
    Done,
}

impl Reply {
    /// The same after so many milliseconds on its way: of the lease, so much less is left.
    #[must_use]
    pub fn later_by_ms(self, took_ms: u64) -> Self {
        let took_ms = i64::try_from(took_ms).unwrap_or(i64::MAX);
        let left = |lease_ms: i64| lease_ms.saturating_sub(took_ms).max(0);
        match self {
            Self::Granted(granted) => Self::Granted(Granted {
                lease_ms: left(granted.lease_ms),
                ..granted
            }),
            Self::Renewed { lease_ms, depth } => Self::Renewed {
                lease_ms: left(lease_ms),
                depth,
            },
            other => other,
        }
    }
}

/// What became of a record.
#[derive(Debug)]
pub struct Applied {
    /// The reply.
    pub reply: Result<Reply, LockError>,
    /// Whether the record must be kept anew.
    pub changed: bool,
    /// Whether a lease ended, so that whoever watches one should look.
    pub lost: bool,
    /// Whether the next token was used.
    pub token_used: bool,
    /// The attempts that would be granted if they came back now.
    pub wake: Vec<String>,
}

/// Applies a command to the record of one lock. `next_token` is the token of the grant, if it makes one.
pub fn apply(record: &mut Record, command: Command, now: Now, next_token: i64) -> Applied {
    let held_before = record.holders.len();
    let mut step = Step {
        changed: record.let_time_pass(now),
        record,
        now,
        next_token,
        token_used: false,
    };
    let reply = step.run(command);
    let Step {
        changed,
        token_used,
        ..
    } = step;
    if changed {
        record.free_since = match (record.is_busy(), record.free_since) {
            (true, _) => None,
            (false, Some(since)) => Some(since),
            (false, None) => Some(now.at),
        };
    }
    let wake = if changed {
        record.candidates()
    } else {
        Vec::new()
    };
    Applied {
        lost: changed && record.holders.len() <= held_before,
        reply,
        changed,
        token_used,
        wake,
    }
}

/// One command under way.
struct Step<'a> {
    record: &'a mut Record,
    now: Now,
    next_token: i64,
    changed: bool,
    token_used: bool,
}

const fn who<'name>(principal: &'name str, owner: &'name str) -> Who<'name> {
    Who { principal, owner }
}

impl Step<'_> {
    fn run(&mut self, command: Command) -> Result<Reply, LockError> {
        match command {
            Command::Acquire(ask) => self.acquire(ask),
            Command::Leave { attempt, leaving } => Ok(self.leave(&attempt, leaving)),
            Command::Abandon { attempt } => Ok(self.abandon(&attempt)),
            Command::Renew {
                owner,
                principal,
                token,
                lease_ms,
            } => Ok(self.renew(who(&principal, &owner), token, lease_ms)),
            Command::Release {
                owner,
                principal,
                token,
                depth,
            } => Ok(self.release(who(&principal, &owner), token, depth)),
            Command::Force { token } => Ok(self.force(token)),
            Command::Sweep => Ok(Reply::Done),
        }
    }

    fn holder_of(&mut self, who: Who<'_>, token: i64) -> Option<&mut Holder> {
        self.record
            .holders
            .iter_mut()
            .find(|holder| holder.token == token && holder.who() == who)
    }

    fn renew(&mut self, who: Who<'_>, token: i64, lease_ms: Option<i64>) -> Reply {
        let now = self.now;
        let Some(holder) = self.holder_of(who, token) else {
            return Reply::Lost;
        };
        holder.lease_ms = lease_ms.unwrap_or(holder.lease_ms);
        holder.expires_at = now.at.saturating_add(holder.lease_ms);
        let (lease_ms, depth) = (holder.lease_ms, holder.attempts.len());
        self.changed = true;
        Reply::Renewed { lease_ms, depth }
    }

    fn release(&mut self, who: Who<'_>, token: i64, depth: Option<usize>) -> Reply {
        let Some(holder) = self.holder_of(who, token) else {
            return Reply::Lost;
        };
        let held = holder.attempts.len();
        if depth.is_some_and(|depth| depth > held) {
            // The first attempt at this release got through.
            return Reply::Released { depth: held };
        }
        holder.attempts.pop();
        let depth = holder.attempts.len();
        if depth == 0 {
            self.record.holders.retain(|holder| holder.token != token);
        }
        self.changed = true;
        Reply::Released { depth }
    }

    fn force(&mut self, token: Option<i64>) -> Reply {
        let before = self.record.holders.len();
        self.record
            .holders
            .retain(|holder| token.is_some_and(|token| token != holder.token));
        let count = before - self.record.holders.len();
        if count > 0 {
            self.changed = true;
            let forced = &mut self.record.counters.forced;
            *forced = forced.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        }
        Reply::Forced { count }
    }

    fn leave(&mut self, attempt: &str, leaving: Leaving) -> Reply {
        let now = self.now;
        let places = &mut self.record.places;
        let Some(place) = places.iter_mut().find(|place| place.attempt == attempt) else {
            return Reply::Done;
        };
        self.changed = true;
        let counters = &mut self.record.counters;
        match leaving {
            Leaving::TimedOut { keep_ms } if keep_ms > 0 => {
                place.place_ms = keep_ms;
                place.expires_at = now.at.saturating_add(keep_ms);
                return Reply::Done;
            }
            Leaving::TimedOut { .. } => counters.timed_out = counters.timed_out.saturating_add(1),
            Leaving::Deadlock => counters.deadlocks = counters.deadlocks.saturating_add(1),
        }
        places.retain(|place| place.attempt != attempt);
        Reply::Done
    }

    fn abandon(&mut self, attempt: &str) -> Reply {
        let places_before = self.record.places.len();
        self.record.places.retain(|place| place.attempt != attempt);
        self.changed |= self.record.places.len() != places_before;
        for holder in &mut self.record.holders {
            let holds_before = holder.attempts.len();
            holder.attempts.retain(|made| made != attempt);
            self.changed |= holder.attempts.len() != holds_before;
        }
        self.record
            .holders
            .retain(|holder| !holder.attempts.is_empty());
        Reply::Done
    }
}
