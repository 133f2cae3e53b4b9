//! Every part, built bottom-up in one place: foundations, blocks, gate, edges.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use plinth_audit::{AuditHandles, AuditLocation, AuditService};
use plinth_cache::CacheService;
use plinth_core::{MetricSink, SharedClock, SystemClock};
use plinth_database::{DatabaseService, DatabaseSettings};
use plinth_gate::access::{AccessService, FirstKey};
use plinth_gate::{Gate, GateParts};
use plinth_lock::{LockBackend, LockService};
use plinth_monitor::{MonitorService, OwnMetrics};
use plinth_outbound::OutboundClient;
use plinth_queue::{QueueService, QueueServiceParts};
use plinth_resilience::HealthRegistry;
use plinth_security::{Entropy, SystemEntropy};
use plinth_store::{ControlStore, Definitions, EngineLimits, EngineLocation, WriteCondition};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::data_dir::DataDir;
use crate::redis;
use crate::settings::Settings;
use crate::traces::Traces;
use crate::watch::{Watch, WatchedFile};

mod cache;
mod keys;
mod loaders;
mod lock;

/// The file of the control plane.
const CONTROL_FILE: &str = "control.db";
/// The file of the queue.
const QUEUE_FILE: &str = "queue.db";
/// The file of the metrics.
const MONITOR_FILE: &str = "monitor.db";
/// The file of the locks.
const LOCK_FILE: &str = "lock.db";
/// The file that makes audit records durable.
const AUDIT_FILE: &str = "audit/audit.db";
/// The directory of the audit log.
const AUDIT_ROOM: &str = "audit";
/// The directory of registered SQLite databases.
const DATABASES_ROOM: &str = "databases";

/// Where the blocks keep what they must not lose.
pub(crate) enum Keeping {
    /// In files of the data directory.
    Files,
    /// In memory, for callers' tests.
    Memory,
}

/// The parts of a running instance.
pub(crate) struct Plinth {
    /// The pipeline of every request.
    pub(crate) gate: Arc<Gate>,
    /// Tenants, keys and roles.
    pub(crate) access: Arc<AccessService>,
    /// State of the instance.
    pub(crate) health: Arc<HealthRegistry>,
    /// The keys of the first start, to be shown once.
    pub(crate) first_keys: Vec<FirstKey>,
    cache: Arc<CacheService>,
    queue: Arc<QueueService>,
    monitor: Arc<MonitorService>,
    audit: Arc<AuditService>,
    database: Arc<DatabaseService>,
    lock: Arc<LockService>,
    metrics: Arc<OwnMetrics>,
    traces: Option<Arc<Traces>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What all parts share.
struct Handles {
    clock: SharedClock,
    entropy: Arc<dyn Entropy>,
    metrics: Arc<OwnMetrics>,
    health: Arc<HealthRegistry>,
}

impl Handles {
    fn new() -> Self {
        let clock = SystemClock::shared();
        Self {
            health: HealthRegistry::new(Arc::clone(&clock)),
            entropy: Arc::new(SystemEntropy),
            metrics: Arc::new(OwnMetrics::new(Arc::clone(&clock))),
            clock,
        }
    }

    fn sink(&self) -> Arc<dyn MetricSink> {
        Arc::clone(&self.metrics) as Arc<dyn MetricSink>
    }
}

impl Plinth {
    /// Builds an instance over a data directory that the caller holds until [`Plinth::close`] is done.
    ///
    /// Errors: a file cannot be opened, is of a later release, or is not what was written.
    pub(crate) async fn build(
        settings: &Settings,
        place: &DataDir,
        keeping: &Keeping,
    ) -> Result<Self> {
        let handles = Handles::new();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let control = open_control(settings, place, keeping, &handles).await?;
        let definitions: Arc<dyn Definitions> = Arc::clone(&control) as _;
        let audit = open_audit(settings, place, keeping, &handles).await?;
        let link = redis::open(settings)?;
        let database = open_database(settings, place, &handles, Arc::clone(&definitions))?;
        let cache = cache::open_cache(
            settings,
            &handles,
            link.as_ref(),
            (&definitions, &database),
            (&tasks, &stop),
        )
        .await?;
        let (queue, queue_writes) =
            open_queue(settings, place, keeping, &handles, &definitions).await?;
        let (monitor, monitor_writes) =
            open_monitor(settings, place, keeping, &handles, &definitions).await?;
        let opened = (place, keeping);
        let (lock, lock_writes) =
            lock::open_lock(settings, opened, &handles, link.as_ref(), &control).await?;
        let mut written = vec![
            ("queue", QUEUE_FILE, queue_writes),
            ("monitor", MONITOR_FILE, monitor_writes),
            ("audit.log", AUDIT_FILE, audit.write_condition()),
        ];
        written.extend(lock_writes.map(|writes| ("lock", LOCK_FILE, writes)));
        let watch = watch(settings, place, keeping, &handles, &control, written)?;
        tasks.spawn(watch.until(stop.clone()));
        if let Some(link) = link {
            let watch = redis::watch(link, settings, &handles.health, handles.sink());
            tasks.spawn(watch.until(stop.clone()));
        }
        let traces = Traces::start(&settings.trace, &handles.clock, &handles.sink())?;
        let (gate, access) = open_gate(settings, &handles, control, &audit, traces.clone())?;
        let first_keys = keys::first(&access).await?;
        Ok(Self {
            gate,
            access,
            health: handles.health,
            first_keys,
            cache,
            queue,
            monitor,
            audit,
            database,
            lock,
            metrics: handles.metrics,
            traces,
            tasks,
            stop,
        })
    }

    /// What the Thrift edge calls.
    pub(crate) fn rpc_services(&self) -> plinth_rpc::Services {
        plinth_rpc::Services {
            gate: Arc::clone(&self.gate),
            cache: Arc::clone(&self.cache),
            queue: Arc::clone(&self.queue),
            monitor: Arc::clone(&self.monitor),
            audit: Arc::clone(&self.audit),
            database: Arc::clone(&self.database),
            lock: Arc::clone(&self.lock),
            access: Arc::clone(&self.access),
            health: Arc::clone(&self.health),
        }
    }

    /// What the HTTP edge calls.
    pub(crate) fn http_services(&self) -> plinth_http::Services {
        let (monitor, metrics) = (Arc::clone(&self.monitor), Arc::clone(&self.metrics));
        plinth_http::Services::new(plinth_http::Parts {
            gate: Arc::clone(&self.gate),
            cache: Arc::clone(&self.cache),
            queue: Arc::clone(&self.queue),
            monitor: Arc::clone(&self.monitor),
            audit: Arc::clone(&self.audit),
            database: Arc::clone(&self.database),
            lock: Arc::clone(&self.lock),
            access: Arc::clone(&self.access),
            health: Arc::clone(&self.health),
            metrics_text: Arc::new(move |tenant| {
                let mut text = metrics.expose();
                if let Some(tenant) = tenant {
                    text.push_str(&monitor.expose_tenant(tenant));
                }
                text
            }),
        })
    }

    /// Lets go who waits for something to happen, so that the edges can drain.
    pub(crate) fn stop_waiting(&self) {
        self.queue.stop_waiting();
        self.lock.stop_waiting();
        self.cache.stop_waiting();
    }

    /// Ends the blocks in the order in which they use each other, and closes their files.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.queue.close().await;
        self.database.close().await;
        self.lock.close().await;
        self.monitor.close().await;
        self.gate.close().await;
        if let Some(traces) = self.traces {
            traces.close().await;
        }
        self.audit.close().await;
        self.tasks.wait().await;
    }
}

/// What work on the data directory of a stopped server needs: access, and the log that records what is done.
pub(crate) struct Offline {
    /// Tenants, keys and roles.
    pub(crate) access: Arc<AccessService>,
    /// The audit log.
    pub(crate) audit: Arc<AuditService>,
    /// What time it is.
    pub(crate) clock: SharedClock,
    gate: Arc<Gate>,
}

impl Offline {
    /// Opens the control plane and the audit log over a data directory that the caller holds.
    ///
    /// Errors: a file cannot be opened, is of a later release, or is not what was written.
    pub(crate) async fn open(settings: &Settings, place: &DataDir) -> Result<Self> {
        let handles = Handles::new();
        let control = open_control(settings, place, &Keeping::Files, &handles).await?;
        let audit = open_audit(settings, place, &Keeping::Files, &handles).await?;
        let (gate, access) = open_gate(settings, &handles, control, &audit, None)?;
        Ok(Self {
            access,
            audit,
            clock: handles.clock,
            gate,
        })
    }

    /// Signs what was recorded and closes the files.
    pub(crate) async fn close(self) {
        self.gate.close().await;
        self.audit.close().await;
    }
}

/// The gate and what hands out access behind it.
fn open_gate(
    settings: &Settings,
    handles: &Handles,
    control: Arc<ControlStore>,
    audit: &Arc<AuditService>,
    traces: Option<Arc<Traces>>,
) -> Result<(Arc<Gate>, Arc<AccessService>)> {
    let roles = Arc::new(settings.access.separation.role_book());
    let gate = Arc::new(Gate::new(GateParts {
        settings: settings.gate.clone(),
        roles: Arc::clone(&roles),
        directory: Arc::clone(&control) as _,
        audit: Arc::clone(audit) as _,
        metrics: handles.sink(),
        traces: traces.map(|traces| traces as _),
        clock: Arc::clone(&handles.clock),
    })?);
    let access = Arc::new(AccessService::new(
        control,
        roles,
        gate.credentials().clone(),
        Arc::clone(&handles.clock),
        Arc::clone(&handles.entropy),
    ));
    Ok((gate, access))
}

/// Where an engine keeps its file.
fn location(place: &DataDir, keeping: &Keeping, file: &str) -> EngineLocation {
    match keeping {
        Keeping::Files => EngineLocation::File(place.path().join(file)),
        Keeping::Memory => EngineLocation::Memory,
    }
}

/// What is looked at while the instance runs: what lies in memory cannot go.
fn watch(
    settings: &Settings,
    place: &DataDir,
    keeping: &Keeping,
    handles: &Handles,
    control: &Arc<ControlStore>,
    written: Vec<(&str, &str, WriteCondition)>,
) -> Result<Watch> {
    let component = handles.health.essential_component("control");
    let file = |component, name: &str| {
        let path = place.path().join(name);
        WatchedFile::new(component, path).with_context(|| format!("cannot look at {name}"))
    };
    let (mut control_file, mut files) = (None, Vec::new());
    if matches!(keeping, Keeping::Files) {
        if settings.control.url.is_empty() {
            control_file = Some(file(component.clone(), CONTROL_FILE)?);
        }
        for (part, name, condition) in written {
            let file = file(handles.health.component(part), name)?;
            files.push(file.written_by(condition));
        }
    }
    let in_control = settings.lock.backend == LockBackend::Control;
    Ok(Watch {
        control: (Arc::clone(control), component),
        locks: in_control.then(|| handles.health.component("lock")),
        control_file,
        files,
    })
}

async fn open_control(
    settings: &Settings,
    place: &DataDir,
    keeping: &Keeping,
    handles: &Handles,
) -> Result<Arc<ControlStore>> {
    let file = place.path().join(CONTROL_FILE);
    let url = match keeping {
        Keeping::Memory => "sqlite::memory:".to_owned(),
        Keeping::Files if settings.control.url.is_empty() => {
            format!("sqlite://{}?mode=rwc", file.display())
        }
        Keeping::Files => settings.control.url.expose().to_owned(),
    };
    let store = ControlStore::open(&url, Arc::clone(&handles.clock)).await;
    let component = handles.health.essential_component("control");
    if settings.control.url.is_empty() {
        component.up();
    }
    Ok(Arc::new(store.context("cannot open the control plane")?))
}

async fn open_audit(
    settings: &Settings,
    place: &DataDir,
    keeping: &Keeping,
    handles: &Handles,
) -> Result<Arc<AuditService>> {
    let location = match keeping {
        Keeping::Files => AuditLocation::Directory(place.room(AUDIT_ROOM)?),
        Keeping::Memory => AuditLocation::Memory,
    };
    let audit_handles = AuditHandles {
        clock: Arc::clone(&handles.clock),
        metrics: handles.sink(),
        entropy: Arc::clone(&handles.entropy),
        health: handles.health.essential_component("audit"),
    };
    let audit = AuditService::open(&settings.audit, location, audit_handles).await;
    Ok(Arc::new(audit.context("cannot open the audit log")?))
}

async fn open_queue(
    settings: &Settings,
    place: &DataDir,
    keeping: &Keeping,
    handles: &Handles,
    definitions: &Arc<dyn Definitions>,
) -> Result<(Arc<QueueService>, WriteCondition)> {
    let backend = plinth_queue::backend::embedded::EmbeddedBackend::open(
        plinth_queue::backend::embedded::EmbeddedOptions {
            location: location(place, keeping, QUEUE_FILE),
            limits: EngineLimits::default(),
            clock: Arc::clone(&handles.clock),
            entropy: Arc::clone(&handles.entropy),
            metrics: handles.sink(),
        },
    )
    .await
    .context("cannot open the queue")?;
    let writes = backend.write_condition();
    let outbound = OutboundClient::new(settings.outbound.clone(), Arc::clone(&handles.clock))
        .context("cannot make the client for webhooks")?;
    let queue = QueueService::open(QueueServiceParts {
        backend: Arc::new(backend),
        definitions: Arc::clone(definitions),
        outbound,
        clock: Arc::clone(&handles.clock),
    })
    .await
    .context("cannot start the queue")?;
    handles.health.component("queue").up();
    Ok((Arc::new(queue), writes))
}

async fn open_monitor(
    settings: &Settings,
    place: &DataDir,
    keeping: &Keeping,
    handles: &Handles,
    definitions: &Arc<dyn Definitions>,
) -> Result<(Arc<MonitorService>, WriteCondition)> {
    let backend = plinth_monitor::backend::embedded::EmbeddedBackend::open(
        plinth_monitor::backend::embedded::EmbeddedOptions {
            location: location(place, keeping, MONITOR_FILE),
            settings: settings.monitor.clone(),
            clock: Arc::clone(&handles.clock),
            metrics: handles.sink(),
        },
    )
    .await
    .context("cannot open the metrics")?;
    let writes = backend.write_condition();
    let monitor = MonitorService::open(
        Arc::new(backend),
        Arc::clone(definitions),
        settings.monitor.clone(),
        Arc::clone(&handles.clock),
    )
    .await
    .context("cannot start the metrics")?;
    handles.health.component("monitor").up();
    Ok((Arc::new(monitor), writes))
}

fn open_database(
    settings: &Settings,
    place: &DataDir,
    handles: &Handles,
    definitions: Arc<dyn Definitions>,
) -> Result<Arc<DatabaseService>> {
    let configured = &settings.database.sqlite_directory;
    let sqlite_directory: PathBuf = if configured.as_os_str().is_empty() {
        place.room(DATABASES_ROOM)?
    } else {
        configured.clone()
    };
    handles.health.component("database").up();
    Ok(Arc::new(DatabaseService::new(DatabaseSettings {
        sqlite_directory,
        sqlite_file_bytes_max: settings.database.sqlite_file_bytes_max,
        definitions,
        clock: Arc::clone(&handles.clock),
        metrics: handles.sink(),
    })))
}
