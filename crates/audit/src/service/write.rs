//! Recording.

use plinth_core::{CallContext, Error, limits};
use plinth_store::idempotency;

use super::AuditService;
use crate::error::AuditError;
use crate::log::leaf::PendingLeaf;
use crate::model::{
    AuditEntry, AuditReceipt, LogBatchReply, LogBatchRequest, LogOperationReply,
    LogOperationRequest,
};

impl AuditService {
    /// Appends one record; it is durable when this returns. Errors: 1001 or 1007 naming the field, 1005 where the
    /// idempotency key was used for another record, 2301 where the disk refuses.
    pub async fn log_operation(
        &self,
        context: &CallContext,
        request: LogOperationRequest,
    ) -> Result<LogOperationReply, AuditError> {
        let scope = idempotency::scope(context, &request, self.handles.clock.now());
        let pending = self.prepare(context, request.entry, "entry")?;
        context.check_deadline()?;
        let receipts = self.append(context, vec![pending], scope).await?;
        let receipt = receipts.into_iter().next().ok_or(AuditError::Closed)?;
        Ok(LogOperationReply { receipt })
    }

    /// Appends many records in one commit, or none of them. Errors: as [`AuditService::log_operation`].
    pub async fn log_batch(
        &self,
        context: &CallContext,
        request: LogBatchRequest,
    ) -> Result<LogBatchReply, AuditError> {
        let count = request.entries.len();
        if !(1..=limits::BATCH_ITEMS_MAX).contains(&count) {
            let message = format!(
                "has {count} entries, must have 1 to {}",
                limits::BATCH_ITEMS_MAX
            );
            return Err(Error::invalid("entries", message).into());
        }
        let scope = idempotency::scope(context, &request, self.handles.clock.now());
        let pending = request
            .entries
            .into_iter()
            .enumerate()
            .map(|(place, entry)| self.prepare(context, entry, &format!("entries[{place}]")))
            .collect::<Result<Vec<_>, _>>()?;
        context.check_deadline()?;
        let receipts = self.append(context, pending, scope).await?;
        Ok(LogBatchReply { receipts })
    }

    fn prepare(
        &self,
        context: &CallContext,
        entry: AuditEntry,
        field: &str,
    ) -> Result<PendingLeaf, AuditError> {
        let entry = entry.parse().map_err(|error| error.in_field(field))?;
        let pending = PendingLeaf::of_call(self.new_id()?, context, &entry);
        pending.map_err(|error| match error {
            AuditError::Refused(error) if error.violations().is_empty() => {
                let message = error.message().to_owned();
                Error::too_large(field, message).into()
            }
            other => other,
        })
    }

    async fn append(
        &self,
        context: &CallContext,
        pending: Vec<PendingLeaf>,
        scope: Option<plinth_core::access::IdempotencyScope>,
    ) -> Result<Vec<AuditReceipt>, AuditError> {
        let count = pending.len() as u64;
        let began_ns = self.handles.clock.monotonic_ns();
        let receipts = self.sequencer.append(pending, scope).await?;
        let elapsed_ns = self.handles.clock.monotonic_ns().saturating_sub(began_ns);
        let labels = [("transport", context.transport.as_str())];
        self.handles
            .metrics
            .add("plinth_audit_records_total", &labels, count);
        self.handles.metrics.observe(
            "plinth_audit_append_seconds",
            &labels,
            std::time::Duration::from_nanos(elapsed_ns).as_secs_f64(),
        );
        Ok(receipts)
    }

    /// A new id: UUID version 7 of the block's own clock and randomness.
    pub(super) fn new_id(&self) -> Result<uuid::Uuid, AuditError> {
        let mut random = [0; 10];
        self.handles
            .entropy
            .fill(&mut random)
            .map_err(Error::internal)?;
        let millis = u64::try_from(self.handles.clock.now().0).unwrap_or_default();
        Ok(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}
