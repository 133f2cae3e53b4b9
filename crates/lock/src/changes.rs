//! What a backend tells of locks that other instances changed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::backend::LockKey;
use crate::wakes::Wakes;

/// Locks that changed and that calls of this process wait for; so their number is bounded by those calls.
pub struct Changes {
    wakes: Arc<Wakes>,
    changed: Mutex<HashSet<LockKey>>,
    notify: Notify,
    told: AtomicBool,
}

impl Changes {
    /// Changes of locks that the calls registered there wait for.
    #[must_use]
    pub fn new(wakes: Arc<Wakes>) -> Arc<Self> {
        Arc::new(Self {
            wakes,
            changed: Mutex::default(),
            notify: Notify::new(),
            told: AtomicBool::new(false),
        })
    }

    /// A lock changed. Nothing is done where nobody waits for it.
    pub(crate) fn tell(&self, key: LockKey) {
        if self.wakes.waits_for(&key) {
            self.changed.lock().insert(key);
            self.notify.notify_one();
        }
    }

    /// From now on every change is told, or not any more. What changed in between is unknown: everything that is waited for
    /// counts as changed.
    pub(crate) fn are_told_from_now(&self, told: bool) {
        self.told.store(told, Ordering::Release);
        self.changed.lock().extend(self.wakes.keys());
        self.notify.notify_one();
    }

    /// Whether every change is told.
    pub(crate) fn are_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    /// Waits until something changed, and takes it.
    pub(crate) async fn told(&self) -> Vec<LockKey> {
        loop {
            self.notify.notified().await;
            let changed: Vec<_> = self.changed.lock().drain().collect();
            if !changed.is_empty() {
                return changed;
            }
        }
    }
}
