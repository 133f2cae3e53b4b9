//! Keys that are loaded anew by the clock. Every instance keeps the time; the age of a value, which instances on one Redis
//! share, and the lease of its key see to it that one of them loads it.

use std::collections::HashMap;
use std::sync::Arc;

use rand::Rng as _;
use tokio_util::sync::CancellationToken;

use super::CacheService;
use super::loads::{Job, Loads, Why};
use super::namespaces::Rules;
use crate::model::{Key, Scope, Space};

/// How often it is looked whether a round is due, in milliseconds.
const LOOK_EVERY_MS: u64 = 250;
/// By what share of its interval a round begins later, by chance.
const JITTER_SHARE: u64 = 10;

/// One namespace that is kept warm.
struct Round {
    due_ms: u64,
    /// Cancelled at the end of the round that runs; a namespace has one at a time.
    running: Option<CancellationToken>,
}

impl CacheService {
    /// Loads anew what namespaces want loaded by the clock, until it is told to stop; then waits for the loads under way.
    pub async fn keep_warm(self: Arc<Self>, stop: CancellationToken) {
        let mut rounds: HashMap<Scope, Round> = HashMap::new();
        loop {
            let now_ms = self.clock.monotonic_ms();
            let scheduled = self.namespaces.scheduled();
            rounds.retain(|scope, _| scheduled.iter().any(|(other, ..)| other == scope));
            for (scope, rules, every_ms) in scheduled {
                let round = rounds.entry(scope.clone()).or_insert(Round {
                    due_ms: now_ms,
                    running: None,
                });
                let is_running = round.running.as_ref().is_some_and(|it| !it.is_cancelled());
                if round.due_ms > now_ms || is_running {
                    continue;
                }
                let later_ms = rand::rng().random_range(0..=every_ms / JITTER_SHARE);
                round.due_ms = now_ms.saturating_add(every_ms).saturating_add(later_ms);
                round.running = Some(self.begin_round(scope, rules, every_ms));
            }
            let look_ms = now_ms.saturating_add(LOOK_EVERY_MS);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.clock.sleep_until_monotonic(look_ms) => {}
            }
        }
        self.stopping.cancel();
        self.loads.close().await;
    }

    fn begin_round(&self, scope: Scope, rules: Rules, every_ms: u64) -> CancellationToken {
        let (ended, loads) = (CancellationToken::new(), Arc::clone(&self.loads));
        let end = ended.clone().drop_guard();
        self.loads.spawn(async move {
            let _end = end;
            round(&loads, scope, rules, every_ms).await;
        });
        ended
    }
}

async fn round(loads: &Arc<Loads>, scope: Scope, rules: Rules, every_ms: u64) {
    let Some(loader) = rules.loader.clone() else {
        return;
    };
    let keys: Vec<Key> = loader.spec.warm_up.clone();
    let Some(key) = keys.first().cloned() else {
        return;
    };
    let job = Job {
        space: Space {
            scope,
            policy: rules.policy,
        },
        key,
        rules,
        loader,
        why: Why::Due { seen: None },
    };
    loads.keep_warm(&job, &keys, every_ms).await;
}
