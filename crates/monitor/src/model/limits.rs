//! The named limits of this block. Those that an operator may change stand in [`crate::MonitorSettings`].

/// Longest metric name, in bytes.
pub const METRIC_NAME_BYTES_MAX: usize = plinth_core::limits::NAME_BYTES_MAX;
/// Most labels of a series.
pub const LABELS_MAX: usize = 32;
/// Longest label name, in bytes.
pub const LABEL_NAME_BYTES_MAX: usize = 128;
/// Longest label value, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 1_024;
/// Names and values of all labels of a series together, in bytes.
pub const LABELS_BYTES_MAX: usize = 8 * 1_024;
/// Most samples of one batch.
pub const BATCH_SAMPLES_MAX: usize = plinth_core::limits::BATCH_ITEMS_MAX;
/// Most observations of one sample.
pub const OBSERVATIONS_MAX: usize = 1_000;
/// Most observations of one batch, in all its samples.
pub const BATCH_OBSERVATIONS_MAX: usize = 65_536;
/// How far ahead of the instance's clock a sample may be dated, in milliseconds.
pub const FUTURE_MS_MAX: i64 = 10 * 60 * 1_000;
/// Most bucket bounds of a histogram, without +Inf.
pub const BUCKETS_MAX: usize = 64;
/// Longest unit, in bytes.
pub const UNIT_BYTES_MAX: usize = 64;
/// Longest help text, in bytes.
pub const HELP_BYTES_MAX: usize = 1_024;
/// Shortest time to live of a series, in milliseconds.
pub const TTL_MS_MIN: i64 = 1_000;
/// Longest time to live of a series, in milliseconds: ten years.
pub const TTL_MS_MAX: i64 = 10 * 365 * 24 * 60 * 60 * 1_000;
/// Most registered metrics of one tenant.
pub const METRICS_PER_TENANT_MAX: usize = 10_000;
/// Most conditions of a query.
pub const MATCHERS_MAX: usize = 32;
/// Longest text of a condition, in bytes.
pub const MATCHER_VALUE_BYTES_MAX: usize = 1_024;
/// Largest compiled regular expression of a condition, in bytes.
pub const REGEX_BYTES_MAX: usize = 256 * 1_024;
/// Most labels to group a query by.
pub const BY_MAX: usize = 32;
/// Longest step and window of a query, in milliseconds: 31 days.
pub const STEP_MS_MAX: i64 = 31 * 24 * 60 * 60 * 1_000;
/// Window of a query where the caller names none, in milliseconds.
pub const WINDOW_MS_DEFAULT: i64 = 5 * 60 * 1_000;
/// Most instants of a stepped query.
pub const QUERY_INSTANTS_MAX: i64 = 11_000;
/// Most series that a query may match.
pub const QUERY_SERIES_MAX: usize = 10_000;
/// Most stored samples that a query may read; one state of a histogram counts as many as it has buckets.
pub const QUERY_SAMPLES_MAX: u64 = 5_000_000;
/// Most series multiplied by instants that a query may compute.
pub const QUERY_CELLS_MAX: u64 = 5_000_000;
/// Most points of a reply, in all its series.
pub const QUERY_POINTS_MAX: usize = 100_000;
/// Longest name prefix of a listing, in bytes.
pub const PREFIX_BYTES_MAX: usize = METRIC_NAME_BYTES_MAX;
