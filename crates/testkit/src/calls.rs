//! Calls as the gate hands them to a service, for tests that begin behind it.

use std::sync::Arc;

use plinth_core::{
    CallContext, Caller, CredentialId, Deadline, IdempotencyKey, OperationId, Principal,
    PrincipalId, PrincipalKind, Result, TenantId, TraceContext, Transport,
};

/// How long a call may take, in milliseconds.
const DEADLINE_MS: u64 = 60_000;

/// A call of a program of a tenant, in a trace of its own. Errors: 1001 where that is no name of a tenant.
pub fn call_of(tenant: &str, operation: &'static str) -> Result<CallContext> {
    Ok(CallContext {
        caller: Caller {
            tenant: TenantId::parse(tenant)?,
            principal: Principal {
                id: PrincipalId::parse("worker")?,
                name: "worker".to_owned(),
                kind: PrincipalKind::Service,
            },
            credential: CredentialId::parse("key")?,
            roles: Arc::from([]),
            address: None,
            user_agent: None,
            trace: TraceContext::begin(),
        },
        operation: OperationId::new(operation),
        transport: Transport::Internal,
        deadline: Deadline::after_ms(DEADLINE_MS),
        idempotency_key: None,
    })
}

/// The same call under an idempotency key. Errors: 1001 where that is none.
pub fn keyed(call: CallContext, key: &str) -> Result<CallContext> {
    Ok(CallContext {
        idempotency_key: Some(IdempotencyKey::parse(key)?),
        ..call
    })
}
