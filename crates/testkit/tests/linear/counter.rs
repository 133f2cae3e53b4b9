//! Histories of a counter.

use plinth_testkit::linear::Counter;
use plinth_testkit::linear::CounterOp::{Add, Get, Set};
use plinth_testkit::linear::CounterReply::{Now, Refused};

use super::{bad, check_table, good, lost, told};

#[test]
fn counters() {
    check_table(
        &Counter,
        vec![
            good(
                "sums in the order of their answers",
                vec![
                    told(0, 9, Add(1), Now(3)),
                    told(0, 9, Add(2), Now(2)),
                    told(10, 11, Get, Now(3)),
                ],
            ),
            bad(
                "an addition is lost",
                vec![told(0, 9, Add(1), Now(1)), told(0, 9, Add(1), Now(1))],
            ),
            bad(
                "an addition counts twice",
                vec![told(0, 1, Add(1), Now(1)), told(2, 3, Get, Now(2))],
            ),
            good(
                "an addition of unknown end counts once",
                vec![
                    lost(0, Add(5)),
                    told(1, 2, Get, Now(0)),
                    told(3, 4, Add(1), Now(6)),
                ],
            ),
            bad(
                "an addition of unknown end counts twice",
                vec![
                    lost(0, Add(5)),
                    told(1, 2, Get, Now(5)),
                    told(3, 4, Get, Now(10)),
                ],
            ),
            good(
                "a sum that does not fit is refused",
                vec![
                    told(0, 1, Set(i64::MAX), Now(i64::MAX)),
                    told(2, 3, Add(1), Refused),
                ],
            ),
            bad(
                "a sum that fits is refused",
                vec![told(0, 1, Add(1), Refused)],
            ),
        ],
    );
}
