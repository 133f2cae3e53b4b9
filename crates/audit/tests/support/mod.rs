//! What the tests of the block share: a service on given places, callers, entries.
#![allow(
    dead_code,
    reason = "each test binary uses its own part of this module"
)]

use std::path::Path;
use std::sync::Arc;

use plinth_audit::model::{
    AuditEntry, AuditReceipt, EntryOperator, EntryResource, JsonText, LogBatchRequest,
    LogOperationRequest,
};
use plinth_audit::{AuditHandles, AuditLocation, AuditService, AuditSettings};
use plinth_core::{
    CallContext, Caller, CredentialId, MetricSink, Principal, PrincipalId, PrincipalKind,
    SharedClock, SystemClock, TenantId, TraceContext,
};
use plinth_resilience::health::HealthRegistry;
use plinth_security::SystemEntropy;
use plinth_testkit::calls::{call_of, keyed};

/// The name of every test's log.
pub(crate) const ORIGIN: &str = "plinth.test/audit";

struct NoMetrics;

impl MetricSink for NoMetrics {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}
    fn observe(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
    fn set(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
}

pub(crate) fn metrics() -> Arc<dyn MetricSink> {
    Arc::new(NoMetrics)
}

pub(crate) fn handles_at(clock: SharedClock) -> AuditHandles {
    AuditHandles {
        health: HealthRegistry::new(Arc::clone(&clock)).component("audit"),
        clock,
        metrics: metrics(),
        entropy: SystemEntropy::shared(),
    }
}

pub(crate) fn handles() -> AuditHandles {
    handles_at(SystemClock::shared())
}

pub(crate) fn settings() -> AuditSettings {
    AuditSettings {
        origin: ORIGIN.to_owned(),
        integration_interval_ms: 10,
    }
}

pub(crate) async fn in_memory() -> AuditService {
    AuditService::open(&settings(), AuditLocation::Memory, handles())
        .await
        .expect("opens in memory")
}

pub(crate) async fn in_directory(directory: &Path) -> AuditService {
    try_directory(directory).await.expect("opens the directory")
}

pub(crate) async fn try_directory(
    directory: &Path,
) -> Result<AuditService, plinth_audit::AuditError> {
    let location = AuditLocation::Directory(directory.to_owned());
    AuditService::open(&settings(), location, handles()).await
}

pub(crate) fn caller(tenant: &str, principal: &str) -> Caller {
    Caller {
        tenant: TenantId::parse(tenant).expect("a tenant"),
        principal: Principal {
            id: PrincipalId::parse(principal).expect("a principal"),
            name: format!("{principal} for people"),
            kind: PrincipalKind::Service,
        },
        credential: CredentialId::parse(&format!("key-{principal}")).expect("a credential"),
        roles: Arc::from(["operator".into()]),
        address: Some([10, 0, 0, 7].into()),
        user_agent: Some("test/1".to_owned()),
        trace: TraceContext::begin(),
    }
}

pub(crate) fn context_of(tenant: &str, principal: &str, key: Option<&str>) -> CallContext {
    let call = call_of(tenant, "audit.test").expect("a tenant");
    let call = CallContext {
        caller: caller(tenant, principal),
        ..call
    };
    match key {
        Some(key) => keyed(call, key).expect("a key"),
        None => call,
    }
}

pub(crate) fn context(tenant: &str) -> CallContext {
    context_of(tenant, "writer", None)
}

/// An entry that holds nothing but what it must.
pub(crate) fn entry(operation: &str) -> AuditEntry {
    AuditEntry {
        operation: operation.to_owned(),
        operator: EntryOperator {
            id: "user-1".to_owned(),
            name: None,
            roles: Vec::new(),
        },
        resource: EntryResource {
            kind: "merchant_application".to_owned(),
            id: "A-1".to_owned(),
        },
        result: "success".to_owned(),
        time_ms: None,
        severity: None,
        reason: None,
        details: None,
        before: None,
        after: None,
        ip: None,
        user_agent: None,
        trace_id: None,
        phase: None,
        intent_id: None,
    }
}

/// An entry that holds everything.
pub(crate) fn full_entry(operation: &str) -> AuditEntry {
    AuditEntry {
        operator: EntryOperator {
            id: "user-7".to_owned(),
            name: Some("王芳".to_owned()),
            roles: vec!["reviewer".to_owned(), "operator".to_owned()],
        },
        time_ms: Some(1_700_000_000_123),
        severity: Some("notice".to_owned()),
        reason: Some("资料齐全, 审核通过".to_owned()),
        details: Some(json(r#"{"score":98.50,"channel":"web"}"#)),
        before: Some(json(r#"{"status":"manual_review"}"#)),
        after: Some(json(r#"{"status":"approved"}"#)),
        ip: Some("2001:db8::1".to_owned()),
        user_agent: Some("Mozilla/5.0".to_owned()),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
        ..entry(operation)
    }
}

pub(crate) fn json(text: &str) -> JsonText {
    JsonText::parse("details", text.to_owned()).expect("is JSON")
}

pub(crate) async fn log(service: &AuditService, tenant: &str, entry: AuditEntry) -> AuditReceipt {
    let request = LogOperationRequest { entry };
    let reply = service.log_operation(&context(tenant), request).await;
    reply.expect("is recorded").receipt
}

pub(crate) async fn log_many(
    service: &AuditService,
    tenant: &str,
    entries: Vec<AuditEntry>,
) -> Vec<AuditReceipt> {
    let request = LogBatchRequest { entries };
    let reply = service.log_batch(&context(tenant), request).await;
    reply.expect("are recorded").receipts
}

/// The checkpoint over everything that is recorded now.
pub(crate) async fn checkpoint(service: &AuditService, tenant: &str) -> String {
    let receipt = log(service, tenant, entry("checkpoint.wanted")).await;
    let request = plinth_audit::model::GetRecordRequest { record: receipt.id };
    let reply = service.get_record(&context(tenant), request).await;
    reply.expect("is proven").proof.checkpoint
}
