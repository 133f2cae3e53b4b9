//! Version 3: the records of locks that instances share. Lengths stand here as numbers of their own, because a released
//! migration must not follow a constant that changes.

use sea_orm::sea_query::{ColumnDef, Expr, Index, Query, Table, TableCreateStatement};
use sea_orm::{ConnectionTrait as _, DbBackend, DbErr, DeriveIden};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct LockRecords;

/// Longest id of a tenant, in bytes.
const TENANT_BYTES_MAX: u32 = 128;
/// Longest name of a lock, in bytes.
const NAME_BYTES_MAX: u32 = 128;
const TABLE: &str = "lock_records";
const BUSY_INDEX: &str = "lock_records_busy";
const DUE_INDEX: &str = "lock_records_due";
/// The number of the one row of the floor.
const FLOOR_ROW: i32 = 1;

#[derive(DeriveIden, Clone, Copy)]
enum Word {
    LockRecords,
    Tenant,
    Name,
    Stamp,
    Busy,
    Waiting,
    Listed,
    Token,
    Due,
    Record,
    LockFloor,
    Id,
}

impl MigrationName for LockRecords {
    fn name(&self) -> &str {
        "m0003_lock_records"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides the lifetime, and its async form must match to the letter"
)]
#[async_trait::async_trait]
impl MigrationTrait for LockRecords {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        manager.create_table(records(backend)).await?;
        // MySQL knows no IF NOT EXISTS for an index, and a migration that broke off there is run again.
        for (name, columns) in [
            (BUSY_INDEX, [Word::Tenant, Word::Busy]),
            (DUE_INDEX, [Word::Busy, Word::Due]),
        ] {
            if !manager.has_index(TABLE, name).await? {
                let [first, second] = columns;
                let index = Index::create()
                    .name(name)
                    .table(Word::LockRecords)
                    .col(first)
                    .col(second)
                    .to_owned();
                manager.create_index(index).await?;
            }
        }
        manager.create_table(floor()).await?;
        begin_floor(manager).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        // Without them locks would be granted twice, and tokens would begin anew.
        Err(DbErr::Migration(
            "the records of locks cannot be taken away".to_owned(),
        ))
    }
}

fn records(backend: DbBackend) -> TableCreateStatement {
    // Text is compared byte by byte on every product.
    let text = |name: Word, bytes_max: u32| {
        let mut column = ColumnDef::new(name);
        column.string_len(bytes_max).not_null();
        if backend == DbBackend::Postgres {
            column.extra("COLLATE \"C\"");
        }
        column
    };
    let mut record = ColumnDef::new(Word::Record);
    let mut table = Table::create();
    if backend == DbBackend::MySql {
        table
            .engine("InnoDB")
            .character_set("utf8mb4")
            .collate("utf8mb4_bin");
        // A TEXT ends at 64 KiB; a lock with a thousand holders and a thousand waiters is larger.
        record.custom("MEDIUMTEXT");
    } else {
        record.text();
    }
    table
        .table(Word::LockRecords)
        .if_not_exists()
        .col(text(Word::Tenant, TENANT_BYTES_MAX))
        .col(text(Word::Name, NAME_BYTES_MAX))
        .col(ColumnDef::new(Word::Stamp).big_integer().not_null())
        .col(ColumnDef::new(Word::Busy).boolean().not_null())
        .col(ColumnDef::new(Word::Waiting).boolean().not_null())
        .col(ColumnDef::new(Word::Listed).boolean().not_null())
        .col(ColumnDef::new(Word::Token).big_integer().not_null())
        .col(ColumnDef::new(Word::Due).big_integer().not_null())
        .col(record.not_null())
        .primary_key(Index::create().col(Word::Tenant).col(Word::Name))
        .to_owned()
}

/// One row: above every token of a record that was forgotten.
fn floor() -> TableCreateStatement {
    Table::create()
        .table(Word::LockFloor)
        .if_not_exists()
        .col(ColumnDef::new(Word::Id).integer().not_null().primary_key())
        .col(ColumnDef::new(Word::Token).big_integer().not_null())
        .to_owned()
}

/// A migration that broke off on MariaDB is run again, so the row may be there.
async fn begin_floor(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let present = Query::select()
        .expr(Expr::val(1))
        .from(Word::LockFloor)
        .to_owned();
    if connection.query_one(&present).await?.is_some() {
        return Ok(());
    }
    let row = Query::insert()
        .into_table(Word::LockFloor)
        .columns([Word::Id, Word::Token])
        .values_panic([FLOOR_ROW.into(), 0_i64.into()])
        .to_owned();
    connection.execute(&row).await.map(drop)
}
