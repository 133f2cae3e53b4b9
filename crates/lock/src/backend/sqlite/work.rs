//! Statements inside one transaction.

use plinth_core::TenantId;
use rusqlite::{Connection, OptionalExtension as _};

use crate::backend::LockKey;
use crate::error::LockError;
use crate::machine::{self, Command, Now, Reply};
use crate::model::LockName;
use crate::record::Record;
use crate::token::TokenState;

/// One transaction on one lock.
pub(super) struct Work<'a> {
    pub(super) db: &'a Connection,
    pub(super) now: Now,
    pub(super) epoch: i64,
    pub(super) locks_max: u32,
}

/// Whom to wake after the commit.
pub(super) struct Wake {
    pub(super) attempts: Vec<String>,
    pub(super) lost: bool,
}

impl Work<'_> {
    /// Applies a command. The outer error rolls the transaction back; the inner one is what the caller is told of a
    /// transaction that is kept.
    pub(super) fn apply(
        &self,
        key: &LockKey,
        command: Command,
    ) -> Result<(Result<Reply, LockError>, Wake), LockError> {
        let stored = record(self.db, key)?;
        let was_busy = stored.as_ref().is_some_and(Record::is_busy);
        let mut record = stored.unwrap_or_default();
        let tokens = stored_tokens(self.db)?.at_least(self.epoch).next()?;
        let applied = machine::apply(&mut record, command, self.now, tokens.token());
        if applied.changed {
            if record.is_busy() && !was_busy {
                self.check_locks(&key.tenant)?;
            }
            self.keep(key, &record)?;
        }
        if applied.token_used {
            self.keep_tokens(tokens)?;
        }
        let wake = Wake {
            attempts: applied.wake,
            lost: applied.lost,
        };
        Ok((applied.reply, wake))
    }

    /// Errors: 2605 where the tenant has as many locks in use as it may.
    fn check_locks(&self, tenant: &TenantId) -> Result<(), LockError> {
        let busy: u32 = self
            .db
            .prepare_cached("SELECT count(*) FROM lock WHERE tenant = ?1 AND busy = 1")?
            .query_row([tenant.as_str()], |row| row.get(0))?;
        if busy >= self.locks_max {
            return Err(LockError::Limit {
                limit: "locks",
                most: usize::try_from(self.locks_max).unwrap_or(usize::MAX),
            });
        }
        Ok(())
    }

    fn keep(&self, key: &LockKey, record: &Record) -> Result<(), LockError> {
        let name = (key.tenant.as_str(), key.name.as_str());
        if record.is_disposable(self.now) {
            self.db
                .prepare_cached("DELETE FROM lock WHERE tenant = ?1 AND name = ?2")?
                .execute(name)?;
            return Ok(());
        }
        let text = serde_json::to_string(record).map_err(LockError::Corrupt)?;
        self.db
            .prepare_cached(
                "INSERT INTO lock (tenant, name, busy, waiting, due, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (tenant, name) DO UPDATE SET busy = ?3, waiting = ?4, due = ?5, record = ?6",
            )?
            .execute((
                name.0,
                name.1,
                record.is_busy(),
                !record.places.is_empty(),
                record.due(self.now),
                text,
            ))?;
        Ok(())
    }

    fn keep_tokens(&self, tokens: TokenState) -> Result<(), LockError> {
        self.db
            .prepare_cached("UPDATE token SET epoch = ?1, counter = ?2 WHERE id = 1")?
            .execute((tokens.epoch, tokens.counter))?;
        Ok(())
    }
}

pub(super) fn stored_tokens(db: &Connection) -> Result<TokenState, LockError> {
    Ok(db
        .prepare_cached("SELECT epoch, counter FROM token WHERE id = 1")?
        .query_row([], |row| {
            Ok(TokenState {
                epoch: row.get(0)?,
                counter: row.get(1)?,
            })
        })?)
}

pub(super) fn record(db: &Connection, key: &LockKey) -> Result<Option<Record>, LockError> {
    let text: Option<String> = db
        .prepare_cached("SELECT record FROM lock WHERE tenant = ?1 AND name = ?2")?
        .query_row((key.tenant.as_str(), key.name.as_str()), |row| row.get(0))
        .optional()?;
    text.as_deref().map(Record::parse).transpose()
}

pub(super) fn page(
    db: &Connection,
    tenant: &TenantId,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<(LockName, Record)>, LockError> {
    let mut statement = db.prepare_cached(
        "SELECT name, record FROM lock
         WHERE tenant = ?1 AND name >= ?2 AND name > ?3 AND substr(name, 1, length(?2)) = ?2
         ORDER BY name LIMIT ?4",
    )?;
    let rows = statement.query_map((tenant.as_str(), prefix, after.unwrap_or(""), limit), pair)?;
    rows.map(|row| {
        let (name, text) = row?;
        Ok((LockName::parse("lock", &name)?, Record::parse(&text)?))
    })
    .collect()
}

pub(super) fn contended(
    db: &Connection,
    tenant: &TenantId,
    limit: u32,
) -> Result<Vec<(String, Record)>, LockError> {
    let mut statement = db.prepare_cached(
        "SELECT name, record FROM lock WHERE tenant = ?1 AND waiting = 1 ORDER BY name LIMIT ?2",
    )?;
    let rows = statement.query_map((tenant.as_str(), limit), pair)?;
    rows.map(|row| {
        let (name, text) = row?;
        Ok((name, Record::parse(&text)?))
    })
    .collect()
}

fn pair(row: &rusqlite::Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

/// Locks on which time has something to do.
pub(super) fn due(db: &Connection, at: i64, limit: u32) -> Result<Vec<LockKey>, LockError> {
    let mut statement =
        db.prepare_cached("SELECT tenant, name FROM lock WHERE due <= ?1 ORDER BY due LIMIT ?2")?;
    let rows = statement.query_map((at, limit), pair)?;
    rows.map(|row| {
        let (tenant, name) = row?;
        Ok(LockKey {
            tenant: TenantId::parse(&tenant)?,
            name: LockName::parse("lock", &name)?,
        })
    })
    .collect()
}
