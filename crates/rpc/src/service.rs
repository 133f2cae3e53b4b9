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
use plinth_idl::coupon::{CouponServiceRequestRecv as Call, CouponServiceResponseSend as Answer};
use volo::context::Context;
use volo::service::Service;
use volo_thrift::ServerError;
use volo_thrift::context::ServerContext;

use crate::answer::{close, support_error};
use crate::codec::{Fault, Refusal};
use crate::envelope::Envelope;
use crate::handlers;
use crate::incoming::{Incoming, Outgoing};
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

impl Service<ServerContext, Incoming> for CouponEdge {
    type Response = Outgoing;
    type Error = ServerError;

    async fn call(
        &self,
        context: &mut ServerContext,
        incoming: Incoming,
    ) -> Result<Outgoing, ServerError> {
        let envelope = Envelope::open(context);
        match incoming {
            Incoming::Call(call) => Ok(dispatch(&self.services, envelope, call).await),
            Incoming::Refused => refuse(context, &envelope).map(Box::new).map(Outgoing),
        }
    }
}

/// Answers a message that the codec refused.
fn refuse(context: &mut ServerContext, envelope: &Envelope) -> Result<Answer, ServerError> {
    let method = context.rpc_info.method().clone();
    let fault = context.extensions_mut().remove::<Refusal>();
    let error = match fault.map(|refusal| refusal.0) {
        Some(Fault::Content {
            code: ErrorCode::TooLarge,
            field,
            message,
        }) => Error::too_large(field, message),
        Some(Fault::Content { field, message, .. }) => Error::invalid(field, message),
        Some(Fault::UnknownMethod) | None => {
            return Err(exception(
                ApplicationExceptionKind::UNKNOWN_METHOD,
                format!("unknown method {method}"),
            ));
        }
        Some(Fault::Framing(message)) => {
            tracing::debug!(trace_id = envelope.trace.trace_id_hex(), %message, "broken framing");
            return Err(exception(ApplicationExceptionKind::PROTOCOL_ERROR, message));
        }
    };
    contract::refuse(&method, support_error(&error, &envelope.trace)).ok_or_else(|| {
        exception(
            ApplicationExceptionKind::UNKNOWN_METHOD,
            format!("unknown method {method}"),
        )
    })
}

fn exception(kind: ApplicationExceptionKind, message: String) -> ServerError {
    ServerError::Application(ApplicationException::new(kind, message))
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
            call: Box<Call>,
        ) -> BoxFuture<'_, Outgoing> {
            match *call {
                $($( Call::$method(arguments) => Box::pin(async move {
                    let request = arguments.request;
                    let outcome = {
                        let work = pin!(async {
                            let session = admit(services, &mut envelope, &request).await?;
                            handlers::$block::$function(services, &session, request).await
                        });
                        guarded(work).await
                    };
                    Outgoing(Box::new(Answer::$method(close(outcome, &envelope.trace))))
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
