//! The query index: what a product must be able to do to answer queries over the log.
//!
//! An index is a view. It takes leaves in their order, remembers how many it has, and can be built again at any time.

pub mod sqlite;

use async_trait::async_trait;
use bytes::Bytes;
use plinth_core::{Deadline, TenantId};

use crate::error::AuditError;
use crate::log::leaf::Leaf;
use crate::model::{Filter, GetStatisticsReply, SortOrder};

/// What an index can do beyond what it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexCapabilities {
    /// Whether a text of at least three characters is found without reading every candidate.
    pub text_index: bool,
}

/// Which records, as of which size of the log.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Whose records: no other tenant's is ever looked at.
    pub tenant: TenantId,
    /// Conditions.
    pub filter: Filter,
    /// Number of leaves that count: later ones, and outcomes among them, are as if they did not exist.
    pub snapshot: u64,
    /// When the caller stops waiting.
    pub deadline: Deadline,
}

/// A place in a listing: behind this record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Event time of the record.
    pub time_ms: i64,
    /// Its leaf index.
    pub index: u64,
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct PageQuery {
    /// Which records.
    pub selection: Selection,
    /// In which order.
    pub order: SortOrder,
    /// Behind which record; absent at the beginning.
    pub after: Option<Place>,
    /// Most records.
    pub limit: u32,
    /// Most bytes of leaves; the first record is never left out.
    pub bytes_max: usize,
}

/// A record that was found, with the outcome that completes it.
#[derive(Clone, Debug)]
pub struct Hit {
    /// The record.
    pub leaf: Leaf,
    /// Its outcome, if it is an intent and has one within the snapshot.
    pub outcome: Option<Leaf>,
}

/// What a page query found.
#[derive(Clone, Debug)]
pub struct Hits {
    /// The records, in order.
    pub hits: Vec<Hit>,
    /// Whether more follow.
    pub more: bool,
}

/// What to count.
#[derive(Clone, Debug)]
pub struct StatisticsQuery {
    /// Which records.
    pub selection: Selection,
    /// Length of a time bucket; absent means no buckets.
    pub bucket_ms: Option<i64>,
    /// Keys of each breakdown.
    pub top: u32,
}

/// Something in the index that does not follow from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFault {
    /// Leaf that is concerned, where one is.
    pub leaf_index: Option<u64>,
    /// Table and row.
    pub location: String,
    /// What is wrong.
    pub message: String,
}

/// A query index over the log.
#[async_trait]
pub trait AuditIndex: Send + Sync + 'static {
    /// What it can do beyond what it must.
    fn capabilities(&self) -> IndexCapabilities;
    /// Number of leaves that it has taken.
    async fn indexed(&self) -> Result<u64, AuditError>;
    /// Takes the leaves that follow, all or none. Taking leaves again that it has already changes nothing. Errors: there
    /// is a gap before the first one.
    async fn apply(&self, first: u64, leaves: Vec<Bytes>) -> Result<(), AuditError>;
    /// One page of records.
    async fn find(&self, query: PageQuery) -> Result<Hits, AuditError>;
    /// Number of records.
    async fn count(&self, selection: Selection) -> Result<i64, AuditError>;
    /// One record of a tenant by its id, outcomes that complete an intent included.
    async fn get(
        &self,
        tenant: &TenantId,
        id: &str,
        snapshot: u64,
    ) -> Result<Option<Hit>, AuditError>;
    /// Counts by several dimensions.
    async fn statistics(&self, query: StatisticsQuery) -> Result<GetStatisticsReply, AuditError>;
    /// Compares the rows of some leaves with these, and returns the first fault. Rows past [`AuditIndex::indexed`] are
    /// not expected.
    async fn compare(
        &self,
        first: u64,
        leaves: Vec<Bytes>,
    ) -> Result<Option<IndexFault>, AuditError>;
    /// Checks what no single row shows: rows that follow from no leaf, and the text index. Looks at one state of the index
    /// and holds up nobody who writes. Errors: 1010 where the deadline passes.
    async fn check_whole(&self, deadline: Deadline) -> Result<Option<IndexFault>, AuditError>;
    /// Lets go of what it holds open.
    async fn close(&self);
}
