//! Namespaces with a definition.

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use plinth_client::{AppendOptions, CacheLease, NamespaceSettings, SetItem, SetOptions};
use serde_json::json;

use super::super::{Log, Rig, Scenario, refused};

/// The scenarios of definitions.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "cache: a definition is versioned, listed and deleted",
            run: definitions,
            expect: || {
                json!([
                    refused(1004, "NOT_FOUND", &[]),
                    [1, 2, { "default_ttl_ms": 60_000, "codec": "zstd" }],
                    refused(1006, "PRECONDITION_FAILED", &["if_version"]),
                    refused(1001, "INVALID_ARGUMENT", &["settings.jitter_percent"]),
                    refused(1001, "INVALID_ARGUMENT", &["namespace_name"]),
                    refused(1001, "INVALID_ARGUMENT", &["cursor"]),
                    [1, true, 2],
                    [true, false],
                ])
            },
        },
        Scenario {
            name: "cache: values live as their namespace says",
            run: lives,
            expect: || {
                json!([
                    ["ttl", true],
                    ["jitter", true],
                    ["persist", true],
                    ["stale", "lease granted", true],
                    ["sliding", true],
                    refused(1001, "INVALID_ARGUMENT", &["sliding_ms"]),
                    ["negative", true],
                    ["without", true],
                    ["counted", true, 1],
                ])
            },
        },
        Scenario {
            name: "cache: a namespace holds what its quota allows, and keeps long values small",
            run: quota_and_codec,
            expect: || {
                let full = json!({
                    "code": 2004, "reason": "CACHE_QUOTA_EXCEEDED", "outcome": "not_applied", "retriable": true,
                    "fields": [],
                });
                json!([full, "replaced", full, "small", true, 19_997, true])
            },
        },
        Scenario {
            name: "cache: a spread namespace changes keys together only within a partition, and moves only while it is empty",
            run: spread,
            expect: || {
                json!([
                    refused(1001, "INVALID_ARGUMENT", &["settings.placement"]),
                    refused(1001, "INVALID_ARGUMENT", &["settings.keys_max"]),
                    "spread",
                    refused(1011, "UNSUPPORTED", &["items[1].key"]),
                    refused(1011, "UNSUPPORTED", &["items[1].key"]),
                    [true, true, true, true],
                    [true, true, true, true],
                    ["a", "b", "{b}1", "{b}2"],
                    refused(1006, "PRECONDITION_FAILED", &["settings.placement"]),
                    refused(1006, "PRECONDITION_FAILED", &["settings.placement"]),
                    [true, "together", false],
                    true,
                ])
            },
        },
    ]
}

fn definitions<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("defined"));
        log.outcome(cache.get_namespace(&space).await, |info| info.version);
        let plain = NamespaceSettings::default();
        let first = cache.define_namespace(&space, &plain, Some(0)).await?;
        let settings = NamespaceSettings {
            default_ttl_ms: Some(60_000),
            codec: Some("zstd".to_owned()),
            ..NamespaceSettings::default()
        };
        cache
            .define_namespace(&space, &settings, Some(first.version))
            .await?;
        let second = cache.get_namespace(&space).await?;
        log.note((first.version, second.version, second.settings));
        let again = cache.define_namespace(&space, &plain, Some(1)).await;
        log.outcome(again, |info| info.version);
        let bad = NamespaceSettings {
            jitter_percent: Some(51),
            ..NamespaceSettings::default()
        };
        let refused = cache.define_namespace(&space, &bad, None).await;
        log.outcome(refused, |info| info.version);
        let refused = cache.define_namespace("-bad", &plain, None).await;
        log.outcome(refused, |info| info.version);
        let refused = cache.list_namespaces(None, Some("no such"), None).await;
        log.outcome(refused, |page| page.namespaces.len());
        let other = rig.name("defined-too");
        cache.define_namespace(&other, &plain, None).await?;
        let page = cache
            .list_namespaces(Some("defined"), None, Some(1))
            .await?;
        let cursor = page.next_cursor.context("a next page")?;
        let rest = cache
            .list_namespaces(Some("defined"), Some(&cursor), Some(1_000))
            .await?;
        let mine = |info: &plinth_client::NamespaceInfo| {
            info.namespace_name == space || info.namespace_name == other
        };
        let pages = page.namespaces.iter().chain(&rest.namespaces);
        log.note((
            page.namespaces.len(),
            rest.next_cursor.is_none(),
            pages.filter(|info| mine(info)).count(),
        ));
        let deleted = cache.delete_namespace(&space).await?;
        log.note((deleted, cache.delete_namespace(&space).await?));
        cache.delete_namespace(&other).await?;
        Ok(())
    })
}

fn lives<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("lives"));
        let plain = SetOptions::default;
        let settings = NamespaceSettings {
            default_ttl_ms: Some(60_000),
            jitter_percent: Some(50),
            negative_ttl_ms: Some(90_000),
            sliding_max_ms: Some(5_000),
            ..NamespaceSettings::default()
        };
        cache.define_namespace(&space, &settings, None).await?;
        cache.set(&space, "k", "v", plain()).await?;
        let ttl = cache.read(&space, "k").await?.ttl_ms;
        log.note((
            "ttl",
            ttl.is_some_and(|ttl| (29_000..=60_000).contains(&ttl)),
        ));
        let mut lives = std::collections::BTreeSet::new();
        for n in 0..20 {
            let options = SetOptions {
                ttl_ms: Some(10_000_000),
                ..plain()
            };
            let key = format!("j{n}");
            cache.set(&space, &key, "v", options).await?;
            let ttl = cache
                .read(&space, &key)
                .await?
                .ttl_ms
                .context("it expires")?;
            anyhow::ensure!(
                (4_990_000..=10_000_000).contains(&ttl),
                "a life of {ttl} ms"
            );
            lives.insert(ttl / 10_000);
        }
        log.note(("jitter", lives.len() > 5));
        let persist = SetOptions {
            persist: true,
            ..plain()
        };
        cache.set(&space, "k", "v", persist).await?;
        log.note(("persist", cache.read(&space, "k").await?.ttl_ms.is_none()));
        let stale = NamespaceSettings {
            fresh_percent: Some(1),
            ..settings.clone()
        };
        cache.define_namespace(&space, &stale, None).await?;
        let options = SetOptions {
            ttl_ms: Some(2_000),
            ..plain()
        };
        cache.set(&space, "s", "old", options).await?;
        // One hundredth of at most 2 s is over once the clock has moved on by 20 ms.
        let leased = loop {
            let leased = cache.get_or_lease(&space, "s", None, None).await?;
            let value = leased.read.value.as_ref().context("it lives on")?;
            if value.is_stale {
                break leased;
            }
        };
        let lease = match leased.lease {
            CacheLease::Granted { .. } => "lease granted",
            _ => "no lease",
        };
        log.note((
            "stale",
            lease,
            cache
                .get(&space, "s")
                .await?
                .is_some_and(|found| found.is_stale),
        ));
        let sliding = NamespaceSettings {
            default_ttl_ms: None,
            default_sliding_ms: Some(4_000),
            ..settings.clone()
        };
        cache.define_namespace(&space, &sliding, None).await?;
        cache.set(&space, "k", "v", plain()).await?;
        let ttl = cache.read(&space, "k").await?.ttl_ms;
        log.note(("sliding", ttl.is_some_and(|ttl| ttl <= 4_000)));
        let long = SetOptions {
            sliding_ms: Some(5_001),
            ..plain()
        };
        log.outcome(cache.set(&space, "k", "v", long).await, |_| "stored");
        let absent = SetOptions {
            known_absent: true,
            ..plain()
        };
        cache.set(&space, "n", "", absent).await?;
        let ttl = cache.read(&space, "n").await?.ttl_ms;
        log.note((
            "negative",
            ttl.is_some_and(|ttl| (80_000..=90_000).contains(&ttl)),
        ));
        cache.delete_namespace(&space).await?;
        cache.set(&space, "k", "v", plain()).await?;
        log.note(("without", cache.read(&space, "k").await?.ttl_ms.is_none()));
        let stats = cache.stats(&space).await?;
        let stale = (2..stats.hits).contains(&stats.stale_hits);
        log.note(("counted", stale, stats.negative_hits));
        Ok(())
    })
}

fn quota_and_codec<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("quota"));
        let plain = SetOptions::default;
        let settings = NamespaceSettings {
            keys_max: Some(1),
            ..NamespaceSettings::default()
        };
        cache.define_namespace(&space, &settings, None).await?;
        cache.set(&space, "a", "v", plain()).await?;
        log.outcome(cache.set(&space, "b", "v", plain()).await, |_| "stored");
        log.outcome(cache.set(&space, "a", "w", plain()).await, |_| "replaced");
        let text = "审核通过;".repeat(1_538);
        let bytes = NamespaceSettings {
            bytes_max: Some(10_000),
            ..NamespaceSettings::default()
        };
        cache.define_namespace(&space, &bytes, None).await?;
        log.outcome(
            cache.set(&space, "long", text.clone(), plain()).await,
            |_| "stored",
        );
        let small = NamespaceSettings {
            codec: Some("zstd".to_owned()),
            ..bytes
        };
        cache.define_namespace(&space, &small, None).await?;
        log.outcome(
            cache.set(&space, "long", text.clone(), plain()).await,
            |_| "small",
        );
        let found = cache.get(&space, "long").await?.context("it is there")?;
        log.note(found.value == text.as_bytes());
        let options = AppendOptions::default();
        let grown = cache.append(&space, "long", "end", &options).await?;
        log.note(grown.length);
        let found = cache.get(&space, "long").await?.context("it is there")?;
        log.note(found.value == format!("{text}end").as_bytes());
        cache.delete_namespace(&space).await?;
        Ok(())
    })
}

fn spread<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("in-parts"));
        let placed = |placement: &str, keys_max| NamespaceSettings {
            placement: Some(placement.to_owned()),
            keys_max,
            ..NamespaceSettings::default()
        };
        for settings in [
            placed("apart", None),
            placed("spread", Some(1)),
            placed("spread", None),
        ] {
            let defined = cache.define_namespace(&space, &settings, None).await;
            log.outcome(defined, |it| it.settings.placement);
        }
        let item = |key: &str| SetItem {
            key: key.to_owned(),
            value: b"v".to_vec().into(),
            options: SetOptions::default(),
        };
        let apart = ["a", "b"].map(item);
        log.outcome(cache.batch_set(&space, &apart, true).await, |_| "stored");
        let keys = [("a", None), ("b", None)];
        log.outcome(cache.batch_delete(&space, &keys, true).await, |_| "deleted");
        let alone = cache.batch_set(&space, &apart, false).await?;
        let together = cache
            .batch_set(&space, &["{b}1", "{b}2"].map(item), true)
            .await?;
        let made = alone.iter().chain(&together);
        log.note(made.map(|it| it.code == 0).collect::<Vec<_>>());
        let found = cache.batch_get(&space, &["a", "b", "{b}1", "{b}2"]).await?;
        log.note(found.iter().map(Option::is_some).collect::<Vec<_>>());
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = cache.scan(&space, None, cursor.as_deref(), Some(1)).await?;
            seen.extend(page.items.into_iter().map(|item| item.key));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        seen.sort();
        log.note(seen);
        let together = placed("together", None);
        let moved = cache.define_namespace(&space, &together, None).await;
        log.outcome(moved, |_| "moved");
        log.outcome(cache.delete_namespace(&space).await, |_| "deleted");
        let cleared = cache.clear(&space).await?;
        let moved = cache.define_namespace(&space, &together, None).await?;
        let found = cache.get(&space, "a").await?;
        log.note((cleared > 0, moved.settings.placement, found.is_some()));
        log.note(cache.delete_namespace(&space).await?);
        Ok(())
    })
}
