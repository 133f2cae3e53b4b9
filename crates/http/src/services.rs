//! What the HTTP edge calls: the gate, one service for each block, and what the instance knows of itself.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use plinth_audit::AuditService;
use plinth_cache::CacheService;
use plinth_core::TenantId;
use plinth_database::DatabaseService;
use plinth_gate::Gate;
use plinth_gate::access::AccessService;
use plinth_lock::LockService;
use plinth_monitor::MonitorService;
use plinth_queue::QueueService;
use plinth_resilience::HealthRegistry;

/// Produces the text of `/metrics`, in the Prometheus exposition format: the instance's own numbers, and beside them
/// those of the tenant that is named.
pub type MetricsText = Arc<dyn Fn(Option<&TenantId>) -> String + Send + Sync>;

/// What the routes call. Cheap to clone, which every request does.
#[derive(Clone)]
pub struct Services(Arc<Parts>);

impl Services {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for Services {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The parts behind the routes.
pub struct Parts {
    /// The one pipeline that every request passes.
    pub gate: Arc<Gate>,
    /// The `cache` block.
    pub cache: Arc<CacheService>,
    /// The `queue` block.
    pub queue: Arc<QueueService>,
    /// The `monitor` block.
    pub monitor: Arc<MonitorService>,
    /// The `audit` block.
    pub audit: Arc<AuditService>,
    /// The `db` block.
    pub database: Arc<DatabaseService>,
    /// The `lock` block.
    pub lock: Arc<LockService>,
    /// Tenants, keys and roles.
    pub access: Arc<AccessService>,
    /// The state of the instance and its parts.
    pub health: Arc<HealthRegistry>,
    /// The text of `/metrics`.
    pub metrics_text: MetricsText,
}

/// A session needs the gate alone.
impl FromRef<Services> for Arc<Gate> {
    fn from_ref(services: &Services) -> Self {
        Self::clone(&services.gate)
    }
}
