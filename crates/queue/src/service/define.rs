//! Declaring and removing queues and bindings.
//!
//! Each declaration runs to its end in a task of its own, one at a time: a caller who goes away leaves the control plane,
//! the backend and the routing table agreeing.

use std::sync::Arc;

use plinth_core::{CallContext, TenantId};
use plinth_store::{DefinitionKind, Expected};
use serde::Serialize;
use uuid::Uuid;

use super::{Inner, QueueService};
use crate::backend::QueueKey;
use crate::error::QueueError;
use crate::model::{
    BindReply, BindRequest, CreateQueueReply, CreateQueueRequest, DeleteQueueReply,
    DeleteQueueRequest, ExchangeKind, QueueName, QueuePolicy, RoutingKey, UnbindReply,
    UnbindRequest, limits,
};
use crate::routing::Exchange;
use crate::topology::{
    BindingDocument, DOCUMENT_FORMAT, ExchangeDocument, QueueEntry, binding_name,
};

impl QueueService {
    /// Declares a queue, and its dead-letter queue where that is absent. The same declaration again changes nothing.
    ///
    /// Errors: 1001 naming the field, 1005 naming the difference where it exists with other options.
    pub async fn create_queue(
        &self,
        context: &CallContext,
        queue: &str,
        request: CreateQueueRequest,
    ) -> Result<CreateQueueReply, QueueError> {
        let name = QueueName::parse("queue", queue)?;
        let policy = request
            .options
            .unwrap_or_default()
            .validate(&name)
            .map_err(|error| error.in_field("options"))?;
        let (inner, tenant) = (Arc::clone(&self.inner), context.caller.tenant.clone());
        self.inner
            .declare(async move { inner.create_queue(&tenant, &name, policy).await })
            .await
    }

    /// Deletes a queue with its messages, bindings and subscriptions. Its dead-letter queue stays.
    ///
    /// Errors: 1005 where it is the dead-letter queue of another one.
    pub async fn delete_queue(
        &self,
        context: &CallContext,
        request: DeleteQueueRequest,
    ) -> Result<DeleteQueueReply, QueueError> {
        let name = QueueName::try_from(request.queue)?;
        let key = QueueKey {
            tenant: context.caller.tenant.clone(),
            name,
        };
        let inner = Arc::clone(&self.inner);
        self.inner
            .declare(async move { inner.delete_queue(&key).await })
            .await
    }

    /// Binds a queue to an exchange, which is declared where it is absent. Binding again changes nothing.
    ///
    /// Errors: 1001 naming the field, 1004 where the queue does not exist, 1005 where the exchange has another type.
    pub async fn bind(
        &self,
        context: &CallContext,
        request: BindRequest,
    ) -> Result<BindReply, QueueError> {
        let wanted = Binding {
            exchange: QueueName::parse("exchange", &request.exchange)?,
            queue: QueueName::try_from(request.queue)?,
            key: RoutingKey::parse(request.routing_key.as_deref().unwrap_or_default())?,
        };
        let kind = request
            .exchange_type
            .as_deref()
            .map(ExchangeKind::parse)
            .transpose()?;
        let (inner, tenant) = (Arc::clone(&self.inner), context.caller.tenant.clone());
        self.inner
            .declare(async move { inner.bind(&tenant, &wanted, kind).await })
            .await
    }

    /// Removes a binding; an exchange goes with its last one.
    ///
    /// Errors: 1001 naming the field.
    pub async fn unbind(
        &self,
        context: &CallContext,
        request: UnbindRequest,
    ) -> Result<UnbindReply, QueueError> {
        let binding = Binding {
            exchange: QueueName::parse("exchange", &request.exchange)?,
            queue: QueueName::try_from(request.queue)?,
            key: RoutingKey::parse(request.routing_key.as_deref().unwrap_or_default())?,
        };
        let (inner, tenant) = (Arc::clone(&self.inner), context.caller.tenant.clone());
        self.inner
            .declare(async move {
                inner
                    .unbind(&tenant, &binding)
                    .await
                    .map(|removed| UnbindReply { removed })
            })
            .await
    }
}

/// One binding.
struct Binding {
    exchange: QueueName,
    queue: QueueName,
    key: RoutingKey,
}

impl Inner {
    /// Runs a declaration to its end, after the ones before it.
    pub(super) async fn declare<T: Send + 'static>(
        self: &Arc<Self>,
        declaration: impl Future<Output = Result<T, QueueError>> + Send + 'static,
    ) -> Result<T, QueueError> {
        let inner = Arc::clone(self);
        self.tasks
            .spawn(async move {
                let _turn = inner
                    .declaring
                    .acquire()
                    .await
                    .map_err(|_| QueueError::Stopping)?;
                declaration.await
            })
            .await
            .map_err(QueueError::Lost)?
    }

    async fn create_queue(
        &self,
        tenant: &TenantId,
        name: &QueueName,
        policy: QueuePolicy,
    ) -> Result<CreateQueueReply, QueueError> {
        let existing = self
            .topology
            .look(tenant, |topology| topology.queues.get(name).cloned());
        if let Some(existing) = existing {
            return match existing.policy.difference(&policy) {
                None => Ok(CreateQueueReply {
                    created: false,
                    options: existing.policy.to_options(),
                }),
                Some(difference) => Err(QueueError::Different {
                    kind: "queue",
                    name: name.to_string(),
                    difference,
                }),
            };
        }
        let options = policy.to_options();
        if let Some(target) = policy.dead_letter_queue.clone() {
            let is_there = self
                .topology
                .look(tenant, |topology| topology.queues.contains_key(&target));
            if !is_there {
                self.add_queue(tenant, &target, QueuePolicy::of_dead_letters())
                    .await?;
            }
        }
        self.add_queue(tenant, name, policy).await?;
        Ok(CreateQueueReply {
            created: true,
            options,
        })
    }

    async fn add_queue(
        &self,
        tenant: &TenantId,
        name: &QueueName,
        policy: QueuePolicy,
    ) -> Result<(), QueueError> {
        let count = self.topology.look(tenant, |topology| topology.queues.len());
        check_count("queues", count, limits::QUEUES_PER_TENANT_MAX)?;
        let entry = QueueEntry {
            uid: Uuid::now_v7().to_string(),
            policy: Arc::new(policy),
            created_at: self.clock.now(),
        };
        self.put(
            DefinitionKind::Queue,
            tenant,
            name.as_str(),
            &entry.document(),
        )
        .await?;
        self.backend
            .open_queues(vec![entry.spec(tenant, name)])
            .await?;
        self.topology.change(tenant, |topology| {
            topology.queues.insert(name.clone(), entry)
        });
        Ok(())
    }

    /// Puts a definition. The routing table knows what is there, so what a failed earlier try left is replaced.
    pub(super) async fn put(
        &self,
        kind: DefinitionKind,
        tenant: &TenantId,
        name: &str,
        document: &impl Serialize,
    ) -> Result<(), QueueError> {
        let document = serde_json::to_value(document).map_err(QueueError::Corrupt)?;
        self.definitions
            .put(kind, tenant, name, document, Expected::Any)
            .await?;
        Ok(())
    }

    async fn delete_queue(
        self: &Arc<Self>,
        key: &QueueKey,
    ) -> Result<DeleteQueueReply, QueueError> {
        let QueueKey { tenant, name } = key;
        let (is_there, user) = self.topology.look(tenant, |topology| {
            let user = topology
                .queues
                .iter()
                .find(|(_, entry)| entry.policy.dead_letter_queue.as_ref() == Some(name))
                .map(|(user, _)| user.to_string());
            (topology.queues.contains_key(name), user)
        });
        if !is_there {
            return Ok(DeleteQueueReply {
                removed: false,
                messages: 0,
            });
        }
        if let Some(user) = user {
            return Err(QueueError::InUse {
                queue: name.to_string(),
                user,
            });
        }
        self.backend.condemn_queue(key).await?;
        for binding in self.bindings_of(tenant, name) {
            self.unbind(tenant, &binding).await?;
        }
        for subscription in self.subscriptions_of(key) {
            self.remove_subscription(tenant, &subscription.name).await?;
        }
        self.definitions
            .delete(DefinitionKind::Queue, tenant, name.as_str())
            .await?;
        self.topology
            .change(tenant, |topology| topology.queues.remove(name));
        let ended = self.delivery_ended();
        let messages = self.backend.delete_queue(key, ended).await?;
        Ok(DeleteQueueReply {
            removed: true,
            messages,
        })
    }

    fn bindings_of(&self, tenant: &TenantId, queue: &QueueName) -> Vec<Binding> {
        self.topology.look(tenant, |topology| {
            let all = topology.exchanges.iter().flat_map(|(name, exchange)| {
                exchange
                    .bindings()
                    .map(move |(key, bound)| (name, key, bound))
            });
            all.filter(|(_, _, bound)| *bound == queue)
                .filter_map(|(exchange, key, bound)| {
                    Some(Binding {
                        exchange: exchange.clone(),
                        queue: bound.clone(),
                        key: RoutingKey::parse(key).ok()?,
                    })
                })
                .collect()
        })
    }

    async fn bind(
        &self,
        tenant: &TenantId,
        binding: &Binding,
        kind: Option<ExchangeKind>,
    ) -> Result<BindReply, QueueError> {
        let Binding {
            exchange,
            queue,
            key,
        } = binding;
        self.find_queue(tenant, queue.as_str())?;
        let (found, exchanges) = self.topology.look(tenant, |topology| {
            let found = topology
                .exchanges
                .get(exchange)
                .map(|found| (found.kind, found.len(), found.contains(key.as_str(), queue)));
            (found, topology.exchanges.len())
        });
        let is_new = found.is_none();
        let wanted =
            kind.unwrap_or_else(|| found.map_or(ExchangeKind::Direct, |(kind, _, _)| kind));
        if let Some((is, bindings, is_bound)) = found {
            if is != wanted {
                return Err(QueueError::Different {
                    kind: "exchange",
                    name: exchange.to_string(),
                    difference: format!(
                        "exchange_type is {}, not {}",
                        is.as_str(),
                        wanted.as_str()
                    ),
                });
            }
            if is_bound {
                return Ok(BindReply { created: false });
            }
            check_count(
                "bindings on this exchange",
                bindings,
                limits::BINDINGS_PER_EXCHANGE_MAX,
            )?;
        } else {
            check_count("exchanges", exchanges, limits::EXCHANGES_PER_TENANT_MAX)?;
        }
        if is_new {
            let document = ExchangeDocument {
                format: DOCUMENT_FORMAT,
                exchange_type: wanted,
            };
            self.put(
                DefinitionKind::Exchange,
                tenant,
                exchange.as_str(),
                &document,
            )
            .await?;
        }
        let document = BindingDocument {
            format: DOCUMENT_FORMAT,
            exchange: exchange.to_string(),
            queue: queue.to_string(),
            routing_key: key.as_str().to_owned(),
        };
        let name = binding_name(exchange, queue, key.as_str());
        self.put(DefinitionKind::Binding, tenant, &name, &document)
            .await?;
        self.topology.change(tenant, |topology| {
            let exchange = topology
                .exchanges
                .entry(exchange.clone())
                .or_insert_with(|| Arc::new(Exchange::new(wanted)));
            Arc::make_mut(exchange).bind(key.as_str(), queue);
        });
        Ok(BindReply { created: true })
    }

    async fn unbind(&self, tenant: &TenantId, binding: &Binding) -> Result<bool, QueueError> {
        let Binding {
            exchange,
            queue,
            key,
        } = binding;
        let found = self.topology.look(tenant, |topology| {
            topology
                .exchanges
                .get(exchange)
                .filter(|found| found.contains(key.as_str(), queue))
                .map(|found| found.len())
        });
        let Some(bindings) = found else {
            return Ok(false);
        };
        let name = binding_name(exchange, queue, key.as_str());
        self.definitions
            .delete(DefinitionKind::Binding, tenant, &name)
            .await?;
        let is_last = bindings == 1;
        if is_last {
            self.definitions
                .delete(DefinitionKind::Exchange, tenant, exchange.as_str())
                .await?;
        }
        self.topology.change(tenant, |topology| {
            if is_last {
                topology.exchanges.remove(exchange);
            } else if let Some(exchange) = topology.exchanges.get_mut(exchange) {
                Arc::make_mut(exchange).unbind(key.as_str(), queue);
            }
        });
        Ok(true)
    }
}

pub(super) fn check_count(kind: &'static str, count: usize, most: usize) -> Result<(), QueueError> {
    if count >= most {
        return Err(QueueError::TooMany { kind, most });
    }
    Ok(())
}
