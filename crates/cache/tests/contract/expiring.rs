//! Lives: absolute, sliding, stale, negative.

use plinth_cache::model::{
    Changed, Condition, Content, End, Expiring, Expiry, ExpiryFields, Freshness, Life, Put, Read,
};
use plinth_core::TimestampMs;

use crate::support::*;

#[tokio::test]
async fn an_end_on_the_wall_clock_is_kept_to_the_millisecond() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let at = TimestampMs(1_700_000_000_500);
        let put = Put {
            life: Life {
                end: End::At(at),
                ..Life::FOREVER
            },
            ..plain(b"v")
        };
        let changed = apply(&rig, &space, store("k", put)).await.expect("stores");
        assert_eq!(stored(&changed).expires_at_ms, Some(at.0), "{name}");
        rig.clock.advance_ms(499);
        assert!(read(&rig, &space, "k").await.is_some(), "{name}");
        rig.clock.advance_ms(1);
        assert!(read(&rig, &space, "k").await.is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_sliding_expiry_is_moved_by_reads_and_ends_at_its_maximum() {
    for (name, rig) in backends() {
        let space = space("shop", "sessions");
        let put = Put {
            life: Life {
                idle: Some(ttl(100)),
                ..Life::after(ttl(250))
            },
            ..plain(b"v")
        };
        apply(&rig, &space, store("k", put)).await.expect("stores");
        rig.clock.advance_ms(90);
        let found = stands(&rig, &space, "k").await.found().expect("lives");
        assert_eq!(
            (found.ttl_ms, found.expiring),
            (Some(100), Expiring::Sliding)
        );
        // Looking is no reading: the life goes on as it was.
        rig.clock.advance_ms(90);
        assert!(
            peek(&rig, &space, &[key("k")]).await[0].is_found(),
            "{name}"
        );
        rig.clock.advance_ms(9);
        let found = stands(&rig, &space, "k").await.found().expect("lives");
        assert_eq!(found.ttl_ms, Some(61), "{name}: the maximum cuts it");
        rig.clock.advance_ms(60);
        assert!(read(&rig, &space, "k").await.is_some(), "{name}");
        rig.clock.advance_ms(1);
        assert_eq!(read(&rig, &space, "k").await, None, "{name}");
    }
}

#[tokio::test]
async fn an_unread_sliding_entry_goes_after_its_idle_time() {
    for (name, rig) in backends() {
        let space = space("shop", "sessions");
        let put = Put {
            life: Life {
                idle: Some(ttl(100)),
                ..Life::after(ttl(1_000))
            },
            ..plain(b"v")
        };
        apply(&rig, &space, store("k", put)).await.expect("stores");
        rig.clock.advance_ms(100);
        assert_eq!(read(&rig, &space, "k").await, None, "{name}");
    }
}

#[tokio::test]
async fn a_value_turns_stale_and_is_still_served_until_its_end() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let put = Put {
            life: Life {
                fresh_ms: Some(40),
                ..Life::after(ttl(100))
            },
            ..plain(b"v")
        };
        apply(&rig, &space, store("k", put)).await.expect("stores");
        rig.clock.advance_ms(39);
        let found = stands(&rig, &space, "k").await.found().expect("lives");
        assert_eq!(
            (found.freshness(), found.fresh_ms, found.age_ms),
            (Freshness::Fresh, Some(1), 39),
            "{name}"
        );
        rig.clock.advance_ms(1);
        let found = stands(&rig, &space, "k").await.found().expect("lives");
        assert_eq!(found.freshness(), Freshness::Stale, "{name}");
        rig.clock.advance_ms(60);
        assert_eq!(stands(&rig, &space, "k").await, Read::Absent, "{name}");
    }
}

#[tokio::test]
async fn a_touch_reads_and_gives_a_new_life() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let first = apply(&rig, &space, put("k", b"v", Some(10), Condition::Always)).await;
        let first = version(&first.expect("stores"));
        let touched = apply(&rig, &space, touch("k", life(Some(50)))).await;
        let Changed::Touched(Read::Found(found)) = touched.expect("touches") else {
            panic!("{name}: nothing was found");
        };
        assert_eq!(
            (found.value.bytes.as_ref(), found.ttl_ms),
            (&b"v"[..], Some(50)),
            "{name}"
        );
        assert!(found.version > first, "{name}: a change has a new version");
        rig.clock.advance_ms(49);
        assert!(read(&rig, &space, "k").await.is_some(), "{name}");
        rig.clock.advance_ms(1);
        let gone = apply(&rig, &space, touch("k", life(Some(50)))).await;
        assert_eq!(
            gone.expect("answers"),
            Changed::Touched(Read::Absent),
            "{name}"
        );
        assert_eq!(read(&rig, &space, "k").await, None, "{name}");
    }
}

#[tokio::test]
async fn a_negative_entry_is_known_and_counts_as_absent() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let negative = || Put {
            content: Content::KnownAbsent,
            life: life(Some(20)),
            ..plain(b"")
        };
        apply(&rig, &space, store("k", negative()))
            .await
            .expect("stores");
        let Read::KnownAbsent(known) = stands(&rig, &space, "k").await else {
            panic!("{name}: is not known");
        };
        assert_eq!(known.ttl_ms, Some(20), "{name}");
        let touched = apply(&rig, &space, touch("k", life(Some(90)))).await;
        assert_eq!(
            touched.expect("answers"),
            Changed::Touched(Read::KnownAbsent(known)),
            "{name}: no touch makes it live longer"
        );
        for refused in [
            put("k", b"v", None, Condition::Present),
            expire("k", Some(10)),
        ] {
            assert!(apply(&rig, &space, refused).await.is_err(), "{name}");
        }
        let gone = apply(&rig, &space, delete("k", None)).await;
        assert_eq!(
            gone.expect("deletes"),
            Changed::Deleted { existed: false },
            "{name}"
        );
        assert_eq!(stands(&rig, &space, "k").await, Read::Absent, "{name}");
        apply(&rig, &space, store("k", negative()))
            .await
            .expect("stores");
        apply(&rig, &space, put("k", b"v", None, Condition::Absent))
            .await
            .expect("stores over it");
        assert_eq!(read(&rig, &space, "k").await, Some(b"v".to_vec()), "{name}");
        apply(&rig, &space, store("k", negative()))
            .await
            .expect("stores");
        rig.clock.advance_ms(20);
        assert_eq!(stands(&rig, &space, "k").await, Read::Absent, "{name}");
    }
}

#[test]
fn an_expiry_is_said_in_one_way() {
    let all = ExpiryFields {
        ttl_ms: Some(10),
        expires_at_ms: Some(10),
        sliding_ms: Some(10),
        persist: Some(true),
    };
    let none = ExpiryFields::default();
    let parse = |fields| Expiry::parse(fields);
    assert_eq!(parse(none).expect("parses"), Expiry::Default);
    let sliding = parse(ExpiryFields {
        ttl_ms: Some(10),
        sliding_ms: Some(10),
        ..none
    });
    assert!(matches!(
        sliding,
        Ok(Expiry::Sliding { limit: Some(_), .. })
    ));
    for (fields, field) in [
        (all, "ttl_ms"),
        (
            ExpiryFields {
                persist: None,
                ..all
            },
            "ttl_ms",
        ),
        (
            ExpiryFields {
                ttl_ms: None,
                ..all
            },
            "expires_at_ms",
        ),
        (
            ExpiryFields {
                persist: None,
                ttl_ms: None,
                ..all
            },
            "sliding_ms",
        ),
        (
            ExpiryFields {
                ttl_ms: Some(10),
                sliding_ms: Some(11),
                ..none
            },
            "sliding_ms",
        ),
        (
            ExpiryFields {
                sliding_ms: Some(9),
                ..none
            },
            "sliding_ms",
        ),
        (
            ExpiryFields {
                ttl_ms: Some(0),
                ..none
            },
            "ttl_ms",
        ),
    ] {
        let refused = parse(fields).expect_err("is refused");
        assert_eq!(refused.violations()[0].field, field, "{fields:?}");
    }
}
