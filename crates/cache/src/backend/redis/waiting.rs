//! Who waits in this process for the end of a lease, by key: what this process does to the key wakes them at once. What others do
//! they find by looking now and then, as do those for whom there is no room.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Most keys that are waited for with a wake.
const KEYS_MAX: usize = 10_000;

/// Those who wait.
#[derive(Default)]
pub(super) struct Waiting {
    keys: Mutex<HashMap<Box<str>, Arc<Notify>>>,
    /// How many keys there are, for who changes one: mostly none.
    count: AtomicUsize,
}

/// One who waits.
pub(super) struct Waiter<'waiting> {
    waiting: &'waiting Waiting,
    name: Box<str>,
    /// To be listened to before the lease is looked at.
    pub(super) ended: Arc<Notify>,
}

impl Waiting {
    /// Waits for a lease by its name in Redis. `None`: there are too many.
    pub(super) fn enter(&self, name: &str) -> Option<Waiter<'_>> {
        let mut keys = self.keys.lock();
        if keys.len() >= KEYS_MAX && !keys.contains_key(name) {
            return None;
        }
        let ended = Arc::clone(keys.entry(name.into()).or_default());
        self.count.store(keys.len(), Ordering::SeqCst);
        Some(Waiter {
            waiting: self,
            name: name.into(),
            ended,
        })
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    /// Wakes who waits for a lease.
    pub(super) fn wake(&self, name: &str) {
        if let Some(ended) = self.keys.lock().get(name) {
            ended.notify_waiters();
        }
    }

    /// Wakes who waits for any lease whose name begins so.
    pub(super) fn wake_all(&self, prefix: &str) {
        let keys = self.keys.lock();
        let ended = keys.iter().filter(|(name, _)| name.starts_with(prefix));
        ended.for_each(|(_, ended)| ended.notify_waiters());
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut keys = self.waiting.keys.lock();
        // The table and this one: nobody else waits, and nobody can come while the table is held.
        if Arc::strong_count(&self.ended) <= 2 {
            keys.remove(&self.name);
        }
        self.waiting.count.store(keys.len(), Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_waits_for_the_key_is_woken() {
        let waiting = Waiting::default();
        let (one, same) = (waiting.enter("p:a"), waiting.enter("p:a"));
        let (one, same) = (one.expect("has room"), same.expect("has room"));
        let other = waiting.enter("p:b").expect("has room");
        let mut heard = [&one, &same, &other].map(|waiter| beginning(Arc::clone(&waiter.ended)));
        assert_eq!(heard.each_mut().map(|it| it()), [false, false, false]);
        waiting.wake("p:a");
        assert_eq!(heard.each_mut().map(|it| it()), [true, true, false]);
        waiting.wake_all("q:");
        assert!(!heard[2]());
        waiting.wake_all("p:");
        assert!(heard[2]());
    }

    /// Polls a wait, the first time to begin it.
    fn beginning(ended: Arc<Notify>) -> impl FnMut() -> bool {
        use futures::FutureExt as _;
        let mut waiting = Box::pin(async move { ended.notified().await });
        move || (&mut waiting).now_or_never().is_some()
    }

    #[test]
    fn there_is_room_for_so_many_keys_and_for_more_once_one_is_left() {
        let waiting = Waiting::default();
        assert!(waiting.is_empty());
        let enter = |index: usize| waiting.enter(&index.to_string());
        let mut waiters: Vec<_> = (0..KEYS_MAX).map_while(enter).collect();
        assert_eq!(waiters.len(), KEYS_MAX);
        assert!(enter(KEYS_MAX).is_none(), "one too many");
        let again = enter(0).expect("a key that is waited for already");
        drop(waiters.remove(0));
        assert!(enter(KEYS_MAX).is_none(), "it is still waited for");
        drop(again);
        assert!(enter(KEYS_MAX).is_some());
        drop(waiters);
        assert!(waiting.is_empty());
    }
}
