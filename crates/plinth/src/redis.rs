//! Redis, where the settings name one: the link that the blocks share, its state in the health, its numbers in the metrics.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use plinth_cache::CacheBackendKind;
use plinth_core::MetricSink;
use plinth_lock::LockBackend;
use plinth_redis_link::{LATENCY_BOUNDS_US, LinkNumbers, RedisLink, ServerInfo, slot_of};
use plinth_resilience::HealthRegistry;
use plinth_resilience::health::Component;
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;

/// Time between two looks, in milliseconds.
const LOOK_EVERY_MS: u64 = 200;
/// Time between two questions for what the servers have evicted, in milliseconds.
const EVICTIONS_EVERY_MS: u64 = 1_000;

/// Begins to reach Redis, which need not be there. `None`: the settings name none.
///
/// Errors: the settings are wrong, or the file of the authorities cannot be used.
pub(crate) fn open(settings: &Settings) -> Result<Option<Arc<RedisLink>>> {
    if settings.redis.url.is_empty() {
        return Ok(None);
    }
    let link = RedisLink::start(&settings.redis).context("cannot use Redis")?;
    Ok(Some(link))
}

/// Checks that Redis is named where something needs it. Errors: it is not.
pub(crate) fn check(settings: &Settings) -> Result<()> {
    settings.redis.validate()?;
    for (_, needs, setting) in parts(settings) {
        if needs && settings.redis.url.is_empty() {
            bail!("redis.url: is empty, but {setting} is `redis`");
        }
    }
    Ok(())
}

/// The parts of an instance that may stand on Redis, whether they do, and the setting that says so.
fn parts(settings: &Settings) -> [(&'static str, bool, &'static str); 2] {
    [
        (
            "cache",
            settings.cache.backend == CacheBackendKind::Redis,
            "cache.backend",
        ),
        (
            "lock",
            settings.lock.backend == LockBackend::Redis,
            "lock.backend",
        ),
    ]
}

/// Asks Redis who it is, for whoever examines an instance: its version, and what is amiss with its settings. `None`: the
/// settings name no Redis. Errors: it cannot be reached, and why.
pub(crate) async fn examine(settings: &Settings) -> Option<Result<(String, Option<String>)>> {
    let link = open(settings).transpose()?;
    let asked = async {
        let server = link?.server(slot_of(b"")).await?;
        Ok((server.version_text(), amiss(&server)))
    };
    Some(asked.await)
}

/// What is amiss with the settings of a server.
fn amiss(server: &ServerInfo) -> Option<String> {
    server.may_evict_lasting_keys().then(|| {
        format!(
            "maxmemory-policy {} may drop bookkeeping, fences and locks; set noeviction or volatile-lru",
            server.eviction
        )
    })
}

/// What tells how Redis is.
pub(crate) fn watch(
    link: Arc<RedisLink>,
    settings: &Settings,
    health: &HealthRegistry,
    metrics: Arc<dyn MetricSink>,
) -> RedisWatch {
    let needing = parts(settings).into_iter().filter(|(_, needs, _)| *needs);
    RedisWatch {
        link,
        components: needing.map(|(part, ..)| health.component(part)).collect(),
        metrics,
    }
}

/// Tells how Redis is: to the health of the parts that stand on it, and to the metrics.
pub(crate) struct RedisWatch {
    link: Arc<RedisLink>,
    components: Vec<Component>,
    metrics: Arc<dyn MetricSink>,
}

impl RedisWatch {
    /// Looks again and again, until the instance ends.
    pub(crate) async fn until(self, stop: CancellationToken) {
        tokio::join!(self.watch(&stop), self.count_evictions(&stop));
    }

    /// Tells what the servers have evicted; while one of them does not tell, the last number stands.
    async fn count_evictions(&self, stop: &CancellationToken) {
        let mut looks = tokio::time::interval(Duration::from_millis(EVICTIONS_EVERY_MS));
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let counting = async {
            loop {
                looks.tick().await;
                if let Ok(evicted) = self.link.evicted_keys().await {
                    self.gauge("plinth_redis_evicted_keys", evicted);
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = counting => {}
        }
    }

    fn gauge(&self, name: &'static str, value: u64) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "gauges for people; 52 bits are enough"
        )]
        self.metrics.set(name, &[], value as f64);
    }

    async fn watch(&self, stop: &CancellationToken) {
        let mut looks = tokio::time::interval(Duration::from_millis(LOOK_EVERY_MS));
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = LinkNumbers::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
            }
            self.look().await;
            told = self.measure(&told);
        }
    }

    async fn look(&self) {
        let health = self.link.health();
        let reason = health.reason.as_deref().unwrap_or("no server is known");
        if health.reached == 0 {
            let message = format!("{reason}; what needs Redis is refused until it is back");
            return self.components.iter().for_each(|part| part.down(&message));
        }
        if health.reached < health.servers {
            let message = format!(
                "{} of {} primaries are reached: {reason}",
                health.reached, health.servers
            );
            return self
                .components
                .iter()
                .for_each(|part| part.degraded(&message));
        }
        let evicts = match self.link.server(slot_of(b"")).await {
            Ok(server) => amiss(&server),
            Err(_) => None,
        };
        match evicts {
            Some(amiss) => self
                .components
                .iter()
                .for_each(|part| part.degraded(&amiss)),
            None => self.components.iter().for_each(Component::up),
        }
    }

    /// Tells what has changed since the last look.
    fn measure(&self, told: &LinkNumbers) -> LinkNumbers {
        let now = self.link.numbers();
        self.gauge("plinth_redis_connections", now.connections);
        self.gauge("plinth_redis_in_flight", now.in_flight);
        self.gauge("plinth_redis_queued", now.queued);
        for (name, before, after) in [
            (
                "plinth_redis_reconnects_total",
                told.reconnects_total,
                now.reconnects_total,
            ),
            (
                "plinth_redis_commands_total",
                told.commands_total,
                now.commands_total,
            ),
            (
                "plinth_redis_unknown_total",
                told.unknown_total,
                now.unknown_total,
            ),
            (
                "plinth_redis_redirects_total",
                told.redirects_total,
                now.redirects_total,
            ),
            (
                "plinth_redis_queue_us_total",
                told.queue_us_total,
                now.queue_us_total,
            ),
            (
                "plinth_redis_latency_us_total",
                told.latency_us_total,
                now.latency_us_total,
            ),
        ] {
            self.metrics.add(name, &[], after.saturating_sub(before));
        }
        let bounds = LATENCY_BOUNDS_US.iter().map(u64::to_string);
        let bounds = bounds.chain(std::iter::once("+Inf".to_owned()));
        for ((bound, before), after) in bounds.zip(told.latencies_total).zip(now.latencies_total) {
            self.metrics.add(
                "plinth_redis_answers_total",
                &[("up_to_us", &bound)],
                after.saturating_sub(before),
            );
        }
        now
    }
}
