//! What every store of time series does: one list of behaviours, run against each backend.
#![expect(
    clippy::expect_used,
    reason = "the behaviours are test code outside #[test] functions"
)]

mod support;

use std::sync::Arc;

use parking_lot::Mutex;
use plinth_core::{Deadline, TenantId};
use plinth_monitor::backend::{Change, Selection, StoredSample, Value, Write, WriteItem};
use plinth_monitor::{
    BatchMode, HistogramState, Labels, MetricDefinition, MetricType, MonitorError, MonitorSettings,
    SeriesBackend,
};
use support::{Rig, START_MS, labels};

fn settings() -> MonitorSettings {
    MonitorSettings {
        series_per_tenant_max: 6,
        series_max: 8,
        ..MonitorSettings::default()
    }
}

/// Every backend under the contract, by name.
async fn backends() -> Vec<(&'static str, Rig)> {
    vec![
        ("embedded, file", Rig::on_file(settings()).await),
        ("embedded, memory", Rig::in_memory(settings()).await),
    ]
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).expect("a tenant")
}

fn definition(name: &str, metric_type: MetricType) -> MetricDefinition {
    MetricDefinition::automatic(name, metric_type, 4)
}

fn item(definition: &MetricDefinition, label: &str, change: Change, at_ms: i64) -> WriteItem {
    WriteItem {
        definition: Arc::new(definition.clone()),
        labels: Labels::parse(&labels(&[("l", label)])).expect("labels"),
        change,
        at_ms,
    }
}

fn write(of: &str, items: Vec<WriteItem>) -> Write {
    Write {
        tenant: tenant(of),
        items: items.into_iter().map(Ok).collect(),
        mode: BatchMode::Atomic,
        scope: None,
        now_ms: START_MS,
    }
}

type Found = Vec<(String, i64, bool, Option<StoredSample>, Vec<StoredSample>)>;

async fn read(rig: &Rig, of: &str, metric: &str, from_ms: i64, to_ms: i64) -> Found {
    let found = Arc::new(Mutex::new(Found::new()));
    let gathered = Arc::clone(&found);
    let selection = selection(of, metric, from_ms, to_ms);
    rig.backend
        .read(
            selection,
            Box::new(move |series| {
                gathered.lock().push((
                    series.labels.value("l").to_owned(),
                    series.first_ms,
                    series.from_zero,
                    series.baseline.cloned(),
                    series.samples.to_vec(),
                ));
                Ok(())
            }),
        )
        .await
        .expect("reads");
    std::mem::take(&mut *found.lock())
}

fn selection(of: &str, metric: &str, from_ms: i64, to_ms: i64) -> Selection {
    Selection {
        tenant: tenant(of),
        metric: metric.to_owned(),
        matchers: Vec::new(),
        from_ms,
        to_ms,
        baseline: true,
        now_ms: START_MS,
        deadline: Deadline::after_ms(60_000),
        series_max: 100,
        samples_max: 1_000,
    }
}

fn scalar(at_ms: i64, value: f64) -> StoredSample {
    StoredSample {
        at_ms,
        value: Value::Scalar(value),
    }
}

#[tokio::test]
async fn samples_come_back_by_time_the_later_write_winning() {
    for (name, rig) in backends().await {
        let gauge = definition("g", MetricType::Gauge);
        let samples = [(30, 3.0), (10, 1.0), (20, 9.0), (20, 2.0), (40, 4.0)];
        for (offset, value) in samples {
            let set = item(&gauge, "a", Change::Set(value), START_MS + offset);
            rig.backend
                .write(write("t", vec![set]))
                .await
                .expect("writes");
        }
        let check = async |when: &str| {
            let found = read(&rig, "t", "g", START_MS + 10, START_MS + 30).await;
            assert_eq!(found.len(), 1, "{name} {when}");
            let (label, first_ms, from_zero, baseline, samples) = &found[0];
            assert_eq!(
                (label.as_str(), *first_ms, *from_zero),
                ("a", START_MS + 10, false),
                "{name} {when}"
            );
            // Open on the left: the sample at the begin is the baseline.
            assert_eq!(*baseline, Some(scalar(START_MS + 10, 1.0)), "{name} {when}");
            assert_eq!(
                *samples,
                [scalar(START_MS + 20, 2.0), scalar(START_MS + 30, 3.0)],
                "{name} {when}"
            );
        };
        check("in the journal").await;
        rig.compact().await;
        check("in chunks").await;
        let late = item(&gauge, "a", Change::Set(7.0), START_MS + 25);
        let again = item(&gauge, "a", Change::Set(8.0), START_MS + 25);
        rig.backend
            .write(write("t", vec![late, again]))
            .await
            .expect("writes");
        let found = read(&rig, "t", "g", START_MS + 20, START_MS + 25).await;
        assert_eq!(found[0].4, [scalar(START_MS + 25, 8.0)], "{name}");
        rig.service.close().await;
    }
}

#[tokio::test]
async fn totals_add_up_and_never_step_back_in_time() {
    for (name, rig) in backends().await {
        let counter = definition("c", MetricType::Counter);
        let mut last = None;
        for (delta, offset) in [(1.0, 10), (2.0, 5), (4.0, 20)] {
            let add = item(&counter, "a", Change::Add(delta), START_MS + offset);
            let answer = rig.backend.write(write("t", vec![add])).await;
            last = answer.expect("writes").last;
        }
        let last = last.expect("an answer");
        assert_eq!((last.at_ms, last.value), (START_MS + 20, 7.0), "{name}");
        let found = read(&rig, "t", "c", START_MS, START_MS + 100).await;
        // The increment that was dated earlier counts at the newest sample's time.
        assert_eq!(
            found[0].4,
            [scalar(START_MS + 10, 3.0), scalar(START_MS + 20, 7.0)],
            "{name}"
        );
        assert!(found[0].2, "{name}: begins at zero");
        rig.service.close().await;
    }
}

#[tokio::test]
async fn histograms_merge_into_their_state() {
    for (name, rig) in backends().await {
        let histogram = definition("h", MetricType::Histogram);
        let observed = |value: f64| HistogramState::of(&histogram.buckets, &[value]);
        for value in [0.01, 3.0] {
            let merge = item(&histogram, "a", Change::Merge(observed(value)), START_MS);
            rig.backend
                .write(write("t", vec![merge]))
                .await
                .expect("writes");
        }
        rig.compact().await;
        let merge = item(&histogram, "a", Change::Merge(observed(99.0)), START_MS + 1);
        let answer = rig.backend.write(write("t", vec![merge])).await;
        let last = answer.expect("writes").last.expect("an answer");
        assert_eq!((last.count, last.sum), (3, 102.01), "{name}");
        let found = read(&rig, "t", "h", START_MS, START_MS + 1).await;
        let before = HistogramState::of(&histogram.buckets, &[0.01, 3.0]);
        assert_eq!(
            found[0].3.as_ref().map(|sample| &sample.value),
            Some(&Value::Histogram(Arc::new(before))),
            "{name}"
        );
        rig.service.close().await;
    }
}

#[tokio::test]
async fn one_series_past_a_limit_is_refused_and_nothing_of_its_request_is_kept() {
    for (name, rig) in backends().await {
        let metric = definition("m", MetricType::Gauge);
        let series = |count: usize, from: usize| -> Vec<WriteItem> {
            (from..from + count)
                .map(|index| item(&metric, &index.to_string(), Change::Set(1.0), START_MS))
                .collect()
        };
        rig.backend
            .write(write("t", series(3, 0)))
            .await
            .expect("within the limit");
        // Four are allowed: the fourth of this request's new ones is one too many, so that none is begun.
        let error = rig.backend.write(write("t", series(2, 3))).await;
        match error {
            Err(MonitorError::InSample { index: 1, source }) => assert!(
                matches!(*source, MonitorError::SeriesLimit { limit: 4, .. }),
                "{name}: {source}"
            ),
            other => panic!("{name}: {other:?}"),
        }
        let usage = rig.backend.usage(&tenant("t"), "m");
        assert_eq!((usage.series, usage.refused), (3, 1), "{name}");
        rig.backend
            .write(write("t", series(1, 3)))
            .await
            .expect("at the limit");
        let mut per_item = write("t", series(2, 3));
        per_item.mode = BatchMode::PerItem;
        let answer = rig.backend.write(per_item).await.expect("the good one");
        assert_eq!(answer.accepted, 1, "{name}");
        assert_eq!(
            (answer.rejected[0].index, answer.rejected[0].code),
            (1, 2203),
            "{name}"
        );
        // Six in the tenant, eight in the instance.
        let other = definition("n", MetricType::Gauge);
        let more = |of: &str, label: &str| {
            write(of, vec![item(&other, label, Change::Set(1.0), START_MS)])
        };
        for label in ["0", "1"] {
            rig.backend.write(more("t", label)).await.expect("room");
            rig.backend.write(more("u", label)).await.expect("room");
        }
        for (of, scope) in [("t", "the tenant"), ("u", "the instance")] {
            let error = rig.backend.write(more(of, "2")).await.expect_err("full");
            assert!(error.to_string().contains(scope), "{name}: {error}");
        }
        rig.service.close().await;
    }
}

#[tokio::test]
async fn series_end_with_their_time_to_live_and_begin_anew() {
    for (name, rig) in backends().await {
        let counter = MetricDefinition {
            ttl_ms: Some(1_000),
            ..definition("c", MetricType::Counter)
        };
        let add = |at_ms: i64| Write {
            now_ms: at_ms,
            ..write("t", vec![item(&counter, "a", Change::Add(1.0), at_ms)])
        };
        rig.backend.write(add(START_MS)).await.expect("writes");
        let current = |now_ms: i64| rig.backend.current(&tenant("t"), "c", now_ms).len();
        assert_eq!(current(START_MS + 999), 1, "{name}");
        assert_eq!(current(START_MS + 1_000), 0, "{name}");
        // Ended, though no upkeep has run: its total is gone.
        let answer = rig.backend.write(add(START_MS + 1_000)).await;
        assert_eq!(
            answer.expect("writes").last.map(|last| last.value),
            Some(1.0),
            "{name}"
        );
        assert_eq!(rig.backend.usage(&tenant("t"), "c").series, 1, "{name}");
        let report = rig.backend.upkeep(START_MS + 1_999).await.expect("upkeep");
        assert_eq!(report.series_removed, 0, "{name}");
        let report = rig.backend.upkeep(START_MS + 2_000).await.expect("upkeep");
        assert_eq!(report.series_removed, 1, "{name}");
        assert_eq!(rig.backend.usage(&tenant("t"), "c").series, 0, "{name}");
        rig.service.close().await;
    }
}

#[tokio::test]
async fn retention_removes_chunks_and_idle_series_and_spares_the_rest() {
    for (name, rig) in backends().await {
        let gauge = definition("g", MetricType::Gauge);
        for (label, offset) in [("old", 0), ("both", 0), ("both", 1_000)] {
            let set = item(&gauge, label, Change::Set(1.0), START_MS + offset);
            rig.backend
                .write(write("t", vec![set]))
                .await
                .expect("writes");
            rig.compact().await;
        }
        let retention_ms = MonitorSettings::default().retention_ms;
        let report = rig.backend.upkeep(START_MS + 1 + retention_ms).await;
        let report = report.expect("upkeep");
        assert_eq!(report.series_removed, 1, "{name}");
        // One of the series that goes on, and one of the marker that made the compaction; what was of the removed series
        // went with it.
        assert_eq!(report.chunks_removed, 2, "{name}");
        let found = read(&rig, "t", "g", 0, START_MS + 2_000).await;
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].4, [scalar(START_MS + 1_000, 1.0)], "{name}");
        // When the series began is remembered beyond its samples.
        assert_eq!(found[0].1, START_MS, "{name}");
        rig.service.close().await;
    }
}

#[tokio::test]
async fn past_the_limit_of_bytes_the_oldest_samples_go_and_totals_go_on() {
    let tiny = MonitorSettings {
        retention_bytes: 1,
        ..settings()
    };
    for (name, rig) in [
        ("embedded, file", Rig::on_file(tiny.clone()).await),
        ("embedded, memory", Rig::in_memory(tiny.clone()).await),
    ] {
        let counter = definition("c", MetricType::Counter);
        for offset in [0, 1] {
            let add = item(&counter, "a", Change::Add(1.0), START_MS + offset);
            rig.backend
                .write(write("t", vec![add]))
                .await
                .expect("writes");
        }
        rig.compact().await;
        let report = rig.backend.upkeep(START_MS).await.expect("upkeep");
        assert_eq!(report.series_removed, 0, "{name}");
        // The newest sample is its series' own and stays.
        let found = read(&rig, "t", "c", 0, START_MS + 10).await;
        assert_eq!(found[0].4, [scalar(START_MS + 1, 2.0)], "{name}");
        let add = item(&counter, "a", Change::Add(1.0), START_MS + 2);
        let answer = rig.backend.write(write("t", vec![add])).await;
        let last = answer.expect("writes").last.map(|last| last.value);
        assert_eq!(last, Some(3.0), "{name}");
        rig.service.close().await;
    }
}

#[tokio::test]
async fn reads_stop_at_their_limits_and_tenants_do_not_meet() {
    for (name, rig) in backends().await {
        let gauge = definition("g", MetricType::Gauge);
        let items: Vec<_> = (0..4)
            .map(|index| item(&gauge, "a", Change::Set(1.0), START_MS + index))
            .collect();
        rig.backend.write(write("t", items)).await.expect("writes");
        assert!(
            read(&rig, "u", "g", 0, START_MS + 10).await.is_empty(),
            "{name}"
        );
        assert!(
            read(&rig, "t", "h", 0, START_MS + 10).await.is_empty(),
            "{name}"
        );
        for (samples_max, series_max, passes) in [(4, 1, true), (3, 1, false), (4, 0, false)] {
            let limited = Selection {
                samples_max,
                series_max,
                ..selection("t", "g", 0, START_MS + 10)
            };
            let read = rig.backend.read(limited, Box::new(|_| Ok(()))).await;
            assert_eq!(read.is_ok(), passes, "{name}: {samples_max} {series_max}");
        }
        rig.service.close().await;
        let closed = rig.backend.write(write("t", Vec::new())).await;
        assert!(matches!(closed, Err(MonitorError::Closed)), "{name}");
    }
}
