//! What a backend of the cache must do.

use async_trait::async_trait;

use crate::error::CacheError;
use crate::model::{Change, Changed, Found, Key, Scope, Stats};

pub mod memory;

/// How the changes of one call hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Atomicity {
    /// All or nothing: the first change that is refused refuses all, and no reader sees a part.
    AllOrNothing,
    /// Each for itself.
    EachAlone,
}

/// What becomes of a read in the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// A hit or a miss.
    Counted,
    /// Neither.
    Silent,
}

/// A store of expiring, versioned values. Every backend passes the suite in `tests/contract.rs`.
#[async_trait]
pub trait CacheBackend: Send + Sync + 'static {
    /// The backend's name in statistics: `memory`.
    fn name(&self) -> &'static str;

    /// Reads one live entry.
    async fn get(&self, scope: &Scope, key: &Key) -> Result<Option<Found>, CacheError>;

    /// Reads many keys at one instant; one answer for each, in order.
    async fn get_many(
        &self,
        scope: &Scope,
        keys: &[Key],
        counting: Counting,
    ) -> Result<Vec<Option<Found>>, CacheError>;

    /// Applies changes; one answer for each, in order. All-or-nothing: the outer result is the refusal, whose path begins
    /// with `items[i]`. Each alone: the inner results are.
    async fn apply(
        &self,
        scope: &Scope,
        changes: Vec<Change>,
        atomicity: Atomicity,
    ) -> Result<Vec<Result<Changed, CacheError>>, CacheError>;

    /// Numbers of a namespace.
    async fn stats(&self, scope: &Scope) -> Result<Stats, CacheError>;
}
