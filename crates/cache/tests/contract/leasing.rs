//! Leases: one fills, the others wait.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use plinth_cache::backend::CacheBackend as _;
use plinth_cache::model::{
    Changed, Condition, Content, Key, LeaseMs, LeaseState, LeaseToken, LeaseWait, LeaseWhen,
    LeasedRead, Life, Placement, Put, Read, Space,
};
use plinth_cache::{CacheError, EngineClock, LeaseLooks, RedisCache};
use plinth_core::{Error, ErrorCode, SystemClock};
use plinth_redis_link::{RedisLink, RedisSettings, RedisUrl};

use crate::support::*;

/// The key of every test.
static KEY: LazyLock<Key> = LazyLock::new(|| key("k"));
const LONG: Duration = Duration::from_secs(60);

async fn ask(rig: &Rig, space: &Space) -> LeasedRead {
    let lease = LeaseMs::parse(Some(1_000)).expect("a time");
    let reply = rig
        .backend
        .get_or_lease(space, &KEY, lease, LeaseWhen::Needed)
        .await;
    reply.expect("answers").answer
}

async fn granted(rig: &Rig, space: &Space) -> LeaseToken {
    match ask(rig, space).await.lease {
        LeaseState::Granted { token } => token,
        other => panic!("not granted: {other:?}"),
    }
}

async fn fill(
    rig: &Rig,
    space: &Space,
    token: LeaseToken,
    names: &[&str],
) -> Result<Changed, ErrorCode> {
    let put = Put {
        lease: Some(token),
        tags: tags(names),
        ..plain(b"filled")
    };
    apply(rig, space, store("k", put))
        .await
        .map_err(|error| Error::from(error).code())
}

#[tokio::test]
async fn one_caller_is_asked_to_fill_and_the_others_are_told_by_whom() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let token = granted(&rig, &space).await;
        let other = ask(&rig, &space).await;
        assert_eq!(other.read, Read::Absent, "{name}");
        assert!(
            matches!(other.lease, LeaseState::Held { token: held, left_ms } if held == token && left_ms == 1_000),
            "{name}"
        );
        fill(&rig, &space, token, &[]).await.expect("fills");
        let filled = ask(&rig, &space).await;
        assert_eq!(filled.lease, LeaseState::NotNeeded, "{name}");
        assert!(filled.read.is_found(), "{name}");
        let again = fill(&rig, &space, token, &[]).await;
        assert_eq!(again, Err(ErrorCode::CacheLeaseLost), "{name}: fills once");
    }
}

#[tokio::test]
async fn whatever_changes_the_key_revokes_the_lease() {
    for change in [
        put("k", b"newer", None, Condition::Always),
        delete("k", None),
        delete("other", None),
    ] {
        for (name, rig) in backends() {
            let space = space("shop", "orders");
            let token = granted(&rig, &space).await;
            let ours = change.key == *KEY;
            apply(&rig, &space, change.clone()).await.expect("changes");
            let late = fill(&rig, &space, token, &[]).await;
            assert_eq!(late.is_err(), ours, "{name}");
        }
    }
}

#[tokio::test]
async fn clears_and_invalidations_of_a_carried_tag_revoke_the_lease() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let token = granted(&rig, &space).await;
        rig.backend
            .invalidate_tags(&space, tags(&["x"]), None)
            .await
            .expect("invalidates");
        let late = fill(&rig, &space, token, &["x"]).await;
        assert_eq!(late, Err(ErrorCode::CacheLeaseLost), "{name}: by its tag");
        let token = granted(&rig, &space).await;
        fill(&rig, &space, token, &["x"]).await.expect("fills");
        apply(&rig, &space, delete("k", None))
            .await
            .expect("deletes");
        let token = granted(&rig, &space).await;
        rig.backend.clear(&space, None).await.expect("clears");
        let late = fill(&rig, &space, token, &[]).await;
        assert_eq!(late, Err(ErrorCode::CacheLeaseLost), "{name}: by a clear");
    }
}

#[tokio::test]
async fn a_lease_ends_by_itself_and_by_its_holder() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let first = granted(&rig, &space).await;
        rig.clock.advance_ms(1_000);
        let late = fill(&rig, &space, first, &[]).await;
        assert_eq!(late, Err(ErrorCode::CacheLeaseLost), "{name}");
        let second = granted(&rig, &space).await;
        assert!(second > first, "{name}");
        let end = |token| rig.backend.end_lease(&space, &KEY, token);
        assert!(!end(first).await.expect("answers"), "{name}: not that one");
        assert!(end(second).await.expect("answers"), "{name}");
        assert!(!end(second).await.expect("answers"), "{name}: once");
        granted(&rig, &space).await;
    }
}

#[tokio::test]
async fn a_stale_value_is_told_with_the_lease_and_a_known_absence_needs_none() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let put = Put {
            life: Life {
                fresh_ms: Some(10),
                ..Life::after(ttl(1_000))
            },
            ..plain(b"old")
        };
        apply(&rig, &space, store("k", put)).await.expect("stores");
        assert_eq!(ask(&rig, &space).await.lease, LeaseState::NotNeeded);
        rig.clock.advance_ms(10);
        let first = ask(&rig, &space).await;
        assert!(first.read.is_found(), "{name}: the stale value is served");
        assert!(matches!(first.lease, LeaseState::Granted { .. }), "{name}");
        let second = ask(&rig, &space).await;
        assert!(second.read.is_found(), "{name}");
        assert!(matches!(second.lease, LeaseState::Held { .. }), "{name}");
        let negative = Put {
            content: Content::KnownAbsent,
            ..plain(b"")
        };
        apply(&rig, &space, store("k", negative))
            .await
            .expect("stores");
        assert_eq!(ask(&rig, &space).await.lease, LeaseState::NotNeeded);
    }
}

/// Everything that ends a lease wakes who waits for it, without a clock that moves.
#[tokio::test]
async fn who_waits_is_woken_by_the_end_of_the_lease() {
    for end in ["fill", "delete", "give up", "clear"] {
        for (_, rig) in backends() {
            let (rig, space) = (Arc::new(rig), space("shop", "orders"));
            let token = granted(&rig, &space).await;
            let waiters: Vec<_> = (0..20)
                .map(|_| {
                    let (rig, space) = (Arc::clone(&rig), space.clone());
                    tokio::spawn(async move {
                        let wait = rig.backend.lease_ended(&space, &KEY, token, LONG);
                        wait.await.expect("waits");
                    })
                })
                .collect();
            tokio::task::yield_now().await;
            assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
            match end {
                "fill" => drop(fill(&rig, &space, token, &[]).await.expect("fills")),
                "delete" => drop(
                    apply(&rig, &space, delete("k", None))
                        .await
                        .expect("deletes"),
                ),
                "give up" => {
                    let ended = rig.backend.end_lease(&space, &KEY, token).await;
                    assert!(ended.expect("answers"));
                }
                _ => drop(rig.backend.clear(&space, None).await.expect("clears")),
            }
            for waiter in waiters {
                waiter.await.expect("joins");
            }
            // One that is no longer open is not waited for.
            let wait = rig.backend.lease_ended(&space, &KEY, token, LONG);
            wait.await.expect("answers at once");
        }
    }
}

/// On Redis, with looks so rare that none comes: only what this instance does itself can wake who waits here, and it wakes all.
#[tokio::test]
async fn on_redis_who_waits_is_woken_by_what_the_same_instance_does() {
    const NEVER_MS: u64 = 3_600_000;
    for (name, url) in redis_urls() {
        let settings = RedisSettings {
            url: RedisUrl::new(&url),
            ..RedisSettings::default()
        };
        let link = RedisLink::start(&settings).expect("starts");
        let looks = LeaseLooks {
            first_ms: NEVER_MS,
            longest_ms: NEVER_MS,
        };
        let (prefix, clock) = (
            format!("test-{}", rand::random::<u64>()),
            SystemClock::shared(),
        );
        let cache = |link: &Arc<RedisLink>| {
            let (link, engine) = (Arc::clone(link), EngineClock::Server);
            RedisCache::with_lease_looks(link, &prefix, engine, Arc::clone(&clock), looks)
        };
        let other_link = RedisLink::start(&settings).expect("starts");
        let (here, elsewhere) = (cache(&link), cache(&other_link));
        let lease = LeaseMs::parse(Some(60_000)).expect("a time");
        let mut space = space("shop", "orders");
        for (placement, end) in [
            (Placement::Together, "fill"),
            (Placement::Together, "delete"),
            (Placement::Spread, "give up"),
            (Placement::Spread, "clear"),
        ] {
            space.policy.placement = placement;
            let leased = here.get_or_lease(&space, &KEY, lease, LeaseWhen::Always);
            let LeaseState::Granted { token } = leased.await.expect("answers").answer.lease else {
                panic!("{name}: not granted");
            };
            let wait = |cache: &Arc<RedisCache>| {
                let (cache, space) = (Arc::clone(cache), space.clone());
                tokio::spawn(async move {
                    let wait = cache.lease_ended(&space, &KEY, token, LONG);
                    wait.await.expect("waits");
                })
            };
            let looked = |link: &Arc<RedisLink>| link.numbers().commands_total;
            let (before, before_there) = (looked(&link), looked(&other_link));
            let waiters: Vec<_> = (0..20).map(|_| wait(&here)).collect();
            let there = wait(&elsewhere);
            until("the first look of each", || {
                let at_rest = link.numbers().in_flight + other_link.numbers().in_flight == 0;
                at_rest && looked(&link) == before + 20 && looked(&other_link) > before_there
            })
            .await;
            assert!(waiters.iter().all(|waiter| !waiter.is_finished()), "{name}");
            match end {
                "fill" => {
                    let put = Put {
                        lease: Some(token),
                        ..plain(b"filled")
                    };
                    let filled = here.apply(&space, vec![store("k", put)], ALL).await;
                    drop(filled.expect("fills"));
                }
                "delete" => {
                    let deleted = here.apply(&space, vec![delete("k", None)], ALL).await;
                    drop(deleted.expect("deletes"));
                }
                "give up" => {
                    let ended = here.end_lease(&space, &KEY, token).await;
                    assert!(ended.expect("answers"), "{name}");
                }
                _ => drop(here.clear(&space, None).await.expect("clears")),
            }
            for waiter in waiters {
                waiter.await.expect("joins");
            }
            // Another instance is told nothing; it looks by itself, here never.
            assert!(!there.is_finished(), "{name}: {end}");
            there.abort();
        }
    }
}

#[tokio::test]
async fn who_waits_is_let_go_when_its_time_or_the_lease_is_over() {
    for (wait_ms, lease_ms) in [(200, 1_000), (5_000, 1_000)] {
        for (name, rig) in backends() {
            let (rig, space) = (Arc::new(rig), space("shop", "orders"));
            let token = granted(&rig, &space).await;
            let waiter = tokio::spawn({
                let (rig, space) = (Arc::clone(&rig), space.clone());
                let wait = Duration::from_millis(wait_ms);
                async move {
                    let wait = rig.backend.lease_ended(&space, &KEY, token, wait);
                    wait.await.expect("waits");
                }
            });
            tokio::task::yield_now().await;
            rig.clock.advance_ms(wait_ms.min(lease_ms) - 1);
            tokio::task::yield_now().await;
            assert!(!waiter.is_finished(), "{name}");
            rig.clock.advance_ms(1);
            waiter.await.expect("joins");
        }
    }
}

#[tokio::test]
async fn open_leases_are_limited() {
    let rig = memory(64 * 1024 * 1024);
    let space = space("shop", "orders");
    let lease = LeaseMs::parse(Some(1_000)).expect("a time");
    let mut refused = None;
    for index in 0..=100_000 {
        let key = key(&format!("k{index}"));
        if let Err(error) = rig
            .backend
            .get_or_lease(&space, &key, lease, LeaseWhen::Needed)
            .await
        {
            refused = Some((index, error));
        }
    }
    let (index, error) = refused.expect("is one too many");
    assert_eq!(index, 100_000);
    assert!(matches!(error, CacheError::Crowded { .. }));
    assert_eq!(Error::from(error).code(), ErrorCode::Overloaded);
    rig.clock.advance_ms(1_000);
    rig.memory().sweep();
    granted(&rig, &space).await;
}

#[test]
fn lease_times_are_limited() {
    for (lease_ms, good) in [(9, false), (10, true), (60_000, true), (60_001, false)] {
        assert_eq!(LeaseMs::parse(Some(lease_ms)).is_ok(), good, "{lease_ms}");
    }
    for (wait_ms, good) in [(-1, false), (0, true), (30_000, true), (30_001, false)] {
        let parsed = LeaseWait::parse(Some(wait_ms));
        assert_eq!(parsed.is_ok(), good, "{wait_ms}");
    }
}
