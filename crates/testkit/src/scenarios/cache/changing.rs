//! All that may be said about a value, and changes beside storing and deleting.

use anyhow::{Context as _, Result};
use futures::future::BoxFuture;
use plinth_client::{
    AppendOptions, CacheRead, ExpiryOptions, Fence, IncrementOptions, SetCondition, SetItem,
    SetOptions,
};
use serde_json::{Value, json};

use super::super::{Log, Rig, Scenario, refused};

/// The scenarios of changes.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "cache: all that is said about a value comes back",
            run: everything,
            expect: || {
                json!([
                    { "value": "v", "ttl": [1, 60_000], "stale": false, "flags": 4_294_967_295_u32,
                        "tags": ["100%", "a,b", "hall:7", "杭州"] },
                    { "value": "v", "ttl": [1, 60_000], "stale": false, "flags": 0, "tags": [] },
                    { "value": "v", "ttl": null, "stale": false, "flags": 0, "tags": [] },
                    { "known_absent": true, "ttl": [1, 5_000] },
                    [{ "known_absent": true, "ttl": [1, 5_000] }, { "known_absent": false, "ttl": null }],
                    [{ "value": "b", "ttl": null, "stale": false, "flags": 7, "tags": ["t"] },
                        { "known_absent": true, "ttl": [1, 1_000] }],
                ])
            },
        },
        Scenario {
            name: "cache: what does not go together is refused by its field",
            run: bad_fields,
            expect: || {
                json!([
                    refused(1001, "INVALID_ARGUMENT", &["ttl_ms"]),
                    refused(1001, "INVALID_ARGUMENT", &["sliding_ms"]),
                    refused(1001, "INVALID_ARGUMENT", &["expires_at_ms"]),
                    refused(1001, "INVALID_ARGUMENT", &["ttl_ms"]),
                    refused(1001, "INVALID_ARGUMENT", &["value"]),
                    refused(1007, "TOO_LARGE", &["tags"]),
                    refused(1001, "INVALID_ARGUMENT", &["tags[1]"]),
                    refused(1001, "INVALID_ARGUMENT", &["tags[0]"]),
                    refused(2007, "CACHE_LEASE_LOST", &["lease_token"]),
                    refused(1001, "INVALID_ARGUMENT", &["items[1].sliding_ms"]),
                    refused(1001, "INVALID_ARGUMENT", &["sliding_ms"]),
                    refused(1001, "INVALID_ARGUMENT", &["expires_at_ms"]),
                ])
            },
        },
        Scenario {
            name: "cache: a touch reads and begins a life anew, an expiry changes in each of its forms",
            run: touched,
            expect: || {
                json!([
                    { "value": "v", "ttl": [1_001, 60_000], "stale": false, "flags": 0, "tags": [] },
                    { "value": "v", "ttl": null, "stale": false, "flags": 0, "tags": [] },
                    { "known_absent": false, "ttl": null },
                    true, true, false,
                ])
            },
        },
        Scenario {
            name: "cache: a counter counts beyond 2^53, within its bounds, and keeps its expiry",
            run: counted,
            expect: || {
                json!([
                    refused(2002, "CACHE_KEY_NOT_FOUND", &["key"]),
                    "9007199254740993",
                    "9007199254740992",
                    refused(2006, "CACHE_OUT_OF_BOUNDS", &["delta"]),
                    refused(1001, "INVALID_ARGUMENT", &["min"]),
                    refused(2005, "CACHE_NOT_A_NUMBER", &["key"]),
                    [true, true],
                ])
            },
        },
        Scenario {
            name: "cache: a value grows at its end",
            run: appended,
            expect: || {
                json!([
                    [1, 3],
                    "abc",
                    "text/plain",
                    refused(1006, "PRECONDITION_FAILED", &["condition"]),
                    refused(1007, "TOO_LARGE", &["value"]),
                ])
            },
        },
        Scenario {
            name: "cache: every change carries a fence, and an overtaken one changes nothing",
            run: fenced,
            expect: || {
                let overtaken = || refused(1006, "PRECONDITION_FAILED", &["fence.token"]);
                let mut expected = vec![json!("stored")];
                expected.extend(std::iter::repeat_with(overtaken).take(9));
                expected.push(json!(["v", "v"]));
                Value::Array(expected)
            },
        },
    ]
}

/// What a read tells, its time as a range that it lies in.
fn fact(read: &CacheRead, ttl_ms: [i64; 2]) -> Value {
    let within = |ttl: i64| (ttl_ms[0]..=ttl_ms[1]).contains(&ttl);
    let ttl = read.ttl_ms.map(|ttl| match within(ttl) {
        true => json!(ttl_ms),
        false => json!(ttl),
    });
    match &read.value {
        Some(found) => json!({
            "value": String::from_utf8_lossy(&found.value), "ttl": ttl, "stale": found.is_stale,
            "flags": found.flags, "tags": found.tags,
        }),
        None => json!({ "known_absent": read.known_absent, "ttl": ttl }),
    }
}

fn tags(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn everything<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("everything"));
        let options = SetOptions {
            ttl_ms: Some(60_000),
            flags: u32::MAX,
            tags: tags(&["a,b", "杭州", "hall:7", "100%"]),
            ..SetOptions::default()
        };
        cache.set(&space, "k", "v", options).await?;
        log.note(fact(&cache.read(&space, "k").await?, [1, 60_000]));
        let options = SetOptions {
            sliding_ms: Some(60_000),
            ..SetOptions::default()
        };
        cache.set(&space, "k", "v", options).await?;
        log.note(fact(&cache.read(&space, "k").await?, [1, 60_000]));
        let options = SetOptions {
            persist: true,
            ..SetOptions::default()
        };
        cache.set(&space, "k", "v", options).await?;
        log.note(fact(&cache.read(&space, "k").await?, [1, 1]));
        let absent = SetOptions {
            known_absent: true,
            ..SetOptions::default()
        };
        cache.set(&space, "k", "", absent.clone()).await?;
        log.note(fact(&cache.read(&space, "k").await?, [1, 5_000]));
        let reads = cache.batch_read(&space, &["k", "none"]).await?;
        let facts: Vec<_> = reads.iter().map(|read| fact(read, [1, 5_000])).collect();
        log.note(facts);
        let flagged = SetOptions {
            flags: 7,
            tags: tags(&["t"]),
            ..SetOptions::default()
        };
        let absent = SetOptions {
            ttl_ms: Some(1_000),
            ..absent
        };
        let items = [("b", "b", flagged), ("c", "", absent)].map(|(key, value, options)| SetItem {
            key: key.to_owned(),
            value: value.into(),
            options,
        });
        cache.batch_set(&space, &items, true).await?;
        let reads = cache.batch_read(&space, &["b", "c"]).await?;
        let facts: Vec<_> = reads.iter().map(|read| fact(read, [1, 1_000])).collect();
        log.note(facts);
        Ok(())
    })
}

fn bad_fields<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("bad"));
        let plain = SetOptions::default;
        let many: Vec<String> = (0..17).map(|n| format!("t{n}")).collect();
        for options in [
            SetOptions {
                ttl_ms: Some(1),
                expires_at_ms: Some(i64::MAX),
                ..plain()
            },
            SetOptions {
                ttl_ms: Some(20),
                sliding_ms: Some(21),
                ..plain()
            },
            SetOptions {
                expires_at_ms: Some(1),
                ..plain()
            },
            SetOptions {
                ttl_ms: Some(1),
                persist: true,
                ..plain()
            },
            SetOptions {
                known_absent: true,
                ..plain()
            },
            SetOptions {
                tags: many,
                ..plain()
            },
            SetOptions {
                tags: tags(&["a", "a"]),
                ..plain()
            },
            SetOptions {
                tags: tags(&[""]),
                ..plain()
            },
            SetOptions {
                lease_token: Some(1),
                ..plain()
            },
        ] {
            log.outcome(cache.set(&space, "k", "v", options).await, |_| "stored");
        }
        let item = |key: &str, options| SetItem {
            key: key.to_owned(),
            value: "v".into(),
            options,
        };
        let sliding = SetOptions {
            sliding_ms: Some(9),
            ..plain()
        };
        let items = [item("a", plain()), item("b", sliding)];
        log.outcome(cache.batch_set(&space, &items, true).await, |_| "stored");
        cache.set(&space, "k", "v", plain()).await?;
        let sliding = ExpiryOptions {
            sliding_ms: Some(9),
            ..ExpiryOptions::default()
        };
        log.outcome(cache.get_and_touch(&space, "k", sliding).await, |_| "read");
        let past = ExpiryOptions {
            expires_at_ms: Some(1),
            ..ExpiryOptions::default()
        };
        log.outcome(cache.expire(&space, "k", past, None).await, |_| "changed");
        Ok(())
    })
}

fn touched<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("touched"));
        let short = SetOptions {
            ttl_ms: Some(1_000),
            ..SetOptions::default()
        };
        let stored = cache.set(&space, "k", "v", short).await?;
        let touch = cache.get_and_touch(&space, "k", ExpiryOptions::after(60_000));
        log.note(fact(&touch.await?, [1_001, 60_000]));
        let persist = ExpiryOptions {
            persist: Some(true),
            ..ExpiryOptions::default()
        };
        let touch = cache.get_and_touch(&space, "k", persist);
        log.note(fact(&touch.await?, [1, 1]));
        let touch = cache.get_and_touch(&space, "none", ExpiryOptions::after(1));
        log.note(fact(&touch.await?, [1, 1]));
        let at = stored.expires_at_ms.context("it expires")? + 60_000;
        let at = ExpiryOptions {
            expires_at_ms: Some(at),
            ..ExpiryOptions::default()
        };
        let changed = cache.expire(&space, "k", at, None).await?;
        log.note(changed.expires_at_ms == at.expires_at_ms);
        let sliding = ExpiryOptions {
            sliding_ms: Some(5_000),
            ..ExpiryOptions::default()
        };
        let changed = cache.expire(&space, "k", sliding, None).await?;
        log.note(changed.expires_at_ms.is_some());
        let ended = cache
            .expire(&space, "k", ExpiryOptions::default(), None)
            .await?;
        log.note(ended.expires_at_ms.is_some());
        Ok(())
    })
}

fn counted<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("counted"));
        let by = |delta, initial| IncrementOptions {
            initial,
            ..IncrementOptions::by(delta)
        };
        let number = |counted: plinth_client::Counted| counted.number.to_string();
        log.outcome(cache.increment(&space, "n", &by(1, None)).await, number);
        let wide = 9_007_199_254_740_992;
        log.outcome(
            cache.increment(&space, "n", &by(1, Some(wide))).await,
            number,
        );
        log.outcome(cache.increment(&space, "n", &by(-1, None)).await, number);
        let bounded = IncrementOptions {
            max: Some(wide),
            ..by(1, None)
        };
        log.outcome(cache.increment(&space, "n", &bounded).await, number);
        let crossed = IncrementOptions {
            min: Some(1),
            max: Some(0),
            ..by(1, None)
        };
        log.outcome(cache.increment(&space, "n", &crossed).await, number);
        cache
            .set(&space, "text", "1.0", SetOptions::default())
            .await?;
        log.outcome(cache.increment(&space, "text", &by(1, None)).await, number);
        let expiring = IncrementOptions {
            expiry: ExpiryOptions::after(60_000),
            ..by(1, Some(0))
        };
        let created = cache.increment(&space, "t", &expiring).await?;
        let longer = ExpiryOptions::after(600_000);
        let kept = IncrementOptions {
            expiry: longer,
            ..by(1, None)
        };
        let kept = cache.increment(&space, "t", &kept).await?;
        let renewed = IncrementOptions {
            expiry: longer,
            renew: true,
            ..by(1, None)
        };
        let renewed = cache.increment(&space, "t", &renewed).await?;
        // The instant is told on the wall clock, which is read anew for each answer.
        let at = |counted: &plinth_client::Counted| counted.expires_at_ms.context("it expires");
        let (first, second, third) = (at(&created)?, at(&kept)?, at(&renewed)?);
        log.note(((first - second).abs() < 1_000, third - first > 500_000));
        Ok(())
    })
}

fn appended<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("appended"));
        let options = AppendOptions {
            content_type: Some("text/plain".to_owned()),
            ..AppendOptions::default()
        };
        let first = cache.append(&space, "k", "a", &options).await?;
        let present = AppendOptions {
            condition: SetCondition::Present,
            ..AppendOptions::default()
        };
        let second = cache.append(&space, "k", "bc", &present).await?;
        log.note((first.length, second.length));
        let found = cache.get(&space, "k").await?.context("it is there")?;
        log.note(String::from_utf8_lossy(&found.value));
        log.note(found.content_type);
        log.outcome(
            cache.append(&space, "none", "x", &present).await,
            |_| "grown",
        );
        let most = vec![b'x'; 8 * 1024 * 1024 - 2];
        let anyhow = AppendOptions::default();
        log.outcome(cache.append(&space, "k", most, &anyhow).await, |_| "grown");
        Ok(())
    })
}

fn fenced<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("fenced"));
        let (new, old) = (Fence::parse("review", 7)?, Fence::parse("review", 6)?);
        let plain = SetOptions::default;
        let tagged = SetOptions {
            tags: tags(&["t"]),
            ..plain()
        };
        let stored = cache.under(&new).set(&space, "k", "v", tagged).await;
        log.outcome(stored, |_| "stored");
        let late = cache.under(&old);
        let done = |what: &'static str| what;
        log.outcome(late.set(&space, "k", "late", plain()).await, |_| {
            done("set")
        });
        log.outcome(late.delete(&space, "k", None).await, |_| done("deleted"));
        let item = SetItem {
            key: "k".to_owned(),
            value: "late".into(),
            options: plain(),
        };
        log.outcome(late.batch_set(&space, &[item], false).await, |_| {
            done("set")
        });
        let items = [("k", None)];
        log.outcome(late.batch_delete(&space, &items, true).await, |_| {
            done("deleted")
        });
        let life = ExpiryOptions::after(1);
        log.outcome(late.expire(&space, "k", life, None).await, |_| {
            done("changed")
        });
        log.outcome(late.get_and_touch(&space, "k", life).await, |_| {
            done("touched")
        });
        let one = IncrementOptions::by(1);
        log.outcome(late.increment(&space, "n", &one).await, |_| done("counted"));
        log.outcome(late.clear(&space).await, |_| done("cleared"));
        log.outcome(late.invalidate_tags(&space, &["t"]).await, |_| {
            done("invalidated")
        });
        let append = late
            .append(&space, "k", "late", &AppendOptions::default())
            .await;
        anyhow::ensure!(
            append.is_err_and(|error| error.code == 1006),
            "an append under a lost lock"
        );
        let found = cache.batch_get(&space, &["k", "k"]).await?;
        let text =
            |found: plinth_client::CacheValue| String::from_utf8_lossy(&found.value).into_owned();
        log.note(
            found
                .into_iter()
                .map(|found| found.map(text))
                .collect::<Vec<_>>(),
        );
        Ok(())
    })
}
