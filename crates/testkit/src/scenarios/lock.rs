//! The `lock` block.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::BoxFuture;
use plinth_client::{
    AcquireOptions, CacheValue, ClientError, DbRegistration, DbResult, DbStatement, DbStep,
    DbTransactionOptions, DbValue, Fence, HoldOptions, LockAsk, RetryPolicy, SetOptions,
    conflict_policy,
};
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
        Scenario {
            name: "lock: a transaction carries the fence of its grant, and an overtaken holder writes nothing",
            run: fenced,
            expect: || {
                json!([
                    1,
                    1,
                    refused(1006, "PRECONDITION_FAILED", &["fence.token"]),
                    refused(1001, "INVALID_ARGUMENT", &["fence.token"]),
                    2,
                ])
            },
        },
        Scenario {
            name: "lock: a write of the cache carries the fence of its grant, and an overtaken holder changes nothing",
            run: fenced_value,
            expect: || {
                json!([
                    "stored",
                    "stored",
                    refused(1006, "PRECONDITION_FAILED", &["fence.token"]),
                    "second",
                ])
            },
        },
        Scenario {
            name: "lock: writers without a lock lose no update, and count their conflicts",
            run: optimistic,
            expect: || json!(["40", 40, true]),
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

const DATABASE: &str = "lock-scenarios";

/// A database with a table of its own.
async fn database(rig: &Rig, columns: &str) -> Result<String> {
    let name = rig.name(DATABASE);
    let registration = DbRegistration {
        engine: "sqlite".to_owned(),
        url: format!("{name}.db"),
        ..DbRegistration::default()
    };
    rig.client.db().register(&name, &registration).await?;
    let table = DbStatement::new(columns, vec![]);
    rig.client.db().execute(&name, &table).await?;
    Ok(name)
}

fn fenced<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (locks, name) = (rig.client.lock(), rig.name("fenced"));
        let database = database(rig, "CREATE TABLE decisions (who TEXT NOT NULL)").await?;
        let ask = [LockAsk::exclusive(&name)];
        let decide = async |who: &str, fence: Fence| {
            let sql = "INSERT INTO decisions (who) VALUES (?)";
            let step = DbStep::new(sql, vec![DbValue::Text(who.to_owned())]);
            let options = DbTransactionOptions {
                fence: Some(fence),
                ..DbTransactionOptions::default()
            };
            rig.client
                .db()
                .transaction(&database, &[step], &options)
                .await
        };
        let first = locks.hold(&ask, HoldOptions::default()).await?;
        log.outcome(decide("first", first.fence(&name)?).await, |done| {
            done.attempts
        });
        // The first one is stopped for longer than its lease, as far as it knows.
        locks.force_release(&name, None, "a test").await?;
        let second = locks.hold(&ask, HoldOptions::default()).await?;
        log.outcome(decide("second", second.fence(&name)?).await, |done| {
            done.attempts
        });
        log.outcome(decide("first", first.fence(&name)?).await, |done| {
            done.attempts
        });
        if let Err(error) = first.fence("another") {
            log.refusal(&error);
        }
        let count = DbStatement::new("SELECT who FROM decisions", vec![]);
        log.note(rig.client.db().query(&database, &count).await?.rows.len());
        second.release().await?;
        Ok(())
    })
}

fn fenced_value<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (locks, cache) = (rig.client.lock(), rig.client.cache());
        let name = rig.name("fenced-value");
        let ask = [LockAsk::exclusive(&name)];
        let write = async |fence: &Fence, value: &'static str| {
            let options = SetOptions::default();
            cache.under(fence).set(&name, "k", value, options).await
        };
        let first = locks.hold(&ask, HoldOptions::default()).await?;
        log.outcome(write(&first.fence(&name)?, "first").await, |_| "stored");
        locks.force_release(&name, None, "a test").await?;
        let second = locks.hold(&ask, HoldOptions::default()).await?;
        log.outcome(write(&second.fence(&name)?, "second").await, |_| "stored");
        log.outcome(write(&first.fence(&name)?, "late").await, |_| "stored");
        let found = cache.get(&name, "k").await?.context("is stored")?;
        log.note(String::from_utf8_lossy(&found.value).into_owned());
        second.release().await?;
        Ok(())
    })
}

/// Writers at once, and changes of each.
const WRITERS: usize = 4;
const CHANGES: usize = 10;

fn optimistic<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let client = &rig.client;
        let database = database(
            rig,
            "CREATE TABLE versions (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, version INTEGER NOT NULL)",
        )
        .await?;
        let row = DbStatement::new("INSERT INTO versions VALUES (1, 0, 1)", vec![]);
        client.db().execute(&database, &row).await?;
        let key = rig.name("counter");
        let patient = RetryPolicy {
            attempts_max: 200,
            ..conflict_policy()
        };
        let read = DbStatement::new("SELECT n, version FROM versions WHERE id = 1", vec![]);
        let write = async || -> Result<()> {
            for _ in 0..CHANGES {
                let add = |found: Option<&CacheValue>| {
                    let text =
                        found.map(|found| String::from_utf8_lossy(&found.value).into_owned());
                    let number: u64 = text.and_then(|text| text.parse().ok()).unwrap_or(0);
                    Some((number + 1).to_string().into())
                };
                let options = SetOptions::default();
                client
                    .cache()
                    .update("lock-scenarios", &key, &options, patient, add)
                    .await?;
                let next = |found: &DbResult| {
                    let values = &found.rows.first()?.values;
                    let (Some(DbValue::Int(n)), Some(DbValue::Int(version))) =
                        (values.first(), values.get(1))
                    else {
                        return None;
                    };
                    let sql = "UPDATE versions SET n = ?, version = ? WHERE id = 1 AND version = ?";
                    let to = [n + 1, version + 1, *version].map(DbValue::Int);
                    Some(vec![DbStep::new(sql, to.to_vec()).changing(1)])
                };
                let options = DbTransactionOptions::default();
                client
                    .db()
                    .update(&database, &read, &options, patient, next)
                    .await?;
            }
            Ok(())
        };
        let writers = futures::future::try_join_all((0..WRITERS).map(|_| write()));
        writers.await?;
        let cached = client.cache().get("lock-scenarios", &key).await?;
        log.note(cached.map(|found| String::from_utf8_lossy(&found.value).into_owned()));
        let stored = client.db().query(&database, &read).await?;
        let cell = stored.rows.first().and_then(|row| row.values.first());
        log.note(match cell {
            Some(DbValue::Int(n)) => *n,
            _ => -1,
        });
        let conflicts = client.conflicts();
        log.note(conflicts.met > 0 && conflicts.given_up == 0);
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
