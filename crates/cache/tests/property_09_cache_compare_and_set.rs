//! Property 9 (cache compare-and-set): a concurrent history of compare-and-sets on one key equals some serial order.
//!
//! Each client reads the counter with its version and tries to store the next number over that version. In a serial order
//! every success adds exactly one, so the final number equals the number of successes, no number is stored twice, and the
//! versions order the numbers.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a client of the history fails the test where it stands"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};

use plinth_cache::model::Condition;
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
