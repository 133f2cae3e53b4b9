//! The files of the embedded engine: closing, reopening, versions of the schema, access rights.
#![expect(
    clippy::expect_used,
    reason = "helpers of tests, which answer by panics"
)]

mod engine_support;
#[path = "engine_support/held.rs"]
mod held;

use std::time::Duration;

use plinth_store::{Migration, StoreError};

use engine_support::{MIGRATIONS, file, open, open_with};
use held::{Held, ids, in_memory, insert, limits, queue, stored};

#[tokio::test]
async fn closing_finishes_what_is_queued_and_reopening_finds_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(file(folder.path()), limits()).expect("opens");
    let held = Held::hold(&engine).await;
    let mut queued = Vec::new();
    for id in 0..50 {
        queued.push(queue(&engine, move |connection| insert(connection, id)).await);
    }
    let closing = tokio::spawn({
        let engine = engine.clone();
        async move { engine.close().await }
    });
    tokio::task::yield_now().await;
    held.release().await;
    for handle in queued {
        handle
            .await
            .expect("joins")
            .expect("commits before the end");
    }
    closing.await.expect("joins");
    engine.close().await;
    let write = engine.write(|connection| insert(connection, 99)).await;
    let read = engine.read(ids).await;
    assert!(matches!(write, Err(StoreError::Closed { .. })));
    assert!(matches!(read, Err(StoreError::Closed { .. })));
    let log = folder.path().join("engine.db-wal");
    assert!(!log.exists(), "the log was not written back");
    let again = open(file(folder.path()), limits()).expect("opens again");
    assert_eq!(stored(&again).await, (0..50).collect::<Vec<_>>());
    again.close().await;
}

#[tokio::test]
async fn dropping_the_last_clone_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(file(folder.path()), limits()).expect("opens");
    engine
        .write(|connection| insert(connection, 1))
        .await
        .expect("commits");
    drop(engine);
    let again = open(file(folder.path()), limits()).expect("opens again");
    assert_eq!(stored(&again).await, [1]);
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let engine = open(file(&folder.path().join("deep/er")), limits()).expect("opens");
    engine
        .write(|connection| insert(connection, 1))
        .await
        .expect("commits");
    for name in ["engine.db", "engine.db-wal", "engine.db-shm"] {
        let path = folder.path().join("deep/er").join(name);
        let mode = path.metadata().expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

const FOREIGN: &[Migration] = &[Migration {
    version: 1,
    name: "another block",
    sql: "CREATE TABLE others (id INTEGER) STRICT;",
}];
const GAP: &[Migration] = &[
    Migration {
        version: 1,
        name: "items",
        sql: "",
    },
    Migration {
        version: 3,
        name: "later",
        sql: "",
    },
];
const BROKEN: &[Migration] = &[Migration {
    version: 1,
    name: "items",
    sql: "CREATE TABLE first (id INTEGER) STRICT; CREATE TABLE nonsense (;",
}];

#[tokio::test]
async fn schemas_go_forward_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let location = || file(folder.path());
    let open_on = |migrations| open_with(location(), limits(), migrations);
    let older = MIGRATIONS.get(..1).expect("has one");
    open_on(older).expect("opens").close().await;
    let newer = open_on(MIGRATIONS).expect("goes forward");
    newer
        .write(|connection| -> Result<_, StoreError> {
            Ok(connection.execute("DELETE FROM plinth_idempotency", [])?)
        })
        .await
        .expect("the second migration is there");
    newer.close().await;
    let refused = open_on(older).expect_err("is refused");
    assert!(matches!(
        refused,
        StoreError::SchemaNewer { found: 2, known: 1 }
    ));
    let refused = open_on(FOREIGN).expect_err("is refused");
    assert!(matches!(refused, StoreError::SchemaNewer { .. }));
    open_on(MIGRATIONS).expect("is untouched").close().await;
}

#[tokio::test]
async fn a_file_of_another_block_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let open_on = |migrations| open_with(file(folder.path()), limits(), migrations);
    open_on(FOREIGN).expect("opens").close().await;
    let refused = open_on(MIGRATIONS).expect_err("is refused");
    assert!(matches!(
        refused,
        StoreError::SchemaForeign { version: 1, .. }
    ));
    let refused = open_on(GAP).expect_err("is refused");
    assert!(matches!(
        refused,
        StoreError::MigrationOrder {
            version: 3,
            expected: 2,
            ..
        }
    ));
}

#[tokio::test]
async fn a_broken_migration_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = open_with(file(folder.path()), limits(), BROKEN);
    assert!(matches!(refused, Err(StoreError::Sqlite(_))));
    let engine = open(file(folder.path()), limits()).expect("the file is still empty");
    assert!(stored(&engine).await.is_empty());
}

/// A guard against tests that hang: every test above ends by events, and this bounds the slowest of them.
#[tokio::test]
async fn an_engine_that_is_closed_twice_at_once_ends() {
    let engine = in_memory(limits());
    let both = async { tokio::join!(engine.close(), engine.close()) };
    tokio::time::timeout(Duration::from_secs(10), both)
        .await
        .expect("ends");
}
