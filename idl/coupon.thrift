// The file that the platform's clients generate from: one flat service over the structs of support/*.thrift.
namespace go coupon
namespace py coupon
namespace java coupon
namespace js coupon

include "support/common.thrift"
include "support/cache.thrift"
include "support/queue.thrift"
include "support/monitor.thrift"
include "support/audit.thrift"
include "support/db.thrift"
include "support/lock.thrift"
include "support/access.thrift"
include "support/health.thrift"

// The support plane. Every method throws `SupportError` alone; transport faults are the protocol's own exceptions.
service CouponService {
    // ---- Cache ----
    // Stores one value. Operation `cache.set`.
    cache.CacheSetResponse CacheSet(1: cache.CacheSetRequest request) throws (1: common.SupportError error) (api.put = "/v1/cache/:namespace/entries/:key")
    // Reads one value. Operation `cache.get`.
    cache.CacheGetResponse CacheGet(1: cache.CacheGetRequest request) throws (1: common.SupportError error) (api.get = "/v1/cache/:namespace/entries/:key")
    // Deletes one entry. Operation `cache.delete`.
    cache.CacheDeleteResponse CacheDelete(1: cache.CacheDeleteRequest request) throws (1: common.SupportError error) (api.delete = "/v1/cache/:namespace/entries/:key")
    // Stores many values, all or nothing unless told otherwise. Operation `cache.batch_set`.
    cache.CacheBatchSetResponse CacheBatchSet(1: cache.CacheBatchSetRequest request) throws (1: common.SupportError error) (api.post = "/v1/cache/:namespace/batch-set")
    // Reads many values. Operation `cache.batch_get`.
    cache.CacheBatchGetResponse CacheBatchGet(1: cache.CacheBatchGetRequest request) throws (1: common.SupportError error) (api.post = "/v1/cache/:namespace/batch-get")
    // Deletes many entries. Operation `cache.batch_delete`.
    cache.CacheBatchDeleteResponse CacheBatchDelete(1: cache.CacheBatchDeleteRequest request) throws (1: common.SupportError error) (api.post = "/v1/cache/:namespace/batch-delete")
    // Tells which keys are present. Operation `cache.exists`.
    cache.CacheExistsResponse CacheExists(1: cache.CacheExistsRequest request) throws (1: common.SupportError error) (api.post = "/v1/cache/:namespace/exists")
    // Changes the expiry of one entry. Operation `cache.expire`.
    cache.CacheExpireResponse CacheExpire(1: cache.CacheExpireRequest request) throws (1: common.SupportError error) (api.put = "/v1/cache/:namespace/entries/:key/expiry")
    // Reads one value and gives it a new expiry. Operation `cache.get_and_touch`.
    cache.CacheGetAndTouchResponse CacheGetAndTouch(1: cache.CacheGetAndTouchRequest request) throws (1: common.SupportError error) (api.post = "/v1/cache/:namespace/entries/:key/touch")
    // Adds to a counter within its bounds. Operation `cache.increment`.
    cache.CacheIncrementResponse CacheIncrement(1: cache.CacheIncrementRequest request) throws (1: common.SupportError error) (api.post = "/v1/cache/:namespace/entries/:key/increment")
    // Adds bytes at the end of a value. Operation `cache.append`.
    cache.CacheAppendResponse CacheAppend(1: cache.CacheAppendRequest request) throws (1: common.SupportError error) (api.post = "/v1/cache/:namespace/entries/:key/append")
    // Walks the keys of a namespace by prefix, in pages. Operation `cache.scan`.
    cache.CacheScanResponse CacheScan(1: cache.CacheScanRequest request) throws (1: common.SupportError error) (api.get = "/v1/cache/:namespace/entries")
    // Removes everything of a namespace. Operation `cache.clear`.
    cache.CacheClearResponse CacheClear(1: cache.CacheClearRequest request) throws (1: common.SupportError error) (api.post = "/v1/cache/:namespace/clear")
    // Makes every entry absent that carries one of the tags. Operation `cache.invalidate_tags`.
    cache.CacheInvalidateTagsResponse CacheInvalidateTags(1: cache.CacheInvalidateTagsRequest request) throws (1: common.SupportError error) (api.post = "/v1/cache/:namespace/invalidate-tags")
    // Reads one value; on a miss one caller is asked to fill it, the others wait. Operation `cache.get_or_lease`.
    cache.CacheGetOrLeaseResponse CacheGetOrLease(1: cache.CacheGetOrLeaseRequest request) throws (1: common.SupportError error) (api.post = "/v1/cache/:namespace/entries/:key/lease")
    // Gives a lease back without a value. Operation `cache.release_lease`.
    cache.CacheReleaseLeaseResponse CacheReleaseLease(1: cache.CacheReleaseLeaseRequest request) throws (1: common.SupportError error) (api.post = "/v1/cache/:namespace/entries/:key/lease/release")
    // Defines how the values of a namespace live. Operation `cache.define_namespace`.
    cache.CacheDefineNamespaceResponse CacheDefineNamespace(1: cache.CacheDefineNamespaceRequest request) throws (1: common.SupportError error) (api.put = "/v1/cache/:namespace/definition")
    // Shows the definition of a namespace. Operation `cache.get_namespace`.
    cache.CacheGetNamespaceResponse CacheGetNamespace(1: cache.CacheGetNamespaceRequest request) throws (1: common.SupportError error) (api.get = "/v1/cache/:namespace/definition")
    // Lists the namespaces that have a definition. Operation `cache.list_namespaces`.
    cache.CacheListNamespacesResponse CacheListNamespaces(1: cache.CacheListNamespacesRequest request) throws (1: common.SupportError error) (api.get = "/v1/cache")
    // Removes the definition of a namespace; its values stay. Operation `cache.delete_namespace`.
    cache.CacheDeleteNamespaceResponse CacheDeleteNamespace(1: cache.CacheDeleteNamespaceRequest request) throws (1: common.SupportError error) (api.delete = "/v1/cache/:namespace/definition")
    // Loads keys anew, whatever stands under them. Operation `cache.refresh`.
    cache.CacheRefreshResponse CacheRefresh(1: cache.CacheRefreshRequest request) throws (1: common.SupportError error) (api.post = "/v1/cache/:namespace/refresh")
    // Loads the keys under which nothing fresh stands. Operation `cache.preload`.
    cache.CachePreloadResponse CachePreload(1: cache.CachePreloadRequest request) throws (1: common.SupportError error) (api.post = "/v1/cache/:namespace/preload")
    // Statistics of a namespace. Operation `cache.stats`.
    cache.CacheHotKeysResponse CacheHotKeys(1: cache.CacheHotKeysRequest request) throws (1: common.SupportError error) (api.get = "/v1/cache/:namespace/hot-keys")
    cache.CacheStatsResponse CacheStats(1: cache.CacheStatsRequest request) throws (1: common.SupportError error) (api.get = "/v1/cache/:namespace/stats")
    // ---- Queue ----
    // Publishes one message. Operation `queue.publish`.
    queue.QueuePublishResponse QueuePublish(1: queue.QueuePublishRequest request) throws (1: common.SupportError error) (api.post = "/v1/queue/publish")
    // Publishes many messages in one transaction. Operation `queue.publish_batch`.
    queue.QueuePublishBatchResponse QueuePublishBatch(1: queue.QueuePublishBatchRequest request) throws (1: common.SupportError error) (api.post = "/v1/queue/publish-batch")
    // Declares a durable subscription, polled or pushed. Operation `queue.subscribe`.
    queue.QueueSubscribeResponse QueueSubscribe(1: queue.QueueSubscribeRequest request) throws (1: common.SupportError error) (api.put = "/v1/queue/subscriptions/:subscription")
    // Ends a subscription. Operation `queue.unsubscribe`.
    queue.QueueUnsubscribeResponse QueueUnsubscribe(1: queue.QueueUnsubscribeRequest request) throws (1: common.SupportError error) (api.delete = "/v1/queue/subscriptions/:subscription")
    // Leases messages, waiting for them if asked. Operation `queue.receive`.
    queue.QueueReceiveResponse QueueReceive(1: queue.QueueReceiveRequest request) throws (1: common.SupportError error) (api.post = "/v1/queue/receive")
    // Settles leased messages as done. Operation `queue.ack`.
    queue.QueueAckResponse QueueAck(1: queue.QueueAckRequest request) throws (1: common.SupportError error) (api.post = "/v1/queue/ack")
    // Hands leased messages back for another attempt. Operation `queue.retry`.
    queue.QueueRetryResponse QueueRetry(1: queue.QueueRetryRequest request) throws (1: common.SupportError error) (api.post = "/v1/queue/retry")
    // Moves leased messages to the dead-letter queue. Operation `queue.dead`.
    queue.QueueDeadResponse QueueDead(1: queue.QueueDeadRequest request) throws (1: common.SupportError error) (api.post = "/v1/queue/dead")
    // Declares a queue. Operation `queue.create_queue`.
    queue.QueueCreateQueueResponse QueueCreateQueue(1: queue.QueueCreateQueueRequest request) throws (1: common.SupportError error) (api.put = "/v1/queue/queues/:queue")
    // Deletes a queue and its messages. Operation `queue.delete_queue`.
    queue.QueueDeleteQueueResponse QueueDeleteQueue(1: queue.QueueDeleteQueueRequest request) throws (1: common.SupportError error) (api.delete = "/v1/queue/queues/:queue")
    // Lists queues with their depths. Operation `queue.list_queues`.
    queue.QueueListQueuesResponse QueueListQueues(1: queue.QueueListQueuesRequest request) throws (1: common.SupportError error) (api.get = "/v1/queue/queues")
    // One queue: options, depths, bindings, rates. Operation `queue.get_queue_info`.
    queue.QueueGetQueueInfoResponse QueueGetQueueInfo(1: queue.QueueGetQueueInfoRequest request) throws (1: common.SupportError error) (api.get = "/v1/queue/queues/:queue")
    // Binds a queue to an exchange, declaring the exchange. Operation `queue.bind`.
    queue.QueueBindResponse QueueBind(1: queue.QueueBindRequest request) throws (1: common.SupportError error) (api.post = "/v1/queue/bindings")
    // Removes a binding. Operation `queue.unbind`.
    queue.QueueUnbindResponse QueueUnbind(1: queue.QueueUnbindRequest request) throws (1: common.SupportError error) (api.post = "/v1/queue/bindings/remove")
    // Shows messages without leasing them. Operation `queue.peek`.
    queue.QueuePeekResponse QueuePeek(1: queue.QueuePeekRequest request) throws (1: common.SupportError error) (api.get = "/v1/queue/queues/:queue/messages")
    // Deletes messages of a queue. Operation `queue.purge`.
    queue.QueuePurgeResponse QueuePurge(1: queue.QueuePurgeRequest request) throws (1: common.SupportError error) (api.post = "/v1/queue/queues/:queue/purge")
    // ---- Monitor ----
    // Records one sample of any metric. Operation `monitor.record_metric`.
    monitor.MonitorRecordMetricResponse MonitorRecordMetric(1: monitor.MonitorRecordMetricRequest request) throws (1: common.SupportError error) (api.post = "/v1/monitor/record-metric")
    // Records many samples. Operation `monitor.record_batch`.
    monitor.MonitorRecordBatchResponse MonitorRecordBatch(1: monitor.MonitorRecordBatchRequest request) throws (1: common.SupportError error) (api.post = "/v1/monitor/record-batch")
    // Adds to a counter. Operation `monitor.increment_counter`.
    monitor.MonitorIncrementCounterResponse MonitorIncrementCounter(1: monitor.MonitorIncrementCounterRequest request) throws (1: common.SupportError error) (api.post = "/v1/monitor/increment-counter")
    // Puts observations into a histogram. Operation `monitor.record_histogram`.
    monitor.MonitorRecordHistogramResponse MonitorRecordHistogram(1: monitor.MonitorRecordHistogramRequest request) throws (1: common.SupportError error) (api.post = "/v1/monitor/record-histogram")
    // Sets a gauge. Operation `monitor.set_gauge`.
    monitor.MonitorSetGaugeResponse MonitorSetGauge(1: monitor.MonitorSetGaugeRequest request) throws (1: common.SupportError error) (api.post = "/v1/monitor/set-gauge")
    // Queries samples over a range, stepped and aggregated. Operation `monitor.get_metrics`.
    monitor.MonitorGetMetricsResponse MonitorGetMetrics(1: monitor.MonitorGetMetricsRequest request) throws (1: common.SupportError error) (api.post = "/v1/monitor/get-metrics")
    // Registers a metric. Operation `monitor.register_metric`.
    monitor.MonitorRegisterMetricResponse MonitorRegisterMetric(1: monitor.MonitorRegisterMetricRequest request) throws (1: common.SupportError error) (api.put = "/v1/monitor/metrics/:metric")
    // Lists registered metrics with their usage. Operation `monitor.list_metrics`.
    monitor.MonitorListMetricsResponse MonitorListMetrics(1: monitor.MonitorListMetricsRequest request) throws (1: common.SupportError error) (api.get = "/v1/monitor/metrics")
    // ---- Audit ----
    // Appends one record. Operation `audit.log_operation`.
    audit.AuditLogOperationResponse AuditLogOperation(1: audit.AuditLogOperationRequest request) throws (1: common.SupportError error) (api.post = "/v1/audit/records")
    // Appends many records in one commit. Operation `audit.log_batch`.
    audit.AuditLogBatchResponse AuditLogBatch(1: audit.AuditLogBatchRequest request) throws (1: common.SupportError error) (api.post = "/v1/audit/records/batch")
    // Finds records by many conditions, paged. Operation `audit.query_logs`.
    audit.AuditQueryLogsResponse AuditQueryLogs(1: audit.AuditQueryLogsRequest request) throws (1: common.SupportError error) (api.post = "/v1/audit/query")
    // One record with its inclusion proof. Operation `audit.get_record`.
    audit.AuditGetRecordResponse AuditGetRecord(1: audit.AuditGetRecordRequest request) throws (1: common.SupportError error) (api.get = "/v1/audit/records/:record")
    // Exports matching records as CSV or JSON lines, in pieces. Operation `audit.export_logs`.
    audit.AuditExportLogsResponse AuditExportLogs(1: audit.AuditExportLogsRequest request) throws (1: common.SupportError error) (api.post = "/v1/audit/export")
    // Counts by time, operator, type, resource and result. Operation `audit.get_statistics`.
    audit.AuditGetStatisticsResponse AuditGetStatistics(1: audit.AuditGetStatisticsRequest request) throws (1: common.SupportError error) (api.post = "/v1/audit/statistics")
    // Verifies the log against its checkpoints. Operation `audit.verify`.
    audit.AuditVerifyResponse AuditVerify(1: audit.AuditVerifyRequest request) throws (1: common.SupportError error) (api.post = "/v1/audit/verify")
    // ---- Db ----
    // Registers a named database. Operation `db.register_database`.
    db.DbRegisterDatabaseResponse DbRegisterDatabase(1: db.DbRegisterDatabaseRequest request) throws (1: common.SupportError error) (api.put = "/v1/db/databases/:database")
    // Lists registered databases with their pools. Operation `db.list_databases`.
    db.DbListDatabasesResponse DbListDatabases(1: db.DbListDatabasesRequest request) throws (1: common.SupportError error) (api.get = "/v1/db/databases")
    // Removes a registered database. Operation `db.remove_database`.
    db.DbRemoveDatabaseResponse DbRemoveDatabase(1: db.DbRemoveDatabaseRequest request) throws (1: common.SupportError error) (api.delete = "/v1/db/databases/:database")
    // Runs one statement. Operation `db.execute_query`.
    db.DbExecuteQueryResponse DbExecuteQuery(1: db.DbExecuteQueryRequest request) throws (1: common.SupportError error) (api.post = "/v1/db/databases/:database/query")
    // Runs steps, all or nothing. Operation `db.execute_transaction`.
    db.DbExecuteTransactionResponse DbExecuteTransaction(1: db.DbExecuteTransactionRequest request) throws (1: common.SupportError error) (api.post = "/v1/db/databases/:database/transaction")
    // Explains a query and says what is wrong with it. Operation `db.analyze_query`.
    db.DbAnalyzeQueryResponse DbAnalyzeQuery(1: db.DbAnalyzeQueryRequest request) throws (1: common.SupportError error) (api.post = "/v1/db/databases/:database/analyze")
    // Suggests indexes with their measured gain. Operation `db.get_index_suggestions`.
    db.DbGetIndexSuggestionsResponse DbGetIndexSuggestions(1: db.DbGetIndexSuggestionsRequest request) throws (1: common.SupportError error) (api.post = "/v1/db/databases/:database/index-suggestions")
    // Lists the slowest statements by digest. Operation `db.get_slow_queries`.
    db.DbGetSlowQueriesResponse DbGetSlowQueries(1: db.DbGetSlowQueriesRequest request) throws (1: common.SupportError error) (api.get = "/v1/db/databases/:database/slow-queries")
    // ---- Lock ----
    // Acquires locks, waiting for them in order if asked. Operation `lock.acquire`.
    lock.LockAcquireResponse LockAcquire(1: lock.LockAcquireRequest request) throws (1: common.SupportError error) (api.post = "/v1/lock/acquire")
    // Begins leases anew. Operation `lock.renew`.
    lock.LockRenewResponse LockRenew(1: lock.LockRenewRequest request) throws (1: common.SupportError error) (api.post = "/v1/lock/renew")
    // Releases held locks. Operation `lock.release`.
    lock.LockReleaseResponse LockRelease(1: lock.LockReleaseRequest request) throws (1: common.SupportError error) (api.post = "/v1/lock/release")
    // Checks a fencing token, and watches for its loss if asked. Operation `lock.verify`.
    lock.LockVerifyResponse LockVerify(1: lock.LockVerifyRequest request) throws (1: common.SupportError error) (api.post = "/v1/lock/verify")
    // One lock: who holds it, who waits for whom. Operation `lock.get`.
    lock.LockGetResponse LockGet(1: lock.LockGetRequest request) throws (1: common.SupportError error) (api.get = "/v1/lock/locks/:lock")
    // Lists locks in use. Operation `lock.list`.
    lock.LockListResponse LockList(1: lock.LockListRequest request) throws (1: common.SupportError error) (api.get = "/v1/lock/locks")
    // Ends leases against their holders' will. Operation `lock.force_release`.
    lock.LockForceReleaseResponse LockForceRelease(1: lock.LockForceReleaseRequest request) throws (1: common.SupportError error) (api.post = "/v1/lock/locks/:lock/force-release")
    // ---- Access ----
    // Creates a tenant and its first owner key. Operation `access.create_tenant`.
    access.AccessCreateTenantResponse AccessCreateTenant(1: access.AccessCreateTenantRequest request) throws (1: common.SupportError error) (api.post = "/v1/access/tenants")
    // Creates an API key; its text is shown once. Operation `access.create_key`.
    access.AccessCreateKeyResponse AccessCreateKey(1: access.AccessCreateKeyRequest request) throws (1: common.SupportError error) (api.post = "/v1/access/keys")
    // Lists API keys without their secrets. Operation `access.list_keys`.
    access.AccessListKeysResponse AccessListKeys(1: access.AccessListKeysRequest request) throws (1: common.SupportError error) (api.get = "/v1/access/keys")
    // Revokes an API key. Operation `access.revoke_key`.
    access.AccessRevokeKeyResponse AccessRevokeKey(1: access.AccessRevokeKeyRequest request) throws (1: common.SupportError error) (api.post = "/v1/access/keys/:key_id/revoke")
    // Gives a principal a role. Operation `access.bind_role`.
    access.AccessBindRoleResponse AccessBindRole(1: access.AccessBindRoleRequest request) throws (1: common.SupportError error) (api.post = "/v1/access/bindings")
    // Takes a role from a principal. Operation `access.unbind_role`.
    access.AccessUnbindRoleResponse AccessUnbindRole(1: access.AccessUnbindRoleRequest request) throws (1: common.SupportError error) (api.post = "/v1/access/bindings/remove")
    // Lists who holds which role. Operation `access.list_bindings`.
    access.AccessListBindingsResponse AccessListBindings(1: access.AccessListBindingsRequest request) throws (1: common.SupportError error) (api.get = "/v1/access/bindings")
    // Tells the caller who it is. Operation `access.who_am_i`.
    access.AccessWhoAmIResponse AccessWhoAmI(1: access.AccessWhoAmIRequest request) throws (1: common.SupportError error) (api.get = "/v1/access/who-am-i")
    // ---- Health ----
    // Health of the instance and its dependencies. Operation `health.check`.
    health.HealthResponse Health(1: health.HealthRequest request) throws (1: common.SupportError error) (api.get = "/v1/health")
}
