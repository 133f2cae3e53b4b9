// The structs of the db block: named databases, statements, transactions, plans, index advice, slow statements.
//
// SQL is one statement per call. A placeholder is `?` on every engine, in the order of `params`; a `?` that is an
// operator of PostgreSQL (`?`, `?|`, `?&`) is written `??`. Other placeholder styles are refused (1001 naming `sql`).
namespace go support.db
namespace py support.db
namespace java support.db
namespace js support.db

include "../base.thrift"
include "common.thrift"

// One SQL value. At most one `*_value` field is set; none set is NULL. More than one is refused (1001).
struct DbValue {
    // A truth value.
    1: optional bool bool_value
    // A 64-bit signed integer.
    2: optional i64 int_value
    // A double-precision number.
    3: optional double float_value
    // An exact decimal as text: `-12.340`; at most 1,000 digits. Also integers past 64 bits, `NaN` and `Infinity`
    // of PostgreSQL.
    4: optional string decimal_value
    // Text.
    5: optional string text_value
    // Raw bytes.
    6: optional binary bytes_value
    // A date: `2026-11-23`.
    7: optional string date_value
    // A time of day: `19:30:00` with up to 6 decimal places. As a result also MariaDB's durations: `-838:59:59`.
    8: optional string time_value
    // A date and time. With a zone (`2026-11-23T19:30:00.5Z`, any RFC 3339 offset) it is an instant; without one
    // (`2026-11-23T19:30:00.5`) it is local time. Up to 6 decimal places.
    9: optional string timestamp_value
    // A JSON document as text.
    10: optional string json_value
    // A UUID in its hyphenated form.
    11: optional string uuid_value
}

// How connections to one database are pooled.
struct DbPoolOptions {
    // Connections kept open while idle; 0 to `max_connections`, default 0.
    1: optional i32 min_connections
    // Most connections; 1 to 1,000, default 10.
    2: optional i32 max_connections
    // Longest wait for a free connection, in milliseconds; 10 to 60,000, default 5,000. Then 2404.
    3: optional i64 acquire_timeout_ms
    // A connection older than this is replaced, in milliseconds; 1,000 to 86,400,000, default 1,800,000. Each
    // connection's own bound is shorter by up to 10 % at random, so that they are not all replaced at once.
    4: optional i64 max_lifetime_ms
    // A connection idle for longer is closed, in milliseconds; 1,000 to 86,400,000, default 600,000.
    5: optional i64 idle_timeout_ms
}

// The state of a pool now.
struct DbPoolStatus {
    // Open connections.
    1: required i64 connections
    // Of these, idle ones.
    2: required i64 idle
    // Callers that wait for a connection.
    3: required i64 waiting
    // Statements and transactions that hold a connection.
    4: required i64 in_use
    // Connections opened since registration.
    5: required i64 opened
    // Connections handed out since registration.
    6: required i64 acquired
    // Waits that ended without a connection since registration.
    7: required i64 acquire_timeouts
    // The circuit breaker: `closed` (works), `open` (fails fast with 2401), `half_open` (being tried).
    8: required string breaker
}

// A registered database, without its secret.
struct DbDatabaseInfo {
    // Its name in the tenant.
    1: required string database
    // `sqlite`, `postgres` or `mariadb`.
    2: required string engine
    // The address, without a password.
    3: required string url
    // Whether a secret is stored. The secret itself is never shown.
    4: required bool has_secret
    // Whether statements that write are refused.
    5: required bool read_only
    // The pool's settings, defaults filled in.
    6: required DbPoolOptions pool
    // From which time on a statement counts as slow, in milliseconds.
    7: required i64 slow_query_threshold_ms
    // The version of the definition, for `if_version`.
    8: required i64 version
    // When it was first registered, in Unix milliseconds.
    9: required i64 created_at_ms
    // When it was last changed, in Unix milliseconds.
    10: required i64 updated_at_ms
    // The pool on this instance; absent where nothing has used it since the start.
    11: optional DbPoolStatus pool_status
    // Certificates in PEM that sign the server's own; absent where only public authorities are trusted.
    12: optional string tls_ca
}

struct DbRegisterDatabaseRequest {
    // Its name: 1 to 128 bytes of letters, digits and `._-:`.
    1: required string database
    // `sqlite`, `postgres`, or `mariadb` (also for MySQL).
    2: required string engine
    // Without a password. `sqlite`: a file's path below the directory of the settings, `shop/orders.db`; it is created
    // when first used. `postgres`: `postgres://user@host:port/database`; `mariadb`: `mysql://user@host:port/database`;
    // of the query parameters only TLS's mode is taken: `sslmode` = `disable`, `prefer` (default), `require`,
    // `verify-ca` or `verify-full`, on both. At most 2,048 bytes.
    3: required string url
    // The password of the user in `url`, at most 1,024 bytes. Kept in the control plane, never shown again. Absent on a
    // change that keeps engine and url: the stored one stays.
    4: optional string secret
    // Refuse statements that write; default false.
    5: optional bool read_only
    // Defaults where absent.
    6: optional DbPoolOptions pool
    // From which time on a statement counts as slow, in milliseconds; 0 to 3,600,000, default 200.
    7: optional i64 slow_query_threshold_ms
    // The version that the definition must have; 0: it must not exist yet. Another one is 1006.
    8: optional i64 if_version
    // Certificates in PEM that sign the server's own, beside the public authorities; at most 16,384 bytes. Only with
    // `sslmode=verify-ca` or `verify-full` in `url`.
    9: optional string tls_ca
    255: optional base.Base base
}

struct DbRegisterDatabaseResponse {
    // The definition as stored.
    1: required DbDatabaseInfo info
    // Whether it is new.
    2: required bool created
    255: optional base.BaseResp base_resp
}

struct DbListDatabasesRequest {
    // Only names that begin with this.
    1: optional string prefix
    // Rows of a page; 1 to 1,000, default 50.
    2: optional i64 limit
    // The `next_cursor` of the page before.
    3: optional string cursor
    255: optional base.Base base
}

struct DbListDatabasesResponse {
    // By name.
    1: required list<DbDatabaseInfo> databases
    // Where the next page begins; absent at the end.
    2: optional string next_cursor
    255: optional base.BaseResp base_resp
}

struct DbRemoveDatabaseRequest {
    // Its name. The database itself is not touched.
    1: required string database
    // How long running statements may take to end, in milliseconds; 0 to 60,000, default 5,000. Then their
    // connections are closed.
    2: optional i64 drain_timeout_ms
    255: optional base.Base base
}

struct DbRemoveDatabaseResponse {
    // Whether it was registered.
    1: required bool removed
    // Statements that were cut off because they did not end in time.
    2: required i64 aborted
    255: optional base.BaseResp base_resp
}

// One column of a result.
struct DbColumn {
    // Its name as the engine gives it.
    1: required string name
    // The engine's word for its type, lower case: `int8`, `numeric`, `timestamptz`, `inet`. A value of a type that has
    // no field in DbValue comes as text.
    2: required string type_name
}

// One row of a result.
struct DbRow {
    // In the order of the columns.
    1: required list<DbValue> values
}

struct DbExecuteQueryRequest {
    // The registered database.
    1: required string database
    // Exactly one statement, at most 262,144 bytes. Transaction control and session state (BEGIN, SET, USE, ATTACH,
    // PRAGMA that writes …) are refused.
    2: required string sql
    // One for each `?`, at most 32,766.
    3: optional list<DbValue> params
    // Longest run time, in milliseconds; 1 to 120,000, at most the call's own deadline. When it passes, the statement
    // is cancelled at the server.
    4: optional i64 timeout_ms
    // Most rows of the answer; 1 to 100,000, default 1,000.
    5: optional i32 max_rows
    // Most bytes of the answer's values; 1,024 to 8,388,608, default 4,194,304. One row alone that is larger is 1007.
    6: optional i64 max_bytes
    // The `next_cursor` of the page before, with the same sql and params.
    7: optional string cursor
    255: optional base.Base base
}

struct DbExecuteQueryResponse {
    // Empty where the statement returns no rows.
    1: required list<DbColumn> columns
    // The rows.
    2: required list<DbRow> rows
    // Rows that the statement changed; 0 for a read.
    3: required i64 rows_affected
    // Whether rows are missing because of `max_rows` or `max_bytes`.
    4: required bool truncated
    // Where the next page begins: present where `truncated` and the statement is a read with an ORDER BY of its own. A
    // cursor is the number of rows already given, bound to sql and params: the next call runs the statement again and
    // skips them at the server. Pages neither lose nor repeat a row while the ordered rows do not change and the
    // ORDER BY is total.
    5: optional string next_cursor
    // The key generated by the last INSERT, on SQLite and MariaDB.
    6: optional i64 last_insert_id
    // Time at the database, in microseconds.
    7: required i64 elapsed_us
    255: optional base.BaseResp base_resp
}

// One step of a transaction.
struct DbStep {
    // Exactly one statement, as in DbExecuteQuery.
    1: required string sql
    // One for each `?`.
    2: optional list<DbValue> params
    // The step must change exactly this many rows, else all is rolled back (1006 naming `steps[i]`).
    3: optional i64 expect_rows_affected
    // The step must return at least this many rows, else all is rolled back (1006).
    4: optional i64 expect_rows_min
    // The step must return at most this many rows, else all is rolled back (1006).
    5: optional i64 expect_rows_max
    // Most rows of the step's answer; 1 to 10,000, default 1,000. More rows than that are 1007 and a roll-back: a
    // transaction's answer is never cut.
    6: optional i32 max_rows
}

struct DbExecuteTransactionRequest {
    // The registered database.
    1: required string database
    // 1 to 1,000, run in order on one connection.
    2: required list<DbStep> steps
    // `read_committed`, `repeatable_read` or `serializable`; default: the engine's own. SQLite is always serializable.
    3: optional string isolation
    // Longest run time of all attempts, in milliseconds; 1 to 120,000, at most the call's own deadline.
    4: optional i64 timeout_ms
    // How often a transaction that lost against a concurrent one (serialization failure, deadlock, SQLite busy) is
    // begun anew: attempts in all, 1 to 10, default 3. Then 2405.
    5: optional i32 max_attempts
    // The grant of a lock under which it is made. The highest token seen of each lock is kept in the table `plinth_fences`
    // of the same database (created when first used), checked and raised in the transaction; a lower one is 1006 naming
    // `fence.token`.
    6: optional common.Fence fence
    // A repeat with the same steps gets the first answer, from the table `plinth_idempotency` of the same database,
    // which commits with the steps (created when first used); other steps under the same key are 1005. Kept 24 hours.
    254: optional string request_id
    255: optional base.Base base
}

// What one step did.
struct DbStepResult {
    // Empty where the statement returns no rows.
    1: required list<DbColumn> columns
    // The rows.
    2: required list<DbRow> rows
    // Rows that the statement changed.
    3: required i64 rows_affected
    // The key generated by the last INSERT, on SQLite and MariaDB.
    4: optional i64 last_insert_id
}

struct DbExecuteTransactionResponse {
    // One for each step.
    1: required list<DbStepResult> results
    // How often it was begun.
    2: required i32 attempts
    // Whether this is the first answer again.
    3: required bool repeated
    // Time at the database, in microseconds; of the first execution where `repeated`.
    4: required i64 elapsed_us
    255: optional base.BaseResp base_resp
}

struct DbAnalyzeQueryRequest {
    // The registered database.
    1: required string database
    // Exactly one statement.
    2: required string sql
    // One for each `?`. May be left out on SQLite, where a plan does not depend on them.
    3: optional list<DbValue> params
    // Run the statement and report actual rows and times. Only for reads: 1001 naming `analyze` otherwise.
    4: optional bool analyze
    // Longest run time, in milliseconds; 1 to 120,000.
    5: optional i64 timeout_ms
    255: optional base.Base base
}

// One node of a plan. A plan is the list of its nodes in pre-order: a node's children follow it, one deeper. (A list,
// because the nesting of messages is limited and that of plans is not.)
struct DbPlanNode {
    // Its place in the list, from 0.
    1: required i32 id
    // The id of the node above; absent at the root.
    2: optional i32 parent
    // 0 at the root.
    3: required i32 depth
    // One word for all engines: `full_scan`, `index_scan`, `index_only_scan`, `bitmap_scan`, `key_lookup`, `sort`,
    // `nested_loop`, `hash_join`, `merge_join`, `aggregate`, `distinct`, `limit`, `union`, `subquery`, `materialize`,
    // `temp_table`, `values`, `write`, `result`, `other`.
    4: required string kind
    // The engine's own word: `Seq Scan`, `ALL`, `SCAN`.
    5: required string engine_kind
    // The table.
    6: optional string relation
    // The index.
    7: optional string index
    // Rows that the engine expects, in all loops together. SQLite: from `sqlite_stat1`, where ANALYZE has run.
    8: optional double rows_estimated
    // Rows that came, in all loops together; with `analyze`.
    9: optional double rows_actual
    // Estimated cost in the engine's own unit.
    10: optional double cost
    // Time in the node and below, in milliseconds; with `analyze`.
    11: optional double time_ms
    // Filter, index or join condition.
    12: optional string condition
    // What else the engine says.
    13: optional string detail
}

// Something that is wrong with a statement or its plan.
struct DbFinding {
    // `FULL_SCAN`, `SORT_WITHOUT_INDEX`, `BAD_ESTIMATE`, `FUNCTION_ON_COLUMN`, `LEADING_WILDCARD`, `MISSING_LIMIT`.
    1: required string code
    // `info`, `warning` or `critical`.
    2: required string severity
    // One line.
    3: required string title
    // Why it matters.
    4: required string reason
    // What was seen: the node, the numbers, the piece of SQL.
    5: required string evidence
    // What to change.
    6: required string proposal
    // The plan node it is about.
    7: optional i32 node_id
}

struct DbAnalyzeQueryResponse {
    // `sqlite`, `postgres` or `mariadb`.
    1: required string engine
    // Pre-order; see DbPlanNode.
    2: required list<DbPlanNode> nodes
    // The worst first.
    3: required list<DbFinding> findings
    // Whether the statement was run.
    4: required bool analyzed
    // Time to plan, in milliseconds, where the engine says so.
    5: optional double planning_ms
    // Time to run, in milliseconds; with `analyze`.
    6: optional double execution_ms
    255: optional base.BaseResp base_resp
}

struct DbGetIndexSuggestionsRequest {
    // The registered database.
    1: required string database
    // Advise for the statements seen on this table (its recent digests). Exactly one of `table` and `sql`.
    2: optional string table
    // Advise for this statement: a SELECT over one table.
    3: optional string sql
    // One for each `?` of `sql`.
    4: optional list<DbValue> params
    // Rows of the table that are copied to measure on; 1,000 to 200,000, default 100,000.
    5: optional i32 sample_rows
    // Longest run time, in milliseconds; 1 to 120,000.
    6: optional i64 timeout_ms
    255: optional base.Base base
}

// What an index changed on the copy.
struct DbMeasuredGain {
    // Median time without it, in microseconds.
    1: required i64 before_us
    // Median time with it, in microseconds.
    2: required i64 after_us
    // `before_us` ÷ `after_us`.
    3: required double speedup
    // Rows examined without it, where the engine says so.
    4: optional i64 rows_examined_before
    // Rows examined with it, where the engine says so.
    5: optional i64 rows_examined_after
    // Rows of the copy.
    6: required i64 sample_rows
    // Whether the copy holds the whole table.
    7: required bool whole_table
}

// An index that is worth creating.
struct DbIndexSuggestion {
    // The table.
    1: required string table
    // Its columns in order.
    2: required list<string> columns
    // The statement that creates it, for this engine.
    3: required string ddl
    // Why these columns in this order.
    4: required string reason
    // Measured on a copy of a bounded sample.
    5: required DbMeasuredGain gain
    // The statement it was measured with, literals masked.
    6: required string statement
}

// A candidate that was not suggested, or a statement without one.
struct DbNoAdvice {
    // `existing_index`, `no_candidate`, `no_gain`, `not_single_table`, `table_too_small`, `not_measurable`.
    1: required string code
    // The reason for people: which index exists, what was measured.
    2: required string reason
    // The table, where known.
    3: optional string table
    // The columns of the candidate; empty where there was none.
    4: required list<string> columns
    // What was measured, where it was.
    5: optional DbMeasuredGain gain
    // The statement, literals masked.
    6: required string statement
}

struct DbGetIndexSuggestionsResponse {
    // The largest gain first.
    1: required list<DbIndexSuggestion> suggestions
    // The rest, each with its reason.
    2: required list<DbNoAdvice> no_advice
    255: optional base.BaseResp base_resp
}

struct DbGetSlowQueriesRequest {
    // The registered database.
    1: required string database
    // `total`, `mean` or `max` time, the largest first; default `total`.
    2: optional string order_by
    // Rows of the list; 1 to 1,000, default 50.
    3: optional i64 limit
    // Also statements that never reached the threshold; default false.
    4: optional bool include_fast
    255: optional base.Base base
}

// One bucket of a histogram of times.
struct DbTimeBucket {
    // Upper bound in microseconds, inclusive; -1 for the last, which has none.
    1: required i64 le_us
    // Executions in this bucket alone.
    2: required i64 count
}

// All executions of one statement shape through this instance since the start.
struct DbSlowQuery {
    // 16 hexadecimal digits: the same for other literals, parameters, IN-list lengths, white space and comments.
    1: required string digest
    // The shape: literals and placeholders as `?`.
    2: required string statement
    // Executions.
    3: required i64 calls
    // Of these, at or above the threshold.
    4: required i64 slow_calls
    // Of these, failed.
    5: required i64 failed_calls
    // Time of all, in microseconds.
    6: required i64 total_us
    // Mean time, in microseconds.
    7: required i64 mean_us
    // Longest time, in microseconds.
    8: required i64 max_us
    // 95th percentile, the upper bound of its bucket, in microseconds.
    9: required i64 p95_us
    // Rows returned by all.
    10: required i64 rows_returned
    // Rows changed by all.
    11: required i64 rows_affected
    // When it was first seen, in Unix milliseconds.
    12: required i64 first_seen_ms
    // When it was last seen, in Unix milliseconds.
    13: required i64 last_seen_ms
    // The slowest execution's text, literals masked.
    14: required string sample
    // The histogram; empty buckets are left out.
    15: required list<DbTimeBucket> buckets
}

struct DbGetSlowQueriesResponse {
    // In the order asked for.
    1: required list<DbSlowQuery> queries
    // The threshold of the database, in milliseconds.
    2: required i64 threshold_ms
    // Shapes that were forgotten because the table of shapes was full.
    3: required i64 evicted
    255: optional base.BaseResp base_resp
}
