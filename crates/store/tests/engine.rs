//! The promises of the embedded engine.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests, which answer by panics"
)]

mod engine_support;
#[path = "engine_support/held.rs"]
mod held;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use plinth_store::{EngineLimits, EngineLocation, StoreError};
use tokio::sync::oneshot;

use engine_support::{file, open};
use held::{Held, ids, in_memory, insert, limits, queue, stored};

#[tokio::test]
async fn a_failing_operation_rolls_back_alone() {
    let engine = in_memory(limits());
    let held = Held::hold(&engine).await;
    let mut good = vec![queue(&engine, |connection| insert(connection, 1)).await];
    let failed = queue(&engine, |connection| {
        insert(connection, 2)?;
        insert(connection, 1)
    })
    .await;
    let refused = queue(&engine, |connection| {
        insert(connection, 3)?;
        Err::<(), _>(StoreError::IdempotencyConflict)
    })
    .await;
    let panicked = queue(&engine, |connection| -> Result<(), StoreError> {
        insert(connection, 4)?;
        panic!("on purpose")
    })
    .await;
    good.push(queue(&engine, |connection| insert(connection, 5)).await);
    held.release().await;
    for handle in good {
        handle.await.expect("joins").expect("commits");
    }
    let failed = failed.await.expect("joins").expect_err("collides");
    assert!(failed.is_unique_violation());
    let refused = refused.await.expect("joins").expect_err("refuses");
    assert!(matches!(refused, StoreError::IdempotencyConflict));
    let panicked = panicked.await.expect("joins").expect_err("panics");
    assert!(matches!(panicked, StoreError::Panicked { message } if message == "on purpose"));
    assert_eq!(stored(&engine).await, [1, 5]);
    // The one that held, the group behind it, and the read, which in memory goes the same way.
    assert_eq!(engine.commits(), 3);
}

#[tokio::test]
async fn a_transaction_that_sqlite_rolls_back_takes_only_what_came_before() {
    let engine = in_memory(limits());
    engine
        .write(|connection| insert(connection, 1))
        .await
        .expect("commits");
    let held = Held::hold(&engine).await;
    let before = queue(&engine, |connection| insert(connection, 2)).await;
    let culprit = queue(&engine, |connection| {
        connection.execute(
            "INSERT OR ROLLBACK INTO items (id, value) VALUES (1, 0)",
            [],
        )?;
        Ok(())
    })
    .await;
    let after = queue(&engine, |connection| insert(connection, 3)).await;
    held.release().await;
    let before = before.await.expect("joins").expect_err("is gone");
    assert!(matches!(before, StoreError::GroupRolledBack));
    let culprit = culprit.await.expect("joins").expect_err("collides");
    assert!(culprit.is_unique_violation());
    after.await.expect("joins").expect("commits");
    assert_eq!(stored(&engine).await, [1, 3]);
}

#[tokio::test]
async fn a_commit_that_fails_fails_its_whole_group_and_no_other() {
    let engine = in_memory(limits());
    let held = Held::hold(&engine).await;
    let good = queue(&engine, |connection| insert(connection, 1)).await;
    let dangling = queue(&engine, |connection| {
        connection.pragma_update(None, "defer_foreign_keys", true)?;
        connection.execute("INSERT INTO parts VALUES (99, 0)", [])?;
        Ok(())
    })
    .await;
    held.release().await;
    for error in [
        good.await.expect("joins").err(),
        dangling.await.expect("joins").err(),
    ] {
        assert!(matches!(error, Some(StoreError::Commit(_))), "{error:?}");
    }
    assert!(stored(&engine).await.is_empty());
    engine
        .write(|connection| insert(connection, 2))
        .await
        .expect("commits");
    assert_eq!(stored(&engine).await, [2]);
}

#[tokio::test]
async fn groups_hold_at_most_so_many_operations() {
    for (operations, commits) in [(3, 1), (4, 2), (6, 2), (7, 3)] {
        let engine = in_memory(EngineLimits {
            ops_per_group_max: 3,
            ..limits()
        });
        let held = Held::hold(&engine).await;
        let mut handles = Vec::new();
        for id in 0..operations {
            handles.push(queue(&engine, move |connection| insert(connection, id)).await);
        }
        held.release().await;
        for handle in handles {
            handle.await.expect("joins").expect("commits");
        }
        assert_eq!(engine.commits(), 1 + commits, "{operations} operations");
    }
}

#[tokio::test]
async fn a_group_waits_for_more_until_it_is_full() {
    let engine = in_memory(EngineLimits {
        ops_per_group_max: 2,
        group_wait_us: 3_600_000_000,
        ..limits()
    });
    // With an hour to wait, only a full group explains an answer.
    let (one, two) = tokio::join!(
        engine.write(|connection| insert(connection, 1)),
        engine.write(|connection| insert(connection, 2)),
    );
    assert_eq!((one.expect("commits"), two.expect("commits")), (1, 2));
    assert_eq!(engine.commits(), 1);
}

#[tokio::test]
async fn a_full_queue_refuses_after_a_bounded_wait() {
    let engine = in_memory(EngineLimits {
        ops_queued_max: 3,
        ..limits()
    });
    let held = Held::hold(&engine).await;
    let second = queue(&engine, |connection| insert(connection, 2)).await;
    let third = queue(&engine, |connection| insert(connection, 3)).await;
    let refused = engine.write(|connection| insert(connection, 4)).await;
    let error = plinth_core::Error::from(refused.expect_err("is refused"));
    assert_eq!(error.code().number(), 1009);
    assert!(error.retry_after().is_some());
    held.release().await;
    second.await.expect("joins").expect("commits");
    third.await.expect("joins").expect("commits");
    assert_eq!(stored(&engine).await, [2, 3]);
}

#[tokio::test]
async fn one_more_reader_than_allowed_is_refused_after_a_bounded_wait() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(
        file(folder.path()),
        EngineLimits {
            readers_max: 2,
            ..limits()
        },
    )
    .expect("opens");
    let mut releases = Vec::new();
    let mut reads = Vec::new();
    for _ in 0..2 {
        let (release, released) = mpsc::sync_channel::<()>(1);
        let (begin, begun) = oneshot::channel();
        let engine = engine.clone();
        reads.push(tokio::spawn(async move {
            engine
                .read(move |connection| {
                    let _test_gone = begin.send(()).is_err();
                    let _test_gone = released.recv().is_err();
                    ids(connection)
                })
                .await
        }));
        begun.await.expect("begins");
        releases.push(release);
    }
    let refused = engine.read(ids).await.expect_err("is refused");
    assert!(matches!(
        refused,
        StoreError::Overloaded {
            place: "reader",
            ..
        }
    ));
    drop(releases);
    for read in reads {
        read.await.expect("joins").expect("reads");
    }
    assert!(stored(&engine).await.is_empty());
}

#[tokio::test]
async fn a_read_cannot_write_and_sees_one_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    for location in [EngineLocation::Memory, file(folder.path())] {
        let engine = open(location.clone(), limits()).expect("opens");
        engine
            .write(|connection| insert(connection, 1))
            .await
            .expect("commits");
        let refused = engine.read(|connection| insert(connection, 2)).await;
        assert!(refused.is_err(), "{location:?} let a read write");
        engine
            .write(|connection| insert(connection, 3))
            .await
            .expect("commits");
        assert_eq!(stored(&engine).await, [1, 3]);
        engine.close().await;
    }
    let engine = open(file(folder.path()), limits()).expect("opens");
    let (begin, begun) = oneshot::channel();
    let (go_on, gone_on) = mpsc::sync_channel::<()>(1);
    let reader = engine.clone();
    let read = tokio::spawn(async move {
        reader
            .read(move |connection| {
                let before = ids(connection)?;
                let _test_gone = begin.send(()).is_err();
                let _test_gone = gone_on.recv().is_err();
                Ok::<_, StoreError>((before, ids(connection)?))
            })
            .await
    });
    begun.await.expect("begins");
    engine
        .write(|connection| insert(connection, 4))
        .await
        .expect("commits");
    drop(go_on);
    let (before, after) = read.await.expect("joins").expect("reads");
    assert_eq!(before, after);
    assert_eq!(stored(&engine).await, [1, 3, 4]);
}

#[tokio::test]
async fn a_panicking_read_leaves_the_pool_usable() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(
        file(folder.path()),
        EngineLimits {
            readers_max: 1,
            ..limits()
        },
    )
    .expect("opens");
    for _ in 0..3 {
        let panicked = engine
            .read(|_| -> Result<(), StoreError> { panic!("on purpose") })
            .await;
        assert!(matches!(panicked, Err(StoreError::Panicked { .. })));
    }
    assert!(stored(&engine).await.is_empty());
}

#[tokio::test]
async fn work_whose_caller_went_away_before_it_began_is_not_run() {
    let engine = in_memory(limits());
    let held = Held::hold(&engine).await;
    let ran = Arc::new(AtomicBool::new(false));
    let abandoned = queue(&engine, {
        let ran = Arc::clone(&ran);
        move |connection| {
            ran.store(true, Ordering::Release);
            insert(connection, 1)
        }
    })
    .await;
    abandoned.abort();
    assert!(abandoned.await.is_err());
    held.release().await;
    assert!(stored(&engine).await.is_empty());
    assert!(!ran.load(Ordering::Acquire));
}
