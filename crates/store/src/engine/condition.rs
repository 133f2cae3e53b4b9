//! Whether an engine takes writes.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::is_of_the_disk;

/// Whether an engine takes writes, as its last commit or its last try showed. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct WriteCondition(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Takes,
    /// The disk refuses, for this reason.
    Refuses(String),
    /// Who writes through the engine has ended, for this reason, and nothing more comes until a restart.
    Ended(String),
}

impl WriteCondition {
    /// Why nothing is written; `None` while the engine takes writes. What the disk refused turns back by itself: the engine
    /// tries again every second, whether or not anybody writes.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        match &*self.0.lock() {
            State::Takes => None,
            State::Refuses(why) | State::Ended(why) => Some(why.clone()),
        }
    }

    /// Notes that the only one who writes through the engine has ended, so that health says it until the restart.
    pub fn ends(&self, engine: &'static str, why: String) {
        tracing::error!(store.engine = engine, why, "nothing is written any more");
        *self.0.lock() = State::Ended(why);
    }

    /// Whether [`WriteCondition::ends`] was called.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(&*self.0.lock(), State::Ended(_))
    }

    pub(super) fn is_refusing(&self) -> bool {
        matches!(&*self.0.lock(), State::Refuses(_))
    }

    pub(super) fn takes(&self, engine: &'static str) {
        let mut state = self.0.lock();
        if matches!(*state, State::Refuses(_)) {
            *state = State::Takes;
            tracing::info!(store.engine = engine, "the disk takes writes again");
        }
    }

    /// Notes a failure where it is the disk's.
    pub(super) fn failed(&self, engine: &'static str, cause: &rusqlite::Error) {
        if cause.sqlite_error_code().is_some_and(is_of_the_disk) {
            self.refuses(engine, cause.to_string());
        }
    }

    pub(super) fn refuses(&self, engine: &'static str, why: String) {
        let mut state = self.0.lock();
        match *state {
            State::Ended(_) => return,
            State::Takes => {
                tracing::error!(store.engine = engine, why, "the disk refuses writes");
            }
            State::Refuses(_) => {}
        }
        *state = State::Refuses(why);
    }
}
