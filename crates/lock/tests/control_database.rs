//! Locks on a control database that several instances share: waiting across instances, the order of tokens, answers that
//! are lost. On the database's own clock.

#![expect(clippy::expect_used, reason = "a broken fixture must fail the test")]
#![expect(clippy::indexing_slicing, reason = "a missing element fails the test")]
#![expect(dead_code, reason = "the fixtures serve several tests")]

mod support;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use plinth_core::{ErrorCode, Outcome, SharedClock, SystemClock};
use plinth_lock::Wakes;
use plinth_lock::backend::shared::{SharedBackend, SharedOptions};
use plinth_lock::backend::{Backend, LockKey};
use plinth_lock::model::{LockName, VerifyRequest, limits};
use plinth_store::{ControlStore, LockRecords as _};
use plinth_testkit::cut_proxy::CutProxy;
use support::database::{on_each_product, open};
use support::instance::Instance;
use support::{TENANT, code, context, told};

/// What a busy machine may add to a wait, in milliseconds. Far below [`limits::PLACE_RENEW_MS`], by which a waiter would come
/// back by itself.
const SLACK_MS: u64 = 900;

/// One instance: a service with a connection pool of its own.
#[derive(Clone)]
struct OnDatabase {
    calls: Instance,
    store: Arc<ControlStore>,
}

impl Deref for OnDatabase {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.calls
    }
}

impl OnDatabase {
    async fn start(url: &str) -> Self {
        let store = open(url).await;
        let (wakes, clock) = (Arc::new(Wakes::default()), SystemClock::shared());
        let backend = backend(&store, &wakes, &clock);
        let calls = Instance::over(Arc::new(backend), wakes, clock);
        Self { calls, store }
    }

    async fn end(self) {
        self.service.close().await;
        self.store.close().await;
    }
}

fn backend(store: &Arc<ControlStore>, wakes: &Arc<Wakes>, clock: &SharedClock) -> SharedBackend {
    SharedBackend::new(SharedOptions {
        name: "control",
        records: Arc::clone(store) as _,
        clock: Arc::clone(clock),
        epochs: Some(Arc::clone(store) as _),
        changes: None,
        wakes: Arc::clone(wakes),
        locks_per_tenant_max: 100,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_of_one_instance_is_woken_by_a_release_on_another() {
    on_each_product(async |url: String| {
        let (a, b) = (OnDatabase::start(&url).await, OnDatabase::start(&url).await);
        let held = a.acquire("x", "one", 0).await.expect("is free");
        let waiting = b.wait_for("x", "two").await;
        let released = Instant::now();
        assert!(a.release(&held, "one").await.expect("is answered"));
        let next = waiting.await.expect("joins").expect("is granted");
        let took = released.elapsed();
        assert!(next.token > held.token);
        let bound = Duration::from_millis(limits::POLL_MS + SLACK_MS);
        assert!(took < bound, "woken after {took:?}");
        // Who watches a lease on one instance learns of its end on another.
        let watching = tokio::spawn({
            let (a, token) = (a.clone(), next.token);
            let request = VerifyRequest {
                lock: "x".to_owned(),
                token,
                wait_ms: Some(20_000),
            };
            async move { a.service.verify(&context(TENANT), request).await }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        let released = Instant::now();
        assert!(b.release(&next, "two").await.expect("is answered"));
        let seen = watching.await.expect("joins").expect("is answered");
        assert!(!seen.held);
        assert!(
            released.elapsed() < bound,
            "told after {:?}",
            released.elapsed()
        );
        a.end().await;
        b.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_of_two_instances_are_served_in_the_order_of_coming() {
    on_each_product(async |url: String| {
        let both = [OnDatabase::start(&url).await, OnDatabase::start(&url).await];
        let mut held = both[0].acquire("x", "first", 0).await.expect("is free");
        let mut waits = Vec::new();
        for number in 0..6 {
            let owner = format!("w{number}");
            let instance = both[number % 2].clone();
            let waiting = instance.wait_for("x", &owner).await;
            waits.push((instance, owner, waiting));
        }
        let (mut instance, mut holder) = (both[0].clone(), "first".to_owned());
        for (next, owner, waiting) in waits {
            assert!(instance.release(&held, &holder).await.expect("is answered"));
            let granted = waiting.await.expect("joins").expect("is granted");
            let info = next.service.get(&context(TENANT), "x").await;
            assert_eq!(info.expect("is read").holders[0].owner, owner);
            assert!(granted.token > held.token);
            (held, instance, holder) = (granted, next, owner);
        }
        for instance in both {
            instance.end().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lease_of_an_instance_that_is_gone_ends_on_the_clock_of_the_database() {
    on_each_product(async |url: String| {
        let (a, b) = (OnDatabase::start(&url).await, OnDatabase::start(&url).await);
        // What b has not yet seen for a whole lease it does not end.
        b.service.get(&context(TENANT), "x").await.expect("is read");
        tokio::time::sleep(Duration::from_millis(2_100)).await;
        let asked = Instant::now();
        let held = a.acquire("x", "one", 0).await.expect("is free");
        let waiting = b.wait_for("x", "two").await;
        a.end().await;
        let next = waiting.await.expect("joins").expect("is granted");
        let took = asked.elapsed();
        assert!(next.token > held.token);
        let lease = Duration::from_millis(2_000);
        assert!(took >= lease, "ended after {took:?}");
        assert!(took < lease + Duration::from_millis(SLACK_MS), "{took:?}");
        b.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_grow_while_records_are_forgotten_and_instances_start_anew() {
    on_each_product(async |url: String| {
        let store = open(&url).await;
        let stop = Arc::new(AtomicBool::new(false));
        let forgetting = tokio::spawn({
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            async move {
                let mut forgotten = 0;
                while !stop.load(Ordering::Relaxed) {
                    // As if every free record had been free for long.
                    forgotten += store.forget_locks(i64::MAX).await.expect("forgets");
                }
                forgotten
            }
        });
        let highest = Arc::new(AtomicI64::new(0));
        for _ in 0..5 {
            // No epoch is raised between the grants of one round: the floor alone keeps the order.
            let both = [OnDatabase::start(&url).await, OnDatabase::start(&url).await];
            let mut working = tokio::task::JoinSet::new();
            for worker in 0..4 {
                let (instance, highest) = (both[worker % 2].clone(), Arc::clone(&highest));
                working.spawn(async move {
                    let owner = format!("worker-{worker}");
                    for _ in 0..12 {
                        let grant = instance.acquire("x", &owner, 20_000).await;
                        let grant = grant.expect("is granted");
                        let before = highest.swap(grant.token.0, Ordering::SeqCst);
                        assert!(grant.token.0 > before, "{before} came before {grant:?}");
                        let held = instance.release(&grant, &owner).await;
                        assert!(held.expect("is answered"));
                    }
                });
            }
            working.join_all().await;
            for instance in both {
                instance.end().await;
            }
            // While many want the lock its record is free for moments only; now it stays free until it is forgotten.
            let names = ["x".to_owned()];
            let gone = async {
                while !store
                    .lock_stamps(TENANT, &names)
                    .await
                    .expect("reads")
                    .is_empty()
                {}
            };
            let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
            gone.expect("a free record is forgotten");
        }
        stop.store(true, Ordering::Relaxed);
        let forgotten = forgetting.await.expect("joins");
        assert!(forgotten > 3, "only {forgotten} records were forgotten");
        store.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn free_records_are_forgotten_and_busy_ones_kept() {
    on_each_product(async |url: String| {
        let instance = OnDatabase::start(&url).await;
        let kept = instance.acquire("kept", "one", 0).await.expect("is free");
        let freed = instance.acquire("freed", "one", 0).await.expect("is free");
        assert!(instance.release(&freed, "one").await.expect("is answered"));
        let wakes = Arc::new(Wakes::default());
        let sweeping = backend(&instance.store, &wakes, &SystemClock::shared());
        let stamps = async || {
            let names = ["kept".to_owned(), "freed".to_owned()];
            let stamps = instance.store.lock_stamps(TENANT, &names).await;
            stamps.expect("reads").len()
        };
        sweeping.sweep(100).await.expect("sweeps");
        assert_eq!(stamps().await, 2, "a free record is kept for a while");
        let forgotten = instance.store.forget_locks(i64::MAX).await;
        assert_eq!((forgotten.expect("forgets"), stamps().await), (1, 1));
        assert!(instance.renew(&kept, "one").await.expect("is answered"));
        let key = LockKey {
            tenant: context(TENANT).caller.tenant,
            name: LockName::parse("lock", "freed").expect("a name"),
        };
        let seen = sweeping.read(&key).await.expect("reads");
        assert!(!seen.record.is_busy());
        sweeping.close().await;
        instance.end().await;
    })
    .await;
}

/// The same database through a proxy that can cut.
async fn through_proxy(url: &str) -> (OnDatabase, CutProxy) {
    let (_, rest) = url.split_once('@').expect("has a user");
    let (server, _) = rest.split_once('/').expect("has a path");
    let proxy = CutProxy::to(server.parse().expect("an address")).await;
    let proxy = proxy.expect("listens");
    // The proxy reads the requests, so they must not be encrypted.
    let plain = if url.starts_with("mysql") {
        "ssl-mode=DISABLED"
    } else {
        "sslmode=disable"
    };
    let url = url.replace(server, &proxy.address().to_string());
    (OnDatabase::start(&format!("{url}?{plain}")).await, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_is_unknown_and_what_it_got_is_given_back() {
    on_each_product(async |url: String| {
        let (cut, proxy) = through_proxy(&url).await;
        let other = OnDatabase::start(&url).await;
        let grant = cut.acquire("x", "one", 0).await.expect("is free");
        // Only the request that writes holds a record.
        proxy.cut("holders", 0);
        let error = told(cut.release(&grant, "one").await.expect_err("is lost"));
        assert_eq!(error.code(), ErrorCode::LockConnection);
        assert_eq!(error.outcome(), Outcome::Unknown);
        assert!(error.is_retriable());
        // The server had done it. A repeat says that nothing is held.
        assert!(!cut.release(&grant, "one").await.expect("is answered"));
        proxy.cut("holders", 0);
        let error = told(cut.acquire("x", "two", 5_000).await.expect_err("is lost"));
        assert_eq!(error.code(), ErrorCode::LockConnection);
        assert_eq!(error.outcome(), Outcome::Unknown);
        // Nobody knows of that grant, so it was taken back.
        let next = other.acquire("x", "three", 0).await.expect("is free");
        assert!(next.token > grant.token);
        cut.end().await;
        other.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_told_and_found_again() {
    on_each_product(async |url: String| {
        let (_, rest) = url.split_once('@').expect("has a user");
        let (server, _) = rest.split_once('/').expect("has a path");
        let chaos = plinth_testkit::chaos::ChaosProxy::start(server.parse().expect("an address"));
        let chaos = chaos.await.expect("listens");
        let instance = OnDatabase::start(&url.replace(server, &chaos.address().to_string())).await;
        let grant = instance.acquire("x", "one", 0).await.expect("is free");
        chaos.set(plinth_testkit::chaos::Chaos::Refuse);
        chaos.cut();
        for refused in [
            instance.acquire("y", "one", 0).await.map(drop),
            instance.renew(&grant, "one").await.map(drop),
            instance.service.get(&context(TENANT), "x").await.map(drop),
        ] {
            assert_eq!(code(refused), ErrorCode::LockConnection.number());
        }
        chaos.set(plinth_testkit::chaos::Chaos::Calm);
        let next = instance.acquire("y", "one", 20_000).await;
        let next = next.expect("is free");
        assert!(instance.release(&next, "one").await.expect("is answered"));
        instance.end().await;
    })
    .await;
}
