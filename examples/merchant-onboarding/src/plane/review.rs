//! Deciding an application: two reviewers go for it at the same time, a lock lets one of them in, and the transaction
//! carries the lock's fence.

use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, bail};
use plinth_client::{
    ClientError, DbStatement, DbStep, DbTransactionOptions, DbValue, Fence, HoldOptions, LockAsk,
};

use super::{DATABASE, Plane};
use crate::model::{ApplicationNumber, StatusChange};

/// Who goes for each decision.
pub(crate) const REVIEWERS: [&str; 2] = ["reviewer-1", "reviewer-2"];
/// How long a reviewer who went silent blocks the other, in milliseconds.
const LEASE_MS: i64 = 5_000;
/// How long a reviewer waits for the other in one go, in milliseconds.
const WAIT_MS: u64 = 10_000;

/// One decision as the database holds it.
pub(crate) struct Decision {
    /// The application.
    pub(crate) number: ApplicationNumber,
    /// The step that was decided.
    pub(crate) step: u32,
    /// Who decided.
    pub(crate) reviewer: String,
    /// Under which grant of the application's lock.
    pub(crate) token: i64,
}

impl Plane {
    /// Lets both reviewers decide a step. Errors: both did, or none.
    pub(crate) async fn review(&self, change: &StatusChange) -> Result<()> {
        let [one, other] = REVIEWERS;
        let (one, other) = tokio::try_join!(self.decide(change, one), self.decide(change, other))?;
        match (one, other) {
            (true, false) | (false, true) => {
                self.lost_races.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            (true, true) => bail!("{} was decided twice", change.number),
            (false, false) => bail!("{} was decided by nobody", change.number),
        }
    }

    /// How often a reviewer found the application decided by the other.
    pub(crate) fn lost_races(&self) -> usize {
        self.lost_races.load(Ordering::Relaxed)
    }

    /// One reviewer's way: takes the application's lock, looks whether it is decided, decides it if not. Returns whether it
    /// was this reviewer who did.
    async fn decide(&self, change: &StatusChange, reviewer: &str) -> Result<bool> {
        let lock = format!("application:{}", change.number);
        for round in 0.. {
            let attempt = format!("{}.{round}", change.request_id(reviewer));
            let options = HoldOptions {
                // One owner for each attempt: the lease of an earlier one, whose release was lost, is waited for.
                owner: Some(attempt.clone()),
                lease_ms: LEASE_MS,
                wait_ms: WAIT_MS,
                attempt: Some(attempt),
                ..HoldOptions::default()
            };
            let ask = [LockAsk::exclusive(&lock)];
            let guard = self
                .persist("lock an application", || async {
                    self.client.lock().hold(&ask, options.clone()).await
                })
                .await?;
            if self.step_of(&change.number).await? >= i64::from(change.step) {
                // Where the way to Plinth breaks now, the lease ends by itself.
                let _given_back = guard.release().await.is_ok();
                return Ok(false);
            }
            let decided = self
                .write_decision(change, reviewer, guard.fence(&lock)?)
                .await;
            let _given_back = guard.release().await.is_ok();
            match decided {
                Ok(()) => return Ok(true),
                // Plinth was away for longer than the lease: the other one may have been let in.
                Err(error) if was_overtaken(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    async fn step_of(&self, number: &ApplicationNumber) -> Result<i64> {
        let sql = "SELECT step FROM application WHERE number = ?";
        let statement = DbStatement::new(sql, vec![DbValue::Text(number.to_string())]);
        let found = self
            .persist("look at an application", || async {
                self.client.db().query(DATABASE, &statement).await
            })
            .await?;
        match found.rows.first().and_then(|row| row.values.first()) {
            Some(DbValue::Int(step)) => Ok(*step),
            _ => bail!("{number} is not in the database"),
        }
    }

    async fn write_decision(
        &self,
        change: &StatusChange,
        reviewer: &str,
        fence: Fence,
    ) -> Result<()> {
        let mut steps = self.steps_of(change);
        steps.push(DbStep::new(
            "INSERT INTO decision (number, step, run, reviewer, token) VALUES (?, ?, ?, ?, ?)",
            vec![
                DbValue::Text(change.number.to_string()),
                DbValue::Int(change.step.into()),
                DbValue::Text(self.run.clone()),
                DbValue::Text(reviewer.to_owned()),
                DbValue::Int(fence.token.get()),
            ],
        ));
        let options = DbTransactionOptions {
            request_id: Some(format!(
                "{}.{}",
                change.request_id("decide"),
                fence.token.get()
            )),
            fence: Some(fence),
            ..DbTransactionOptions::default()
        };
        self.persist("write a decision", || async {
            self.client
                .db()
                .transaction(DATABASE, &steps, &options)
                .await
        })
        .await
        .map(drop)
    }

    /// Reads the decisions of this run.
    pub(crate) async fn decided(&self) -> Result<Vec<Decision>> {
        let rows = self
            .rows("SELECT number, step, reviewer, token FROM decision WHERE run = ? ORDER BY number, step, token")
            .await?;
        rows.into_iter()
            .map(|row| match row.as_slice() {
                [
                    DbValue::Text(number),
                    DbValue::Int(step),
                    DbValue::Text(reviewer),
                    DbValue::Int(token),
                ] => Ok(Decision {
                    number: ApplicationNumber(number.clone()),
                    step: u32::try_from(*step).context("a step")?,
                    reviewer: reviewer.clone(),
                    token: *token,
                }),
                _ => bail!("a decision with other columns"),
            })
            .collect()
    }
}

/// Whether the lock was granted to somebody else before the transaction came.
fn was_overtaken(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ClientError>().is_some_and(|error| {
        let mut fields = error.violations.iter().map(|violation| &violation.field);
        fields.any(|field| field == "fence.token")
    })
}
