//! Version 1: every table of the control plane. Lengths and names stand here as numbers and text of their own, because a
//! released migration must not follow a constant that changes.

use sea_orm::sea_query::{
    ColumnDef, ForeignKey, ForeignKeyAction, Index, IndexCreateStatement, Table,
    TableCreateStatement,
};
use sea_orm::{DbBackend, DbErr, DeriveIden};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct ControlPlane;

impl MigrationName for ControlPlane {
    fn name(&self) -> &str {
        "m0001_control_plane"
    }
}

#[expect(
    elided_lifetimes_in_paths,
    reason = "the trait elides the lifetime, and its async form must match to the letter"
)]
#[async_trait::async_trait]
impl MigrationTrait for ControlPlane {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables = Tables {
            backend: manager.get_database_backend(),
        };
        manager.create_table(tables.tenants()).await?;
        manager.create_table(tables.principals()).await?;
        manager.create_table(tables.api_keys()).await?;
        manager.create_table(tables.role_bindings()).await?;
        manager.create_table(tables.idempotency_records()).await?;
        for table in DEFINITION_TABLES {
            manager.create_table(tables.definitions(table)).await?;
        }
        // MySQL knows no IF NOT EXISTS for an index, and a migration that broke off there is run again.
        if !manager.has_index(EXPIRY_TABLE, EXPIRY_INDEX).await? {
            manager.create_index(expiry_index()).await?;
        }
        Ok(())
    }

    async fn down(&self, _manager: &SchemaManager) -> Result<(), DbErr> {
        // Going back would drop every tenant. A backup is restored instead.
        Err(DbErr::Migration(
            "the first version of the control plane cannot be undone".to_owned(),
        ))
    }
}

const EXPIRY_TABLE: &str = "idempotency_records";
const EXPIRY_INDEX: &str = "idempotency_records_expiry";
/// Tables of definitions, all of one shape.
const DEFINITION_TABLES: [&str; 9] = [
    "cache_namespaces",
    "exchanges",
    "queues",
    "queue_bindings",
    "subscriptions",
    "metrics",
    "databases",
    "audit_policies",
    "roles",
];
/// Longest id or role, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Longest name of a definition, in bytes. With a tenant it stays below MariaDB's 3,072 bytes of an index, at 4 bytes
/// for each character.
const DEFINITION_NAME_BYTES_MAX: usize = 512;
/// Longest idempotency key, in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// Longest operation id, in bytes.
const OPERATION_BYTES_MAX: usize = 64;
/// Longest label of a key and longest name for people, in bytes.
const LABEL_BYTES_MAX: usize = 512;
/// Bytes of a SHA-256.
const SHA256_BYTES: u32 = 32;

#[derive(DeriveIden, Clone, Copy)]
enum Word {
    Tenants,
    Principals,
    ApiKeys,
    RoleBindings,
    IdempotencyRecords,
    Tenant,
    Id,
    Name,
    Active,
    Platform,
    Kind,
    Sha256,
    Principal,
    Label,
    Role,
    GrantedBy,
    GrantedAt,
    Operation,
    RequestKey,
    Fingerprint,
    Answer,
    Version,
    Document,
    CreatedBy,
    CreatedAt,
    UpdatedAt,
    ExpiresAt,
    RevokedAt,
    LastUsedAt,
}

fn expiry_index() -> IndexCreateStatement {
    Index::create()
        .name(EXPIRY_INDEX)
        .table(Word::IdempotencyRecords)
        .col(Word::ExpiresAt)
        .to_owned()
}

/// The tables in the dialect of one product.
struct Tables {
    backend: DbBackend,
}

impl Tables {
    /// Begins a table whose text is compared byte by byte on every product.
    fn begin(&self) -> TableCreateStatement {
        let mut table = Table::create();
        table.if_not_exists();
        if self.backend == DbBackend::MySql {
            table
                .engine("InnoDB")
                .character_set("utf8mb4")
                .collate("utf8mb4_bin");
        }
        table
    }

    fn compared(&self, column: &mut ColumnDef) -> ColumnDef {
        if self.backend == DbBackend::Postgres {
            column.extra("COLLATE \"C\"");
        }
        column.to_owned()
    }

    /// Text that is always there, of at most so many bytes.
    fn text(&self, name: Word, bytes_max: usize) -> ColumnDef {
        let length = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        self.compared(ColumnDef::new(name).string_len(length).not_null())
    }

    fn optional_text(&self, name: Word, bytes_max: usize) -> ColumnDef {
        let length = u32::try_from(bytes_max).unwrap_or(u32::MAX);
        self.compared(ColumnDef::new(name).string_len(length).null())
    }

    fn name(&self, name: Word) -> ColumnDef {
        self.text(name, NAME_BYTES_MAX)
    }

    fn tenants(&self) -> TableCreateStatement {
        self.begin()
            .table(Word::Tenants)
            .col(self.name(Word::Id).primary_key())
            .col(self.text(Word::Name, LABEL_BYTES_MAX))
            .col(ColumnDef::new(Word::Active).boolean().not_null())
            .col(ColumnDef::new(Word::Platform).boolean().not_null())
            .col(time(Word::CreatedAt))
            .to_owned()
    }

    fn principals(&self) -> TableCreateStatement {
        self.begin()
            .table(Word::Principals)
            .col(self.name(Word::Tenant))
            .col(self.name(Word::Id))
            .col(self.text(Word::Name, LABEL_BYTES_MAX))
            .col(self.name(Word::Kind))
            .col(time(Word::CreatedAt))
            .primary_key(Index::create().col(Word::Tenant).col(Word::Id))
            .foreign_key(
                ForeignKey::create()
                    .name("principals_tenant")
                    .from(Word::Principals, Word::Tenant)
                    .to(Word::Tenants, Word::Id)
                    .on_delete(ForeignKeyAction::Restrict),
            )
            .to_owned()
    }

    fn api_keys(&self) -> TableCreateStatement {
        self.begin()
            .table(Word::ApiKeys)
            .col(self.name(Word::Tenant))
            // Unique over all tenants: a credential is looked up before its tenant is known.
            .col(self.name(Word::Id).unique_key())
            .col(digest(Word::Sha256))
            .col(self.name(Word::Principal))
            .col(self.text(Word::Label, LABEL_BYTES_MAX))
            .col(time(Word::CreatedAt))
            .col(self.optional_text(Word::CreatedBy, NAME_BYTES_MAX))
            .col(optional_time(Word::ExpiresAt))
            .col(optional_time(Word::RevokedAt))
            .col(optional_time(Word::LastUsedAt))
            .primary_key(Index::create().col(Word::Tenant).col(Word::Id))
            .foreign_key(
                ForeignKey::create()
                    .name("api_keys_principal")
                    .from(Word::ApiKeys, (Word::Tenant, Word::Principal))
                    .to(Word::Principals, (Word::Tenant, Word::Id))
                    .on_delete(ForeignKeyAction::Restrict),
            )
            .to_owned()
    }

    fn role_bindings(&self) -> TableCreateStatement {
        self.begin()
            .table(Word::RoleBindings)
            .col(self.name(Word::Tenant))
            .col(self.name(Word::Principal))
            .col(self.name(Word::Role))
            .col(self.optional_text(Word::GrantedBy, NAME_BYTES_MAX))
            .col(time(Word::GrantedAt))
            .primary_key(
                Index::create()
                    .col(Word::Tenant)
                    .col(Word::Principal)
                    .col(Word::Role),
            )
            .foreign_key(
                ForeignKey::create()
                    .name("role_bindings_principal")
                    .from(Word::RoleBindings, (Word::Tenant, Word::Principal))
                    .to(Word::Principals, (Word::Tenant, Word::Id))
                    .on_delete(ForeignKeyAction::Restrict),
            )
            .to_owned()
    }

    fn idempotency_records(&self) -> TableCreateStatement {
        self.begin()
            .table(Word::IdempotencyRecords)
            .col(self.name(Word::Tenant))
            .col(self.name(Word::Principal))
            .col(self.text(Word::Operation, OPERATION_BYTES_MAX))
            .col(self.text(Word::RequestKey, IDEMPOTENCY_KEY_BYTES_MAX))
            .col(digest(Word::Fingerprint))
            .col(ColumnDef::new(Word::Answer).text().not_null())
            .col(time(Word::ExpiresAt))
            .primary_key(
                Index::create()
                    .col(Word::Tenant)
                    .col(Word::Principal)
                    .col(Word::Operation)
                    .col(Word::RequestKey),
            )
            .to_owned()
    }

    fn definitions(&self, table: &'static str) -> TableCreateStatement {
        self.begin()
            .table(table)
            .col(self.name(Word::Tenant))
            .col(self.text(Word::Name, DEFINITION_NAME_BYTES_MAX))
            .col(ColumnDef::new(Word::Version).big_integer().not_null())
            .col(ColumnDef::new(Word::Document).text().not_null())
            .col(time(Word::CreatedAt))
            .col(time(Word::UpdatedAt))
            .primary_key(Index::create().col(Word::Tenant).col(Word::Name))
            .to_owned()
    }
}

/// Milliseconds since 1970.
fn time(name: Word) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().to_owned()
}

fn optional_time(name: Word) -> ColumnDef {
    ColumnDef::new(name).big_integer().null().to_owned()
}

fn digest(name: Word) -> ColumnDef {
    ColumnDef::new(name)
        .var_binary(SHA256_BYTES)
        .not_null()
        .to_owned()
}
