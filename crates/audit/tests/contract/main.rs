//! One list of behaviours of the audit log, run over every place it can be kept in: a directory and memory.
#![expect(
    clippy::expect_used,
    reason = "a test's own preparation ends the test where it fails"
)]

mod proving;
mod reading;
#[path = "../support/mod.rs"]
mod support;
mod writing;

use plinth_audit::AuditService;
use plinth_audit::model::{
    AuditEntry, AuditFilter, AuditRecord, GetRecordRequest, LogOperationRequest, QueryLogsRequest,
};
use plinth_core::Error;

use support::{context, in_directory, in_memory, log};

/// Runs a behaviour over each place.
fn check<F, Fut>(behaviour: F)
where
    F: Fn(AuditService) -> Fut,
    Fut: Future<Output = AuditService>,
{
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        behaviour(in_memory().await).await.close().await;
        let directory = tempfile::tempdir().expect("a place");
        behaviour(in_directory(directory.path()).await)
            .await
            .close()
            .await;
    });
}

async fn find(service: &AuditService, tenant: &str, filter: AuditFilter) -> Vec<AuditRecord> {
    let request = QueryLogsRequest {
        filter: Some(filter),
        sort: Some("time_asc".to_owned()),
        ..Default::default()
    };
    service
        .query_logs(&context(tenant), request)
        .await
        .expect("finds")
        .records
}

async fn refusal(service: &AuditService, entry: AuditEntry) -> Error {
    let request = LogOperationRequest { entry };
    let refused = service.log_operation(&context("shop"), request).await;
    refused.expect_err("is refused").into()
}

/// Records an entry and measures the part of its leaf that the caller filled.
async fn body_bytes(service: &AuditService, entry: AuditEntry) -> usize {
    let request = GetRecordRequest {
        record: log(service, "shop", entry).await.id,
    };
    let reply = service.get_record(&context("shop"), request).await;
    let leaf = String::from_utf8(reply.expect("finds").proof.entry.to_vec()).expect("text");
    leaf.len() - leaf.find("\"id\":").expect("begins with the id")
}
