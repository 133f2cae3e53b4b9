//! The tables of the queue's file.

use plinth_store::{Migration, idempotency};

/// Every version of the schema, oldest first. A released one is never changed.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "queue_messages",
        sql: MESSAGES,
    },
    Migration {
        version: 2,
        name: "queue_idempotency",
        sql: idempotency::SCHEMA,
    },
];

/// Times are milliseconds on the engine's axis (see `axis.rs`), except those named `…_wall`.
///
/// `message` is clustered by (queue, id): the order of publishing, for peek and purge. What is ready stands in
/// `message_ready` in the order of delivery; whatever waits for a time stands in `message_due`. A body is written once
/// and never moved: leases, retries and dead-lettering rewrite only the small row.
const MESSAGES: &str = "
CREATE TABLE queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    next_id INTEGER NOT NULL DEFAULT 1,
    ready INTEGER NOT NULL DEFAULT 0,
    leased INTEGER NOT NULL DEFAULT 0,
    delayed INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    dead INTEGER NOT NULL DEFAULT 0,
    condemned INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE content (
    id INTEGER PRIMARY KEY,
    envelope TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE message (
    queue INTEGER NOT NULL,
    id INTEGER NOT NULL,
    state INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    due INTEGER,
    not_before INTEGER NOT NULL,
    expires INTEGER,
    ordering TEXT,
    attempts INTEGER NOT NULL,
    token INTEGER,
    lease_ms INTEGER NOT NULL,
    leased_wall INTEGER NOT NULL,
    consumer TEXT,
    content INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    since INTEGER NOT NULL,
    origin INTEGER,
    dead TEXT,
    PRIMARY KEY (queue, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_ready ON message (queue, rank, id) WHERE state = 0;
CREATE INDEX message_due ON message (due) WHERE due IS NOT NULL;
CREATE INDEX message_expiry ON message (expires) WHERE expires IS NOT NULL AND state <> 2;
CREATE INDEX message_ordering ON message (queue, ordering, id) WHERE ordering IS NOT NULL;
CREATE INDEX message_origin ON message (origin) WHERE origin IS NOT NULL;
CREATE TABLE attempt (
    content INTEGER NOT NULL,
    number INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (content, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE seen (
    queue INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (queue, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_until ON seen (until);
";
