//! Invalidations that come between the look at what stands and the change that leans on it.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use plinth_cache::backend::CacheBackend as _;
use plinth_cache::model::{
    Append, Bounds, Change, ChangeKind, Condition, ContentType, End, Increment, LeaseMs,
    LeaseState, LeaseWhen, Life, Put,
};
use plinth_cache::{CacheSettings, MemoryCache};
use plinth_core::{Clock, ManualClock, TimestampMs};

use crate::support::*;

/// How long an invalidation may take that waits for nobody, in milliseconds.
const UNHINDERED_MS_MAX: u64 = 200;

type Hook = Box<dyn FnOnce() + Send>;

/// A clock that runs something when it is asked for the time of day, which a change does between its look and its write.
struct Hooked {
    inner: Arc<ManualClock>,
    armed: Mutex<Option<Hook>>,
}

#[async_trait]
impl Clock for Hooked {
    fn now(&self) -> TimestampMs {
        let hook = self.armed.lock().take();
        if let Some(hook) = hook {
            hook();
        }
        self.inner.now()
    }

    fn monotonic_ms(&self) -> u64 {
        self.inner.monotonic_ms()
    }

    fn monotonic_ns(&self) -> u64 {
        self.inner.monotonic_ns()
    }

    async fn sleep_until_monotonic(&self, at_ms: u64) {
        self.inner.sleep_until_monotonic(at_ms).await;
    }
}

#[tokio::test]
async fn what_leans_on_a_value_does_not_bring_it_back_after_its_invalidation() {
    let inner = ManualClock::starting_at(TimestampMs(1_700_000_000_000));
    let clock = Arc::new(Hooked {
        inner: inner.clone(),
        armed: Mutex::default(),
    });
    let cache = MemoryCache::new(&CacheSettings::default(), clock.clone());
    let space = space("shop", "orders");
    let later = Life {
        end: End::At(TimestampMs(1_700_000_060_000)),
        ..Life::FOREVER
    };
    let change = |name: &str, kind| Change {
        key: key(name),
        kind,
    };
    let grown = ChangeKind::Append(Append {
        bytes: Bytes::from_static(b"1"),
        content_type: ContentType::default(),
        condition: Condition::Always,
        created: later,
        renewed: Some(later),
    });
    let counted = ChangeKind::Increment(Increment {
        delta: 1,
        initial: None,
        bounds: Bounds::parse(None, None).expect("bounds"),
        created: later,
        renewed: Some(later),
    });
    let renewed = ChangeKind::Expire {
        life: later,
        version: None,
    };
    let touched = ChangeKind::Touch { life: later };
    let tagged = Put {
        life: later,
        tags: tags(&["x"]),
        ..plain(b"1")
    };
    for (name, kind) in [
        ("append", Some(grown)),
        ("increment", Some(counted)),
        ("expire", Some(renewed)),
        ("touch", Some(touched)),
        ("compare", None),
        ("fill", None),
    ] {
        let begin = async |put: Put| {
            let made = cache.apply(&space, vec![store(name, put)], ALL).await;
            version(made.expect("stores").answer[0].as_ref().expect("stores"))
        };
        let kind = match kind {
            Some(kind) => {
                begin(tagged.clone()).await;
                kind
            }
            None if name == "compare" => ChangeKind::Put(Put {
                condition: Condition::Version(begin(tagged.clone()).await),
                ..tagged.clone()
            }),
            None => {
                let lease = LeaseMs::parse(None).expect("a lease");
                let key = key(name);
                let asked = cache.get_or_lease(&space, &key, lease, LeaseWhen::Needed);
                let LeaseState::Granted { token } = asked.await.expect("asks").answer.lease else {
                    panic!("nobody else fills it");
                };
                ChangeKind::Put(Put {
                    lease: Some(token),
                    ..tagged.clone()
                })
            }
        };
        let (tell, told) = mpsc::sync_channel::<JoinHandle<()>>(1);
        let (invalidating, within) = (Arc::clone(&cache), space.clone());
        let hook = move || {
            let (done, is_done) = mpsc::sync_channel(1);
            let invalidation = thread::spawn(move || {
                let invalidated = invalidating.invalidate_tags(&within, tags(&["x"]), None);
                block_on(invalidated).expect("invalidates");
                // Nobody listens any more where it had to wait.
                let _late = done.send(());
            });
            let waited = is_done.recv_timeout(Duration::from_millis(UNHINDERED_MS_MAX));
            assert_ne!(waited, Err(RecvTimeoutError::Disconnected));
            tell.send(invalidation).expect("is joined");
        };
        *clock.armed.lock() = Some(Box::new(hook));
        let made = cache.apply(&space, vec![change(name, kind)], ALL).await;
        made.expect("is made: it came first");
        let invalidation = told.try_recv().expect("came in between");
        invalidation.join().expect("invalidates");
        let read = cache.get(&space, &key(name)).await.expect("reads").answer;
        assert!(!read.is_found(), "{name}: was invalidated");
    }
}
