//! Histories of concurrent clients on Redis through a proxy that cuts connections and swallows answers: one order explains
//! everything that they were told, writes of unknown outcome included (linearizability by key).
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a bad input is a fault of the test; a run says what it checked"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use plinth_cache::backend::CacheBackend;
use plinth_cache::model::{Changed, Condition};
use plinth_cache::{CacheError, EngineClock, NearCache, NearSettings, RedisCache};
use plinth_core::{Error, ErrorCode, Outcome, SystemClock};
use plinth_redis_link::{RedisLink, RedisSettings, RedisUrl};
use plinth_testkit::chaos::{Chaos, ChaosProxy};
use plinth_testkit::linear::{
    Bounds, Recorder, Register, RegisterOp, RegisterReply, When, check_by_key,
};
use plinth_testkit::redis::{RedisProcess, is_installed, url_at};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use support::*;

const CLIENTS: u32 = 6;
/// Keys on which clients meet at one time.
const KEYS: usize = 6;
/// After so many changes a client turns to other keys: a write of unknown end may be made at any later time, and the search for
/// an order grows with each of them on one key.
const CHANGES_PER_ROUND: usize = 15;
/// Changes that each client sends in the default run; `PLINTH_LINEAR_OPERATIONS` sets the sum of all.
const OPERATIONS_DEFAULT: usize = 400;

type History = Recorder<usize, RegisterOp, RegisterReply>;

/// Reads a key so many times and changes it. Says whether the change was sent.
async fn act(
    cache: &dyn CacheBackend,
    history: &History,
    client: u32,
    round: usize,
    reads: usize,
    random: &mut StdRng,
) -> bool {
    let place = round * KEYS + random.random_range(0..KEYS);
    let (space, name) = (space("shop", "orders"), format!("k{place}"));
    let mut seen = None;
    for _ in 0..reads {
        let underway = history.begin(client, place, RegisterOp::Get);
        seen = match cache.get(&space, &key(&name)).await {
            Ok(reply) => {
                let found = reply.answer.found().map(|found| {
                    let bytes = found.value.bytes.as_ref().try_into().expect("eight bytes");
                    (u64::from_be_bytes(bytes), found.version)
                });
                underway.answered(RegisterReply::Value(found));
                found
            }
            Err(_) => {
                underway.not_applied();
                None
            }
        };
    }
    let value: u64 = random.random();
    let (operation, change) = match (random.random_range(0..10), seen) {
        (0, _) => (RegisterOp::Delete { version: None }, delete(&name, None)),
        (1, Some((_, version))) => (
            RegisterOp::Delete {
                version: Some(version),
            },
            delete(&name, Some(version)),
        ),
        (2..8, Some((_, version))) => (
            RegisterOp::Set {
                value,
                when: When::Version(version),
            },
            put(
                &name,
                &value.to_be_bytes(),
                None,
                Condition::Version(version),
            ),
        ),
        (_, None) => (
            RegisterOp::Set {
                value,
                when: When::Absent,
            },
            put(&name, &value.to_be_bytes(), None, Condition::Absent),
        ),
        _ => (
            RegisterOp::Set {
                value,
                when: When::Always,
            },
            put(&name, &value.to_be_bytes(), None, Condition::Always),
        ),
    };
    let underway = history.begin(client, place, operation);
    let reply = cache.apply(&space, vec![change], ALL).await;
    let changed = reply.and_then(|reply| reply.answer.into_iter().next().expect("one answer"));
    match changed {
        Ok(Changed::Deleted { existed }) => underway.answered(RegisterReply::Deleted { existed }),
        Ok(changed) => underway.answered(RegisterReply::Stored(version(&changed))),
        Err(CacheError::Refused { .. }) => underway.answered(RegisterReply::Refused),
        Err(error) => {
            let error = Error::from(error);
            assert_eq!(error.code(), ErrorCode::CacheConnection, "{error}");
            match error.outcome() {
                Outcome::NotApplied => {
                    underway.not_applied();
                    return false;
                }
                Outcome::Unknown => underway.unknown(),
            }
        }
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn one_order_explains_what_clients_were_told_over_cuts_and_swallowed_answers() {
    if is_installed() {
        check(1, |settings| redis(settings) as _).await;
    }
}

/// All clients on one instance: what it acknowledges no later read of it misses.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_of_one_instance_that_keeps_values_near() {
    if !is_installed() {
        return;
    }
    let shared: std::cell::OnceCell<Arc<NearCache>> = std::cell::OnceCell::new();
    let near = NearSettings {
        bytes_max: 16 * 1024 * 1024,
        ..NearSettings::default()
    };
    check(4, |settings| {
        let shared = shared.get_or_init(|| NearCache::start(redis(settings), &near));
        Arc::clone(shared) as _
    })
    .await;
    let hits = shared.get().map(|near| near.numbers().hits_total);
    assert!(hits > Some(100), "{hits:?} answers from here");
}

/// A cache on a link of its own.
fn redis(settings: &RedisSettings) -> Arc<RedisCache> {
    let link = RedisLink::start(settings).expect("starts");
    let clock = SystemClock::shared();
    RedisCache::new(link, "linear", EngineClock::Server, clock)
}

async fn check(reads: usize, cache: impl Fn(&RedisSettings) -> Arc<dyn CacheBackend>) {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = number("PLINTH_LINEAR_SEED").unwrap_or_else(rand::random);
    let operations = number("PLINTH_LINEAR_OPERATIONS").map_or(OPERATIONS_DEFAULT, |all| {
        usize::try_from(all / u64::from(CLIENTS)).expect("fits")
    });
    let server = RedisProcess::start("").await.expect("starts");
    let proxy = ChaosProxy::start(server.address()).await.expect("a proxy");
    let settings = RedisSettings {
        url: RedisUrl::new(url_at(proxy.address())),
        command_timeout_ms: 200,
        heartbeat_ms: 50,
        reconnect_first_ms: 1,
        reconnect_max_ms: 10,
        ..RedisSettings::default()
    };
    let history = Arc::new(History::default());
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let cache = cache(&settings);
        let history = Arc::clone(&history);
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(u64::from(client)));
        clients.spawn(async move {
            let mut sent = 0;
            while sent < operations {
                let round = sent / CHANGES_PER_ROUND;
                if act(cache.as_ref(), &history, client, round, reads, &mut random).await {
                    sent += 1;
                } else {
                    // No connection stands: without a pause all attempts would fall into one gap.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
    }
    let disturbing = async {
        let mut random = StdRng::seed_from_u64(seed);
        loop {
            tokio::time::sleep(Duration::from_millis(random.random_range(60..200))).await;
            proxy.cut();
            tokio::time::sleep(Duration::from_millis(random.random_range(60..200))).await;
            proxy.set(Chaos::SwallowAnswers);
            tokio::time::sleep(Duration::from_millis(5)).await;
            proxy.set(Chaos::Calm);
            proxy.cut();
        }
    };
    tokio::select! {
        () = disturbing => {}
        _ = clients.join_all() => {}
    }
    let history = Arc::into_inner(history).expect("the clients have ended");
    let proof = check_by_key(&Register, history.into_history(), Bounds::default());
    let proof = proof.unwrap_or_else(|refuted| panic!("seed {seed}: {refuted}"));
    eprintln!(
        "seed {seed}: {} answered operations of {CLIENTS} clients on {} keys, {} of unknown end",
        proof.operations, proof.keys, proof.unknown
    );
    assert!(proof.unknown > 0, "seed {seed}: nothing was disturbed");
}
