//! Opening engines in tests.

use std::path::Path;
use std::sync::Arc;

use plinth_core::MetricSink;
use plinth_store::{
    Engine, EngineLimits, EngineLocation, EngineOptions, Migration, StoreError, idempotency,
};

/// Numbers that nobody reads.
struct NoMetrics;

impl MetricSink for NoMetrics {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}
    fn observe(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
    fn set(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
}

/// The schema of the tests.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "items",
        sql: "CREATE TABLE items (id INTEGER PRIMARY KEY, value INTEGER NOT NULL, payload BLOB) STRICT;
              CREATE TABLE parts (item INTEGER NOT NULL REFERENCES items (id), part INTEGER NOT NULL) STRICT;
              CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;",
    },
    Migration {
        version: 2,
        name: "idempotency",
        sql: idempotency::SCHEMA,
    },
];

/// Opens an engine on the schema of the tests.
pub(crate) fn open(location: EngineLocation, limits: EngineLimits) -> Result<Engine, StoreError> {
    open_with(location, limits, MIGRATIONS)
}

/// Opens an engine on another schema.
pub(crate) fn open_with(
    location: EngineLocation,
    limits: EngineLimits,
    migrations: &'static [Migration],
) -> Result<Engine, StoreError> {
    Engine::open(EngineOptions {
        name: "test",
        location,
        migrations,
        metrics: Arc::new(NoMetrics),
        limits,
    })
}

/// The file of an engine in a folder.
pub(crate) fn file(folder: &Path) -> EngineLocation {
    EngineLocation::File(folder.join("engine.db"))
}
