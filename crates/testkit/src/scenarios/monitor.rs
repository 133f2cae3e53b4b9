//! The `monitor` block.

use anyhow::Result;
use futures::future::BoxFuture;
use plinth_client::{
    MetricAnswer, MetricLabels, MetricMatcher, MetricQuery, MetricSample, MetricSpec,
};
use plinth_core::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::{Log, Rig, Scenario, refused};

/// The scenarios of the metrics.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "monitor: increments add up, and one key counts once",
            run: increments,
            expect: || {
                json!([
                    2.0,
                    2.0,
                    refused(1005, "CONFLICT", &[]),
                    5.5,
                    1.0,
                    [[{ "status": "approved" }, [5.5]], [{ "status": "rejected" }, [1.0]]],
                    [[{}, [6.5]]],
                    [[{}, [6.5]]],
                ])
            },
        },
        Scenario {
            name: "monitor: a recorded sample is found with its labels and its time",
            run: samples,
            expect: || {
                json!([
                    [true, -1.5],
                    true,
                    "gauge",
                    [[{ "city": "上海", "note": "a\"b\\c\nd" }, [-1.5, 7.0]]],
                    [true, true],
                    [[{}, [7.0]]],
                    [],
                ])
            },
        },
        Scenario {
            name: "monitor: quantiles interpolate inside their bucket",
            run: histograms,
            expect: || {
                json!([
                    [3, 3.5],
                    [4, 12.5],
                    [1.0, 2.0, 4.0],
                    [[{}, [1.5]]],
                    [[{}, [4.0]]],
                    { "count": 4, "sum": 12.5, "cumulative": [1, 3, 3] },
                    refused(1001, "INVALID_ARGUMENT", &["aggregate"]),
                ])
            },
        },
        Scenario {
            name: "monitor: a registration holds, and a difference is named",
            run: registrations,
            expect: || {
                json!([
                    true,
                    { "type": "counter", "unit": "orders", "labels": ["shop"], "series": 0, "automatic": false },
                    false,
                    refused(1005, "CONFLICT", &[]),
                    refused(1005, "CONFLICT", &[]),
                    refused(1001, "INVALID_ARGUMENT", &["labels.city"]),
                    1.0,
                    refused(2203, "MONITOR_CARDINALITY_EXCEEDED", &[]),
                    [1, 1, true],
                    refused(1001, "INVALID_ARGUMENT", &["buckets"]),
                ])
            },
        },
        Scenario {
            name: "monitor: an atomic batch is all or nothing, the other one says each",
            run: batches,
            expect: || {
                json!([
                    refused(1001, "INVALID_ARGUMENT", &["samples[1].labels.le"]),
                    refused(1004, "NOT_FOUND", &[]),
                    [1, [[1, 1001]]],
                    [1, [[1, 1001]]],
                    [[{}, [2.0]]],
                    refused(1001, "INVALID_ARGUMENT", &["samples"]),
                    refused(1007, "TOO_LARGE", &["samples"]),
                ])
            },
        },
        Scenario {
            name: "monitor: what breaks a rule is refused by the name of its field",
            run: limits,
            expect: || {
                let invalid = |field: &str| refused(1001, "INVALID_ARGUMENT", &[field]);
                json!([
                    invalid("metric"),
                    invalid("metric"),
                    invalid("labels.__name__"),
                    invalid("value"),
                    invalid("delta"),
                    refused(2204, "MONITOR_SAMPLE_OUT_OF_BOUNDS", &["timestamp_ms"]),
                    refused(1005, "CONFLICT", &[]),
                    refused(1004, "NOT_FOUND", &[]),
                    invalid("start_ms"),
                    invalid("matchers[0].value"),
                    invalid("matchers[0].op"),
                    invalid("step_ms"),
                    invalid("aggregate"),
                    invalid("limit"),
                    invalid("cursor"),
                ])
            },
        },
    ]
}

/// A metric's name may not hold a dot.
fn name(rig: &Rig, name: &str) -> String {
    rig.name(name).replace('.', "_")
}

fn labels(pairs: &[(&str, &str)]) -> MetricLabels {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn now_ms() -> i64 {
    SystemClock::new().now().0
}

fn query(metric: &str, aggregate: &str) -> MetricQuery {
    MetricQuery {
        metric: metric.to_owned(),
        aggregate: Some(aggregate.to_owned()),
        ..MetricQuery::default()
    }
}

fn matcher(label: &str, op: &str, value: &str) -> MetricMatcher {
    MetricMatcher {
        label: label.to_owned(),
        op: op.to_owned(),
        value: value.to_owned(),
    }
}

/// Labels and values of each series.
fn values(answer: &MetricAnswer) -> Value {
    let series = answer.series.iter().map(|series| {
        let values: Vec<f64> = series.points.iter().map(|point| point.value).collect();
        json!([series.labels, values])
    });
    series.collect()
}

fn increments<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (monitor, metric) = (rig.client.monitor(), name(rig, "reviews_total"));
        let (approved, rejected) = (
            labels(&[("status", "approved")]),
            labels(&[("status", "rejected")]),
        );
        let key = Some(rig.name("monitor-increment"));
        for delta in [2.0, 2.0, 3.0] {
            let total = monitor
                .increment(&metric, &approved, delta, key.clone())
                .await;
            log.outcome(total, |total| total.total);
        }
        let total = monitor.increment(&metric, &approved, 3.5, None).await?;
        log.note(total.total);
        let total = monitor.increment(&metric, &rejected, 1.0, None).await?;
        log.note(total.total);
        let by_status = MetricQuery {
            by: vec!["status".to_owned()],
            ..query(&metric, "sum")
        };
        log.note(values(&monitor.get(&by_status).await?));
        log.note(values(&monitor.get(&query(&metric, "sum")).await?));
        log.note(values(&monitor.get(&query(&metric, "increase")).await?));
        Ok(())
    })
}

fn samples<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (monitor, metric) = (rig.client.monitor(), name(rig, "temperature"));
        let (labels, at_ms) = (
            labels(&[("city", "上海"), ("note", "a\"b\\c\nd"), ("none", "")]),
            now_ms() - 5_000,
        );
        let sample = MetricSample {
            metric: metric.clone(),
            labels: labels.clone(),
            value: Some(-1.5),
            timestamp_ms: Some(at_ms),
            ..MetricSample::default()
        };
        let recorded = monitor.record(&sample, None).await?;
        log.note(json!([recorded.timestamp_ms == at_ms, recorded.value]));
        let later = Some(at_ms + 1_000);
        let set_at = monitor
            .set_gauge(&metric, &labels, 7.0, later, None)
            .await?;
        log.note(Some(set_at) == later);
        let stored = MetricQuery {
            metric: metric.clone(),
            matchers: vec![matcher("city", "=~", "上.|北京"), matcher("none", "=", "")],
            start_ms: Some(at_ms - 1),
            ..MetricQuery::default()
        };
        let answer = monitor.get(&stored).await?;
        log.note(&answer.metric_type);
        log.note(values(&answer));
        let times = answer.series.iter().flat_map(|series| &series.points);
        let expected = [at_ms, at_ms + 1_000];
        log.note(
            times
                .zip(expected)
                .map(|(point, at_ms)| point.timestamp_ms == at_ms)
                .collect::<Vec<_>>(),
        );
        log.note(values(&monitor.get(&query(&metric, "max")).await?));
        let nothing = MetricQuery {
            matchers: vec![matcher("city", "!=", "上海")],
            ..query(&metric, "last")
        };
        log.note(values(&monitor.get(&nothing).await?));
        Ok(())
    })
}

fn histograms<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (monitor, metric) = (rig.client.monitor(), name(rig, "wait_seconds"));
        let spec = MetricSpec {
            metric_type: "histogram".to_owned(),
            buckets: Some(vec![1.0, 2.0, 4.0]),
            ..MetricSpec::default()
        };
        monitor.register(&metric, &spec).await?;
        let none = MetricLabels::new();
        for observations in [&[0.5, 1.5, 1.5][..], &[9.0]] {
            let total = monitor
                .record_histogram(&metric, &none, observations, None)
                .await?;
            log.note(json!([total.count, total.sum]));
        }
        let half = monitor.get(&query(&metric, "p50")).await?;
        log.note(&half.buckets);
        log.note(values(&half));
        log.note(values(&monitor.get(&query(&metric, "p99")).await?));
        let last = monitor.get(&query(&metric, "last")).await?;
        let mut points = last.series.iter().flat_map(|series| &series.points);
        log.note(points.find_map(|point| {
            let state = point.histogram.as_ref()?;
            Some(json!({
                "count": state.count, "sum": state.sum, "cumulative": state.cumulative_counts,
            }))
        }));
        log.outcome(monitor.get(&query(&metric, "max")).await, |_| "found");
        Ok(())
    })
}

fn registrations<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (monitor, metric) = (rig.client.monitor(), name(rig, "orders_total"));
        let spec = MetricSpec {
            metric_type: "counter".to_owned(),
            unit: Some("orders".to_owned()),
            label_names: Some(vec!["shop".to_owned()]),
            max_series: Some(1),
            ..MetricSpec::default()
        };
        let first = monitor.register(&metric, &spec).await?;
        log.note(first.created);
        log.note(json!({
            "type": first.info.metric_type, "unit": first.info.unit, "labels": first.info.label_names,
            "series": first.info.series, "automatic": first.info.auto_registered,
        }));
        log.note(monitor.register(&metric, &spec).await?.created);
        let gauge = MetricSpec {
            metric_type: "gauge".to_owned(),
            ..spec.clone()
        };
        let more_labels = MetricSpec {
            label_names: Some(vec!["shop".to_owned(), "city".to_owned()]),
            ..spec.clone()
        };
        for different in [gauge, more_labels] {
            log.outcome(monitor.register(&metric, &different).await, |_| "done");
        }
        for pairs in [[("city", "x")], [("shop", "1")], [("shop", "2")]] {
            let total = monitor.increment(&metric, &labels(&pairs), 1.0, None).await;
            log.outcome(total, |total| total.total);
        }
        let page = monitor.list(Some(&metric), Some(5), None).await?;
        let mut found = page.metrics.iter();
        log.note(
            found
                .find(|info| info.metric == metric)
                .map(|info| json!([info.series, info.refused, info.last_write_ms.is_some()])),
        );
        let bad = MetricSpec {
            buckets: Some(vec![1.0]),
            ..spec
        };
        log.outcome(monitor.register(&metric, &bad).await, |_| "done");
        Ok(())
    })
}

fn gauge_sample(metric: &str, pairs: &[(&str, &str)], value: f64) -> MetricSample {
    MetricSample {
        metric: metric.to_owned(),
        labels: labels(pairs),
        value: Some(value),
        ..MetricSample::default()
    }
}

fn batches<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (monitor, metric) = (rig.client.monitor(), name(rig, "depth"));
        let samples = [
            gauge_sample(&metric, &[], 2.0),
            gauge_sample(&metric, &[("le", "1")], 3.0),
        ];
        let outcome = monitor.record_batch(&samples, false, None).await;
        log.outcome(outcome, |batch| batch.accepted);
        // Not even the name is there.
        log.outcome(monitor.get(&query(&metric, "last")).await, |_| "found");
        let key = Some(rig.name("monitor-batch"));
        for _ in 0..2 {
            let batch = monitor.record_batch(&samples, true, key.clone()).await?;
            let rejected = batch.rejected.iter();
            let rejected: Vec<_> = rejected.map(|one| json!([one.index, one.code])).collect();
            log.note(json!([batch.accepted, rejected]));
        }
        log.note(values(&monitor.get(&query(&metric, "last")).await?));
        let many = vec![gauge_sample(&metric, &[], 1.0); 1_001];
        for samples in [&[][..], &many] {
            let outcome = monitor.record_batch(samples, false, None).await;
            log.outcome(outcome, |batch| batch.accepted);
        }
        Ok(())
    })
}

fn limits<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (monitor, metric) = (rig.client.monitor(), name(rig, "limits"));
        let none = MetricLabels::new();
        monitor.set_gauge(&metric, &none, 1.0, None, None).await?;
        let mut refused_samples = vec![
            gauge_sample("bad-name", &[], 1.0),
            gauge_sample("plinth_own", &[], 1.0),
            gauge_sample(&metric, &[("__name__", "x")], 1.0),
            MetricSample {
                increment: Some(1.0),
                ..gauge_sample(&metric, &[], 1.0)
            },
        ];
        let too_old = MetricSample {
            timestamp_ms: Some(1),
            ..gauge_sample(&metric, &[], 1.0)
        };
        let of_another_type = MetricSample {
            value: None,
            increment: Some(1.0),
            ..gauge_sample(&metric, &[], 1.0)
        };
        for sample in refused_samples.drain(..) {
            log.outcome(monitor.record(&sample, None).await, |_| "recorded");
        }
        let negative = monitor.increment(&metric, &none, -1.0, None).await;
        log.outcome(negative, |_| "recorded");
        for sample in [too_old, of_another_type] {
            log.outcome(monitor.record(&sample, None).await, |_| "recorded");
        }
        let base = query(&metric, "sum");
        let refused_queries = [
            query(&name(rig, "unknown"), "sum"),
            MetricQuery {
                aggregate: None,
                ..base.clone()
            },
            MetricQuery {
                matchers: vec![matcher("a", "=~", "(")],
                ..base.clone()
            },
            MetricQuery {
                matchers: vec![matcher("a", "~", "x")],
                ..base.clone()
            },
            MetricQuery {
                start_ms: Some(0),
                end_ms: Some(11_000),
                step_ms: Some(1),
                ..base.clone()
            },
            query(&metric, "median"),
        ];
        for query in refused_queries {
            log.outcome(monitor.get(&query).await, |_| "found");
        }
        log.outcome(monitor.list(None, Some(0), None).await, |_| "listed");
        log.outcome(monitor.list(None, None, Some("?")).await, |_| "listed");
        Ok(())
    })
}
