//! What the suites of the monitor block share: a service on a clock that the test moves, and short ways to make requests.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the inputs are written in the tests; a bad one is a fault of the test"
)]
#![expect(dead_code, reason = "each suite uses a part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use plinth_core::{
    CallContext, Caller, CredentialId, Deadline, Error, IdempotencyKey, ManualClock, OperationId,
    Principal, PrincipalId, PrincipalKind, TenantId, TimestampMs, TraceContext, Transport,
};
use plinth_monitor::{
    EmbeddedBackend, EmbeddedOptions, GetMetricsReply, GetMetricsRequest, Matcher, MetricSpec,
    MonitorError, MonitorService, MonitorSettings, OwnMetrics, RecordBatchRequest,
    RegisterMetricRequest, Sample, SeriesBackend,
};
use plinth_store::EngineLocation;
use plinth_store::memory::MemoryDefinitions;

/// When the tests' clock starts.
pub(crate) const START_MS: i64 = 1_700_000_000_000;
/// Two hours and a little: what makes an upkeep write the journal into chunks.
pub(crate) const COMPACTION_AGE_MS: u64 = 2 * 60 * 60 * 1_000 + 1;

/// A service that can be stopped and started again on the same file.
pub(crate) struct Rig {
    pub(crate) service: Arc<MonitorService>,
    pub(crate) backend: Arc<EmbeddedBackend>,
    pub(crate) own: Arc<OwnMetrics>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) settings: MonitorSettings,
    definitions: Arc<MemoryDefinitions>,
    location: EngineLocation,
    /// Removed with the rig.
    _folder: Option<tempfile::TempDir>,
}

impl Rig {
    /// On a file of its own.
    pub(crate) async fn on_file(settings: MonitorSettings) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let location = EngineLocation::File(folder.path().join("monitor.db"));
        Self::start(location, Some(folder), settings).await
    }

    /// In memory.
    pub(crate) async fn in_memory(settings: MonitorSettings) -> Self {
        Self::start(EngineLocation::Memory, None, settings).await
    }

    async fn start(
        location: EngineLocation,
        folder: Option<tempfile::TempDir>,
        settings: MonitorSettings,
    ) -> Self {
        let clock = ManualClock::starting_at(TimestampMs(START_MS));
        let definitions = Arc::new(MemoryDefinitions::new(clock.clone()));
        let own = Arc::new(OwnMetrics::new(clock.clone()));
        let (backend, service) =
            build(&location, &settings, &clock, &definitions, Arc::clone(&own)).await;
        Self {
            service,
            backend,
            own,
            clock,
            settings,
            definitions,
            location,
            _folder: folder,
        }
    }

    /// Closes the service and starts it again on the same file and control plane.
    pub(crate) async fn restart(&mut self) {
        self.service.close().await;
        (self.backend, self.service) = build(
            &self.location,
            &self.settings,
            &self.clock,
            &self.definitions,
            Arc::clone(&self.own),
        )
        .await;
    }

    /// Writes the journal into chunks and waits until that is done.
    pub(crate) async fn compact(&self) {
        let before = self.compactions();
        // A journal without entries is left alone, so it gets one.
        let marker = Sample {
            value: Some(1.0),
            ..sample("compaction_marker", &[])
        };
        let other_tenant = context_of("marker", None);
        let marked = self.service.record_metric(&other_tenant, marker).await;
        marked.expect("records");
        self.clock.advance_ms(COMPACTION_AGE_MS);
        while self.compactions() == before {
            let now_ms = plinth_core::Clock::now(self.clock.as_ref()).0;
            self.backend.upkeep(now_ms).await.expect("upkeep");
        }
    }

    /// The file, for a look past the backend.
    pub(crate) fn file(&self) -> rusqlite::Connection {
        let EngineLocation::File(path) = &self.location else {
            panic!("is in memory");
        };
        rusqlite::Connection::open(path).expect("opens")
    }

    fn compactions(&self) -> u64 {
        let text = self.own.expose();
        let line = text
            .lines()
            .find(|line| line.starts_with("plinth_monitor_compactions_total "));
        line.and_then(|line| line.split(' ').next_back()?.parse().ok())
            .unwrap_or(0)
    }
}

async fn build(
    location: &EngineLocation,
    settings: &MonitorSettings,
    clock: &Arc<ManualClock>,
    definitions: &Arc<MemoryDefinitions>,
    own: Arc<OwnMetrics>,
) -> (Arc<EmbeddedBackend>, Arc<MonitorService>) {
    let backend = EmbeddedBackend::open(EmbeddedOptions {
        location: location.clone(),
        settings: settings.clone(),
        clock: clock.clone(),
        metrics: own,
    })
    .await
    .expect("opens");
    let backend = Arc::new(backend);
    // A backend may be tried with less disk than the service would let an operator set.
    let settings = MonitorSettings {
        retention_bytes: MonitorSettings::default().retention_bytes,
        ..settings.clone()
    };
    let service = MonitorService::open(
        backend.clone(),
        definitions.clone(),
        settings,
        clock.clone(),
    );
    let service = Arc::new(service.await.expect("starts"));
    (backend, service)
}

/// The context of a call of the tenant `shop`.
pub(crate) fn context() -> CallContext {
    context_of("shop", None)
}

/// The context of a call with an idempotency key.
pub(crate) fn keyed(key: &str) -> CallContext {
    context_of("shop", Some(key))
}

pub(crate) fn context_of(tenant: &str, key: Option<&str>) -> CallContext {
    CallContext {
        caller: Caller {
            tenant: TenantId::parse(tenant).expect("a tenant"),
            principal: Principal {
                id: PrincipalId::parse("tester").expect("an id"),
                name: "tester".to_owned(),
                kind: PrincipalKind::Service,
            },
            credential: CredentialId::parse("key").expect("an id"),
            roles: Arc::from([]),
            address: None,
            user_agent: None,
            trace: TraceContext::begin(),
        },
        operation: OperationId::new("monitor.test"),
        transport: Transport::Internal,
        deadline: Deadline::after_ms(60_000),
        idempotency_key: key.map(|key| IdempotencyKey::parse(key).expect("a key")),
    }
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

pub(crate) fn sample(metric: &str, pairs: &[(&str, &str)]) -> Sample {
    Sample {
        metric: metric.to_owned(),
        labels: labels(pairs),
        ..Sample::default()
    }
}

pub(crate) fn gauge(metric: &str, pairs: &[(&str, &str)], value: f64, at_ms: i64) -> Sample {
    Sample {
        value: Some(value),
        timestamp_ms: Some(at_ms),
        ..sample(metric, pairs)
    }
}

pub(crate) fn increment(metric: &str, pairs: &[(&str, &str)], delta: f64) -> Sample {
    Sample {
        increment: Some(delta),
        ..sample(metric, pairs)
    }
}

pub(crate) fn batch(samples: Vec<Sample>) -> RecordBatchRequest {
    RecordBatchRequest {
        samples,
        mode: None,
    }
}

pub(crate) fn matcher(label: &str, op: &str, value: &str) -> Matcher {
    Matcher {
        label: label.to_owned(),
        op: op.to_owned(),
        value: value.to_owned(),
    }
}

/// A query for the stored samples of a metric in the whole retention.
pub(crate) fn raw(metric: &str) -> GetMetricsRequest {
    GetMetricsRequest {
        metric: metric.to_owned(),
        start_ms: Some(0),
        end_ms: Some(START_MS * 2),
        ..GetMetricsRequest::default()
    }
}

pub(crate) fn aggregate(metric: &str, word: &str) -> GetMetricsRequest {
    GetMetricsRequest {
        metric: metric.to_owned(),
        aggregate: Some(word.to_owned()),
        ..GetMetricsRequest::default()
    }
}

/// The single value of a reply with one series and one point.
pub(crate) fn only_value(reply: &GetMetricsReply) -> f64 {
    assert_eq!(reply.series.len(), 1, "{reply:?}");
    assert_eq!(reply.series[0].points.len(), 1, "{reply:?}");
    reply.series[0].points[0].value
}

pub(crate) fn spec(metric_type: &str) -> MetricSpec {
    MetricSpec {
        metric_type: metric_type.to_owned(),
        unit: None,
        help: None,
        label_names: None,
        buckets: None,
        ttl_ms: None,
        max_series: None,
    }
}

pub(crate) async fn register(rig: &Rig, metric: &str, spec: MetricSpec) {
    let request = RegisterMetricRequest {
        metric: metric.to_owned(),
        spec,
    };
    rig.service
        .register_metric(&context(), request)
        .await
        .expect("registers");
}

/// The code of a refusal, and the field that it names first.
pub(crate) fn refusal(error: MonitorError) -> (u16, String) {
    let error = Error::from(error);
    let field = error
        .violations()
        .first()
        .map_or(String::new(), |violation| violation.field.clone());
    (error.code().number(), field)
}
