//! Every method of the service declares the same exception under a type of its own; here they are one again.

use plinth_idl::common::SupportError;
use plinth_idl::coupon;

/// A declared exception.
pub(crate) trait Refusal {
    /// What it carries.
    fn into_support_error(self) -> SupportError;
}

macro_rules! refusals {
    ($($name:ident)*) => { $(
        impl Refusal for coupon::$name {
            fn into_support_error(self) -> SupportError {
                let Self::Error(error) = self;
                error
            }
        }
    )* };
}

refusals! {
    CouponServiceCacheSetException
    CouponServiceCacheGetException
    CouponServiceCacheDeleteException
    CouponServiceCacheBatchSetException
    CouponServiceCacheBatchGetException
    CouponServiceCacheBatchDeleteException
    CouponServiceCacheExistsException
    CouponServiceCacheExpireException
    CouponServiceCacheGetAndTouchException
    CouponServiceCacheIncrementException
    CouponServiceCacheAppendException
    CouponServiceCacheScanException
    CouponServiceCacheClearException
    CouponServiceCacheInvalidateTagsException
    CouponServiceCacheGetOrLeaseException
    CouponServiceCacheReleaseLeaseException
    CouponServiceCacheDefineNamespaceException
    CouponServiceCacheGetNamespaceException
    CouponServiceCacheListNamespacesException
    CouponServiceCacheDeleteNamespaceException
    CouponServiceCacheRefreshException
    CouponServiceCachePreloadException
    CouponServiceCacheStatsException
    CouponServiceCacheHotKeysException
    CouponServiceQueuePublishException
    CouponServiceQueuePublishBatchException
    CouponServiceQueueSubscribeException
    CouponServiceQueueUnsubscribeException
    CouponServiceQueueReceiveException
    CouponServiceQueueAckException
    CouponServiceQueueRetryException
    CouponServiceQueueDeadException
    CouponServiceQueueCreateQueueException
    CouponServiceQueueDeleteQueueException
    CouponServiceQueueListQueuesException
    CouponServiceQueueGetQueueInfoException
    CouponServiceQueueBindException
    CouponServiceQueueUnbindException
    CouponServiceQueuePeekException
    CouponServiceQueuePurgeException
    CouponServiceMonitorRecordMetricException
    CouponServiceMonitorRecordBatchException
    CouponServiceMonitorIncrementCounterException
    CouponServiceMonitorRecordHistogramException
    CouponServiceMonitorSetGaugeException
    CouponServiceMonitorGetMetricsException
    CouponServiceMonitorRegisterMetricException
    CouponServiceMonitorListMetricsException
    CouponServiceAuditLogOperationException
    CouponServiceAuditLogBatchException
    CouponServiceAuditQueryLogsException
    CouponServiceAuditGetRecordException
    CouponServiceAuditExportLogsException
    CouponServiceAuditGetStatisticsException
    CouponServiceAuditVerifyException
    CouponServiceDbRegisterDatabaseException
    CouponServiceDbListDatabasesException
    CouponServiceDbRemoveDatabaseException
    CouponServiceDbExecuteQueryException
    CouponServiceDbExecuteTransactionException
    CouponServiceDbAnalyzeQueryException
    CouponServiceDbGetIndexSuggestionsException
    CouponServiceDbGetSlowQueriesException
    CouponServiceLockAcquireException
    CouponServiceLockRenewException
    CouponServiceLockReleaseException
    CouponServiceLockVerifyException
    CouponServiceLockGetException
    CouponServiceLockListException
    CouponServiceLockForceReleaseException
    CouponServiceAccessCreateTenantException
    CouponServiceAccessCreateKeyException
    CouponServiceAccessListKeysException
    CouponServiceAccessRevokeKeyException
    CouponServiceAccessBindRoleException
    CouponServiceAccessUnbindRoleException
    CouponServiceAccessListBindingsException
    CouponServiceAccessWhoAmIException
    CouponServiceHealthException
}
