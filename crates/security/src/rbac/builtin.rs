//! The roles that every tenant has.
//!
//! Three powers are kept apart (三权分立): the **system administrator** shapes the system, the **security administrator**
//! hands out access, the **audit administrator** reads the log. None can do another's work, and none of them touches
//! business data. `owner` holds everything and is what embedded defaults begin with; `operator` and `developer` are for the
//! people who run and who use the platform.

use super::{Pattern, Permission, Role};

/// Holds everything.
pub const OWNER: &str = "owner";
/// Shapes the system: cache namespaces, queues, exchanges, metrics, databases.
pub const SYSTEM_ADMIN: &str = "system-admin";
/// Hands out access.
pub const SECURITY_ADMIN: &str = "security-admin";
/// Reads and verifies the audit log.
pub const AUDIT_ADMIN: &str = "audit-admin";
/// Watches and intervenes.
pub const OPERATOR: &str = "operator";
/// Builds on the blocks.
pub const DEVELOPER: &str = "developer";

/// The three powers of which a principal holds one at most.
pub const ADMIN_ROLES: [&str; 3] = [SYSTEM_ADMIN, SECURITY_ADMIN, AUDIT_ADMIN];

struct Row {
    name: &'static str,
    summary: &'static str,
    operations: &'static [&'static str],
    granted_by: &'static [&'static str],
}

const ROWS: [Row; 6] = [
    Row {
        name: OWNER,
        summary: "Everything.",
        operations: &["*"],
        granted_by: &[],
    },
    Row {
        name: SYSTEM_ADMIN,
        summary: "Shapes the system: cache namespaces, queues, exchanges, subscriptions, metrics, databases. No data, no access, no audit log.",
        operations: &[
            "cache.stats",
            "cache.define_namespace",
            "cache.get_namespace",
            "cache.list_namespaces",
            "cache.delete_namespace",
            "queue.create_queue",
            "queue.delete_queue",
            "queue.bind",
            "queue.unbind",
            "queue.subscribe",
            "queue.unsubscribe",
            "queue.purge",
            "queue.list_queues",
            "queue.get_queue_info",
            "monitor.register_metric",
            "monitor.list_metrics",
            "monitor.get_metrics",
            "db.register_database",
            "db.remove_database",
            "db.list_databases",
            "lock.get",
            "lock.list",
            "health.check",
        ],
        granted_by: &[],
    },
    Row {
        name: SECURITY_ADMIN,
        summary: "Hands out access: tenants, keys, roles. No system, no data, no audit log.",
        operations: &["access.*"],
        granted_by: &[],
    },
    Row {
        name: AUDIT_ADMIN,
        summary: "Reads, exports and verifies the audit log; his own reads are recorded. Writes no record himself.",
        operations: &[
            "audit.query_logs",
            "audit.get_record",
            "audit.export_logs",
            "audit.get_statistics",
            "audit.verify",
        ],
        granted_by: &[],
    },
    Row {
        name: OPERATOR,
        summary: "Watches and intervenes: states, metrics, queue contents, slow queries, locks that nobody gives back.",
        operations: &[
            "cache.stats",
            "cache.get_namespace",
            "cache.list_namespaces",
            "cache.exists",
            "cache.delete",
            "cache.batch_delete",
            "queue.list_queues",
            "queue.get_queue_info",
            "queue.peek",
            "queue.purge",
            "monitor.get_metrics",
            "monitor.list_metrics",
            "db.list_databases",
            "db.analyze_query",
            "db.get_index_suggestions",
            "db.get_slow_queries",
            "lock.get",
            "lock.list",
            "lock.force_release",
            "health.check",
        ],
        granted_by: &[SECURITY_ADMIN],
    },
    Row {
        name: DEVELOPER,
        summary: "Builds on the blocks: data of cache, queue, metrics and databases, locks, and audit records of his own doing.",
        operations: &[
            "cache.set",
            "cache.get",
            "cache.delete",
            "cache.batch_*",
            "cache.exists",
            "cache.expire",
            "cache.get_and_touch",
            "cache.increment",
            "cache.append",
            "cache.scan",
            "cache.clear",
            "cache.invalidate_tags",
            "cache.get_or_lease",
            "cache.release_lease",
            "cache.refresh",
            "cache.preload",
            "cache.get_namespace",
            "cache.list_namespaces",
            "cache.stats",
            "cache.hot_keys",
            "queue.*",
            "monitor.*",
            "audit.log_operation",
            "audit.log_batch",
            "db.list_databases",
            "db.execute_query",
            "db.execute_transaction",
            "db.analyze_query",
            "db.get_index_suggestions",
            "db.get_slow_queries",
            "lock.acquire",
            "lock.renew",
            "lock.release",
            "lock.verify",
            "lock.get",
            "lock.list",
        ],
        granted_by: &[SECURITY_ADMIN],
    },
];

pub(super) fn roles() -> impl Iterator<Item = Role> {
    ROWS.iter().map(|row| Role {
        name: row.name.into(),
        summary: row.summary.to_owned(),
        permissions: row
            .operations
            .iter()
            .map(|operations| Permission {
                operations: Pattern::literal(operations),
                resources: Pattern::literal("*"),
            })
            .collect(),
        granted_by: row.granted_by.iter().map(|name| (*name).into()).collect(),
    })
}
