//! What the Thrift edge calls: the gate and one service for each block.

use std::sync::Arc;

use plinth_gate::Gate;

/// The parts behind the methods. Cheap to clone: each is shared.
#[derive(Clone)]
pub struct Services {
    /// The one pipeline that every request passes.
    pub gate: Arc<Gate>,
}
