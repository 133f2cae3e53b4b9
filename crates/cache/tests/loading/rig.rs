//! Instances on one backend, and a loader that does as it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use plinth_cache::backend::CacheBackend;
use plinth_cache::model::{Key, LoaderSettings, Namespace, NamespaceSettings, Read, Reply};
use plinth_cache::{CacheError, CacheService};
use plinth_core::seams::{LoadRequest, LoadSource, Loaded, Loader};
use plinth_core::{
    CallContext, Caller, Error, ErrorCode, ManualClock, MetricSink, Result, SharedClock,
    TraceContext,
};
use plinth_store::Definitions;
use plinth_store::memory::MemoryDefinitions;
use plinth_testkit::calls::call_of;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support;

/// How long a loaded value lives in these tests, in milliseconds.
pub(crate) const TTL_MS: u64 = 10_000;
/// How long it is remembered that there is none, in milliseconds.
pub(crate) const NEGATIVE_MS: u64 = 500;
/// How long a load may take, in milliseconds.
pub(crate) const HARD_MS: u64 = 1_000;
/// How long a failure is remembered at first, in milliseconds.
pub(crate) const ERROR_MS: u64 = 100;

/// What the loader does for a key.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// Answers the key and how often it was asked in all.
    Value,
    /// Answers that there is none.
    Absent,
    /// Fails.
    Fail(ErrorCode),
    /// Fails and says for how long to leave it alone, in milliseconds.
    Later(u64),
    /// Never answers.
    Hang,
    /// Breaks off.
    Panic,
    /// Answers this content type.
    Typed(&'static str),
}

type Script = Box<dyn Fn(&str) -> Act + Send + Sync>;

/// A loader that does as it is told.
pub(crate) struct Obedient {
    script: Mutex<Script>,
    asked: watch::Sender<usize>,
    is_held: watch::Sender<bool>,
    running: AtomicUsize,
    most: AtomicUsize,
    /// The trace that the last load was given.
    trace: Mutex<Option<TraceContext>>,
    /// How often each key was asked for.
    by_key: Mutex<BTreeMap<String, usize>>,
}

impl Obedient {
    fn new() -> Self {
        Self {
            script: Mutex::new(Box::new(|_| Act::Value)),
            asked: watch::Sender::new(0),
            is_held: watch::Sender::new(false),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            trace: Mutex::default(),
            by_key: Mutex::default(),
        }
    }

    pub(crate) fn acts(&self, script: impl Fn(&str) -> Act + Send + Sync + 'static) {
        *self.script.lock() = Box::new(script);
    }

    /// Keeps loads from ending.
    pub(crate) fn hold(&self) {
        self.is_held.send_replace(true);
    }

    pub(crate) fn let_go(&self) {
        self.is_held.send_replace(false);
    }

    /// Waits until so many loads have begun.
    pub(crate) async fn began(&self, loads: usize) {
        let mut asked = self.asked.subscribe();
        asked
            .wait_for(|asked| *asked >= loads)
            .await
            .expect("lives");
    }

    pub(crate) fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    pub(crate) fn asked_for(&self, key: &str) -> usize {
        let by_key = self.by_key.lock();
        by_key.get(key).copied().unwrap_or(0)
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn trace(&self) -> TraceContext {
        let trace = *self.trace.lock();
        trace.expect("a load began")
    }
}

#[async_trait]
impl Loader for Obedient {
    async fn check(&self, _: &Caller, source: &LoadSource, _: usize) -> Result<()> {
        match source {
            LoadSource::Query { database, .. } if database == "foreign" => {
                Err(Error::new(ErrorCode::Forbidden, "database: is not yours")
                    .with_violation("database", "is not yours"))
            }
            _ => Ok(()),
        }
    }

    async fn load(&self, request: LoadRequest<'_>) -> Result<Loaded> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        *self.trace.lock() = Some(request.trace);
        {
            let mut by_key = self.by_key.lock();
            *by_key.entry(request.key.to_owned()).or_default() += 1;
        }
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        let act = (self.script.lock())(request.key);
        let mut held = self.is_held.subscribe();
        held.wait_for(|is_held| !is_held).await.expect("lives");
        // Others get a turn, so that as many run at once as may.
        tokio::task::yield_now().await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        let value = |content_type: Option<&str>| Loaded::Value {
            bytes: format!("{} #{number}", request.key).into(),
            content_type: content_type.map(str::to_owned),
        };
        match act {
            Act::Value => Ok(value(None)),
            Act::Typed(content_type) => Ok(value(Some(content_type))),
            Act::Absent => Ok(Loaded::Absent),
            Act::Fail(code) => Err(Error::new(code, "the source is away")),
            Act::Later(delay_ms) => {
                let error = Error::new(ErrorCode::CacheLoadFailed, "the source is busy");
                Err(error.retry_after_ms(delay_ms))
            }
            Act::Hang => std::future::pending().await,
            Act::Panic => panic!("the loader breaks off"),
        }
    }
}

struct NoMetrics;

impl MetricSink for NoMetrics {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}
    fn observe(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
    fn set(&self, _: &'static str, _: &[(&'static str, &str)], _: f64) {}
}

/// Instances on one backend with one loader.
pub(crate) struct House {
    pub(crate) caches: Vec<Arc<CacheService>>,
    pub(crate) loader: Arc<Obedient>,
    pub(crate) clock: Arc<ManualClock>,
}

/// Houses of so many instances on every backend under the contract, by name.
pub(crate) fn houses(instances: usize) -> Vec<(&'static str, House)> {
    houses_on(support::backends(), instances)
}

/// Houses of so many instances on some backends.
pub(crate) fn houses_on(
    backends: Vec<(&'static str, support::Rig)>,
    instances: usize,
) -> Vec<(&'static str, House)> {
    let house = |(name, rig): (&'static str, support::Rig)| {
        let clock: SharedClock = rig.clock.clone();
        let definitions: Arc<dyn Definitions> =
            Arc::new(MemoryDefinitions::new(Arc::clone(&clock)));
        let loader = Arc::new(Obedient::new());
        let cache = |_| {
            let backend: Arc<dyn CacheBackend> = Arc::clone(&rig.backend);
            let (definitions, clock) = (Arc::clone(&definitions), Arc::clone(&clock));
            let cache = CacheService::new(backend, definitions, clock);
            Arc::new(cache.with_loader(loader.clone(), Arc::new(NoMetrics)))
        };
        let house = House {
            caches: (0..instances).map(cache).collect(),
            loader: loader.clone(),
            clock: rig.clock.clone(),
        };
        (name, house)
    };
    backends.into_iter().map(house).collect()
}

impl House {
    /// Defines the namespace, and lets every instance know.
    pub(crate) async fn define(&self, settings: &NamespaceSettings) {
        let defined = self.caches[0]
            .define_namespace(&call(), space(), settings.clone(), None)
            .await;
        defined.expect("defines");
        for cache in &self.caches {
            cache.load_definitions().await;
        }
    }

    pub(crate) async fn get(&self, instance: usize, name: &str) -> Result<Reply<Read>, CacheError> {
        self.caches[instance]
            .get(&call(), space(), &key(name))
            .await
    }

    /// The same in a task of its own.
    pub(crate) fn get_beside(
        &self,
        instance: usize,
        name: &'static str,
    ) -> JoinHandle<Result<Reply<Read>, CacheError>> {
        let cache = Arc::clone(&self.caches[instance]);
        tokio::spawn(async move { cache.get(&call(), space(), &key(name)).await })
    }

    /// What stands under a key without a load.
    pub(crate) async fn stored(&self, name: &str) -> Read {
        let stored = self.caches[0]
            .get_stored(&call(), space(), &key(name))
            .await;
        stored.expect("reads").answer
    }

    /// Whether a value stands under a key that is not a text.
    pub(crate) async fn is_newer(&self, name: &str, before: &str) -> bool {
        let found = self.stored(name).await.found();
        found.is_some_and(|found| found.value.bytes != before.as_bytes())
    }

    /// Waits until something else stands under a key than a text.
    pub(crate) async fn stored_other_than(&self, name: &str, before: &str) -> String {
        loop {
            if let Read::Found(found) = self.stored(name).await
                && found.value.bytes != before.as_bytes()
            {
                return String::from_utf8_lossy(&found.value.bytes).into_owned();
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A namespace with a loader, and the times of these tests.
pub(crate) fn limits() -> NamespaceSettings {
    let ms = |ms: u64| i64::try_from(ms).ok();
    NamespaceSettings {
        default_ttl_ms: ms(TTL_MS),
        negative_ttl_ms: ms(NEGATIVE_MS),
        loader: Some(LoaderSettings {
            kind: "sql".to_owned(),
            database: Some("shop".to_owned()),
            sql: Some("SELECT status FROM orders WHERE no = ?".to_owned()),
            hard_timeout_ms: ms(HARD_MS),
            error_ttl_ms: ms(ERROR_MS),
            ..LoaderSettings::default()
        }),
        ..NamespaceSettings::default()
    }
}

pub(crate) fn space() -> Namespace {
    Namespace::parse("statuses").expect("a name")
}

pub(crate) fn key(name: &str) -> Key {
    Key::parse(name).expect("a key")
}

pub(crate) fn text(read: Read) -> String {
    let found = read.found().expect("a value");
    String::from_utf8(found.value.bytes.to_vec()).expect("text")
}

pub(crate) fn code(error: CacheError) -> ErrorCode {
    Error::from(error).code()
}

/// A call of a tenant, in a trace of its own.
pub(crate) fn call() -> CallContext {
    call_of("tenant", "cache.get").expect("a tenant")
}

/// A call of a tenant in a trace.
pub(crate) fn call_in(trace: TraceContext) -> CallContext {
    let mut call = call();
    call.caller.trace = trace;
    call
}
