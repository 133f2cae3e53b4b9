//! The rows.

use super::{Criterion, criterion};

const SCENARIOS: [&str; 7] = [
    "crates/testkit/src/scenarios/cache.rs",
    "crates/testkit/src/scenarios/queue.rs",
    "crates/testkit/src/scenarios/monitor.rs",
    "crates/testkit/src/scenarios/audit.rs",
    "crates/testkit/src/scenarios/db.rs",
    "crates/testkit/src/scenarios/access.rs",
    "crates/testkit/src/scenarios/lock.rs",
];

/// The table, in the order of the requirements.
pub(super) const TABLE: &[Criterion] = &[
    criterion(
        "1.1",
        "values with an expiry",
        &[
            "cache.set",
            "cache.expire",
            "cache.get_and_touch",
            "cache.increment",
            "cache.append",
            "cache.define_namespace",
            "cache.get_namespace",
            "cache.list_namespaces",
            "cache.delete_namespace",
        ],
        &[
            "crates/cache/tests/property_01_cache_consistency.rs",
            "crates/cache/tests/contract/main.rs",
            SCENARIOS[0],
        ],
    ),
    criterion(
        "1.2",
        "the live value or a clear absent",
        &[
            "cache.get",
            "cache.exists",
            "cache.batch_get",
            "cache.scan",
            "cache.get_or_lease",
            "cache.release_lease",
        ],
        &[
            "crates/cache/tests/property_01_cache_consistency.rs",
            "crates/cache/tests/property_11_cache_expiry_precision.rs",
            "crates/cache/tests/property_11_cache_loaded_values.rs",
        ],
    ),
    criterion(
        "1.3",
        "delete, refresh, gone at the millisecond",
        &[
            "cache.delete",
            "cache.expire",
            "cache.clear",
            "cache.invalidate_tags",
            "cache.refresh",
            "cache.preload",
        ],
        &[
            "crates/cache/tests/property_11_cache_expiry_precision.rs",
            "crates/cache/tests/property_11_cache_loaded_values.rs",
            "crates/cache/tests/loading/main.rs",
        ],
    ),
    criterion(
        "1.4",
        "a failing operation returns a precise error",
        &["cache.set", "cache.stats", "cache.hot_keys"],
        &[SCENARIOS[0]],
    ),
    criterion(
        "1.5",
        "batches, all or nothing where asked",
        &["cache.batch_set", "cache.batch_get", "cache.batch_delete"],
        &["crates/cache/tests/property_02_cache_batch_atomicity.rs"],
    ),
    criterion(
        "2.1",
        "a change of status publishes a notification",
        &["queue.publish", "queue.bind", "queue.unbind"],
        &[
            "crates/queue/tests/property_03_queue_confirmed_publish_is_received.rs",
            "examples/merchant-onboarding/tests/onboarding.rs",
        ],
    ),
    criterion(
        "2.2",
        "asynchronous work goes to a named queue",
        &[
            "queue.create_queue",
            "queue.publish_batch",
            "queue.subscribe",
            "queue.unsubscribe",
        ],
        &[
            "crates/queue/tests/contract.rs",
            "crates/queue/tests/webhook.rs",
            SCENARIOS[1],
        ],
    ),
    criterion(
        "2.3",
        "delivery is reliable and acknowledged",
        &["queue.receive", "queue.ack"],
        &[
            "crates/queue/tests/property_03_queue_confirmed_publish_is_received.rs",
            "crates/queue/tests/restart.rs",
        ],
    ),
    criterion(
        "2.4",
        "failure: retry by policy, then dead letters",
        &["queue.retry", "queue.dead"],
        &["crates/queue/tests/property_04_queue_retry_then_dead_letter.rs"],
    ),
    criterion(
        "2.5",
        "priorities, delay; create, delete, inspect",
        &[
            "queue.list_queues",
            "queue.get_queue_info",
            "queue.delete_queue",
            "queue.peek",
            "queue.purge",
        ],
        &[
            "crates/queue/tests/property_12_queue_priority.rs",
            "crates/queue/tests/contract.rs",
            SCENARIOS[1],
        ],
    ),
    criterion(
        "3.1",
        "business and system metrics are collected",
        &[
            "monitor.record_metric",
            "monitor.record_batch",
            "monitor.increment_counter",
            "monitor.record_histogram",
            "monitor.set_gauge",
        ],
        &[
            "crates/monitor/tests/property_05_monitor_metrics_complete.rs",
            "crates/monitor/tests/property_05_monitor_queries_match_naive.rs",
            "crates/monitor/tests/contract.rs",
        ],
    ),
    criterion(
        "3.4",
        "custom metrics can be registered",
        &["monitor.register_metric", "monitor.list_metrics"],
        &["crates/monitor/tests/contract.rs", SCENARIOS[2]],
    ),
    criterion(
        "3.5",
        "metrics are queryable in real time",
        &["monitor.get_metrics"],
        &["crates/monitor/tests/property_05_monitor_metrics_complete.rs"],
    ),
    criterion(
        "4.1",
        "every key operation leaves a complete record",
        &["audit.log_operation", "audit.log_batch"],
        &["crates/audit/tests/property_06_audit_complete_and_tamper_evident.rs"],
    ),
    criterion(
        "4.2",
        "who, when, what, on what, from where, result",
        &["audit.log_operation", "audit.get_record"],
        &["crates/audit/tests/contract/writing.rs", SCENARIOS[3]],
    ),
    criterion(
        "4.3",
        "queries by many conditions, with paging",
        &[
            "audit.query_logs",
            "audit.get_statistics",
            "audit.export_logs",
        ],
        &["crates/audit/tests/property_14_audit_query_exact_and_paged.rs"],
    ),
    criterion(
        "4.4",
        "complete, and not altered unnoticed",
        &["audit.verify", "audit.get_record"],
        &[
            "crates/audit/tests/property_06_audit_complete_and_tamper_evident.rs",
            "crates/audit/tests/tamper/main.rs",
            "crates/audit/tests/rfc6962.rs",
        ],
    ),
    criterion(
        "5.1",
        "complex queries get an optimised index strategy",
        &["db.get_index_suggestions"],
        &["crates/database/tests/suggestions.rs"],
    ),
    criterion(
        "5.2",
        "paging of large results",
        &["db.execute_query"],
        &["crates/database/tests/contract/statements.rs", SCENARIOS[4]],
    ),
    criterion(
        "5.4",
        "query analysis and advice",
        &["db.analyze_query", "db.get_index_suggestions"],
        &[
            "crates/database/tests/findings.rs",
            "crates/database/tests/suggestions.rs",
        ],
    ),
    criterion(
        "5.5",
        "slow statements are watched",
        &["db.get_slow_queries"],
        &["crates/database/tests/contract/statements.rs"],
    ),
    criterion(
        "6.3",
        "graceful shutdown, fast recovery",
        &["health.check"],
        &[
            "crates/store/tests/durability.rs",
            "crates/queue/tests/restart.rs",
            "examples/merchant-onboarding/tests/onboarding.rs",
        ],
    ),
    criterion(
        "6.4",
        "health checks fit for discovery",
        &["health.check"],
        &["crates/resilience/tests/property_17_resilience_health.rs"],
    ),
    criterion(
        "7.2",
        "connection pools and reuse",
        &[
            "db.register_database",
            "db.list_databases",
            "db.remove_database",
        ],
        &["crates/database/tests/property_15_database_connections.rs"],
    ),
    criterion(
        "7.3",
        "concurrent access stays consistent",
        &[
            "cache.set",
            "db.execute_transaction",
            "lock.acquire",
            "lock.renew",
            "lock.release",
            "lock.verify",
            "lock.get",
            "lock.list",
            "lock.force_release",
        ],
        &[
            "crates/cache/tests/property_09_cache_compare_and_set.rs",
            "crates/database/tests/contract/transactions.rs",
            "crates/store/tests/property_09_store_serial_order.rs",
            "crates/lock/tests/property_09_lock_exclusion.rs",
            "crates/lock/tests/contract.rs",
            "crates/lock/tests/restart.rs",
            SCENARIOS[6],
        ],
    ),
    criterion(
        "8.3",
        "roles, authentication, permission tracing",
        &[
            "access.create_tenant",
            "access.create_key",
            "access.list_keys",
            "access.revoke_key",
            "access.bind_role",
            "access.unbind_role",
            "access.list_bindings",
            "access.who_am_i",
        ],
        &[
            "crates/security/tests/rbac_properties.rs",
            "crates/plinth/tests/gate_coverage/main.rs",
            "crates/security/tests/api_key_properties.rs",
            SCENARIOS[5],
        ],
    ),
    criterion(
        "IDL",
        "every field survives, required is required",
        &[],
        &["crates/rpc/tests/property_01_idl_roundtrip.rs"],
    ),
    criterion(
        "6.2",
        "overload does not avalanche",
        &[],
        &["crates/resilience/tests/property_08_resilience_guards.rs"],
    ),
];
