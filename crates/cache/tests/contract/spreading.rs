//! Namespaces that are spread: what holds for one partition, what is no one step over several, and where the keys lie.

use std::collections::BTreeSet;
use std::sync::Arc;

use plinth_cache::backend::{CacheBackend, Looking};
use plinth_cache::model::{
    BATCH_READ_BYTES_MAX, Condition, Key, KeyPrefix, PARTITIONS, Placement, Quota, Scan, ScanLimit,
    ScanPlace, Space,
};
use plinth_cache::{EngineClock, RedisCache};
use plinth_core::{Error, ErrorCode, Fence, Outcome, SystemClock};
use plinth_redis_link::{RedisLink, RedisSettings, RedisUrl, Value, cmd, slot_of};

use crate::support::*;

/// Bytes of each large value.
const MIB: usize = 1024 * 1024;

fn spread_space() -> Space {
    let mut space = space("shop", "orders");
    space.policy.placement = Placement::Spread;
    space
}

/// So many keys with their partitions, which are several.
fn names(count: usize) -> Vec<Key> {
    let keys: Vec<Key> = (0..count).map(|index| key(&format!("k{index}"))).collect();
    let space = spread_space();
    let parts: BTreeSet<_> = keys.iter().map(|key| space.partition_of(key)).collect();
    assert!(count < 2 || parts.len() > 1);
    keys
}

/// Deployments of Redis whose namespaces are spread.
fn spread_rigs() -> impl Iterator<Item = (&'static str, Rig)> {
    let rigs = backends().into_iter();
    rigs.filter(|(name, _)| name.contains("spread"))
}

#[tokio::test]
async fn a_batch_over_partitions_is_made_each_alone_or_refused_whole() {
    for (name, rig) in spread_rigs() {
        let (space, keys) = (spread_space(), names(300));
        let changes = |value: &[u8]| {
            let each = keys.iter().enumerate().map(|(index, key)| {
                let condition = match index % 3 {
                    0 => Condition::Present,
                    _ => Condition::Always,
                };
                put(key.as_str(), value, None, condition)
            });
            each.collect::<Vec<_>>()
        };
        let refused = rig.backend.apply(&space, changes(b"1"), ALL).await;
        let refused = Error::from(refused.expect_err("is refused"));
        assert_eq!(refused.code(), ErrorCode::Unsupported, "{name}");
        assert_eq!(refused.violations()[0].field, "items[1].key", "{name}");
        let found = peek(&rig, &space, &keys).await;
        assert!(found.iter().all(|read| !read.is_found()), "{name}");
        let made = rig.backend.apply(&space, changes(b"2"), EACH).await;
        for (index, made) in made.expect("answers").answer.into_iter().enumerate() {
            match made {
                Ok(_) => assert_ne!(index % 3, 0, "{name}"),
                Err(error) => {
                    assert_eq!(index % 3, 0, "{name}");
                    let field = format!("items[{index}].condition");
                    assert_eq!(Error::from(error).violations()[0].field, field, "{name}");
                }
            }
        }
        let found = peek(&rig, &space, &keys).await;
        for (index, read) in found.iter().enumerate() {
            assert_eq!(read.is_found(), index % 3 != 0, "{name}: k{index}");
        }
        let together = ["{A-1}", "{A-1}:state", "x{A-1}"];
        let batch = together.map(|key| put(key, b"v", None, Condition::Absent));
        let made = rig.backend.apply(&space, batch.to_vec(), ALL).await;
        assert_eq!(made.expect("stores").answer.len(), 3, "{name}");
    }
}

#[tokio::test]
async fn a_batch_of_reads_over_partitions_hands_over_no_more_than_one_of_a_partition() {
    for (name, rig) in spread_rigs() {
        let (space, keys) = (spread_space(), names(20));
        let fitting = BATCH_READ_BYTES_MAX / MIB;
        for (index, key) in keys.iter().enumerate() {
            let value = vec![u8::try_from(index).expect("fits"); MIB];
            let change = put(key.as_str(), &value, None, Condition::Always);
            apply(&rig, &space, change).await.expect("stores");
        }
        let read = rig
            .backend
            .get_many(&space, &keys[..fitting], Looking::Reading);
        for (index, read) in read.await.expect("fits").answer.into_iter().enumerate() {
            let value = read.found().expect("is there").value.bytes;
            assert_eq!((value.len(), usize::from(value[0])), (MIB, index), "{name}");
        }
        let refused = rig.backend.get_many(&space, &keys, Looking::Reading).await;
        let refused = Error::from(refused.expect_err("is too large"));
        assert_eq!(refused.code(), ErrorCode::TooLarge, "{name}");
        let told = (keys.len() * MIB).to_string();
        assert!(refused.to_string().contains(&told), "{name}: {refused}");
        assert!(
            peek(&rig, &space, &keys)
                .await
                .iter()
                .all(|read| read.is_found())
        );
    }
}

#[tokio::test]
async fn a_clear_and_an_invalidation_tell_a_version_above_all_before_and_below_all_after() {
    for (name, rig) in spread_rigs() {
        let (space, keys) = (spread_space(), names(200));
        let store_all = || async {
            let mut versions = Vec::new();
            for key in &keys {
                let put = plinth_cache::model::Put {
                    tags: tags(&["x"]),
                    ..plain(b"v")
                };
                let stored = apply(&rig, &space, store(key.as_str(), put)).await;
                versions.push(version(&stored.expect("stores")));
            }
            versions
        };
        let before = store_all().await;
        let cleared = rig.backend.clear(&space, None).await.expect("clears");
        let between = store_all().await;
        let invalidated = rig.backend.invalidate_tags(&space, tags(&["x"]), None);
        let invalidated = invalidated.await.expect("invalidates");
        let gone = peek(&rig, &space, &keys).await;
        assert!(gone.iter().all(|read| !read.is_found()), "{name}");
        let after = store_all().await;
        assert!(before.iter().all(|version| *version < cleared), "{name}");
        assert!(between.iter().all(|version| *version > cleared), "{name}");
        assert!(
            between.iter().all(|version| *version < invalidated),
            "{name}"
        );
        assert!(after.iter().all(|version| *version > invalidated), "{name}");
    }
}

#[tokio::test]
async fn each_partition_keeps_to_its_share_of_a_quota() {
    for (name, rig) in spread_rigs() {
        let mut space = spread_space();
        space.policy.quota = Quota {
            keys_max: Some(2 * u64::from(PARTITIONS)),
            bytes_max: None,
        };
        for key in ["{a}1", "{a}2", "{b}1"] {
            let stored = apply(&rig, &space, put(key, b"v", None, Condition::Always)).await;
            stored.expect("has room");
        }
        let refused = apply(&rig, &space, put("{a}3", b"v", None, Condition::Always)).await;
        let refused = Error::from(refused.expect_err("is full"));
        assert_eq!(refused.code(), ErrorCode::CacheQuota, "{name}");
        assert!(refused.message().contains("partition"), "{name}: {refused}");
    }
}

#[tokio::test]
async fn a_place_of_another_walk_is_refused() {
    for (name, rig) in spread_rigs() {
        for text in ["k:a", "p64:a", "p", "x1:a", "p-1:"] {
            let scan = Scan {
                prefix: KeyPrefix::default(),
                place: Some(ScanPlace(text.to_owned())),
                limit: ScanLimit::parse(None).expect("a limit"),
            };
            let refused = rig.backend.scan(&spread_space(), scan).await;
            let refused = Error::from(refused.expect_err("is refused"));
            assert_eq!(refused.violations()[0].field, "cursor", "{name}: {text}");
        }
    }
}

/// A cache under keys that the test knows, and a link to the same servers.
fn known(url: &str) -> (Arc<RedisCache>, Arc<RedisLink>, String) {
    let settings = RedisSettings {
        url: RedisUrl::new(url),
        ..RedisSettings::default()
    };
    let link = RedisLink::start(&settings).expect("starts");
    let prefix = format!("test-{}", rand::random::<u64>());
    let clock = SystemClock::shared();
    let cache = RedisCache::new(Arc::clone(&link), &prefix, EngineClock::Server, clock);
    (cache, link, prefix)
}

#[tokio::test]
async fn the_keys_of_a_spread_namespace_lie_on_every_node_of_a_cluster() {
    let cluster = redis_urls()
        .into_iter()
        .find(|(name, _)| *name == "cluster");
    let Some((_, url)) = cluster else {
        return;
    };
    let (cache, link, prefix) = known(&url);
    let mut nodes = [BTreeSet::new(), BTreeSet::new()];
    for (nodes, space) in nodes
        .iter_mut()
        .zip([spread_space(), space("shop", "whole")])
    {
        let namespace = space.scope.namespace.as_str().to_owned();
        for key in names(200) {
            let change = put(key.as_str(), b"v", None, Condition::Always);
            let made = cache.apply(&space, vec![change], ALL).await;
            made.expect("stores");
            let part = space.partition_of(&key);
            let part = part.map_or_else(String::new, |part| format!("/{part:02}"));
            let name = format!("{prefix}:{{shop:{namespace}{part}}}:e:{}", key.as_str());
            let slot = slot_of(name.as_bytes());
            let mut exists = cmd("EXISTS");
            exists.arg(&name);
            let there = link.run(slot, &exists).await.expect("answers");
            assert_eq!(there, Value::Int(1), "{name}");
            nodes.insert(link.server(slot).await.expect("answers").run_id.clone());
        }
        assert_eq!(cache.stats(&space).await.expect("counts").keys, 200);
    }
    assert_eq!(nodes.each_ref().map(BTreeSet::len), [3, 1]);
}

/// One partition that cannot be written: its line of the last clear is of another type.
#[tokio::test]
async fn what_fails_in_one_partition_is_told_with_what_is_known_of_the_others() {
    for (name, url) in redis_urls() {
        let ((cache, link, prefix), space) = (known(&url), spread_space());
        let (broken, whole) = (key("{a}1"), key("{b}1"));
        let part = space.partition_of(&broken).expect("is spread");
        let line = format!("{prefix}:{{shop:orders/{part:02}}}:c");
        let mut push = cmd("RPUSH");
        push.arg(&line).arg("x");
        let slot = slot_of(line.as_bytes());
        link.run(slot, &push).await.expect("breaks it");
        let changes = [&broken, &whole].map(|key| put(key.as_str(), b"v", None, Condition::Always));
        let made = cache.apply(&space, changes.to_vec(), EACH).await;
        let made = made.expect("one is made").answer;
        assert!(made[1].is_ok(), "{name}");
        let mut made = made.into_iter();
        let error = Error::from(made.next().expect("answers").expect_err("fails"));
        assert_eq!(error.code(), ErrorCode::CacheOperation, "{name}: {error}");
        // Where all fail, the call does.
        let all = cache.apply(&space, changes[..1].to_vec(), EACH).await;
        assert_eq!(
            Error::from(all.expect_err("fails")).code(),
            ErrorCode::CacheOperation
        );
        let cleared = Error::from(cache.clear(&space, None).await.expect_err("fails in one"));
        assert_eq!(cleared.outcome(), Outcome::Unknown, "{name}");
        let changed = cleared.details().get("partitions_changed");
        assert_eq!(changed.map(String::as_str), Some("63"), "{name}");
        let read = cache.get(&space, &whole).await.expect("reads").answer;
        assert!(!read.is_found(), "{name}: it is cleared where it can be");
        // A fence that was overtaken in one partition refuses before any is changed.
        let fence = |token| Some(Fence::parse("review", token).expect("a fence"));
        let guard = plinth_cache::model::Guard {
            fence: fence(5),
            ..ALL
        };
        let change = put(whole.as_str(), b"v", None, Condition::Always);
        let made = cache.apply(&space, vec![change], guard).await;
        made.expect("stores");
        let late = Error::from(cache.clear(&space, fence(4)).await.expect_err("is late"));
        assert_eq!(late.code(), ErrorCode::PreconditionFailed, "{name}");
        assert_eq!(late.outcome(), Outcome::NotApplied, "{name}");
        let read = cache.get(&space, &whole).await.expect("reads").answer;
        assert!(read.is_found(), "{name}");
    }
}
