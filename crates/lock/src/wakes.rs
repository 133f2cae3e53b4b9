//! Who is woken when a lock changes: the calls of this process that wait.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::backend::LockKey;
use crate::error::LockError;
use crate::model::limits;

/// Calls of this process that wait on locks. Shared by the service, which registers them, and its backend, which wakes
/// them after each commit.
#[derive(Default)]
pub struct Wakes {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    sleepers: HashMap<LockKey, Vec<Sleeper>>,
    count: usize,
}

struct Sleeper {
    id: u64,
    /// The attempt that waits for a grant; `None` watches for a lease that ends.
    attempt: Option<String>,
    notify: Arc<Notify>,
}

/// One registered call; it is forgotten when this is dropped.
pub(crate) struct Waiting {
    wakes: Arc<Wakes>,
    key: LockKey,
    id: u64,
    notify: Arc<Notify>,
}

impl Waiting {
    /// Waits to be woken. A wake that came before is not lost.
    pub(crate) async fn woken(&self) {
        self.notify.notified().await;
    }
}

impl Wakes {
    /// Registers a call. Errors: 2605 where too many wait in this process.
    pub(crate) fn register(
        self: &Arc<Self>,
        key: &LockKey,
        attempt: Option<&str>,
    ) -> Result<Waiting, LockError> {
        let mut inner = self.inner.lock();
        if inner.count >= limits::WAITERS_MAX {
            return Err(LockError::Limit {
                limit: "waits",
                most: limits::WAITERS_MAX,
            });
        }
        inner.count += 1;
        inner.next += 1;
        let (id, notify) = (inner.next, Arc::new(Notify::new()));
        inner
            .sleepers
            .entry(key.clone())
            .or_default()
            .push(Sleeper {
                id,
                attempt: attempt.map(str::to_owned),
                notify: Arc::clone(&notify),
            });
        Ok(Waiting {
            wakes: Arc::clone(self),
            key: key.clone(),
            id,
            notify,
        })
    }

    /// Wakes the attempts that would be granted now, and, where a lease ended, those who watch.
    pub(crate) fn fire(&self, key: &LockKey, attempts: &[String], lost: bool) {
        let inner = self.inner.lock();
        for sleeper in inner.sleepers.get(key).into_iter().flatten() {
            let wanted = match &sleeper.attempt {
                Some(attempt) => attempts.contains(attempt),
                None => lost,
            };
            if wanted {
                sleeper.notify.notify_one();
            }
        }
    }

    /// Whether a call of this process waits for a lock.
    pub(crate) fn waits_for(&self, key: &LockKey) -> bool {
        self.inner.lock().sleepers.contains_key(key)
    }

    /// The locks that calls of this process wait for.
    pub(crate) fn keys(&self) -> HashSet<LockKey> {
        self.inner.lock().sleepers.keys().cloned().collect()
    }

    fn forget(&self, key: &LockKey, id: u64) {
        let mut inner = self.inner.lock();
        inner.count -= 1;
        if let Some(sleepers) = inner.sleepers.get_mut(key) {
            sleepers.retain(|sleeper| sleeper.id != id);
            if sleepers.is_empty() {
                inner.sleepers.remove(key);
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.wakes.forget(&self.key, self.id);
    }
}
