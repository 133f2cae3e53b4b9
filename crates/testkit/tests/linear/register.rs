//! Histories of a key of the cache.

use plinth_testkit::linear::RegisterOp::{Delete, Get, Lose};
use plinth_testkit::linear::RegisterReply::{Deleted, Done, Refused, Stored, Value};
use plinth_testkit::linear::{
    Bounds, Ended, Operation, Register, RegisterOp, RegisterReply, Verdict, When, check,
};

use super::{bad, check_table, good, lost, told};

fn set(value: u64) -> RegisterOp {
    RegisterOp::Set {
        value,
        when: When::Always,
    }
}

fn set_when(value: u64, when: When) -> RegisterOp {
    RegisterOp::Set { value, when }
}

const fn cas(value: u64, version: i64) -> RegisterOp {
    RegisterOp::Set {
        value,
        when: When::Version(version),
    }
}

#[test]
fn one_after_the_other() {
    check_table(
        &Register,
        vec![
            good("nothing was asked", vec![]),
            good(
                "a set is read back",
                vec![
                    told(0, 1, set(1), Stored(5)),
                    told(2, 3, Get, Value(Some((1, 5)))),
                ],
            ),
            bad(
                "a read sees an older value",
                vec![
                    told(0, 1, set(1), Stored(5)),
                    told(2, 3, set(2), Stored(6)),
                    told(4, 5, Get, Value(Some((1, 5)))),
                ],
            ),
            bad(
                "a read sees what nobody wrote",
                vec![told(0, 1, Get, Value(Some((1, 5))))],
            ),
            bad(
                "the value of one set with the version of another",
                vec![
                    told(0, 3, set(1), Stored(5)),
                    told(0, 3, set(2), Stored(6)),
                    told(4, 5, Get, Value(Some((1, 6)))),
                ],
            ),
            bad(
                "a version that is no higher",
                vec![told(0, 1, set(1), Stored(5)), told(2, 3, set(2), Stored(5))],
            ),
            bad(
                "a version that is lower after a delete",
                vec![
                    told(0, 1, set(1), Stored(5)),
                    told(2, 3, Delete { version: None }, Deleted { existed: true }),
                    told(4, 5, set(2), Stored(4)),
                ],
            ),
            bad(
                "an old compare-and-set succeeds after a delete and a new set (ABA)",
                vec![
                    told(0, 1, set(1), Stored(5)),
                    told(2, 3, Delete { version: None }, Deleted { existed: true }),
                    told(4, 5, set(1), Stored(6)),
                    told(6, 7, cas(2, 5), Stored(7)),
                ],
            ),
            good(
                "a loss empties it, and versions go on above",
                vec![
                    told(0, 1, set(1), Stored(5)),
                    told(2, 3, Lose, Done),
                    told(4, 5, Get, Value(None)),
                    told(6, 7, cas(2, 5), Refused),
                    told(8, 9, set_when(3, When::Absent), Stored(6)),
                ],
            ),
            bad(
                "an old compare-and-set succeeds after a loss",
                vec![
                    told(0, 1, set(1), Stored(5)),
                    told(2, 3, Lose, Done),
                    told(4, 5, cas(2, 5), Stored(6)),
                ],
            ),
        ],
    );
}

#[test]
fn conditions() {
    check_table(
        &Register,
        vec![
            bad(
                "a refusal of a set without condition",
                vec![told(0, 1, set(1), Refused)],
            ),
            bad(
                "a set where absent is refused though it is absent",
                vec![told(0, 1, set_when(1, When::Absent), Refused)],
            ),
            bad(
                "a set where present is refused though it is present",
                vec![
                    told(0, 1, set(1), Stored(1)),
                    told(2, 3, set_when(2, When::Present), Refused),
                ],
            ),
            bad(
                "a compare-and-set is refused though the version is stored",
                vec![
                    told(0, 1, set(1), Stored(1)),
                    told(2, 3, cas(2, 1), Refused),
                ],
            ),
            bad(
                "a versioned delete is refused though the version is stored",
                vec![
                    told(0, 1, set(1), Stored(1)),
                    told(2, 3, Delete { version: Some(1) }, Refused),
                ],
            ),
            good(
                "a versioned delete of another version is refused",
                vec![
                    told(0, 1, set(1), Stored(1)),
                    told(2, 3, Delete { version: Some(7) }, Refused),
                    told(4, 5, Delete { version: Some(1) }, Deleted { existed: true }),
                    told(6, 7, Delete { version: None }, Deleted { existed: false }),
                ],
            ),
            bad(
                "a delete finds nothing though there is something",
                vec![
                    told(0, 1, set(1), Stored(1)),
                    told(2, 3, Delete { version: None }, Deleted { existed: false }),
                ],
            ),
            bad(
                "two callers create the same key",
                vec![
                    told(0, 9, set_when(1, When::Absent), Stored(1)),
                    told(0, 9, set_when(2, When::Absent), Stored(2)),
                ],
            ),
            bad(
                "an answer of another kind",
                vec![told(0, 1, Get, Stored(1))],
            ),
        ],
    );
}

#[test]
fn at_the_same_time() {
    check_table(
        &Register,
        vec![
            good(
                "concurrent sets take effect in any order",
                vec![
                    told(0, 9, set(1), Stored(6)),
                    told(0, 9, set(2), Stored(5)),
                    told(10, 11, Get, Value(Some((1, 6)))),
                ],
            ),
            good(
                "a read beside a set sees either",
                vec![
                    told(0, 9, set(1), Stored(5)),
                    told(1, 2, Get, Value(None)),
                    told(3, 4, Get, Value(Some((1, 5)))),
                ],
            ),
            bad(
                "a read sees the new value, a later read the old one",
                vec![
                    told(0, 9, set(1), Stored(5)),
                    told(1, 2, Get, Value(Some((1, 5)))),
                    told(3, 4, Get, Value(None)),
                ],
            ),
            bad(
                "two compare-and-sets of one version succeed (a lost update)",
                vec![
                    told(0, 1, set(1), Stored(5)),
                    told(2, 9, cas(2, 5), Stored(6)),
                    told(2, 9, cas(3, 5), Stored(7)),
                ],
            ),
            bad(
                "two readers see two sets in opposite orders",
                vec![
                    told(0, 99, set(1), Stored(5)),
                    told(0, 99, set(2), Stored(6)),
                    told(10, 11, Get, Value(Some((1, 5)))),
                    told(12, 13, Get, Value(Some((2, 6)))),
                    told(14, 15, Get, Value(Some((1, 5)))),
                ],
            ),
            good(
                "a chain of compare-and-sets, answered late and out of order",
                vec![
                    told(0, 90, set(1), Stored(1)),
                    told(1, 80, cas(2, 1), Stored(2)),
                    told(2, 70, cas(3, 2), Stored(3)),
                    told(3, 60, cas(4, 3), Stored(4)),
                    told(4, 50, cas(5, 2), Refused),
                    told(91, 92, Get, Value(Some((4, 4)))),
                ],
            ),
            good(
                "an answer and an invocation at one instant count as concurrent",
                vec![told(0, 5, set(1), Stored(1)), told(5, 6, Get, Value(None))],
            ),
            bad(
                "one nanosecond later they do not",
                vec![told(0, 5, set(1), Stored(1)), told(6, 7, Get, Value(None))],
            ),
        ],
    );
}

#[test]
fn ends_that_nobody_knows() {
    check_table(
        &Register,
        vec![
            good(
                "it never happens",
                vec![lost(0, set(1)), told(1, 2, Get, Value(None))],
            ),
            good(
                "it happens long after",
                vec![
                    lost(0, set(1)),
                    told(1, 2, Get, Value(None)),
                    told(3, 4, set(2), Stored(8)),
                    told(5, 6, Get, Value(Some((2, 8)))),
                    told(7, 8, Get, Value(Some((1, 9)))),
                ],
            ),
            bad(
                "it happens before it was asked for",
                vec![told(0, 1, Get, Value(Some((1, 9)))), lost(2, set(1))],
            ),
            bad(
                "it happens and is undone",
                vec![
                    lost(0, set(1)),
                    told(1, 2, Get, Value(Some((1, 9)))),
                    told(3, 4, Get, Value(None)),
                ],
            ),
            bad(
                "it happens twice",
                vec![
                    lost(0, set(1)),
                    told(1, 2, Get, Value(Some((1, 9)))),
                    told(3, 4, set(2), Stored(10)),
                    told(5, 6, Get, Value(Some((1, 11)))),
                ],
            ),
            bad(
                "its version is read differently",
                vec![
                    lost(0, set(1)),
                    told(1, 2, Get, Value(Some((1, 9)))),
                    told(3, 4, Get, Value(Some((1, 10)))),
                ],
            ),
            bad(
                "its version is no higher than the one before",
                vec![
                    told(0, 1, set(1), Stored(9)),
                    lost(2, set(2)),
                    told(3, 4, Get, Value(Some((2, 9)))),
                ],
            ),
            good(
                "its version is learned by a read and compared",
                vec![
                    told(0, 1, set(1), Stored(5)),
                    lost(2, cas(2, 5)),
                    told(3, 4, Get, Value(Some((2, 7)))),
                    told(5, 6, cas(3, 5), Refused),
                    told(7, 8, cas(3, 7), Stored(8)),
                ],
            ),
            bad(
                "a compare-and-set of unknown end takes effect after its version is gone",
                vec![
                    told(0, 1, set(1), Stored(5)),
                    told(2, 3, set(2), Stored(6)),
                    lost(4, cas(3, 5)),
                    told(5, 6, Get, Value(Some((3, 7)))),
                ],
            ),
            good(
                "a delete of unknown end",
                vec![
                    told(0, 1, set(1), Stored(5)),
                    lost(2, Delete { version: Some(5) }),
                    told(3, 4, Get, Value(Some((1, 5)))),
                    told(5, 6, Get, Value(None)),
                ],
            ),
            good(
                "a read of unknown end says nothing",
                vec![lost(0, Get), lost(1, Get)],
            ),
        ],
    );
}

#[test]
fn what_changed_nothing_must_not_be_seen() {
    let set_failed = Operation {
        client: 0,
        input: set(1),
        invoked_ns: 0,
        ended: Ended::NotApplied,
    };
    check_table(
        &Register,
        vec![
            good(
                "it is not seen",
                vec![set_failed.clone(), told(1, 2, Get, Value(None))],
            ),
            bad(
                "it is seen",
                vec![set_failed, told(1, 2, Get, Value(Some((1, 9))))],
            ),
        ],
    );
}

/// Sets that overlap all, and a read that none explains: every order must be tried.
fn riddle(sets: u64) -> Vec<Operation<RegisterOp, RegisterReply>> {
    let mut history: Vec<_> = (0..sets).map(|value| lost(value, set(value))).collect();
    history.push(told(sets, sets + 1, Get, Value(Some((sets, 1)))));
    history
}

#[test]
fn a_search_that_is_too_long_is_undecided() {
    let bounds = Bounds { steps_max: 1_000 };
    let steps = 1_000;
    let seen = check(&Register, &riddle(64), bounds);
    assert_eq!(seen, Verdict::Undecided { steps });
}

#[test]
fn a_violation_is_explained() {
    let history = [
        told(0, 1, set(1), Stored(5)),
        told(2, 3, Get, Value(Some((2, 5)))),
    ];
    let Verdict::Violation { explanation } = check(&Register, &history, Bounds::default()) else {
        panic!("a violation");
    };
    for part in ["1 of 2", "Known(5)", "Value(Some((2, 5)))"] {
        assert!(explanation.contains(part), "{part} in {explanation}");
    }
}

#[test]
fn a_long_history_is_checked_in_about_one_step_for_each_operation() {
    let mut history = Vec::new();
    for round in 0..5_000_u64 {
        // Four clients at once: one succeeds, three are refused, and all overlap.
        let at = round * 10;
        let version = i64::try_from(round).expect("small") + 1;
        let wanted = if round == 0 {
            When::Absent
        } else {
            When::Version(version - 1)
        };
        history.push(told(at, at + 8, set_when(round, wanted), Stored(version)));
        let lose = When::Version(version - 1);
        for client in 1..4 {
            history.push(told(at + client, at + 9, set_when(0, lose), Refused));
        }
    }
    match check(&Register, &history, Bounds::default()) {
        Verdict::Linearizable { steps } => assert!(steps < 200_000, "{steps} steps"),
        other => panic!("{other:?}"),
    }
}
