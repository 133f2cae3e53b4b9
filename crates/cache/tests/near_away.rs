//! Redis that is away under a cache that may stand in for it (`cache.near.when_away`): what is told, for how long, and that
//! nothing of it outlives the recovery.
#![expect(
    clippy::expect_used,
    reason = "the inputs are written in the tests; a bad one is a fault of the test"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use plinth_cache::backend::{CacheBackend, Looking};
use plinth_cache::model::{Condition, LeaseMs, LeaseState, LeaseWhen, Read, Reply};
use plinth_cache::{EngineClock, NearCache, NearSettings, RedisCache, WhenAway};
use plinth_core::{Error, ErrorCode, ManualClock, TimestampMs};
use plinth_testkit::chaos::{Chaos, ChaosProxy};
use plinth_testkit::redis::{RedisProcess, is_installed, url_at};

use support::*;

/// Longest wait for something that has to come, in milliseconds.
const WAIT_MS_MAX: u64 = 30_000;
/// How old an answer may be while Redis is away, in milliseconds of the clock that the tests move.
const AGE_MS_MAX: u64 = 60_000;

/// An instance that stands in, on a clock that the test moves.
async fn standing_in(url: &str) -> (Arc<NearCache>, Arc<ManualClock>) {
    let clock = ManualClock::starting_at(TimestampMs(1_700_000_000_000));
    let link = quick_link(url);
    let engine_clock = EngineClock::Given(clock.clone());
    let far = RedisCache::new(link, "away", engine_clock, clock.clone());
    let settings = NearSettings {
        bytes_max: 8 * 1024 * 1024,
        max_age_ms: AGE_MS_MAX,
        when_away: WhenAway::Near,
    };
    let near = NearCache::start(far, &settings);
    until("hearing", || near.numbers().heard).await;
    (near, clock)
}

async fn set(cache: &dyn CacheBackend, name: &str, value: &str, ttl: Option<i64>) {
    let changed = try_set(cache, name, value, ttl).await;
    changed.expect("stores");
}

async fn try_set(
    cache: &dyn CacheBackend,
    name: &str,
    value: &str,
    ttl: Option<i64>,
) -> Result<(), Error> {
    let change = put(name, value.as_bytes(), ttl, Condition::Always);
    let reply = cache
        .apply(&space("shop", "orders"), vec![change], ALL)
        .await?;
    reply.answer.into_iter().next().expect("one answer")?;
    Ok(())
}

/// What a key is answered, and whether it is marked.
async fn get(cache: &dyn CacheBackend, name: &str) -> Result<(Option<String>, bool), Error> {
    let reply = cache.get(&space("shop", "orders"), &key(name)).await?;
    Ok((text(reply.answer), reply.degraded))
}

fn text(read: Read) -> Option<String> {
    let bytes = read.found()?.value.bytes;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn told(value: &str, degraded: bool) -> (Option<String>, bool) {
    (Some(value.to_owned()), degraded)
}

async fn many(
    cache: &dyn CacheBackend,
    names: &[&str],
    looking: Looking,
) -> Result<Reply<Vec<Option<String>>>, Error> {
    let keys: Vec<_> = names.iter().map(|name| key(name)).collect();
    let all = space("shop", "orders");
    let reply = cache.get_many(&all, &keys, looking);
    let texts = |reads: Vec<Read>| reads.into_iter().map(text).collect();
    Ok(reply.await?.map(texts))
}

/// Reads a key until it is kept.
async fn keep(near: &NearCache, name: &str) {
    let waiting = async {
        loop {
            let before = near.numbers().hits_total;
            get(near, name).await.expect("reads");
            if near.numbers().hits_total > before {
                return;
            }
        }
    };
    let within = Duration::from_millis(WAIT_MS_MAX);
    tokio::time::timeout(within, waiting)
        .await
        .expect("is kept");
}

fn is_away<T: std::fmt::Debug>(read: Result<T, Error>) {
    let error = read.expect_err("is refused");
    assert_eq!(error.code(), ErrorCode::CacheConnection, "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_what_was_read_last_is_told_and_marked() {
    if !is_installed() {
        return;
    }
    let mut server = RedisProcess::start("").await.expect("starts");
    let (near, clock) = standing_in(&server.url()).await;
    let ttl = i64::try_from(AGE_MS_MAX / 2).expect("fits");
    for (name, ttl) in [
        ("a", None),
        ("b", None),
        ("changed", None),
        ("short", Some(ttl)),
    ] {
        set(near.as_ref(), name, name, ttl).await;
    }
    set(near.as_ref(), "unread", "unread", None).await;
    // Read after the last of them was stored, they stood side by side.
    for name in ["a", "b", "changed", "short"] {
        keep(&near, name).await;
    }
    server.kill().await.expect("is killed");
    until("the loss", || !near.numbers().heard).await;
    assert_eq!(
        get(near.as_ref(), "a").await.expect("is told"),
        told("a", true)
    );
    assert_eq!(
        get(near.as_ref(), "short").await.expect("is told"),
        told("short", true)
    );
    is_away(get(near.as_ref(), "unread").await);
    // A batch is answered whole or not at all; who only looks decides by it and gets no old answer.
    let batch = many(near.as_ref(), &["a", "b"], Looking::Reading).await;
    let batch = batch.expect("is told");
    assert_eq!(
        (batch.answer, batch.degraded),
        (vec![Some("a".to_owned()), Some("b".to_owned())], true)
    );
    is_away(many(near.as_ref(), &["a", "unread"], Looking::Reading).await);
    is_away(many(near.as_ref(), &["a", "b"], Looking::Peeking).await);
    // A fresh value needs no lease; none can be given.
    let lease = LeaseMs::parse(None).expect("a time");
    let all = space("shop", "orders");
    let (there, unread) = (key("a"), key("unread"));
    let leased = near.get_or_lease(&all, &there, lease, LeaseWhen::Needed);
    let leased = leased.await.expect("is told");
    assert_eq!(
        (leased.answer.lease, leased.degraded),
        (LeaseState::NotNeeded, true)
    );
    let leased = near.get_or_lease(&all, &unread, lease, LeaseWhen::Needed);
    is_away(leased.await.map_err(Error::from));
    // A change of this instance ends what stood, though nobody knows whether it was made.
    is_away(try_set(near.as_ref(), "changed", "new", None).await);
    is_away(get(near.as_ref(), "changed").await);
    // Ends are kept, and so is the largest age.
    clock.advance_ms(AGE_MS_MAX / 2);
    is_away(get(near.as_ref(), "short").await);
    assert_eq!(
        get(near.as_ref(), "a").await.expect("is told"),
        told("a", true)
    );
    clock.advance_ms(AGE_MS_MAX / 2);
    is_away(get(near.as_ref(), "a").await);
    // It comes back empty: nothing is left of what stood.
    server.restart().await.expect("starts again");
    until("hearing", || near.numbers().heard).await;
    assert_eq!(get(near.as_ref(), "b").await.expect("reads"), (None, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_changed_while_the_line_was_cut_is_read_once_it_is_back() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let proxy = ChaosProxy::start(server.address()).await.expect("a proxy");
    let (near, _clock) = standing_in(&url_at(proxy.address())).await;
    let (other, _other_clock) = standing_in(&server.url()).await;
    for round in 0..5 {
        let (old, new) = (format!("{round} old"), format!("{round} new"));
        set(near.as_ref(), "k", &old, None).await;
        keep(&near, "k").await;
        let cut = if round % 2 == 0 {
            Chaos::Refuse
        } else {
            Chaos::BlackHole
        };
        proxy.set(cut);
        until("the loss", || !near.numbers().heard).await;
        set(other.as_ref(), "k", &new, None).await;
        assert_eq!(
            get(near.as_ref(), "k").await.expect("is told"),
            told(&old, true)
        );
        proxy.set(Chaos::Calm);
        until("hearing", || near.numbers().heard).await;
        let back = async {
            loop {
                match get(near.as_ref(), "k").await {
                    Ok((value, false)) => return value,
                    // The lines of reads come back after that on which changes are heard: nothing stands in any more.
                    Ok((value, true)) => assert_eq!(value, None, "outlived the recovery"),
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        };
        let within = Duration::from_millis(WAIT_MS_MAX);
        let back = tokio::time::timeout(within, back).await;
        assert_eq!(back.expect("comes back"), Some(new));
    }
}
