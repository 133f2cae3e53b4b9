//! Operations that wait behind one that holds the writer, so that a test decides what is in a group.

use std::sync::mpsc;

use plinth_store::{Engine, EngineLimits, EngineLocation, StoreError};
use rusqlite::Connection;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::engine_support::open;

pub(crate) fn limits() -> EngineLimits {
    EngineLimits {
        admission_wait_ms_max: 20,
        ..EngineLimits::default()
    }
}

pub(crate) fn in_memory(limits: EngineLimits) -> Engine {
    open(EngineLocation::Memory, limits).expect("opens")
}

pub(crate) fn insert(connection: &Connection, id: i64) -> Result<i64, StoreError> {
    connection.execute("INSERT INTO items (id, value) VALUES (?1, 0)", [id])?;
    Ok(id)
}

pub(crate) fn ids(connection: &Connection) -> Result<Vec<i64>, StoreError> {
    let mut statement = connection.prepare("SELECT id FROM items ORDER BY id")?;
    let ids = statement.query_map([], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

pub(crate) async fn stored(engine: &Engine) -> Vec<i64> {
    engine.read(ids).await.expect("reads")
}

/// An operation that holds the writer until it is released: what is sent meanwhile gathers in the queue.
pub(crate) struct Held {
    release: mpsc::SyncSender<()>,
    ended: JoinHandle<Result<(), StoreError>>,
}

impl Held {
    pub(crate) async fn hold(engine: &Engine) -> Self {
        let (release, released) = mpsc::sync_channel(1);
        let (begin, begun) = oneshot::channel();
        let engine = engine.clone();
        let ended = tokio::spawn(async move {
            engine
                .write(move |_| {
                    let _test_gone = begin.send(()).is_err();
                    let _test_gone = released.recv().is_err();
                    Ok(())
                })
                .await
        });
        begun.await.expect("the writer begins with it");
        Self { release, ended }
    }

    pub(crate) async fn release(self) {
        self.release.send(()).expect("is still held");
        self.ended.await.expect("joins").expect("commits");
    }
}

/// Starts a write and lets it reach the queue.
pub(crate) async fn queue<T, F>(engine: &Engine, work: F) -> JoinHandle<Result<T, StoreError>>
where
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    T: Send + 'static,
{
    let engine = engine.clone();
    let handle = tokio::spawn(async move { engine.write(work).await });
    // On the single thread of the test's runtime the task runs up to its first wait, which is for the answer.
    tokio::task::yield_now().await;
    handle
}
