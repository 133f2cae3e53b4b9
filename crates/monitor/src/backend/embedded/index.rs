//! What is in memory: every series by tenant, metric and labels, with its newest sample and the samples that are in the
//! journal but not yet in chunks.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use plinth_core::TenantId;

use crate::backend::{StoredSample, Value};
use crate::model::Labels;

/// One series.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) id: i64,
    pub(super) labels: Labels,
    pub(super) from_zero: bool,
    pub(super) state: Mutex<SeriesState>,
}

/// What changes about a series.
#[derive(Debug)]
pub(super) struct SeriesState {
    /// Time of the first sample it ever had; `i64::MAX` before there is one.
    pub(super) first_ms: i64,
    /// Its newest sample.
    pub(super) newest: Option<StoredSample>,
    /// Samples that are not yet in chunks, in the order in which they came.
    pub(super) head: Vec<StoredSample>,
    /// Whether it has ended and is no longer in the index.
    pub(super) removed: bool,
}

impl Series {
    pub(super) fn new(id: i64, labels: Labels, from_zero: bool, state: SeriesState) -> Self {
        Self {
            id,
            labels,
            from_zero,
            state: Mutex::new(state),
        }
    }

    /// The newest sample.
    pub(super) fn newest(&self) -> Option<StoredSample> {
        self.state.lock().newest.clone()
    }

    /// Whether its time to live is over.
    pub(super) fn has_ended(&self, ttl_ms: Option<i64>, now_ms: i64) -> bool {
        let Some(ttl_ms) = ttl_ms else { return false };
        self.state
            .lock()
            .newest
            .as_ref()
            .is_some_and(|newest| newest.at_ms.saturating_add(ttl_ms) <= now_ms)
    }
}

impl SeriesState {
    /// The state before the first sample.
    pub(super) const fn empty() -> Self {
        Self {
            first_ms: i64::MAX,
            newest: None,
            head: Vec::new(),
            removed: false,
        }
    }

    /// Takes a durable sample over.
    pub(super) fn push(&mut self, sample: StoredSample) {
        self.first_ms = self.first_ms.min(sample.at_ms);
        if is_newest(self.newest.as_ref(), sample.at_ms) {
            self.newest = Some(sample.clone());
        }
        self.head.push(sample);
    }
}

/// Whether a sample of this time becomes the newest: the later write wins where times are equal.
pub(super) fn is_newest(newest: Option<&StoredSample>, at_ms: i64) -> bool {
    newest.is_none_or(|newest| at_ms >= newest.at_ms)
}

/// About how much memory a sample takes in the head, in bytes.
pub(super) fn weight(sample: &StoredSample) -> usize {
    let own = size_of::<StoredSample>();
    match &sample.value {
        Value::Scalar(_) => own,
        Value::Histogram(state) => own + 48 + state.counts.len() * size_of::<u64>(),
    }
}

/// The series of one metric.
#[derive(Debug)]
pub(super) struct MetricSeries {
    pub(super) id: i64,
    pub(super) ttl_ms: Option<i64>,
    pub(super) series: HashMap<Labels, Arc<Series>>,
}

/// The series of one tenant.
#[derive(Debug, Default)]
pub(super) struct TenantSeries {
    pub(super) metrics: HashMap<Box<str>, MetricSeries>,
    /// How many series it has.
    pub(super) series: usize,
    /// Bytes of their labels.
    pub(super) label_bytes: usize,
}

/// Every series.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) tenants: HashMap<TenantId, TenantSeries>,
    /// How many series there are.
    pub(super) series: usize,
    /// Bytes of their labels.
    pub(super) label_bytes: usize,
}

impl Index {
    /// A metric that has or had series.
    pub(super) fn metric(&self, tenant: &TenantId, metric: &str) -> Option<&MetricSeries> {
        self.tenants.get(tenant)?.metrics.get(metric)
    }

    /// How many series a tenant has, and how many bytes their labels take.
    pub(super) fn of_tenant(&self, tenant: &TenantId) -> (usize, usize) {
        let found = self.tenants.get(tenant);
        found.map_or((0, 0), |found| (found.series, found.label_bytes))
    }

    /// Adds a metric, or changes its time to live.
    pub(super) fn put_metric(
        &mut self,
        tenant: &TenantId,
        name: &str,
        id: i64,
        ttl_ms: Option<i64>,
    ) {
        let metrics = &mut self.tenants.entry(tenant.clone()).or_default().metrics;
        metrics
            .entry(name.into())
            .or_insert_with(|| MetricSeries {
                id,
                ttl_ms,
                series: HashMap::new(),
            })
            .ttl_ms = ttl_ms;
    }

    /// Adds a series to a metric that was put before.
    pub(super) fn put_series(&mut self, tenant: &TenantId, metric: &str, series: Arc<Series>) {
        let Some(of_tenant) = self.tenants.get_mut(tenant) else {
            return;
        };
        let Some(of_metric) = of_tenant.metrics.get_mut(metric) else {
            return;
        };
        let label_bytes = series.labels.bytes();
        let replaced = of_metric.series.insert(series.labels.clone(), series);
        if let Some(replaced) = replaced {
            replaced.state.lock().removed = true;
        } else {
            of_tenant.series += 1;
            of_tenant.label_bytes += label_bytes;
            self.series += 1;
            self.label_bytes += label_bytes;
        }
    }

    /// Removes a series, unless another one stands in its place already.
    pub(super) fn remove_series(&mut self, tenant: &TenantId, metric: &str, series: &Arc<Series>) {
        let Some(of_tenant) = self.tenants.get_mut(tenant) else {
            return;
        };
        let Some(of_metric) = of_tenant.metrics.get_mut(metric) else {
            return;
        };
        let stands = of_metric
            .series
            .get(&series.labels)
            .is_some_and(|found| Arc::ptr_eq(found, series));
        if stands {
            of_metric.series.remove(&series.labels);
            series.state.lock().removed = true;
            let label_bytes = series.labels.bytes();
            of_tenant.series -= 1;
            of_tenant.label_bytes -= label_bytes;
            self.series -= 1;
            self.label_bytes -= label_bytes;
        }
    }

    /// Every series, with the time to live of its metric.
    pub(super) fn all(&self) -> impl Iterator<Item = (&TenantId, &str, Option<i64>, &Arc<Series>)> {
        self.tenants.iter().flat_map(|(tenant, of_tenant)| {
            of_tenant.metrics.iter().flat_map(move |(name, metric)| {
                metric
                    .series
                    .values()
                    .map(move |series| (tenant, name.as_ref(), metric.ttl_ms, series))
            })
        })
    }
}

/// Samples refused by the series limits, by tenant and metric, since the start. Bounded by the registered metrics: only a
/// registered metric is written.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<TenantId, HashMap<Box<str>, u64>>>);

impl Refusals {
    pub(super) fn add(&self, tenant: &TenantId, metric: &str) {
        let mut refusals = self.0.lock();
        let of_tenant = refusals.entry(tenant.clone()).or_default();
        if let Some(count) = of_tenant.get_mut(metric) {
            *count = count.saturating_add(1);
        } else {
            of_tenant.insert(metric.into(), 1);
        }
    }

    pub(super) fn get(&self, tenant: &TenantId, metric: &str) -> u64 {
        self.0
            .lock()
            .get(tenant)
            .and_then(|of_tenant| of_tenant.get(metric))
            .copied()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// One change: of which tenant and metric, which labels, and whether the series is put or removed.
    type Step = (usize, usize, usize, bool);

    const TENANTS: [&str; 2] = ["one", "two"];
    const METRICS: [&str; 2] = ["m", "n"];

    fn labels(length: usize) -> Labels {
        let value = "v".repeat(length);
        Labels::parse(&BTreeMap::from([("a".to_owned(), value)])).expect("are right")
    }

    proptest! {
        /// The limits of series and of their labels' bytes rest on these sums.
        #[test]
        fn sums_follow_the_series(
            steps in proptest::collection::vec((0..2_usize, 0..2_usize, 0..4_usize, any::<bool>()), 0..60)
        ) {
            let mut index = Index::default();
            // What was ever put: a series that another one has replaced may be removed too, which changes nothing.
            let mut put: Vec<(Step, Arc<Series>)> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                let (tenant, metric, length, is_put) = step;
                let tenant = TenantId::parse(TENANTS[tenant]).expect("a tenant");
                let metric = METRICS[metric];
                if is_put {
                    let id = i64::try_from(number).expect("fits");
                    let series = Series::new(id, labels(length), false, SeriesState::empty());
                    let series = Arc::new(series);
                    index.put_metric(&tenant, metric, 1, None);
                    index.put_series(&tenant, metric, Arc::clone(&series));
                    put.push((step, series));
                } else if let Some((_, series)) = put.iter().find(|(of, _)| of.0 == step.0 && of.1 == step.1) {
                    index.remove_series(&tenant, metric, series);
                }
                let of = |wanted: Option<&TenantId>| {
                    let counted = index.all().filter(|(tenant, ..)| wanted.is_none_or(|wanted| *tenant == wanted));
                    counted.fold((0, 0), |(series, bytes), (_, _, _, found)| {
                        (series + 1, bytes + found.labels.bytes())
                    })
                };
                prop_assert_eq!((index.series, index.label_bytes), of(None));
                for tenant in TENANTS {
                    let tenant = TenantId::parse(tenant).expect("a tenant");
                    prop_assert_eq!(index.of_tenant(&tenant), of(Some(&tenant)));
                }
            }
        }
    }
}
