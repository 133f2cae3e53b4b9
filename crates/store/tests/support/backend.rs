//! One fresh, empty control database per test, removed afterwards.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use plinth_core::{ManualClock, TimestampMs};
use plinth_store::ControlStore;
use plinth_testkit::services::{MARIADB_VARIABLE, POSTGRES_VARIABLE, service_url};
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
    /// The server and the statement that removes the database.
    removal: Option<(String, String)>,
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
                removal: None,
            }),
            Backend::SqliteFile => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let path = folder.path().join("control.db");
                Some(Self {
                    url: format!("sqlite://{}?mode=rwc", path.display()),
                    _folder: Some(folder),
                    removal: None,
                })
            }
            Backend::Postgres => {
                let server = service_url(POSTGRES_VARIABLE)?;
                Some(Self::on_server(server, "WITH (FORCE)").await)
            }
            Backend::MariaDb => {
                let server = service_url(MARIADB_VARIABLE)?;
                Some(Self::on_server(server, "").await)
            }
        }
    }

    async fn on_server(server: String, how: &str) -> Self {
        let name = format!("plinth_test_{}", uuid::Uuid::new_v4().simple());
        execute(&server, &format!("CREATE DATABASE {name}")).await;
        let (base, _) = server.rsplit_once('/').expect("the URL names a database");
        Self {
            url: format!("{base}/{name}"),
            _folder: None,
            removal: Some((server.clone(), format!("DROP DATABASE {name} {how}"))),
        }
    }

    async fn remove(self) {
        if let Some((server, sql)) = self.removal {
            execute(&server, &sql).await;
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
