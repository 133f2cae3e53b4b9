//! The tables of the file.

use plinth_store::Migration;

/// Tables and indexes of `monitor.db`, with the idempotency records of the store beside them.
///
/// - `metric`: names and times to live; the definitions themselves are in the control plane.
/// - `series`: one row for each label set. `newest` is its newest sample when its samples last went into chunks; what came
///   after is in the journal. AUTOINCREMENT, because an id must not be given again while the journal may still name it.
/// - `journal`: the samples of each group commit, in order, until they are in chunks.
/// - `chunk`: samples of one series, sorted by time. Where two chunks hold the same time, the greater `id` holds the later
///   write.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "monitor idempotency records",
        sql: plinth_store::idempotency::SCHEMA,
    },
    Migration {
        version: 2,
        name: "monitor series, journal and chunks",
        sql: "
CREATE TABLE metric (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    ttl_ms INTEGER,
    UNIQUE (tenant, name)
) STRICT;
CREATE TABLE series (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    metric INTEGER NOT NULL REFERENCES metric (id),
    labels TEXT NOT NULL,
    from_zero INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    newest BLOB
) STRICT;
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY,
    entry BLOB NOT NULL
) STRICT;
CREATE TABLE chunk (
    id INTEGER PRIMARY KEY,
    series INTEGER NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    samples BLOB NOT NULL
) STRICT;
CREATE INDEX chunk_series ON chunk (series, end_ms, start_ms);
CREATE INDEX chunk_end ON chunk (end_ms);
",
    },
    Migration {
        version: 3,
        name: "monitor bytes of the chunks",
        sql: CHUNK_BYTES,
    },
];

/// `chunk_total` holds what all chunks take together, so that the retention need not add them up: their samples, and about
/// 100 bytes for the row and its places in the indexes.
const CHUNK_BYTES: &str = "
CREATE TABLE chunk_total (
    only INTEGER PRIMARY KEY CHECK (only = 0),
    bytes INTEGER NOT NULL
) STRICT;
INSERT INTO chunk_total (only, bytes) SELECT 0, coalesce(sum(length(samples) + 100), 0) FROM chunk;
CREATE TRIGGER chunk_added AFTER INSERT ON chunk BEGIN
    UPDATE chunk_total SET bytes = bytes + length(new.samples) + 100;
END;
CREATE TRIGGER chunk_removed AFTER DELETE ON chunk BEGIN
    UPDATE chunk_total SET bytes = bytes - length(old.samples) - 100;
END;
";
