//! What a connection to a file of a tenant may not do, whatever a statement says and however it quotes its names: SQLite's
//! own limits, and an authorizer that every statement passes when it is prepared.
//!
//! All of it holds for one connection. SQLite's bound on the heap does not: it is the process's, so one tenant at that bound
//! would make Plinth's own files refuse writes. What a statement can hold in memory is bounded by its parts instead: its
//! text and operators (`crate::sql`), the longest value, the values of a function, the pages of the cache.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;

use crate::sql::pragma_reads;

/// Longest value, and longest row of a table: the largest frame, so that every parameter fits.
pub(super) const VALUE_BYTES_MAX: i32 = 16 * 1024 * 1024;
/// Most values that a function is given.
const FUNCTION_VALUES_MAX: i32 = 127;
/// Memory for pages of one file, in KiB. What is larger goes to the disk.
const CACHE_KIB_MAX: i64 = 2_048;
/// What a write-ahead log keeps of the disk after a large transaction, in bytes.
const JOURNAL_BYTES_KEPT_MAX: i64 = 64 * 1024 * 1024;
/// SQLite's own limit of a file.
const PAGES_MAX: u64 = 4_294_967_294;

/// Sets what holds for every statement of a connection. Only our own statements may run before.
pub(super) fn bound(connection: &Connection, file_bytes_max: u64) -> rusqlite::Result<()> {
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, FUNCTION_VALUES_MAX),
    ] {
        connection.set_limit(limit, most)?;
    }
    // No statement reaches SQLite's own tables by their back doors.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB_MAX)?;
    connection.pragma_update(None, "temp_store", "FILE")?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES_KEPT_MAX)?;
    for schema in ["main", "temp"] {
        let page_bytes: i64 =
            connection.pragma_query_value(Some(schema), "page_size", |row| row.get(0))?;
        let page_bytes = u64::try_from(page_bytes).unwrap_or(1).max(1);
        // SQLite itself never goes below what the file has already.
        let pages = (file_bytes_max / page_bytes).clamp(1, PAGES_MAX);
        let pages = i64::try_from(pages).unwrap_or(i64::MAX);
        connection.pragma_update(Some(schema), "max_page_count", pages)?;
    }
    Ok(())
}

/// What the authorizer saw of the statements that were prepared.
#[derive(Default)]
pub(super) struct Watch {
    /// Something was made that the next caller would find.
    tainted: AtomicBool,
    /// Why the last statement was refused.
    refusal: Mutex<Option<String>>,
}

impl Watch {
    /// Whether anything temporary was made or changed on this connection.
    pub(super) fn tainted(&self) -> bool {
        self.tainted.load(Ordering::Relaxed)
    }

    /// Why a statement was refused, once.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.lock().take()
    }

    /// Judges one thing that a statement does.
    pub(super) fn judge(&self, context: &AuthContext<'_>) -> Authorization {
        match context.action {
            // SQLite itself attaches a file without a name for VACUUM.
            AuthAction::Attach { filename: "" } => Authorization::Allow,
            AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
                self.refuse("reaches outside the named database")
            }
            AuthAction::Pragma {
                pragma_name,
                pragma_value,
            } if !pragma_reads(pragma_name) && !asks_of_file(pragma_name, pragma_value) => {
                self.refuse(&format!("PRAGMA {pragma_name} is not available"))
            }
            AuthAction::Function { function_name }
                if function_name.eq_ignore_ascii_case("load_extension") =>
            {
                self.refuse("reaches outside the named database")
            }
            AuthAction::Read { .. } => Authorization::Allow,
            // By the keyword TEMP or by the schema's name.
            _ => {
                let temporary = context
                    .database_name
                    .is_some_and(|name| name.eq_ignore_ascii_case("temp"));
                self.tainted.fetch_or(temporary, Ordering::Relaxed);
                Authorization::Allow
            }
        }
    }

    fn refuse(&self, reason: &str) -> Authorization {
        *self.refusal.lock() = Some(reason.to_owned());
        Authorization::Deny
    }
}

/// What full-text and spatial indexes ask of their own file.
fn asks_of_file(name: &str, value: Option<&str>) -> bool {
    value.is_none() && matches!(name, "page_size" | "data_version")
}
