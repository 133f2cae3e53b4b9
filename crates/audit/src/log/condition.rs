//! How the log is: what its two tasks report, as one.

use parking_lot::Mutex;
use plinth_resilience::health::Component;

/// What the integrator and the indexer report of themselves. Records are taken while either fails.
pub struct Condition {
    component: Component,
    failing: Mutex<Failing>,
}

#[derive(Clone, Copy, Default)]
struct Failing {
    integration: bool,
    index: bool,
}

impl Condition {
    /// Both work.
    pub fn new(component: Component) -> Self {
        component.up();
        Self {
            component,
            failing: Mutex::default(),
        }
    }

    /// Tiles and checkpoints are written.
    pub fn integrated(&self) {
        self.report(|failing| failing.integration = false);
    }

    /// Tiles or checkpoints cannot be written.
    pub fn cannot_integrate(&self) {
        self.report(|failing| failing.integration = true);
    }

    /// The index takes what is durable.
    pub fn indexed(&self) {
        self.report(|failing| failing.index = false);
    }

    /// The index does not take what is durable.
    pub fn cannot_index(&self) {
        self.report(|failing| failing.index = true);
    }

    fn report(&self, change: impl FnOnce(&mut Failing)) {
        let mut failing = self.failing.lock();
        change(&mut failing);
        match (failing.integration, failing.index) {
            (false, false) => self.component.up(),
            (true, _) => self
                .component
                .degraded("records are taken, but no checkpoint can be signed; see the log"),
            (false, true) => self
                .component
                .degraded("records are taken, but queries cannot find them; see the log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use plinth_core::SystemClock;
    use plinth_resilience::health::{ComponentStatus, HealthRegistry};

    use super::*;

    #[test]
    fn one_task_that_works_does_not_hide_the_other_that_fails() {
        let component = HealthRegistry::new(SystemClock::shared()).component("audit");
        let condition = Condition::new(component.clone());
        assert_eq!(component.status(), ComponentStatus::Up);
        condition.cannot_index();
        condition.integrated();
        assert_eq!(component.status(), ComponentStatus::Degraded);
        condition.indexed();
        assert_eq!(component.status(), ComponentStatus::Up);
    }
}
