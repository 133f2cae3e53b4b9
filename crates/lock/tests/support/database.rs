//! Control databases of single tests, and one whose clock stands still until it is told to move.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use plinth_core::{Clock as _, ManualClock, Result, SystemClock};
use plinth_store::locks::{ListedLock, LockReading, LockRow};
use plinth_store::{ControlStore, LockRecords};
use plinth_testkit::scratch::ScratchDatabase;
use plinth_testkit::services::{MARIADB_VARIABLE, POSTGRES_VARIABLE};

/// Opens the control plane on a database.
pub(crate) async fn open(url: &str) -> Arc<ControlStore> {
    let store = ControlStore::open(url, SystemClock::shared()).await;
    Arc::new(store.expect("the database opens"))
}

/// Runs a test with the URL of a fresh database on each product that there is.
pub(crate) async fn on_each_product<F, Fut>(test: F)
where
    F: Fn(String) -> Fut,
    Fut: Future<Output = ()>,
{
    for variable in [POSTGRES_VARIABLE, MARIADB_VARIABLE] {
        on_product(variable, &test).await;
    }
}

/// Runs a test with the URL of a fresh database of one product, and removes it afterwards.
pub(crate) async fn on_product<F, Fut>(variable: &str, test: F)
where
    F: FnOnce(String) -> Fut,
    Fut: Future<Output = ()>,
{
    let made = ScratchDatabase::create(variable).await;
    let Some(scratch) = made.expect("the server answers") else {
        return;
    };
    let done = AssertUnwindSafe(test(scratch.url.clone()))
        .catch_unwind()
        .await;
    scratch.remove().await.expect("is removed");
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

/// The records of a real database or Redis under a clock that the test moves: everything but the clock is the database's.
pub(crate) struct ManualDatabase {
    store: Arc<dyn LockRecords>,
    clock: Arc<ManualClock>,
}

impl ManualDatabase {
    pub(crate) fn over(store: Arc<dyn LockRecords>, clock: &Arc<ManualClock>) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock: Arc::clone(clock),
        })
    }

    fn at_ms(&self) -> i64 {
        self.clock.now().0
    }
}

#[async_trait]
impl LockRecords for ManualDatabase {
    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    async fn database_ms(&self) -> Result<i64> {
        Ok(self.at_ms())
    }

    async fn read_lock(
        &self,
        tenant: &str,
        name: &str,
        busy_max: Option<u32>,
    ) -> Result<LockReading> {
        let at_ms = self.at_ms();
        let reading = self.store.read_lock(tenant, name, busy_max).await?;
        Ok(LockReading { at_ms, ..reading })
    }

    async fn create_lock(&self, tenant: &str, name: &str, row: LockRow) -> Result<()> {
        self.store.create_lock(tenant, name, row).await
    }

    async fn replace_lock(
        &self,
        tenant: &str,
        name: &str,
        stamp: i64,
        row: LockRow,
    ) -> Result<bool> {
        self.store.replace_lock(tenant, name, stamp, row).await
    }

    async fn list_locks(
        &self,
        tenant: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(i64, Vec<ListedLock>)> {
        let (_, locks) = self.store.list_locks(tenant, prefix, after, limit).await?;
        Ok((self.at_ms(), locks))
    }

    async fn contended_locks(&self, tenant: &str, limit: u32) -> Result<Vec<ListedLock>> {
        self.store.contended_locks(tenant, limit).await
    }

    async fn lock_stamps(&self, tenant: &str, names: &[String]) -> Result<Vec<(String, i64)>> {
        self.store.lock_stamps(tenant, names).await
    }

    async fn due_locks(&self, at_ms: i64, limit: u32) -> Result<Vec<(String, String)>> {
        self.store.due_locks(at_ms, limit).await
    }

    async fn forget_locks(&self, at_ms: i64) -> Result<u64> {
        self.store.forget_locks(at_ms).await
    }
}
