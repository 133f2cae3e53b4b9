//! Records of locks on the control database. Every write is one statement that names the stamp which it replaces.

use std::time::Duration;

use async_trait::async_trait;
use plinth_core::{Error, ErrorCode, Result};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Func, Query, SelectStatement};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbBackend,
    DbErr, EntityTrait, QueryFilter, QueryOrder, QueryResult, QuerySelect,
};
use tokio::sync::SemaphorePermit;

use super::definitions::begins_with;
use super::entity::lock_floor;
use super::entity::lock_records::{ActiveModel, Column, Entity, Model};
use super::failure::{self, Phase};
use super::{CONNECTION_WAIT_MS_MAX, ControlStore};
use crate::locks::{ListedLock, LockReading, LockRecords, LockRow, StoredLock};

/// The number of the one row of the floor.
const FLOOR_ROW: i32 = 1;
/// How long a caller should wait before it comes back to locks that are overloaded, in milliseconds.
const RETRY_AFTER_MS: u64 = 500;

/// One call at work.
struct Call<'a> {
    database: &'a DatabaseConnection,
    _place: SemaphorePermit<'a>,
}

impl ControlStore {
    /// Waits for a place, and for the schema.
    async fn lock_call(&self) -> Result<Call<'_>> {
        let bound = Duration::from_millis(CONNECTION_WAIT_MS_MAX);
        let place = tokio::time::timeout(bound, self.lock_calls.acquire()).await;
        let Ok(Ok(place)) = place else {
            return Err(Error::new(
                ErrorCode::Overloaded,
                "too many calls on locks wait for the control database; come back later",
            )
            .retry_after_ms(RETRY_AFTER_MS));
        };
        Ok(Call {
            database: self.ready().await?,
            _place: place,
        })
    }
}

#[async_trait]
impl LockRecords for ControlStore {
    fn is_shared(&self) -> bool {
        self.is_remote()
    }

    async fn database_ms(&self) -> Result<i64> {
        let call = self.lock_call().await?;
        let select = Query::select()
            .expr_as(clock(call.database), "at_ms")
            .to_owned();
        let row = call.database.query_one(&select).await.map_err(reading)?;
        let row = row.ok_or_else(|| Error::internal("a clock without a row"))?;
        row.try_get("", "at_ms").map_err(reading)
    }

    async fn read_lock(
        &self,
        tenant: &str,
        name: &str,
        busy_max: Option<u32>,
    ) -> Result<LockReading> {
        let call = self.lock_call().await?;
        let select = reading_of(call.database, tenant, name, busy_max);
        let row = call.database.query_one(&select).await.map_err(reading)?;
        let row = row.ok_or_else(|| Error::internal("the floor of the tokens is gone"))?;
        read(&row, busy_max.is_some()).map_err(reading)
    }

    async fn create_lock(&self, tenant: &str, name: &str, row: LockRow) -> Result<()> {
        let call = self.lock_call().await?;
        let model = ActiveModel {
            tenant: Set(tenant.to_owned()),
            name: Set(name.to_owned()),
            stamp: Set(row.stamp),
            busy: Set(row.busy),
            waiting: Set(row.waiting),
            listed: Set(row.listed),
            token: Set(row.token),
            due: Set(row.due_ms),
            record: Set(row.record),
        };
        match Entity::insert(model)
            .exec_without_returning(call.database)
            .await
        {
            Ok(_) => Ok(()),
            // Somebody else made it.
            Err(cause) if failure::is_duplicate(&cause) || failure::is_collision(&cause) => Ok(()),
            Err(cause) => Err(failure::error(cause, Phase::Commit)),
        }
    }

    async fn replace_lock(
        &self,
        tenant: &str,
        name: &str,
        stamp: i64,
        row: LockRow,
    ) -> Result<bool> {
        let call = self.lock_call().await?;
        let replaced = Entity::update_many()
            .filter(named(tenant, name))
            .filter(Column::Stamp.eq(stamp))
            .col_expr(Column::Stamp, Expr::value(row.stamp))
            .col_expr(Column::Busy, Expr::value(row.busy))
            .col_expr(Column::Waiting, Expr::value(row.waiting))
            .col_expr(Column::Listed, Expr::value(row.listed))
            .col_expr(Column::Token, Expr::value(row.token))
            .col_expr(Column::Due, Expr::value(row.due_ms))
            .col_expr(Column::Record, Expr::value(row.record))
            .exec(call.database)
            .await;
        match replaced {
            Ok(result) => Ok(result.rows_affected > 0),
            Err(cause) if failure::is_collision(&cause) => Ok(false),
            Err(cause) => Err(failure::error(cause, Phase::Commit)),
        }
    }

    async fn list_locks(
        &self,
        tenant: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<(i64, Vec<ListedLock>)> {
        let call = self.lock_call().await?;
        let rows = Entity::find()
            .filter(Column::Tenant.eq(tenant))
            .filter(Column::Listed.eq(true))
            .filter(begins_with(Column::Name, prefix))
            .filter(Condition::all().add_option(after.map(|after| Column::Name.gt(after))))
            .order_by_asc(Column::Name)
            .limit(u64::from(limit))
            .all(call.database)
            .await
            .map_err(reading)?;
        drop(call);
        let at_ms = self.database_ms().await?;
        Ok((at_ms, rows.into_iter().map(listed).collect()))
    }

    async fn contended_locks(&self, tenant: &str, limit: u32) -> Result<Vec<ListedLock>> {
        let call = self.lock_call().await?;
        let rows = Entity::find()
            .filter(Column::Tenant.eq(tenant))
            // Who waits is in use: the index is on that.
            .filter(Column::Busy.eq(true))
            .filter(Column::Waiting.eq(true))
            .order_by_asc(Column::Name)
            .limit(u64::from(limit))
            .all(call.database)
            .await
            .map_err(reading)?;
        Ok(rows.into_iter().map(listed).collect())
    }

    async fn lock_stamps(&self, tenant: &str, names: &[String]) -> Result<Vec<(String, i64)>> {
        let call = self.lock_call().await?;
        Entity::find()
            .select_only()
            .columns([Column::Name, Column::Stamp])
            .filter(Column::Tenant.eq(tenant))
            .filter(Column::Name.is_in(names))
            .into_tuple()
            .all(call.database)
            .await
            .map_err(reading)
    }

    async fn due_locks(&self, at_ms: i64, limit: u32) -> Result<Vec<(String, String)>> {
        let call = self.lock_call().await?;
        Entity::find()
            .select_only()
            .columns([Column::Tenant, Column::Name])
            .filter(Column::Busy.eq(true))
            .filter(Column::Due.lte(at_ms))
            .order_by_asc(Column::Due)
            .limit(u64::from(limit))
            .into_tuple()
            .all(call.database)
            .await
            .map_err(reading)
    }

    async fn forget_locks(&self, at_ms: i64) -> Result<u64> {
        let call = self.lock_call().await?;
        let is_due = Condition::all()
            .add(Column::Busy.eq(false))
            .add(Column::Due.lte(at_ms));
        let highest: Option<i64> = Entity::find()
            .select_only()
            .column_as(Column::Token.max(), "highest")
            .filter(is_due.clone())
            .into_tuple()
            .one(call.database)
            .await
            .map_err(reading)?
            .flatten();
        let Some(highest) = highest else {
            return Ok(0);
        };
        // Before the records go: a record that is made anew must find the floor above what it granted earlier.
        let raised = lock_floor::Entity::update_many()
            .filter(lock_floor::Column::Id.eq(FLOOR_ROW))
            .filter(lock_floor::Column::Token.lt(highest))
            .col_expr(lock_floor::Column::Token, Expr::value(highest))
            .exec(call.database)
            .await;
        match raised {
            Ok(_) => {}
            // It met another instance that does the same, or writers of the same records; the next time will do.
            Err(cause) if failure::is_collision(&cause) => return Ok(0),
            Err(cause) => return Err(writing(cause)),
        }
        let forgotten = Entity::delete_many()
            .filter(is_due)
            // One that granted more in the meantime stays.
            .filter(Column::Token.lte(highest))
            .exec(call.database)
            .await;
        match forgotten {
            Ok(result) => Ok(result.rows_affected),
            Err(cause) if failure::is_collision(&cause) => Ok(0),
            Err(cause) => Err(writing(cause)),
        }
    }
}

fn reading(cause: DbErr) -> Error {
    failure::error(cause, Phase::Read)
}

fn writing(cause: DbErr) -> Error {
    failure::error(cause, Phase::Commit)
}

fn named(tenant: &str, name: &str) -> Condition {
    Condition::all()
        .add(Column::Tenant.eq(tenant))
        .add(Column::Name.eq(name))
}

fn listed(row: Model) -> ListedLock {
    ListedLock {
        name: row.name,
        stored: StoredLock {
            stamp: row.stamp,
            record: row.record,
        },
    }
}

/// Milliseconds since 1970 on the clock of the product, when the statement runs.
fn clock(database: &DatabaseConnection) -> Expr {
    Expr::cust(match database.get_database_backend() {
        DbBackend::Postgres => {
            "CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT)"
        }
        // Not UNIX_TIMESTAMP, which reads the time zone of the session.
        DbBackend::MySql => {
            "TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6)) DIV 1000"
        }
        _ => "CAST(ROUND(unixepoch('now', 'subsec') * 1000) AS INTEGER)",
    })
}

/// Everything that a command needs, in one statement: the floor and the record must be of one instant.
fn reading_of(
    database: &DatabaseConnection,
    tenant: &str,
    name: &str,
    busy_max: Option<u32>,
) -> SelectStatement {
    let on = Condition::all()
        .add(Expr::col((Entity, Column::Tenant)).eq(tenant))
        .add(Expr::col((Entity, Column::Name)).eq(name));
    let mut select = Query::select();
    select
        .expr_as(
            Expr::col((lock_floor::Entity, lock_floor::Column::Token)),
            "floor",
        )
        .expr_as(clock(database), "at_ms")
        .expr_as(Expr::col((Entity, Column::Stamp)), "stamp")
        .expr_as(Expr::col((Entity, Column::Record)), "record")
        .from(lock_floor::Entity)
        .left_join(Entity, on)
        .and_where(Expr::col((lock_floor::Entity, lock_floor::Column::Id)).eq(FLOOR_ROW));
    if let Some(busy_max) = busy_max {
        let some = Query::select()
            .expr_as(Expr::val(1), "one")
            .from(Entity)
            .and_where(Expr::col(Column::Tenant).eq(tenant))
            .and_where(Expr::col(Column::Busy).eq(true))
            .limit(u64::from(busy_max))
            .to_owned();
        let count = Query::select()
            .expr(Func::count(Expr::val(1)))
            .from_subquery(some, Alias::new("in_use"))
            .to_owned();
        select.expr_as(count, "busy");
    }
    select
}

fn read(row: &QueryResult, counted: bool) -> std::result::Result<LockReading, DbErr> {
    let stamp: Option<i64> = row.try_get("", "stamp")?;
    let record: Option<String> = row.try_get("", "record")?;
    let busy: i64 = if counted { row.try_get("", "busy")? } else { 0 };
    Ok(LockReading {
        stored: stamp
            .zip(record)
            .map(|(stamp, record)| StoredLock { stamp, record }),
        floor: row.try_get("", "floor")?,
        busy: u32::try_from(busy).unwrap_or(u32::MAX),
        at_ms: row.try_get("", "at_ms")?,
    })
}
