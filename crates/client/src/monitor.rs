//! The metrics.

use plinth_idl::monitor as idl;
use reqwest::Method;

mod model;
mod wire;

pub use self::model::{
    CounterTotal, HistogramTotal, MetricAnswer, MetricBatch, MetricHistogram, MetricInfo,
    MetricLabels, MetricMatcher, MetricPage, MetricPoint, MetricQuery, MetricRecorded,
    MetricRegistration, MetricRejected, MetricSample, MetricSeries, MetricSpec,
};
use self::wire::{
    BatchBody, GaugeBody, RecordedBody, SeriesBody, optional_text, text, thrift_labels,
    thrift_query, thrift_sample, thrift_spec,
};
use crate::Client;
use crate::error::Result;
use crate::request_id;
use crate::retry::Repeat;
use crate::transport::Transport;
use crate::transport::http::idempotent;

/// The monitor operations of a client.
///
/// Every recording takes an idempotency key in `request_id`; one is made up where none is given, so a repeat after a lost
/// answer counts nothing twice.
#[derive(Clone, Copy)]
pub struct MonitorClient<'client> {
    client: &'client Client,
}

impl<'client> MonitorClient<'client> {
    pub(crate) const fn new(client: &'client Client) -> Self {
        Self { client }
    }

    /// Records one sample of any metric; it is durable when this returns.
    ///
    /// Errors: 1001 naming the field, 1004 where unknown names are not taken, 1005 where it does not fit its metric or the
    /// key was used for another sample, 2203 where a series limit is reached, 2204 where it is too old or too far ahead.
    pub async fn record(
        &self,
        sample: &MetricSample,
        request_id: Option<String>,
    ) -> Result<MetricRecorded> {
        let request_id = self::request_id(request_id);
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let sample = thrift_sample(sample);
                    let request = idl::MonitorRecordMetricRequest {
                        metric: sample.metric,
                        labels: sample.labels,
                        value: sample.value,
                        increment: sample.increment,
                        observations: sample.observations,
                        timestamp_ms: sample.timestamp_ms,
                        metric_type: sample.metric_type,
                        request_id: Some(text(&request_id)),
                        base: None,
                    };
                    let reply = thrift
                        .call(thrift.api().monitor_record_metric(request))
                        .await?;
                    Ok(reply.recorded.into())
                }
                Transport::Http(http) => {
                    let path = ["v1", "monitor", "record-metric"];
                    let request = http.request(Method::POST, &path).json(sample);
                    let reply: RecordedBody = http.json(idempotent(request, &request_id)).await?;
                    Ok(reply.recorded)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Records 1 to 1,000 samples in one commit. Where `per_item`, bad samples are left out and reported; else one bad sample
    /// refuses them all. Errors: as [`MonitorClient::record`].
    pub async fn record_batch(
        &self,
        samples: &[MetricSample],
        per_item: bool,
        request_id: Option<String>,
    ) -> Result<MetricBatch> {
        let request_id = self::request_id(request_id);
        let mode = if per_item { "per_item" } else { "atomic" };
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::MonitorRecordBatchRequest {
                        samples: samples.iter().map(thrift_sample).collect(),
                        mode: Some(text(mode)),
                        request_id: Some(text(&request_id)),
                        base: None,
                    };
                    let reply = thrift
                        .call(thrift.api().monitor_record_batch(request))
                        .await?;
                    Ok(reply.into())
                }
                Transport::Http(http) => {
                    let path = ["v1", "monitor", "record-batch"];
                    let request = http
                        .request(Method::POST, &path)
                        .json(&BatchBody { samples, mode });
                    http.json(idempotent(request, &request_id)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Adds to a counter. Errors: as [`MonitorClient::record`].
    pub async fn increment(
        &self,
        metric: &str,
        labels: &MetricLabels,
        delta: f64,
        request_id: Option<String>,
    ) -> Result<CounterTotal> {
        let request_id = self::request_id(request_id);
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::MonitorIncrementCounterRequest {
                        metric: text(metric),
                        labels: thrift_labels(labels),
                        delta: Some(delta),
                        request_id: Some(text(&request_id)),
                        ..Default::default()
                    };
                    let reply = thrift
                        .call(thrift.api().monitor_increment_counter(request))
                        .await?;
                    Ok(reply.into())
                }
                Transport::Http(http) => {
                    let body = SeriesBody {
                        delta: Some(delta),
                        ..SeriesBody::of(metric, labels)
                    };
                    let path = ["v1", "monitor", "increment-counter"];
                    let request = http.request(Method::POST, &path).json(&body);
                    http.json(idempotent(request, &request_id)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Sets a gauge, now or at `timestamp_ms`, and returns the stored sample's time. Errors: as [`MonitorClient::record`].
    pub async fn set_gauge(
        &self,
        metric: &str,
        labels: &MetricLabels,
        value: f64,
        timestamp_ms: Option<i64>,
        request_id: Option<String>,
    ) -> Result<i64> {
        let request_id = self::request_id(request_id);
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::MonitorSetGaugeRequest {
                        metric: text(metric),
                        labels: thrift_labels(labels),
                        value,
                        timestamp_ms,
                        request_id: Some(text(&request_id)),
                        base: None,
                    };
                    let reply = thrift.call(thrift.api().monitor_set_gauge(request)).await?;
                    Ok(reply.timestamp_ms)
                }
                Transport::Http(http) => {
                    let body = SeriesBody {
                        value: Some(value),
                        timestamp_ms,
                        ..SeriesBody::of(metric, labels)
                    };
                    let path = ["v1", "monitor", "set-gauge"];
                    let request = http.request(Method::POST, &path).json(&body);
                    let reply: GaugeBody = http.json(idempotent(request, &request_id)).await?;
                    Ok(reply.timestamp_ms)
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Puts 1 to 1,000 observations into a histogram. Errors: as [`MonitorClient::record`].
    pub async fn record_histogram(
        &self,
        metric: &str,
        labels: &MetricLabels,
        observations: &[f64],
        request_id: Option<String>,
    ) -> Result<HistogramTotal> {
        let request_id = self::request_id(request_id);
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::MonitorRecordHistogramRequest {
                        metric: text(metric),
                        labels: thrift_labels(labels),
                        observations: observations.to_vec(),
                        request_id: Some(text(&request_id)),
                        ..Default::default()
                    };
                    let reply = thrift
                        .call(thrift.api().monitor_record_histogram(request))
                        .await?;
                    Ok(reply.into())
                }
                Transport::Http(http) => {
                    let body = SeriesBody {
                        observations: Some(observations),
                        ..SeriesBody::of(metric, labels)
                    };
                    let path = ["v1", "monitor", "record-histogram"];
                    let request = http.request(Method::POST, &path).json(&body);
                    http.json(idempotent(request, &request_id)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Queries a metric. Errors: 1001 naming the field, 1004 where no metric has the name, 1007 where the query passes a
    /// limit.
    pub async fn get(&self, query: &MetricQuery) -> Result<MetricAnswer> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = thrift_query(query);
                    let reply = thrift
                        .call(thrift.api().monitor_get_metrics(request))
                        .await?;
                    Ok(reply.into())
                }
                Transport::Http(http) => {
                    let path = ["v1", "monitor", "get-metrics"];
                    http.json(http.request(Method::POST, &path).json(query))
                        .await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// Registers a metric, or changes its help, time to live or series limit. To register the same again changes nothing.
    ///
    /// Errors: 1001 naming the field, 1005 naming what differs from the registration that exists.
    pub async fn register(&self, metric: &str, spec: &MetricSpec) -> Result<MetricRegistration> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = thrift_spec(metric, spec);
                    let reply = thrift
                        .call(thrift.api().monitor_register_metric(request))
                        .await?;
                    Ok(reply.into())
                }
                Transport::Http(http) => {
                    let path = ["v1", "monitor", "metrics", metric];
                    http.json(http.request(Method::PUT, &path).json(spec)).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }

    /// One page of registered metrics by name. Errors: 1001 naming the field.
    pub async fn list(
        &self,
        prefix: Option<&str>,
        limit: Option<i64>,
        cursor: Option<&str>,
    ) -> Result<MetricPage> {
        let call = || async {
            match self.client.transport() {
                Transport::Thrift(thrift) => {
                    let request = idl::MonitorListMetricsRequest {
                        prefix: optional_text(prefix),
                        limit,
                        cursor: optional_text(cursor),
                        base: None,
                    };
                    let reply = thrift
                        .call(thrift.api().monitor_list_metrics(request))
                        .await?;
                    Ok(reply.into())
                }
                Transport::Http(http) => {
                    let mut request = http.request(Method::GET, &["v1", "monitor", "metrics"]);
                    if let Some(prefix) = prefix {
                        request = request.query(&[("prefix", prefix)]);
                    }
                    if let Some(limit) = limit {
                        request = request.query(&[("limit", limit)]);
                    }
                    if let Some(cursor) = cursor {
                        request = request.query(&[("cursor", cursor)]);
                    }
                    http.json(request).await
                }
            }
        };
        self.client.run(Repeat::Safe, call).await
    }
}
