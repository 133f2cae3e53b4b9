//! The `cache` block.

use anyhow::Result;
use futures::future::BoxFuture;
use plinth_client::{ExpiryOptions, SetCondition, SetItem, SetOptions};
use serde_json::json;

use super::{Log, Rig, Scenario, refused};

mod changing;
mod defining;
mod filling;
mod leasing;
mod loading;
mod numbers;
mod repeating;

/// The scenarios of the cache.
pub(super) fn scenarios() -> Vec<Scenario> {
    let mut scenarios = basic();
    scenarios.extend(changing::scenarios());
    scenarios.extend(leasing::scenarios());
    scenarios.extend(defining::scenarios());
    scenarios.extend(loading::scenarios());
    scenarios.extend(numbers::scenarios());
    scenarios.extend(repeating::scenarios());
    scenarios.extend(filling::scenarios());
    scenarios
}

fn basic() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "cache: a value is read back with its type, and gone after its delete",
            run: set_get_delete,
            expect: || {
                json!([
                    true,
                    { "value": "approved", "type": "text/plain", "ttl": true, "same_version": true },
                    true, false, "absent", [false],
                ])
            },
        },
        Scenario {
            name: "cache: conditions hold or refuse by name",
            run: conditions,
            expect: || {
                json!([
                    refused(1006, "PRECONDITION_FAILED", &["condition"]),
                    "stored",
                    refused(1006, "PRECONDITION_FAILED", &["condition"]),
                    refused(1006, "PRECONDITION_FAILED", &["version"]),
                    "stored",
                    refused(1006, "PRECONDITION_FAILED", &["version"]),
                    refused(2002, "CACHE_KEY_NOT_FOUND", &["key"]),
                    refused(2002, "CACHE_KEY_NOT_FOUND", &["key"]),
                ])
            },
        },
        Scenario {
            name: "cache: an atomic batch is all or nothing, the other one says each",
            run: batches,
            expect: || {
                json!([
                    refused(1006, "PRECONDITION_FAILED", &["items[1].condition"]),
                    [false, false],
                    [["a", 0], ["b", 1006]],
                    ["1", null],
                    [["a", true], ["b", false]],
                ])
            },
        },
        Scenario {
            name: "cache: what breaks a limit is refused by the name of its field",
            run: limits,
            expect: || {
                json!([
                    refused(1001, "INVALID_ARGUMENT", &["ttl_ms"]),
                    refused(1007, "TOO_LARGE", &["key"]),
                    refused(1001, "INVALID_ARGUMENT", &["namespace_name"]),
                    refused(1001, "INVALID_ARGUMENT", &["content_type"]),
                    refused(1001, "INVALID_ARGUMENT", &["items[1].key"]),
                    refused(1001, "INVALID_ARGUMENT", &["items"]),
                    refused(1001, "INVALID_ARGUMENT", &["keys[1]"]),
                    refused(1007, "TOO_LARGE", &["keys"]),
                ])
            },
        },
        Scenario {
            name: "cache: an expiry is changed and ended, and statistics count",
            run: expiry_and_statistics,
            expect: || json!([true, false, { "hits": 1, "misses": 1, "sets": 1, "keys": 1, "backend_is_named": true }]),
        },
    ]
}

fn set_get_delete<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("orders"));
        let options = SetOptions {
            ttl_ms: Some(60_000),
            content_type: Some("text/plain".to_owned()),
            ..SetOptions::default()
        };
        let key = "申请/A 1?&#%";
        let stored = cache.set(&space, key, "approved", options).await?;
        log.note(stored.expires_at_ms.is_some());
        let found = cache.get(&space, key).await?;
        log.note(found.map(|found| {
            json!({
                "value": String::from_utf8_lossy(&found.value), "type": found.content_type,
                "ttl": found.ttl_ms.is_some_and(|ttl| (1..=60_000).contains(&ttl)),
                "same_version": found.version == stored.version,
            })
        }));
        log.note(cache.delete(&space, key, Some(stored.version)).await?);
        log.note(cache.delete(&space, key, None).await?);
        log.note(
            cache
                .get(&space, key)
                .await?
                .map_or("absent", |_| "present"),
        );
        log.note(cache.exists(&space, &[key]).await?);
        Ok(())
    })
}

fn conditions<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("conditions"));
        let set = |condition| {
            let options = SetOptions {
                condition,
                ..SetOptions::default()
            };
            cache.set(&space, "k", "v", options)
        };
        log.outcome(set(SetCondition::Present).await, |_| "stored");
        let first = set(SetCondition::Absent).await?;
        log.note("stored");
        log.outcome(set(SetCondition::Absent).await, |_| "stored");
        log.outcome(
            set(SetCondition::Version(first.version + 1)).await,
            |_| "stored",
        );
        log.outcome(
            set(SetCondition::Version(first.version)).await,
            |_| "stored",
        );
        log.outcome(
            cache.delete(&space, "k", Some(first.version)).await,
            |deleted| deleted,
        );
        log.outcome(cache.delete(&space, "none", Some(1)).await, |deleted| {
            deleted
        });
        log.outcome(
            cache
                .expire(&space, "none", ExpiryOptions::after(5), None)
                .await,
            |_| "changed",
        );
        Ok(())
    })
}

fn item(key: &str, value: &'static str, condition: SetCondition) -> SetItem {
    SetItem {
        key: key.to_owned(),
        value: value.into(),
        options: SetOptions {
            condition,
            ..SetOptions::default()
        },
    }
}

fn batches<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("batches"));
        let items = [
            item("a", "1", SetCondition::Always),
            item("b", "2", SetCondition::Present),
        ];
        log.outcome(cache.batch_set(&space, &items, true).await, |_| "stored");
        log.note(cache.exists(&space, &["a", "b"]).await?);
        let results = cache.batch_set(&space, &items, false).await?;
        log.note(
            results
                .iter()
                .map(|result| json!([result.key, result.code]))
                .collect::<Vec<_>>(),
        );
        let found = cache.batch_get(&space, &["a", "b"]).await?;
        let text =
            |value: &plinth_client::CacheValue| String::from_utf8_lossy(&value.value).into_owned();
        log.note(
            found
                .iter()
                .map(|found| found.as_ref().map(text))
                .collect::<Vec<_>>(),
        );
        let results = cache
            .batch_delete(&space, &[("a", None), ("b", None)], true)
            .await?;
        log.note(
            results
                .iter()
                .map(|result| json!([result.key, result.deleted]))
                .collect::<Vec<_>>(),
        );
        Ok(())
    })
}

fn limits<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("limits"));
        let plain = SetOptions::default;
        let stored = |_| "stored";
        let options = SetOptions {
            ttl_ms: Some(0),
            ..plain()
        };
        log.outcome(cache.set(&space, "k", "v", options).await, stored);
        log.outcome(
            cache.set(&space, &"k".repeat(1_025), "v", plain()).await,
            stored,
        );
        log.outcome(cache.set("-bad", "k", "v", plain()).await, stored);
        let options = SetOptions {
            content_type: Some("t".repeat(129)),
            ..plain()
        };
        log.outcome(cache.set(&space, "k", "v", options).await, stored);
        let twice = [
            item("a", "1", SetCondition::Always),
            item("a", "2", SetCondition::Always),
        ];
        log.outcome(cache.batch_set(&space, &twice, true).await, |_| "stored");
        log.outcome(cache.batch_set(&space, &[], true).await, |_| "stored");
        log.outcome(cache.batch_get(&space, &["a", ""]).await, |_| "read");
        let many: Vec<&str> = std::iter::repeat_n("a", 1_001).collect();
        log.outcome(cache.batch_get(&space, &many).await, |_| "read");
        Ok(())
    })
}

fn expiry_and_statistics<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("statistics"));
        cache.set(&space, "k", "v", SetOptions::default()).await?;
        let changed = cache
            .expire(&space, "k", ExpiryOptions::after(60_000), None)
            .await?;
        log.note(changed.expires_at_ms.is_some());
        let ended = cache
            .expire(&space, "k", ExpiryOptions::default(), Some(changed.version))
            .await?;
        log.note(ended.expires_at_ms.is_some());
        cache.get(&space, "k").await?;
        cache.get(&space, "none").await?;
        let stats = cache.stats(&space).await?;
        log.note(json!({
            "hits": stats.hits, "misses": stats.misses, "sets": stats.sets, "keys": stats.keys,
            "backend_is_named": (["memory", "redis"].contains(&stats.backend.as_str())),
        }));
        Ok(())
    })
}
