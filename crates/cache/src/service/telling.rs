//! Numbers of namespaces on `/metrics`: a bounded number of series, whatever callers do.

use std::collections::HashMap;
use std::sync::Arc;

use plinth_core::MetricSink;
use tokio_util::sync::CancellationToken;

use super::CacheService;
use crate::model::{Held, HotKeys, Namespace, Policy, Scope, Space};

/// Time between two looks, in milliseconds.
const TELL_EVERY_MS: u64 = 1_000;
/// The tenant and the namespace under which those are summed that have no series of their own. No name holds a bracket.
const OTHERS: &str = "(others)";

/// What was told last under each name; `None` are the others.
type Told = HashMap<(Option<Scope>, &'static str), u64>;

/// What one namespace, or all the others together, come to.
#[derive(Default)]
struct Numbers {
    counts: Vec<(&'static str, u64)>,
    held: Option<Held>,
}

impl Numbers {
    fn add(&mut self, counts: &[(&'static str, u64)], held: Option<Held>) {
        for (name, count) in counts {
            match self.counts.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum = sum.saturating_add(*count),
                None => self.counts.push((name, *count)),
            }
        }
        if let Some(held) = held {
            let sum = self.held.get_or_insert_default();
            sum.keys = sum.keys.saturating_add(held.keys);
            sum.bytes = sum.bytes.saturating_add(held.bytes);
            sum.expired = sum.expired.saturating_add(held.expired);
            sum.evicted = sum.evicted.saturating_add(held.evicted);
        }
    }
}

impl CacheService {
    /// The keys of a namespace that are read most.
    #[must_use]
    pub fn hot_keys(&self, context: &plinth_core::CallContext, namespace: Namespace) -> HotKeys {
        let (space, _) = self.space(context, namespace);
        self.counters.of(&space.scope).hottest()
    }

    /// Tells the numbers of namespaces to a sink, until it is told to stop.
    pub async fn tell_numbers(
        self: Arc<Self>,
        metrics: Arc<dyn MetricSink>,
        stop: CancellationToken,
    ) {
        let mut told = Told::new();
        loop {
            let next_ms = self.clock.monotonic_ms().saturating_add(TELL_EVERY_MS);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep_until_monotonic(next_ms) => self.tell(metrics.as_ref(), &mut told),
            }
        }
    }

    fn tell(&self, metrics: &dyn MetricSink, told: &mut Told) {
        let mut by_scope: HashMap<Option<Scope>, Numbers> = HashMap::new();
        for (scope, counters) in self.counters.all() {
            let held = scope.as_ref().and_then(|scope| {
                self.backend.held(&Space {
                    scope: scope.clone(),
                    policy: Policy::default(),
                })
            });
            let shown = scope.filter(|_| counters.is_told);
            by_scope
                .entry(shown)
                .or_default()
                .add(&counters.told(), held);
        }
        for (scope, numbers) in by_scope {
            tell_one(metrics, told, scope, &numbers);
        }
    }
}

fn tell_one(metrics: &dyn MetricSink, told: &mut Told, scope: Option<Scope>, numbers: &Numbers) {
    let labels = [
        (
            "tenant",
            scope.as_ref().map_or(OTHERS, |it| it.tenant.as_str()),
        ),
        (
            "namespace",
            scope.as_ref().map_or(OTHERS, |it| it.namespace.as_str()),
        ),
    ];
    let mut counts = numbers.counts.clone();
    if let Some(held) = numbers.held {
        #[expect(
            clippy::cast_precision_loss,
            reason = "gauges for people; 52 bits are enough"
        )]
        let gauge = |name, value: u64| metrics.set(name, &labels, value as f64);
        gauge("plinth_cache_keys", held.keys);
        gauge("plinth_cache_bytes", held.bytes);
        counts.push(("plinth_cache_expired_total", held.expired));
        counts.push(("plinth_cache_evicted_total", held.evicted));
    }
    for (name, now) in counts {
        let before = told.insert((scope.clone(), name), now).unwrap_or(0);
        // A backend that forgot an empty namespace begins anew.
        let more = now.checked_sub(before).unwrap_or(now);
        // A series shows from its first count on.
        if more > 0 {
            metrics.add(name, &labels, more);
        }
    }
}
