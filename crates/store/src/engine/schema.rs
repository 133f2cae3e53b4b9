//! Versions of a file's schema: applied in order, recorded in the file, newer ones refused.

use rusqlite::{Connection, TransactionBehavior};

use crate::error::StoreError;

/// One step of a schema. A released migration is never changed; the next change is the next migration.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Its number: 1, 2, 3, … in the order of the list.
    pub version: u32,
    /// Its name, recorded beside the number; a file whose names differ belongs to something else.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// Brings the file up to the last migration, each step in a transaction of its own with its record.
pub(super) fn migrate(
    connection: &mut Connection,
    migrations: &'static [Migration],
) -> Result<(), StoreError> {
    check_order(migrations)?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS plinth_schema (version INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT",
    )?;
    let applied = check_recorded(connection, migrations)?;
    for migration in migrations.iter().skip(applied) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO plinth_schema (version, name) VALUES (?1, ?2)",
            (migration.version, migration.name),
        )?;
        transaction.commit()?;
    }
    Ok(())
}

fn check_order(migrations: &'static [Migration]) -> Result<(), StoreError> {
    for (migration, expected) in migrations.iter().zip(1_u32..) {
        if migration.version != expected {
            return Err(StoreError::MigrationOrder {
                name: migration.name,
                version: migration.version,
                expected,
            });
        }
    }
    Ok(())
}

/// Compares what the file records with what this release knows, and returns how many migrations are applied.
fn check_recorded(
    connection: &Connection,
    migrations: &'static [Migration],
) -> Result<usize, StoreError> {
    let mut statement =
        connection.prepare("SELECT version, name FROM plinth_schema ORDER BY version")?;
    let recorded = statement
        .query_map([], |row| {
            Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let known = migrations.last().map_or(0, |last| last.version);
    if let Some((found, _)) = recorded.last().filter(|(version, _)| *version > known) {
        return Err(StoreError::SchemaNewer {
            found: *found,
            known,
        });
    }
    for ((version, found), migration) in recorded.iter().zip(migrations) {
        if *version != migration.version || found != migration.name {
            return Err(StoreError::SchemaForeign {
                version: *version,
                found: found.clone(),
                known: migration.name,
            });
        }
    }
    Ok(recorded.len())
}
