//! What one call is aimed at.

use plinth_core::{Resource, limits};

/// What one call is aimed at, beside its operation.
#[derive(Clone, Debug, Default)]
pub struct Target {
    pub(crate) resources: Vec<Resource>,
    pub(crate) waiting_ms: u64,
    pub(crate) writes: bool,
}

impl Target {
    /// Nothing in particular: the operation names no resource, so it takes a permission for all of them.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One resource.
    #[must_use]
    pub fn resource(resource: Resource) -> Self {
        Self::resources(vec![resource])
    }

    /// Many resources, each of which is authorised.
    #[must_use]
    pub fn resources(resources: Vec<Resource>) -> Self {
        Self {
            resources,
            ..Self::default()
        }
    }

    /// The call may wait so long for something to happen: its deadline counts from the end of the wait, and it takes a
    /// waiter's place instead of a worker's. More than [`limits::WAIT_MS_MAX`] counts as that.
    #[must_use]
    pub fn waiting_ms(mut self, wait_ms: u64) -> Self {
        self.waiting_ms = wait_ms.min(limits::WAIT_MS_MAX);
        self
    }

    /// Whether the statement writes, for operations that are audited only then.
    #[must_use]
    pub fn writes(mut self, writes: bool) -> Self {
        self.writes = writes;
        self
    }
}
