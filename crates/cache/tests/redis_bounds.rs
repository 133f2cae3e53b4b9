//! What one call may make of Redis: bytes of a batch of reads, open leases of a namespace.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the inputs are written in the tests; a bad one is a fault of the test"
)]

mod support;

use std::sync::Arc;

use plinth_cache::backend::{CacheBackend, Looking};
use plinth_cache::model::{
    BATCH_READ_BYTES_MAX, Key, LeaseMs, LeaseState, LeaseWhen, Life, Put, Read, Space,
};
use plinth_cache::{CacheError, EngineClock, NearCache, NearSettings, RedisCache};
use plinth_core::{Error, ErrorCode, SystemClock};
use plinth_testkit::redis::{RedisCluster, RedisProcess, is_installed};

use support::*;

/// Bytes of each value.
const MIB: usize = 1024 * 1024;
/// Values that may be read together.
const FITTING: usize = BATCH_READ_BYTES_MAX / MIB;
/// Most open leases of a namespace, as docs/guide-cache.md has it.
const LEASES_MAX: usize = 100_000;

fn names(count: usize) -> Vec<Key> {
    (0..count)
        .map(|number| key(&format!("k{number}")))
        .collect()
}

fn far(server: &Servers) -> Arc<RedisCache> {
    redis_cache(&server.url, EngineClock::Server, SystemClock::shared())
}

/// Servers of the test's own.
struct Servers {
    url: String,
    all: Vec<RedisProcess>,
}

async fn deployments() -> [Servers; 2] {
    let single = RedisProcess::start("").await.expect("starts");
    let cluster = RedisCluster::start(2, 0).await.expect("starts");
    [
        Servers {
            url: single.url(),
            all: vec![single],
        },
        Servers {
            url: cluster.url(),
            all: cluster.servers,
        },
    ]
}

impl Servers {
    /// Asks the one that has the key.
    async fn ask_owner(&self, order: &[&str]) {
        let mut answers = Vec::new();
        for server in &self.all {
            match server.ask(order).await {
                Ok(answer) if !answer.contains("MOVED") => return,
                other => answers.push(other),
            }
        }
        panic!("nobody took it: {answers:?}");
    }
}

/// Bytes that the servers have sent to all clients.
async fn sent_bytes(servers: &Servers) -> usize {
    let mut sent = 0;
    for server in &servers.all {
        let text = server.ask(&["INFO", "stats"]).await.expect("answers");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        let bytes = line.expect("is counted").trim().parse::<usize>();
        sent += bytes.expect("a number");
    }
    sent
}

/// Values around the length up to which they are read without being measured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_reads_tells_values_whole_whatever_their_length() {
    if !is_installed() {
        return;
    }
    for servers in deployments().await {
        let cache = far(&servers);
        // 16 MiB by 1,000 items, and the longest head; an entry has a head of 112 bytes.
        for length in 18_995..19_010 {
            let space = space("shop", &format!("of-{length}"));
            let keys = names(5);
            store_each(&*cache, &space, &keys[..3], &plain(b"short")).await;
            store_each(&*cache, &space, &keys[3..4], &plain(&vec![7; length])).await;
            for _ in 0..2 {
                let reads = many(&*cache, &space, &keys, Looking::Reading).await;
                let reads = reads.expect("fits").into_iter().map(Read::found);
                let lengths: Vec<_> = reads
                    .map(|found| found.map(|found| found.value.bytes.len()))
                    .collect();
                let short = Some(5);
                assert_eq!(lengths, [short, short, short, Some(length), None]);
            }
        }
    }
}

async fn many(
    backend: &dyn CacheBackend,
    space: &Space,
    keys: &[Key],
    looking: Looking,
) -> Result<Vec<Read>, Error> {
    let reply = backend.get_many(space, keys, looking).await?;
    Ok(reply.answer)
}

async fn store_each(backend: &dyn CacheBackend, space: &Space, keys: &[Key], put: &Put<Life>) {
    for key in keys {
        let change = store(key.as_str(), put.clone());
        backend
            .apply(space, vec![change], ALL)
            .await
            .expect("stores");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_reads_that_is_too_large_is_refused_before_it_is_sent() {
    if !is_installed() {
        return;
    }
    for servers in deployments().await {
        a_batch_that_is_too_large(&servers).await;
    }
}

async fn a_batch_that_is_too_large(server: &Servers) {
    let (cache, space) = (far(server), space("shop", "orders"));
    let (keys, large) = (names(2 * FITTING), plain(&vec![7; MIB]));
    store_each(&*cache, &space, &keys, &large).await;
    let before = sent_bytes(server).await;
    let refused = many(&*cache, &space, &keys, Looking::Reading).await;
    let error = refused.map(|reads| reads.len()).expect_err("is refused");
    assert_eq!(
        (error.code(), error.violations()[0].field.as_str()),
        (ErrorCode::TooLarge, "keys")
    );
    let told = (2 * FITTING * MIB).to_string();
    assert!(error.to_string().contains(&told), "{error}");
    // Who only looks is told what is there.
    let near = NearCache::start(
        Arc::clone(&cache),
        &NearSettings {
            bytes_max: 64 * 1024 * 1024,
            max_age_ms: 3_600_000,
            ..NearSettings::default()
        },
    );
    while !near.numbers().heard {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let looked = many(&*near, &space, &keys, Looking::Peeking).await;
    assert!(looked.expect("looks").iter().all(Read::is_found));
    let sent = sent_bytes(server).await - before;
    assert!(sent < MIB, "{sent} bytes were sent");
    // What came without its bytes was not kept for readers.
    for backend in [&*near as &dyn CacheBackend, &*cache] {
        let reads = many(backend, &space, &keys[..FITTING], Looking::Reading).await;
        for read in reads.expect("fits") {
            assert_eq!(read.found().expect("is there").value.bytes.len(), MIB);
        }
    }
    // One byte more is too much.
    store_each(&*cache, &space, &names(1), &plain(&vec![7; MIB + 1])).await;
    let refused = many(&*cache, &space, &keys[..FITTING], Looking::Reading).await;
    let error = refused.map(|reads| reads.len()).expect_err("is refused");
    let told = (FITTING * MIB + 1).to_string();
    assert!(error.to_string().contains(&told), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_gone_does_not_count_in_a_batch_of_reads() {
    if !is_installed() {
        return;
    }
    for servers in deployments().await {
        what_is_gone_does_not_count(&servers).await;
    }
}

async fn what_is_gone_does_not_count(server: &Servers) {
    let (cache, space) = (far(server), space("shop", "orders"));
    let keys = names(2 * FITTING);
    let tagged = Put {
        tags: tags(&["old"]),
        ..plain(&vec![7; MIB])
    };
    store_each(&*cache, &space, &keys, &tagged).await;
    cache
        .invalidate_tags(&space, tags(&["old"]), None)
        .await
        .expect("invalidates");
    let small = Put {
        tags: tags(&["new"]),
        ..plain(b"v")
    };
    store_each(&*cache, &space, &keys[..1], &small).await;
    let reads = many(&*cache, &space, &keys, Looking::Reading).await;
    let reads = reads.expect("fits");
    let found = reads.iter().filter(|read| read.is_found()).count();
    assert_eq!((found, reads.len()), (1, keys.len()));
}

async fn lease(cache: &RedisCache, space: &Space, name: &str) -> Result<LeaseState, CacheError> {
    let ms = LeaseMs::parse(Some(60_000)).expect("a time");
    let leased = cache
        .get_or_lease(space, &key(name), ms, LeaseWhen::Needed)
        .await?;
    Ok(leased.answer.lease)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_has_so_many_open_leases_and_no_more() {
    if !is_installed() {
        return;
    }
    for servers in deployments().await {
        so_many_open_leases(&servers).await;
    }
}

async fn so_many_open_leases(server: &Servers) {
    let (cache, space) = (quick_redis(&server.url, "bounds"), space("shop", "orders"));
    let granted = |leased: Result<LeaseState, CacheError>| match leased.expect("leases") {
        LeaseState::Granted { token } => token,
        other => panic!("{other:?}"),
    };
    let refused = |leased: Result<LeaseState, CacheError>| {
        let error = Error::from(leased.expect_err("is refused"));
        assert_eq!(error.code(), ErrorCode::Overloaded, "{error}");
        assert!(error.to_string().contains("100000 open leases"), "{error}");
    };
    // Others hold all but two of the places, and the first of them for so long as nothing here ends.
    let fill = "local rows = {} \
        for n = 1, tonumber(ARGV[1]) do \
          rows[#rows + 1] = ARGV[2] rows[#rows + 1] = 'other' .. n \
          if #rows == 2000 or n == tonumber(ARGV[1]) then redis.call('ZADD', KEYS[1], unpack(rows)) rows = {} end \
        end return 1";
    let others = |count: usize, ends: &'static str| {
        let count = count.to_string();
        async move {
            let books = "bounds:{shop:orders}:q";
            let order = ["EVAL", fill, "1", books, &count, ends];
            server.ask_owner(&order).await;
        }
    };
    others(LEASES_MAX - 2, "9000000000000").await;
    let first = granted(lease(&cache, &space, "first").await);
    let second = granted(lease(&cache, &space, "second").await);
    refused(lease(&cache, &space, "third").await);
    // A lease that is held is told, whatever the number.
    let held = lease(&cache, &space, "second").await.expect("is told");
    assert!(matches!(held, LeaseState::Held { token, .. } if token == second));
    // Each way to end one makes room for one.
    let fill = Put {
        lease: Some(first),
        ..plain(b"v")
    };
    store_each(&*cache, &space, &[key("first")], &fill).await;
    granted(lease(&cache, &space, "third").await);
    refused(lease(&cache, &space, "fourth").await);
    let ended = cache.end_lease(&space, &key("second"), second).await;
    assert!(ended.expect("ends"));
    granted(lease(&cache, &space, "fourth").await);
    let deleted = vec![delete("fourth", None)];
    cache.apply(&space, deleted, ALL).await.expect("deletes");
    granted(lease(&cache, &space, "fifth").await);
    refused(lease(&cache, &space, "sixth").await);
    // So do those whose time has come, and a clear.
    others(LEASES_MAX - 2, "1").await;
    granted(lease(&cache, &space, "sixth").await);
    others(LEASES_MAX - 2, "9000000000000").await;
    refused(lease(&cache, &space, "seventh").await);
    cache.clear(&space, None).await.expect("clears");
    granted(lease(&cache, &space, "seventh").await);
}
