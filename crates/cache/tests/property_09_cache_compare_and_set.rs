//! Property 9 (cache compare-and-set): a concurrent history of compare-and-sets on one key equals some serial order.
//!
//! Each client reads the counter with its version and tries to store the next number over that version. In a serial order
//! every success adds exactly one, so the final number equals the number of successes, no number is stored twice, and the
//! versions order the numbers.
//!
//! The same holds for every operation that names a version (store, append, change of expiry, delete): each version that was
//! given is used up by at most one of them, and by exactly one where it does not stand at the end; a key is created once
//! more often than it is deleted, or as often where it is gone. Increments need no version: each tells another number.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a client of the history fails the test where it stands"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};

use bytes::Bytes;
use plinth_cache::model::{
    Append, Bounds, Change, ChangeKind, Changed, Condition, ContentType, Increment,
};
use proptest::prelude::*;

use support::*;

/// Runs one client and returns the (version, number) pairs that it stored.
fn client(rig: &Rig, start: &Barrier, attempts: usize) -> Vec<(i64, u64)> {
    let space = space("shop", "counters");
    let mut stored = Vec::new();
    start.wait();
    for _ in 0..attempts {
        let found = block_on(stands(rig, &space, "n")).found();
        let (condition, number) = found.map_or((Condition::Absent, 0), |found| {
            let bytes = found.value.bytes.as_ref().try_into().expect("eight bytes");
            (Condition::Version(found.version), u64::from_be_bytes(bytes))
        });
        let next = put("n", &(number + 1).to_be_bytes(), None, condition);
        let outcome = block_on(rig.backend.apply(&space, vec![next], ALL));
        if let Ok(reply) = outcome {
            let changed = reply.answer[0].as_ref().expect("stored");
            stored.push((version(changed), number + 1));
        }
    }
    stored
}

fn check(rig: Rig, clients: usize, attempts: usize) -> Result<(), TestCaseError> {
    let rig = Arc::new(rig);
    let start = Barrier::new(clients);
    let histories: Vec<Vec<(i64, u64)>> = std::thread::scope(|threads| {
        let running: Vec<_> = (0..clients)
            .map(|_| threads.spawn(|| client(&rig, &start, attempts)))
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("joins"))
            .collect()
    });
    let successes: usize = histories.iter().map(Vec::len).sum();
    let by_version: BTreeMap<i64, u64> = histories.into_iter().flatten().collect();
    prop_assert_eq!(by_version.len(), successes, "a version was given twice");
    let numbers: Vec<u64> = by_version.into_values().collect();
    let serial: Vec<u64> = (1..).take(successes).collect();
    prop_assert_eq!(numbers, serial);
    Ok(())
}

/// What a client did over a version: which one it used up (none where it created), which one it made (none where it deleted).
#[derive(Clone, Copy, Debug)]
struct Link {
    used: Option<i64>,
    made: Option<i64>,
}

fn over(version: i64, choice: usize) -> Change {
    let kind = match choice % 4 {
        0 => return put("k", b"stored", None, Condition::Version(version)),
        1 => ChangeKind::Append(Append {
            bytes: Bytes::from_static(b"+"),
            content_type: ContentType::default(),
            condition: Condition::Version(version),
            created: life(None),
            renewed: None,
        }),
        2 => ChangeKind::Expire {
            life: life(Some(1_000_000)),
            version: Some(version),
        },
        _ => ChangeKind::Delete {
            version: Some(version),
        },
    };
    Change {
        key: key("k"),
        kind,
    }
}

/// Runs one client that does what the choices name, each over the version that it read.
fn chooser(rig: &Rig, start: &Barrier, choices: &[usize]) -> Vec<Link> {
    let space = space("shop", "chain");
    let mut links = Vec::new();
    start.wait();
    for choice in choices {
        let used = block_on(stands(rig, &space, "k"))
            .found()
            .map(|found| found.version);
        let change = match used {
            Some(version) => over(version, *choice),
            None => put("k", b"created", None, Condition::Absent),
        };
        if let Ok(reply) = block_on(rig.backend.apply(&space, vec![change], ALL)) {
            let changed = reply.answer[0].as_ref().expect("done");
            let made = changed.stored().map(|stored| stored.version);
            links.push(Link { used, made });
        }
    }
    links
}

fn check_chain(rig: &Rig, clients: &[Vec<usize>]) -> Result<(), TestCaseError> {
    let start = Barrier::new(clients.len());
    let links: Vec<Link> = std::thread::scope(|threads| {
        let running: Vec<_> = clients
            .iter()
            .map(|choices| threads.spawn(|| chooser(rig, &start, choices)))
            .collect();
        let ended = running.into_iter();
        ended
            .flat_map(|thread| thread.join().expect("joins"))
            .collect()
    });
    let sorted = |versions: Vec<i64>| {
        let mut versions = versions;
        versions.sort_unstable();
        versions
    };
    let mut used = sorted(links.iter().filter_map(|link| link.used).collect());
    let made = sorted(links.iter().filter_map(|link| link.made).collect());
    let stands = block_on(stands(rig, &space("shop", "chain"), "k")).found();
    let end = stands.map(|found| found.version);
    used.extend(end);
    prop_assert_eq!(
        sorted(used),
        made,
        "every version but the last is used up once"
    );
    let created = links.iter().filter(|link| link.used.is_none()).count();
    let deleted = links.iter().filter(|link| link.made.is_none()).count();
    prop_assert_eq!(created, deleted + usize::from(end.is_some()));
    for link in &links {
        prop_assert!(link.made.is_none() || link.made > link.used, "{:?}", link);
    }
    Ok(())
}

fn check_count(rig: &Rig, clients: usize, attempts: usize) -> Result<(), TestCaseError> {
    let start = Barrier::new(clients);
    let space = space("shop", "counted");
    let counter = || {
        start.wait();
        let count = |_| {
            let kind = ChangeKind::Increment(Increment {
                delta: 1,
                initial: Some(0),
                bounds: Bounds::parse(None, None).expect("bounds"),
                created: life(None),
                renewed: None,
            });
            let change = Change {
                key: key("n"),
                kind,
            };
            let reply = block_on(rig.backend.apply(&space, vec![change], ALL)).expect("counts");
            match &reply.answer[0] {
                Ok(Changed::Counted { number, stored }) => Some((stored.version, *number)),
                _ => None,
            }
        };
        (0..attempts).map(count).collect::<Option<Vec<_>>>()
    };
    let told: Option<Vec<Vec<(i64, i64)>>> = std::thread::scope(|threads| {
        let running: Vec<_> = (0..clients).map(|_| threads.spawn(counter)).collect();
        let ended = running.into_iter();
        ended.map(|thread| thread.join().expect("joins")).collect()
    });
    let by_version: BTreeMap<i64, i64> = told.expect("numbers").into_iter().flatten().collect();
    let numbers: Vec<i64> = by_version.into_values().collect();
    let serial: Vec<i64> = (1..).take(clients * attempts).collect();
    prop_assert_eq!(numbers, serial);
    Ok(())
}

fn choices(most: usize) -> impl Strategy<Value = Vec<Vec<usize>>> {
    let one = proptest::collection::vec(0_usize..4, 1..most);
    proptest::collection::vec(one, 2..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_names_a_version_uses_it_up_once(clients in choices(200)) {
        check_chain(&memory(64 * 1024 * 1024), &clients)?;
    }

    #[test]
    fn concurrent_increments_each_tell_another_number(clients in 2_usize..6, attempts in 1_usize..300) {
        check_count(&memory(64 * 1024 * 1024), clients, attempts)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn whatever_names_a_version_in_redis_uses_it_up_once(clients in choices(60)) {
        for (_, rig) in redis_backends() {
            check_chain(&rig, &clients)?;
        }
    }

    #[test]
    fn concurrent_increments_in_redis_each_tell_another_number(clients in 2_usize..6, attempts in 1_usize..60) {
        for (_, rig) in redis_backends() {
            check_count(&rig, clients, attempts)?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn concurrent_compare_and_sets_equal_a_serial_order(clients in 2_usize..6, attempts in 1_usize..300) {
        check(memory(64 * 1024 * 1024), clients, attempts)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn concurrent_compare_and_sets_in_redis_equal_a_serial_order(clients in 2_usize..6, attempts in 1_usize..100) {
        for (_, rig) in redis_backends() {
            check(rig, clients, attempts)?;
        }
    }
}
