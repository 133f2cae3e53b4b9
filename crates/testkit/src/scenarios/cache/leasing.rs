//! What concerns a namespace as a whole, and leases.

use anyhow::{Context as _, Result, bail};
use futures::future::BoxFuture;
use plinth_client::{CacheLease, CacheLeased, SetItem, SetOptions};
use serde_json::{Value, json};

use super::super::{Log, Rig, Scenario, refused};

/// The scenarios of namespaces and leases.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "cache: a walk sees every key of its prefix, page by page",
            run: scanned,
            expect: || {
                json!([
                    ["order:0", "order:1", "order:2", "order:3", "order:4"],
                    [6, true, 4],
                    refused(1001, "INVALID_ARGUMENT", &["limit"]),
                    refused(1001, "INVALID_ARGUMENT", &["cursor"]),
                    refused(1007, "TOO_LARGE", &["prefix"]),
                ])
            },
        },
        Scenario {
            name: "cache: a tag makes its entries absent, a clear everything",
            run: invalidated,
            expect: || {
                json!([
                    [false, true, true],
                    true,
                    [false, false, false],
                    refused(1001, "INVALID_ARGUMENT", &["tags"]),
                    refused(1007, "TOO_LARGE", &["tags[0]"]),
                ])
            },
        },
        Scenario {
            name: "cache: one caller fills a miss, the others wait for its value",
            run: leased,
            expect: || {
                json!([
                    "granted",
                    "held",
                    "filled",
                    refused(2007, "CACHE_LEASE_LOST", &["lease_token"]),
                    "granted",
                    true,
                    false,
                    "granted",
                    "known absent",
                    refused(1001, "INVALID_ARGUMENT", &["lease_ms"]),
                    refused(1001, "INVALID_ARGUMENT", &["wait_ms"]),
                ])
            },
        },
    ]
}

fn scanned<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("scanned"));
        let item = |key: String| SetItem {
            key,
            value: "four".into(),
            options: SetOptions {
                ttl_ms: Some(60_000),
                ..SetOptions::default()
            },
        };
        let mut items: Vec<_> = (0..5).map(|n| item(format!("order:{n}"))).collect();
        items.push(item("other".to_owned()));
        cache.batch_set(&space, &items, true).await?;
        let (mut keys, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = cache
                .scan(&space, Some("order:"), cursor.as_deref(), Some(2))
                .await?;
            keys.extend(page.items.into_iter().map(|item| item.key));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        keys.sort();
        keys.dedup();
        log.note(keys);
        let page = cache.scan(&space, None, None, None).await?;
        let first = page.items.first().context("a key")?;
        let ttl = first.ttl_ms.is_some_and(|ttl| ttl <= 60_000);
        log.note((page.items.len(), ttl, first.value_bytes));
        log.outcome(
            cache.scan(&space, None, None, Some(1_001)).await,
            |_| "page",
        );
        log.outcome(
            cache.scan(&space, None, Some("no such"), None).await,
            |_| "page",
        );
        let long = "k".repeat(1_025);
        log.outcome(
            cache.scan(&space, Some(&long), None, None).await,
            |_| "page",
        );
        Ok(())
    })
}

fn invalidated<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("invalidated"));
        let mut newest = 0;
        for (key, tags) in [
            ("a", vec!["hall:7", "city"]),
            ("b", vec!["city"]),
            ("c", vec![]),
        ] {
            let tags = tags.into_iter().map(str::to_owned).collect();
            let options = SetOptions {
                tags,
                ..SetOptions::default()
            };
            newest = cache.set(&space, key, "v", options).await?.version;
        }
        let keys = ["a", "b", "c"];
        let stamp = cache.invalidate_tags(&space, &["hall:7"]).await?;
        log.note(cache.exists(&space, &keys).await?);
        let cleared = cache.clear(&space).await?;
        log.note(newest < stamp && stamp < cleared);
        log.note(cache.exists(&space, &keys).await?);
        log.outcome(cache.invalidate_tags(&space, &[]).await, |_| "stamp");
        let long = "t".repeat(129);
        log.outcome(cache.invalidate_tags(&space, &[&long]).await, |_| "stamp");
        Ok(())
    })
}

fn lease_fact(leased: &CacheLeased) -> Value {
    match (leased.lease, &leased.read.value) {
        (CacheLease::Granted { .. }, None) => json!("granted"),
        (CacheLease::Held { .. }, None) => json!("held"),
        (CacheLease::NotNeeded, Some(found)) => json!(String::from_utf8_lossy(&found.value)),
        (CacheLease::NotNeeded, None) => json!("known absent"),
        (_, Some(_)) => json!("stale"),
    }
}

fn granted(leased: &CacheLeased) -> Result<i64> {
    match leased.lease {
        CacheLease::Granted { token } => Ok(token),
        other => bail!("no lease was granted: {other:?}"),
    }
}

fn leased<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("leased"));
        let first = cache.get_or_lease(&space, "k", None, None).await?;
        log.note(lease_fact(&first));
        let second = cache.get_or_lease(&space, "k", None, None).await?;
        log.note(lease_fact(&second));
        let fill = |token| SetOptions {
            lease_token: Some(token),
            ..SetOptions::default()
        };
        let token = granted(&first)?;
        let waiter = cache.get_or_lease(&space, "k", None, Some(20_000));
        let filler = async {
            // The waiter stands in line first, most of the time; the answer is the same where it does not.
            tokio::task::yield_now().await;
            cache.set(&space, "k", "filled", fill(token)).await
        };
        let (waited, filled) = futures::join!(waiter, filler);
        filled?;
        log.note(lease_fact(&waited?));
        log.outcome(
            cache.set(&space, "k", "late", fill(token)).await,
            |_| "stored",
        );
        let other = cache
            .get_or_lease(&space, "other", Some(60_000), None)
            .await?;
        log.note(lease_fact(&other));
        let token = granted(&other)?;
        log.note(cache.release_lease(&space, "other", token).await?);
        log.note(cache.release_lease(&space, "other", token).await?);
        let next = cache
            .get_or_lease(&space, "other", None, Some(1_000))
            .await?;
        log.note(lease_fact(&next));
        let absent = SetOptions {
            known_absent: true,
            ..fill(granted(&next)?)
        };
        cache.set(&space, "other", "", absent).await?;
        let known = cache.get_or_lease(&space, "other", None, None).await?;
        log.note(lease_fact(&known));
        let short = cache.get_or_lease(&space, "k", Some(9), None).await;
        log.outcome(short, |leased| lease_fact(&leased));
        let long = cache.get_or_lease(&space, "k", None, Some(30_001)).await;
        log.outcome(long, |leased| lease_fact(&leased));
        Ok(())
    })
}
