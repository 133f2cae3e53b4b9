//! The pool of read-only connections.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::job::run_caught;
use super::{EngineLimits, connection};
use crate::error::StoreError;

/// Read-only connections on one file, opened when first needed, at most `readers_max` of them.
pub(super) struct Readers {
    engine: &'static str,
    path: PathBuf,
    admission_wait_ms_max: u64,
    readers_max: u32,
    /// A permit per read that runs.
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(engine: &'static str, path: PathBuf, limits: &EngineLimits) -> Self {
        let readers_max = u32::try_from(limits.readers_max.max(1)).unwrap_or(u32::MAX);
        Self {
            engine,
            path,
            admission_wait_ms_max: limits.admission_wait_ms_max,
            readers_max,
            permits: Arc::new(Semaphore::new(
                limits.readers_max.clamp(1, Semaphore::MAX_PERMITS),
            )),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Runs `work` inside one read transaction, so that all its statements see the same snapshot.
    pub(super) async fn read<T, E, F>(self: &Arc<Self>, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = self.permit().await?;
        let readers = Arc::clone(self);
        let running = tokio::task::spawn_blocking(move || {
            let result = readers.read_blocking(work);
            drop(permit);
            result
        });
        running.await.unwrap_or_else(|_runtime_stopping| {
            Err(StoreError::Closed {
                engine: self.engine,
            }
            .into())
        })
    }

    fn read_blocking<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E>,
        E: From<StoreError>,
    {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connection::open_reader(&self.path)?,
        };
        execute(&connection, "BEGIN")?;
        let result = run_caught(&connection, work);
        // A connection that cannot end its transaction is dropped, and with it the transaction.
        if execute(&connection, "COMMIT").is_ok() {
            self.idle.lock().push(connection);
        }
        result
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let waiting = Arc::clone(&self.permits).acquire_owned();
        let wait = Duration::from_millis(self.admission_wait_ms_max);
        match tokio::time::timeout(wait, waiting).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_closed)) => Err(StoreError::Closed {
                engine: self.engine,
            }),
            Err(_elapsed) => Err(StoreError::Overloaded {
                engine: self.engine,
                place: "reader",
                waited_ms: self.admission_wait_ms_max,
            }),
        }
    }

    /// Waits for the reads that run, refuses later ones and closes the connections.
    pub(super) async fn close(&self) {
        // All permits held means that no read runs. An error means that it was closed before.
        let _all = self.permits.acquire_many(self.readers_max).await;
        self.permits.close();
        self.idle.lock().clear();
    }
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
