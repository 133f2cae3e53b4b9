//! The use cases of the monitor block.

mod cell;
mod evaluate;
mod follow;
mod query;
mod record;
mod registry;

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;
use plinth_core::{CallContext, Cursor, SharedClock, TenantId};
use plinth_store::definitions::DefinitionWatch;
use plinth_store::{DefinitionKind, Definitions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::backend::SeriesBackend;
use crate::error::MonitorError;
use crate::exposition::Exposition;
use crate::model::{
    ListMetricsReply, ListMetricsRequest, Listing, MetricDefinition, MetricInfo,
    RegisterMetricReply, RegisterMetricRequest, clamp_count,
};
use crate::settings::MonitorSettings;
use registry::{Change, Registry};

pub use evaluate::{Evaluation, Plan};

/// Records, registers and queries metrics.
pub struct MonitorService {
    backend: Arc<dyn SeriesBackend>,
    registry: Arc<Registry>,
    settings: MonitorSettings,
    clock: SharedClock,
    stop: CancellationToken,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl MonitorService {
    /// Starts the service with its upkeep, which runs on the runtime of the caller. A control plane that is away does not
    /// stop it: the registrations of a tenant are then read when it is first seen.
    ///
    /// Errors: 1001 naming the setting that is out of its range.
    pub async fn open(
        backend: Arc<dyn SeriesBackend>,
        definitions: Arc<dyn Definitions>,
        settings: MonitorSettings,
        clock: SharedClock,
    ) -> Result<Self, MonitorError> {
        settings.validate()?;
        let registry = Arc::new(Registry::new(Arc::clone(&definitions)));
        if let Err(error) = registry.reload().await {
            tracing::warn!(monitor.error = %error, "registered metrics are not read yet");
        }
        let stop = CancellationToken::new();
        let upkeep = tokio::spawn(keep_up(
            Arc::clone(&backend),
            Arc::clone(&clock),
            settings.upkeep_interval_ms,
            stop.clone(),
        ));
        let following = tokio::spawn(follow::follow(
            follow::Followed {
                registry: Arc::clone(&registry),
                backend: Arc::clone(&backend),
            },
            DefinitionWatch::new(definitions, &[DefinitionKind::Metric], Arc::clone(&clock)),
            stop.clone(),
        ));
        Ok(Self {
            backend,
            registry,
            settings,
            clock,
            stop,
            tasks: Mutex::new(vec![upkeep, following]),
        })
    }

    /// Registers a metric; registering it again changes its help, time to live and series limit.
    ///
    /// Errors: 1001 naming the field; 1005 where type, unit, labels or buckets differ from what is registered, or where a
    /// name of its exposition is taken; 2203 where the tenant has too many metrics.
    pub async fn register_metric(
        &self,
        context: &CallContext,
        request: RegisterMetricRequest,
    ) -> Result<RegisterMetricReply, MonitorError> {
        let tenant = &context.caller.tenant;
        let definition = MetricDefinition::parse(&request, self.settings.series_per_metric_max)?;
        let in_use = self.label_names_in_use(tenant, &definition.name);
        let (registered, created) = self
            .registry
            .register(tenant, definition.clone(), |known| {
                check_change(known, &definition, &in_use)
            })
            .await?;
        self.backend.define(tenant, Arc::clone(&registered)).await?;
        Ok(RegisterMetricReply {
            info: self.info(tenant, &registered),
            created,
        })
    }

    /// Lists registered metrics by name, with their usage. Errors: 1001 naming the field.
    pub async fn list_metrics(
        &self,
        context: &CallContext,
        request: ListMetricsRequest,
    ) -> Result<ListMetricsReply, MonitorError> {
        let tenant = &context.caller.tenant;
        let listing = Listing::parse(&request)?;
        let (page, more) = self.registry.list(tenant, &listing).await?;
        let next_cursor = match page.last() {
            Some(last) if more => Some(Cursor::encode(&last.name)?.as_str().to_owned()),
            _ => None,
        };
        Ok(ListMetricsReply {
            metrics: page
                .iter()
                .map(|definition| self.info(tenant, definition))
                .collect(),
            next_cursor,
        })
    }

    /// The newest values of a tenant's metrics, in Prometheus' text format 0.0.4, without timestamps. May take a while for
    /// many series.
    #[must_use]
    pub fn expose_tenant(&self, tenant: &TenantId) -> String {
        let now_ms = self.clock.now().0;
        let mut exposition = Exposition::default();
        for definition in self.registry.cached_all(tenant) {
            let series = self.backend.current(tenant, &definition.name, now_ms);
            if !series.is_empty() {
                exposition.metric(&definition, &series);
            }
        }
        exposition.finish()
    }

    /// Stops the upkeep and closes the backend; samples that were accepted are durable by then.
    pub async fn close(&self) {
        self.stop.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            // It ends by the token; a panic in it was logged by the runtime.
            let _ended = task.await.is_ok();
        }
        self.backend.close().await;
    }

    fn label_names_in_use(&self, tenant: &TenantId, metric: &str) -> BTreeSet<String> {
        self.backend
            .current(tenant, metric, self.clock.now().0)
            .iter()
            .flat_map(|series| {
                let names = series.labels.iter().map(|(name, _)| name.to_owned());
                names.collect::<Vec<_>>()
            })
            .collect()
    }

    fn info(&self, tenant: &TenantId, definition: &MetricDefinition) -> MetricInfo {
        let usage = self.backend.usage(tenant, &definition.name);
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        MetricInfo {
            metric: definition.name.clone(),
            metric_type: definition.metric_type.as_str().to_owned(),
            unit: definition.unit.clone(),
            help: definition.help.clone(),
            label_names: definition.label_names.clone(),
            buckets: definition.buckets.clone(),
            ttl_ms: definition.ttl_ms,
            max_series: count(definition.max_series),
            auto_registered: definition.auto_registered,
            created_ms: definition.created_ms,
            updated_ms: definition.updated_ms,
            series: count(usage.series),
            last_write_ms: usage.newest_ms,
            refused: clamp_count(usage.refused),
        }
    }
}

/// Whether a new registration may take the place of the one that is there. A label list may be given later, as long as
/// the series keep to it.
fn check_change(
    known: &MetricDefinition,
    new: &MetricDefinition,
    labels_in_use: &BTreeSet<String>,
) -> Result<Change, MonitorError> {
    let conflict = |difference: String| MonitorError::RegistrationConflict {
        metric: known.name.clone(),
        difference,
    };
    if let Some(difference) = known.difference(new) {
        return Err(conflict(difference));
    }
    let refused = new
        .label_names
        .as_ref()
        .and_then(|allowed| labels_in_use.iter().find(|name| !allowed.contains(name)));
    if let Some(other) = refused {
        return Err(conflict(format!("has series with the label {other:?}")));
    }
    let same = MetricDefinition {
        created_ms: known.created_ms,
        updated_ms: known.updated_ms,
        ..new.clone()
    } == *known;
    Ok(if same { Change::Keep } else { Change::Replace })
}

/// Looks for what has ended, again and again, until it is told to stop.
async fn keep_up(
    backend: Arc<dyn SeriesBackend>,
    clock: SharedClock,
    interval_ms: u64,
    stop: CancellationToken,
) {
    loop {
        let at_ms = clock.monotonic_ms().saturating_add(interval_ms);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep_until_monotonic(at_ms) => {}
        }
        if let Err(error) = backend.upkeep(clock.now().0).await {
            tracing::warn!(monitor.error = %error, "the upkeep failed; the next one tries again");
        }
    }
}
