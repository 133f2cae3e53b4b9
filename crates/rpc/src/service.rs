//! The service behind the codec: opens the envelope, lets the gate say who asks, calls the method's function and closes
//! the answer.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use pilota::thrift::{ApplicationException, ApplicationExceptionKind};
use plinth_core::{Error, ErrorCode, Result};
use plinth_gate::Session;
use plinth_idl::contract::{self, Request};
use plinth_idl::coupon::{CouponServiceRequestRecv as Asked, CouponServiceResponseSend as Answer};

use crate::answer::{close, support_error};
use crate::codec::Fault;
use crate::envelope::Envelope;
use crate::handlers;
use crate::incoming::{Answered, Answers, Call};
use crate::services::Services;

/// The Thrift service of Plinth. Cheap to clone.
#[derive(Clone)]
pub(crate) struct CouponEdge {
    services: Arc<Services>,
}

impl CouponEdge {
    pub(crate) fn new(services: Services) -> Self {
        Self {
            services: Arc::new(services),
        }
    }
}

impl Answers for CouponEdge {
    async fn answer(&self, call: Call) -> Answered {
        let envelope = Envelope::open(call.headers, call.header_fault, call.peer);
        match call.request {
            Ok(request) => Ok(dispatch(&self.services, envelope, request).await),
            Err(fault) => refuse(&call.method, fault, &envelope),
        }
    }
}

/// Answers a message that the codec refused.
fn refuse(method: &str, fault: Fault, envelope: &Envelope) -> Answered {
    let unknown = || {
        exception(
            ApplicationExceptionKind::UNKNOWN_METHOD,
            format!("unknown method {method}"),
        )
    };
    let error = match fault {
        Fault::Content {
            code: ErrorCode::TooLarge,
            field,
            message,
        } => Error::too_large(field, message),
        Fault::Content { field, message, .. } => Error::invalid(field, message),
        Fault::UnknownMethod => return Err(unknown()),
        Fault::Framing(message) => {
            tracing::debug!(trace_id = envelope.trace.trace_id_hex(), %message, "broken framing");
            return Err(exception(ApplicationExceptionKind::PROTOCOL_ERROR, message));
        }
    };
    contract::refuse(method, support_error(&error, &envelope.trace))
        .map(Box::new)
        .ok_or_else(unknown)
}

fn exception(kind: ApplicationExceptionKind, message: String) -> ApplicationException {
    ApplicationException::new(kind, message)
}

/// Authenticates the caller of a request.
async fn admit<Q: Request>(
    services: &Services,
    envelope: &mut Envelope,
    request: &Q,
) -> Result<Session> {
    let meta = envelope.complete(request.base(), request.request_id())?;
    services.gate.authenticate(meta).await
}

/// A panic of a handler is a fault of ours and ends its own call alone. Nobody knows what it had done by then.
async fn guarded<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => {
            tracing::error!("a handler panicked");
            Err(Error::internal("a handler panicked").outcome_unknown())
        }
    }
}

/// Names for each method the function that serves it.
macro_rules! dispatch {
    ($($block:ident { $($method:ident => $function:ident,)* })*) => {
        /// One future for each method, so that a short call does not take the room of a long one.
        fn dispatch(
            services: &Services,
            mut envelope: Envelope,
            asked: Box<Asked>,
        ) -> BoxFuture<'_, Box<Answer>> {
            match *asked {
                $($( Asked::$method(arguments) => Box::pin(async move {
                    let request = arguments.request;
                    let outcome = {
                        let work = pin!(async {
                            let session = admit(services, &mut envelope, &request).await?;
                            handlers::$block::$function(services, &session, request).await
                        });
                        guarded(work).await
                    };
                    Box::new(Answer::$method(close(outcome, &envelope.trace)))
                }), )*)*
            }
        }
    };
}

dispatch! {
    cache {
        CacheSet => set,
        CacheGet => get,
        CacheDelete => delete,
        CacheBatchSet => batch_set,
        CacheBatchGet => batch_get,
        CacheBatchDelete => batch_delete,
        CacheExists => exists,
        CacheExpire => expire,
        CacheGetAndTouch => get_and_touch,
        CacheIncrement => increment,
        CacheAppend => append,
        CacheScan => scan,
        CacheClear => clear,
        CacheInvalidateTags => invalidate_tags,
        CacheGetOrLease => get_or_lease,
        CacheReleaseLease => release_lease,
        CacheDefineNamespace => define_namespace,
        CacheGetNamespace => get_namespace,
        CacheListNamespaces => list_namespaces,
        CacheDeleteNamespace => delete_namespace,
        CacheRefresh => refresh,
        CachePreload => preload,
        CacheStats => stats,
        CacheHotKeys => hot_keys,
    }
    queue {
        QueuePublish => publish,
        QueuePublishBatch => publish_batch,
        QueueSubscribe => subscribe,
        QueueUnsubscribe => unsubscribe,
        QueueReceive => receive,
        QueueAck => ack,
        QueueRetry => retry,
        QueueDead => dead,
        QueueCreateQueue => create_queue,
        QueueDeleteQueue => delete_queue,
        QueueListQueues => list_queues,
        QueueGetQueueInfo => get_queue_info,
        QueueBind => bind,
        QueueUnbind => unbind,
        QueuePeek => peek,
        QueuePurge => purge,
    }
    monitor {
        MonitorRecordMetric => record_metric,
        MonitorRecordBatch => record_batch,
        MonitorIncrementCounter => increment_counter,
        MonitorRecordHistogram => record_histogram,
        MonitorSetGauge => set_gauge,
        MonitorGetMetrics => get_metrics,
        MonitorRegisterMetric => register_metric,
        MonitorListMetrics => list_metrics,
    }
    audit {
        AuditLogOperation => log_operation,
        AuditLogBatch => log_batch,
        AuditQueryLogs => query_logs,
        AuditGetRecord => get_record,
        AuditExportLogs => export_logs,
        AuditGetStatistics => get_statistics,
        AuditVerify => verify,
    }
    db {
        DbRegisterDatabase => register_database,
        DbListDatabases => list_databases,
        DbRemoveDatabase => remove_database,
        DbExecuteQuery => execute_query,
        DbExecuteTransaction => execute_transaction,
        DbAnalyzeQuery => analyze_query,
        DbGetIndexSuggestions => get_index_suggestions,
        DbGetSlowQueries => get_slow_queries,
    }
    lock {
        LockAcquire => acquire,
        LockRenew => renew,
        LockRelease => release,
        LockVerify => verify,
        LockGet => get,
        LockList => list,
        LockForceRelease => force_release,
    }
    access {
        AccessCreateTenant => create_tenant,
        AccessCreateKey => create_key,
        AccessListKeys => list_keys,
        AccessRevokeKey => revoke_key,
        AccessBindRole => bind_role,
        AccessUnbindRole => unbind_role,
        AccessListBindings => list_bindings,
        AccessWhoAmI => who_am_i,
    }
    health {
        Health => check,
    }
}
