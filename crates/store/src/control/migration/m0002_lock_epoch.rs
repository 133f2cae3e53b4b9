//! Version 2: the epoch of fencing tokens. Lengths stand here as numbers of their own, because a released migration must
//! not follow a constant that changes.

use sea_orm::sea_query::{ColumnDef, Table};
use sea_orm::{DbErr, DeriveIden};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct LockEpoch;

/// Longest name of a backend, in bytes.
const BACKEND_BYTES_MAX: u32 = 32;

#[derive(DeriveIden)]
enum Word {
    #[sea_orm(iden = "lock_epoch")]
    Table,
    Id,
    Epoch,
    Backend,
    RaisedAt,
}

impl MigrationName for LockEpoch {
    fn name(&self) -> &str {
        "m0002_lock_epoch"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides the lifetime, and its async form must match to the letter"
)]
#[async_trait::async_trait]
impl MigrationTrait for LockEpoch {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(Word::Table)
            .if_not_exists()
            .col(ColumnDef::new(Word::Id).integer().not_null().primary_key())
            .col(ColumnDef::new(Word::Epoch).big_integer().not_null())
            .col(
                ColumnDef::new(Word::Backend)
                    .string_len(BACKEND_BYTES_MAX)
                    .not_null(),
            )
            .col(ColumnDef::new(Word::RaisedAt).big_integer().not_null())
            .to_owned();
        manager.create_table(table).await
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        // Without it tokens would begin anew, below those that resources have seen.
        Err(DbErr::Migration(
            "the epoch of fencing tokens cannot be taken away".to_owned(),
        ))
    }
}
