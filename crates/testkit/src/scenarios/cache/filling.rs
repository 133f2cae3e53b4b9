//! The client's way to fill a miss once.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};
use futures::future::{BoxFuture, join_all, pending};
use plinth_client::{FillError, FillOptions};
use serde_json::json;
use tokio::sync::Notify;

use crate::scenarios::{Log, Rig, Scenario, refused};

/// Callers that miss one key at one time.
const CALLERS: usize = 40;
/// A lease that does not end by itself while a scenario runs, in milliseconds.
const LONG_LEASE_MS: i64 = 60_000;

/// The scenarios of filling.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "cache: of many callers one fills, the others get what it filled",
            run: many,
            expect: || json!([1, CALLERS, [7, 1], [null, 1], [null, 1]]),
        },
        Scenario {
            name: "cache: a filler that fails or goes away lets the next one fill",
            run: failing,
            expect: || {
                json!([
                    "the source is away",
                    8,
                    9,
                    refused(1001, "INVALID_ARGUMENT", &["content_type"]),
                    "too late",
                ])
            },
        },
    ]
}

fn options() -> FillOptions {
    FillOptions {
        lease_ms: LONG_LEASE_MS,
        wait_ms: 20_000,
        ..FillOptions::default()
    }
}

fn many<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let space = rig.name("filled");
        let fills = Arc::new(AtomicUsize::new(0));
        let callers = (0..CALLERS).map(|_| {
            let (client, space, fills) = (rig.client.clone(), space.clone(), Arc::clone(&fills));
            tokio::spawn(async move {
                let fill = || async {
                    fills.fetch_add(1, Ordering::SeqCst);
                    // Gives the others the time to come.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    Ok::<_, Infallible>(Some(7_u32))
                };
                let cache = client.cache();
                cache.get_or_fill(&space, "k", &options(), fill).await
            })
        });
        let mut sevens = 0;
        for answer in join_all(callers).await {
            sevens += usize::from(answer?? == Some(7));
        }
        log.note(fills.load(Ordering::SeqCst));
        log.note(sevens);
        // What is there is not filled again; that there is none is remembered too.
        let cache = rig.client.cache();
        for (key, value) in [("k", Some(8_u32)), ("none", None), ("none", Some(1))] {
            let fill = || async {
                fills.fetch_add(usize::from(value.is_some()), Ordering::SeqCst);
                Ok::<_, Infallible>(value)
            };
            let found = cache.get_or_fill(&space, key, &options(), fill).await?;
            log.note((found, fills.load(Ordering::SeqCst)));
        }
        Ok(())
    })
}

fn failing<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (cache, space) = (rig.client.cache(), rig.name("unfilled"));
        let fails = || async { Err::<Option<u32>, _>("the source is away") };
        match cache.get_or_fill(&space, "k", &options(), fails).await {
            Err(FillError::Fill(why)) => log.note(why),
            other => bail!("{other:?}"),
        }
        // Its lease is back: the next one need not wait for its end.
        let eight = || async { Ok::<_, Infallible>(Some(8_u32)) };
        log.note(cache.get_or_fill(&space, "k", &options(), eight).await?);
        // One that is cancelled while it fills.
        let began = Arc::new(Notify::new());
        let (client, place, told) = (rig.client.clone(), space.clone(), Arc::clone(&began));
        let cancelled = tokio::spawn(async move {
            let hangs = || async {
                told.notify_one();
                pending::<Result<Option<u32>, Infallible>>().await
            };
            let cache = client.cache();
            cache.get_or_fill(&place, "c", &options(), hangs).await
        });
        began.notified().await;
        cancelled.abort();
        let gone = cancelled.await.err().context("it was cancelled")?;
        anyhow::ensure!(gone.is_cancelled(), "{gone}");
        let nine = || async { Ok::<_, Infallible>(Some(9_u32)) };
        log.note(cache.get_or_fill(&space, "c", &options(), nine).await?);
        // What somebody else stored there is no such value.
        cache
            .set(&space, "text", "eight", Default::default())
            .await?;
        match cache.get_or_fill(&space, "text", &options(), eight).await {
            Err(FillError::Call(error)) => log.refusal(&error),
            other => bail!("{other:?}"),
        }
        // Who does not want to wait is told so.
        let held = cache
            .get_or_lease(&space, "held", Some(LONG_LEASE_MS), None)
            .await?;
        let impatient = FillOptions {
            wait_ms: 0,
            ..options()
        };
        let waits = cache.get_or_fill(&space, "held", &impatient, eight).await;
        match waits {
            Err(FillError::TooLate) => log.note("too late"),
            other => bail!("{other:?} beside {held:?}"),
        }
        Ok(())
    })
}
