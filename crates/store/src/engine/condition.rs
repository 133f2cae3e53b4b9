//! Whether an engine takes writes.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::is_of_the_disk;

/// Whether an engine takes writes, as its last commit or its last try showed. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct WriteCondition(Arc<Mutex<Option<String>>>);

impl WriteCondition {
    /// Why the disk refuses writes; `None` while it takes them. Turns back by itself: an engine that refused tries again
    /// every second, whether or not anybody writes.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.0.lock().clone()
    }

    pub(super) fn is_refusing(&self) -> bool {
        self.0.lock().is_some()
    }

    pub(super) fn takes(&self, engine: &'static str) {
        if self.0.lock().take().is_some() {
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
        let mut refusal = self.0.lock();
        if refusal.is_none() {
            tracing::error!(store.engine = engine, why, "the disk refuses writes");
        }
        *refusal = Some(why);
    }
}
