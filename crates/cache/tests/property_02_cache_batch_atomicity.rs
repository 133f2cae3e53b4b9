//! Property 2: of a batch all succeed or nothing changed, also under a fault in the middle; and no reader sees a part.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "the inputs are written in the test; a bad one is a fault of the test"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plinth_cache::model::{Condition, Key, Read};
use proptest::prelude::*;

use support::*;

#[derive(Clone, Debug)]
enum Item {
    Put(Vec<u8>),
    Delete,
    /// The fault: a condition that does not hold.
    Refused,
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..32).prop_map(Item::Put),
        2 => Just(Item::Delete),
        1 => Just(Item::Refused),
    ]
}

fn check(
    rigs: Vec<(&'static str, Rig)>,
    before: &[bool],
    items: &[Item],
) -> Result<(), TestCaseError> {
    for (name, rig) in rigs {
        let space = space("shop", "orders");
        let keys: Vec<Key> = (0..20).map(|index| key(&format!("k{index}"))).collect();
        let changes = items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let name = format!("k{index}");
                match item {
                    Item::Put(value) => put(&name, value, None, Condition::Always),
                    Item::Delete => delete(&name, None),
                    Item::Refused => put(&name, b"x", None, Condition::Version(-1)),
                }
            })
            .collect();
        let (old, outcome, new): (Vec<Read>, _, Vec<Read>) = block_on(async {
            for (index, present) in before.iter().enumerate() {
                if *present {
                    let change = put(&format!("k{index}"), b"old", None, Condition::Always);
                    apply(&rig, &space, change).await.expect("stores");
                }
            }
            let old = peek(&rig, &space, &keys).await;
            let outcome = rig.backend.apply(&space, changes, ALL).await;
            let new = peek(&rig, &space, &keys).await;
            (old, outcome, new)
        });
        let faulty = items.iter().any(|item| matches!(item, Item::Refused));
        prop_assert_eq!(outcome.is_err(), faulty, "{}", name);
        for (index, (old, new)) in old.iter().zip(&new).enumerate() {
            match items.get(index) {
                _ if faulty => prop_assert_eq!(old, new, "{}: k{} changed", name, index),
                Some(Item::Put(value)) => prop_assert_eq!(
                    new.clone().found().map(|found| found.value.bytes.to_vec()),
                    Some(value.clone())
                ),
                Some(Item::Delete) => prop_assert_eq!(new, &Read::Absent),
                Some(Item::Refused) | None => prop_assert_eq!(old, new),
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_batch_changes_everything_or_nothing(
        before in proptest::collection::vec(any::<bool>(), 20),
        items in proptest::collection::vec(item(), 1..20),
    ) {
        check(memory_backends(), &before, &items)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_batch_in_redis_changes_everything_or_nothing(
        before in proptest::collection::vec(any::<bool>(), 20),
        items in proptest::collection::vec(item(), 1..20),
    ) {
        check(redis_backends(), &before, &items)?;
    }
}

/// Writers store the same number under many keys in one batch, readers read all keys: they must always agree.
#[test]
fn no_reader_sees_a_part_of_a_batch() {
    for (_, rig) in memory_backends() {
        watch_batches(rig, 2_000);
    }
    for (_, rig) in redis_backends() {
        watch_batches(rig, 100);
    }
}

fn watch_batches(rig: Rig, rounds: u64) {
    let rig = Arc::new(rig);
    let stop = Arc::new(AtomicBool::new(false));
    let names: Vec<String> = (0..40).map(|index| format!("k{index}")).collect();
    std::thread::scope(|threads| {
        for writer in 0_u64..2 {
            let (rig, names, stop) = (Arc::clone(&rig), &names, Arc::clone(&stop));
            threads.spawn(move || {
                let space = space("shop", "orders");
                for round in 0..rounds {
                    let value = (writer * 1_000_000 + round).to_be_bytes();
                    let changes = names
                        .iter()
                        .map(|name| put(name, &value, None, Condition::Always))
                        .collect();
                    block_on(rig.backend.apply(&space, changes, ALL)).expect("stores");
                }
                stop.store(true, Ordering::Release);
            });
        }
        let (rig, names, stop) = (Arc::clone(&rig), &names, Arc::clone(&stop));
        threads.spawn(move || {
            let space = space("shop", "orders");
            let keys: Vec<Key> = names.iter().map(|name| key(name)).collect();
            while !stop.load(Ordering::Acquire) {
                let found: Vec<Option<_>> = block_on(peek(&rig, &space, &keys))
                    .into_iter()
                    .map(|read| read.found().map(|found| found.value.bytes))
                    .collect();
                assert!(found.iter().all(|bytes| *bytes == found[0]));
            }
        });
    });
}
