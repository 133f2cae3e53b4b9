//! Values of Redis that an instance keeps near: never old after a write through the same instance, old for a short time only
//! after one through another, and not there at all while changes are not heard.
#![expect(
    clippy::expect_used,
    reason = "the inputs are written in the tests; a bad one is a fault of the test"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plinth_cache::backend::CacheBackend;
use plinth_cache::model::{Condition, LeaseMs, LeaseState, LeaseWhen, Life};
use plinth_cache::{NearCache, NearSettings, RedisCache};
use plinth_core::Error;
use plinth_testkit::chaos::{Chaos, ChaosProxy};
use plinth_testkit::redis::{RedisCluster, RedisProcess, RedisSentinels, is_installed, url_at};

use support::*;

/// Longest wait for something that has to come, in milliseconds.
const WAIT_MS_MAX: u64 = 30_000;
/// As [`quick_redis`] has it.
const HEARTBEAT_MS: u64 = 100;
const ANSWER_MS: u64 = 500;
/// What a busy machine may add, in milliseconds.
const SLACK_MS: u64 = 1_500;

fn far(url: &str) -> Arc<RedisCache> {
    quick_redis(url, "near")
}

/// An instance that keeps values near and hears of every change.
async fn near_with(url: &str, settings: &NearSettings) -> Arc<NearCache> {
    let near = NearCache::start(far(url), settings);
    until("hearing", || near.numbers().heard).await;
    near
}

async fn near(url: &str) -> Arc<NearCache> {
    let settings = NearSettings {
        bytes_max: 8 * 1024 * 1024,
        ..NearSettings::default()
    };
    near_with(url, &settings).await
}

async fn store_in(cache: &dyn CacheBackend, name: &str, number: u64) -> Result<(), Error> {
    let change = put(name, &number.to_be_bytes(), None, Condition::Always);
    let all = space("shop", "orders");
    let reply = cache.apply(&all, vec![change], ALL).await?;
    let answer = reply.answer.into_iter().next();
    answer.expect("one answer")?;
    Ok(())
}

async fn find(cache: &dyn CacheBackend, name: &str) -> Result<Option<u64>, Error> {
    let reply = cache.get(&space("shop", "orders"), &key(name)).await?;
    let found = reply.answer.found();
    Ok(found.map(|found| u64::from_be_bytes(found.value.bytes.as_ref().try_into().expect("8"))))
}

/// Reads until it is near, and then from there.
async fn read_near(near: &NearCache, name: &str) -> Option<u64> {
    let waiting = async {
        loop {
            let before = near.numbers().hits_total;
            let found = find(near, name).await;
            if near.numbers().hits_total > before {
                return found.expect("is read");
            }
        }
    };
    let within = Duration::from_millis(WAIT_MS_MAX);
    tokio::time::timeout(within, waiting)
        .await
        .expect("is kept")
}

/// Reads until the number is there. Returns how long that took.
async fn until_read(near: &NearCache, name: &str, number: u64) -> Duration {
    let began = Instant::now();
    loop {
        if matches!(find(near, name).await, Ok(Some(found)) if found == number) {
            return began.elapsed();
        }
        let late = began.elapsed() > Duration::from_millis(WAIT_MS_MAX);
        assert!(!late, "{number} is never read");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_read_after_an_acknowledged_write_through_the_same_instance_is_old() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let near = near(&server.url()).await;
    let (acknowledged, stop) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    store_in(near.as_ref(), "k", 0).await.expect("stores");
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (near, acknowledged, stop) = (
            Arc::clone(&near),
            Arc::clone(&acknowledged),
            Arc::clone(&stop),
        );
        readers.spawn(async move {
            let mut last = 0;
            while !stop.load(Ordering::SeqCst) {
                let least = acknowledged.load(Ordering::SeqCst).max(last);
                let found = find(near.as_ref(), "k").await.expect("reads");
                let found = found.expect("is there");
                assert!(found >= least, "{found} was read after {least}");
                last = found;
                tokio::task::yield_now().await;
            }
        });
    }
    for number in 1..=1_500 {
        store_in(near.as_ref(), "k", number).await.expect("stores");
        acknowledged.store(number, Ordering::SeqCst);
        if number % 3 == 0 {
            assert_eq!(find(near.as_ref(), "k").await.expect("reads"), Some(number));
        }
        if number % 50 == 0 {
            read_near(&near, "k").await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    readers.join_all().await;
    assert!(near.numbers().hits_total > 1_000, "{:?}", near.numbers());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_through_another_instance_is_heard_soon() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let (a, b) = (near(&server.url()).await, far(&server.url()));
    let mut took = Vec::new();
    for number in 0..300 {
        store_in(b.as_ref(), "k", number).await.expect("stores");
        took.push(until_read(&a, "k", number).await);
        read_near(&a, "k").await;
    }
    took.sort_unstable();
    eprintln!(
        "read after a write through another instance: median {:?}, 99 of 100 {:?}, longest {:?}",
        took[150], took[297], took[299]
    );
    assert!(took[150] < Duration::from_millis(20), "{took:?}");
    // All other kinds of change.
    let all = space("shop", "orders");
    let tagged = |number: u64| {
        let mut tagged = plain(&number.to_be_bytes());
        tagged.tags = tags(&["x"]);
        store("t", tagged)
    };
    for kind in 0..4 {
        let stored = b
            .apply(&all, vec![tagged(kind)], ALL)
            .await
            .expect("stores");
        stored
            .answer
            .into_iter()
            .for_each(|one| drop(one.expect("is stored")));
        until_read(&a, "t", kind).await;
        assert_eq!(read_near(&a, "t").await, Some(kind));
        match kind {
            0 => drop(
                b.invalidate_tags(&all, tags(&["x"]), None)
                    .await
                    .expect("is done"),
            ),
            1 => drop(b.clear(&all, None).await.expect("is done")),
            2 => drop(
                b.apply(&all, vec![delete("t", None)], ALL)
                    .await
                    .expect("is done"),
            ),
            _ => drop(server.ask(&["FLUSHALL"]).await.expect("is done")),
        }
        let began = Instant::now();
        while find(a.as_ref(), "t").await.expect("reads").is_some() {
            assert!(began.elapsed() < Duration::from_millis(SLACK_MS), "{kind}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_another_instance_is_read_whole_or_not_at_all() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let (a, b) = (near(&server.url()).await, far(&server.url()));
    let (all, names) = (space("shop", "orders"), ["a", "b", "c", "d"]);
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            for number in 0_u64..600 {
                let put = |name| put(name, &number.to_be_bytes(), None, Condition::Always);
                let changes = names.map(put).to_vec();
                b.apply(&space("shop", "orders"), changes, ALL)
                    .await
                    .expect("stores");
                // Now and then what was read is near for a while.
                if number % 20 == 0 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            stop.store(true, Ordering::SeqCst);
        }
    });
    let keys = names.map(key);
    let mut whole = 0_u64;
    while !stop.load(Ordering::SeqCst) {
        // Singly read, they come to be near at different times.
        for name in names {
            find(a.as_ref(), name).await.expect("reads");
        }
        let reply = a
            .get_many(&all, &keys, plinth_cache::backend::Looking::Reading)
            .await
            .expect("reads");
        let found = reply.answer.into_iter();
        let found: Vec<_> = found
            .map(|read| read.found().map(|found| found.value.bytes))
            .collect();
        assert!(found.iter().all(|one| *one == found[0]), "{found:?}");
        whole += 1;
    }
    writing.await.expect("ends");
    assert!(
        whole > 50 && a.numbers().hits_total > 0,
        "{:?}",
        a.numbers()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_is_gone_at_its_end_and_one_that_slides_is_never_near() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let near = near(&server.url()).await;
    let all = space("shop", "orders");
    for _ in 0..10 {
        let change = put("k", &1_u64.to_be_bytes(), Some(60), Condition::Always);
        near.apply(&all, vec![change], ALL).await.expect("stores");
        let acknowledged = Instant::now();
        let hits = near.numbers().hits_total;
        loop {
            let began = Instant::now();
            if find(near.as_ref(), "k").await.expect("reads").is_none() {
                break;
            }
            let late = began.saturating_duration_since(acknowledged);
            assert!(late < Duration::from_millis(60), "read {late:?} later");
            tokio::task::yield_now().await;
        }
        assert!(near.numbers().hits_total > hits + 5);
    }
    let hits = near.numbers().hits_total;
    let mut sliding = plain(&1_u64.to_be_bytes());
    sliding.life = Life {
        idle: Some(ttl(500)),
        ..Life::after(ttl(60_000))
    };
    near.apply(&all, vec![store("s", sliding)], ALL)
        .await
        .expect("stores");
    for _ in 0..5 {
        assert!(find(near.as_ref(), "s").await.expect("reads").is_some());
    }
    assert_eq!(near.numbers().hits_total, hits);
    // A fresh value that is near needs no lease.
    store_in(near.as_ref(), "l", 7).await.expect("stores");
    read_near(&near, "l").await;
    let hits = near.numbers().hits_total;
    let lease = LeaseMs::parse(Some(1_000)).expect("a lease");
    let leased = near
        .get_or_lease(&all, &key("l"), lease, LeaseWhen::Needed)
        .await;
    assert_eq!(leased.expect("reads").answer.lease, LeaseState::NotNeeded);
    assert_eq!(near.numbers().hits_total, hits + 1);
    let leased = near
        .get_or_lease(&all, &key("none"), lease, LeaseWhen::Needed)
        .await;
    let lease = leased.expect("reads").answer.lease;
    assert!(matches!(lease, LeaseState::Granted { .. }), "{lease:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_age_are_bounded() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let settings = NearSettings {
        bytes_max: 100_000,
        max_age_ms: 50,
        ..NearSettings::default()
    };
    let near = near_with(&server.url(), &settings).await;
    for number in 0..2_000 {
        let name = format!("k{number}");
        store_in(near.as_ref(), &name, number)
            .await
            .expect("stores");
        find(near.as_ref(), &name).await.expect("reads");
    }
    let numbers = near.numbers();
    assert!(
        numbers.bytes <= 110_000 && numbers.entries > 50,
        "{numbers:?}"
    );
    store_in(near.as_ref(), "old", 1).await.expect("stores");
    read_near(&near, "old").await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    let before = near.numbers();
    find(near.as_ref(), "old").await.expect("reads");
    assert_eq!(near.numbers().misses_total, before.misses_total + 1);
}

/// Ten keys are read often, then a thousand others once, of which some 250 have room. By last use nothing of the ten would be
/// left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hot_keys_stay_near_while_a_walk_over_others_passes_by() {
    const HOT: u64 = 10;
    const COLD: u64 = 1_400;
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let other = far(&server.url());
    let (hot, cold) = (|n: u64| format!("hot{n}"), |n: u64| format!("cold{n}"));
    let names = (0..HOT).map(hot).chain((0..COLD).map(cold));
    for (number, name) in (0..).zip(names) {
        store_in(other.as_ref(), &name, number)
            .await
            .expect("stores");
    }
    let settings = NearSettings {
        bytes_max: 100_000,
        max_age_ms: WAIT_MS_MAX,
        ..NearSettings::default()
    };
    let near = near_with(&server.url(), &settings).await;
    let walk = async |numbers: std::ops::Range<u64>| {
        for number in numbers {
            find(near.as_ref(), &cold(number)).await.expect("reads");
        }
    };
    // It is full before anything is hot.
    walk(0..COLD - 1_000).await;
    for _ in 0..15 {
        for number in 0..HOT {
            find(near.as_ref(), &hot(number)).await.expect("reads");
        }
    }
    walk(COLD - 1_000..COLD).await;
    let before = near.numbers();
    for number in 0..HOT {
        let found = find(near.as_ref(), &hot(number)).await.expect("reads");
        assert_eq!(found, Some(number));
    }
    let now = near.numbers();
    let hits = now.hits_total - before.hits_total;
    assert!(hits >= HOT - 2 && now.entries < 400, "{hits} hits: {now:?}");
    // They are as coherent as all that is near.
    store_in(other.as_ref(), &hot(0), 4_711)
        .await
        .expect("stores");
    until_read(&near, &hot(0), 4_711).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_connection_nothing_is_near_until_it_is_back() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let near = near(&server.url()).await;
    for number in 0..5 {
        store_in(near.as_ref(), "k", number).await.expect("stores");
        read_near(&near, "k").await;
        let flushes = near.numbers().flushes_total;
        let clients = server.ask(&["CLIENT", "LIST"]).await.expect("are told");
        let tracking = clients.lines().find(|line| {
            let flags = line.split(' ').find_map(|word| word.strip_prefix("flags="));
            flags.is_some_and(|flags| flags.contains('B'))
        });
        let id = tracking.and_then(|line| line.split(' ').next()?.strip_prefix("id="));
        let id = id.expect("one tracks");
        let killed = server.ask(&["CLIENT", "KILL", "ID", id]).await;
        killed.expect("is cut");
        until("the loss", || near.numbers().flushes_total > flushes).await;
        // Whatever the state, reads go on and are right.
        assert_eq!(find(near.as_ref(), "k").await.expect("reads"), Some(number));
        until("hearing", || near.numbers().heard).await;
        assert_eq!(read_near(&near, "k").await, Some(number));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_half_open_link_a_value_is_old_for_a_bounded_time() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let proxy = ChaosProxy::start(server.address()).await.expect("a proxy");
    let (a, b) = (near(&url_at(proxy.address())).await, far(&server.url()));
    store_in(b.as_ref(), "k", 1).await.expect("stores");
    until_read(&a, "k", 1).await;
    read_near(&a, "k").await;
    proxy.set(Chaos::BlackHole);
    store_in(b.as_ref(), "k", 2).await.expect("stores");
    let written = Instant::now();
    let mut old_for = Duration::ZERO;
    let bound = Duration::from_millis(HEARTBEAT_MS + ANSWER_MS + SLACK_MS);
    while written.elapsed() < bound + Duration::from_millis(500) {
        match find(a.as_ref(), "k").await {
            Ok(Some(1)) => old_for = written.elapsed(),
            Ok(other) => panic!("{other:?} came out of a black hole"),
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    eprintln!("on a half-open link an old value was told for {old_for:?}");
    assert!(old_for < bound, "{old_for:?}");
    assert!(!a.numbers().heard);
    proxy.set(Chaos::Calm);
    until("hearing", || a.numbers().heard).await;
    until_read(&a, "k", 2).await;
}

/// Writes through another instance, and each is read soon.
async fn is_coherent(a: &NearCache, b: &RedisCache, first: u64) {
    for number in first..first + 20 {
        for name in ["k", "l", "m", "n"] {
            let stored = async {
                while store_in(b, name, number).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            stored.await;
            until_read(a, name, number).await;
        }
    }
    until("hearing", || a.numbers().heard).await;
    read_near(a, "k").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_of_sentinel_changes_are_heard_again() {
    if !is_installed() {
        return;
    }
    let servers = RedisSentinels::start(1).await.expect("starts");
    let (a, b) = (near(&servers.url()).await, far(&servers.url()));
    is_coherent(&a, &b, 0).await;
    for round in 1..3 {
        let flushes = a.numbers().flushes_total;
        let before = servers.primary().await.expect("is told");
        servers.fail_over().await.expect("fails over");
        // What the old primary takes until it is a replica itself is lost with any cache.
        let demoted = |text: &str| text.starts_with("slave");
        let demoted = servers.servers[before].ask_until(&["ROLE"], demoted).await;
        demoted.expect("follows");
        until("the change", || a.numbers().flushes_total > flushes).await;
        is_coherent(&a, &b, round * 100).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_of_a_cluster_changes_are_heard_again() {
    if !is_installed() {
        return;
    }
    let servers = RedisCluster::start(3, 3).await.expect("starts");
    let (a, b) = (near(&servers.url()).await, far(&servers.url()));
    is_coherent(&a, &b, 0).await;
    for replica in 3..6 {
        servers.fail_over(replica).await.expect("fails over");
        is_coherent(&a, &b, u64::try_from(replica).expect("fits") * 100).await;
    }
}
