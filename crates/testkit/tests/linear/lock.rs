//! Histories of a lock with leases of a millisecond.

use plinth_testkit::linear::LockOp::{Inspect, Lose, Release};
use plinth_testkit::linear::LockReply::{Busy, Done, Granted, Holder, NotHeld};
use plinth_testkit::linear::{Lock, LockOp};

use super::{bad, check_table, good, lost, told};

/// The lease, in nanoseconds.
const LEASE: u64 = 1_000_000;
const ACQUIRE: LockOp = LockOp::Acquire { lease_ms: 1 };
const fn renew(token: i64) -> LockOp {
    LockOp::Renew { token, lease_ms: 1 }
}
const STRICT: Lock = Lock { tolerance_ms: 0 };

#[test]
fn mutual_exclusion() {
    check_table(
        &STRICT,
        vec![
            good(
                "granted, busy, released, granted",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    told(2, 3, ACQUIRE, Busy),
                    told(4, 5, Inspect, Holder(Some(1))),
                    told(6, 7, Release { token: 1 }, Done),
                    told(8, 9, Inspect, Holder(None)),
                    told(10, 11, ACQUIRE, Granted(2)),
                ],
            ),
            bad(
                "two holders at once",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    told(2, 3, ACQUIRE, Granted(2)),
                ],
            ),
            bad(
                "busy though nobody holds it",
                vec![told(0, 1, ACQUIRE, Busy)],
            ),
            good(
                "a waiting caller is granted what another releases",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    told(2, 20, ACQUIRE, Granted(2)),
                    told(10, 21, Release { token: 1 }, Done),
                ],
            ),
            bad(
                "a waiting caller is granted it before the release is asked for",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    told(2, 9, ACQUIRE, Granted(2)),
                    told(10, 11, Release { token: 1 }, Done),
                ],
            ),
        ],
    );
}

#[test]
fn tokens() {
    let released = |first, second| {
        vec![
            told(0, 1, ACQUIRE, Granted(first)),
            told(2, 3, Release { token: first }, Done),
            told(4, 5, ACQUIRE, Granted(second)),
        ]
    };
    check_table(
        &STRICT,
        vec![
            good("tokens grow", released(1, 9)),
            bad("a token repeats", released(7, 7)),
            bad("a token goes back", released(7, 6)),
            bad(
                "a token goes back after a loss",
                vec![
                    told(0, 1, ACQUIRE, Granted(7)),
                    told(2, 3, Lose, Done),
                    told(4, 5, ACQUIRE, Granted(1)),
                ],
            ),
            bad(
                "a stale token releases another's lock",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    told(2, 3, Release { token: 1 }, Done),
                    told(4, 5, ACQUIRE, Granted(2)),
                    told(6, 7, Release { token: 1 }, Done),
                ],
            ),
            good(
                "a stale token is told so",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    told(2, 3, Release { token: 1 }, Done),
                    told(4, 5, renew(1), NotHeld),
                    told(6, 7, ACQUIRE, Granted(2)),
                    told(8, 9, Release { token: 1 }, NotHeld),
                ],
            ),
        ],
    );
}

#[test]
fn leases() {
    check_table(
        &STRICT,
        vec![
            good(
                "the next is granted it when the lease is over",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    told(LEASE, LEASE + 1, ACQUIRE, Granted(2)),
                    told(LEASE + 2, LEASE + 3, renew(1), NotHeld),
                ],
            ),
            bad(
                "the next is granted it a nanosecond before",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    told(2, LEASE - 1, ACQUIRE, Granted(2)),
                ],
            ),
            bad(
                "a holder is told that it lost a lease that runs",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    told(2, 3, renew(1), NotHeld),
                ],
            ),
            bad(
                "a renewed lease is cut short",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    told(LEASE - 9, LEASE - 8, renew(1), Done),
                    told(LEASE, LEASE + 1, ACQUIRE, Granted(2)),
                ],
            ),
            bad(
                "a renewal succeeds after another was granted it",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    told(LEASE, LEASE + 1, ACQUIRE, Granted(2)),
                    told(LEASE + 2, LEASE + 3, renew(1), Done),
                ],
            ),
            bad(
                "the lease of a caller that waited begins at the grant, not at the call",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    told(2, LEASE - 1, ACQUIRE, Granted(2)),
                    told(LEASE - 9, LEASE - 3, Release { token: 1 }, Done),
                    told(LEASE + 8, LEASE + 9, ACQUIRE, Granted(3)),
                ],
            ),
            bad(
                "the lease of a caller that waited for the end of another begins there",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    told(2, LEASE + 1, ACQUIRE, Granted(2)),
                    told(LEASE + 2, 2 * LEASE - 1, ACQUIRE, Granted(3)),
                ],
            ),
        ],
    );
    let short = vec![
        told(0, 1, ACQUIRE, Granted(1)),
        told(2, LEASE - 1, ACQUIRE, Granted(2)),
    ];
    check_table(
        &Lock { tolerance_ms: 1 },
        vec![good("inside the tolerance", short)],
    );
}

#[test]
fn ends_that_nobody_knows() {
    check_table(
        &STRICT,
        vec![
            good(
                "a grant that was not delivered keeps others out",
                vec![
                    lost(0, ACQUIRE),
                    told(1, 2, ACQUIRE, Busy),
                    told(LEASE + 1, LEASE + 2, ACQUIRE, Granted(9)),
                ],
            ),
            bad(
                "its lease is cut short",
                vec![
                    lost(0, ACQUIRE),
                    told(1, 2, Inspect, Holder(Some(3))),
                    told(3, 4, Inspect, Holder(None)),
                ],
            ),
            good(
                "a release of unknown end",
                vec![
                    told(0, 1, ACQUIRE, Granted(1)),
                    lost(2, Release { token: 1 }),
                    told(3, 4, ACQUIRE, Busy),
                    told(5, 6, ACQUIRE, Granted(2)),
                ],
            ),
            bad(
                "the token of a grant that was not delivered is given again",
                vec![
                    lost(0, ACQUIRE),
                    told(1, 2, Inspect, Holder(Some(3))),
                    told(LEASE + 2, LEASE + 3, ACQUIRE, Granted(3)),
                ],
            ),
        ],
    );
}
