//! Property 9 for locks: concurrent histories are equal to some serial order.
//!
//! Many owners acquire, renew, release and go silent while the clock moves. For every lock the recorded leases, each from the
//! answer of its grant until its release, loss or last renewal plus lease, are laid in the order of their tokens:
//! exclusive ones overlap nothing, semaphores never exceed their size, and a later grant has a higher token. That order is
//! the serial one.

#![expect(clippy::expect_used, reason = "a broken fixture must fail the test")]
#![expect(clippy::indexing_slicing, reason = "a missing element fails the test")]
#![expect(dead_code, reason = "the fixtures serve several tests")]

mod support;

use std::sync::Arc;

use parking_lot::Mutex;
use plinth_lock::model::{LockAsk, LockGrant};
use plinth_store::EngineLocation;
use proptest::prelude::*;
use support::{Fixture, World, exclusive, permits, shared};

const OWNERS: usize = 6;
const LEASE_MS: u64 = 1_000;
const PERMITS: i32 = 3;

/// One step of one owner.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Acquire a lock, waiting so long.
    Acquire { lock: usize, wait_ms: i64 },
    /// Renew what is held.
    Renew,
    /// Release what is held.
    Release,
    /// Say nothing more of what is held.
    Forget,
    /// Let time pass.
    Advance { ms: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_usize, prop_oneof![Just(0_i64), 1..2_500_i64])
            .prop_map(|(lock, wait_ms)| Step::Acquire { lock, wait_ms }),
        2 => Just(Step::Renew),
        4 => Just(Step::Release),
        1 => Just(Step::Forget),
        2 => (1..700_u64).prop_map(|ms| Step::Advance { ms }),
    ];
    prop::collection::vec(step, 4..14)
}

fn ask(lock: usize) -> LockAsk {
    match lock {
        0 => exclusive("x"),
        1 => exclusive("rw"),
        2 => shared("rw"),
        _ => permits("s", 2, PERMITS),
    }
}

/// One lease as its holder knows it.
#[derive(Clone, Debug)]
struct Lease {
    lock: String,
    exclusive: bool,
    permits: i32,
    token: i64,
    /// Not before that it was granted: when the answer came.
    from_ms: u64,
    /// Until when its holder may rely on it; exclusive.
    until_ms: u64,
}

#[derive(Clone, Default)]
struct History(Arc<Mutex<Vec<Lease>>>);

impl History {
    fn begin(&self, kind: usize, grant: &LockGrant, from_ms: u64) -> usize {
        let mut leases = self.0.lock();
        leases.push(Lease {
            lock: grant.lock.clone(),
            exclusive: kind < 2,
            permits: if kind == 3 { 2 } else { 0 },
            token: grant.token.0,
            from_ms,
            until_ms: from_ms + LEASE_MS,
        });
        leases.len() - 1
    }

    fn change(&self, index: usize, change: impl FnOnce(&mut Lease)) {
        change(&mut self.0.lock()[index]);
    }
}

async fn act(fixture: Fixture, owner: String, steps: Vec<Step>, history: History) {
    let clock = Arc::clone(&fixture.clock);
    let now = || plinth_core::Clock::monotonic_ms(clock.as_ref());
    let mut held: Option<(LockGrant, usize)> = None;
    for step in steps {
        match step {
            Step::Acquire { lock, wait_ms } if held.is_none() => {
                let waits = |request: &mut plinth_lock::model::AcquireRequest| {
                    request.wait_ms = Some(wait_ms);
                };
                let reply = fixture.acquire(vec![ask(lock)], &owner, waits);
                if let Ok(reply) = reply.await {
                    let grant = reply.grants[0].clone();
                    // The holder knows when it asked and how long that took; the clock may have moved since the grant.
                    let index = history.begin(lock, &grant, now());
                    // Confirm, so that the lease is known to be alive now.
                    let asked = now();
                    let alive = fixture.renew(&grant, &owner).await;
                    history.change(index, |lease| {
                        lease.until_ms = if alive {
                            asked + LEASE_MS
                        } else {
                            lease.from_ms
                        };
                    });
                    held = alive.then_some((grant, index));
                }
            }
            Step::Renew => {
                if let Some((grant, index)) = &held {
                    let asked = now();
                    if fixture.renew(grant, &owner).await {
                        history.change(*index, |lease| lease.until_ms = asked + LEASE_MS);
                    } else {
                        held = None;
                    }
                }
            }
            Step::Release => {
                if let Some((grant, index)) = held.take() {
                    // From when it asks, it does not rely on the lock any more.
                    history.change(index, |lease| lease.until_ms = lease.until_ms.min(now()));
                    fixture.release(&grant, &owner).await;
                }
            }
            Step::Forget => held = None,
            Step::Advance { ms } => clock.advance_ms(ms),
            Step::Acquire { .. } => {}
        }
        tokio::task::yield_now().await;
    }
}

fn check(history: &[Lease]) -> Result<(), TestCaseError> {
    for lock in ["x", "rw", "s"] {
        let leases: Vec<&Lease> = history.iter().filter(|lease| lease.lock == lock).collect();
        for (at, one) in leases.iter().enumerate() {
            for other in &leases[at + 1..] {
                prop_assert_ne!(one.token, other.token, "a token was granted twice");
                let (earlier, later) = if one.token < other.token {
                    (one, other)
                } else {
                    (other, one)
                };
                let excludes = lock != "s" && (earlier.exclusive || later.exclusive);
                if excludes && earlier.until_ms > earlier.from_ms {
                    prop_assert!(
                        later.from_ms >= earlier.until_ms,
                        "{later:?} began while {earlier:?} was relied on"
                    );
                }
            }
        }
        // At every beginning of a lease, the permits that are relied on fit into the semaphore.
        for begins in leases
            .iter()
            .filter(|lease| lock == "s" && lease.until_ms > lease.from_ms)
        {
            let relied_on: i32 = leases
                .iter()
                .filter(|lease| lease.from_ms <= begins.from_ms && begins.from_ms < lease.until_ms)
                .map(|lease| lease.permits)
                .sum();
            prop_assert!(relied_on <= PERMITS, "{relied_on} permits at {begins:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn leases_of_a_concurrent_history_lie_in_the_order_of_their_tokens(
        scripts in prop::collection::vec(steps(), OWNERS),
        jumps in prop::collection::vec(-7_200_000..7_200_000_i64, 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let history = History::default();
        runtime.block_on(async {
            let fixture = Fixture::sqlite(EngineLocation::Memory, &World::new()).await;
            let mut acting = tokio::task::JoinSet::new();
            for (number, steps) in scripts.into_iter().enumerate() {
                let owner = format!("owner-{number}");
                acting.spawn(act(fixture.clone(), owner, steps, history.clone()));
            }
            for jump in jumps {
                fixture.clock.jump_wall_ms(jump);
                tokio::task::yield_now().await;
            }
            // Time goes on while somebody waits.
            while !acting.is_empty() {
                tokio::select! {
                    done = acting.join_next() => done.expect("one is left").expect("joins"),
                    () = tokio::time::sleep(std::time::Duration::from_millis(2)) => fixture.clock.advance_ms(40),
                }
            }
            fixture.service.close().await;
        });
        let leases = history.0.lock().clone();
        check(&leases)?;
    }
}
