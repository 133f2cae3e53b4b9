//! Property 5: for all recorded metrics, name, value, labels and timestamp are complete and a query finds them.
//!
//! Generated calls go to a service on a file and to a model; between them the service is restarted and its journal is
//! written into chunks. In the end every stored sample of every metric equals the model's, and each series is found by a
//! condition on each of its labels.
#![expect(
    clippy::expect_used,
    reason = "the property's helpers are test code outside #[test] functions"
)]

mod support;

use std::collections::BTreeMap;

use plinth_monitor::{
    GetMetricsReply, GetMetricsRequest, IncrementCounterRequest, MonitorSettings,
    RecordHistogramRequest, Sample, SetGaugeRequest,
};
use proptest::prelude::*;
use support::{Rig, START_MS, batch, context, keyed, matcher, raw};

type LabelMap = BTreeMap<String, String>;

/// One call. Times are distances from the clock in milliseconds.
#[derive(Clone, Debug)]
enum Step {
    Gauge {
        metric: usize,
        labels: LabelMap,
        value: f64,
        ago_ms: Option<i64>,
    },
    Increment {
        metric: usize,
        labels: LabelMap,
        delta: f64,
        twice: bool,
    },
    Observe {
        metric: usize,
        labels: LabelMap,
        observations: Vec<f64>,
    },
    Batch(Vec<(usize, LabelMap, f64, i64)>),
    Advance(u64),
    Compact,
    Restart,
}

/// Text that is hard on formats: quotes, escapes, line ends, NUL, several scripts.
fn label_value() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("approved".to_owned()),
        Just("审核通过".to_owned()),
        Just("a\"b\\c\nd\u{0}\u{1F600}".to_owned()),
        Just(String::new()),
        "\\PC{1,12}",
    ]
}

fn label_map() -> impl Strategy<Value = LabelMap> {
    proptest::collection::btree_map("[a-c_]{1}[a-z0-9_]{0,3}", label_value(), 0..4).prop_map(
        |mut labels| {
            labels.retain(|name, _| !name.starts_with("__"));
            labels
        },
    )
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![
        -1e6..1e6_f64,
        Just(0.0),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_usize, label_map(), finite(), proptest::option::of(-600_000..10_000_i64))
            .prop_map(|(metric, labels, value, ago_ms)| Step::Gauge { metric, labels, value, ago_ms }),
        4 => (0..2_usize, label_map(), 0..1_000_u32, any::<bool>())
            .prop_map(|(metric, labels, delta, twice)| Step::Increment {
                metric, labels, delta: f64::from(delta) / 8.0, twice
            }),
        2 => (0..2_usize, label_map(), proptest::collection::vec(-1e3..1e3_f64, 1..5))
            .prop_map(|(metric, labels, observations)| Step::Observe { metric, labels, observations }),
        2 => proptest::collection::vec((0..2_usize, label_map(), finite(), 0..5_000_i64), 1..8)
            .prop_map(Step::Batch),
        3 => (1..5_000_u64).prop_map(Step::Advance),
        1 => Just(Step::Compact),
        1 => Just(Step::Restart),
    ]
}

/// What is expected of one series: by time its number and, of a histogram, its sum.
type Series = BTreeMap<i64, (f64, Option<f64>)>;

/// The naive store: every series by metric and labels.
#[derive(Default)]
struct Model {
    metrics: BTreeMap<String, BTreeMap<LabelMap, Series>>,
}

impl Model {
    fn series(&mut self, metric: &str, labels: &LabelMap) -> &mut Series {
        let mut labels = labels.clone();
        labels.retain(|_, value| !value.is_empty());
        self.metrics
            .entry(metric.to_owned())
            .or_default()
            .entry(labels)
            .or_default()
    }

    fn set(&mut self, metric: &str, labels: &LabelMap, at_ms: i64, value: f64) {
        self.series(metric, labels).insert(at_ms, (value, None));
    }

    fn add(&mut self, metric: &str, labels: &LabelMap, now_ms: i64, delta: f64, sum: Option<f64>) {
        let series = self.series(metric, labels);
        let (at_ms, (total, summed)) = series
            .last_key_value()
            .map_or((now_ms, (0.0, Some(0.0))), |(at_ms, last)| {
                ((*at_ms).max(now_ms), *last)
            });
        let sum = sum.map(|sum| summed.unwrap_or(0.0) + sum);
        series.insert(at_ms, (total + delta, sum));
    }
}

async fn apply(rig: &mut Rig, model: &mut Model, number: usize, step: Step) {
    let now_ms = plinth_core::Clock::now(rig.clock.as_ref()).0;
    let service = &rig.service;
    match step {
        Step::Gauge {
            metric,
            labels,
            value,
            ago_ms,
        } => {
            let metric = format!("gauge_{metric}");
            let at_ms = now_ms - ago_ms.unwrap_or(0);
            model.set(&metric, &labels, at_ms, value);
            let request = SetGaugeRequest {
                metric,
                labels,
                value,
                timestamp_ms: ago_ms.map(|_| at_ms),
            };
            let reply = service.set_gauge(&context(), request).await;
            assert_eq!(reply.expect("records").timestamp_ms, at_ms);
        }
        Step::Increment {
            metric,
            labels,
            delta,
            twice,
        } => {
            let metric = format!("counter_{metric}");
            model.add(&metric, &labels, now_ms, delta, None);
            let request = IncrementCounterRequest {
                metric,
                labels,
                delta: Some(delta),
                timestamp_ms: None,
            };
            let context = keyed(&format!("step-{number}"));
            let first = service.increment_counter(&context, request.clone()).await;
            let first = first.expect("records");
            if twice {
                let again = service.increment_counter(&context, request).await;
                assert_eq!(again.expect("repeats"), first);
            }
        }
        Step::Observe {
            metric,
            labels,
            observations,
        } => {
            let metric = format!("histogram_{metric}");
            let sum = observations.iter().sum();
            let count = f64::from(u32::try_from(observations.len()).expect("a few"));
            model.add(&metric, &labels, now_ms, count, Some(sum));
            let request = RecordHistogramRequest {
                metric,
                labels,
                observations,
                timestamp_ms: None,
            };
            let reply = service.record_histogram(&context(), request).await;
            reply.expect("records");
        }
        Step::Batch(items) => {
            let mut samples = Vec::new();
            for (metric, labels, value, ago_ms) in items {
                let metric = format!("gauge_{metric}");
                model.set(&metric, &labels, now_ms - ago_ms, value);
                samples.push(Sample {
                    metric,
                    labels,
                    value: Some(value),
                    timestamp_ms: Some(now_ms - ago_ms),
                    ..Sample::default()
                });
            }
            let count = samples.len();
            let reply = service.record_batch(&context(), batch(samples)).await;
            let accepted = reply.expect("records").accepted;
            assert_eq!(usize::try_from(accepted).ok(), Some(count));
        }
        Step::Advance(by_ms) => rig.clock.advance_ms(by_ms),
        Step::Compact => {
            // Nothing to compact before the first sample.
            if !model.metrics.is_empty() {
                rig.compact().await;
            }
        }
        Step::Restart => rig.restart().await,
    }
}

async fn query(rig: &Rig, request: GetMetricsRequest) -> GetMetricsReply {
    let reply = rig.service.get_metrics(&context(), request).await;
    reply.expect("answers")
}

async fn check(rig: &Rig, model: &Model) {
    for (metric, expected) in &model.metrics {
        let reply = query(rig, raw(metric)).await;
        assert_eq!(&reply.metric, metric);
        let found: BTreeMap<LabelMap, Series> = reply
            .series
            .iter()
            .map(|series| {
                let points = series.points.iter().map(|point| {
                    let sum = point.histogram.as_ref().map(|state| state.sum);
                    (point.timestamp_ms, (point.value, sum))
                });
                (series.labels.clone(), points.collect())
            })
            .collect();
        assert_series(metric, &found, expected);
        for (labels, series) in expected {
            let matchers = labels
                .iter()
                .map(|(name, value)| matcher(name, "=", value))
                .collect();
            let request = GetMetricsRequest {
                matchers,
                ..raw(metric)
            };
            let reply = query(rig, request).await;
            let own = reply.series.iter().find(|found| found.labels == *labels);
            assert_eq!(own.expect("is found").points.len(), series.len());
        }
    }
}

fn assert_series(
    metric: &str,
    found: &BTreeMap<LabelMap, Series>,
    expected: &BTreeMap<LabelMap, Series>,
) {
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>(),
        "{metric}"
    );
    for (labels, series) in expected {
        let own = found.get(labels).expect("compared above");
        assert_eq!(own.len(), series.len(), "{metric} {labels:?}");
        for ((at, (value, sum)), (found_at, (found_value, found_sum))) in series.iter().zip(own) {
            assert_eq!((at, value), (found_at, found_value), "{metric} {labels:?}");
            let difference = sum.unwrap_or(0.0) - found_sum.unwrap_or(0.0);
            assert!(difference.abs() < 1e-6, "{metric} {labels:?} {sum:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_recorded_sample_is_found_complete(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut rig = Rig::on_file(MonitorSettings::default()).await;
            let mut model = Model::default();
            for (number, step) in steps.into_iter().enumerate() {
                apply(&mut rig, &mut model, number, step).await;
            }
            check(&rig, &model).await;
            rig.restart().await;
            check(&rig, &model).await;
            rig.service.close().await;
        });
    }
}

#[tokio::test]
async fn a_label_of_every_awkward_kind_is_found() {
    let rig = Rig::on_file(MonitorSettings::default()).await;
    let mut model = Model::default();
    for (index, value) in ["\"", "\\", "\n", "\u{0}", "审核", "\u{1F600}", " "]
        .iter()
        .enumerate()
    {
        let labels = BTreeMap::from([("l".to_owned(), (*value).to_owned())]);
        let value = f64::from(u32::try_from(index).expect("small"));
        model.set("m", &labels, START_MS, value);
        let request = SetGaugeRequest {
            metric: "m".to_owned(),
            labels,
            value,
            timestamp_ms: None,
        };
        let reply = rig.service.set_gauge(&context(), request).await;
        reply.expect("records");
    }
    check(&rig, &model).await;
    rig.service.close().await;
}
