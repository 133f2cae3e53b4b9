//! How connections are opened: the pragmas stand here and nowhere else.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::EngineLocation;
use crate::error::StoreError;

/// How long a statement waits for a lock of another process (an offline tool), in milliseconds.
const BUSY_WAIT_MS_MAX: u64 = 5_000;
/// Prepared statements kept per connection.
const STATEMENTS_CACHED_MAX: usize = 128;
/// After how many pages of 4 KiB the log is written back into the file: 8 MiB.
const AUTOCHECKPOINT_PAGES: u32 = 2_000;
/// To what size a log that grew past it is cut back after a checkpoint, in bytes.
const JOURNAL_BYTES_KEPT_MAX: i64 = 64 * 1024 * 1024;
/// Page cache of one connection, in KiB; SQLite takes it as a negative number.
const PAGE_CACHE_KIB: i64 = 8 * 1024;

/// Opens the one connection that writes.
pub(super) fn open_writer(location: &EngineLocation) -> Result<Connection, StoreError> {
    let connection = match location {
        EngineLocation::File(path) => {
            create_private(path)?;
            // SQLITE_OPEN_NO_MUTEX: a rusqlite connection is used by one thread at a time.
            Connection::open_with_flags(
                path,
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?
        }
        EngineLocation::Memory => Connection::open_in_memory()?,
    };
    prepare(&connection)?;
    // In memory these two are accepted and mean nothing.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "wal_autocheckpoint", AUTOCHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES_KEPT_MAX)?;
    // The promise of the engine: a commit returns after the log was synced.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Opens a connection that can only read.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    prepare(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(std::time::Duration::from_millis(BUSY_WAIT_MS_MAX))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED_MAX);
    connection.pragma_update(None, "cache_size", -PAGE_CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}

/// Creates the file, readable by its owner only; SQLite gives `-wal` and `-shm` the same mode.
pub(crate) fn create_private(path: &Path) -> Result<(), StoreError> {
    let at = |path: &Path, source| StoreError::Create {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(|source| at(folder, source))?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| at(path, source))?;
    Ok(())
}
