//! The monitor block: counters, gauges and histograms, pushed, kept on disk and queried.
//!
//! # What it promises
//!
//! - A sample that was acknowledged is on disk: its group's commit was synced before the reply. After a kill it is there,
//!   and counters go on from their totals.
//! - Increments of any number of callers add up. One with an idempotency key counts once, also when it is sent again after
//!   a crash.
//! - A batch is checked whole before its first sample is written. In mode `atomic` it is written whole or not at all.
//! - A query says what it means: windows are open on their left, increases are exact and not extrapolated, quantiles are
//!   Prometheus' own interpolation ([`Plan`], `docs/guide-monitor.md`).
//! - What it exposes is Prometheus' text format ([`OwnMetrics::expose`], [`MonitorService::expose_tenant`]).
//!
//! # On failure
//!
//! A disk that refuses fails the group that met it (2201; outcome `unknown` where the commit itself failed), and the index
//! stays as the file is. A control plane that is away refuses only tenants that were not seen since the start. Too much
//! waiting work is refused with 1009.
//!
//! # Limits
//!
//! Series are limited per metric, tenant and instance ([`MonitorSettings`]): one more is refused (2203) and counted, so
//! memory does not grow. Queries are limited in series, samples, instants and points ([`model::limits`]). Samples end with
//! the retention, series with their time to live.

pub mod backend;
pub mod error;
pub mod exposition;
pub mod model;
pub mod own;
pub mod process;
pub mod service;
pub mod settings;

pub use backend::{EmbeddedBackend, EmbeddedOptions, SeriesBackend};
pub use error::MonitorError;
pub use model::*;
pub use own::OwnMetrics;
pub use service::{MonitorService, Plan};
pub use settings::MonitorSettings;
