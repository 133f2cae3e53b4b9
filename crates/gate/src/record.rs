//! What is written down of a call: its metric, its audit records, its internal errors.

use std::time::Duration;

use plinth_core::{
    AuditEvent, AuditOutcome, CallEnd, CallSpan, Error, ErrorClass, ErrorCode, MetricSink, Outcome,
    Result,
};

use crate::catalogue::{AuditRule, Operation, ops};
use crate::gate::{Gate, Session};
use crate::settings::AuditFailure;
use crate::target::Target;

/// How long the outcome of an operation that is done may take to be recorded, in milliseconds, before its caller is
/// answered all the same.
const OUTCOME_RECORD_MS_MAX: u64 = 5_000;

/// Measures one call and writes it down when it ends, also when its caller went away.
pub(crate) struct Meter<'a> {
    gate: &'a Gate,
    operation: &'static Operation,
    session: &'a Session,
    started_ns: u64,
    ended: bool,
}

impl<'a> Meter<'a> {
    pub(crate) fn start(
        gate: &'a Gate,
        operation: &'static Operation,
        session: &'a Session,
    ) -> Self {
        Self {
            gate,
            operation,
            session,
            started_ns: gate.clock.monotonic_ns(),
            ended: false,
        }
    }

    /// Writes the call down under code 0 or that of its error.
    pub(crate) fn finish(mut self, error: Option<&Error>) {
        self.write(match error {
            None => CallEnd::Done,
            Some(error) => CallEnd::Failed(error.code(), error.outcome()),
        });
    }

    fn write(&mut self, end: CallEnd) {
        self.ended = true;
        let now_ns = self.gate.clock.monotonic_ns();
        let elapsed_ns = now_ns.saturating_sub(self.started_ns);
        match end {
            CallEnd::Done => self.count("0", elapsed_ns),
            CallEnd::Failed(code, _) => self.count(&code.number().to_string(), elapsed_ns),
            CallEnd::Cancelled => self.count("cancelled", elapsed_ns),
        }
        let Some(traces) = &self.gate.traces else {
            return;
        };
        let caller = &self.session.caller;
        traces.record(&CallSpan {
            operation: self.operation.id,
            transport: self.session.transport,
            tenant: &caller.tenant,
            principal: &caller.principal.id,
            trace: &caller.trace,
            ended_at: self.gate.clock.now(),
            elapsed_ns,
            end,
        });
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a duration in nanoseconds is exact in 53 bits for a hundred days"
    )]
    fn count(&self, code: &str, elapsed_ns: u64) {
        let metrics: &dyn MetricSink = &*self.gate.metrics;
        let operation = ("operation", self.operation.id.as_str());
        let transport = ("transport", self.session.transport.as_str());
        metrics.add(
            "plinth_operations_total",
            &[operation, ("code", code), transport],
            1,
        );
        metrics.observe(
            "plinth_operation_duration_seconds",
            &[operation, transport],
            elapsed_ns as f64 / 1e9,
        );
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.write(CallEnd::Cancelled);
        }
    }
}

/// An intent that waits for its outcome.
pub(crate) struct OpenRecord {
    event: AuditEvent,
    intent: Option<String>,
}

impl Gate {
    /// What the log shall hold of a call, where it shall hold anything.
    pub(crate) fn audit_event(
        &self,
        session: &Session,
        operation: &'static Operation,
        target: &Target,
    ) -> Option<AuditEvent> {
        let audited = match operation.audit {
            AuditRule::Always => true,
            AuditRule::Writes if target.writes => true,
            AuditRule::Writes | AuditRule::Unless => self.is_audited_by_policy(operation),
        };
        audited.then(|| AuditEvent {
            caller: session.caller.clone(),
            operation: operation.id,
            resources: target.resources.clone(),
            transport: session.transport,
            at: self.clock.now(),
        })
    }

    fn is_audited_by_policy(&self, operation: &'static Operation) -> bool {
        // A record of the writing of a record would say the same thing three times.
        let writes_the_log = [ops::AUDIT_LOG_OPERATION.id, ops::AUDIT_LOG_BATCH.id];
        !self.audit_also.is_empty()
            && !writes_the_log.contains(&operation.id)
            && self
                .audit_also
                .iter()
                .any(|pattern| pattern.matches(operation.id.as_str()))
    }

    /// Makes the intent durable. Errors: 1012 where it cannot be, unless the settings let the operation go on.
    pub(crate) async fn open_record(
        &self,
        event: AuditEvent,
        time_left: Duration,
    ) -> Result<OpenRecord> {
        let begun = match tokio::time::timeout(time_left, self.audit.begin(&event)).await {
            Ok(begun) => begun,
            Err(_) => Err(Error::new(ErrorCode::AuditLog, "the audit log is too slow")),
        };
        match begun {
            Ok(intent) => Ok(OpenRecord {
                event,
                intent: Some(intent),
            }),
            Err(error) => {
                self.note_gap(&event, &error, "intent");
                match self.audit_failure {
                    AuditFailure::Continue => Ok(OpenRecord {
                        event,
                        intent: None,
                    }),
                    AuditFailure::Block => Err(Error::new(
                        ErrorCode::DependencyUnavailable,
                        "the audit log is away, and this operation is not done unrecorded",
                    )),
                }
            }
        }
    }

    /// Makes the outcome durable. Where that fails the operation is done all the same: its intent stands without an
    /// outcome and shows as `unknown`.
    pub(crate) async fn close_record(&self, record: OpenRecord, error: Option<&Error>) {
        let Some(intent) = &record.intent else {
            return;
        };
        let outcome = match error {
            None => AuditOutcome::Succeeded,
            Some(error) => AuditOutcome::Failed(error.code(), error.outcome()),
        };
        let completing = self.audit.complete(intent, &record.event, outcome);
        let limit = Duration::from_millis(OUTCOME_RECORD_MS_MAX);
        match tokio::time::timeout(limit, completing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.note_gap(&record.event, &error, "outcome"),
            Err(_) => {
                let slow = Error::new(ErrorCode::AuditLog, "the audit log is too slow");
                self.note_gap(&record.event, &slow, "outcome");
            }
        }
    }

    /// Records that an audited operation was refused. The refusal stands whether it is recorded or not.
    pub(crate) async fn record_refusal(&self, event: &AuditEvent, code: ErrorCode) {
        let limit = Duration::from_millis(OUTCOME_RECORD_MS_MAX);
        match tokio::time::timeout(limit, self.audit.refused(event, code)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.note_gap(event, &error, "refusal"),
            Err(_) => {
                let slow = Error::new(ErrorCode::AuditLog, "the audit log is too slow");
                self.note_gap(event, &slow, "refusal");
            }
        }
    }

    fn note_gap(&self, event: &AuditEvent, error: &Error, record: &'static str) {
        tracing::error!(
            operation = event.operation.as_str(),
            trace_id = event.caller.trace.trace_id_hex(),
            record,
            error = %chain(error),
            "an audit record was not written"
        );
        self.metrics
            .add("plinth_audit_gaps_total", &[("record", record)], 1);
    }
}

/// Logs a fault of ours once, with its causes, and takes everything out of it that a caller must not see.
pub(crate) fn present(error: Error, session: &Session, operation: &'static Operation) -> Error {
    let trace_id = || session.caller.trace.trace_id_hex();
    if error.code().class() == ErrorClass::Internal {
        tracing::error!(
            operation = operation.id.as_str(),
            trace_id = trace_id(),
            error = %chain(&error),
            "an operation failed"
        );
    } else if std::error::Error::source(&error).is_some() {
        tracing::warn!(
            operation = operation.id.as_str(),
            trace_id = trace_id(),
            error = %chain(&error),
            "an operation could not be done"
        );
    }
    if error.code() != ErrorCode::Internal {
        return error;
    }
    let shown = Error::new(
        ErrorCode::Internal,
        "internal error; the cause is logged under the trace id",
    );
    match error.outcome() {
        Outcome::NotApplied => shown,
        Outcome::Unknown => shown.outcome_unknown(),
    }
}

/// An error with its causes, in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
