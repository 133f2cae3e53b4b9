//! What the Thrift edge calls: the gate, one service for each block, and what the instance knows of itself.

use std::sync::Arc;

use plinth_cache::CacheService;
use plinth_gate::Gate;
use plinth_resilience::HealthRegistry;

/// The parts behind the methods. Cheap to clone: each is shared.
#[derive(Clone)]
pub struct Services {
    /// The one pipeline that every request passes.
    pub gate: Arc<Gate>,
    /// The `cache` block.
    pub cache: Arc<CacheService>,
    /// The state of the instance and its parts.
    pub health: Arc<HealthRegistry>,
}
