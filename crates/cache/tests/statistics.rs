//! What the service tells of a namespace: the same over every backend.

#![expect(
    clippy::expect_used,
    reason = "short ways to make requests fail the test where they stand"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use plinth_cache::CacheService;
use plinth_cache::model::{
    Condition, Content, Expiry, Key, Namespace, Put, Tags, Ttl, VALUE_BYTES_MAX, Value,
};
use plinth_core::{CallContext, ManualClock, MetricSink};
use plinth_store::memory::MemoryDefinitions;
use plinth_testkit::calls::call_of;
use tokio_util::sync::CancellationToken;

use support::{Rig, backends, memory};

/// How many namespaces have series of their own.
const TOLD_NAMESPACES: usize = 100;

fn service(rig: &Rig) -> Arc<CacheService> {
    let definitions = Arc::new(MemoryDefinitions::new(rig.clock.clone()));
    let cache = CacheService::new(rig.backend.clone(), definitions, rig.clock.clone());
    Arc::new(cache)
}

fn call() -> CallContext {
    call_of("tenant", "cache.get").expect("a tenant")
}

fn named(name: &str) -> Namespace {
    Namespace::parse(name).expect("a name")
}

fn key(text: &str) -> Key {
    Key::parse(text).expect("a key")
}

async fn store(cache: &CacheService, name: &str, text: &str, bytes: usize, life: Expiry) {
    let value = Value::parse(vec![7; bytes].into(), None, None).expect("a value");
    let put = Put {
        content: Content::Value(value),
        life,
        condition: Condition::Always,
        tags: Tags::default(),
        lease: None,
    };
    let call = call();
    let stored = cache.set(&call, named(name), key(text), put, None);
    stored.await.expect("stores");
}

#[tokio::test]
async fn sizes_lives_times_and_near_answers_are_told() {
    for (backend, rig) in backends() {
        let cache = service(&rig);
        let minute = Expiry::After(Ttl::parse(60_000).expect("a ttl"));
        store(&cache, "n", "small", 10, minute).await;
        store(&cache, "n", "large", 5_000, Expiry::Never).await;
        for _ in 0..10 {
            let found = cache.get(&call(), named("n"), &key("small")).await;
            assert!(found.expect("reads").answer.is_found(), "{backend}");
        }
        let both = [key("small"), key("none")];
        let read = cache.batch_get(&call(), named("n"), &both).await;
        assert_eq!(read.expect("reads").answer.len(), 2, "{backend}");
        let stats = cache.stats(&call(), named("n")).await.expect("counts");
        assert_eq!(
            (stats.hits, stats.misses, stats.sets),
            (11, 1, 2),
            "{backend}"
        );
        let calls: Vec<_> = stats
            .latencies
            .iter()
            .map(|latency| (latency.operation, latency.calls))
            .collect();
        let expected = [("get", 10), ("batch_get", 1), ("change", 2)];
        assert_eq!(calls, expected, "{backend}");
        for latency in &stats.latencies {
            let shares = [
                latency.p50_us,
                latency.p95_us,
                latency.p99_us,
                latency.max_us,
            ];
            assert!(shares.is_sorted(), "{backend}: {latency:?}");
        }
        // A sample may draw one entry more than once, and need not draw each of so few.
        let sampled = u64::try_from(stats.held.sample.len()).expect("fits");
        assert!(sampled > 0, "{backend}");
        for (steps, ends) in [
            (stats.held.sizes(), [Some(64), Some(16 * 1_024)]),
            (stats.held.lives(), [Some(60_000), None]),
        ] {
            let of = |end| steps.iter().find(|step| step.up_to == end).expect("a step");
            let both = ends.map(|end| of(end).entries);
            assert_eq!(both[0] + both[1], sampled, "{backend}: {steps:?}");
        }
        let largest = stats.held.sizes().last().expect("steps").up_to;
        assert_eq!(largest, u64::try_from(VALUE_BYTES_MAX).ok());
        let is_near = backend.contains("kept near");
        // The first read brings the value here, the others find it.
        assert_eq!(stats.near_hits, if is_near { 9 } else { 0 }, "{backend}");
    }
}

#[tokio::test]
async fn hot_keys_are_found_among_many_on_every_backend() {
    for (backend, rig) in backends() {
        let cache = service(&rig);
        let read = async |text: &str| {
            let read = cache.get(&call(), named("n"), &key(text)).await;
            read.expect("reads");
        };
        for round in 0..1_000 {
            read("hottest").await;
            read(&format!("cold-{round}")).await;
            if round % 2 == 0 {
                read("warm").await;
            }
        }
        let hottest = cache.hot_keys(&call(), named("n"));
        let first: Vec<_> = hottest
            .keys
            .iter()
            .take(2)
            .map(|hot| hot.key.as_str())
            .collect();
        assert_eq!(first, ["hottest", "warm"], "{backend}");
        // 2,500 reads, of which those after the first 1,024 are sampled.
        assert!(
            (1_500..4_500).contains(&hottest.reads),
            "{backend}: {}",
            hottest.reads
        );
        let told = &hottest.keys[0];
        assert!(
            (500..2_000).contains(&told.reads_max),
            "{backend}: {told:?}"
        );
        assert!(told.reads_min >= 300, "{backend}: {told:?}");
        let nobody = cache.hot_keys(&call(), named("other"));
        assert_eq!((nobody.reads, nobody.keys.len()), (0, 0), "{backend}");
    }
}

type Series = BTreeMap<(&'static str, String), f64>;

/// A sink that remembers.
#[derive(Default)]
struct Book(Mutex<Series>);

impl Book {
    fn namespaces(&self, name: &str) -> Vec<(String, f64)> {
        let series = self.0.lock();
        let of = series.iter().filter(|((metric, _), _)| *metric == name);
        of.map(|((_, namespace), value)| (namespace.clone(), *value))
            .collect()
    }
}

fn namespace_of(labels: &[(&'static str, &str)]) -> String {
    let [("tenant", tenant), ("namespace", namespace)] = labels else {
        return format!("strange labels {labels:?}");
    };
    format!("{tenant}/{namespace}")
}

impl MetricSink for Book {
    fn add(&self, name: &'static str, labels: &[(&'static str, &str)], delta: u64) {
        let mut series = self.0.lock();
        let sum = series.entry((name, namespace_of(labels))).or_default();
        *sum += f64::from(u32::try_from(delta).expect("small"));
    }
    fn observe(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
    fn set(&self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        self.0.lock().insert((name, namespace_of(labels)), value);
    }
}

/// Lets the teller look once.
async fn turn(clock: &ManualClock) {
    clock.advance_ms(1_000);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn series_of_namespaces_are_bounded_and_their_sum_is_whole() {
    let rig = memory(1 << 20);
    let (cache, book, stop) = (
        service(&rig),
        Arc::new(Book::default()),
        CancellationToken::new(),
    );
    let telling = Arc::clone(&cache).tell_numbers(book.clone(), stop.clone());
    let telling = tokio::spawn(telling);
    tokio::task::yield_now().await;
    store(&cache, "n0", "k", 100, Expiry::Never).await;
    for index in 0..TOLD_NAMESPACES + 20 {
        for _ in 0..=index % 2 {
            let name = named(&format!("n{index}"));
            let read = cache.get(&call(), name, &key("k")).await;
            read.expect("reads");
        }
    }
    turn(&rig.clock).await;
    let misses = book.namespaces("plinth_cache_misses_total");
    assert_eq!(misses.len(), TOLD_NAMESPACES);
    let sum: f64 = misses.iter().map(|(_, value)| value).sum();
    assert!((sum - 179.0).abs() < 0.1, "{sum} misses");
    let others = ("(others)/(others)".to_owned(), 30.0);
    assert!(misses.contains(&others), "{misses:?}");
    let one = |name| book.namespaces(name);
    assert_eq!(
        one("plinth_cache_hits_total"),
        [("tenant/n0".to_owned(), 1.0)]
    );
    assert_eq!(one("plinth_cache_keys"), [("tenant/n0".to_owned(), 1.0)]);
    // What goes on is added, and what goes is told.
    cache
        .get(&call(), named("n0"), &key("k"))
        .await
        .expect("reads");
    let mut filled = 0;
    while cache
        .stats(&call(), named("n0"))
        .await
        .expect("counts")
        .held
        .evicted
        == 0
    {
        store(
            &cache,
            "n0",
            &format!("more-{filled}"),
            10_000,
            Expiry::Never,
        )
        .await;
        filled += 1;
    }
    turn(&rig.clock).await;
    assert_eq!(
        one("plinth_cache_hits_total"),
        [("tenant/n0".to_owned(), 2.0)]
    );
    assert!(one("plinth_cache_evicted_total")[0].1 >= 1.0);
    stop.cancel();
    telling.await.expect("ends");
}
