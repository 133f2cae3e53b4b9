//! The checker agrees with one that tries every order of every choice of unknown ends.

use plinth_testkit::linear::{
    Counter, CounterOp, CounterReply, Ended, Lock, LockOp, LockReply, Model, Operation, Register,
    RegisterOp, RegisterReply, When, Window,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Expect, verdict};

/// Most operations of a history that is tried in every order.
const OPERATIONS_MAX: usize = 6;

fn returned_ns<I, O>(operation: &Operation<I, O>) -> u64 {
    match operation.ended {
        Ended::Answered { at_ns, .. } => at_ns,
        Ended::NotApplied | Ended::Unknown => u64::MAX,
    }
}

/// Tries every choice of the operations that may never happen.
fn brute<M: Model>(model: &M, history: &[Operation<M::Input, M::Output>]) -> Expect {
    let counted: Vec<_> = history
        .iter()
        .filter(|each| !matches!(each.ended, Ended::NotApplied))
        .collect();
    let explained = (0..1_u32 << counted.len()).any(|choice| {
        let (chosen, left): (Vec<_>, Vec<_>) = (0..counted.len())
            .map(|place| (place, counted[place]))
            .partition(|(place, _)| choice & (1 << place) != 0);
        let all_told = left
            .iter()
            .all(|(_, each)| matches!(each.ended, Ended::Unknown));
        let chosen: Vec<_> = chosen.into_iter().map(|(_, each)| each).collect();
        all_told && any_order(model, &chosen, &model.initial(), 0)
    });
    if explained {
        Expect::Linearizable
    } else {
        Expect::Violation
    }
}

/// Tries every order that respects real time: what was answered before another was invoked comes first.
fn any_order<M: Model>(
    model: &M,
    left: &[&Operation<M::Input, M::Output>],
    state: &M::State,
    earliest_ns: u64,
) -> bool {
    if left.is_empty() {
        return true;
    }
    let latest_ns = left
        .iter()
        .map(|each| returned_ns(each))
        .min()
        .unwrap_or(u64::MAX);
    (0..left.len()).any(|place| {
        let next = left[place];
        let comes_too_early = left
            .iter()
            .any(|other| returned_ns(other) < next.invoked_ns);
        if comes_too_early {
            return false;
        }
        let earliest_ns = earliest_ns.max(next.invoked_ns);
        let at = Window {
            earliest_ns,
            latest_ns,
        };
        model.step(state, next, at).is_some_and(|state| {
            let mut rest = left.to_vec();
            rest.remove(place);
            any_order(model, &rest, &state, earliest_ns)
        })
    })
}

/// Operations whose times overlap often. With small numbers, good answers come about by chance often enough.
fn histories<I, O>(
    asked: impl Strategy<Value = (I, O)>,
    time_unit_ns: u64,
) -> impl Strategy<Value = Vec<Operation<I, O>>>
where
    I: std::fmt::Debug + Clone,
    O: std::fmt::Debug + Clone,
{
    let one = (asked, 0..10_u64, 0..6_u64, 0..10_u8);
    vec(one, 0..=OPERATIONS_MAX).prop_map(move |all| {
        let operation = |((input, output), begin, lasts, kind)| Operation {
            client: 0,
            input,
            invoked_ns: begin * time_unit_ns,
            ended: match kind {
                0 | 1 => Ended::Unknown,
                2 => Ended::NotApplied,
                _ => Ended::Answered {
                    output,
                    at_ns: (begin + lasts) * time_unit_ns,
                },
            },
        };
        all.into_iter().map(operation).collect()
    })
}

fn register() -> impl Strategy<Value = (RegisterOp, RegisterReply)> {
    let version = || 1..4_i64;
    let value = || 1..3_u64;
    let when = prop_oneof![
        Just(When::Always),
        Just(When::Absent),
        Just(When::Present),
        version().prop_map(When::Version),
    ];
    let stored = prop_oneof![
        3 => version().prop_map(RegisterReply::Stored),
        1 => Just(RegisterReply::Refused),
    ];
    let deleted = prop_oneof![
        any::<bool>().prop_map(|existed| RegisterReply::Deleted { existed }),
        Just(RegisterReply::Refused),
    ];
    let read = proptest::option::of((value(), version())).prop_map(RegisterReply::Value);
    prop_oneof![
        3 => read.prop_map(|read| (RegisterOp::Get, read)),
        4 => (value(), when, stored).prop_map(|(value, when, reply)| (RegisterOp::Set { value, when }, reply)),
        2 => (proptest::option::of(version()), deleted)
            .prop_map(|(version, reply)| (RegisterOp::Delete { version }, reply)),
        1 => Just((RegisterOp::Lose, RegisterReply::Done)),
    ]
}

fn counter() -> impl Strategy<Value = (CounterOp, CounterReply)> {
    let asked = prop_oneof![
        Just(CounterOp::Get),
        (1..3_i64).prop_map(CounterOp::Add),
        (0..2_i64).prop_map(CounterOp::Set),
    ];
    (asked, (0..4_i64).prop_map(CounterReply::Now))
}

fn lock() -> impl Strategy<Value = (LockOp, LockReply)> {
    let token = || 1..4_i64;
    let held = || prop_oneof![2 => Just(LockReply::Done), 1 => Just(LockReply::NotHeld)];
    let granted = prop_oneof![
        3 => token().prop_map(LockReply::Granted),
        1 => Just(LockReply::Busy),
    ];
    prop_oneof![
        4 => (1..4_u64, granted).prop_map(|(lease_ms, reply)| (LockOp::Acquire { lease_ms }, reply)),
        2 => (token(), 1..4_u64, held())
            .prop_map(|(token, lease_ms, reply)| (LockOp::Renew { token, lease_ms }, reply)),
        2 => (token(), held()).prop_map(|(token, reply)| (LockOp::Release { token }, reply)),
        1 => proptest::option::of(token()).prop_map(|token| (LockOp::Inspect, LockReply::Holder(token))),
        1 => Just((LockOp::Lose, LockReply::Done)),
    ]
}

fn agree<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
) -> Result<(), TestCaseError> {
    prop_assert_eq!(verdict(model, history), brute(model, history));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn registers_agree(history in histories(register(), 1)) {
        agree(&Register, &history)?;
    }

    #[test]
    fn counters_agree(history in histories(counter(), 1)) {
        agree(&Counter, &history)?;
    }

    #[test]
    fn locks_agree(history in histories(lock(), 500_000)) {
        agree(&Lock::default(), &history)?;
    }
}
