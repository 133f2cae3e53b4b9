//! The rows of the catalogue.

use plinth_core::{OperationId, limits};

use super::{AuditRule, Operation, Reach};

/// A row of the data plane that only reads; the other kinds differ from it by what they name.
const READ: Operation = Operation {
    id: OperationId::new(""),
    block: "",
    thrift_method: "",
    http_method: "",
    http_path: "",
    summary: "",
    mutates: false,
    takes_idempotency_key: false,
    audit: AuditRule::Unless,
    reach: Reach::Permission,
    long_poll: false,
    deadline_ms_default: 10_000,
    deadline_ms_max: limits::DEADLINE_MS_MAX,
};
/// A row of the data plane that changes something.
const WRITE: Operation = Operation {
    mutates: true,
    ..READ
};
/// A row of the data plane that changes something, once for each idempotency key.
const WRITE_ONCE: Operation = Operation {
    takes_idempotency_key: true,
    ..WRITE
};
/// A row that waits for something to happen.
const WAIT: Operation = Operation {
    long_poll: true,
    ..WRITE
};
/// A row of administration: audited.
const ADMIN: Operation = Operation {
    audit: AuditRule::Always,
    ..WRITE
};
/// A row that reads what is itself sensitive: audited.
const AUDITED_READ: Operation = Operation {
    audit: AuditRule::Always,
    ..READ
};
/// A row that runs SQL: audited where it writes.
const SQL: Operation = Operation {
    audit: AuditRule::Writes,
    deadline_ms_default: 30_000,
    ..WRITE
};

macro_rules! catalogue {
    ($( $kind:ident $name:ident $id:literal $block:literal $thrift:literal $method:literal $path:literal $summary:literal
        $({ $($field:ident : $value:expr),* })?; )*) => {
        /// One constant for each operation, named after its id.
        pub(super) mod named {
            use super::*;
            $( #[doc = $summary]
            pub static $name: Operation = Operation {
                id: OperationId::new($id), block: $block, thrift_method: $thrift, http_method: $method,
                http_path: $path, summary: $summary, $($($field: $value,)*)? ..$kind
            }; )*
        }
        /// The whole table.
        pub(super) static OPERATIONS: &[&Operation] = &[ $( &named::$name, )* ];
    };
}

catalogue! {
    WRITE CACHE_SET "cache.set" "cache" "CacheSet" "PUT" "/v1/cache/{namespace}/entries/{key}"
        "Stores one value.";
    READ CACHE_GET "cache.get" "cache" "CacheGet" "GET" "/v1/cache/{namespace}/entries/{key}"
        "Reads one value.";
    WRITE CACHE_DELETE "cache.delete" "cache" "CacheDelete" "DELETE" "/v1/cache/{namespace}/entries/{key}"
        "Deletes one entry.";
    WRITE CACHE_BATCH_SET "cache.batch_set" "cache" "CacheBatchSet" "POST" "/v1/cache/{namespace}/batch-set"
        "Stores many values, all or nothing unless told otherwise.";
    READ CACHE_BATCH_GET "cache.batch_get" "cache" "CacheBatchGet" "POST" "/v1/cache/{namespace}/batch-get"
        "Reads many values.";
    WRITE CACHE_BATCH_DELETE "cache.batch_delete" "cache" "CacheBatchDelete" "POST" "/v1/cache/{namespace}/batch-delete"
        "Deletes many entries.";
    READ CACHE_EXISTS "cache.exists" "cache" "CacheExists" "POST" "/v1/cache/{namespace}/exists"
        "Tells which keys are present.";
    WRITE CACHE_EXPIRE "cache.expire" "cache" "CacheExpire" "PUT" "/v1/cache/{namespace}/entries/{key}/expiry"
        "Changes the expiry of one entry.";
    WRITE CACHE_GET_AND_TOUCH "cache.get_and_touch" "cache" "CacheGetAndTouch" "POST" "/v1/cache/{namespace}/entries/{key}/touch"
        "Reads one value and gives it a new expiry.";
    WRITE_ONCE CACHE_INCREMENT "cache.increment" "cache" "CacheIncrement" "POST" "/v1/cache/{namespace}/entries/{key}/increment"
        "Adds to a counter within its bounds.";
    WRITE_ONCE CACHE_APPEND "cache.append" "cache" "CacheAppend" "POST" "/v1/cache/{namespace}/entries/{key}/append"
        "Adds bytes at the end of a value.";
    READ CACHE_SCAN "cache.scan" "cache" "CacheScan" "GET" "/v1/cache/{namespace}/entries"
        "Walks the keys of a namespace by prefix, in pages.";
    WRITE CACHE_CLEAR "cache.clear" "cache" "CacheClear" "POST" "/v1/cache/{namespace}/clear"
        "Removes everything of a namespace.";
    WRITE CACHE_INVALIDATE_TAGS "cache.invalidate_tags" "cache" "CacheInvalidateTags" "POST" "/v1/cache/{namespace}/invalidate-tags"
        "Makes every entry absent that carries one of the tags.";
    WAIT CACHE_GET_OR_LEASE "cache.get_or_lease" "cache" "CacheGetOrLease" "POST" "/v1/cache/{namespace}/entries/{key}/lease"
        "Reads one value; on a miss one caller is asked to fill it, the others wait.";
    WRITE CACHE_RELEASE_LEASE "cache.release_lease" "cache" "CacheReleaseLease" "POST" "/v1/cache/{namespace}/entries/{key}/lease/release"
        "Gives a lease back without a value.";
    ADMIN CACHE_DEFINE_NAMESPACE "cache.define_namespace" "cache" "CacheDefineNamespace" "PUT" "/v1/cache/{namespace}/definition"
        "Defines how the values of a namespace live.";
    READ CACHE_GET_NAMESPACE "cache.get_namespace" "cache" "CacheGetNamespace" "GET" "/v1/cache/{namespace}/definition"
        "Shows the definition of a namespace.";
    READ CACHE_LIST_NAMESPACES "cache.list_namespaces" "cache" "CacheListNamespaces" "GET" "/v1/cache"
        "Lists the namespaces that have a definition.";
    ADMIN CACHE_DELETE_NAMESPACE "cache.delete_namespace" "cache" "CacheDeleteNamespace" "DELETE" "/v1/cache/{namespace}/definition"
        "Removes the definition of a namespace; its values stay.";
    WRITE CACHE_REFRESH "cache.refresh" "cache" "CacheRefresh" "POST" "/v1/cache/{namespace}/refresh"
        "Loads keys anew, whatever stands under them.";
    WRITE CACHE_PRELOAD "cache.preload" "cache" "CachePreload" "POST" "/v1/cache/{namespace}/preload"
        "Loads the keys under which nothing fresh stands.";
    READ CACHE_HOT_KEYS "cache.hot_keys" "cache" "CacheHotKeys" "GET" "/v1/cache/{namespace}/hot-keys"
        "Names the keys of a namespace that are read most.";
    READ CACHE_STATS "cache.stats" "cache" "CacheStats" "GET" "/v1/cache/{namespace}/stats"
        "Statistics of a namespace.";
    WRITE_ONCE QUEUE_PUBLISH "queue.publish" "queue" "QueuePublish" "POST" "/v1/queue/publish"
        "Publishes one message.";
    WRITE_ONCE QUEUE_PUBLISH_BATCH "queue.publish_batch" "queue" "QueuePublishBatch" "POST" "/v1/queue/publish-batch"
        "Publishes many messages in one transaction.";
    ADMIN QUEUE_SUBSCRIBE "queue.subscribe" "queue" "QueueSubscribe" "PUT" "/v1/queue/subscriptions/{subscription}"
        "Declares a durable subscription, polled or pushed.";
    ADMIN QUEUE_UNSUBSCRIBE "queue.unsubscribe" "queue" "QueueUnsubscribe" "DELETE" "/v1/queue/subscriptions/{subscription}"
        "Ends a subscription.";
    WAIT QUEUE_RECEIVE "queue.receive" "queue" "QueueReceive" "POST" "/v1/queue/receive"
        "Leases messages, waiting for them if asked.";
    WRITE QUEUE_ACK "queue.ack" "queue" "QueueAck" "POST" "/v1/queue/ack"
        "Settles leased messages as done.";
    WRITE QUEUE_RETRY "queue.retry" "queue" "QueueRetry" "POST" "/v1/queue/retry"
        "Hands leased messages back for another attempt.";
    WRITE QUEUE_DEAD "queue.dead" "queue" "QueueDead" "POST" "/v1/queue/dead"
        "Moves leased messages to the dead-letter queue.";
    ADMIN QUEUE_CREATE_QUEUE "queue.create_queue" "queue" "QueueCreateQueue" "PUT" "/v1/queue/queues/{queue}"
        "Declares a queue.";
    ADMIN QUEUE_DELETE_QUEUE "queue.delete_queue" "queue" "QueueDeleteQueue" "DELETE" "/v1/queue/queues/{queue}"
        "Deletes a queue and its messages.";
    READ QUEUE_LIST_QUEUES "queue.list_queues" "queue" "QueueListQueues" "GET" "/v1/queue/queues"
        "Lists queues with their depths.";
    READ QUEUE_GET_QUEUE_INFO "queue.get_queue_info" "queue" "QueueGetQueueInfo" "GET" "/v1/queue/queues/{queue}"
        "One queue: options, depths, bindings, rates.";
    ADMIN QUEUE_BIND "queue.bind" "queue" "QueueBind" "POST" "/v1/queue/bindings"
        "Binds a queue to an exchange, declaring the exchange.";
    ADMIN QUEUE_UNBIND "queue.unbind" "queue" "QueueUnbind" "POST" "/v1/queue/bindings/remove"
        "Removes a binding.";
    READ QUEUE_PEEK "queue.peek" "queue" "QueuePeek" "GET" "/v1/queue/queues/{queue}/messages"
        "Shows messages without leasing them.";
    ADMIN QUEUE_PURGE "queue.purge" "queue" "QueuePurge" "POST" "/v1/queue/queues/{queue}/purge"
        "Deletes messages of a queue.";
    WRITE_ONCE MONITOR_RECORD_METRIC "monitor.record_metric" "monitor" "MonitorRecordMetric" "POST" "/v1/monitor/record-metric"
        "Records one sample of any metric.";
    WRITE_ONCE MONITOR_RECORD_BATCH "monitor.record_batch" "monitor" "MonitorRecordBatch" "POST" "/v1/monitor/record-batch"
        "Records many samples.";
    WRITE_ONCE MONITOR_INCREMENT_COUNTER "monitor.increment_counter" "monitor" "MonitorIncrementCounter" "POST" "/v1/monitor/increment-counter"
        "Adds to a counter.";
    WRITE_ONCE MONITOR_RECORD_HISTOGRAM "monitor.record_histogram" "monitor" "MonitorRecordHistogram" "POST" "/v1/monitor/record-histogram"
        "Puts observations into a histogram.";
    WRITE_ONCE MONITOR_SET_GAUGE "monitor.set_gauge" "monitor" "MonitorSetGauge" "POST" "/v1/monitor/set-gauge"
        "Sets a gauge.";
    READ MONITOR_GET_METRICS "monitor.get_metrics" "monitor" "MonitorGetMetrics" "POST" "/v1/monitor/get-metrics"
        "Queries samples over a range, stepped and aggregated.";
    ADMIN MONITOR_REGISTER_METRIC "monitor.register_metric" "monitor" "MonitorRegisterMetric" "PUT" "/v1/monitor/metrics/{metric}"
        "Registers a metric.";
    READ MONITOR_LIST_METRICS "monitor.list_metrics" "monitor" "MonitorListMetrics" "GET" "/v1/monitor/metrics"
        "Lists registered metrics with their usage.";
    WRITE_ONCE AUDIT_LOG_OPERATION "audit.log_operation" "audit" "AuditLogOperation" "POST" "/v1/audit/records"
        "Appends one record.";
    WRITE_ONCE AUDIT_LOG_BATCH "audit.log_batch" "audit" "AuditLogBatch" "POST" "/v1/audit/records/batch"
        "Appends many records in one commit.";
    AUDITED_READ AUDIT_QUERY_LOGS "audit.query_logs" "audit" "AuditQueryLogs" "POST" "/v1/audit/query"
        "Finds records by many conditions, paged.";
    AUDITED_READ AUDIT_GET_RECORD "audit.get_record" "audit" "AuditGetRecord" "GET" "/v1/audit/records/{record}"
        "One record with its inclusion proof.";
    AUDITED_READ AUDIT_EXPORT_LOGS "audit.export_logs" "audit" "AuditExportLogs" "POST" "/v1/audit/export"
        "Exports matching records as CSV or JSON lines, in pieces.";
    AUDITED_READ AUDIT_GET_STATISTICS "audit.get_statistics" "audit" "AuditGetStatistics" "POST" "/v1/audit/statistics"
        "Counts by time, operator, type, resource and result.";
    AUDITED_READ AUDIT_VERIFY "audit.verify" "audit" "AuditVerify" "POST" "/v1/audit/verify"
        "Verifies the log against its checkpoints.";
    ADMIN DB_REGISTER_DATABASE "db.register_database" "db" "DbRegisterDatabase" "PUT" "/v1/db/databases/{database}"
        "Registers a named database.";
    READ DB_LIST_DATABASES "db.list_databases" "db" "DbListDatabases" "GET" "/v1/db/databases"
        "Lists registered databases with their pools.";
    ADMIN DB_REMOVE_DATABASE "db.remove_database" "db" "DbRemoveDatabase" "DELETE" "/v1/db/databases/{database}"
        "Removes a registered database.";
    SQL DB_EXECUTE_QUERY "db.execute_query" "db" "DbExecuteQuery" "POST" "/v1/db/databases/{database}/query"
        "Runs one statement.";
    SQL DB_EXECUTE_TRANSACTION "db.execute_transaction" "db" "DbExecuteTransaction" "POST" "/v1/db/databases/{database}/transaction"
        "Runs steps, all or nothing." { takes_idempotency_key: true };
    READ DB_ANALYZE_QUERY "db.analyze_query" "db" "DbAnalyzeQuery" "POST" "/v1/db/databases/{database}/analyze"
        "Explains a query and says what is wrong with it.";
    READ DB_GET_INDEX_SUGGESTIONS "db.get_index_suggestions" "db" "DbGetIndexSuggestions" "POST" "/v1/db/databases/{database}/index-suggestions"
        "Suggests indexes with their measured gain.";
    READ DB_GET_SLOW_QUERIES "db.get_slow_queries" "db" "DbGetSlowQueries" "GET" "/v1/db/databases/{database}/slow-queries"
        "Lists the slowest statements by digest.";
    WAIT LOCK_ACQUIRE "lock.acquire" "lock" "LockAcquire" "POST" "/v1/lock/acquire"
        "Acquires locks, waiting for them in order if asked." { takes_idempotency_key: true };
    WRITE LOCK_RENEW "lock.renew" "lock" "LockRenew" "POST" "/v1/lock/renew"
        "Begins leases anew.";
    WRITE LOCK_RELEASE "lock.release" "lock" "LockRelease" "POST" "/v1/lock/release"
        "Releases held locks.";
    READ LOCK_VERIFY "lock.verify" "lock" "LockVerify" "POST" "/v1/lock/verify"
        "Checks a fencing token, and watches for its loss if asked." { long_poll: true };
    READ LOCK_GET "lock.get" "lock" "LockGet" "GET" "/v1/lock/locks/{lock}"
        "One lock: who holds it, who waits for whom.";
    READ LOCK_LIST "lock.list" "lock" "LockList" "GET" "/v1/lock/locks"
        "Lists locks in use.";
    ADMIN LOCK_FORCE_RELEASE "lock.force_release" "lock" "LockForceRelease" "POST" "/v1/lock/locks/{lock}/force-release"
        "Ends leases against their holders' will.";
    ADMIN ACCESS_CREATE_TENANT "access.create_tenant" "access" "AccessCreateTenant" "POST" "/v1/access/tenants"
        "Creates a tenant and its first owner key." { reach: Reach::Platform, takes_idempotency_key: true };
    ADMIN ACCESS_CREATE_KEY "access.create_key" "access" "AccessCreateKey" "POST" "/v1/access/keys"
        "Creates an API key; its text is shown once." { takes_idempotency_key: true };
    AUDITED_READ ACCESS_LIST_KEYS "access.list_keys" "access" "AccessListKeys" "GET" "/v1/access/keys"
        "Lists API keys without their secrets.";
    ADMIN ACCESS_REVOKE_KEY "access.revoke_key" "access" "AccessRevokeKey" "POST" "/v1/access/keys/{key_id}/revoke"
        "Revokes an API key.";
    ADMIN ACCESS_BIND_ROLE "access.bind_role" "access" "AccessBindRole" "POST" "/v1/access/bindings"
        "Gives a principal a role.";
    ADMIN ACCESS_UNBIND_ROLE "access.unbind_role" "access" "AccessUnbindRole" "POST" "/v1/access/bindings/remove"
        "Takes a role from a principal.";
    AUDITED_READ ACCESS_LIST_BINDINGS "access.list_bindings" "access" "AccessListBindings" "GET" "/v1/access/bindings"
        "Lists who holds which role.";
    READ ACCESS_WHO_AM_I "access.who_am_i" "access" "AccessWhoAmI" "GET" "/v1/access/who-am-i"
        "Tells the caller who it is." { reach: Reach::Authenticated };
    READ HEALTH_CHECK "health.check" "health" "Health" "GET" "/v1/health"
        "Health of the instance and its dependencies." { reach: Reach::Authenticated };
}
