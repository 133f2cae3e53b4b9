//! What the service asks of Plinth: one method for each thing it wants, whichever transport carries it.
//!
//! Every call that changes something carries an idempotency key made of the application's number and step, and is repeated
//! until it is answered: while Plinth is away the service waits, and nothing happens twice.

mod look;
mod review;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use plinth_client::{
    AuditEntry, Client, ClientError, ClientSettings, DbRegistration, DbStep, DbTransactionOptions,
    DbValue, LoaderSettings, MetricSpec, NamespaceSettings, PublishMessage, QueueOptions,
    ReceiveOptions, RetryPolicy, SetOptions,
};
use serde_json::json;

use crate::model::{ReviewStatus, StatusChange};

/// The service's own database, registered with Plinth.
const DATABASE: &str = "onboarding";
pub(crate) use review::REVIEWERS;

/// Where steps are announced.
const EXCHANGE: &str = "onboarding.status";
/// What steps are counted in.
const COUNTER: &str = "onboarding_status_changes_total";
/// The operation in the audit log.
const OPERATION: &str = "onboarding.change-status";
/// Where a status comes from that is not cached.
const STATUS_SQL: &str = "SELECT status FROM application WHERE number = ?";
/// How long a status is cached, in milliseconds.
const STATUS_TTL_MS: i64 = 3_600_000;
/// How long a call is repeated while Plinth is away.
const PATIENCE: Duration = Duration::from_secs(90);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// Most messages of one receive.
const RECEIVE_MAX: i32 = 64;
/// How long a receive waits for a message, in milliseconds.
const RECEIVE_WAIT_MS: i64 = 500;
/// How long the notifier may take over a message, in milliseconds.
const LEASE_MS: i64 = 30_000;

/// A message as the notifier sees it.
pub(crate) struct Heard {
    /// What it says.
    pub(crate) change: StatusChange,
    /// What acknowledges it.
    pub(crate) receipt: String,
}

/// Plinth, as this service uses it. Clones share connections.
#[derive(Clone)]
pub(crate) struct Plane {
    client: Client,
    run: String,
    retries: Arc<AtomicU64>,
    lost_races: Arc<AtomicUsize>,
}

impl Plane {
    /// Declares everything that the service needs: its database, its cache, its queue, its counter.
    pub(crate) async fn prepare(settings: &ClientSettings, run: &str) -> Result<Self> {
        // Repeats are made here, where they are counted.
        let once = RetryPolicy {
            attempts_max: 1,
            ..RetryPolicy::default()
        };
        let client = Client::connect(ClientSettings {
            retry: once,
            ..settings.clone()
        })?;
        let plane = Self {
            client,
            run: run.to_owned(),
            retries: Arc::default(),
            lost_races: Arc::default(),
        };
        plane
            .declare()
            .await
            .context("cannot declare what the service needs")?;
        Ok(plane)
    }

    async fn declare(&self) -> Result<()> {
        let database = DbRegistration {
            engine: "sqlite".to_owned(),
            url: "onboarding.db".to_owned(),
            ..DbRegistration::default()
        };
        self.client.db().register(DATABASE, &database).await?;
        let tables = [
            "CREATE TABLE IF NOT EXISTS application (
                 number TEXT PRIMARY KEY, run TEXT NOT NULL, status TEXT NOT NULL, step INTEGER NOT NULL)",
            "CREATE TABLE IF NOT EXISTS status_change (
                 number TEXT NOT NULL, step INTEGER NOT NULL, run TEXT NOT NULL, from_status TEXT, to_status TEXT NOT NULL,
                 PRIMARY KEY (number, step))",
            "CREATE TABLE IF NOT EXISTS decision (
                 number TEXT NOT NULL, step INTEGER NOT NULL, run TEXT NOT NULL, reviewer TEXT NOT NULL, token INTEGER NOT NULL)",
            "CREATE INDEX IF NOT EXISTS application_run ON application (run, number)",
            "CREATE INDEX IF NOT EXISTS status_change_run ON status_change (run, number, step)",
        ];
        let steps: Vec<DbStep> = tables.iter().map(|sql| DbStep::new(*sql, vec![])).collect();
        self.client
            .db()
            .transaction(DATABASE, &steps, &once(format!("{}.tables", self.run)))
            .await?;
        let statuses = NamespaceSettings {
            default_ttl_ms: Some(STATUS_TTL_MS),
            loader: Some(LoaderSettings::sql(DATABASE, STATUS_SQL)),
            ..NamespaceSettings::default()
        };
        self.client
            .cache()
            .define_namespace(DATABASE, &statuses, None)
            .await?;
        self.client
            .queue()
            .create_queue(&self.queue(), &QueueOptions::default())
            .await?;
        self.client
            .queue()
            .bind(EXCHANGE, Some("topic"), &self.queue(), &self.key("#"))
            .await?;
        let counter = MetricSpec {
            metric_type: "counter".to_owned(),
            help: Some("steps of applications by the state they led to".to_owned()),
            label_names: Some(vec!["run".to_owned(), "to".to_owned()]),
            ..MetricSpec::default()
        };
        self.client.monitor().register(COUNTER, &counter).await?;
        Ok(())
    }

    fn queue(&self) -> String {
        format!("onboarding.notifier.{}", self.run)
    }

    /// The routing key of this run with an end.
    fn key(&self, end: &str) -> String {
        format!("{}.{end}", self.run)
    }

    /// How many calls were made again.
    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Makes a call until it is answered. Errors: a refusal that a repeat would not change, or Plinth stays away.
    async fn persist<T, F, Fut>(&self, what: &str, call: F) -> Result<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, ClientError>>,
    {
        let began = Instant::now();
        loop {
            match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.retriable && began.elapsed() < PATIENCE => {
                    self.retries.fetch_add(1, Ordering::Relaxed);
                    let asked = error.retry_after_ms.map_or(PAUSE, Duration::from_millis);
                    tokio::time::sleep(asked.max(PAUSE)).await;
                }
                Err(error) => return Err(error).with_context(|| format!("cannot {what}")),
            }
        }
    }

    /// Writes a step in one transaction.
    pub(crate) async fn write(&self, change: &StatusChange) -> Result<()> {
        let steps = self.steps_of(change);
        let options = once(change.request_id("write"));
        self.persist("write a step", || async {
            self.client
                .db()
                .transaction(DATABASE, &steps, &options)
                .await
        })
        .await
        .map(drop)
    }

    /// The statements of a step: the application's row moves from exactly the step before, and the step itself is recorded.
    fn steps_of(&self, change: &StatusChange) -> Vec<DbStep> {
        let number = || DbValue::Text(change.number.to_string());
        let run = || DbValue::Text(self.run.clone());
        let word = |status: ReviewStatus| DbValue::Text(status.word().to_owned());
        let step = DbValue::Int(change.step.into());
        let row = match change.from {
            None => DbStep::new(
                "INSERT INTO application (number, run, status, step) VALUES (?, ?, ?, ?)",
                vec![number(), run(), word(change.to), step.clone()],
            ),
            Some(from) => DbStep::new(
                "UPDATE application SET status = ?, step = ? WHERE number = ? AND status = ? AND step = ?",
                vec![
                    word(change.to),
                    step.clone(),
                    number(),
                    word(from),
                    DbValue::Int(i64::from(change.step) - 1),
                ],
            ),
        };
        let history = DbStep::new(
            "INSERT INTO status_change (number, step, run, from_status, to_status) VALUES (?, ?, ?, ?, ?)",
            vec![
                number(),
                step,
                run(),
                change.from.map_or(DbValue::Null, word),
                word(change.to),
            ],
        );
        vec![row.changing(1), history.changing(1)]
    }

    /// Puts the new state where readers look first.
    pub(crate) async fn cache(&self, change: &StatusChange) -> Result<()> {
        let options = SetOptions {
            ttl_ms: Some(STATUS_TTL_MS),
            content_type: Some("text/plain".to_owned()),
            ..SetOptions::default()
        };
        let number = change.number.to_string();
        self.persist("cache a status", || async {
            self.client
                .cache()
                .set(DATABASE, &number, change.to.word(), options.clone())
                .await
        })
        .await
        .map(drop)
    }

    /// Tells everybody who listens.
    pub(crate) async fn announce(&self, change: &StatusChange) -> Result<()> {
        let body = serde_json::to_vec(change)?;
        let message = PublishMessage {
            content_type: Some("application/json".to_owned()),
            ordering_key: Some(change.number.to_string()),
            ..PublishMessage::to_exchange(EXCHANGE, self.key(change.to.word()), body)
        };
        let id = change.request_id("announce");
        self.persist("announce a step", || async {
            self.client
                .queue()
                .publish(&message, Some(id.clone()))
                .await
        })
        .await
        .map(drop)
    }

    /// Counts it.
    pub(crate) async fn count(&self, change: &StatusChange) -> Result<()> {
        let labels = [("run", self.run.as_str()), ("to", change.to.word())]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let id = change.request_id("count");
        self.persist("count a step", || async {
            self.client
                .monitor()
                .increment(COUNTER, &labels, 1.0, Some(id.clone()))
                .await
        })
        .await
        .map(drop)
    }

    /// Leaves a record of who did what.
    pub(crate) async fn audit(&self, change: &StatusChange) -> Result<()> {
        let number = change.number.to_string();
        let mut entry = AuditEntry::new(
            OPERATION,
            "onboarding-service",
            ("application", number),
            "success",
        );
        entry.before = change.from.map(|from| json!({ "status": from.word() }));
        entry.after = Some(json!({ "status": change.to.word() }));
        entry.details = Some(json!({ "run": self.run, "step": change.step }));
        let id = change.request_id("audit");
        self.persist("record a step", || async {
            self.client.audit().log(&entry, Some(id.clone())).await
        })
        .await
        .map(drop)
    }

    /// Hears what was announced; waits a moment where nothing was.
    pub(crate) async fn receive(&self) -> Result<Vec<Heard>> {
        let options = ReceiveOptions {
            max: Some(RECEIVE_MAX),
            wait_ms: Some(RECEIVE_WAIT_MS),
            lease_ms: Some(LEASE_MS),
            consumer: Some("notifier".to_owned()),
            ..ReceiveOptions::default()
        };
        let queue = self.queue();
        let messages = self
            .persist("receive", || async {
                self.client.queue().receive(&queue, &options).await
            })
            .await?;
        messages
            .into_iter()
            .map(|message| {
                let change =
                    serde_json::from_slice(&message.body).context("a message is no step")?;
                Ok(Heard {
                    change,
                    receipt: message.receipt.context("a message without a receipt")?,
                })
            })
            .collect()
    }

    /// Says that messages were heard. A receipt whose lease was lost in a restart brings its message again.
    pub(crate) async fn acknowledge(&self, receipts: Vec<String>) -> Result<()> {
        if receipts.is_empty() {
            return Ok(());
        }
        let queue = self.queue();
        let receipts: Vec<&str> = receipts.iter().map(String::as_str).collect();
        let settled = self
            .persist("acknowledge", || async {
                self.client.queue().ack(&queue, &receipts).await
            })
            .await?;
        if settled.len() != receipts.len() {
            bail!(
                "{} receipts were answered for {}",
                settled.len(),
                receipts.len()
            );
        }
        Ok(())
    }
}

/// A transaction under an idempotency key.
fn once(request_id: String) -> DbTransactionOptions {
    DbTransactionOptions {
        request_id: Some(request_id),
        ..DbTransactionOptions::default()
    }
}
