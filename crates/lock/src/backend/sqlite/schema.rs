//! The tables of the embedded backend.

use plinth_store::Migration;

/// `lock`: one record for each lock that is in use or was fought for lately. `busy` and `waiting` are 1 or 0; `due` is when
/// time changes something next, on the backend's clock. `token`: where the tokens stand.
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "locks",
    sql: "
        CREATE TABLE lock (
            tenant TEXT NOT NULL,
            name TEXT NOT NULL,
            busy INTEGER NOT NULL,
            waiting INTEGER NOT NULL,
            due INTEGER,
            record TEXT NOT NULL,
            PRIMARY KEY (tenant, name)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX lock_busy ON lock (tenant) WHERE busy = 1;
        CREATE INDEX lock_waiting ON lock (tenant, name) WHERE waiting = 1;
        CREATE INDEX lock_due ON lock (due) WHERE due IS NOT NULL;
        CREATE TABLE token (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            epoch INTEGER NOT NULL,
            counter INTEGER NOT NULL
        ) STRICT;
        INSERT INTO token (id, epoch, counter) VALUES (1, 0, 0);
    ",
}];
