//! Loaders that fail, hang, loop, answer garbage: a precise error, or the degradation that the definition names.

use std::time::Duration;

use plinth_cache::model::{Freshness, LeaseMs, LeaseWait, Read};
use plinth_core::{Error, ErrorCode};

use crate::rig::{
    Act, ERROR_MS, HARD_MS, TTL_MS, call, call_in, code, houses, key, limits, space, text,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_and_remembered_longer_each_time() {
    for (name, house) in houses(1) {
        house.define(&limits()).await;
        house.loader.acts(|_| Act::Fail(ErrorCode::CacheLoadFailed));
        let first = house.get(0, "k").await.expect_err("fails");
        assert_eq!(code(first), ErrorCode::CacheLoadFailed, "{name}");
        let again = Error::from(house.get(0, "k").await.expect_err("fails"));
        assert_eq!(again.code(), ErrorCode::CacheLoadFailed, "{name}");
        assert_eq!(again.retry_after(), Some(ERROR_MS), "{name}");
        assert_eq!(house.loader.asked(), 1, "{name}");
        house.clock.advance_ms(ERROR_MS);
        house.get(0, "k").await.expect_err("fails");
        assert_eq!(house.loader.asked(), 2, "{name}");
        let longer = Error::from(house.get(0, "k").await.expect_err("fails"));
        assert_eq!(longer.retry_after(), Some(2 * ERROR_MS), "{name}");
        // A forced load asks all the same; once it is there, all is forgotten.
        house.loader.acts(|_| Act::Value);
        let loads = house.caches[0]
            .refresh(&call(), space(), vec![key("k")])
            .await;
        assert!(loads.expect("loads")[0].outcome.is_ok(), "{name}");
        assert_eq!(
            text(house.get(0, "k").await.expect("reads").answer),
            "k #3",
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_names_a_time_is_left_alone_so_long() {
    for (name, house) in houses(1) {
        house.define(&limits()).await;
        house.loader.acts(|_| Act::Later(5_000));
        house.get(0, "k").await.expect_err("fails");
        house.clock.advance_ms(4_999);
        house.get(0, "k").await.expect_err("fails");
        assert_eq!(house.loader.asked(), 1, "{name}");
        house.clock.advance_ms(1);
        house.get(0, "k").await.expect_err("fails");
        assert_eq!(house.loader.asked(), 2, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_fails_often_is_left_alone_and_tried_again() {
    for (name, house) in houses(1) {
        house.define(&limits()).await;
        house.loader.acts(|_| Act::Fail(ErrorCode::CacheLoadFailed));
        for n in 0..5 {
            house.get(0, &format!("k{n}")).await.expect_err("fails");
        }
        let refused = Error::from(house.get(0, "other").await.expect_err("fails"));
        assert_eq!(refused.code(), ErrorCode::CacheLoadFailed, "{name}");
        assert!(refused.retry_after().is_some(), "{name}");
        assert_eq!(house.loader.asked(), 5, "{name}");
        house.loader.acts(|_| Act::Value);
        house.clock.advance_ms(2_000);
        house.get(0, "third").await.expect("loads");
        house.get(0, "fourth").await.expect("loads");
        assert_eq!(house.loader.asked(), 7, "{name}");
        // Answers that are no values say nothing about its health.
        house
            .loader
            .acts(|_| Act::Fail(ErrorCode::CacheLoadBadAnswer));
        for n in 0..10 {
            house.get(0, &format!("bad{n}")).await.expect_err("fails");
        }
        assert_eq!(house.loader.asked(), 17, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_hangs_is_given_up_at_its_time() {
    for (name, house) in houses(2) {
        house.define(&limits()).await;
        house.loader.acts(|_| Act::Hang);
        let waiting = house.get_beside(0, "k");
        house.loader.began(1).await;
        house.clock.advance_ms(HARD_MS);
        let late = waiting.await.expect("joins").expect_err("is late");
        assert_eq!(code(late), ErrorCode::CacheLoadTimeout, "{name}");
        // The other instance remembers nothing, and the lease was given back.
        house.loader.acts(|_| Act::Value);
        assert_eq!(
            text(house.get(1, "k").await.expect("loads").answer),
            "k #2",
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_nobody_fills_is_waited_for_no_longer_than_a_load_may_take() {
    for (name, house) in houses(1) {
        house.define(&limits()).await;
        // As an instance leaves it that is killed while it loads.
        let lease = LeaseMs::parse(Some(60_000)).expect("a time");
        let wait = LeaseWait::parse(None).expect("a time");
        let leased = house.caches[0]
            .get_or_lease(&call(), space(), &key("k"), lease, wait)
            .await;
        leased.expect("leases");
        let waiting = house.get_beside(0, "k");
        while !waiting.is_finished() {
            house.clock.advance_ms(HARD_MS / 100);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let late = waiting.await.expect("joins").expect_err("is late");
        assert_eq!(code(late), ErrorCode::CacheLoadTimeout, "{name}");
        house.clock.advance_ms(60_000);
        assert_eq!(
            text(house.get(0, "k").await.expect("loads").answer),
            "k #1",
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_asks_for_its_own_key_is_told_so_at_once() {
    for (name, house) in houses(1) {
        house.define(&limits()).await;
        house.loader.hold();
        let waiting = house.get_beside(0, "k");
        house.loader.began(1).await;
        let inner = call_in(house.loader.trace());
        let looped = house.caches[0].get(&inner, space(), &key("k")).await;
        assert_eq!(
            code(looped.expect_err("loops")),
            ErrorCode::CacheLoadLoop,
            "{name}"
        );
        let forced = house.caches[0]
            .refresh(&inner, space(), vec![key("k")])
            .await;
        let forced = forced.expect("says each").remove(0).outcome;
        assert_eq!(
            forced.expect_err("loops").code(),
            ErrorCode::CacheLoadLoop,
            "{name}"
        );
        house.loader.let_go();
        assert_eq!(
            text(waiting.await.expect("joins").expect("loads").answer),
            "k #1",
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_value_is_refused_and_a_loader_that_breaks_off_breaks_nothing() {
    for (name, house) in houses(1) {
        house.define(&limits()).await;
        house.loader.acts(|key| match key {
            "garbage" => Act::Typed("text/\u{7}"),
            "empty" => Act::Typed(""),
            "typed" => Act::Typed("text/plain"),
            _ => Act::Panic,
        });
        for bad in ["garbage", "empty"] {
            let refused = house.get(0, bad).await.expect_err("is no value");
            assert_eq!(code(refused), ErrorCode::CacheLoadBadAnswer, "{name}");
        }
        let found = house.get(0, "typed").await.expect("loads").answer.found();
        let content_type = found.expect("a value").value.content_type;
        assert_eq!(content_type.as_str(), "text/plain", "{name}");
        let broken = house.get(0, "panics").await.expect_err("breaks off");
        assert_eq!(code(broken), ErrorCode::CacheLoadFailed, "{name}");
        house.loader.acts(|_| Act::Value);
        house.clock.advance_ms(2 * HARD_MS);
        house
            .get(0, "panics")
            .await
            .expect("loads once the lease has ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_value_stands_in_for_a_load_that_fails_until_its_end() {
    for (name, house) in houses(1) {
        let mut settings = limits();
        settings.fresh_percent = Some(50);
        settings.loader.as_mut().expect("a loader").soft_timeout_ms = Some(200);
        house.define(&settings).await;
        house.get(0, "k").await.expect("loads");
        house.loader.acts(|_| Act::Fail(ErrorCode::CacheLoadFailed));
        house.clock.advance_ms(TTL_MS / 2);
        for _ in 0..2 {
            let reply = house.get(0, "k").await.expect("degrades");
            assert!(reply.degraded, "{name}");
            let found = reply.answer.found().expect("the stale one");
            assert_eq!(found.freshness(), Freshness::Stale, "{name}");
            assert_eq!(found.value.bytes, "k #1", "{name}");
        }
        assert_eq!(house.loader.asked(), 2, "{name}");
        house.clock.advance_ms(TTL_MS / 2);
        let gone = house.get(0, "k").await.expect_err("its end has come");
        assert_eq!(code(gone), ErrorCode::CacheLoadFailed, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_an_absence_where_the_definition_says_so() {
    for (name, house) in houses(1) {
        let mut settings = limits();
        settings.loader.as_mut().expect("a loader").on_error = Some("absent".to_owned());
        house.define(&settings).await;
        house
            .loader
            .acts(|_| Act::Fail(ErrorCode::CacheLoadForbidden));
        let reply = house.get(0, "k").await.expect("degrades");
        assert!(reply.degraded && reply.answer == Read::Absent, "{name}");
        let loads = house.caches[0]
            .refresh(&call(), space(), vec![key("k")])
            .await;
        let told = loads.expect("says each").remove(0).outcome;
        let code = told.expect_err("is told all the same").code();
        assert_eq!(code, ErrorCode::CacheLoadForbidden, "{name}");
    }
}
