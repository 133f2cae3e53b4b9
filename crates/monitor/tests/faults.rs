//! What goes wrong inside: a file that is larger than its samples, a range that is larger than a query, a chunk that cannot
//! be read, a writing task that ends.

#![expect(
    clippy::expect_used,
    reason = "what the tests share stands outside #[test] functions"
)]

mod support;

use std::sync::Arc;

use plinth_core::{Deadline, ManualClock, MetricSink, Outcome, TenantId, TimestampMs};
use plinth_monitor::backend::{Change, Selection, Write, WriteItem};
use plinth_monitor::{
    BatchMode, EmbeddedBackend, EmbeddedOptions, HistogramState, Labels, MetricDefinition,
    MetricType, MonitorError, MonitorSettings, SeriesBackend as _,
};
use plinth_store::EngineLocation;
use support::{Rig, START_MS, context, gauge, raw};

fn tenant() -> TenantId {
    TenantId::parse("shop").expect("a tenant")
}

fn everything_of(metric: &str) -> Selection {
    Selection {
        tenant: tenant(),
        metric: metric.to_owned(),
        matchers: Vec::new(),
        from_ms: 0,
        to_ms: i64::MAX,
        baseline: false,
        now_ms: START_MS,
        deadline: Deadline::after_ms(60_000),
        series_max: 1,
        samples_max: 1_000,
    }
}

/// A write of one sample of the only series of a metric.
fn write(metric_type: MetricType, change: Change, at_ms: i64) -> Write {
    let definition = MetricDefinition::automatic("m", metric_type, 10);
    Write {
        tenant: tenant(),
        items: vec![Ok(WriteItem {
            definition: Arc::new(definition),
            labels: Labels::default(),
            change,
            at_ms,
        })],
        mode: BatchMode::Atomic,
        scope: None,
        now_ms: START_MS,
    }
}

#[tokio::test]
async fn chunks_are_measured_by_what_they_hold_not_by_the_file_around_them() {
    // An empty file is larger than this.
    let settings = MonitorSettings {
        retention_bytes: 2_000,
        ..MonitorSettings::default()
    };
    let rig = Rig::on_file(settings).await;
    let stored = async || {
        let reply = rig.service.get_metrics(&context(), raw("g")).await;
        reply.expect("answers").samples_read
    };
    let set = |offset: i64| gauge("g", &[], 1.0, START_MS + offset);
    for offset in [0, 1] {
        let recorded = rig.service.record_metric(&context(), set(offset)).await;
        recorded.expect("records");
    }
    rig.compact().await;
    let report = rig.backend.upkeep(START_MS).await.expect("upkeep");
    assert_eq!((report.chunks_removed, stored().await), (0, 2));
    // Each of these is a chunk of about 120 bytes; the oldest go until the limit is kept, and no more.
    for index in 0..20 {
        let recorded = rig.service.record_metric(&context(), set(10 + index)).await;
        recorded.expect("records");
        rig.compact().await;
    }
    rig.backend.upkeep(START_MS).await.expect("upkeep");
    let held: i64 = rig
        .file()
        .query_row("SELECT sum(length(samples) + 100) FROM chunk", [], |row| {
            row.get(0)
        })
        .expect("adds up");
    assert!((1_700..=2_000).contains(&held), "{held} bytes");
    rig.service.close().await;
}

/// A series in two chunks, of which the second cannot be read.
async fn with_a_bad_second_chunk(metric_type: MetricType, change: Change) -> Rig {
    let rig = Rig::on_file(MonitorSettings::default()).await;
    for offset in [0, 1] {
        let one = write(metric_type, change.clone(), START_MS + offset);
        rig.backend.write(one).await.expect("writes");
        rig.compact().await;
    }
    let damaged = rig.file().execute(
        "UPDATE chunk SET samples = x'ff' WHERE id = (SELECT max(c.id) FROM chunk AS c
         JOIN series AS s ON s.id = c.series JOIN metric AS m ON m.id = s.metric WHERE m.name = 'm')",
        [],
    );
    assert_eq!(damaged.expect("damages"), 1);
    rig
}

async fn read_error(rig: &Rig, selection: Selection) -> MonitorError {
    let read = rig.backend.read(selection, Box::new(|_| Ok(()))).await;
    read.expect_err("is refused")
}

#[tokio::test]
async fn a_read_ends_at_its_limit_before_it_looks_at_the_next_chunk() {
    let state = HistogramState::of(&[1.0, 2.0, 3.0], &[1.5]);
    let rig = with_a_bad_second_chunk(MetricType::Histogram, Change::Merge(state)).await;
    let limited = |samples_max| Selection {
        samples_max,
        ..everything_of("m")
    };
    // A state counts as many as it has buckets: here four, and what is seen double counts once.
    let error = read_error(&rig, limited(1)).await;
    assert!(
        matches!(
            error,
            MonitorError::QueryTooLarge {
                what: "samples",
                limit: 1
            }
        ),
        "{error}"
    );
    let error = read_error(&rig, limited(1_000)).await;
    assert!(
        matches!(error, MonitorError::Corrupt { what: "chunk" }),
        "{error}"
    );
    rig.service.close().await;
}

#[tokio::test]
async fn a_read_ends_at_its_deadline_inside_a_series() {
    let rig = with_a_bad_second_chunk(MetricType::Gauge, Change::Set(1.0)).await;
    let late = Selection {
        deadline: Deadline::after_ms(0),
        ..everything_of("m")
    };
    let error = read_error(&rig, late).await;
    assert!(matches!(error, MonitorError::Deadline), "{error}");
    rig.service.close().await;
}

/// Fails where the writing task counts what it has committed.
struct Faulty;

impl MetricSink for Faulty {
    fn add(&self, name: &'static str, _: &[(&'static str, &str)], _: u64) {
        assert_ne!(name, "plinth_monitor_samples_total", "a fault of the test");
    }
    fn observe(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
    fn set(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
}

#[tokio::test]
async fn the_end_of_the_writing_task_is_told_to_callers_and_to_health() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = async |metrics: Arc<dyn MetricSink>| {
        let options = EmbeddedOptions {
            location: EngineLocation::File(folder.path().join("monitor.db")),
            settings: MonitorSettings::default(),
            clock: ManualClock::starting_at(TimestampMs(START_MS)),
            metrics,
        };
        EmbeddedBackend::open(options).await.expect("opens")
    };
    let set = || write(MetricType::Gauge, Change::Set(1.0), START_MS);
    let outcome = |error: MonitorError| {
        let error = plinth_core::Error::from(error);
        (error.code().number(), error.outcome())
    };
    let backend = open(Arc::new(Faulty)).await;
    let condition = backend.write_condition();
    assert_eq!(condition.refusal(), None);
    // It was committed, but who asked cannot know.
    let error = backend.write(set()).await.expect_err("is not answered");
    assert!(error.to_string().contains("ended by a fault"), "{error}");
    assert_eq!(outcome(error), (2201, Outcome::Unknown));
    let why = condition.refusal().expect("health says so");
    assert!(why.contains("ended by a fault"), "{why}");
    for refused in [
        backend.write(set()).await.map(|_| ()),
        backend.upkeep(START_MS).await.map(|_| ()),
    ] {
        let error = refused.expect_err("nobody takes it");
        assert_eq!(outcome(error), (2201, Outcome::NotApplied));
    }
    backend.close().await;
    let backend = open(Arc::new(plinth_monitor::OwnMetrics::new(
        ManualClock::starting_at(TimestampMs(START_MS)),
    )))
    .await;
    assert_eq!(backend.usage(&tenant(), "m").newest_ms, Some(START_MS));
    backend.close().await;
}
