//! Locks in Redis beside their own scripts: pairs of acquire and release by the service, and the same script calls with the same
//! keys and texts straight over the same link, in turns, with a Redis of this run's own.
//!
//! `cargo bench -p plinth-lock --bench redis -- [workers] [pairs] [rounds]` (50 workers, 20,000 pairs, 5 rounds where not told
//! otherwise). Every worker has a lock of its own, so that nothing waits but for Redis.

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]
#![expect(clippy::expect_used, reason = "a bench ends where something fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use plinth_core::{CallContext, MetricSink, SharedClock, SystemClock};
use plinth_lock::backend::redis::RedisLocks;
use plinth_lock::backend::shared::{SharedBackend, SharedOptions};
use plinth_lock::model::{AcquireRequest, LockAsk, LockClaim, ReleaseRequest};
use plinth_lock::{LockService, LockServiceParts, Wakes};
use plinth_redis_link::{Answer, RedisLink, RedisSettings, RedisUrl, Script, Slot, cmd, slot_of};
use plinth_store::epochs::MemoryEpochs;
use plinth_testkit::calls::call_of;
use plinth_testkit::redis::RedisProcess;

const TENANT: &str = "bench";
const PREFIX: &str = "locks";
/// What all keys begin with.
const KEYS: &str = "{locks.lock}:";
/// How long a lease lasts, in milliseconds.
const LEASE_MS: i64 = 60_000;

/// Nobody listens to numbers here.
struct NoMetrics;

impl MetricSink for NoMetrics {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}
    fn observe(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
    fn set(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
}

fn context() -> CallContext {
    call_of(TENANT, "lock.acquire").expect("a tenant")
}

/// A pair by the service.
async fn by_service(service: &LockService, lock: &str) {
    let asked = AcquireRequest {
        locks: vec![LockAsk {
            lock: lock.to_owned(),
            ..LockAsk::default()
        }],
        owner: "worker".to_owned(),
        lease_ms: Some(LEASE_MS),
        ..AcquireRequest::default()
    };
    let granted = service.acquire(&context(), asked).await.expect("is free");
    let claims = granted.grants.iter().map(|grant| LockClaim {
        lock: grant.lock.clone(),
        token: grant.token,
        ..LockClaim::default()
    });
    let release = ReleaseRequest {
        owner: "worker".to_owned(),
        claims: claims.collect(),
    };
    let released = service.release(&context(), release).await;
    let items = released.expect("is held").items;
    assert!(items.iter().all(|item| item.code.is_none()), "{items:?}");
}

/// The scripts, and what they are given.
struct Direct {
    link: Arc<RedisLink>,
    slot: Slot,
    take: Script,
    read: Script,
    replace: Script,
    epoch: i64,
    counter: AtomicI64,
    held: String,
    free: String,
}

impl Direct {
    /// The scripts of the backend, with the texts that the service writes.
    async fn new(link: &Arc<RedisLink>, service: &LockService) -> Self {
        let slot = slot_of(KEYS.as_bytes());
        let asked = AcquireRequest {
            locks: vec![LockAsk {
                lock: "probe".to_owned(),
                ..LockAsk::default()
            }],
            owner: "worker".to_owned(),
            lease_ms: Some(LEASE_MS),
            ..AcquireRequest::default()
        };
        service.acquire(&context(), asked).await.expect("is free");
        let held = field(link, slot, &format!("r:{TENANT}/probe"), "record").await;
        by_service(service, "other").await;
        let free = field(link, slot, &format!("r:{TENANT}/other"), "record").await;
        let number = |text: String| text.parse().expect("a number");
        let reign = include_str!("../src/backend/redis/scripts/reign.lua");
        let take = include_str!("../src/backend/redis/scripts/take.lua");
        let read = include_str!("../src/backend/redis/scripts/read.lua");
        let replace = include_str!("../src/backend/redis/scripts/replace.lua");
        Self {
            link: Arc::clone(link),
            slot,
            take: Script::new(&[reign, take]),
            read: Script::reading(&[reign, read]),
            replace: Script::frugal(&[reign, replace]),
            epoch: number(field(link, slot, "reign", "epoch").await),
            // Far above what the service has given and will give in this run.
            counter: AtomicI64::new(1 << 30),
            held,
            free,
        }
    }

    async fn call(&self, script: &Script, keys: &[String], args: &[&str]) -> Answer {
        let keys: Vec<_> = keys.iter().map(|key| key.as_bytes()).collect();
        let args: Vec<_> = args.iter().map(|arg| arg.as_bytes()).collect();
        let answer = self.link.eval(self.slot, script, &keys, &args).await;
        Answer::of(redis_array(answer.expect("Redis answers"))).expect("an array")
    }

    /// A pair by the scripts alone.
    async fn pair(&self, lock: &str) {
        let member = format!("{TENANT}/{lock}");
        let record = format!("{KEYS}r:{member}");
        let of = |name: &str| format!("{KEYS}{name}");
        let (reign, free) = (of("reign"), of("free"));
        let (busy, waiting, listed) = (of("b:bench"), of("w:bench"), of("l:bench"));
        let taking = [record.clone(), reign.clone(), free.clone(), busy.clone()];
        let args = [member.as_str(), "1", self.free.as_str(), "60000"];
        let mut taken = self.call(&self.take, &taking, &args).await;
        for _ in 0..5 {
            taken.value().expect("a part");
        }
        let stamp = taken.text().expect("a stamp");
        let counter = self.counter.fetch_add(1, Ordering::Relaxed);
        let (epoch, counted) = (self.epoch.to_string(), counter.to_string());
        let token = ((self.epoch << 40) | counter).to_string();
        let due = "4000000000000";
        let replacing = [
            record.clone(),
            reign,
            of("due"),
            free,
            busy,
            waiting,
            listed,
        ];
        let grant = [
            member.as_str(),
            lock,
            stamp.as_str(),
            "2",
            "101",
            &token,
            &epoch,
            &counted,
            due,
            &self.held,
        ];
        self.done(&replacing, &grant).await;
        self.call(&self.read, &[record], &[]).await;
        let release = [
            member.as_str(),
            lock,
            "2",
            "1",
            "001",
            &token,
            &epoch,
            &counted,
            due,
            &self.free,
        ];
        self.done(&replacing, &release).await;
    }

    async fn done(&self, keys: &[String], args: &[&str]) {
        let mut answer = self.call(&self.replace, keys, args).await;
        assert_eq!(
            answer.integer().expect("a number"),
            1,
            "the record was replaced"
        );
    }
}

/// One value as an array of one.
fn redis_array(value: plinth_redis_link::Value) -> plinth_redis_link::Value {
    match value {
        array @ plinth_redis_link::Value::Array(_) => array,
        one => plinth_redis_link::Value::Array(vec![one]),
    }
}

async fn field(link: &RedisLink, slot: Slot, key: &str, name: &str) -> String {
    let mut get = cmd("HMGET");
    get.arg(format!("{KEYS}{key}")).arg(name);
    let answer = link.run(slot, &get).await.expect("Redis answers");
    let mut answer = Answer::of(answer).expect("an array");
    answer.text().expect("is there")
}

/// Pairs a second.
async fn rate<F, Fut>(workers: u64, pairs: u64, pair: F) -> f64
where
    F: Fn(String) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let left = Arc::new(AtomicU64::new(pairs));
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for worker in 0..workers {
        let (left, pair) = (Arc::clone(&left), pair.clone());
        running.spawn(async move {
            let take = |left: u64| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                pair(format!("lock:{worker}")).await;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("no panic");
    }
    f64::from(u32::try_from(pairs).unwrap_or(u32::MAX)) / began.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<u64>().ok());
    let workers = numbers.next().unwrap_or(50).max(1);
    let pairs = numbers.next().unwrap_or(20_000).max(1);
    let rounds = numbers.next().unwrap_or(5).max(1);
    let redis = RedisProcess::start("").await.expect("Redis is installed");
    let settings = RedisSettings {
        url: RedisUrl::new(redis.url()),
        ..RedisSettings::default()
    };
    let link = RedisLink::start(&settings).expect("starts");
    let (clock, wakes): (SharedClock, _) = (SystemClock::shared(), Arc::new(Wakes::default()));
    let epochs = Arc::new(MemoryEpochs::default());
    let locks = RedisLocks::start(Arc::clone(&link), PREFIX, epochs, &wakes);
    let backend = SharedBackend::new(SharedOptions {
        name: "redis",
        changes: Some(locks.changes()),
        records: locks,
        clock: Arc::clone(&clock),
        epochs: None,
        wakes: Arc::clone(&wakes),
        locks_per_tenant_max: 10_000,
    });
    let service = LockService::start(LockServiceParts {
        backend: Arc::new(backend),
        wakes,
        clock,
        metrics: Arc::new(NoMetrics),
    });
    let direct = Arc::new(Direct::new(&link, &service).await);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let (service, direct) = (service.clone(), Arc::clone(&direct));
        ours.push(
            rate(workers, pairs, move |lock| {
                let service = service.clone();
                async move { by_service(&service, &lock).await }
            })
            .await,
        );
        theirs.push(
            rate(workers, pairs, move |lock| {
                let direct = Arc::clone(&direct);
                async move { direct.pair(&lock).await }
            })
            .await,
        );
        println!("round {round} of {rounds}");
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!("{workers} workers, {pairs} pairs, medians of {rounds} rounds");
    println!("acquire and release by the service: {ours:.0} pairs/s");
    println!("the same scripts straight:          {theirs:.0} pairs/s");
    println!("ratio {:.2}", ours / theirs);
    service.close().await;
}
