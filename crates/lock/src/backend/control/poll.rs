//! Looks at what other instances did to the locks that calls of this one wait for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use plinth_core::TenantId;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::backend::LockKey;
use crate::error::LockError;
use crate::model::{LockName, limits};

/// Names of one look at the database.
const NAMES_MAX: usize = 500;

/// Looks again and again, until the backend ends. Asks nothing while nobody waits.
pub(super) async fn until(shared: Arc<Shared>, cancel: CancellationToken) {
    // The stamps under which the records were seen last.
    let mut seen = HashMap::new();
    let mut pause_ms = limits::POLL_MS;
    loop {
        let next = shared.clock.monotonic_ms().saturating_add(pause_ms);
        tokio::select! {
            () = cancel.cancelled() => return,
            () = shared.clock.sleep_until_monotonic(next) => {}
        }
        pause_ms = match look(&shared, &mut seen).await {
            Ok(()) => limits::POLL_MS,
            Err(error) => {
                tracing::debug!(%error, "locks of other instances cannot be looked at; trying again");
                limits::POLL_MS_AWAY
            }
        };
    }
}

async fn look(shared: &Shared, seen: &mut HashMap<LockKey, i64>) -> Result<(), LockError> {
    let waited_for = shared.wakes.keys();
    seen.retain(|key, _| waited_for.contains(key));
    let mut names: BTreeMap<TenantId, Vec<String>> = BTreeMap::new();
    for key in waited_for {
        names
            .entry(key.tenant)
            .or_default()
            .push(key.name.as_str().to_owned());
    }
    for (tenant, names) in names {
        for names in names.chunks(NAMES_MAX) {
            let stamps = shared.records.lock_stamps(tenant.as_str(), names).await;
            for (name, stamp) in stamps.map_err(LockError::database)? {
                let key = LockKey {
                    tenant: tenant.clone(),
                    name: LockName::parse("lock", &name)?,
                };
                if seen.get(&key) == Some(&stamp) {
                    continue;
                }
                let (reading, _) = shared.read(&key, None).await?;
                let record = Shared::record(&reading)?;
                // Whoever watches a lease looks for itself whether it was the one that ended.
                shared.wakes.fire(&key, &record.candidates(), true);
                seen.insert(key, stamp);
            }
        }
    }
    Ok(())
}
