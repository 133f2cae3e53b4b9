//! From the caller to the service and back.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};

use futures::FutureExt as _;
use plinth_core::{CallContext, Deadline, Error, ErrorCode, IdempotencyKey, Result};
use plinth_resilience::{BulkheadPermit, soon_until};
use plinth_security::Decision;
use tracing::Instrument as _;

use crate::catalogue::{AuditRule, Operation, Reach, ops};
use crate::gate::{Gate, Session};
use crate::record::{Meter, present};
use crate::target::Target;

impl Gate {
    /// Passes one call to a service: idempotency key, permission for each resource, rate, place, audit intent, the service
    /// under its deadline, audit outcome, metric. Nothing is left half-recorded when the caller goes away: the metric says
    /// `cancelled`, and an intent without an outcome shows as `unknown`.
    ///
    /// Errors: those of the service, and 1001 for an idempotency key that the operation does not take; 1003 without the
    /// permission; 1008 and 1009 at a limit; 1010 after the deadline, with the outcome `unknown` where the operation
    /// changes something; 1012 where the operation must be recorded and cannot be; 1013 where the service panicked.
    pub async fn call<T, E, F, Fut>(
        &self,
        session: &Session,
        operation: &'static Operation,
        target: Target,
        service: F,
    ) -> Result<T>
    where
        F: FnOnce(CallContext) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: Into<Error>,
    {
        let meter = Meter::start(self, operation, session);
        let span = tracing::info_span!(
            "operation",
            operation = operation.id.as_str(),
            tenant = session.caller.tenant.as_str(),
            trace_id = session.caller.trace.trace_id_hex(),
        );
        // By reference: a future that is handed on by value is copied, and this one holds the whole call.
        let run = pin!(self.run(session, operation, target, service));
        let result = run
            .instrument(span)
            .await
            .map_err(|error| present(error, session, operation));
        meter.finish(result.as_ref().err());
        result
    }

    async fn run<T, E, F, Fut>(
        &self,
        session: &Session,
        operation: &'static Operation,
        target: Target,
        service: F,
    ) -> Result<T>
    where
        F: FnOnce(CallContext) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: Into<Error>,
    {
        if session.directory_away && operation.id != ops::HEALTH_CHECK.id {
            return Err(Error::new(
                ErrorCode::DependencyUnavailable,
                "the credential directory is away",
            ));
        }
        let deadline = deadline(session, operation, &target);
        let event = self.audit_event(session, operation, &target);
        let (context, _place) = match self.admit(session, operation, &target, deadline).await {
            Ok(admitted) => admitted,
            Err(error) => {
                // A refusal at a limit is counted, not recorded: the log must not grow with a flood.
                let limited =
                    [ErrorCode::RateLimited, ErrorCode::Overloaded].contains(&error.code());
                if let Some(event) = event.as_ref().filter(|_| !limited) {
                    Box::pin(self.record_refusal(event, error.code())).await;
                }
                return Err(error);
            }
        };
        let record = match event {
            Some(event) => Some(Box::pin(self.open_record(event, deadline.remaining())).await?),
            None => None,
        };
        let result = serve(context, changes_something(operation, &target), service).await;
        if let Some(record) = record {
            Box::pin(self.close_record(record, result.as_ref().err())).await;
        }
        result
    }

    async fn admit(
        &self,
        session: &Session,
        operation: &'static Operation,
        target: &Target,
        deadline: Deadline,
    ) -> Result<(CallContext, Option<BulkheadPermit>)> {
        let idempotency_key = idempotency_key(session, operation)?;
        let permitted = self.check_permission(session, operation, target).await;
        let now_ns = self.clock.monotonic_ns();
        // Also a caller who may not: each such refusal is a record.
        self.limits
            .check_rate(&session.caller.tenant, operation, now_ns)?;
        permitted?;
        let place = self.limits.enter(operation, target.waiting_ms > 0).await?;
        let context = CallContext {
            caller: session.caller.clone(),
            operation: operation.id,
            transport: session.transport,
            deadline,
            idempotency_key,
        };
        Ok((context, place))
    }

    async fn check_permission(
        &self,
        session: &Session,
        operation: &'static Operation,
        target: &Target,
    ) -> Result<()> {
        if operation.reach == Reach::Authenticated {
            return Ok(());
        }
        if target.resources.is_empty()
            && !self
                .decide(&session.caller, operation.id, None)
                .is_allowed()
        {
            return Err(forbidden(operation, "every resource"));
        }
        for resource in &target.resources {
            match self.decide(&session.caller, operation.id, Some(resource)) {
                Decision::Allowed { role, permission } => tracing::trace!(
                    role = role.as_ref(),
                    permission = %permission,
                    resource = %resource,
                    "allowed"
                ),
                Decision::Refused => return Err(forbidden(operation, &resource.to_string())),
            }
        }
        if operation.reach == Reach::Platform {
            let asked = self.directory.tenant(&session.caller.tenant);
            let tenant = self.ask_directory(asked).await?;
            if !tenant.is_some_and(|tenant| tenant.platform) {
                return Err(Error::new(
                    ErrorCode::Forbidden,
                    "only the platform's own tenant may do this",
                ));
            }
        }
        Ok(())
    }
}

fn forbidden(operation: &Operation, resource: &str) -> Error {
    Error::new(
        ErrorCode::Forbidden,
        format!("needs the permission {} on {resource}", operation.id),
    )
    .with_detail("permission", operation.id.as_str())
}

/// The caller's own deadline, capped by the catalogue; for a long poll it counts from the end of the wait.
fn deadline(session: &Session, operation: &Operation, target: &Target) -> Deadline {
    let own_ms = session
        .deadline_ms
        .unwrap_or(operation.deadline_ms_default)
        .min(operation.deadline_ms_max);
    Deadline::after_ms(own_ms.saturating_add(target.waiting_ms))
}

/// The caller's idempotency key, on operations that take one. Errors: 1001 naming `request_id`.
fn idempotency_key(session: &Session, operation: &Operation) -> Result<Option<IdempotencyKey>> {
    let Some(text) = session.idempotency_key.as_deref() else {
        return Ok(None);
    };
    if !operation.takes_idempotency_key {
        return Err(Error::invalid(
            "request_id",
            format!(
                "is not taken by {}: leave the idempotency key out",
                operation.id
            ),
        ));
    }
    IdempotencyKey::parse(text).map(Some)
}

fn changes_something(operation: &Operation, target: &Target) -> bool {
    operation.mutates && (operation.audit != AuditRule::Writes || target.writes)
}

async fn serve<T, E, F, Fut>(context: CallContext, mutates: bool, service: F) -> Result<T>
where
    F: FnOnce(CallContext) -> Fut,
    Fut: Future<Output = Result<T, E>>,
    E: Into<Error>,
{
    context.check_deadline()?;
    let until = context.deadline.instant().into();
    // The service is called inside the guarded future too, so that a panic before its first await is caught as well.
    let work = pin!(async move { service(context).await });
    let mut work = AssertUnwindSafe(work).catch_unwind();
    let error = match soon_until(until, Pin::new(&mut work)).await {
        Some(Ok(Ok(reply))) => return Ok(reply),
        Some(Ok(Err(error))) => return Err(error.into()),
        Some(Err(panic)) => Error::internal(panic_message(&*panic)),
        None => Error::new(ErrorCode::DeadlineExceeded, "the deadline passed first"),
    };
    Err(if mutates {
        error.outcome_unknown()
    } else {
        error
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the service panicked: {}", text.unwrap_or("no message"))
}
