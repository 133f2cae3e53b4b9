//! Queries, single records with proofs, statistics.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plinth_core::{CallContext, Deadline, Error, WideInt};

use super::listing::{Listing, parse_order};
use super::{AuditService, INTEGRATION_WAIT_MS_MAX};
use crate::backend::{Selection, StatisticsQuery};
use crate::error::AuditError;
use crate::log::files::LogFiles;
use crate::log::integrator::{Published, blocking};
use crate::log::reader::TileReader;
use crate::log::sequencer::to_sql;
use crate::model::entry::parse_id;
use crate::model::{
    AuditProof, AuditRecord, BUCKET_MS_MIN, GetRecordReply, GetRecordRequest, GetStatisticsReply,
    GetStatisticsRequest, QueryLogsReply, QueryLogsRequest, SortOrder, TIME_MS_MAX, TOP_DEFAULT,
    TOP_MAX, check_range,
};
use crate::tree::merkle::{leaf_hash, root_from_inclusion};
use crate::tree::proof::{inclusion, tlog_proof};

impl AuditService {
    /// Finds records of the caller's tenant. Errors: 1001 naming the field, 1010, 2302.
    pub async fn query_logs(
        &self,
        context: &CallContext,
        request: QueryLogsRequest,
    ) -> Result<QueryLogsReply, AuditError> {
        let order = parse_order(request.sort.as_deref(), SortOrder::TimeDesc)?;
        let cursor = request.cursor.as_deref();
        let listing = Listing::parse("query", request.filter, order, request.limit, cursor)?;
        let (page, selection) = self.page(context, listing).await?;
        let total = match request.count_total {
            Some(true) => Some(self.index.count(selection).await?),
            _ => None,
        };
        Ok(QueryLogsReply {
            records: page.records,
            next_cursor: page.next_cursor,
            total,
            snapshot_size: WideInt(to_sql(page.snapshot)),
        })
    }

    /// Reads one record of the caller's tenant and proves that it is in the log; waits for a checkpoint over it. Errors:
    /// 1004, 1009 where no checkpoint comes in time, 2303 where the log does not hold what the index says.
    pub async fn get_record(
        &self,
        context: &CallContext,
        request: GetRecordRequest,
    ) -> Result<GetRecordReply, AuditError> {
        let id = parse_id("record", &request.record)?;
        let snapshot = self.catch_up(context).await?;
        let hit = self
            .index
            .get(&context.caller.tenant, &id, snapshot)
            .await?;
        let hit = hit.ok_or_else(|| Error::not_found("no record of this tenant has this id"))?;
        let index = hit.leaf.index;
        let deadline = Deadline::after_ms(INTEGRATION_WAIT_MS_MAX).min(context.deadline);
        let published = self.integrator.reach(index + 1, deadline).await?;
        let (files, held) = (self.integrator.files(), Arc::clone(&published));
        let proof = blocking(move || prove(files, &held, index)).await?;
        if crate::log::leaf::Leaf::decode(index, &proof.entry)? != hit.leaf {
            return Err(AuditError::tampered(
                format!("index.db records row {index}"),
                "differs from the leaf in the log",
            ));
        }
        Ok(GetRecordReply {
            record: AuditRecord::from(hit),
            proof,
        })
    }

    /// Counts records of the caller's tenant. Errors: 1001 naming the field, 1010, 2302.
    pub async fn get_statistics(
        &self,
        context: &CallContext,
        request: GetStatisticsRequest,
    ) -> Result<GetStatisticsReply, AuditError> {
        let filter = request.filter.unwrap_or_default().parse()?;
        if let Some(bucket_ms) = request.bucket_ms {
            check_range("bucket_ms", bucket_ms, BUCKET_MS_MIN, TIME_MS_MAX)?;
        }
        let top = check_range("top", request.top.unwrap_or(TOP_DEFAULT), 1, TOP_MAX)?;
        let snapshot = self.catch_up(context).await?;
        self.index
            .statistics(StatisticsQuery {
                selection: Selection {
                    tenant: context.caller.tenant.clone(),
                    filter,
                    snapshot,
                    deadline: context.deadline,
                },
                bucket_ms: request.bucket_ms,
                top: u32::try_from(top).unwrap_or(u32::MAX),
            })
            .await
    }
}

/// Proves that a leaf is under a checkpoint, out of the tiles, and checks the proof before anybody relies on it.
fn prove(
    files: Arc<dyn LogFiles>,
    published: &Published,
    index: u64,
) -> Result<AuditProof, AuditError> {
    let (size, root) = (published.checkpoint.size, published.checkpoint.root);
    let mut reader = TileReader::new(files, size);
    let entry = reader.entry(index)?;
    let leaf = leaf_hash(&entry);
    let siblings = inclusion(&mut reader, index, size)?;
    if root_from_inclusion(leaf, index, size, &siblings) != Some(root) {
        return Err(AuditError::tampered(
            format!("leaf {index}"),
            "does not lead to the root that the checkpoint signs",
        ));
    }
    Ok(AuditProof {
        leaf_index: WideInt(to_sql(index)),
        tree_size: WideInt(to_sql(size)),
        leaf_hash: STANDARD.encode(leaf),
        hashes: siblings.iter().map(|hash| STANDARD.encode(hash)).collect(),
        checkpoint: published.note.clone(),
        tlog_proof: tlog_proof(index, &siblings, &published.note),
        entry,
    })
}
