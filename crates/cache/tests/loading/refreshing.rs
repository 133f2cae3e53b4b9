//! Values that are loaded anew: stale, due, forced, ahead, by the clock.

use std::sync::Arc;
use std::time::Duration;

use plinth_cache::model::{Freshness, LoadResult, Read};
use plinth_core::{Deadline, ErrorCode};
use tokio_util::sync::CancellationToken;

use crate::rig::{Act, HARD_MS, TTL_MS, call, code, houses, key, limits, space, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_value_is_answered_while_the_new_one_is_loaded() {
    for (name, house) in houses(1) {
        let mut settings = limits();
        settings.fresh_percent = Some(50);
        house.define(&settings).await;
        house.get(0, "k").await.expect("loads");
        house.clock.advance_ms(TTL_MS / 2);
        house.loader.hold();
        let found = house.get(0, "k").await.expect("reads").answer.found();
        let found = found.expect("the stale one");
        assert_eq!(found.freshness(), Freshness::Stale, "{name}");
        house.loader.began(2).await;
        house.loader.let_go();
        assert_eq!(house.stored_other_than("k", "k #1").await, "k #2", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_waits_its_soft_time_for_the_new_value_and_never_past_the_end_of_the_old_one() {
    for (name, house) in houses(1) {
        let mut settings = limits();
        settings.fresh_percent = Some(50);
        settings.loader.as_mut().expect("a loader").soft_timeout_ms = Some(200);
        house.define(&settings).await;
        house.get(0, "k").await.expect("loads");
        house.clock.advance_ms(TTL_MS / 2);
        let reply = house.get(0, "k").await.expect("loads");
        assert_eq!(text(reply.answer), "k #2", "{name}");
        house.clock.advance_ms(TTL_MS / 2);
        house.loader.hold();
        let waiting = house.get_beside(0, "k");
        house.loader.began(3).await;
        house.clock.advance_ms(200);
        let found = waiting.await.expect("joins").expect("reads").answer.found();
        let found = found.expect("the stale one");
        assert_eq!(
            (found.freshness(), &found.value.bytes[..]),
            (Freshness::Stale, &b"k #2"[..]),
            "{name}"
        );
        assert!(found.ttl_ms.expect("expires") <= TTL_MS / 2 - 200, "{name}");
        house.loader.let_go();
        // Whoever forces a load comes after the end of the one under way.
        let cache = &house.caches[0];
        let loads = cache.refresh(&call(), space(), vec![key("k")]).await;
        assert!(
            loads.expect("says each").remove(0).outcome.is_ok(),
            "{name}"
        );
        // The end of the stale value comes before the soft time is over: it is not answered any more.
        house.clock.advance_ms(TTL_MS - 100);
        house.loader.hold();
        let waiting = house.get_beside(0, "k");
        house.loader.began(5).await;
        house.clock.advance_ms(200);
        house.loader.let_go();
        let read = waiting.await.expect("joins").expect("reads").answer;
        assert_eq!(text(read), "k #5", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_is_read_is_loaded_ahead_of_its_end_by_one_instance() {
    for (name, house) in houses(2) {
        let mut settings = limits();
        settings.loader.as_mut().expect("a loader").refresh_percent = Some(80);
        house.define(&settings).await;
        house.get(0, "k").await.expect("loads");
        // Not a millisecond before the jitter's earliest time.
        house.clock.advance_ms(TTL_MS * 72 / 100 - 1);
        house.get(0, "k").await.expect("reads");
        house.get(1, "k").await.expect("reads");
        assert_eq!(house.loader.asked(), 1, "{name}");
        house.clock.advance_ms(TTL_MS * 8 / 100 + 1);
        house.loader.hold();
        for instance in [0, 1, 0, 1] {
            let found = house
                .get(instance, "k")
                .await
                .expect("reads")
                .answer
                .found();
            let found = found.expect("the one before");
            assert_eq!(
                (found.freshness(), &found.value.bytes[..]),
                (Freshness::Fresh, &b"k #1"[..]),
                "{name}"
            );
        }
        house.loader.began(2).await;
        house.loader.let_go();
        assert_eq!(house.stored_other_than("k", "k #1").await, "k #2", "{name}");
        assert_eq!(house.loader.asked(), 2, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_loads_whatever_stands_there_and_says_each() {
    for (name, house) in houses(1) {
        house.define(&limits()).await;
        house.loader.acts(|key| match key {
            "none" => Act::Absent,
            "away" => Act::Fail(ErrorCode::CacheLoadFailed),
            _ => Act::Value,
        });
        let before = house.get(0, "k").await.expect("loads").answer.found();
        let before = before.expect("a value").version;
        let keys = ["k", "none", "away", "new"].map(key).to_vec();
        let loads = house.caches[0]
            .refresh(&call(), space(), keys)
            .await
            .expect("loads");
        let told: Vec<_> = loads.into_iter().map(|load| load.outcome).collect();
        let Ok(LoadResult::Loaded { version }) = told[0] else {
            panic!("{name}: {:?}", told[0]);
        };
        assert!(version > before, "{name}");
        assert_eq!(
            *told[1].as_ref().expect("loads"),
            LoadResult::Absent,
            "{name}"
        );
        let away = told[2].as_ref().expect_err("is away");
        assert_eq!(away.code(), ErrorCode::CacheLoadFailed, "{name}");
        assert!(matches!(told[3], Ok(LoadResult::Loaded { .. })), "{name}");
        assert_eq!(house.loader.asked_for("k"), 2, "{name}");
        let plain = plinth_cache::model::Namespace::parse("plain").expect("a name");
        let refused = house.caches[0]
            .refresh(&call(), plain, vec![key("k")])
            .await;
        assert_eq!(
            code(refused.expect_err("has none")),
            ErrorCode::NotFound,
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_does_not_take_a_load_for_new_that_began_before_it() {
    for (name, house) in houses(1) {
        house.define(&limits()).await;
        house.loader.hold();
        let waiting = house.get_beside(0, "k");
        house.loader.began(1).await;
        let cache = Arc::clone(&house.caches[0]);
        let forced = tokio::spawn(async move {
            let mut loads = cache
                .refresh(&call(), space(), vec![key("k")])
                .await
                .expect("says each");
            loads.remove(0).outcome
        });
        house.loader.let_go();
        house.loader.began(2).await;
        assert!(forced.await.expect("joins").is_ok(), "{name}");
        waiting.await.expect("joins").expect("loads");
        assert_eq!(house.loader.asked(), 2, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preload_loads_what_is_not_there_and_says_what_the_deadline_cut_off() {
    for (name, house) in houses(1) {
        let mut settings = limits();
        let loader = settings.loader.as_mut().expect("a loader");
        loader.loads_max = Some(1);
        loader.warm_up = Some((0..250).map(|n| format!("w{n}")).collect());
        house.define(&settings).await;
        house.get(0, "w0").await.expect("loads");
        let loads = house.caches[0]
            .preload(&call(), space(), Vec::new())
            .await
            .expect("loads");
        assert_eq!((loads.len(), house.loader.asked()), (250, 250), "{name}");
        assert!(
            matches!(loads[0].outcome, Ok(LoadResult::Present { .. })),
            "{name}"
        );
        let rest = loads[1..].iter();
        for load in rest {
            assert!(
                matches!(load.outcome, Ok(LoadResult::Loaded { .. })),
                "{name}: {load:?}"
            );
        }
        assert!(
            matches!(house.stored("w249").await, Read::Found(_)),
            "{name}"
        );
        // A deadline in the middle: what was begun goes on, what was not says so.
        house.loader.acts(|_| Act::Hang);
        let mut hurried = call();
        hurried.deadline = Deadline::after_ms(0);
        let keys = ["x", "y", "w1"].map(key).to_vec();
        let loads = house.caches[0]
            .preload(&hurried, space(), keys)
            .await
            .expect("says each");
        let codes: Vec<_> = loads
            .into_iter()
            .map(|load| {
                load.outcome
                    .map_or_else(|error| error.code().number(), |_| 0)
            })
            .collect();
        assert_eq!(codes, [1010, 1010, 0], "{name}");
        let plain = plinth_cache::model::Namespace::parse("plain").expect("a name");
        let refused = house.caches[0]
            .preload(&call(), plain, vec![key("k")])
            .await;
        let refused = code(refused.expect_err("has none"));
        assert_eq!(refused, ErrorCode::NotFound, "{name}");
        house.define(&limits()).await;
        let refused = house.caches[0].preload(&call(), space(), Vec::new()).await;
        assert_eq!(
            code(refused.expect_err("has no list")),
            ErrorCode::InvalidArgument,
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_refreshes_each_key_once_an_interval_over_all_instances() {
    for (name, house) in houses(2) {
        let mut settings = limits();
        let loader = settings.loader.as_mut().expect("a loader");
        loader.warm_up = Some(vec!["a".to_owned(), "b".to_owned()]);
        loader.refresh_every_ms = Some(2_000);
        house.define(&settings).await;
        let stop = CancellationToken::new();
        let keepers: Vec<_> = house
            .caches
            .iter()
            .map(|cache| tokio::spawn(Arc::clone(cache).keep_warm(stop.clone())))
            .collect();
        let (rounds, mut passed_ms) = (5, 0);
        let mut before = (String::new(), String::new());
        for _ in 0..rounds {
            // The clock goes on as long as it takes: how fast the instances follow it is the machine's.
            while !house.is_newer("a", &before.0).await || !house.is_newer("b", &before.1).await {
                house.clock.advance_ms(50);
                passed_ms += 50;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            before = (text(house.stored("a").await), text(house.stored("b").await));
        }
        // A value that is younger than four fifths of the interval is left alone by every instance.
        let most = passed_ms / 1_600 + 1;
        for name_of_key in ["a", "b"] {
            let asked = u64::try_from(house.loader.asked_for(name_of_key)).expect("fits");
            assert!(asked <= most, "{name}: {asked} loads in {passed_ms} ms");
        }
        stop.cancel();
        for keeper in keepers {
            keeper.await.expect("ends");
        }
        let asked = house.loader.asked();
        house.clock.advance_ms(10_000);
        assert_eq!(house.loader.asked(), asked, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_keeps_what_is_known_of_it_while_other_things_are_defined() {
    for (name, house) in houses(1) {
        house.define(&limits()).await;
        house.loader.acts(|_| Act::Hang);
        let waiting: Vec<_> = ["a", "b", "c", "d", "e"]
            .map(|name| house.get_beside(0, name))
            .into();
        house.loader.began(5).await;
        house.clock.advance_ms(HARD_MS);
        for each in waiting {
            each.await.expect("joins").expect_err("is late");
        }
        let mut settings = limits();
        settings.keys_max = Some(64_000);
        house.define(&settings).await;
        house.get(0, "f").await.expect_err("is still left alone");
        assert_eq!(house.loader.asked(), 5, "{name}");
        settings.loader.as_mut().expect("a loader").loads_max = Some(4);
        house.define(&settings).await;
        house.loader.acts(|_| Act::Value);
        house.get(0, "f").await.expect("another loader begins anew");
    }
}
