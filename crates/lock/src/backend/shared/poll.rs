//! Looks at what other instances did to the locks that calls of this one wait for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use plinth_core::TenantId;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::backend::LockKey;
use crate::changes::Changes;
use crate::error::LockError;
use crate::model::{LockName, limits};

/// Names of one look at the database.
const NAMES_MAX: usize = 500;

/// Looks again and again, until the backend ends: at what was told to have changed, and now and then at everything that is
/// waited for, rarely where every change is told. Asks nothing while nobody waits.
pub(super) async fn until(
    shared: Arc<Shared>,
    changes: Option<Arc<Changes>>,
    cancel: CancellationToken,
) {
    // The stamps under which the records were seen last.
    let mut seen = HashMap::new();
    let mut failed = false;
    let mut next = shared.clock.monotonic_ms();
    loop {
        let told = async {
            match &changes {
                Some(changes) => changes.told().await,
                None => std::future::pending().await,
            }
        };
        let looked = tokio::select! {
            () = cancel.cancelled() => return,
            told = told => look_at(&shared, told).await,
            () = shared.clock.sleep_until_monotonic(next) => {
                let pause_ms = match &changes {
                    _ if failed => limits::POLL_MS_AWAY,
                    Some(changes) if changes.are_told() => limits::POLL_MS_TOLD,
                    Some(_) | None => limits::POLL_MS,
                };
                next = shared.clock.monotonic_ms().saturating_add(pause_ms);
                look(&shared, &mut seen).await
            }
        };
        failed = looked.is_err();
        if let Err(error) = looked {
            tracing::debug!(%error, "locks of other instances cannot be looked at; trying again");
        }
    }
}

/// Wakes who waits for locks that changed.
async fn look_at(shared: &Shared, changed: Vec<LockKey>) -> Result<(), LockError> {
    for key in changed {
        fire(shared, &key).await?;
    }
    Ok(())
}

/// Wakes whose turn it is.
async fn fire(shared: &Shared, key: &LockKey) -> Result<(), LockError> {
    let (reading, _) = shared.read(key, None).await?;
    let record = Shared::record(&reading)?;
    // Whoever watches a lease looks for itself whether it was the one that ended.
    shared.wakes.fire(key, &record.candidates(), true);
    Ok(())
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
                fire(shared, &key).await?;
                seen.insert(key, stamp);
            }
        }
    }
    Ok(())
}
