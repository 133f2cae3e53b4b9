//! The audit log.

use plinth_idl::audit as idl;
use reqwest::Method;
use serde_json::json;

mod model;
mod wire;

pub use self::model::{
    AuditBreakdown, AuditCount, AuditDiscrepancy, AuditEntry, AuditExport, AuditExportPiece,
    AuditFilter, AuditJoinedOutcome, AuditOperator, AuditPage, AuditProof, AuditQuery,
    AuditReceipt, AuditRecord, AuditRecordedBy, AuditResource, AuditStatistics, AuditTimeBucket,
    AuditVerification, ProvenRecord,
};
use self::wire::{
    ReceiptBody, ReceiptsBody, optional_text, record_from, text, thrift_entry, thrift_filter,
};
use crate::Client;
use crate::error::Result;
use crate::request_id;
use crate::retry::Repeat;
use crate::transport::Transport;
use crate::transport::http::idempotent;

/// The audit operations of a client.
#[derive(Clone, Copy)]
pub struct AuditClient<'client> {
    client: &'client Client,
}

impl<'client> AuditClient<'client> {
    pub(crate) const fn new(client: &'client Client) -> Self {
        Self { client }
    }

    /// Appends one record; it is durable when this returns. `request_id` is the idempotency key; one is made up where
    /// none is given, so a repeat after a lost answer records nothing twice.
    ///
    /// Errors: 1001 or 1007 naming the field, 1005 where the key was used for another record, 2301.
    pub async fn log(
        &self,
        entry: &AuditEntry,
        request_id: Option<String>,
    ) -> Result<AuditReceipt> {
        let request_id = self::request_id(request_id);
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::AuditLogOperationRequest {
                        entry: thrift_entry(entry)?,
                        request_id: Some(text(&request_id)),
                        base: None,
                    };
                    let reply = thrift
                        .call(thrift.api().audit_log_operation(request))
                        .await?;
                    Ok(reply.receipt.into())
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::POST, &["v1", "audit", "records"])
                        .json(&json!({ "entry": entry }));
                    let reply: ReceiptBody = http.json(idempotent(request, &request_id)).await?;
                    Ok(reply.receipt)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Appends 1 to 1,000 records in one commit, or none of them. Errors: as [`AuditClient::log`].
    pub async fn log_batch(
        &self,
        entries: &[AuditEntry],
        request_id: Option<String>,
    ) -> Result<Vec<AuditReceipt>> {
        let request_id = self::request_id(request_id);
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let entries: Result<Vec<_>> = entries.iter().map(thrift_entry).collect();
                    let request = idl::AuditLogBatchRequest {
                        entries: entries?,
                        request_id: Some(text(&request_id)),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().audit_log_batch(request)).await?;
                    Ok(reply.receipts.into_iter().map(AuditReceipt::from).collect())
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::POST, &["v1", "audit", "records", "batch"])
                        .json(&json!({ "entries": entries }));
                    let reply: ReceiptsBody = http.json(idempotent(request, &request_id)).await?;
                    Ok(reply.receipts)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// One page of matching records. Errors: 1001 naming the field.
    pub async fn query(&self, query: &AuditQuery) -> Result<AuditPage> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::AuditQueryLogsRequest {
                        filter: Some(thrift_filter(&query.filter)),
                        sort: optional_text(query.sort.as_deref()),
                        limit: query.limit,
                        cursor: optional_text(query.cursor.as_deref()),
                        count_total: Some(query.count_total),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().audit_query_logs(request)).await?;
                    AuditPage::try_from(reply)
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::POST, &["v1", "audit", "query"])
                        .json(query);
                    http.json(request).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// One record with the proof that it is in the log; waits for a checkpoint over it. Errors: 1004, 2303 where the
    /// log was tampered with.
    pub async fn get(&self, record: &str) -> Result<ProvenRecord> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::AuditGetRecordRequest {
                        record: text(record),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().audit_get_record(request)).await?;
                    Ok(ProvenRecord {
                        record: record_from(reply.record)?,
                        proof: reply.proof.into(),
                    })
                }
                Transport::Http(http) => {
                    let path = ["v1", "audit", "records", record];
                    http.json(http.request(Method::GET, &path)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// One piece of an export: call again with its `next_cursor` until there is none. Errors: 1001 naming the field.
    pub async fn export(&self, export: &AuditExport) -> Result<AuditExportPiece> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::AuditExportLogsRequest {
                        filter: Some(thrift_filter(&export.filter)),
                        format: text(&export.format),
                        sort: optional_text(export.sort.as_deref()),
                        limit: export.limit,
                        cursor: optional_text(export.cursor.as_deref()),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().audit_export_logs(request)).await?;
                    Ok(AuditExportPiece::from(reply))
                }
                Transport::Http(http) => {
                    let request = http
                        .request(Method::POST, &["v1", "audit", "export"])
                        .json(export);
                    http.json(request).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Counts of matching records; time buckets of `bucket_ms`, and the `top` keys of each dimension. Errors: 1001
    /// naming the field.
    pub async fn statistics(
        &self,
        filter: &AuditFilter,
        bucket_ms: Option<i64>,
        top: Option<i64>,
    ) -> Result<AuditStatistics> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::AuditGetStatisticsRequest {
                        filter: Some(thrift_filter(filter)),
                        bucket_ms,
                        top,
                        base: None,
                    };
                    let reply = thrift
                        .call(thrift.api().audit_get_statistics(request))
                        .await?;
                    Ok(AuditStatistics::from(reply))
                }
                Transport::Http(http) => {
                    let body = json!({ "filter": filter, "bucket_ms": bucket_ms, "top": top });
                    let request = http
                        .request(Method::POST, &["v1", "audit", "statistics"])
                        .json(&body);
                    http.json(request).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Has the server hash its whole log again; with a checkpoint that was seen earlier, the log must extend it. What was
    /// tampered with is an answer, not an error.
    pub async fn verify(&self, checkpoint: Option<&str>) -> Result<AuditVerification> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::AuditVerifyRequest {
                        checkpoint: optional_text(checkpoint),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().audit_verify(request)).await?;
                    Ok(AuditVerification::from(reply))
                }
                Transport::Http(http) => {
                    let body = json!({ "checkpoint": checkpoint });
                    let request = http
                        .request(Method::POST, &["v1", "audit", "verify"])
                        .json(&body);
                    http.json(request).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }
}
