//! What a backend of the cache must do.
//!
//! **Versions.** Entry versions, tag stamps and lease tokens of a namespace come from one counter whose high part is an
//! epoch: higher whenever the engine comes back empty. A number is never given twice, so an old compare-and-set never succeeds
//! after a delete, an eviction or an empty restart.
//!
//! **Tags.** An entry carries its tags, the namespace keeps one stamp for each tag. The entry is live where every stamp is
//! there and below the entry's version: invalidating a tag is one write, and a stamp that was lost makes its entries
//! invalid, never valid again. A put whose tag has no stamp gives it one.
//!
//! **Spread.** A namespace may be spread over partitions by key. What concerns one partition is as above; what concerns several is no
//! one step: a batch of reads is one instant for each, a batch each alone may fail in one and be made in another, and a clear or an
//! invalidation that fails has an unknown outcome and may be repeated. A batch that is all or nothing lies in one partition. Fences and
//! idempotency keys are known in the partitions that were changed under them.
//!
//! **Once.** A call of one change may carry an idempotency key. The first answer to it is kept in the same step as the change, for
//! [`ONCE_MS`](crate::model::ONCE_MS) and as long as the engine has room: who asks again gets it, whatever has changed since, and changes
//! nothing; another request under the same key is refused (1005). A refusal is not kept.
//!
//! **Leases.** At most one is open for a key. A put that carries its token fills the key and ends it; every other change of
//! the key, an invalidation of a tag that the fill carries, and a clear revoke it.

use std::time::Duration;

use async_trait::async_trait;
use plinth_core::Fence;

use crate::error::CacheError;
use crate::model::{
    BackendStats, Change, Changed, Guard, Held, Key, LeaseMs, LeaseToken, LeaseWhen, LeasedRead,
    Read, Reply, Scan, Scanned, Space, Tags,
};

pub mod memory;
pub mod redis;

/// A store of expiring, versioned values. Every backend passes the suite in `tests/contract`.
#[async_trait]
pub trait CacheBackend: Send + Sync + 'static {
    /// The backend's name in statistics: `memory`, `redis`.
    fn name(&self) -> &'static str;

    /// What it can do beside reading and changing entries. A caller who asks for more gets `unsupported` (1011).
    fn capabilities(&self) -> &'static [Capability];

    /// Reads one key. A sliding expiry begins anew.
    async fn get(&self, space: &Space, key: &Key) -> Result<Reply<Read>, CacheError>;

    /// Reads many keys at one instant (of each partition); one answer for each, in order. An engine outside this process hands over no more than
    /// [`BATCH_READ_BYTES_MAX`](crate::model::BATCH_READ_BYTES_MAX) bytes of values.
    async fn get_many(
        &self,
        space: &Space,
        keys: &[Key],
        looking: Looking,
    ) -> Result<Reply<Vec<Read>>, CacheError>;

    /// Applies changes; one answer for each, in order. All-or-nothing: the outer result is the refusal, whose path begins
    /// with `items[i]`. Each alone: the inner results are. Everything is checked (fence, conditions, leases, quotas, types,
    /// sizes) before the first write.
    async fn apply(
        &self,
        space: &Space,
        changes: Vec<Change>,
        guard: Guard,
    ) -> Result<Reply<Vec<Result<Changed, CacheError>>>, CacheError>;

    /// Walks the keys: [`Scan`] says what is promised. Needs [`Capability::Scan`].
    async fn scan(&self, space: &Space, scan: Scan) -> Result<Scanned, CacheError>;

    /// Removes every entry of the namespace and revokes its leases; fences stay. Returns a version: what was stored with
    /// a lower one is gone. Needs [`Capability::Clear`].
    async fn clear(&self, space: &Space, fence: Option<Fence>) -> Result<i64, CacheError>;

    /// Makes every entry that carries one of the tags absent. Returns the stamp that they now have. Needs
    /// [`Capability::Tags`].
    async fn invalidate_tags(
        &self,
        space: &Space,
        tags: Tags,
        fence: Option<Fence>,
    ) -> Result<i64, CacheError>;

    /// Reads one key and, where neither a fresh value nor the knowledge of its absence is there ([`LeaseWhen::Always`]: in
    /// any case), opens a lease on it unless one is open. Needs [`Capability::Leases`].
    async fn get_or_lease(
        &self,
        space: &Space,
        key: &Key,
        lease: LeaseMs,
        when: LeaseWhen,
    ) -> Result<Reply<LeasedRead>, CacheError>;

    /// Returns once that lease is no longer open, or `wait` is over; at once where it was not open any more. What happened
    /// is found by reading again. May return early.
    async fn lease_ended(
        &self,
        space: &Space,
        key: &Key,
        token: LeaseToken,
        wait: Duration,
    ) -> Result<(), CacheError>;

    /// Ends a lease without filling the key and says whether it was open: the next caller gets the next one.
    async fn end_lease(
        &self,
        space: &Space,
        key: &Key,
        token: LeaseToken,
    ) -> Result<bool, CacheError>;

    /// Numbers of a namespace.
    async fn stats(&self, space: &Space) -> Result<BackendStats, CacheError>;

    /// Some of them at once and without asking anybody; `None` where the engine is not in this process, or knows no such
    /// namespace.
    fn held(&self, _space: &Space) -> Option<Held> {
        None
    }
}

/// What becomes of a sliding expiry that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looking {
    /// It begins anew: the caller reads the value.
    Reading,
    /// It goes on: the caller asks whether there is one. Values that are too large together come without their bytes.
    Peeking,
}

/// What a backend may be able to do beside the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Walk the keys of a namespace.
    Scan,
    /// Remove everything of a namespace.
    Clear,
    /// Invalidate by tag.
    Tags,
    /// Ask one caller to fill a key while others wait.
    Leases,
    /// Keep the highest token of each fence with the data.
    Fences,
    /// Count: `Increment`.
    Counters,
    /// Grow a value: `Append`.
    Append,
    /// Hold a namespace to a number of keys and bytes.
    Quotas,
}

impl Capability {
    /// Every one: what a backend in one process can do.
    pub const ALL: &'static [Self] = &[
        Self::Scan,
        Self::Clear,
        Self::Tags,
        Self::Leases,
        Self::Fences,
        Self::Counters,
        Self::Append,
        Self::Quotas,
    ];

    /// The word for people and errors.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Clear => "clear",
            Self::Tags => "tags",
            Self::Leases => "leases",
            Self::Fences => "fences",
            Self::Counters => "increment",
            Self::Append => "append",
            Self::Quotas => "quotas",
        }
    }
}
