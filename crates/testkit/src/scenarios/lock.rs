//! The `lock` block.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::BoxFuture;
use plinth_client::{AcquireOptions, ClientError, HoldOptions, LockAsk};
use serde_json::{Value, json};

use super::{Log, Rig, Scenario, refused};

/// A lock that was taken until the wait ended.
fn taken() -> Value {
    json!({ "code": 2603, "reason": "LOCK_NOT_ACQUIRED", "outcome": "not_applied", "retriable": true, "fields": [] })
}

/// The scenarios of the locks.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "lock: a held lock is refused to others, and the next token is higher",
            run: exclusive,
            expect: || json!([[1, true], taken(), [true], [false, 2602], true]),
        },
        Scenario {
            name: "lock: a waiter is granted as soon as the holder lets go",
            run: waiting,
            expect: || json!([["waiter", "holder"], true, ["waiter"]]),
        },
        Scenario {
            name: "lock: shared holds, permits and several at once",
            run: modes,
            expect: || {
                json!([
                    1,
                    1,
                    taken(),
                    1,
                    taken(),
                    refused(1005, "CONFLICT", &[]),
                    ["b", "a"],
                    refused(1001, "INVALID_ARGUMENT", &["locks[1].lock"]),
                ])
            },
        },
        Scenario {
            name: "lock: a lease that ends is lost, and who watches is told",
            run: lease_ends,
            expect: || json!([[true, "one"], [false, null], [false, 2602]]),
        },
        Scenario {
            name: "lock: a circle of waits is refused to the one that closes it",
            run: circle,
            expect: || {
                json!([
                    refused(2604, "LOCK_DEADLOCK", &[]),
                    refused(2604, "LOCK_DEADLOCK", &[]),
                    true,
                ])
            },
        },
        Scenario {
            name: "lock: an operator ends a lease and a listing shows what is left",
            run: force,
            expect: || {
                json!([
                    [1, 0],
                    1,
                    [false, 2602],
                    refused(1004, "NOT_FOUND", &[]),
                    refused(1001, "INVALID_ARGUMENT", &["reason"]),
                ])
            },
        },
        Scenario {
            name: "lock: a guard renews its lease, tells its loss, and gives it back when dropped",
            run: guard,
            expect: || json!(["held past its lease", taken(), [2602], "given back"]),
        },
    ]
}

/// The one item of an answer about one lock.
fn first_of<T>(items: &[T]) -> Result<&T> {
    items.first().context("the answer holds nothing")
}

fn owners(names: impl IntoIterator<Item = String>) -> Vec<String> {
    names.into_iter().collect()
}

fn exclusive<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (locks, name) = (rig.client.lock(), rig.name("exclusive"));
        let ask = [LockAsk::exclusive(&name)];
        let once = AcquireOptions::default();
        let first = locks.acquire(&ask, "one", &once).await?.grants;
        log.note((first_of(&first)?.depth, first_of(&first)?.token > 0));
        log.outcome(locks.acquire(&ask, "two", &once).await, |_| "granted");
        let items = locks.release("one", &first).await?;
        log.note(
            items
                .iter()
                .map(|item| item.code.is_none())
                .collect::<Vec<_>>(),
        );
        let again = locks.release("one", &first).await?;
        log.note((first_of(&again)?.held, first_of(&again)?.code));
        let second = locks.acquire(&ask, "two", &once).await?.grants;
        log.note(first_of(&second)?.token > first_of(&first)?.token);
        locks.release("two", &second).await?;
        Ok(())
    })
}

/// Waits until so many wait for a lock.
async fn until_waiting(rig: &Rig, name: &str, count: usize) -> Result<()> {
    for _ in 0..200 {
        if rig.client.lock().get(name).await?.waiters.len() == count {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("{count} waiters never came")
}

fn waiting<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (locks, name) = (rig.client.lock(), rig.name("waiting"));
        let ask = [LockAsk::exclusive(&name)];
        let held = locks
            .acquire(&ask, "holder", &AcquireOptions::default())
            .await?
            .grants;
        let client = rig.client.clone();
        let waiter = tokio::spawn(async move {
            let options = AcquireOptions::waiting_ms(20_000);
            client.lock().acquire(&ask, "waiter", &options).await
        });
        until_waiting(rig, &name, 1).await?;
        let info = locks.get(&name).await?;
        for waiter in &info.waiters {
            log.note((waiter.owner.clone(), waiter.waits_for.join(",")));
        }
        locks.release("holder", &held).await?;
        let granted = waiter.await??;
        log.note(first_of(&granted.grants)?.token > first_of(&held)?.token);
        let holders = locks.get(&name).await?.holders;
        log.note(owners(holders.into_iter().map(|holder| holder.owner)));
        locks.release("waiter", &granted.grants).await?;
        Ok(())
    })
}

fn modes<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let locks = rig.client.lock();
        let (shared, semaphore) = (rig.name("shared"), rig.name("semaphore"));
        let once = AcquireOptions::default();
        let take = async |ask: LockAsk, owner: &str| -> Result<usize, ClientError> {
            let acquired = locks.acquire(&[ask], owner, &once).await?;
            Ok(acquired.grants.len())
        };
        log.note(take(LockAsk::shared(&shared), "one").await?);
        log.note(take(LockAsk::shared(&shared), "two").await?);
        log.outcome(take(LockAsk::exclusive(&shared), "three").await, |count| {
            count
        });
        log.note(take(LockAsk::permits(&semaphore, 2, 3), "one").await?);
        log.outcome(
            take(LockAsk::permits(&semaphore, 2, 3), "two").await,
            |count| count,
        );
        log.outcome(take(LockAsk::exclusive(&semaphore), "two").await, |count| {
            count
        });
        let several = [
            LockAsk::exclusive(rig.name("b")),
            LockAsk::exclusive(rig.name("a")),
        ];
        let acquired = locks.acquire(&several, "one", &once).await?;
        let bare = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        log.note(
            acquired
                .grants
                .iter()
                .map(|grant| bare(&grant.lock))
                .collect::<Vec<_>>(),
        );
        let twice = [LockAsk::exclusive("t"), LockAsk::exclusive("t")];
        let outcome = locks.acquire(&twice, "one", &once).await;
        log.outcome(outcome, |_| "granted");
        Ok(())
    })
}

fn lease_ends<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (locks, name) = (rig.client.lock(), rig.name("lease"));
        let options = AcquireOptions {
            lease_ms: Some(300),
            ..AcquireOptions::default()
        };
        let ask = [LockAsk::exclusive(&name)];
        let grants = locks.acquire(&ask, "one", &options).await?.grants;
        let now = locks.verify(&name, first_of(&grants)?.token, None).await?;
        log.note((now.held, now.owner));
        let then = locks
            .verify(&name, first_of(&grants)?.token, Some(20_000))
            .await?;
        log.note((then.held, then.owner));
        let late = locks.renew("one", &grants, None).await?;
        log.note((first_of(&late)?.held, first_of(&late)?.code));
        Ok(())
    })
}

fn circle<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (locks, x, y) = (
            rig.client.lock(),
            rig.name("circle-x"),
            rig.name("circle-y"),
        );
        let once = AcquireOptions::default();
        let (ask_x, ask_y) = ([LockAsk::exclusive(&x)], [LockAsk::exclusive(&y)]);
        locks.acquire(&ask_x, "a", &once).await?;
        let of_b = locks.acquire(&ask_y, "b", &once).await?.grants;
        log.outcome(locks.acquire(&ask_x, "a", &once).await, |_| "granted");
        let (client, ask) = (rig.client.clone(), ask_y.clone());
        let first = tokio::spawn(async move {
            let options = AcquireOptions::waiting_ms(20_000);
            client.lock().acquire(&ask, "a", &options).await
        });
        until_waiting(rig, &y, 1).await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let closing = AcquireOptions::waiting_ms(20_000);
        log.outcome(locks.acquire(&ask_x, "b", &closing).await, |_| "granted");
        locks.release("b", &of_b).await?;
        log.note(first.await?.is_ok());
        Ok(())
    })
}

fn force<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (locks, name) = (rig.client.lock(), rig.name("forced"));
        let ask = [LockAsk::exclusive(&name)];
        let grants = locks
            .acquire(&ask, "one", &AcquireOptions::default())
            .await?
            .grants;
        let page = locks.list(Some(&name), None, None).await?;
        for lock in &page.locks {
            log.note((lock.holders, lock.waiters));
        }
        log.note(locks.force_release(&name, None, "hangs").await?);
        let late = locks.renew("one", &grants, None).await?;
        log.note((first_of(&late)?.held, first_of(&late)?.code));
        let again = locks.force_release(&name, Some(first_of(&grants)?.token), "hangs");
        log.outcome(again.await, |count| count);
        log.outcome(locks.force_release(&name, None, "").await, |count| count);
        Ok(())
    })
}

fn guard<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (locks, name) = (rig.client.lock(), rig.name("guarded"));
        let ask = [LockAsk::exclusive(&name)];
        let options = HoldOptions {
            lease_ms: 300,
            ..HoldOptions::default()
        };
        let guard = locks.hold(&ask, options.clone()).await?;
        let work = tokio::time::sleep(Duration::from_millis(900));
        guard.while_held(work).await?;
        ensure!(!guard.is_lost(), "the guard did not renew");
        log.note("held past its lease");
        let once = AcquireOptions::default();
        log.outcome(locks.acquire(&ask, "other", &once).await, |_| "granted");
        locks.force_release(&name, None, "a test").await?;
        let refused = guard.while_held(std::future::pending::<()>()).await;
        log.note(
            refused
                .err()
                .map(|error| error.code)
                .into_iter()
                .collect::<Vec<_>>(),
        );
        drop(guard);
        let guard = locks.hold(&ask, options).await?;
        drop(guard);
        let waits = HoldOptions {
            lease_ms: 60_000,
            ..HoldOptions::waiting_ms(20_000)
        };
        let next = locks.hold(&ask, waits).await?;
        ensure!(next.release().await?, "the lock was lost");
        log.note("given back");
        Ok(())
    })
}
