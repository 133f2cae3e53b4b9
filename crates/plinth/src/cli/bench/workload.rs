//! What is asked of the server.

use std::time::Instant;

use bytes::Bytes;
use indicatif::ProgressBar;
use parking_lot::Mutex;
use plinth_client::{
    AcquireOptions, AuditEntry, Client, ClientError, LockAsk, MetricLabels, MetricSpec,
    PublishMessage, QueueOptions, ReceiveOptions, SetOptions,
};

/// The namespace, queue and locks of the measurement.
const NAME: &str = "plinth-bench";
/// The metric of the measurement.
const METRIC: &str = "bench_calls_total";
/// Keys that are read and written.
const KEYS: u64 = 1_000;
/// How long an entry lives that is left behind by a run that was killed, in milliseconds: longer than a run may take.
const TTL_MS: i64 = 2 * 3_600_000;
/// Messages of one publish when a queue is filled.
const FILL_BATCH: u64 = 500;
/// Bytes of one publish when a queue is filled.
const FILL_BATCH_BYTES: u64 = 4 * 1024 * 1024;

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Workload {
    /// Store one value under one of 1,000 keys
    CacheSet,
    /// Read one value that is there
    CacheGet,
    /// Publish one message, durable when it answers
    Publish,
    /// Receive one message and acknowledge it
    Consume,
    /// Take a lock of one's own and give it back
    Lock,
    /// Write one audit record, durable when it answers; the records stay
    Audit,
    /// Add to a counter, durable when it answers; the series stays
    Metric,
}

impl Workload {
    /// Those that leave nothing behind.
    pub(super) fn traceless() -> Vec<Self> {
        vec![
            Self::CacheSet,
            Self::CacheGet,
            Self::Publish,
            Self::Consume,
            Self::Lock,
        ]
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CacheSet => "cache-set",
            Self::CacheGet => "cache-get",
            Self::Publish => "publish",
            Self::Consume => "consume",
            Self::Lock => "lock",
            Self::Audit => "audit",
            Self::Metric => "metric",
        }
    }
}

/// What the calls share.
pub(super) struct Bench {
    client: Client,
    value: Bytes,
    /// What has to be removed at the end.
    made: Mutex<Made>,
}

#[derive(Clone, Copy, Default)]
struct Made {
    queue: bool,
    keys: bool,
}

impl Bench {
    pub(super) fn new(client: Client, value_bytes: usize) -> Self {
        Self {
            client,
            value: Bytes::from(vec![b'x'; value_bytes]),
            made: Mutex::default(),
        }
    }

    /// Makes what the calls of a workload need. Errors: the server refuses it.
    pub(super) async fn prepare(
        &self,
        workload: Workload,
        requests: u64,
        until: Instant,
        bar: &ProgressBar,
    ) -> Result<u64, ClientError> {
        let mut prepared = requests;
        match workload {
            Workload::CacheSet => self.made.lock().keys = true,
            Workload::CacheGet => {
                self.made.lock().keys = true;
                for number in 0..KEYS.min(requests) {
                    self.set(number).await?;
                }
            }
            Workload::Publish => self.create_queue().await?,
            Workload::Consume => {
                self.create_queue().await?;
                prepared = self.fill(requests, until, bar).await?;
            }
            Workload::Metric => {
                let spec = MetricSpec {
                    metric_type: "counter".to_owned(),
                    help: Some("Calls of plinth bench.".to_owned()),
                    ..MetricSpec::default()
                };
                self.client.monitor().register(METRIC, &spec).await?;
            }
            Workload::Lock | Workload::Audit => {}
        }
        Ok(prepared)
    }

    async fn create_queue(&self) -> Result<(), ClientError> {
        // Without a dead-letter queue nothing is left when it is deleted.
        let options = QueueOptions {
            dead_letter_queue: Some(String::new()),
            ..QueueOptions::default()
        };
        self.client.queue().create_queue(NAME, &options).await?;
        self.made.lock().queue = true;
        Ok(())
    }

    /// Fills the queue, so that each receive finds a message. Returns how many there are when the time is up.
    async fn fill(
        &self,
        requests: u64,
        until: Instant,
        bar: &ProgressBar,
    ) -> Result<u64, ClientError> {
        let bytes = u64::try_from(self.value.len()).unwrap_or(u64::MAX).max(1);
        let batch = FILL_BATCH.min(FILL_BATCH_BYTES / bytes).max(1);
        self.client.queue().purge(NAME, None).await?;
        let mut left = requests;
        while left > 0 && Instant::now() < until {
            let count = batch.min(left);
            let messages: Vec<_> = (0..count).map(|_| self.message()).collect();
            self.client.queue().publish_batch(&messages, None).await?;
            left -= count;
            bar.inc(count);
        }
        Ok(requests - left)
    }

    fn message(&self) -> PublishMessage {
        PublishMessage::to_queue(NAME, self.value.clone())
    }

    async fn set(&self, number: u64) -> Result<(), ClientError> {
        let options = SetOptions {
            ttl_ms: Some(TTL_MS),
            ..SetOptions::default()
        };
        let cache = self.client.cache();
        let value = self.value.clone();
        let stored = cache.set(NAME, &key(number), value, options).await;
        stored.map(drop)
    }

    /// One call. Errors: the server's, or the client's own.
    pub(super) async fn call(
        &self,
        workload: Workload,
        worker: u64,
        number: u64,
    ) -> Result<(), ClientError> {
        match workload {
            Workload::CacheSet => self.set(number).await,
            Workload::CacheGet => {
                let found = self.client.cache().get(NAME, &key(number)).await?;
                found.map(drop).ok_or_else(|| missing("the value"))
            }
            Workload::Publish => {
                let published = self.client.queue().publish(&self.message(), None).await;
                published.map(drop)
            }
            Workload::Consume => self.consume().await,
            Workload::Lock => self.lock(worker).await,
            Workload::Audit => {
                let resource = ("run", number.to_string());
                let entry = AuditEntry::new("bench.write", NAME, resource, "success");
                self.client.audit().log(&entry, None).await.map(drop)
            }
            Workload::Metric => {
                let labels = MetricLabels::default();
                let monitor = self.client.monitor();
                let added = monitor.increment(METRIC, &labels, 1.0, None).await;
                added.map(drop)
            }
        }
    }

    async fn consume(&self) -> Result<(), ClientError> {
        let queue = self.client.queue();
        let messages = queue.receive(NAME, &ReceiveOptions::default()).await?;
        let receipts: Vec<&str> = messages
            .iter()
            .filter_map(|message| message.receipt.as_deref())
            .collect();
        if receipts.is_empty() {
            return Err(missing("a message"));
        }
        queue.ack(NAME, &receipts).await.map(drop)
    }

    async fn lock(&self, worker: u64) -> Result<(), ClientError> {
        let owner = format!("{NAME}-{worker}");
        let asks = [LockAsk::exclusive(owner.clone())];
        let lock = self.client.lock();
        let acquired = lock
            .acquire(&asks, &owner, &AcquireOptions::default())
            .await?;
        lock.release(&owner, &acquired.grants).await.map(drop)
    }

    /// Removes what was made. Errors: the server's.
    pub(super) async fn clean(&self) -> Result<(), ClientError> {
        let made = *self.made.lock();
        if made.keys {
            let keys: Vec<String> = (0..KEYS).map(key).collect();
            let keys: Vec<_> = keys.iter().map(|key| (key.as_str(), None)).collect();
            self.client.cache().batch_delete(NAME, &keys, true).await?;
        }
        if made.queue {
            self.client.queue().delete_queue(NAME).await?;
        }
        Ok(())
    }
}

fn key(number: u64) -> String {
    format!("key-{:06}", number % KEYS)
}

fn missing(what: &str) -> ClientError {
    let message = format!("{what} that was put there is missing");
    plinth_core::Error::new(plinth_core::ErrorCode::NotFound, message).into()
}
