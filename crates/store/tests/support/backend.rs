//! One fresh, empty control database per test, removed afterwards.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use plinth_core::{ManualClock, TimestampMs};
use plinth_store::ControlStore;
use plinth_testkit::scratch::ScratchDatabase;
use plinth_testkit::services::{MARIADB_VARIABLE, POSTGRES_VARIABLE};
use sea_orm::{ConnectionTrait as _, Database};
use tempfile::TempDir;

/// Where a behaviour is run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Backend {
    SqliteMemory,
    SqliteFile,
    Postgres,
    MariaDb,
}

/// What a behaviour is given.
pub(crate) struct Fixture {
    pub(crate) store: Arc<ControlStore>,
    pub(crate) clock: Arc<ManualClock>,
    /// For behaviours that open the same database again.
    pub(crate) url: String,
}

impl Fixture {
    /// Opens the same database once more.
    pub(crate) async fn open_again(&self) -> plinth_core::Result<ControlStore> {
        ControlStore::open(&self.url, self.clock.clone()).await
    }
}

/// A database of this test alone.
struct Scratch {
    url: String,
    _folder: Option<TempDir>,
    /// The database on a server.
    on_server: Option<ScratchDatabase>,
}

/// When the clock of a fixture begins: a whole minute.
pub(crate) const BEGIN_MS: i64 = 1_700_000_040_000;

/// Runs a behaviour on a fresh database, and removes it even where the behaviour fails.
pub(crate) async fn with_store<F, Fut>(backend: Backend, behaviour: F)
where
    F: FnOnce(Arc<Fixture>) -> Fut,
    Fut: Future<Output = ()>,
{
    let Some(scratch) = Scratch::create(backend).await else {
        return;
    };
    let clock = ManualClock::starting_at(TimestampMs(BEGIN_MS));
    let store = ControlStore::open(&scratch.url, clock.clone())
        .await
        .expect("the fresh database opens");
    let fixture = Arc::new(Fixture {
        store: Arc::new(store),
        clock,
        url: scratch.url.clone(),
    });
    let done = AssertUnwindSafe(behaviour(Arc::clone(&fixture)))
        .catch_unwind()
        .await;
    fixture.store.close().await;
    scratch.remove().await;
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

impl Scratch {
    /// `None` where the service is missing and that was said.
    async fn create(backend: Backend) -> Option<Self> {
        match backend {
            Backend::SqliteMemory => Some(Self {
                url: "sqlite::memory:".to_owned(),
                _folder: None,
                on_server: None,
            }),
            Backend::SqliteFile => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let path = folder.path().join("control.db");
                Some(Self {
                    url: format!("sqlite://{}?mode=rwc", path.display()),
                    _folder: Some(folder),
                    on_server: None,
                })
            }
            Backend::Postgres => Self::on_server(POSTGRES_VARIABLE).await,
            Backend::MariaDb => Self::on_server(MARIADB_VARIABLE).await,
        }
    }

    async fn on_server(variable: &str) -> Option<Self> {
        let made = ScratchDatabase::create(variable).await;
        let database = made.expect("the server answers")?;
        Some(Self {
            url: database.url.clone(),
            _folder: None,
            on_server: Some(database),
        })
    }

    async fn remove(self) {
        if let Some(database) = self.on_server {
            database.remove().await.expect("the server answers");
        }
    }
}

/// Runs one statement on a server.
pub(crate) async fn execute(url: &str, sql: &str) {
    let connection = Database::connect(url).await.expect("the server answers");
    connection
        .execute_unprepared(sql)
        .await
        .expect("the statement runs");
    connection.close().await.expect("closes");
}
