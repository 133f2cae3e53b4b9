//! Redis that is there and refuses under the cache, and a cluster that fails over. The table is in docs/guide-cache.md.
#![expect(
    clippy::expect_used,
    reason = "the inputs are written in the tests; a bad one is a fault of the test"
)]

mod support;

use std::time::{Duration, Instant};

use plinth_cache::RedisCache;
use plinth_cache::backend::{CacheBackend as _, Looking};
use plinth_cache::model::Condition;
use plinth_core::{Error, ErrorCode, Outcome};
use plinth_testkit::redis::{RedisCluster, RedisProcess, is_installed};

use support::*;

/// Longest wait for something that has to come, in milliseconds.
const WAIT_MS_MAX: u64 = 30_000;

async fn store_if(cache: &RedisCache, value: &[u8], condition: Condition) -> Result<i64, Error> {
    let change = put("k", value, None, condition);
    let reply = cache
        .apply(&space("shop", "orders"), vec![change], ALL)
        .await?;
    let changed = reply.answer.into_iter().next().expect("one answer")?;
    Ok(version(&changed))
}

async fn find(cache: &RedisCache) -> Result<Option<Vec<u8>>, Error> {
    let reply = cache.get(&space("shop", "orders"), &key("k")).await?;
    Ok(reply.answer.found().map(|found| found.value.bytes.to_vec()))
}

/// What a refusal says.
fn known<T: std::fmt::Debug>(refused: Result<T, Error>) -> (ErrorCode, Outcome) {
    let error = refused.expect_err("is refused");
    (error.code(), error.outcome())
}

const UNREADY: (ErrorCode, Outcome) = (ErrorCode::DependencyUnavailable, Outcome::NotApplied);

#[tokio::test]
async fn a_server_that_cannot_save_refuses_changes_whole_and_still_reads() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("save 3600 1").await.expect("starts");
    let cache = quick_redis(&server.url(), "refusals");
    let first = store_if(&cache, b"v", Condition::Always).await;
    let first = first.expect("stores");
    // Where the snapshot should be stands a directory.
    let place = server.folder().join("dump.rdb");
    std::fs::create_dir(&place).expect("is made");
    server.ask(&["BGSAVE"]).await.expect("begins");
    let failed = |text: &str| text.contains("rdb_last_bgsave_status:err");
    let failed = server.ask_until(&["INFO", "persistence"], failed).await;
    failed.expect("fails");
    let mut refused = store_if(&cache, b"w", Condition::Version(first)).await;
    // A server that forks may be silent for longer than this link waits.
    let began = Instant::now();
    while matches!(&refused, Err(error) if error.code() == ErrorCode::CacheConnection)
        && began.elapsed() < Duration::from_millis(WAIT_MS_MAX)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
        refused = store_if(&cache, b"w", Condition::Version(first)).await;
    }
    assert_eq!(known(refused), UNREADY);
    assert_eq!(find(&cache).await.expect("reads"), Some(b"v".to_vec()));
    std::fs::remove_dir(&place).expect("is removed");
    server.ask(&["BGSAVE"]).await.expect("begins");
    let saved = |text: &str| text.contains("rdb_last_bgsave_status:ok");
    let saved = server.ask_until(&["INFO", "persistence"], saved).await;
    saved.expect("saves");
    let next = store_if(&cache, b"w", Condition::Version(first)).await;
    assert!(next.expect("stores") > first);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_loading_says_so_and_serves_afterwards() {
    if !is_installed() {
        return;
    }
    // Half a millisecond for each key, and others are answered in between.
    let settings = "enable-debug-command local\nkey-load-delay 500\nloading-process-events-interval-bytes 1024";
    let server = RedisProcess::start(settings).await.expect("starts");
    let cache = quick_redis(&server.url(), "refusals");
    store_if(&cache, b"v", Condition::Always)
        .await
        .expect("stores");
    let fill = ["DEBUG", "POPULATE", "6000", "other", "100"];
    server.ask(&fill).await.expect("is filled");
    let loading = server.ask(&["DEBUG", "RELOAD"]);
    let watching = async {
        let mut refused = 0_u32;
        let began = Instant::now();
        loop {
            match find(&cache).await {
                Ok(found) => {
                    assert_eq!(found, Some(b"v".to_vec()));
                    if refused > 0 {
                        return;
                    }
                }
                Err(error) if error.code() == ErrorCode::DependencyUnavailable => {
                    let change = store_if(&cache, b"w", Condition::Absent).await;
                    if let Err(error) = change
                        && error.code() == ErrorCode::DependencyUnavailable
                    {
                        assert_eq!(error.outcome(), Outcome::NotApplied);
                        refused += 1;
                    }
                }
                // While it saves before it loads, it answers nobody.
                Err(error) => assert_eq!(error.code(), ErrorCode::CacheConnection, "{error}"),
            }
            let late = began.elapsed() > Duration::from_millis(WAIT_MS_MAX);
            assert!(!late, "refused {refused} times");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (loaded, ()) = tokio::join!(loading, watching);
    loaded.expect("is loaded");
    let stored = store_if(&cache, b"w", Condition::Always).await;
    stored.expect("stores");
}

#[tokio::test]
async fn a_user_who_may_only_read_is_refused_changes_and_no_reads() {
    if !is_installed() {
        return;
    }
    let user =
        "user reader on >secret ~* +@read +hello +ping +info +role +client +time +multi +exec";
    let server = RedisProcess::start(user).await.expect("starts");
    let writer = quick_redis(&server.url(), "refusals");
    store_if(&writer, b"v", Condition::Always)
        .await
        .expect("stores");
    let url = format!("redis://reader:secret@{}", server.address());
    let reader = quick_redis(&url, "refusals");
    assert_eq!(find(&reader).await.expect("reads"), Some(b"v".to_vec()));
    // Also many at once: that needs no script.
    let keys = ["a", "k", "b", "c"].map(key);
    let space = space("shop", "orders");
    let reads = reader.get_many(&space, &keys, Looking::Reading).await;
    let reads = reads.expect("reads").answer;
    assert_eq!(reads.iter().filter(|read| read.is_found()).count(), 1);
    assert_eq!(
        known(store_if(&reader, b"w", Condition::Always).await),
        (ErrorCode::CacheOperation, Outcome::NotApplied)
    );
    let url = format!("redis://reader:wrong@{}", server.address());
    assert_eq!(
        known(find(&quick_redis(&url, "refusals")).await),
        (ErrorCode::CacheConnection, Outcome::NotApplied)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_failovers_of_a_cluster_versions_grow_and_what_was_stored_stays() {
    if !is_installed() {
        return;
    }
    let servers = RedisCluster::start(3, 3).await.expect("starts");
    let cache = quick_redis(&servers.url(), "refusals");
    let mut last = store_if(&cache, b"0", Condition::Always).await;
    let mut last_version = last.expect("stores");
    for replica in 3..6 {
        servers.fail_over(replica).await.expect("fails over");
        let began = Instant::now();
        last = loop {
            let stored = store_if(&cache, b"1", Condition::Version(last_version)).await;
            match &stored {
                Err(error) if error.outcome() == Outcome::NotApplied && error.is_retriable() => {}
                _ => break stored,
            }
            assert!(began.elapsed() < Duration::from_millis(WAIT_MS_MAX));
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let version = last.expect("what was stored before stands");
        assert!(version > last_version, "{version} after {last_version}");
        last_version = version;
        assert_eq!(find(&cache).await.expect("reads"), Some(b"1".to_vec()));
    }
}
