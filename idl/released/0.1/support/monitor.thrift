// The structs of the monitor block. What each aggregate means is stated in docs/guide-monitor.md.
namespace go support.monitor
namespace py support.monitor
namespace java support.monitor
namespace js support.monitor

include "../base.thrift"

// One sample. Exactly one of `value`, `increment` and `observations` is given.
struct MonitorSample {
    // Name of the metric: `[a-zA-Z_:][a-zA-Z0-9_:]*`, 1 to 128 bytes; the prefix `plinth_` is Plinth's own.
    1: required string metric
    // At most 32 labels. Names `[a-zA-Z_][a-zA-Z0-9_]*`, 1 to 128 bytes, not `le` and not beginning with `__`; values any
    // UTF-8 text of at most 1,024 bytes. A label with an empty value is the same as no label.
    2: optional map<string, string> labels
    // Of a gauge its value, of a counter its total (a lower total than before is a reset). Finite; a total is not negative.
    3: optional double value
    // Added to a counter: finite, not negative.
    4: optional double increment
    // Put into a histogram: 1 to 1,000 finite numbers.
    5: optional list<double> observations
    // When it was taken, unix ms; default now. From the beginning of the retention to 10 minutes ahead. An increment or an
    // observation that is dated before the newest sample of its series is counted at that newest sample's time.
    6: optional i64 timestamp_ms
    // `counter`, `gauge` or `histogram`: what the caller takes the metric for. Checked, and used where the name is new;
    // without it a new name becomes a gauge by `value`, a counter by `increment`, a histogram by `observations`.
    7: optional string metric_type
}

// What was stored for one sample.
struct MonitorRecorded {
    // The sample's time as stored, unix ms.
    1: required i64 timestamp_ms
    // As stored: a gauge's value, a counter's total, the number of observations that a histogram has taken.
    2: required double value
}

// One sample: the fields of `MonitorSample`.
struct MonitorRecordMetricRequest {
    // As in `MonitorSample`.
    1: required string metric
    // As in `MonitorSample`.
    2: optional map<string, string> labels
    // As in `MonitorSample`.
    3: optional double value
    // As in `MonitorSample`.
    4: optional double increment
    // As in `MonitorSample`.
    5: optional list<double> observations
    // As in `MonitorSample`.
    6: optional i64 timestamp_ms
    // As in `MonitorSample`.
    7: optional string metric_type
    // Idempotency key: 1 to 128 visible ASCII characters; a repeat within 24 hours gets the first answer.
    254: optional string request_id
    255: optional base.Base base
}

struct MonitorRecordMetricResponse {
    // What was stored; durable on disk.
    1: required MonitorRecorded recorded
    255: optional base.BaseResp base_resp
}

struct MonitorRecordBatchRequest {
    // 1 to 1,000 samples, in all at most 65,536 observations. Every sample is checked before the first is written.
    1: required list<MonitorSample> samples
    // `atomic` (default): one bad sample refuses the batch, naming `samples[i]`. `per_item`: bad samples are left out and
    // reported one by one.
    2: optional string mode
    // Idempotency key: 1 to 128 visible ASCII characters; a repeat within 24 hours gets the first answer.
    254: optional string request_id
    255: optional base.Base base
}

// One sample of a batch that was left out.
struct MonitorRejected {
    // Its place in the batch, from 0.
    1: required i32 index
    // Error code: 1001, 1005, 2203, 2204 …
    2: required i32 code
    // The code's name in upper snake case.
    3: required string reason
    // What is wrong and what is allowed.
    4: required string message
}

struct MonitorRecordBatchResponse {
    // How many samples were stored; durable on disk.
    1: required i32 accepted
    // Those that were not, by index; always empty in mode `atomic`.
    2: required list<MonitorRejected> rejected
    255: optional base.BaseResp base_resp
}

struct MonitorIncrementCounterRequest {
    // Name of the counter, as in `MonitorSample`.
    1: required string metric
    // As in `MonitorSample`.
    2: optional map<string, string> labels
    // How much to add: finite, not negative; default 1. Increments of any number of callers add up.
    3: optional double delta
    // As in `MonitorSample`.
    4: optional i64 timestamp_ms
    // Idempotency key: 1 to 128 visible ASCII characters. A retry with the same key counts once, also when the instance
    // was killed in between.
    254: optional string request_id
    255: optional base.Base base
}

struct MonitorIncrementCounterResponse {
    // The counter's total after this increment.
    1: required double total
    // The time of the stored sample, unix ms.
    2: required i64 timestamp_ms
    255: optional base.BaseResp base_resp
}

struct MonitorRecordHistogramRequest {
    // Name of the histogram, as in `MonitorSample`.
    1: required string metric
    // As in `MonitorSample`.
    2: optional map<string, string> labels
    // 1 to 1,000 finite numbers.
    3: required list<double> observations
    // As in `MonitorSample`.
    4: optional i64 timestamp_ms
    // Idempotency key: 1 to 128 visible ASCII characters; a repeat within 24 hours gets the first answer.
    254: optional string request_id
    255: optional base.Base base
}

struct MonitorRecordHistogramResponse {
    // How many observations the series has taken in all.
    1: required i64 count
    // Their sum.
    2: required double sum
    // The time of the stored sample, unix ms.
    3: required i64 timestamp_ms
    255: optional base.BaseResp base_resp
}

struct MonitorSetGaugeRequest {
    // Name of the gauge, as in `MonitorSample`.
    1: required string metric
    // As in `MonitorSample`.
    2: optional map<string, string> labels
    // Its value: finite.
    3: required double value
    // As in `MonitorSample`; a sample older than the newest one is stored and leaves the current value alone.
    4: optional i64 timestamp_ms
    // Idempotency key: 1 to 128 visible ASCII characters; a repeat within 24 hours gets the first answer.
    254: optional string request_id
    255: optional base.Base base
}

struct MonitorSetGaugeResponse {
    // The time of the stored sample, unix ms.
    1: required i64 timestamp_ms
    255: optional base.BaseResp base_resp
}

// One condition on a label. A label that a series does not have counts as the empty text.
struct MonitorMatcher {
    // Name of the label.
    1: required string label
    // `=`, `!=`, `=~` or `!~`.
    2: required string op
    // The text, at most 1,024 bytes; for `=~` and `!~` a regular expression that must match the whole value.
    3: required string value
}

struct MonitorGetMetricsRequest {
    // Name of the metric.
    1: required string metric
    // At most 32; a series must meet them all.
    2: optional list<MonitorMatcher> matchers
    // Begin of the range, unix ms. With `step_ms` the first instant. Without it the window is (start_ms, end_ms].
    3: optional i64 start_ms
    // End of the range, unix ms, inclusive; default now.
    4: optional i64 end_ms
    // Distance of the instants, 1 ms to 31 days, at most 11,000 instants; needs `start_ms` and `aggregate`. Without it there
    // is one instant: `end_ms`.
    5: optional i64 step_ms
    // `last`, `sum`, `avg`, `min`, `max`, `count`, `rate`, `increase`, `p50`, `p90`, `p95` or `p99`. Without it the samples
    // are returned as they were stored; `start_ms` is then required.
    6: optional string aggregate
    // Label names to group by, at most 32; without them all series come together into one. Not with `last` and not without
    // `aggregate`: there each series stands alone.
    7: optional list<string> by
    // The window before each instant, open on its left, 1 ms to 31 days; default 5 minutes, and for `last`, `sum`, `avg`,
    // `min`, `max`, `count` of a counter without end, since a total holds until it changes. Not without `aggregate`, and
    // not beside `start_ms` unless `step_ms` is given.
    8: optional i64 window_ms
    255: optional base.Base base
}

// The whole state of a histogram at one time.
struct MonitorHistogram {
    // Number of observations.
    1: required i64 count
    // Their sum.
    2: required double sum
    // Observations at or below each bound of the metric's `buckets`, cumulative, in their order; those above the last
    // bound are in `count` only.
    3: required list<i64> cumulative_counts
}

struct MonitorPoint {
    // The instant, or the stored sample's own time, unix ms.
    1: required i64 timestamp_ms
    // The value; of a histogram's stored state the number of observations.
    2: required double value
    // The whole state, where a histogram's state itself is asked for (`last`, or no aggregate).
    3: optional MonitorHistogram histogram
}

struct MonitorSeries {
    // Labels of the series, or of the group: those of `by` that are not empty.
    1: required map<string, string> labels
    // Points by time; an instant without data has none.
    2: required list<MonitorPoint> points
}

struct MonitorGetMetricsResponse {
    // The metric's name.
    1: required string metric
    // `counter`, `gauge` or `histogram`.
    2: required string metric_type
    // Its unit; empty where none was registered.
    3: required string unit
    // Upper bounds of a histogram's buckets, ascending, without +Inf; empty otherwise.
    4: required list<double> buckets
    // By labels; a series or group without any point is left out.
    5: required list<MonitorSeries> series
    // How many stored samples were read.
    6: required i64 samples_read
    255: optional base.BaseResp base_resp
}

struct MonitorRegisterMetricRequest {
    // Name, as in `MonitorSample`. Registering again changes `help`, `ttl_ms` and `max_series`; another type, unit, label
    // set or bucket list is a conflict (1005) that names the difference.
    1: required string metric
    // `counter`, `gauge` or `histogram`.
    2: required string metric_type
    // Unit for people, at most 64 bytes: `seconds`, `applications`.
    3: optional string unit
    // One sentence on what it measures, at most 1,024 bytes.
    4: optional string help
    // The labels that its samples may carry, at most 32; a sample with another label is refused. Without the list any are.
    5: optional list<string> label_names
    // Upper bounds of a histogram's buckets: 1 to 64 finite numbers, ascending, without +Inf. Default 0.005, 0.01, 0.025,
    // 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10. Refused for the other types.
    6: optional list<double> buckets
    // A series that was not written for so long ends, and its samples go with it: 1,000 ms to 10 years. Without it a series
    // ends when the retention has removed its last sample.
    7: optional i64 ttl_ms
    // Most series: 1 to the instance's limit (default 10,000).
    8: optional i64 max_series
    255: optional base.Base base
}

// A registered metric and how it is used.
struct MonitorMetricInfo {
    // Its name.
    1: required string metric
    // `counter`, `gauge` or `histogram`.
    2: required string metric_type
    // Its unit; may be empty.
    3: required string unit
    // What it measures; may be empty.
    4: required string help
    // The labels that its samples may carry; absent where any are.
    5: optional list<string> label_names
    // Upper bounds of a histogram's buckets; empty otherwise.
    6: required list<double> buckets
    // When an unwritten series ends, in milliseconds; absent: with the retention.
    7: optional i64 ttl_ms
    // Most series.
    8: required i64 max_series
    // Whether it was registered by its first sample.
    9: required bool auto_registered
    // When it was registered, unix ms.
    10: required i64 created_ms
    // When its registration was last changed, unix ms.
    11: required i64 updated_ms
    // How many series it has.
    12: required i64 series
    // Time of its newest sample, unix ms; absent where there is none.
    13: optional i64 last_write_ms
    // Samples refused by the series limits since the instance started.
    14: required i64 refused
}

struct MonitorRegisterMetricResponse {
    // The metric as registered.
    1: required MonitorMetricInfo info
    // Whether it is new.
    2: required bool created
    255: optional base.BaseResp base_resp
}

struct MonitorListMetricsRequest {
    // Only names that begin so; at most 128 bytes.
    1: optional string prefix
    // Rows of the page, 1 to 1,000; default 50.
    2: optional i64 limit
    // Where the previous page ended.
    3: optional string cursor
    255: optional base.Base base
}

struct MonitorListMetricsResponse {
    // Metrics by name.
    1: required list<MonitorMetricInfo> metrics
    // Where the next page begins; absent at the end.
    2: optional string next_cursor
    255: optional base.BaseResp base_resp
}
