//! Definitions on the control database.
//!
//! Every write is one statement that names the version it replaces, so that no transaction and no lock is needed: one
//! that finds another version reads again and decides again.

use async_trait::async_trait;
use plinth_core::{Error, Result, TenantId, TimestampMs};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbBackend,
    EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, Select,
};

use super::entity::definitions::{self as tables, DefinitionTable, Field, Row};
use super::failure::{self, Phase};
use super::{ATTEMPTS_MAX, ControlStore};
use crate::definitions::{
    DEFINITION_ROWS_MAX, Definition, DefinitionKind, DefinitionState, Definitions, Expected,
    STATE_EPOCH_MS, can_exist, check_definition_name, check_listing, encode_document, next_version,
};

/// Calls a function for the table of a kind.
macro_rules! on_table {
    ($kind:expr, $function:ident($($argument:expr),*)) => {
        match $kind {
            DefinitionKind::CacheNamespace => $function::<tables::cache_namespaces::Entity>($($argument),*).await,
            DefinitionKind::Exchange => $function::<tables::exchanges::Entity>($($argument),*).await,
            DefinitionKind::Queue => $function::<tables::queues::Entity>($($argument),*).await,
            DefinitionKind::Binding => $function::<tables::queue_bindings::Entity>($($argument),*).await,
            DefinitionKind::Subscription => $function::<tables::subscriptions::Entity>($($argument),*).await,
            DefinitionKind::Metric => $function::<tables::metrics::Entity>($($argument),*).await,
            DefinitionKind::Database => $function::<tables::databases::Entity>($($argument),*).await,
            DefinitionKind::AuditPolicy => $function::<tables::audit_policies::Entity>($($argument),*).await,
            DefinitionKind::Role => $function::<tables::roles::Entity>($($argument),*).await,
        }
    };
}

#[async_trait]
impl Definitions for ControlStore {
    async fn put(
        &self,
        kind: DefinitionKind,
        tenant: &TenantId,
        name: &str,
        document: serde_json::Value,
        expected: Expected,
    ) -> Result<Definition> {
        check_definition_name(name)?;
        let text = encode_document(&document)?;
        let database = self.ready().await?;
        for _ in 0..ATTEMPTS_MAX {
            let found = on_table!(kind, find(database, tenant, name))?;
            let version =
                next_version(kind, name, expected, found.as_ref().map(|row| row.version))?;
            let now = self.clock.now();
            let row = Row {
                tenant: tenant.as_str().to_owned(),
                name: name.to_owned(),
                version,
                document: text.clone(),
                created_at: found.as_ref().map_or(now.0, |row| row.created_at),
                updated_at: now.0,
            };
            let written = match found {
                Some(found) => on_table!(kind, replace(database, &row, found.version))?,
                None => on_table!(kind, insert(database, &row))?,
            };
            if written {
                return Ok(Definition {
                    name: row.name,
                    version,
                    document,
                    created_at: TimestampMs(row.created_at),
                    updated_at: now,
                });
            }
        }
        Err(Error::conflict(format!(
            "the {} {name:?} is being changed by others; try again",
            kind.as_str()
        ))
        .retriable(true))
    }

    async fn get(
        &self,
        kind: DefinitionKind,
        tenant: &TenantId,
        name: &str,
    ) -> Result<Option<Definition>> {
        if !can_exist(name) {
            return Ok(None);
        }
        let database = self.ready().await?;
        let found = on_table!(kind, find(database, tenant, name))?;
        found.map(|row| Ok(decode(row)?.1)).transpose()
    }

    async fn list(
        &self,
        kind: DefinitionKind,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Definition>> {
        check_listing(prefix, after)?;
        let database = self.ready().await?;
        let rows = on_table!(kind, page(database, tenant, prefix, after, limit))?;
        rows.into_iter().map(|row| Ok(decode(row)?.1)).collect()
    }

    async fn list_all(
        &self,
        kind: DefinitionKind,
        after: Option<(&TenantId, &str)>,
        limit: u32,
    ) -> Result<Vec<(TenantId, Definition)>> {
        check_listing("", after.map(|(_, name)| name))?;
        let database = self.ready().await?;
        let rows = on_table!(kind, page_of_all(database, after, limit))?;
        rows.into_iter().map(decode).collect()
    }

    async fn state(&self, kind: DefinitionKind) -> Result<DefinitionState> {
        let database = self.ready().await?;
        on_table!(kind, state(database))
    }

    async fn delete(&self, kind: DefinitionKind, tenant: &TenantId, name: &str) -> Result<bool> {
        if !can_exist(name) {
            return Ok(false);
        }
        let database = self.ready().await?;
        on_table!(kind, remove(database, tenant, name))
    }
}

fn decode(row: Row) -> Result<(TenantId, Definition)> {
    let tenant = TenantId::parse(&row.tenant).map_err(Error::internal)?;
    let document = serde_json::from_str(&row.document).map_err(Error::internal)?;
    Ok((
        tenant,
        Definition {
            name: row.name,
            version: row.version,
            document,
            created_at: TimestampMs(row.created_at),
            updated_at: TimestampMs(row.updated_at),
        },
    ))
}

fn named<E: DefinitionTable>(tenant: &str, name: &str) -> Condition {
    Condition::all()
        .add(E::column(Field::Tenant).eq(tenant))
        .add(E::column(Field::Name).eq(name))
}

async fn find<E: DefinitionTable>(
    database: &impl ConnectionTrait,
    tenant: &TenantId,
    name: &str,
) -> Result<Option<Row>> {
    E::find()
        .filter(named::<E>(tenant.as_str(), name))
        .into_model::<Row>()
        .one(database)
        .await
        .map_err(|cause| failure::error(cause, Phase::Read))
}

/// Returns whether it was inserted: `false` where another one came first.
async fn insert<E: DefinitionTable>(database: &impl ConnectionTrait, row: &Row) -> Result<bool> {
    let mut model = <E::ActiveModel as ActiveModelTrait>::default();
    model.set(E::column(Field::Tenant), row.tenant.as_str().into());
    model.set(E::column(Field::Name), row.name.as_str().into());
    model.set(E::column(Field::Version), row.version.into());
    model.set(E::column(Field::Document), row.document.as_str().into());
    model.set(E::column(Field::CreatedAt), row.created_at.into());
    model.set(E::column(Field::UpdatedAt), row.updated_at.into());
    match E::insert(model).exec_without_returning(database).await {
        Ok(_) => Ok(true),
        Err(cause) if failure::is_duplicate(&cause) || failure::is_collision(&cause) => Ok(false),
        Err(cause) => Err(failure::error(cause, Phase::Commit)),
    }
}

/// Returns whether it was replaced: `false` where it no longer stood at `version`.
async fn replace<E: DefinitionTable>(
    database: &impl ConnectionTrait,
    row: &Row,
    version: i64,
) -> Result<bool> {
    let replaced = E::update_many()
        .filter(named::<E>(&row.tenant, &row.name))
        .filter(E::column(Field::Version).eq(version))
        .col_expr(E::column(Field::Version), Expr::value(row.version))
        .col_expr(
            E::column(Field::Document),
            Expr::value(row.document.as_str()),
        )
        .col_expr(E::column(Field::UpdatedAt), Expr::value(row.updated_at))
        .exec(database)
        .await;
    match replaced {
        Ok(result) => Ok(result.rows_affected > 0),
        Err(cause) if failure::is_collision(&cause) => Ok(false),
        Err(cause) => Err(failure::error(cause, Phase::Commit)),
    }
}

async fn remove<E: DefinitionTable>(
    database: &impl ConnectionTrait,
    tenant: &TenantId,
    name: &str,
) -> Result<bool> {
    E::delete_many()
        .filter(named::<E>(tenant.as_str(), name))
        .exec(database)
        .await
        .map(|result| result.rows_affected > 0)
        .map_err(|cause| failure::error(cause, Phase::Commit))
}

async fn page<E: DefinitionTable>(
    database: &impl ConnectionTrait,
    tenant: &TenantId,
    prefix: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Row>> {
    let name = E::column(Field::Name);
    let mut query = E::find()
        .filter(E::column(Field::Tenant).eq(tenant.as_str()))
        .filter(begins_with(name, prefix));
    if let Some(after) = after {
        query = query.filter(name.gt(after));
    }
    rows(database, query.order_by_asc(name), limit).await
}

async fn page_of_all<E: DefinitionTable>(
    database: &impl ConnectionTrait,
    after: Option<(&TenantId, &str)>,
    limit: u32,
) -> Result<Vec<Row>> {
    let (tenant, name) = (E::column(Field::Tenant), E::column(Field::Name));
    let mut query = E::find();
    if let Some((last_tenant, last_name)) = after {
        let in_tenant = Condition::all()
            .add(tenant.eq(last_tenant.as_str()))
            .add(name.gt(last_name));
        query = query.filter(
            Condition::any()
                .add(tenant.gt(last_tenant.as_str()))
                .add(in_tenant),
        );
    }
    let query = query.order_by_asc(tenant).order_by_asc(name);
    rows(database, query, limit).await
}

async fn rows<E: EntityTrait>(
    database: &impl ConnectionTrait,
    query: Select<E>,
    limit: u32,
) -> Result<Vec<Row>> {
    query
        .limit(u64::from(limit.min(DEFINITION_ROWS_MAX)))
        .into_model::<Row>()
        .all(database)
        .await
        .map_err(|cause| failure::error(cause, Phase::Read))
}

/// The sums of a table, as one row.
#[derive(FromQueryResult)]
struct StateRow {
    entries: i64,
    versions: i64,
    created: i64,
    updated: i64,
}

async fn state<E: DefinitionTable>(database: &DatabaseConnection) -> Result<DefinitionState> {
    // PostgreSQL and MariaDB add 64-bit numbers up to decimals.
    let integer = match database.get_database_backend() {
        DbBackend::MySql => "SIGNED",
        _ => "BIGINT",
    };
    let sum = |of: &str| Expr::cust(format!("CAST(COALESCE(SUM({of}), 0) AS {integer})"));
    let found = E::find()
        .select_only()
        .column_as(Expr::cust("COUNT(*)"), "entries")
        .column_as(sum("version"), "versions")
        .column_as(sum(&format!("created_at - {STATE_EPOCH_MS}")), "created")
        .column_as(sum(&format!("updated_at - {STATE_EPOCH_MS}")), "updated")
        .into_model::<StateRow>()
        .one(database)
        .await
        .map_err(|cause| failure::error(cause, Phase::Read))?;
    let row = found.ok_or_else(|| Error::internal("an aggregate without a row"))?;
    Ok(DefinitionState {
        count: row.entries,
        versions: row.versions,
        created_ms: row.created,
        updated_ms: row.updated,
    })
}

/// Whether a column begins with a prefix.
pub(super) fn begins_with(name: impl ColumnTrait, prefix: &str) -> Condition {
    // LIKE ignores case on SQLite, so a prefix is a range of the byte order that all three products keep.
    // MariaDB pads with blanks to compare, so that "a" >= "a ". No name ends with a blank, so none equals such a prefix.
    let begins = if prefix.ends_with(' ') {
        name.gt(prefix)
    } else {
        name.gte(prefix)
    };
    let ends = after_prefix(prefix).map(|end| name.lt(end));
    Condition::all().add(begins).add_option(ends)
}

/// The smallest text after every text with this prefix; `None` where there is none.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // The next character may lie behind the gap of the surrogates.
        if let Some(next) = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn the_end_of_a_prefix_lies_behind_everything_that_begins_with_it() {
        let cases = [
            ("", None),
            ("a", Some("b")),
            ("az", Some("a{")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
        ];
        for (prefix, end) in cases {
            assert_eq!(after_prefix(prefix).as_deref(), end, "{prefix:?}");
        }
    }
}
