//! The tables of definitions: one per kind, all of the same shape, so that one set of queries serves them all.

use sea_orm::{EntityTrait, FromQueryResult};

/// A column that every table of definitions has.
#[derive(Clone, Copy)]
pub enum Field {
    Tenant,
    Name,
    Version,
    Document,
    CreatedAt,
    UpdatedAt,
}

/// A table of definitions.
pub trait DefinitionTable: EntityTrait {
    /// The table's column of that name.
    fn column(field: Field) -> Self::Column;
}

/// A row of any of the tables.
#[derive(FromQueryResult)]
pub struct Row {
    pub tenant: String,
    pub name: String,
    pub version: i64,
    pub document: String,
    pub created_at: i64,
    pub updated_at: i64,
}

macro_rules! definition_tables {
    ($($module:ident = $table:literal, $doc:literal;)*) => {
        $(#[doc = $doc]
        pub mod $module {
            use sea_orm::entity::prelude::*;

            use super::{DefinitionTable, Field};

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $table)]
            pub struct Model {
                #[sea_orm(primary_key, auto_increment = false)]
                pub tenant: String,
                #[sea_orm(primary_key, auto_increment = false)]
                pub name: String,
                pub version: i64,
                #[sea_orm(column_type = "Text")]
                pub document: String,
                pub created_at: i64,
                pub updated_at: i64,
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}

            impl DefinitionTable for Entity {
                fn column(field: Field) -> Column {
                    match field {
                        Field::Tenant => Column::Tenant,
                        Field::Name => Column::Name,
                        Field::Version => Column::Version,
                        Field::Document => Column::Document,
                        Field::CreatedAt => Column::CreatedAt,
                        Field::UpdatedAt => Column::UpdatedAt,
                    }
                }
            }
        })*
    };
}

definition_tables! {
    cache_namespaces = "cache_namespaces", "Namespaces of the cache.";
    exchanges = "exchanges", "Exchanges.";
    queues = "queues", "Queues.";
    queue_bindings = "queue_bindings", "What an exchange sends to which queue.";
    subscriptions = "subscriptions", "Durable subscriptions.";
    metrics = "metrics", "Registered metrics.";
    databases = "databases", "Registered databases.";
    audit_policies = "audit_policies", "What of a tenant's data plane is audited.";
    roles = "roles", "Roles that a tenant defines beside the built-in ones.";
}
