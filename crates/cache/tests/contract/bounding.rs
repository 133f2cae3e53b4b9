//! What beside values takes memory of the embedded backend: it has a bound and counts in that of the whole.

use bytes::Bytes;
use plinth_cache::CacheSettings;
use plinth_cache::model::{
    Bounds, Change, ChangeKind, Condition, Guard, Increment, LeaseMs, LeaseState, LeaseWhen, Once,
    Put, Space,
};
use plinth_core::{Error, ErrorCode, Fence};

use crate::support::*;

fn under(fence: Fence) -> Guard {
    Guard {
        fence: Some(fence),
        ..ALL
    }
}

async fn write(rig: &Rig, space: &Space, fence: (&str, i64)) -> Result<(), Error> {
    let fence = Fence::parse(fence.0, fence.1).expect("a fence");
    let changes = vec![delete("k", None)];
    let written = rig.backend.apply(space, changes, under(fence)).await;
    written.map(|_| ()).map_err(Error::from)
}

#[tokio::test]
async fn a_namespace_that_holds_nothing_makes_room_for_another() {
    let rig = memory_with(&CacheSettings {
        namespaces_max: 4,
        ..CacheSettings::default()
    });
    let [idle, living, fenced, leased] =
        ["idle", "living", "fenced", "leased"].map(|name| space("shop", name));
    for (space, ttl_ms) in [(&idle, Some(10)), (&living, None)] {
        let change = put("k", b"v", ttl_ms, Condition::Always);
        apply(&rig, space, change).await.expect("stores");
    }
    write(&rig, &fenced, ("lock", 7)).await.expect("writes");
    let lease = LeaseMs::parse(Some(1_000)).expect("a lease");
    let key = key("k");
    let asked = rig
        .backend
        .get_or_lease(&leased, &key, lease, LeaseWhen::Needed);
    let LeaseState::Granted { token } = asked.await.expect("asks").answer.lease else {
        panic!("nobody else fills it");
    };
    let store_in = async |name: &str| {
        rig.sweep();
        let change = put("k", b"v", Some(10), Condition::Always);
        apply(&rig, &space("other", name), change)
            .await
            .map_err(|error| Error::from(error).code())
    };
    assert_eq!(store_in("one").await.err(), Some(ErrorCode::TooLarge));
    rig.clock.advance_ms(10);
    store_in("one")
        .await
        .expect("takes the place of the idle one");
    assert_eq!(store_in("two").await.err(), Some(ErrorCode::TooLarge));
    assert!(read(&rig, &living, "k").await.is_some(), "lives");
    let overtaken = write(&rig, &fenced, ("lock", 6)).await;
    let overtaken = overtaken.expect_err("was overtaken").code();
    assert_eq!(overtaken, ErrorCode::PreconditionFailed, "fences stay");
    let fill = Put {
        lease: Some(token),
        ..plain(b"filled")
    };
    apply(&rig, &leased, store("k", fill)).await.expect("fills");
    // What was forgotten begins anew, without an old version coming back.
    rig.clock.advance_ms(10);
    store_in("two").await.expect("takes the place of the next");
    assert_eq!(read(&rig, &idle, "k").await, None);
}

#[tokio::test]
async fn fences_take_a_part_of_the_memory_bound_at_most() {
    let bytes_max = 40_000;
    let rig = memory(bytes_max);
    let space = space("shop", "orders");
    write(&rig, &space, ("first", 5)).await.expect("writes");
    let one = rig.memory().bytes();
    assert!(one >= 5, "it is counted");
    let mut names = (0..1_000).map(|index| format!("lock{index:04}"));
    let refused = loop {
        let name = names.next().expect("one is refused before all are kept");
        match write(&rig, &space, (&name, 5)).await {
            Ok(()) => {}
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refused.code(), ErrorCode::TooLarge);
    assert_eq!(refused.violations()[0].field, "fence.name");
    assert!(rig.memory().bytes() <= bytes_max / 4);
    write(&rig, &space, ("first", 6)).await.expect("goes on");
    assert!(write(&rig, &space, ("first", 5)).await.is_err());
}

#[tokio::test]
async fn answers_to_idempotency_keys_take_a_part_of_the_memory_bound_at_most() {
    let bytes_max = 1_000_000;
    let rig = memory(bytes_max);
    let space = space("shop", "orders");
    let count = |id: usize| {
        let increment = Increment {
            delta: 1,
            initial: Some(0),
            bounds: Bounds::parse(None, None).expect("bounds"),
            created: life(None),
            renewed: None,
        };
        let change = Change {
            key: key("n"),
            kind: ChangeKind::Increment(increment),
        };
        let once = Once {
            id: id.to_string(),
            fingerprint: [1; 32],
            length: None,
        };
        let guard = Guard {
            once: Some(once),
            ..ALL
        };
        rig.backend.apply(&space, vec![change], guard)
    };
    count(0).await.expect("counts");
    let (first, held) = (rig.memory().bytes(), rig.backend.stats(&space));
    let held = held.await.expect("counts").bytes;
    assert!(first >= held + 100, "{first}: the answer is counted");
    for id in 1..5_000 {
        count(id).await.expect("counts");
    }
    let answers = rig.memory().bytes() - held;
    assert!((100_000..=bytes_max / 4).contains(&answers), "{answers}");
}

#[tokio::test]
async fn tags_that_nobody_carries_any_more_give_their_memory_back() {
    let rig = memory(64 * 1024 * 1024);
    let orders = space("shop", "orders");
    for index in 0..2_000 {
        let put = Put {
            life: life(Some(10)),
            tags: tags(&[&format!("t{index}")]),
            ..plain(b"v")
        };
        let stored = apply(&rig, &orders, store(&format!("k{index}"), put)).await;
        stored.expect("stores");
    }
    rig.clock.advance_ms(10);
    // Frees the entries, then what they alone carried.
    rig.sweep();
    rig.sweep();
    assert_eq!(rig.memory().bytes(), 0);
}

#[tokio::test]
async fn a_sample_holds_each_entry_once() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        for index in 0..20 {
            let value = Bytes::from(vec![b'v'; index]);
            let change = put(&format!("k{index}"), &value, None, Condition::Always);
            apply(&rig, &space, change).await.expect("stores");
        }
        let stats = rig.backend.stats(&space).await.expect("counts");
        let mut sizes: Vec<u64> = stats.sample.iter().map(|it| it.value_bytes).collect();
        sizes.sort_unstable();
        sizes.dedup();
        assert_eq!(sizes.len(), stats.sample.len(), "{name}: {sizes:?}");
        assert!(sizes.len() > 15, "{name}: {sizes:?}");
    }
}
