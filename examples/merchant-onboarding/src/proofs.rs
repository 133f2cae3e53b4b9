//! What the run proves, from Plinth's answers alone: messages, metrics and audit agree with the database exactly, and a
//! cache answer may be absent but never differs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::model::{ApplicationNumber, ReviewStatus, StatusChange};
use crate::notifier::Received;
use crate::plane::Plane;

/// One proof: what was compared, what was found, and whether it holds.
pub(crate) struct Proof {
    /// What was compared.
    pub(crate) what: &'static str,
    /// The two sides.
    pub(crate) found: String,
    /// Whether it holds.
    pub(crate) holds: bool,
}

impl Proof {
    fn new(what: &'static str, found: String, holds: bool) -> Self {
        Self { what, found, holds }
    }
}

/// Makes all proofs.
pub(crate) async fn prove(
    plane: &Plane,
    intended: &BTreeSet<StatusChange>,
    received: &Received,
) -> Result<Vec<Proof>> {
    let written = plane.written().await?;
    let mut proofs = vec![
        Proof::new(
            "database holds every step once",
            format!("{} of {} steps", written.changes.len(), intended.len()),
            written.changes == *intended && written.rows == intended.len(),
        ),
        states(&written.states, &written.changes),
    ];
    proofs.push(decisions(plane, &written.changes).await?);
    proofs.push(messages(plane, &written.changes, received).await?);
    proofs.push(metrics(plane, &written.changes).await?);
    proofs.extend(audit(plane, &written.changes).await?);
    proofs.push(cache(plane, &written.states).await?);
    proofs.push(loaded(plane, &written.states).await?);
    Ok(proofs)
}

/// The state of each application is where its last step led.
fn states(
    states: &BTreeMap<ApplicationNumber, ReviewStatus>,
    changes: &BTreeSet<StatusChange>,
) -> Proof {
    // Steps of an application are ordered by their number, so the last one wins.
    let ends: BTreeMap<ApplicationNumber, ReviewStatus> = changes
        .iter()
        .map(|change| (change.number.clone(), change.to))
        .collect();
    Proof::new(
        "each application is where its last step led",
        format!("{} applications", states.len()),
        ends == *states,
    )
}

/// Two reviewers went for every decision: one of them made it, under a lock whose tokens grow with the steps.
async fn decisions(plane: &Plane, changes: &BTreeSet<StatusChange>) -> Result<Proof> {
    let decided = plane.decided().await?;
    let expected: Vec<(ApplicationNumber, u32)> = changes
        .iter()
        .filter(|change| change.is_a_decision())
        .map(|change| (change.number.clone(), change.step))
        .collect();
    let made: Vec<(ApplicationNumber, u32)> = decided
        .iter()
        .map(|decision| (decision.number.clone(), decision.step))
        .collect();
    let in_order = decided.windows(2).all(|pair| match pair {
        [one, next] => one.number != next.number || one.token < next.token,
        _ => true,
    });
    let reviewers: BTreeSet<&str> = decided
        .iter()
        .map(|decision| decision.reviewer.as_str())
        .collect();
    Ok(Proof::new(
        "of two reviewers one decides, and no application is decided twice",
        format!(
            "{} decisions by {} reviewers, {} went for each",
            decided.len(),
            reviewers.len(),
            crate::plane::REVIEWERS.len()
        ),
        made == expected && in_order && plane.lost_races() == expected.len(),
    ))
}

async fn messages(
    plane: &Plane,
    changes: &BTreeSet<StatusChange>,
    received: &Received,
) -> Result<Proof> {
    let depth = plane.depth().await?;
    let distinct: BTreeSet<StatusChange> = received.changes.iter().cloned().collect();
    let again = received.changes.len() - distinct.len();
    Ok(Proof::new(
        "notifier received every step, none is left or dead",
        format!(
            "{} received ({again} again), {} left, {} dead",
            distinct.len(),
            depth.left,
            depth.dead
        ),
        distinct == *changes && depth.left == 0 && depth.dead == 0,
    ))
}

async fn metrics(plane: &Plane, changes: &BTreeSet<StatusChange>) -> Result<Proof> {
    let counted = plane.counted().await?;
    let mut expected = BTreeMap::new();
    for change in changes {
        *expected.entry(change.to.word().to_owned()).or_insert(0_u64) += 1;
    }
    let total: u64 = counted.values().sum();
    Ok(Proof::new(
        "counters by status equal the steps",
        format!("{total} counted in {} states", counted.len()),
        counted == expected,
    ))
}

async fn audit(plane: &Plane, changes: &BTreeSet<StatusChange>) -> Result<[Proof; 2]> {
    let recorded = plane.recorded().await?;
    let distinct: BTreeSet<StatusChange> = recorded.iter().cloned().collect();
    let log = plane.verify_log().await?;
    Ok([
        Proof::new(
            "audit log holds every step once",
            format!("{} records", recorded.len()),
            distinct == *changes && recorded.len() == changes.len(),
        ),
        Proof::new("audit log verifies", log.told, log.intact),
    ])
}

async fn cache(plane: &Plane, states: &BTreeMap<ApplicationNumber, ReviewStatus>) -> Result<Proof> {
    let cached = plane.cached(states.keys()).await?;
    let present = cached.len();
    let differ = cached
        .iter()
        .filter(|(number, status)| states.get(*number) != Some(*status))
        .count();
    Ok(Proof::new(
        "cache never differs from the database",
        format!(
            "{present} present, {} absent, {differ} differ",
            states.len() - present
        ),
        differ == 0,
    ))
}

/// A status that is read after the cache was emptied is loaded from the database: every one is there, and none differs.
async fn loaded(
    plane: &Plane,
    states: &BTreeMap<ApplicationNumber, ReviewStatus>,
) -> Result<Proof> {
    let loaded = plane.loaded(states.keys()).await?;
    let cached = plane.cached(states.keys()).await?;
    Ok(Proof::new(
        "an emptied cache loads what the database says",
        format!("{} loaded, {} cached again", loaded.len(), cached.len()),
        loaded == *states && cached == *states,
    ))
}
