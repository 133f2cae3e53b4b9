//! How often and how many at once.

use plinth_core::{Error, ErrorCode, Result, TenantId};
use plinth_resilience::{Bulkhead, BulkheadPermit, KeyedLimiter, RateLimit};

use crate::catalogue::{self, AuditRule, Operation};
use crate::settings::GateSettings;

/// When to come back after all places were taken, in milliseconds.
const OVERLOAD_RETRY_MS: u64 = 250;

/// The class by which the calls of a tenant are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationClass {
    /// Only reads.
    Read,
    /// Changes something of the data plane.
    Write,
    /// Administration, and whatever else is always audited.
    Administration,
}

impl OperationClass {
    /// The class of an operation.
    #[must_use]
    pub fn of(operation: &Operation) -> Self {
        match (operation.audit, operation.mutates) {
            (AuditRule::Always, _) => Self::Administration,
            (_, true) => Self::Write,
            (_, false) => Self::Read,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Administration => "administration",
        }
    }
}

/// The limits that a call passes after its permission.
pub(crate) struct CallLimits {
    rates: KeyedLimiter<(TenantId, OperationClass)>,
    read: RateLimit,
    write: RateLimit,
    administration: RateLimit,
    blocks: Vec<Bulkhead>,
    waiters: Bulkhead,
}

impl CallLimits {
    pub(crate) fn new(settings: &GateSettings) -> Self {
        let mut blocks: Vec<Bulkhead> = Vec::new();
        for operation in catalogue::operations() {
            if !blocks.iter().any(|block| block.name() == operation.block) {
                blocks.push(Bulkhead::new(
                    operation.block,
                    settings.concurrency.calls_per_block_max,
                    settings.concurrency.place_wait_ms,
                ));
            }
        }
        Self {
            rates: KeyedLimiter::new(settings.rates.tenants_max.saturating_mul(3)),
            read: settings.rates.read,
            write: settings.rates.write,
            administration: settings.rates.administration,
            blocks,
            waiters: Bulkhead::new(
                "long polls",
                settings.concurrency.waiters_max,
                settings.concurrency.place_wait_ms,
            ),
        }
    }

    /// Takes a token of the tenant for this class of operation. Errors: 1008.
    pub(crate) fn check_rate(
        &self,
        tenant: &TenantId,
        operation: &Operation,
        now_ns: u64,
    ) -> Result<()> {
        let class = OperationClass::of(operation);
        let limit = match class {
            OperationClass::Read => self.read,
            OperationClass::Write => self.write,
            OperationClass::Administration => self.administration,
        };
        self.rates
            .try_take((tenant.clone(), class), limit, now_ns)
            .map_err(|retry_after_ms| {
                Error::new(
                    ErrorCode::RateLimited,
                    format!("too many {} calls of this tenant", class.as_str()),
                )
                .retry_after_ms(retry_after_ms)
            })
    }

    /// Takes a place among the calls at work in the block, or among the long polls. Errors: 1009.
    pub(crate) async fn enter(
        &self,
        operation: &Operation,
        waits: bool,
    ) -> Result<Option<BulkheadPermit>> {
        let bulkhead = if waits {
            Some(&self.waiters)
        } else {
            self.blocks
                .iter()
                .find(|block| block.name() == operation.block)
        };
        let Some(bulkhead) = bulkhead else {
            return Ok(None);
        };
        bulkhead.acquire().await.map(Some).map_err(|full| {
            Error::new(ErrorCode::Overloaded, full.to_string()).retry_after_ms(OVERLOAD_RETRY_MS)
        })
    }
}
