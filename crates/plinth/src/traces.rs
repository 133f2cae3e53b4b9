//! Traces: one span for each call that passed the gate, sent in batches to an OTLP collector over HTTP.
//!
//! Off by default, and then nothing of this exists. On, a call pays for putting its span into a bounded queue, never for the
//! collector: what does not fit is dropped and counted, and a collector that is away costs a line of the log now and then.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor,
};
use parking_lot::Mutex;
use plinth_core::{CallEnd, CallSpan, MetricSink, Outcome, SharedClock, TraceSink};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

/// Counts spans by what became of them: `queued`, `exported`, `failed`. Queued ones that are neither were dropped, or wait.
const SPANS_METRIC: &str = "plinth_trace_spans_total";
/// Least time between two warnings of a collector that is away, in milliseconds.
const WARNING_EVERY_MS: u64 = 60_000;
/// Largest answer of a collector that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Most spans that may wait for the collector.
const QUEUE_SPANS_MAX: usize = 1_000_000;
/// Longest time between two batches, and of one export, in milliseconds.
const TIME_MS_MAX: u64 = 60_000;

/// Where spans of requests are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TraceSettings {
    /// OTLP over HTTP with protobuf: `http://127.0.0.1:4318/v1/traces`. Empty: no traces. Headers that the collector wants
    /// come from the environment variable OTEL_EXPORTER_OTLP_HEADERS (`name=value,…`).
    pub(crate) otlp_url: String,
    /// Which part of the traces that begin here is sent, 0 to 1. A caller's own decision (the flag of its `traceparent`)
    /// goes before.
    pub(crate) sample_ratio: f64,
    /// Most spans that wait to be sent; further ones are dropped and counted.
    pub(crate) queue_spans_max: usize,
    /// Most spans of one request to the collector.
    pub(crate) batch_spans_max: usize,
    /// Longest time between two batches, in milliseconds.
    pub(crate) interval_ms: u64,
    /// How long one request to the collector may take, and the last one at the end of the process, in milliseconds.
    pub(crate) timeout_ms: u64,
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self {
            otlp_url: String::new(),
            sample_ratio: 1.0,
            queue_spans_max: 8_192,
            batch_spans_max: 512,
            interval_ms: 1_000,
            timeout_ms: 5_000,
        }
    }
}

impl TraceSettings {
    /// Checks the settings. Errors: the name of the one that is out of its range.
    pub(crate) fn validate(&self) -> Result<()> {
        let url = self.otlp_url.as_str();
        let is_http = reqwest::Url::parse(url)
            .is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        if !url.is_empty() && !is_http {
            bail!(
                "trace.otlp_url: must be an http:// or https:// address, such as http://127.0.0.1:4318/v1/traces"
            );
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            bail!("trace.sample_ratio: must lie in 0..=1");
        }
        if !(1..=QUEUE_SPANS_MAX).contains(&self.queue_spans_max) {
            bail!("trace.queue_spans_max: must lie in 1..={QUEUE_SPANS_MAX}");
        }
        if !(1..=self.queue_spans_max).contains(&self.batch_spans_max) {
            bail!("trace.batch_spans_max: must lie in 1..=trace.queue_spans_max");
        }
        for (name, value_ms) in [
            ("interval_ms", self.interval_ms),
            ("timeout_ms", self.timeout_ms),
        ] {
            if !(1..=TIME_MS_MAX).contains(&value_ms) {
                bail!("trace.{name}: must lie in 1..={TIME_MS_MAX}");
            }
        }
        Ok(())
    }
}

/// The way of spans to the collector.
pub(crate) struct Traces {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    metrics: Arc<dyn MetricSink>,
    /// Traces that begin here are sampled where the random part of their id lies below.
    threshold: u64,
    timeout: Duration,
}

/// The rightmost bits of a trace id that are random (W3C Trace Context, level 2, section 3.2.2.3).
const RANDOM_BITS: u32 = 56;

impl Traces {
    /// Begins to send, where the settings name a collector. Errors: the client cannot be made.
    pub(crate) fn start(
        settings: &TraceSettings,
        clock: &SharedClock,
        metrics: &Arc<dyn MetricSink>,
    ) -> Result<Option<Arc<Self>>> {
        if settings.otlp_url.is_empty() {
            return Ok(None);
        }
        let timeout = Duration::from_millis(settings.timeout_ms);
        let client = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("cannot make the client of the trace collector")?;
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(CollectorClient {
                client,
                runtime: Handle::current(),
            })
            .with_endpoint(&settings.otlp_url)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(timeout)
            .build()
            .context("cannot make the exporter of traces")?;
        let watched = Watched {
            exporter,
            clock: Arc::clone(clock),
            metrics: Arc::clone(metrics),
            warned_ms: Mutex::new(None),
            failed: AtomicU64::new(0),
        };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(settings.queue_spans_max)
            .with_max_export_batch_size(settings.batch_spans_max)
            .with_scheduled_delay(Duration::from_millis(settings.interval_ms))
            .build();
        let mut processor = BatchSpanProcessor::builder(watched)
            .with_batch_config(batches)
            .build();
        let resource = Resource::builder()
            .with_service_name("plinth")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        processor.set_resource(&resource.build());
        Ok(Some(Arc::new(Self {
            processor,
            scope: InstrumentationScope::builder("plinth").build(),
            metrics: Arc::clone(metrics),
            threshold: threshold(settings.sample_ratio),
            timeout,
        })))
    }

    /// Sends what waits, within the time of one request, and ends. Spans of later calls are dropped.
    pub(crate) async fn close(self: Arc<Self>) {
        let timeout = self.timeout;
        let ended =
            tokio::task::spawn_blocking(move || self.processor.shutdown_with_timeout(timeout));
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the last spans did not reach the trace collector")
            }
            Err(error) => tracing::warn!(%error, "the export of traces ended badly"),
        }
    }

    fn is_sampled(&self, span: &CallSpan<'_>) -> bool {
        if !span.trace.begun_here {
            return span.trace.flags & 1 == 1;
        }
        let [.., a, b, c, d, e, f, g] = span.trace.trace_id;
        u64::from_be_bytes([0, a, b, c, d, e, f, g]) < self.threshold
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a ratio in 0..=1 of 2^56, checked by the settings, is a whole number of 64 bits; its last bits do not matter"
)]
fn threshold(ratio: f64) -> u64 {
    (ratio * (1_u64 << RANDOM_BITS) as f64) as u64
}

impl TraceSink for Traces {
    fn record(&self, span: &CallSpan<'_>) {
        if !self.is_sampled(span) {
            return;
        }
        self.processor.on_end(data(span, self.scope.clone()));
        self.metrics.add(SPANS_METRIC, &[("state", "queued")], 1);
    }
}

/// A call as OTLP has it. A trace that begins here has this span as its root; one that came in has the caller's as parent.
fn data(span: &CallSpan<'_>, scope: InstrumentationScope) -> SpanData {
    let trace = span.trace;
    let (span_id, parent) = if trace.begun_here {
        (trace.parent_id, SpanId::INVALID)
    } else {
        (
            plinth_core::TraceContext::begin().parent_id,
            SpanId::from_bytes(trace.parent_id),
        )
    };
    let mut attributes = vec![
        KeyValue::new("plinth.tenant", span.tenant.as_str().to_owned()),
        KeyValue::new("plinth.principal", span.principal.as_str().to_owned()),
        KeyValue::new("plinth.transport", span.transport.as_str()),
    ];
    let status = match span.end {
        CallEnd::Done => {
            attributes.push(KeyValue::new("plinth.outcome", "applied"));
            attributes.push(KeyValue::new("plinth.code", 0));
            Status::Unset
        }
        CallEnd::Failed(code, outcome) => {
            let outcome = match outcome {
                Outcome::NotApplied => "not_applied",
                Outcome::Unknown => "unknown",
            };
            attributes.push(KeyValue::new("plinth.outcome", outcome));
            attributes.push(KeyValue::new("plinth.code", i64::from(code.number())));
            attributes.push(KeyValue::new("error.type", code.reason()));
            Status::error(code.reason())
        }
        CallEnd::Cancelled => {
            attributes.push(KeyValue::new("plinth.outcome", "unknown"));
            attributes.push(KeyValue::new("error.type", "CANCELLED"));
            Status::error("CANCELLED")
        }
    };
    let ended_ms = u64::try_from(span.ended_at.0).unwrap_or_default();
    let end_time = SystemTime::UNIX_EPOCH + Duration::from_millis(ended_ms);
    let elapsed = Duration::from_nanos(span.elapsed_ns);
    SpanData {
        span_context: SpanContext::new(
            TraceId::from_bytes(trace.trace_id),
            SpanId::from_bytes(span_id),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: parent,
        parent_span_is_remote: !trace.begun_here,
        span_kind: SpanKind::Server,
        name: span.operation.as_str().into(),
        start_time: end_time.checked_sub(elapsed).unwrap_or(end_time),
        end_time,
        attributes,
        dropped_attributes_count: 0,
        events: Default::default(),
        links: Default::default(),
        status,
        instrumentation_scope: scope,
    }
}

/// The exporter, with eyes on what becomes of its batches.
struct Watched<E> {
    exporter: E,
    clock: SharedClock,
    metrics: Arc<dyn MetricSink>,
    warned_ms: Mutex<Option<u64>>,
    /// Spans that failed since the last warning.
    failed: AtomicU64,
}

impl<E: fmt::Debug> fmt::Debug for Watched<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exporter.fmt(formatter)
    }
}

impl<E> Watched<E> {
    fn note(&self, spans: u64, outcome: &OTelSdkResult) {
        let Err(error) = outcome else {
            self.metrics
                .add(SPANS_METRIC, &[("state", "exported")], spans);
            if self.warned_ms.lock().take().is_some() {
                tracing::info!("the trace collector takes spans again");
            }
            return;
        };
        self.metrics
            .add(SPANS_METRIC, &[("state", "failed")], spans);
        let failed = self.failed.fetch_add(spans, Ordering::AcqRel) + spans;
        let now_ms = self.clock.monotonic_ms();
        let mut warned_ms = self.warned_ms.lock();
        if warned_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < WARNING_EVERY_MS) {
            return;
        }
        *warned_ms = Some(now_ms);
        self.failed.store(0, Ordering::Release);
        tracing::warn!(%error, spans = failed, "the trace collector did not take spans; they are lost, and nothing waits for it");
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let outcome = self.exporter.export(batch).await;
        self.note(spans, &outcome);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// The house's own HTTP client under the exporter, so that no second one comes in. The exporter runs on a thread of its own;
/// the requests run on the runtime.
#[derive(Debug)]
struct CollectorClient {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self
            .runtime
            .spawn(async move { send(&client, request).await });
        sent.await?
    }
}

async fn send(
    client: &reqwest::Client,
    request: http::Request<Bytes>,
) -> Result<http::Response<Bytes>, HttpError> {
    let (parts, body) = request.into_parts();
    let mut reply = client
        .request(parts.method, parts.uri.to_string())
        .headers(parts.headers)
        .body(body)
        .send()
        .await?;
    let mut text = Vec::new();
    while let Some(piece) = reply.chunk().await? {
        if text.len() + piece.len() > ANSWER_BYTES_MAX {
            return Err("the collector's answer is too large".into());
        }
        text.extend_from_slice(&piece);
    }
    let mut response = http::Response::new(Bytes::from(text));
    *response.status_mut() = reply.status();
    *response.headers_mut() = reply.headers().clone();
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_out_of_its_range_is_named() {
        type Spoil = fn(&mut TraceSettings);
        let cases: [(&str, Spoil); 6] = [
            ("trace.otlp_url", |s| {
                s.otlp_url = "127.0.0.1:4318".to_owned()
            }),
            ("trace.sample_ratio", |s| s.sample_ratio = f64::NAN),
            ("trace.queue_spans_max", |s| s.queue_spans_max = 0),
            ("trace.batch_spans_max", |s| {
                s.batch_spans_max = s.queue_spans_max + 1
            }),
            ("trace.interval_ms", |s| s.interval_ms = TIME_MS_MAX + 1),
            ("trace.timeout_ms", |s| s.timeout_ms = 0),
        ];
        assert!(TraceSettings::default().validate().is_ok());
        for (name, spoil) in cases {
            let mut settings = TraceSettings::default();
            spoil(&mut settings);
            let error = settings.validate().expect_err(name).to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }

    #[test]
    fn the_ratio_becomes_a_part_of_the_random_bits() {
        assert_eq!(threshold(0.0), 0);
        assert_eq!(threshold(1.0), 1 << RANDOM_BITS);
        assert_eq!(threshold(0.25), 1 << (RANDOM_BITS - 2));
    }
}
