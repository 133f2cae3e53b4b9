//! Property 11: from the instant of its expiry on an entry is absent, through every way to read it, and never the old
//! value; one millisecond before, it is there.

#![expect(
    clippy::expect_used,
    reason = "the inputs are written in the test; a bad one is a fault of the test"
)]

mod support;

use plinth_cache::EngineClock;
use plinth_cache::backend::CacheBackend as _;
use plinth_cache::model::{
    Condition, Content, End, KeyPrefix, LeaseMs, LeaseState, LeaseWhen, Life, Put, Read, Scan,
    ScanLimit,
};
use proptest::prelude::*;

use support::*;

fn an_entry_is_gone_at_its_millisecond_on(
    rigs: Vec<(&'static str, Rig)>,
    ttl_ms: i64,
    wall_jump_ms: i64,
) {
    for (name, rig) in rigs {
        let space = space("shop", "orders");
        let life = ttl_ms.unsigned_abs();
        block_on(async {
            apply(
                &rig,
                &space,
                put("k", b"v", Some(ttl_ms), Condition::Always),
            )
            .await
            .expect("stores");
            // A jump of the wall clock neither shortens nor lengthens a life.
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

fn a_sliding_life_ends_unread_and_never_passes_its_maximum_on(
    rigs: Vec<(&'static str, Rig)>,
    idle_ms: i64,
    more_ms: i64,
    pauses: &[u64],
) {
    for (name, rig) in rigs {
        let space = space("shop", "orders");
        let (idle, limit) = (idle_ms.unsigned_abs(), (idle_ms + more_ms).unsigned_abs());
        block_on(async {
            let life = Life {
                end: End::After(ttl(idle_ms + more_ms)),
                idle: Some(ttl(idle_ms)),
                fresh_ms: None,
            };
            apply(
                &rig,
                &space,
                store(
                    "k",
                    Put {
                        life,
                        ..plain(b"v")
                    },
                ),
            )
            .await
            .expect("stores");
            let (mut now, mut last) = (0, 0);
            for pause in pauses {
                now += pause;
                rig.clock.advance_ms(*pause);
                let lives = now < (last + idle).min(limit);
                let found = read(&rig, &space, "k").await.is_some();
                assert_eq!(found, lives, "{name}: read at {now} after {last}");
                if !lives {
                    break;
                }
                last = now;
            }
        });
    }
}

fn what_is_known_to_be_absent_is_forgotten_at_its_millisecond_on(
    rigs: Vec<(&'static str, Rig)>,
    ttl_ms: i64,
) {
    for (name, rig) in rigs {
        let space = space("shop", "orders");
        block_on(async {
            let absent = Put {
                content: Content::KnownAbsent,
                life: life(Some(ttl_ms)),
                ..plain(b"")
            };
            apply(&rig, &space, store("k", absent))
                .await
                .expect("stores");
            rig.clock.advance_ms(ttl_ms.unsigned_abs() - 1);
            let last = stands(&rig, &space, "k").await;
            assert!(matches!(last, Read::KnownAbsent(_)), "{name}: {last:?}");
            rig.clock.advance_ms(1);
            assert_eq!(stands(&rig, &space, "k").await, Read::Absent, "{name}");
        });
    }
}

fn neither_a_walk_nor_a_lease_sees_what_is_gone_on(rigs: Vec<(&'static str, Rig)>, ttl_ms: i64) {
    for (name, rig) in rigs {
        let space = space("shop", "orders");
        let walk = async || {
            let scan = Scan {
                prefix: KeyPrefix::default(),
                place: None,
                limit: ScanLimit::parse(None).expect("a limit"),
            };
            rig.backend
                .scan(&space, scan)
                .await
                .expect("walks")
                .items
                .len()
        };
        let lease = async || {
            let lease = LeaseMs::parse(None).expect("a lease");
            let reply = rig
                .backend
                .get_or_lease(&space, &key("k"), lease, LeaseWhen::Needed)
                .await;
            reply.expect("reads").answer
        };
        block_on(async {
            apply(
                &rig,
                &space,
                put("k", b"v", Some(ttl_ms), Condition::Always),
            )
            .await
            .expect("stores");
            rig.clock.advance_ms(ttl_ms.unsigned_abs() - 1);
            assert_eq!(walk().await, 1, "{name}");
            assert_eq!(lease().await.lease, LeaseState::NotNeeded, "{name}");
            rig.clock.advance_ms(1);
            assert_eq!(walk().await, 0, "{name}");
            let leased = lease().await;
            assert_eq!(leased.read, Read::Absent, "{name}");
            assert!(matches!(leased.lease, LeaseState::Granted { .. }), "{name}");
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_entry_is_gone_at_its_millisecond(
        ttl_ms in 1_i64..5_000_000_000,
        wall_jump_ms in -10_000_000_i64..10_000_000,
    ) {
        an_entry_is_gone_at_its_millisecond_on(memory_backends(), ttl_ms, wall_jump_ms);
    }

    #[test]
    fn a_sliding_life_ends_unread_and_never_passes_its_maximum(
        idle_ms in 1_i64..1_000,
        more_ms in 0_i64..5_000,
        pauses in proptest::collection::vec(1_u64..2_000, 1..40),
    ) {
        a_sliding_life_ends_unread_and_never_passes_its_maximum_on(memory_backends(), idle_ms, more_ms, &pauses);
    }

    #[test]
    fn what_is_known_to_be_absent_is_forgotten_at_its_millisecond(ttl_ms in 1_i64..600_000) {
        what_is_known_to_be_absent_is_forgotten_at_its_millisecond_on(memory_backends(), ttl_ms);
    }

    #[test]
    fn neither_a_walk_nor_a_lease_sees_what_is_gone(ttl_ms in 1_i64..5_000_000) {
        neither_a_walk_nor_a_lease_sees_what_is_gone_on(memory_backends(), ttl_ms);
    }
}

/// The deciding clock is the server's wall clock, which does not jump here.
mod redis {
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn an_entry_is_gone_at_its_millisecond(
        ttl_ms in 1_i64..5_000_000_000,
    ) {
            an_entry_is_gone_at_its_millisecond_on(redis_backends(), ttl_ms, 0);
        }

        #[test]
        fn a_sliding_life_ends_unread_and_never_passes_its_maximum(
        idle_ms in 1_i64..1_000,
        more_ms in 0_i64..5_000,
        pauses in proptest::collection::vec(1_u64..2_000, 1..40),
    ) {
            a_sliding_life_ends_unread_and_never_passes_its_maximum_on(redis_backends(), idle_ms, more_ms, &pauses);
        }

        #[test]
        fn what_is_known_to_be_absent_is_forgotten_at_its_millisecond(ttl_ms in 1_i64..600_000) {
            what_is_known_to_be_absent_is_forgotten_at_its_millisecond_on(redis_backends(), ttl_ms);
        }

        #[test]
        fn neither_a_walk_nor_a_lease_sees_what_is_gone(ttl_ms in 1_i64..5_000_000) {
            neither_a_walk_nor_a_lease_sees_what_is_gone_on(redis_backends(), ttl_ms);
        }
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
