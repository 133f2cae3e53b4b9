//! Redis that fails under the cache: the error and what is known of the effect, and that everything is right again without a
//! restart. The table is in docs/guide-cache.md.
#![expect(
    clippy::expect_used,
    reason = "the inputs are written in the tests; a bad one is a fault of the test"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use plinth_cache::RedisCache;
use plinth_cache::backend::CacheBackend as _;
use plinth_cache::model::{Changed, Condition, LeaseMs, LeaseState, LeaseWhen};
use plinth_core::{Error, ErrorCode, Outcome};
use plinth_testkit::chaos::{Chaos, ChaosProxy};
use plinth_testkit::redis::{RedisProcess, RedisSentinels, is_installed, url_at};

use support::*;

/// Longest wait for something that has to come, in milliseconds.
const WAIT_MS_MAX: u64 = 20_000;

fn cache(url: &str) -> Arc<RedisCache> {
    quick_redis(url, "faults")
}

async fn store_as(cache: &RedisCache, value: &[u8], condition: Condition) -> Result<i64, Error> {
    let change = put("k", value, None, condition);
    let reply = cache
        .apply(&space("shop", "orders"), vec![change], ALL)
        .await?;
    let changed = reply.answer.into_iter().next().expect("one answer")?;
    Ok(version(&changed))
}

async fn store(cache: &RedisCache, value: &[u8]) -> Result<i64, Error> {
    store_as(cache, value, Condition::Always).await
}

async fn find(cache: &RedisCache) -> Result<Option<Vec<u8>>, Error> {
    let reply = cache.get(&space("shop", "orders"), &key("k")).await?;
    Ok(reply.answer.found().map(|found| found.value.bytes.to_vec()))
}

fn known(error: &Error) -> (ErrorCode, Outcome) {
    (error.code(), error.outcome())
}

/// Tries again until it succeeds.
async fn again<T, F>(mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, Error>>,
{
    let trying = async {
        loop {
            match attempt().await {
                Ok(done) => return done,
                // Another program's state gives no event to wait for.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let within = Duration::from_millis(WAIT_MS_MAX);
    tokio::time::timeout(within, trying)
        .await
        .expect("comes in time")
}

/// Waits until calls fail because no connection is left: from then on nothing is sent. A change that one of several
/// connections took, whose end is not known yet, says that its effect is unknown.
async fn until_away(cache: &RedisCache) {
    again(|| async {
        match store(cache, b"lost").await {
            Err(error) if error.outcome() == Outcome::NotApplied => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(Error::conflict("still there")),
        }
    })
    .await;
}

#[tokio::test]
async fn killed_and_restarted_empty_it_forgets_values_and_never_repeats_a_version() {
    if !is_installed() {
        return;
    }
    let mut server = RedisProcess::start("").await.expect("starts");
    let cache = cache(&server.url());
    let before = store(&cache, b"old").await.expect("stores");
    server.kill().await.expect("is killed");
    until_away(&cache).await;
    let refused = store(&cache, b"new").await.expect_err("is away");
    assert_eq!(
        known(&refused),
        (ErrorCode::CacheConnection, Outcome::NotApplied)
    );
    let refused = find(&cache).await.expect_err("is away");
    assert_eq!(
        known(&refused),
        (ErrorCode::CacheConnection, Outcome::NotApplied)
    );
    assert!(refused.is_retriable());
    server.restart().await.expect("starts again");
    assert_eq!(again(|| find(&cache)).await, None, "it began empty");
    let stale = store_as(&cache, b"late", Condition::Version(before)).await;
    assert_eq!(
        stale.expect_err("is stale").code(),
        ErrorCode::PreconditionFailed
    );
    let after = store(&cache, b"new").await.expect("stores");
    assert!(after > before, "versions grow over an empty restart");
}

#[tokio::test]
async fn a_write_whose_answer_is_swallowed_is_unknown_and_was_made_once() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let proxy = ChaosProxy::start(server.address()).await.expect("a proxy");
    let cache = cache(&url_at(proxy.address()));
    let first = store(&cache, b"1").await.expect("stores");
    proxy.set(Chaos::SwallowAnswers);
    let unheard = store_as(&cache, b"2", Condition::Version(first)).await;
    let unheard = unheard.expect_err("is not heard");
    assert_eq!(
        known(&unheard),
        (ErrorCode::CacheConnection, Outcome::Unknown)
    );
    proxy.set(Chaos::Calm);
    proxy.cut();
    assert_eq!(
        again(|| find(&cache)).await,
        Some(b"2".to_vec()),
        "it was made"
    );
    let again = store_as(&cache, b"2", Condition::Version(first)).await;
    assert_eq!(
        again.expect_err("was made once").code(),
        ErrorCode::PreconditionFailed
    );
}

/// The default run cuts for one second; `PLINTH_TEST_LONG=1` for the ten of the specification.
#[tokio::test]
async fn a_cut_line_refuses_fast_and_heals_with_what_was_stored() {
    if !is_installed() {
        return;
    }
    let long = std::env::var_os("PLINTH_TEST_LONG").is_some();
    let cut = Duration::from_millis(if long { 10_000 } else { 1_000 });
    let server = RedisProcess::start("").await.expect("starts");
    let proxy = ChaosProxy::start(server.address()).await.expect("a proxy");
    let cache = cache(&url_at(proxy.address()));
    store(&cache, b"kept").await.expect("stores");
    proxy.set(Chaos::BlackHole);
    let since = std::time::Instant::now();
    let lost = store(&cache, b"lost").await.expect_err("is not heard");
    assert_eq!(known(&lost), (ErrorCode::CacheConnection, Outcome::Unknown));
    until_away(&cache).await;
    while since.elapsed() < cut {
        let asked = std::time::Instant::now();
        let refused = store(&cache, b"refused").await.expect_err("is away");
        assert_eq!(refused.outcome(), Outcome::NotApplied);
        assert!(
            asked.elapsed() < Duration::from_millis(400),
            "refuses without waiting"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    proxy.set(Chaos::Calm);
    proxy.cut();
    assert_eq!(again(|| find(&cache)).await, Some(b"kept".to_vec()));
    store(&cache, b"new").await.expect("stores");
}

#[tokio::test]
async fn full_it_refuses_changes_whole_and_still_reads() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let (cache, space) = (cache(&server.url()), space("shop", "orders"));
    store(&cache, b"v").await.expect("stores");
    let full = ["CONFIG", "SET", "maxmemory", "1"];
    server.ask(&full).await.expect("is full");
    let batch = vec![
        put("a", b"1", None, Condition::Always),
        put("b", b"2", None, Condition::Always),
    ];
    let refused = cache.apply(&space, batch, ALL).await.expect_err("is full");
    let refused = Error::from(refused);
    assert_eq!(
        known(&refused),
        (ErrorCode::Overloaded, Outcome::NotApplied)
    );
    assert!(refused.message().contains("memory"), "{refused}");
    assert_eq!(find(&cache).await.expect("reads"), Some(b"v".to_vec()));
    let lease = LeaseMs::parse(None).expect("a time");
    let leased = cache
        .get_or_lease(&space, &key("k"), lease, LeaseWhen::Needed)
        .await
        .expect("reads");
    assert_eq!(
        leased.answer.lease,
        LeaseState::NotNeeded,
        "a fresh value needs no write"
    );
    server
        .ask(&["CONFIG", "SET", "maxmemory", "0"])
        .await
        .expect("has room");
    assert_eq!(
        server
            .ask(&["--raw", "KEYS", "*:e:*"])
            .await
            .expect("answers")
            .lines()
            .count(),
        1
    );
    store(&cache, b"w").await.expect("stores");
}

#[tokio::test]
async fn read_only_it_refuses_changes_whole_and_still_reads() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let cache = cache(&server.url());
    store(&cache, b"v").await.expect("stores");
    server
        .ask(&["REPLICAOF", "127.0.0.1", "1"])
        .await
        .expect("follows nobody");
    let refused = store(&cache, b"w").await.expect_err("takes no writes");
    let expected = (ErrorCode::DependencyUnavailable, Outcome::NotApplied);
    assert_eq!(known(&refused), expected);
    assert_eq!(find(&cache).await.expect("reads"), Some(b"v".to_vec()));
    server
        .ask(&["REPLICAOF", "NO", "ONE"])
        .await
        .expect("is its own");
    store(&cache, b"w").await.expect("stores");
}

#[tokio::test]
async fn over_a_failover_versions_grow_and_an_old_one_never_matches() {
    if !is_installed() {
        return;
    }
    let mut group = RedisSentinels::start(1).await.expect("starts");
    let cache = cache(&group.url());
    let first = store(&cache, b"1").await.expect("stores");
    let replica =
        group.servers[1].ask_until(&["EXISTS", "faults:{shop:orders}:e:k"], |text| text == "1");
    replica.await.expect("is replicated");
    // What comes now is lost with the primary: its replica hears nothing any more.
    group.servers[1].pause().await.expect("is paused");
    let lost = store(&cache, b"lost").await.expect("stores");
    group.servers[0].kill().await.expect("is killed");
    group.servers[1].resume().await.expect("goes on");
    group.wait_for_another_than(0).await.expect("is replaced");
    let found = again(|| async {
        // The replica may still be told, before it notices, what was sent while it slept.
        store_as(&cache, b"2", Condition::Present).await
    })
    .await;
    assert!(found > lost && found > first, "no version is given twice");
    for old in [first, lost] {
        let stale = store_as(&cache, b"3", Condition::Version(old)).await;
        assert_eq!(
            stale.expect_err("is stale").code(),
            ErrorCode::PreconditionFailed
        );
    }
    assert_eq!(find(&cache).await.expect("reads"), Some(b"2".to_vec()));
}

#[tokio::test]
async fn it_need_not_be_there_at_the_start() {
    if !is_installed() {
        return;
    }
    let mut server = RedisProcess::start("").await.expect("starts");
    server.kill().await.expect("is killed");
    let cache = cache(&server.url());
    let refused = store(&cache, b"v").await.expect_err("is away");
    assert_eq!(
        known(&refused),
        (ErrorCode::CacheConnection, Outcome::NotApplied)
    );
    server.restart().await.expect("starts");
    again(|| store(&cache, b"v")).await;
}

/// The books follow what the server evicts by itself, and an evicted stamp makes its entries invalid, never valid again.
#[tokio::test]
async fn lost_bookkeeping_makes_entries_absent() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let (cache, space) = (cache(&server.url()), space("shop", "orders"));
    let tagged = plinth_cache::model::Put {
        tags: tags(&["x"]),
        ..plain(b"v")
    };
    let stored = cache
        .apply(&space, vec![support::store("k", tagged)], ALL)
        .await;
    stored.expect("stores");
    assert!(find(&cache).await.expect("reads").is_some());
    server
        .ask(&["DEL", "faults:{shop:orders}:t:x"])
        .await
        .expect("loses a stamp");
    assert_eq!(find(&cache).await.expect("reads"), None);
    let other = put("other", b"v", None, Condition::Always);
    let reply = cache
        .apply(&space, vec![other], ALL)
        .await
        .expect("answers");
    assert!(matches!(reply.answer[0], Ok(Changed::Stored(_))));
    server
        .ask(&["DEL", "faults:{shop:orders}:c"])
        .await
        .expect("loses the line");
    let reply = cache.get(&space, &key("other")).await.expect("reads");
    assert!(!reply.answer.is_found(), "what was before the line is gone");
    let new = put("new", b"v", None, Condition::Always);
    cache.apply(&space, vec![new], ALL).await.expect("stores");
    let reply = cache.get(&space, &key("other")).await.expect("reads");
    assert!(!reply.answer.is_found(), "and stays so");
}

/// The rights that docs/guide-cache.md names, and no other.
#[tokio::test]
async fn a_user_with_the_documented_rights_may_do_everything() {
    if !is_installed() {
        return;
    }
    let guide = include_str!("../../../docs/guide-cache.md");
    let rights = guide
        .split_once("The user needs the commands")
        .expect("is there")
        .1;
    let rights = rights.split_once("on keys").expect("ends").0;
    let words = rights
        .split('`')
        .skip(1)
        .step_by(2)
        .flat_map(str::split_whitespace);
    let rights = words.map(|word| {
        // ASKING and CLUSTER are known to a single server as well.
        format!("+{}", word.to_ascii_lowercase())
    });
    let mut order: Vec<String> = ["ACL", "SETUSER", "least", "on", ">pw", "~faults:*", "-@all"]
        .map(ToOwned::to_owned)
        .to_vec();
    order.extend(rights);
    let server = RedisProcess::start("").await.expect("starts");
    let order: Vec<&str> = order.iter().map(String::as_str).collect();
    server.ask(&order).await.expect("makes the user");
    let (cache, space) = (
        cache(&format!("redis://least:pw@{}", server.address())),
        space("shop", "orders"),
    );
    store(&cache, b"v").await.expect("stores");
    let sliding = plinth_cache::model::Put {
        tags: tags(&["x"]),
        life: plinth_cache::model::Life {
            idle: Some(ttl(1_000)),
            ..life(Some(10_000))
        },
        ..plain(b"v")
    };
    let changes = vec![
        support::store("sliding", sliding),
        expire("k", Some(9_000)),
        touch("none", life(None)),
    ];
    let batch = cache
        .apply(&space, changes, EACH)
        .await
        .expect("answers")
        .answer;
    assert!(batch.iter().all(Result::is_ok), "{batch:?}");
    let appended = plinth_cache::model::Append {
        bytes: b"more"[..].into(),
        content_type: plinth_cache::model::ContentType::default(),
        condition: Condition::Always,
        created: life(None),
        renewed: None,
    };
    let append = plinth_cache::model::Change {
        key: key("k"),
        kind: plinth_cache::model::ChangeKind::Append(appended),
    };
    cache
        .apply(&space, vec![append], ALL)
        .await
        .expect("appends");
    let found = cache.get(&space, &key("sliding")).await.expect("reads");
    assert!(found.answer.is_found());
    let lease = LeaseMs::parse(None).expect("a time");
    let leased = cache
        .get_or_lease(&space, &key("l"), lease, LeaseWhen::Needed)
        .await
        .expect("leases");
    let LeaseState::Granted { token } = leased.answer.lease else {
        panic!("is not granted");
    };
    assert!(
        cache
            .end_lease(&space, &key("l"), token)
            .await
            .expect("ends")
    );
    let fence = plinth_core::Fence::parse("f", 7).expect("a fence");
    cache
        .invalidate_tags(&space, tags(&["x"]), Some(fence))
        .await
        .expect("invalidates");
    let scan = plinth_cache::model::Scan {
        prefix: plinth_cache::model::KeyPrefix::default(),
        place: None,
        limit: plinth_cache::model::ScanLimit::parse(None).expect("a limit"),
    };
    assert_eq!(
        cache.scan(&space, scan).await.expect("walks").items.len(),
        1
    );
    assert_eq!(cache.stats(&space).await.expect("counts").keys, 1);
    for _ in 0..2 {
        store(&cache, b"v").await.expect("stores");
        cache.clear(&space, None).await.expect("clears");
    }
    assert_eq!(cache.stats(&space).await.expect("counts").keys, 0);
}
