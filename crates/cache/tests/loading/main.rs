//! Namespaces with a loader, on every backend: loaded once, bounded, refreshed, and precise where it fails.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "short ways to make requests fail the test where they stand"
)]

#[path = "../support/mod.rs"]
mod support;

mod failing;
mod refreshing;
mod rig;

use std::sync::Arc;

use plinth_cache::model::{Condition, Content, Expiry, Put, Read, Tags, Value};
use plinth_core::ErrorCode;

use rig::{Act, House, call, key, limits, text};

/// How many callers ask for one key at the same time.
const CALLERS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_callers_are_one_load() {
    for (name, house) in rig::houses(1) {
        house.define(&limits()).await;
        house.loader.hold();
        let cache = Arc::clone(&house.caches[0]);
        let callers: Vec<_> = (0..CALLERS).map(|_| house.get_beside(0, "A-1")).collect();
        house.loader.began(1).await;
        // All have asked the backend and found nothing before the load ends.
        loop {
            let stats = cache.stats(&call(), rig::space()).await.expect("numbers");
            if stats.misses == u64::try_from(CALLERS).expect("fits") {
                break;
            }
            tokio::task::yield_now().await;
        }
        house.loader.let_go();
        for caller in callers {
            let reply = caller.await.expect("joins").expect("loads");
            assert_eq!(text(reply.answer), "A-1 #1", "{name}");
        }
        let stats = cache.stats(&call(), rig::space()).await.expect("numbers");
        assert_eq!((house.loader.asked(), stats.loads.loads), (1, 1), "{name}");
        assert_eq!((stats.loads.errors, stats.sets), (0, 1), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_one_backend_are_one_load() {
    for (name, house) in rig::houses(2) {
        house.define(&limits()).await;
        house.loader.hold();
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| house.get_beside(caller % 2, "A-1"))
            .collect();
        house.loader.began(1).await;
        house.loader.let_go();
        for caller in callers {
            let reply = caller.await.expect("joins").expect("loads");
            assert_eq!(text(reply.answer), "A-1 #1", "{name}");
        }
        assert_eq!(house.loader.asked(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn that_there_is_none_is_remembered_for_its_own_time() {
    for (name, house) in rig::houses(1) {
        house.define(&limits()).await;
        house.loader.acts(|_| Act::Absent);
        for _ in 0..3 {
            let read = house.get(0, "none").await.expect("loads").answer;
            assert!(matches!(read, Read::KnownAbsent(_)), "{name}: {read:?}");
        }
        assert_eq!(house.loader.asked(), 1, "{name}");
        house.clock.advance_ms(rig::NEGATIVE_MS);
        house.get(0, "none").await.expect("loads");
        assert_eq!(house.loader.asked(), 2, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_while_it_is_loaded_is_never_overwritten() {
    for (name, house) in rig::houses(1) {
        house.define(&limits()).await;
        house.loader.hold();
        let waiting = house.get_beside(0, "set");
        house.loader.began(1).await;
        house.set(0, "set", "by a caller").await;
        house.loader.let_go();
        let reply = waiting.await.expect("joins").expect("reads");
        assert_eq!(text(reply.answer), "by a caller", "{name}");
        house.loader.hold();
        let waiting = house.get_beside(0, "deleted");
        house.loader.began(2).await;
        let deleted = house.caches[0]
            .delete(&call(), rig::space(), key("deleted"), None, None)
            .await;
        deleted.expect("deletes");
        house.loader.let_go();
        // The first load read what the delete ended, so there was a second.
        let reply = waiting.await.expect("joins").expect("loads");
        assert_eq!(text(reply.answer), "deleted #3", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_loads_what_it_lacks_each_alone_and_no_more_at_a_time_than_it_may() {
    for (name, house) in rig::houses(1) {
        let mut settings = limits();
        settings.loader.as_mut().expect("a loader").loads_max = Some(2);
        house.define(&settings).await;
        house.set(0, "there", "there").await;
        house.loader.acts(|key| match key {
            "bad" => Act::Fail(ErrorCode::CacheLoadBadAnswer),
            "none" => Act::Absent,
            _ => Act::Value,
        });
        let keys = ["a", "there", "bad", "none", "b", "c", "d"].map(key);
        let reply = house.caches[0]
            .batch_get(&call(), rig::space(), &keys)
            .await
            .expect("reads");
        let told: Vec<String> = reply
            .answer
            .into_iter()
            .map(|item| match (item.read, item.failure) {
                (Read::Found(found), None) => {
                    let bytes = found.value.bytes.to_vec();
                    let text = String::from_utf8(bytes).expect("text");
                    text.split(' ').next().expect("a word").to_owned()
                }
                (Read::KnownAbsent(_), None) => "absent".to_owned(),
                (Read::Absent, Some(error)) => error.code().number().to_string(),
                (read, error) => panic!("{read:?} {error:?}"),
            })
            .collect();
        assert_eq!(
            told,
            ["a", "there", "2010", "absent", "b", "c", "d"],
            "{name}"
        );
        assert_eq!(house.loader.asked(), 6, "{name}");
        assert!(house.loader.most_at_once() <= 2, "{name}");
        let stored = house.caches[0]
            .batch_get_stored(&call(), rig::space(), &[key("e")])
            .await;
        let stored = stored.expect("reads").answer;
        assert!(matches!(stored[0].read, Read::Absent), "{name}");
        let stored = house.caches[0]
            .get_stored(&call(), rig::space(), &key("e"))
            .await;
        assert_eq!(stored.expect("reads").answer, Read::Absent, "{name}");
        assert_eq!(house.loader.asked(), 6, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_any_longer_stops_no_load() {
    for (name, house) in rig::houses(1) {
        house.define(&limits()).await;
        house.loader.hold();
        let waiting = house.get_beside(0, "A-1");
        house.loader.began(1).await;
        waiting.abort();
        assert!(waiting.await.expect_err("is gone").is_cancelled());
        house.loader.let_go();
        let reply = house.get(0, "A-1").await.expect("reads");
        assert_eq!(
            (text(reply.answer), house.loader.asked()),
            ("A-1 #1".to_owned(), 1),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_instance_ends_its_loads_and_leaves_the_key_to_others() {
    for (name, house) in rig::houses(2) {
        house.define(&limits()).await;
        house.loader.hold();
        let waiting = house.get_beside(0, "A-1");
        house.loader.began(1).await;
        house.caches[0].stop_waiting();
        let error = waiting.await.expect("joins").expect_err("stops");
        assert_eq!(rig::code(error), ErrorCode::Overloaded, "{name}");
        let refused = house.get(0, "other").await.expect_err("stops");
        assert_eq!(rig::code(refused), ErrorCode::Overloaded, "{name}");
        house.loader.let_go();
        // The lease was given back: nobody waits for its end.
        let reply = house.get(1, "A-1").await.expect("loads");
        assert_eq!(text(reply.answer), "A-1 #2", "{name}");
    }
}

impl House {
    /// Stores a value as a caller.
    async fn set(&self, instance: usize, name: &str, value: &str) {
        let bytes = value.as_bytes().to_vec();
        let put = Put {
            content: Content::Value(Value::parse(bytes.into(), None, None).expect("a value")),
            life: Expiry::Default,
            condition: Condition::Always,
            tags: Tags::default(),
            lease: None,
        };
        let stored = self.caches[instance]
            .set(&call(), rig::space(), key(name), put, None)
            .await;
        stored.expect("stores");
    }
}
