//! How an instance learns what others on the same control plane declared.

use std::sync::Arc;

use plinth_core::{Result, SharedClock};

use super::{DefinitionKind, DefinitionState, Definitions};

/// How often the control plane is asked whether definitions changed, in milliseconds.
pub const DEFINITIONS_LOOK_EVERY_MS: u64 = 500;
/// How long a definition that another instance declared, changed or removed stays unseen at most, in milliseconds: one
/// interval, and the time of looking and reading.
pub const DEFINITIONS_SEEN_MS_MAX: u64 = 1_000;
/// How often definitions are read whether or not they look changed, in milliseconds (see [`DefinitionState`]).
pub const DEFINITIONS_READ_EVERY_MS: u64 = 30_000;

/// Waits for definitions of some kinds to change.
pub struct DefinitionWatch {
    definitions: Arc<dyn Definitions>,
    clock: SharedClock,
    kinds: &'static [DefinitionKind],
    /// What was last taken over; `None` before the first time.
    taken: Option<Look>,
    /// What the last look found.
    found: Option<Look>,
    is_away: bool,
}

#[derive(Clone, PartialEq)]
struct Look {
    states: Vec<DefinitionState>,
    at_ms: u64,
}

impl DefinitionWatch {
    /// Watches some kinds. Nothing counts as taken over yet, so the first wait ends with the first look.
    #[must_use]
    pub fn new(
        definitions: Arc<dyn Definitions>,
        kinds: &'static [DefinitionKind],
        clock: SharedClock,
    ) -> Self {
        Self {
            definitions,
            clock,
            kinds,
            taken: None,
            found: None,
            is_away: false,
        }
    }

    /// Waits until the definitions are to be read again. A control plane that is away is asked again at the next look.
    pub async fn changed(&mut self) {
        loop {
            let at_ms = self.clock.monotonic_ms() + DEFINITIONS_LOOK_EVERY_MS;
            self.clock.sleep_until_monotonic(at_ms).await;
            match self.look().await {
                Ok(look) => {
                    self.is_away = false;
                    let is_due = self.taken.as_ref().is_none_or(|taken| {
                        taken.states != look.states
                            || look.at_ms >= taken.at_ms + DEFINITIONS_READ_EVERY_MS
                    });
                    self.found = Some(look);
                    if is_due {
                        return;
                    }
                }
                Err(error) if !self.is_away => {
                    self.is_away = true;
                    tracing::warn!(%error, "definitions of other instances are not seen until the control plane answers");
                }
                Err(_still_away) => {}
            }
        }
    }

    /// Says that what [`changed`](Self::changed) found was read. Without it the next look tells of it again.
    pub fn taken(&mut self) {
        self.taken = self.found.take();
    }

    async fn look(&self) -> Result<Look> {
        // The time and the sums stand before what is read after them, so that a change in between is seen next time.
        let at_ms = self.clock.monotonic_ms();
        let mut states = Vec::with_capacity(self.kinds.len());
        for kind in self.kinds {
            states.push(self.definitions.state(*kind).await?);
        }
        Ok(Look { states, at_ms })
    }
}
