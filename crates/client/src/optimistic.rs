//! Optimistic writes: read, change, write where nothing changed meanwhile; again where something did.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use plinth_core::ErrorCode;

use crate::cache::{CacheClient, CacheValue, SetCondition, SetOptions, Stored};
use crate::db::{
    DbClient, DbResult, DbStatement, DbStep, DbTransactionOptions, DbTransactionResult,
};
use crate::error::{ClientError, Result};
use crate::retry::RetryPolicy;

/// How often optimistic writes met another writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conflicts {
    /// Attempts that found the value changed.
    pub met: u64,
    /// Writes that were given up after the last attempt.
    pub given_up: u64,
}

/// The counters behind [`Conflicts`].
#[derive(Debug, Default)]
pub(crate) struct Counts {
    met: AtomicU64,
    given_up: AtomicU64,
}

impl Counts {
    pub(crate) fn count(&self, given_up: bool) {
        self.met.fetch_add(1, Ordering::Relaxed);
        self.given_up
            .fetch_add(u64::from(given_up), Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Conflicts {
        Conflicts {
            met: self.met.load(Ordering::Relaxed),
            given_up: self.given_up.load(Ordering::Relaxed),
        }
    }
}

/// How often a write is tried against others, with growing random pauses: 16 attempts, pauses of at most 5 to 250 ms.
#[must_use]
pub fn conflict_policy() -> RetryPolicy {
    RetryPolicy {
        attempts_max: 16,
        pause_ms_initial: 5,
        pause_ms_max: 250,
    }
}

/// Whether a condition did not hold because somebody else wrote in between. A fence that was overtaken is no such thing: no
/// attempt of this holder will ever succeed.
fn is_conflict(error: &ClientError) -> bool {
    let overtaken = error
        .violations
        .iter()
        .any(|violation| violation.field == "fence.token");
    error.code == ErrorCode::PreconditionFailed.number() && !overtaken
}

impl CacheClient<'_> {
    /// Changes a value by compare-and-set: `change` gets what is stored and gives what shall be, or `None` to leave it.
    /// It may be called often; the expiry and media type of `options` go with the new value, its condition does not count.
    ///
    /// Errors: 1006 where others won every attempt of `policy`; those of [`CacheClient::set`].
    pub async fn update(
        &self,
        namespace: &str,
        key: &str,
        options: &SetOptions,
        policy: RetryPolicy,
        mut change: impl FnMut(Option<&CacheValue>) -> Option<Bytes>,
    ) -> Result<Option<Stored>> {
        let mut attempt = 1;
        loop {
            let current = self.get(namespace, key).await?;
            let Some(value) = change(current.as_ref()) else {
                return Ok(None);
            };
            let condition = current.map_or(SetCondition::Absent, |found| {
                SetCondition::Version(found.version)
            });
            let options = SetOptions {
                condition,
                ..options.clone()
            };
            match self.set(namespace, key, value, options).await {
                Ok(stored) => return Ok(Some(stored)),
                Err(error) => self.client().give_way(error, policy, attempt).await?,
            }
            attempt += 1;
        }
    }
}

impl DbClient<'_> {
    /// Changes rows by their version column: reads, lets `change` make steps of what was read, or `None` to leave it, and runs
    /// them as one transaction. A step that carries the version it read (`… WHERE id = ? AND version = ?`,
    /// [`DbStep::changing`] one row) fails where somebody else wrote in between; then all begins anew.
    ///
    /// Errors: 1006 where others won every attempt of `policy`, or at once where the fence was overtaken; those of
    /// [`DbClient::query`] and [`DbClient::transaction`].
    pub async fn update(
        &self,
        database: &str,
        read: &DbStatement,
        options: &DbTransactionOptions,
        policy: RetryPolicy,
        mut change: impl FnMut(&DbResult) -> Option<Vec<DbStep>>,
    ) -> Result<Option<DbTransactionResult>> {
        let mut attempt = 1;
        loop {
            let found = self.query(database, read).await?;
            let Some(steps) = change(&found) else {
                return Ok(None);
            };
            match self.transaction(database, &steps, options).await {
                Ok(done) => return Ok(Some(done)),
                Err(error) => self.client().give_way(error, policy, attempt).await?,
            }
            attempt += 1;
        }
    }
}

impl crate::Client {
    /// Waits a random moment after a conflict. Errors: the given one, where it is no conflict or was the last attempt's.
    async fn give_way(&self, error: ClientError, policy: RetryPolicy, attempt: u32) -> Result<()> {
        if !is_conflict(&error) {
            return Err(error);
        }
        let given_up = attempt >= policy.attempts_max;
        self.count_conflict(given_up);
        if given_up {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(policy.pause_ms(attempt))).await;
        Ok(())
    }
}
