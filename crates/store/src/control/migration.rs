//! The schema of the control plane.
//!
//! A released migration is never changed; the next change is the next migration. An applied migration that this release
//! does not know means that the database was written by a newer one: it is refused.

mod m0001_control_plane;
mod m0002_lock_epoch;
mod m0003_lock_records;

use plinth_core::{Error, Result};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, Statement,
};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

use super::failure::{self, Phase};

/// The name of MariaDB's lock around the migrations.
const LOCK_NAME: &str = "plinth_control_schema";
/// The number of PostgreSQL's lock around the migrations: "plinth" in ASCII.
const LOCK_NUMBER: i64 = 0x706c_696e_7468;
/// How long one instance waits for another one's migrations, in seconds.
const LOCK_WAIT_S_MAX: u32 = 60;

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_control_plane::ControlPlane),
            Box::new(m0002_lock_epoch::LockEpoch),
            Box::new(m0003_lock_records::LockRecords),
        ]
    }

    fn migration_table_name() -> sea_orm::sea_query::DynIden {
        sea_orm::sea_query::Alias::new("plinth_control_schema").into()
    }
}

/// Brings the schema up to date; of several instances that start at once, one does and the others wait.
///
/// Errors: 1012 where the database is away, 1013 where it was written by a newer release.
pub(super) async fn migrate(database: &DatabaseConnection) -> Result<()> {
    let transaction = super::begin(database).await?;
    // Held until the transaction ends, however it ends.
    let done = match database.get_database_backend() {
        // A definition of MariaDB commits by itself, so there the transaction only pins the session that holds the lock.
        DbBackend::MySql => under_named_lock(database, &transaction).await,
        DbBackend::Postgres => {
            let sql = format!("SELECT pg_advisory_xact_lock({LOCK_NUMBER})");
            match transaction.execute_unprepared(&sql).await {
                Ok(_) => apply(&transaction).await,
                Err(cause) => Err(cause),
            }
        }
        // SQLite's transaction holds the write lock.
        _ => apply(&transaction).await,
    };
    match done {
        Ok(()) => transaction
            .commit()
            .await
            .map_err(|cause| failure::error(cause, Phase::Uncommitted)),
        Err(DbErr::Custom(message)) => Err(Error::internal(message)),
        Err(cause) => Err(failure::error(cause, Phase::Uncommitted)),
    }
}

/// Applies what is missing. An applied migration that is not in the list fails with [`DbErr::Custom`].
async fn apply<'c, C>(connection: C) -> Result<(), DbErr>
where
    C: sea_orm_migration::IntoSchemaManagerConnection<'c>,
{
    Migrator::up(connection, None).await
}

async fn under_named_lock(
    database: &DatabaseConnection,
    session: &DatabaseTransaction,
) -> Result<(), DbErr> {
    let statement = |sql: String| Statement::from_string(DbBackend::MySql, sql);
    let answer = session
        .query_one_raw(statement(format!(
            "SELECT GET_LOCK('{LOCK_NAME}', {LOCK_WAIT_S_MAX})"
        )))
        .await?;
    // 1: held. 0: somebody else held it all the time. NULL: the server could not.
    let held = match &answer {
        Some(row) => row.try_get_by_index::<Option<i64>>(0)?,
        None => None,
    };
    if held != Some(1) {
        return Err(DbErr::Custom(format!(
            "another instance has been changing the schema for more than {LOCK_WAIT_S_MAX} s"
        )));
    }
    let done = apply(database).await;
    // The lock belongs to the session, which goes back to the pool.
    session
        .query_one_raw(statement(format!("SELECT RELEASE_LOCK('{LOCK_NAME}')")))
        .await?;
    done
}
