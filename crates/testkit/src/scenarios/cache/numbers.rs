//! Statistics and hot keys.

use anyhow::Result;
use futures::future::BoxFuture;
use plinth_client::{CacheStep, SetOptions};
use serde_json::{Value, json};

use crate::scenarios::{Log, Rig, Scenario, refused};

/// The scenarios of numbers.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "cache: statistics tell sizes, lives and times",
            run: spread,
            expect: || {
                json!([
                    ["get", "change"],
                    [[64, true], [256, false], [4096, true]],
                    [[60_000, true], [null, true]],
                    true,
                    true,
                ])
            },
        },
        Scenario {
            name: "cache: the keys that are read most are named",
            run: hot_keys,
            expect: || {
                json!([
                    { "reads": 30, "hottest": { "key": "A-1", "reads_min": 20, "reads_max": 20 } },
                    { "key": "A-2", "reads_min": 10, "reads_max": 10 },
                    { "reads": 0, "keys": [] },
                    refused(1001, "INVALID_ARGUMENT", &["namespace_name"]),
                ])
            },
        },
    ]
}

/// Whether the steps that end there have entries.
fn full(steps: &[CacheStep], ends: &[Option<i64>]) -> Vec<Value> {
    let step = |end: &Option<i64>| {
        let step = steps.iter().find(|step| step.up_to == *end);
        json!([end, step.is_some_and(|step| step.entries > 0)])
    };
    ends.iter().map(step).collect()
}

fn spread<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("spread"));
        let minute = SetOptions {
            ttl_ms: Some(60_000),
            ..SetOptions::default()
        };
        // A sample is drawn by chance: many of a kind, so that one of each is in it.
        for index in 0..20 {
            let (small, large) = (format!("small-{index}"), format!("large-{index}"));
            cache.set(&space, &small, "1", minute.clone()).await?;
            let bytes = vec![b'1'; 4_000];
            cache
                .set(&space, &large, bytes, SetOptions::default())
                .await?;
        }
        cache.get(&space, "small-1").await?;
        let stats = cache.stats(&space).await?;
        let calls = stats.latencies.iter().map(|it| it.operation.clone());
        log.note(calls.collect::<Vec<_>>());
        log.note(full(&stats.sizes, &[Some(64), Some(256), Some(4_096)]));
        log.note(full(&stats.lives, &[Some(60_000), None]));
        let all = |steps: &[CacheStep]| steps.iter().map(|step| step.entries).sum::<i64>();
        log.note(stats.sampled > 0 && [all(&stats.sizes), all(&stats.lives)] == [stats.sampled; 2]);
        let mut times = stats.latencies.iter();
        log.note(times.all(|it| it.calls > 0 && it.p50_us > 0.0 && it.p50_us <= it.max_us));
        Ok(())
    })
}

fn hot_keys<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("hot"));
        for round in 0..20 {
            cache.get(&space, "A-1").await?;
            if round % 2 == 0 {
                cache.batch_get(&space, &["A-2"]).await?;
            }
        }
        let hottest = cache.hot_keys(&space).await?;
        log.note(json!({ "reads": hottest.reads, "hottest": hottest.keys.first() }));
        log.note(hottest.keys.get(1));
        log.note(cache.hot_keys(&rig.name("untouched")).await?);
        log.outcome(cache.hot_keys("-bad").await, |_| "named");
        Ok(())
    })
}
