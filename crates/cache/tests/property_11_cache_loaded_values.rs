//! Property 11 with loaders: nothing that was loaded is answered from its end on, whether it is fresh, stale, loaded ahead,
//! forced, or stands in for a load that fails.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the inputs are drawn within the rules; a bad one is a fault of the test"
)]

#[expect(dead_code, reason = "each suite uses a part")]
#[path = "loading/rig.rs"]
mod rig;
mod support;

use std::collections::HashMap;

use plinth_cache::model::{NamespaceSettings, Read};
use plinth_core::{ErrorCode, SharedClock};
use proptest::prelude::*;

use rig::{Act, House, TTL_MS, call, key, limits, space};

/// Turns that everything under way gets before the clock moves on.
const TURNS: usize = 64;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody reads.
    Get,
    /// Somebody reads what is stored alone.
    GetStored,
    /// Somebody wants a new value.
    Refresh,
    /// The source changes: it has a value, none, or is away.
    Source(u8),
    /// Time passes.
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Get),
        1 => Just(Step::GetStored),
        1 => Just(Step::Refresh),
        2 => (0_u8..4).prop_map(Step::Source),
        6 => (1_u64..TTL_MS).prop_map(Step::Wait),
        2 => (1_u64..20).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..60)
}

fn settings() -> impl Strategy<Value = NamespaceSettings> {
    (
        1_i64..=100,
        1_i64..100,
        0_i64..=500,
        0_i64..=50,
        any::<bool>(),
    )
        .prop_map(|(fresh, ahead, soft_ms, jitter, keeps_ahead)| {
            let mut settings = limits();
            settings.fresh_percent = Some(fresh);
            settings.jitter_percent = Some(jitter);
            let loader = settings.loader.as_mut().expect("a loader");
            loader.soft_timeout_ms = (fresh < 100).then_some(soft_ms);
            loader.refresh_percent = (keeps_ahead && ahead < fresh).then_some(ahead);
            settings
        })
}

/// When each load was made, on the monotonic clock.
type Made = HashMap<usize, u64>;

/// Nothing is answered that was loaded longer ago than it may live.
fn check(read: &Read, made: &Made, now_ms: u64) {
    let Read::Found(found) = read else {
        return;
    };
    let text = String::from_utf8_lossy(&found.value.bytes).into_owned();
    let number: usize = text
        .rsplit('#')
        .next()
        .expect("a number")
        .parse()
        .expect("a number");
    let at_ms = made.get(&number).expect("was loaded");
    assert!(
        now_ms < at_ms + TTL_MS,
        "load {number} is {} ms old",
        now_ms - at_ms
    );
    let ttl_ms = found.ttl_ms.expect("it expires");
    assert!(ttl_ms > 0 && found.age_ms + ttl_ms <= TTL_MS, "{found:?}");
}

async fn run(house: &House, settings: &NamespaceSettings, steps: &[Step]) {
    let (clock, mut made): (SharedClock, Made) = (house.clock.clone(), Made::new());
    house.define(settings).await;
    for step in steps {
        let asked = house.loader.asked();
        let read = match step {
            Step::Get => house.get(0, "k").await.ok().map(|reply| reply.answer),
            Step::GetStored => Some(house.stored("k").await),
            Step::Refresh => {
                let cache = &house.caches[0];
                cache
                    .refresh(&call(), space(), vec![key("k")])
                    .await
                    .expect("says each");
                None
            }
            Step::Source(kind) => {
                let act = match kind {
                    0 | 1 => Act::Value,
                    2 => Act::Absent,
                    _ => Act::Fail(ErrorCode::CacheLoadFailed),
                };
                house.loader.acts(move |_| act);
                None
            }
            Step::Wait(ms) => {
                house.clock.advance_ms(*ms);
                None
            }
        };
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
        let now_ms = clock.monotonic_ms();
        made.extend((asked + 1..=house.loader.asked()).map(|number| (number, now_ms)));
        if let Some(read) = read {
            check(&read, &made, now_ms);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nothing_that_was_loaded_is_answered_from_its_end_on(settings in settings(), steps in steps()) {
        // One thread: what is under way gets its turns before the clock moves on.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        for (_, house) in rig::houses_on(support::memory_backends(), 1) {
            runtime.block_on(run(&house, &settings, &steps));
        }
    }
}

/// On Redis what is under way may end later than its turn: what is stored then was loaded at most one wait before.
mod redis {
    use super::*;

    proptest! {
            #![proptest_config(ProptestConfig::with_cases(12))]

            #[test]
            fn nothing_that_was_loaded_is_answered_from_its_end_on(settings in settings(), steps in steps()) {
                for (_, house) in rig::houses_on(support::redis_backends(), 1) {
                    support::block_on(async {
                        house.define(&settings).await;
                        for step in &steps {
                            match step {
                                Step::Wait(ms) => house.clock.advance_ms(*ms),
                                Step::Source(0..=2) => house.loader.acts(|_| Act::Value),
                                Step::Source(_) => house.loader.acts(|_| Act::Fail(ErrorCode::CacheLoadFailed)),
                                Step::Refresh => {
                                    let cache = &house.caches[0];
    cache.refresh(&call(), space(), vec![key("k")]).await.expect("says each");
                                }
                                Step::Get | Step::GetStored => {
                                    let Ok(reply) = house.get(0, "k").await else {
                                        continue;
                                    };
                                    if let Read::Found(found) = reply.answer {
                                        let ttl_ms = found.ttl_ms.expect("it expires");
                                        assert!(ttl_ms > 0 && found.age_ms + ttl_ms <= TTL_MS, "{found:?}");
                                    }
                                }
                            }
                        }
                    });
                }
            }
        }
}
