//! What one instance registers, another one on the same control plane knows within a bounded time, without a restart.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test fail by panicking, as the test does"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use plinth_core::{ManualClock, SharedClock, TimestampMs};
use plinth_monitor::{
    EmbeddedBackend, EmbeddedOptions, ListMetricsRequest, MetricInfo, MetricSpec, MonitorService,
    MonitorSettings, OwnMetrics, RegisterMetricRequest,
};
use plinth_store::definitions::{DEFINITIONS_LOOK_EVERY_MS, DEFINITIONS_SEEN_MS_MAX};
use plinth_store::{ControlStore, DefinitionKind, Definitions, EngineLocation};
use support::{START_MS, context, spec};

/// Longest that the tests wait for anything, whatever the machine does beside.
const PATIENCE: Duration = Duration::from_secs(20);

// One interval and as much again for looking and reading.
const _: () = assert!(2 * DEFINITIONS_LOOK_EVERY_MS <= DEFINITIONS_SEEN_MS_MAX);

async fn instance(clock: &Arc<ManualClock>, control: Arc<ControlStore>) -> MonitorService {
    let settings = MonitorSettings::default();
    let backend = EmbeddedBackend::open(EmbeddedOptions {
        location: EngineLocation::Memory,
        settings: settings.clone(),
        clock: clock.clone(),
        metrics: Arc::new(OwnMetrics::new(clock.clone())),
    })
    .await
    .expect("opens");
    let clock: SharedClock = clock.clone();
    MonitorService::open(Arc::new(backend), control, settings, clock)
        .await
        .expect("starts")
}

fn request(help: &str) -> RegisterMetricRequest {
    RegisterMetricRequest {
        metric: "orders_total".to_owned(),
        spec: MetricSpec {
            help: Some(help.to_owned()),
            ..spec("counter")
        },
    }
}

async fn listed(service: &MonitorService) -> Option<MetricInfo> {
    let listing = ListMetricsRequest::default();
    let reply = service.list_metrics(&context(), listing).await;
    reply.expect("lists").metrics.into_iter().next()
}

/// Lets looks pass until `holds`.
async fn until(clock: &ManualClock, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            clock.advance_ms(DEFINITIONS_LOOK_EVERY_MS);
            tokio::task::yield_now().await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("{what} was not seen"));
}

#[tokio::test]
async fn metrics_of_another_instance_come_change_and_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!(
        "sqlite://{}?mode=rwc",
        folder.path().join("control.db").display()
    );
    let clock = ManualClock::starting_at(TimestampMs(START_MS));
    let control = async || {
        let store = ControlStore::open(&url, clock.clone()).await;
        Arc::new(store.expect("opens"))
    };
    let (of_one, of_other) = (control().await, control().await);
    let one = instance(&clock, Arc::clone(&of_one)).await;
    let other = instance(&clock, of_other).await;
    // From here on the tenant's metrics are in the other one's memory.
    assert!(listed(&other).await.is_none());

    one.register_metric(&context(), request("first"))
        .await
        .expect("registers");
    until(&clock, "a new metric", async || {
        listed(&other)
            .await
            .is_some_and(|found| found.help == "first")
    })
    .await;

    one.register_metric(&context(), request("second"))
        .await
        .expect("changes");
    until(&clock, "a changed metric", async || {
        listed(&other)
            .await
            .is_some_and(|found| found.help == "second")
    })
    .await;

    let tenant = context().caller.tenant;
    of_one
        .delete(DefinitionKind::Metric, &tenant, "orders_total")
        .await
        .expect("removes");
    until(&clock, "a removed metric", async || {
        listed(&other).await.is_none() && listed(&one).await.is_none()
    })
    .await;
    one.close().await;
    other.close().await;
}
