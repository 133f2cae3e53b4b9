//! What is exposed is Prometheus' text format, by a strict reading of its specification: every line is a HELP, a TYPE or a
//! sample; HELP and TYPE stand once and before the samples of their family; families stand together; escapes are exact;
//! buckets are cumulative, ascend and end in +Inf, which equals the count.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the parser is test code outside #[test] functions"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use plinth_core::{MetricSink, SystemClock};
use plinth_monitor::own::{OWN_SERIES_PER_METRIC_MAX, OwnMetrics};
use plinth_monitor::{MetricSpec, MonitorSettings, RecordHistogramRequest};
use support::{Rig, START_MS, context, gauge, increment, labels, register, spec};

/// One sample line: name, labels, value.
type Line = (String, BTreeMap<String, String>, f64);

/// A family: its type and its samples.
#[derive(Debug, Default)]
struct Family {
    metric_type: String,
    help: Option<String>,
    lines: Vec<Line>,
}

/// Reads an exposition; panics where it breaks the format.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(
        text.is_empty() || text.ends_with('\n'),
        "ends its last line"
    );
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and a help");
            assert!(
                !families.contains_key(name),
                "HELP of {name} once, and first"
            );
            current = name.to_owned();
            families.entry(current.clone()).or_default().help = Some(unescape(help, false));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, metric_type) = rest.split_once(' ').expect("a name and a type");
            let known = ["counter", "gauge", "histogram"];
            assert!(known.contains(&metric_type), "{line}");
            let family = families.entry(name.to_owned()).or_default();
            assert!(family.metric_type.is_empty(), "TYPE of {name} once");
            assert!(family.help.is_none() || current == name, "{line}");
            family.metric_type = metric_type.to_owned();
            current = name.to_owned();
        } else {
            let sample = parse_sample(line);
            let family = families.get_mut(&current).expect("a TYPE before it");
            let end = sample.0.strip_prefix(&current).expect("its own family");
            let ends: &[&str] = match family.metric_type.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(ends.contains(&end), "{line}");
            family.lines.push(sample);
        }
    }
    for (name, family) in &families {
        check_family(name, family);
    }
    families
}

fn parse_sample(line: &str) -> Line {
    let name_end = line
        .find(|character: char| {
            !character.is_ascii_alphanumeric() && character != '_' && character != ':'
        })
        .expect("a name and more");
    let (name, mut rest) = line.split_at(name_end);
    assert!(!name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()));
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").expect("a label");
            let end = closing_quote(after);
            let value = unescape(&after[..end], true);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').expect("a closing brace");
    }
    let value = rest.strip_prefix(' ').expect("a space");
    let value = match value {
        "+Inf" => f64::INFINITY,
        number => number.parse().expect("a number"),
    };
    (name.to_owned(), labels, value)
}

fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index,
            _ => {}
        }
    }
    panic!("no closing quote in {text}");
}

fn unescape(text: &str, quotes: bool) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            assert!(!(quotes && character == '"'), "an open quote in {text}");
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('\\') => plain.push('\\'),
            Some('n') => plain.push('\n'),
            Some('"') if quotes => plain.push('"'),
            other => panic!("escape {other:?} in {text}"),
        }
    }
    plain
}

fn check_family(name: &str, family: &Family) {
    assert!(!family.metric_type.is_empty(), "{name} has a TYPE");
    assert!(!family.lines.is_empty(), "{name} has samples");
    let keys: BTreeSet<_> = family
        .lines
        .iter()
        .map(|(name, labels, _)| (name.clone(), labels.clone()))
        .collect();
    assert_eq!(keys.len(), family.lines.len(), "{name}: no sample twice");
    if family.metric_type != "histogram" {
        return;
    }
    let mut series: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for (line, labels, value) in &family.lines {
        let mut labels = labels.clone();
        if line.ends_with("_bucket") {
            let bound = labels.remove("le").expect("le");
            let bound = bound.replace("+Inf", "inf").parse().expect("a bound");
            series.entry(labels).or_default().push((bound, *value));
        } else if line.ends_with("_count") {
            counts.insert(labels, *value);
        }
    }
    for (labels, buckets) in series {
        for pair in buckets.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{name} ascends");
            assert!(pair[0].1 <= pair[1].1, "{name} is cumulative");
        }
        let (bound, through) = *buckets.last().expect("buckets");
        assert_eq!(bound, f64::INFINITY, "{name} ends in +Inf");
        assert_eq!(
            Some(&through),
            counts.get(&labels),
            "{name}: +Inf is the count"
        );
    }
}

#[tokio::test]
async fn a_tenants_metrics_are_exposed_and_nobody_elses() {
    let rig = Rig::in_memory(MonitorSettings::default()).await;
    let awkward = "a\"b\\c\nd审核";
    let described = MetricSpec {
        help: Some("first\nsecond \\ \"third\"".to_owned()),
        ..spec("gauge")
    };
    register(&rig, "temperature", described).await;
    for sample in [
        gauge("temperature", &[("room", awkward)], -1.5, START_MS),
        gauge("temperature", &[("room", "b")], 1e300, START_MS),
        increment("orders_total", &[], 3.0),
    ] {
        rig.service
            .record_metric(&context(), sample)
            .await
            .expect("records");
    }
    let observed = RecordHistogramRequest {
        metric: "seconds".to_owned(),
        labels: labels(&[("l", "x")]),
        observations: vec![0.004, 0.3, 99.0],
        timestamp_ms: None,
    };
    rig.service
        .record_histogram(&context(), observed)
        .await
        .expect("records");
    let families = parse(&rig.service.expose_tenant(&context().caller.tenant));
    assert_eq!(families.len(), 3);
    let temperature = &families["temperature"];
    assert_eq!(
        temperature.help.as_deref(),
        Some("first\nsecond \\ \"third\"")
    );
    assert_eq!(
        temperature.lines,
        [
            ("temperature".to_owned(), labels(&[("room", awkward)]), -1.5),
            ("temperature".to_owned(), labels(&[("room", "b")]), 1e300),
        ]
    );
    assert_eq!(families["orders_total"].lines[0].2, 3.0);
    let seconds = &families["seconds"];
    let sum = seconds.lines.iter().find(|line| line.0 == "seconds_sum");
    assert_eq!(sum.map(|line| line.2), Some(99.304));
    let nobody = support::context_of("other", None).caller.tenant;
    assert_eq!(rig.service.expose_tenant(&nobody), "");
    rig.service.close().await;
}

#[test]
fn own_metrics_are_exposed_with_those_of_the_process() {
    let own = OwnMetrics::new(SystemClock::shared());
    own.add("plinth_calls_total", &[("operation", "cache.get")], 2);
    own.add("plinth_calls_total", &[("operation", "cache.get")], 3);
    own.set("plinth_queue_depth", &[], 7.0);
    for seconds in [0.003, 0.2, 400.0] {
        own.observe("plinth_call_seconds", &[("transport", "http")], seconds);
    }
    // Of another kind than before: dropped and counted, so that the family keeps its type.
    own.set("plinth_calls_total", &[], 1.0);
    let families = parse(&own.expose());
    assert_eq!(families["plinth_calls_total"].lines.len(), 1);
    assert_eq!(families["plinth_calls_total"].lines[0].2, 5.0);
    assert_eq!(families["plinth_queue_depth"].metric_type, "gauge");
    let count = families["plinth_call_seconds"]
        .lines
        .last()
        .expect("a count");
    assert_eq!(
        (count.0.as_str(), count.2),
        ("plinth_call_seconds_count", 3.0)
    );
    assert_eq!(families["plinth_own_samples_dropped_total"].lines[0].2, 1.0);
    assert!(families["plinth_process_resident_memory_bytes"].lines[0].2 > 0.0);
}

#[test]
fn own_series_are_bounded() {
    let own = OwnMetrics::new(SystemClock::shared());
    for index in 0..=OWN_SERIES_PER_METRIC_MAX {
        own.add("plinth_calls_total", &[("key", &index.to_string())], 1);
    }
    let long = "审".repeat(1_000);
    own.add("plinth_other_total", &[("key", &long)], 1);
    let families = parse(&own.expose());
    assert_eq!(
        families["plinth_calls_total"].lines.len(),
        OWN_SERIES_PER_METRIC_MAX
    );
    assert_eq!(families["plinth_own_samples_dropped_total"].lines[0].2, 1.0);
    assert!(families["plinth_other_total"].lines[0].1["key"].len() <= 128);
}

#[test]
fn own_counts_of_many_threads_add_up() {
    let own = OwnMetrics::new(SystemClock::shared());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    own.add("plinth_calls_total", &[("a", "x")], 1);
                    own.observe("plinth_call_seconds", &[], 0.5);
                }
            });
        }
    });
    let families = parse(&own.expose());
    assert_eq!(families["plinth_calls_total"].lines[0].2, 4_000.0);
    let sum = families["plinth_call_seconds"]
        .lines
        .iter()
        .find(|line| line.0.ends_with("_sum"));
    assert_eq!(sum.map(|line| line.2), Some(2_000.0));
}
