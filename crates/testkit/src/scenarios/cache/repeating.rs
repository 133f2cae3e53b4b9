//! Idempotency keys.

use anyhow::Result;
use futures::future::BoxFuture;
use plinth_client::{AppendOptions, IncrementOptions};
use serde_json::json;

use crate::scenarios::{Log, Rig, Scenario, refused};

/// The scenarios of repeats.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![Scenario {
        name: "cache: what is counted or appended twice under one key is done once",
        run: repeated,
        expect: || {
            json!([
                [5, true, 5],
                refused(1005, "CONFLICT", &[]),
                [12, 12],
                [3, true, "abc"],
                refused(1005, "CONFLICT", &[]),
                refused(2002, "CACHE_KEY_NOT_FOUND", &["key"]),
                1,
            ])
        },
    }]
}

fn repeated<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("repeated"));
        let by = |delta, key: &str| IncrementOptions {
            request_id: Some(key.to_owned()),
            ..IncrementOptions::by(delta)
        };
        let first = cache.increment(&space, "n", &by(5, "once")).await?;
        let again = cache.increment(&space, "n", &by(5, "once")).await?;
        log.note((first.number, first == again, again.number));
        let other = cache.increment(&space, "n", &by(6, "once")).await;
        log.outcome(other, |counted| counted.number);
        // The first answer stays what it was; without a key each call counts.
        let plain = IncrementOptions::by(7);
        let after = cache.increment(&space, "n", &plain).await?;
        cache.increment(&space, "n", &by(5, "once")).await?;
        let stands = cache
            .increment(&space, "n", &IncrementOptions::by(0))
            .await?;
        log.note((after.number, stands.number));
        let options = AppendOptions {
            request_id: Some("grow".to_owned()),
            ..AppendOptions::default()
        };
        let first = cache.append(&space, "log", "abc", &options).await?;
        let again = cache.append(&space, "log", "abc", &options).await?;
        let found = cache.get(&space, "log").await?;
        let found = found.map(|found| String::from_utf8_lossy(&found.value).into_owned());
        log.note((again.length, first == again, found));
        let other = cache.append(&space, "log", "d", &options).await;
        log.outcome(other, |appended| appended.length);
        // A refusal is no answer to keep.
        let absent = IncrementOptions {
            initial: None,
            ..by(1, "later")
        };
        let refused = cache.increment(&space, "late", &absent).await;
        log.outcome(refused, |counted| counted.number);
        cache
            .increment(&space, "late", &IncrementOptions::by(0))
            .await?;
        log.note(cache.increment(&space, "late", &absent).await?.number);
        Ok(())
    })
}
