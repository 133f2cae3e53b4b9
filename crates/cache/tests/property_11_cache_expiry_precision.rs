//! Property 11: from the instant of its expiry on an entry is absent, through every way to read it, and never the old
//! value; one millisecond before, it is there.

#![expect(
    clippy::expect_used,
    reason = "the inputs are written in the test; a bad one is a fault of the test"
)]

mod support;

use plinth_cache::EngineClock;
use plinth_cache::backend::CacheBackend as _;
use plinth_cache::model::{Condition, Read};
use proptest::prelude::*;

use support::*;

fn check(rigs: Vec<(&'static str, Rig)>, ttl_ms: i64, wall_jump_ms: i64) {
    for (name, rig) in rigs {
        let space = space("shop", "orders");
        let life = ttl_ms.unsigned_abs();
        block_on(async {
            let stored = put("k", b"v", Some(ttl_ms), Condition::Always);
            apply(&rig, &space, stored).await.expect("stores");
            rig.clock.jump_wall_ms(wall_jump_ms);
            rig.clock.advance_ms(life - 1);
            let last = stands(&rig, &space, "k").await.found();
            assert_eq!(last.and_then(|found| found.ttl_ms), Some(1), "{name}");
            rig.clock.advance_ms(1);
            assert_eq!(read(&rig, &space, "k").await, None, "{name}: get");
            let many = peek(&rig, &space, &[key("k")]).await;
            assert_eq!(many, vec![Read::Absent], "{name}: batch get");
            let present = apply(&rig, &space, put("k", b"w", None, Condition::Present)).await;
            assert!(present.is_err(), "{name}: a condition sees the dead entry");
            let absent = apply(&rig, &space, put("k", b"w", None, Condition::Absent)).await;
            assert!(absent.is_ok(), "{name}: a condition sees the dead entry");
            assert_eq!(read(&rig, &space, "k").await, Some(b"w".to_vec()), "{name}");
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A jump of the wall clock neither shortens nor lengthens a life.
    #[test]
    fn an_entry_is_gone_at_its_millisecond(
        ttl_ms in 1_i64..5_000_000_000,
        wall_jump_ms in -10_000_000_i64..10_000_000,
    ) {
        check(memory_backends(), ttl_ms, wall_jump_ms);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The deciding clock is the server's wall clock, which does not jump here.
    #[test]
    fn an_entry_in_redis_is_gone_at_its_millisecond(ttl_ms in 1_i64..5_000_000_000) {
        check(redis_backends(), ttl_ms, 0);
    }
}

/// Real time: whoever finds the value got it before its end by the server's clock, whoever finds nothing after it.
#[test]
fn the_clock_of_redis_decides() {
    for (name, url) in redis_urls() {
        block_on(async {
            let clock = plinth_core::SystemClock::shared();
            let cache = redis_cache(&url, EngineClock::Server, clock);
            let space = space("shop", "orders");
            for ttl_ms in [1, 2, 5, 17, 40] {
                let change = put("k", b"v", Some(ttl_ms), Condition::Always);
                let before = wall_ms();
                let reply = cache
                    .apply(&space, vec![change], ALL)
                    .await
                    .expect("answers");
                let changed = reply
                    .answer
                    .into_iter()
                    .next()
                    .expect("one")
                    .expect("stores");
                let end = stored(&changed).expires_at_ms.expect("ends");
                assert!(
                    (before + ttl_ms..=wall_ms() + ttl_ms).contains(&end),
                    "{name}"
                );
                loop {
                    let asked = wall_ms();
                    let found = cache.get(&space, &key("k")).await.expect("reads");
                    let answered = wall_ms();
                    if found.answer.is_found() {
                        assert!(asked < end, "{name}: found {} ms late", asked - end);
                    } else {
                        assert!(answered >= end, "{name}: gone {} ms early", end - answered);
                        break;
                    }
                }
            }
        });
    }
}

/// The wall clock of this machine, which is the server's too.
fn wall_ms() -> i64 {
    use plinth_core::Clock as _;
    plinth_core::SystemClock::new().now().0
}
