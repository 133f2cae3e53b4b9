//! Property 5, queries: for all samples and questions, the answer equals that of a naive reference which looks at every
//! sample for every instant.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "the property's helpers are test code outside #[test] functions"
)]

mod support;

use std::collections::BTreeMap;

use plinth_monitor::{
    GetMetricsRequest, HistogramState, MetricSpec, MonitorSettings, RecordHistogramRequest, Sample,
};
use proptest::prelude::*;
use support::{Rig, START_MS, batch, context, labels, matcher, register, sample, spec};

const BOUNDS: [f64; 3] = [1.0, 2.0, 5.0];

/// One write: series, milliseconds since the one before, number.
type Write = (usize, i64, u32);

#[derive(Clone, Debug)]
struct Case {
    writes: Vec<Write>,
    /// A total may step down here: a reset.
    resets: Vec<usize>,
    increments: bool,
    start: i64,
    step: i64,
    instants: i64,
    window: Option<i64>,
    by: bool,
    only: Option<usize>,
    compact: bool,
}

fn case() -> impl Strategy<Value = Case> {
    (
        proptest::collection::vec((0..4_usize, 0..40_000_i64, 0..100_u32), 1..40),
        proptest::collection::vec(0..40_usize, 0..4),
        any::<bool>(),
        (-100_000..1_000_000_i64, 1..200_000_i64, 1..20_i64),
        proptest::option::of(1..600_000_i64),
        any::<bool>(),
        proptest::option::of(0..2_usize),
        any::<bool>(),
    )
        .prop_map(
            |(writes, resets, increments, (start, step, instants), window, by, only, compact)| {
                Case {
                    writes,
                    resets,
                    increments,
                    start,
                    step,
                    instants,
                    window,
                    by,
                    only,
                    compact,
                }
            },
        )
}

/// Series 0 and 1 are of group `x`, 2 and 3 of group `y`.
fn series_labels(series: usize) -> [(&'static str, &'static str); 2] {
    [
        [("group", "x"), ("n", "0")],
        [("group", "x"), ("n", "1")],
        [("group", "y"), ("n", "0")],
        [("group", "y"), ("n", "1")],
    ][series]
}

/// Every sample of every series by time.
type Stored<T> = BTreeMap<usize, BTreeMap<i64, T>>;

/// The newest sample in (from, to].
fn newest<T: Clone>(series: &BTreeMap<i64, T>, from: Option<i64>, to: i64) -> Option<T> {
    series
        .iter()
        .rfind(|(at, _)| **at <= to && from.is_none_or(|from| **at > from))
        .map(|(_, value)| value.clone())
}

/// The steps that end in (from, to], each from the sample before; the first from zero where the series began so.
fn increase(series: &BTreeMap<i64, f64>, from: i64, to: i64, from_zero: bool) -> Option<f64> {
    newest(series, None, to)?;
    let mut before = from_zero.then_some(0.0);
    let mut total = 0.0;
    for (at, value) in series {
        if *at > from && *at <= to {
            total += match before {
                None => 0.0,
                Some(before) if *value < before => *value,
                Some(before) => value - before,
            };
        }
        before = Some(*value);
    }
    Some(total)
}

type Answer = BTreeMap<(String, i64), f64>;

/// The groups of the series that meet the case's condition, at each instant.
fn reference(case: &Case, combine: impl Fn(&[usize], i64) -> Option<f64>) -> Answer {
    let mut answer = Answer::new();
    let chosen: Vec<usize> = (0..4)
        .filter(|series| case.only.is_none_or(|only| series % 2 == only))
        .collect();
    let groups: Vec<(&str, Vec<usize>)> = if case.by {
        let of = |group: &str| {
            let members = chosen.iter().copied();
            members
                .filter(|series| series_labels(*series)[0].1 == group)
                .collect()
        };
        vec![("x", of("x")), ("y", of("y"))]
    } else {
        vec![("", chosen)]
    };
    for index in 0..case.instants {
        let at = START_MS + case.start + index * case.step;
        for (group, members) in &groups {
            if let Some(value) = combine(members, at) {
                answer.insert(((*group).to_owned(), at), value);
            }
        }
    }
    answer
}

async fn ask(rig: &Rig, metric: &str, case: &Case, word: &str) -> Answer {
    let request = GetMetricsRequest {
        metric: metric.to_owned(),
        matchers: case
            .only
            .iter()
            .map(|only| matcher("n", "=~", &format!("{only}|9")))
            .collect(),
        start_ms: Some(START_MS + case.start),
        end_ms: Some(START_MS + case.start + (case.instants - 1) * case.step),
        step_ms: Some(case.step),
        aggregate: Some(word.to_owned()),
        by: if case.by {
            vec!["group".to_owned()]
        } else {
            Vec::new()
        },
        window_ms: case.window,
    };
    let reply = rig.service.get_metrics(&context(), request).await;
    let mut answer = Answer::new();
    for series in reply.expect("answers").series {
        let group = series.labels.get("group").cloned().unwrap_or_default();
        for point in series.points {
            answer.insert((group.clone(), point.timestamp_ms), point.value);
        }
    }
    answer
}

fn assert_equal(word: &str, found: &Answer, expected: &Answer) {
    let keys = |answer: &Answer| answer.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(found), keys(expected), "{word}");
    for (key, value) in expected {
        let difference = (found[key] - value).abs();
        assert!(
            difference <= 1e-9 * value.abs().max(1.0),
            "{word} {key:?}: {} instead of {value}",
            found[key]
        );
    }
}

fn combine_values(values: &[f64], word: &str) -> Option<f64> {
    let count = f64::from(u32::try_from(values.len()).expect("a few"));
    let sum: f64 = values.iter().sum();
    if values.is_empty() {
        return None;
    }
    Some(match word {
        "sum" => sum,
        "avg" => sum / count,
        "min" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "max" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        _ => count,
    })
}

async fn check_scalars(case: &Case, counter: bool) {
    let rig = Rig::in_memory(MonitorSettings::default()).await;
    let mut stored: Stored<f64> = Stored::new();
    let mut at = START_MS;
    for (index, (series, gap, number)) in case.writes.iter().enumerate() {
        at += gap;
        let number = f64::from(*number);
        let of_series = stored.entry(*series).or_default();
        let last = of_series.last_key_value().map_or(0.0, |(_, value)| *value);
        let (payload, value) = if !counter {
            ((Some(number), None), number)
        } else if case.increments {
            ((None, Some(number)), last + number)
        } else if case.resets.contains(&index) {
            ((Some(number / 4.0), None), number / 4.0)
        } else {
            ((Some(last + number), None), last + number)
        };
        of_series.insert(at, value);
        rig.clock.advance_ms(u64::try_from(*gap).expect("forward"));
        let write = Sample {
            value: payload.0,
            increment: payload.1,
            timestamp_ms: Some(at),
            metric_type: Some(if counter { "counter" } else { "gauge" }.to_owned()),
            ..sample("m", &series_labels(*series))
        };
        let written = rig
            .service
            .record_batch(&context(), batch(vec![write]))
            .await;
        written.expect("records");
        if case.compact && index == case.writes.len() / 2 {
            rig.compact().await;
        }
    }
    let lookback = match (case.window, counter) {
        (Some(window), _) => Some(window),
        (None, false) => Some(300_000),
        (None, true) => None,
    };
    for word in ["sum", "avg", "min", "max", "count"] {
        let expected = reference(case, |members, at| {
            let values: Vec<f64> = members
                .iter()
                .filter_map(|series| {
                    newest(stored.get(series)?, lookback.map(|window| at - window), at)
                })
                .collect();
            combine_values(&values, word)
        });
        assert_equal(word, &ask(&rig, "m", case, word).await, &expected);
    }
    if counter {
        let window = case.window.unwrap_or(300_000);
        for (word, seconds) in [("increase", 1.0), ("rate", window as f64 / 1_000.0)] {
            let expected = reference(case, |members, at| {
                let increases: Vec<f64> = members
                    .iter()
                    .filter_map(|series| {
                        increase(stored.get(series)?, at - window, at, case.increments)
                    })
                    .collect();
                Some(combine_values(&increases, "sum")? / seconds)
            });
            assert_equal(word, &ask(&rig, "m", case, word).await, &expected);
        }
    }
    rig.service.close().await;
}

async fn check_histograms(case: &Case) {
    let rig = Rig::in_memory(MonitorSettings::default()).await;
    let buckets = MetricSpec {
        buckets: Some(BOUNDS.to_vec()),
        ..spec("histogram")
    };
    register(&rig, "h", buckets).await;
    let mut observed: Stored<Vec<f64>> = Stored::new();
    let mut at = START_MS;
    for (index, (series, gap, number)) in case.writes.iter().enumerate() {
        at += gap;
        rig.clock.advance_ms(u64::try_from(*gap).expect("forward"));
        let number = f64::from(*number) / 10.0;
        let of_time = observed.entry(*series).or_default().entry(at).or_default();
        of_time.push(number);
        let request = RecordHistogramRequest {
            metric: "h".to_owned(),
            labels: labels(&series_labels(*series)),
            observations: vec![number],
            timestamp_ms: Some(at),
        };
        let written = rig.service.record_histogram(&context(), request).await;
        written.expect("records");
        if case.compact && index == case.writes.len() / 2 {
            rig.compact().await;
        }
    }
    let window = case.window.unwrap_or(300_000);
    for word in [
        "count", "sum", "avg", "increase", "rate", "p50", "p90", "p99",
    ] {
        let expected = reference(case, |members, at| {
            let mut begun = false;
            let mut numbers = Vec::new();
            for series in members.iter().filter_map(|series| observed.get(series)) {
                begun |= series.range(..=at).next().is_some();
                let in_window = series.range(at - window + 1..=at);
                numbers.extend(in_window.flat_map(|(_, numbers)| numbers.clone()));
            }
            if !begun {
                return None;
            }
            let state = HistogramState::of(&BOUNDS, &numbers);
            let count = state.count() as f64;
            match word {
                "sum" => Some(state.sum),
                "avg" => (count > 0.0).then(|| state.sum / count),
                "rate" => Some(count / (window as f64 / 1_000.0)),
                "p50" => state.quantile(&BOUNDS, 0.5),
                "p90" => state.quantile(&BOUNDS, 0.9),
                "p99" => state.quantile(&BOUNDS, 0.99),
                _ => Some(count),
            }
        });
        assert_equal(word, &ask(&rig, "h", case, word).await, &expected);
    }
    rig.service.close().await;
}

fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn gauges_match(case in case()) {
        run(check_scalars(&case, false));
    }

    #[test]
    fn counters_match(case in case()) {
        run(check_scalars(&case, true));
    }

    #[test]
    fn histograms_match(case in case()) {
        run(check_histograms(&case));
    }
}
