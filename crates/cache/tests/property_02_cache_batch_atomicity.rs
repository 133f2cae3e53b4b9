//! Property 2: of a batch all succeed or nothing changed, also under a fault in the middle; and no reader sees a part.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "the inputs are written in the tests; a bad one is a fault of the test"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plinth_cache::model::{
    Append, Change, ChangeKind, Condition, ContentType, Key, LeaseToken, Life, Put, Read,
};
use proptest::prelude::*;

use support::*;

/// Keys that also lie together where the namespace is spread.
fn name_of(index: usize) -> String {
    format!("{{batch}}{index}")
}

#[derive(Clone, Debug)]
enum Item {
    Put(Vec<u8>),
    Delete,
    Append(Vec<u8>),
    /// The fault: a condition that does not hold.
    Refused,
    /// The fault: a lease that was never given.
    Unleased,
}

impl Item {
    fn is_faulty(&self) -> bool {
        matches!(self, Self::Refused | Self::Unleased)
    }

    fn change(&self, name: &str) -> Change {
        match self {
            Self::Put(value) => put(name, value, None, Condition::Always),
            Self::Delete => delete(name, None),
            Self::Append(bytes) => {
                let append = Append {
                    bytes: bytes.clone().into(),
                    content_type: ContentType::parse(None).expect("a type"),
                    condition: Condition::Always,
                    created: Life::FOREVER,
                    renewed: None,
                };
                Change {
                    key: key(name),
                    kind: ChangeKind::Append(append),
                }
            }
            Self::Refused => put(name, b"x", None, Condition::Version(-1)),
            Self::Unleased => {
                let put = Put {
                    lease: Some(LeaseToken::new(1)),
                    ..plain(b"x")
                };
                store(name, put)
            }
        }
    }

    /// What stands after the change of what stood before.
    fn after(&self, old: Option<Vec<u8>>) -> Option<Vec<u8>> {
        match self {
            Self::Put(value) => Some(value.clone()),
            Self::Delete => None,
            Self::Append(bytes) => {
                let mut grown = old.unwrap_or_default();
                grown.extend(bytes);
                Some(grown)
            }
            Self::Refused | Self::Unleased => old,
        }
    }
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..32).prop_map(Item::Put),
        2 => Just(Item::Delete),
        2 => proptest::collection::vec(any::<u8>(), 0..32).prop_map(Item::Append),
        1 => prop_oneof![Just(Item::Refused), Just(Item::Unleased)],
    ]
}

fn check(
    rigs: Vec<(&'static str, Rig)>,
    before: &[bool],
    items: &[Item],
    atomic: bool,
) -> Result<(), TestCaseError> {
    for (name, rig) in rigs {
        let space = space("shop", "orders");
        let keys: Vec<Key> = (0..20).map(|index| key(&name_of(index))).collect();
        let changes = items.iter().enumerate();
        let changes = changes
            .map(|(index, item)| item.change(&name_of(index)))
            .collect();
        let (old, outcome, new): (Vec<Read>, _, Vec<Read>) = block_on(async {
            for (index, present) in before.iter().enumerate() {
                if *present {
                    apply(
                        &rig,
                        &space,
                        put(&name_of(index), b"old", None, Condition::Always),
                    )
                    .await
                    .expect("stores");
                }
            }
            let old = peek(&rig, &space, &keys).await;
            let guard = if atomic { ALL } else { EACH };
            let outcome = rig.backend.apply(&space, changes, guard).await;
            let new = peek(&rig, &space, &keys).await;
            (old, outcome, new)
        });
        let faulty = items.iter().any(Item::is_faulty);
        prop_assert_eq!(outcome.is_err(), faulty && atomic, "{}", name);
        if let Ok(reply) = outcome {
            let refused: Vec<bool> = reply.answer.iter().map(Result::is_err).collect();
            let expected: Vec<bool> = items.iter().map(Item::is_faulty).collect();
            prop_assert_eq!(refused, expected, "{}", name);
        }
        let bytes = |read: &Read| read.clone().found().map(|found| found.value.bytes.to_vec());
        for (index, (old, new)) in old.iter().zip(&new).enumerate() {
            match items.get(index) {
                Some(item) if !(item.is_faulty() || faulty && atomic) => {
                    prop_assert_eq!(bytes(new), item.after(bytes(old)), "{}: k{}", name, index);
                }
                _ => prop_assert_eq!(old, new, "{}: k{} changed", name, index),
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
        atomic in any::<bool>(),
    ) {
        check(memory_backends(), &before, &items, atomic)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_batch_in_redis_changes_everything_or_nothing(
        before in proptest::collection::vec(any::<bool>(), 20),
        items in proptest::collection::vec(item(), 1..20),
        atomic in any::<bool>(),
    ) {
        check(redis_backends(), &before, &items, atomic)?;
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
    let names: Vec<String> = (0..40).map(name_of).collect();
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
