//! Queues, exchanges, bindings and subscriptions of every tenant: kept by the control plane, held in memory to route by.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;
use plinth_core::{Error, TenantId, TimestampMs};
use plinth_store::{Definition, DefinitionKind, Definitions};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::backend::{QueueKey, QueueSpec};
use crate::error::QueueError;
use crate::model::{ExchangeKind, NewMessage, QueueName, QueueOptions, QueuePolicy, Subscription};
use crate::routing::{Exchange, RoutingSteps};

/// Format of the documents in the control plane.
pub(crate) const DOCUMENT_FORMAT: u32 = 1;
/// Definitions read at a time at the start.
const LOADED_PER_PAGE: u32 = 500;

/// A queue as the control plane keeps it.
#[derive(Serialize, Deserialize)]
pub(crate) struct QueueDocument {
    pub(crate) format: u32,
    pub(crate) uid: String,
    pub(crate) created_at_ms: i64,
    pub(crate) options: QueueOptions,
}

/// An exchange as the control plane keeps it.
#[derive(Serialize, Deserialize)]
pub(crate) struct ExchangeDocument {
    pub(crate) format: u32,
    pub(crate) exchange_type: ExchangeKind,
}

/// A binding as the control plane keeps it.
#[derive(Serialize, Deserialize)]
pub(crate) struct BindingDocument {
    pub(crate) format: u32,
    pub(crate) exchange: String,
    pub(crate) queue: String,
    pub(crate) routing_key: String,
}

/// The name of a binding's definition. Names hold no '/', so it is unique; the last one keeps blanks of the key inside.
pub(crate) fn binding_name(exchange: &QueueName, queue: &QueueName, key: &str) -> String {
    format!("{exchange}/{queue}/{key}/")
}

/// A queue.
#[derive(Clone)]
pub(crate) struct QueueEntry {
    pub(crate) uid: String,
    pub(crate) policy: Arc<QueuePolicy>,
    pub(crate) created_at: TimestampMs,
}

impl QueueEntry {
    pub(crate) fn document(&self) -> QueueDocument {
        QueueDocument {
            format: DOCUMENT_FORMAT,
            uid: self.uid.clone(),
            created_at_ms: self.created_at.0,
            options: self.policy.to_options(),
        }
    }

    pub(crate) fn spec(&self, tenant: &TenantId, name: &QueueName) -> QueueSpec {
        QueueSpec {
            key: QueueKey {
                tenant: tenant.clone(),
                name: name.clone(),
            },
            uid: self.uid.clone(),
            policy: Arc::clone(&self.policy),
        }
    }
}

/// What one tenant has declared.
#[derive(Clone, Default)]
pub(crate) struct TenantTopology {
    pub(crate) queues: BTreeMap<QueueName, QueueEntry>,
    /// Shared, so that a message is routed outside the lock.
    pub(crate) exchanges: BTreeMap<QueueName, Arc<Exchange>>,
    pub(crate) subscriptions: BTreeMap<QueueName, Arc<Subscription>>,
}

/// What every tenant has declared.
#[derive(Default)]
pub(crate) struct Topology(RwLock<HashMap<TenantId, TenantTopology>>);

impl Topology {
    /// Reads everything from the control plane.
    pub(crate) async fn load(definitions: &dyn Definitions) -> Result<Self, QueueError> {
        let topology = Self::default();
        load_each(definitions, DefinitionKind::Queue, |tenant, definition| {
            let document: QueueDocument = read(
                DefinitionKind::Queue,
                definition,
                |document: &QueueDocument| document.format,
            )?;
            let name = QueueName::try_from(definition.name.clone())?;
            let entry = QueueEntry {
                uid: document.uid,
                policy: Arc::new(document.options.validate(&name)?),
                created_at: TimestampMs(document.created_at_ms),
            };
            topology.change(tenant, |tenant| tenant.queues.insert(name, entry));
            Ok(())
        })
        .await?;
        load_each(
            definitions,
            DefinitionKind::Exchange,
            |tenant, definition| {
                let document: ExchangeDocument = read(
                    DefinitionKind::Exchange,
                    definition,
                    |document: &ExchangeDocument| document.format,
                )?;
                let name = QueueName::parse("exchange", &definition.name)?;
                topology.change(tenant, |tenant| {
                    tenant
                        .exchanges
                        .insert(name, Arc::new(Exchange::new(document.exchange_type)))
                });
                Ok(())
            },
        )
        .await?;
        load_each(
            definitions,
            DefinitionKind::Binding,
            |tenant, definition| {
                let document: BindingDocument = read(
                    DefinitionKind::Binding,
                    definition,
                    |document: &BindingDocument| document.format,
                )?;
                let exchange = QueueName::parse("exchange", &document.exchange)?;
                let queue = QueueName::try_from(document.queue)?;
                topology.change(tenant, |tenant| {
                    let is_known = tenant.queues.contains_key(&queue);
                    if let Some(exchange) = tenant.exchanges.get_mut(&exchange).filter(|_| is_known)
                    {
                        Arc::make_mut(exchange).bind(&document.routing_key, &queue);
                    }
                });
                Ok(())
            },
        )
        .await?;
        load_each(
            definitions,
            DefinitionKind::Subscription,
            |tenant, definition| {
                let document = serde_json::from_value(definition.document.clone())
                    .map_err(QueueError::Corrupt)?;
                let subscription = Subscription::from_document(&definition.name, &document)?;
                topology.change(tenant, |tenant| {
                    if tenant.queues.contains_key(&subscription.queue) {
                        tenant
                            .subscriptions
                            .insert(subscription.name.clone(), Arc::new(subscription));
                    }
                });
                Ok(())
            },
        )
        .await?;
        Ok(topology)
    }

    /// Every queue, for the backend.
    pub(crate) fn specs(&self) -> Vec<QueueSpec> {
        let tenants = self.0.read();
        tenants
            .iter()
            .flat_map(|(tenant, topology)| {
                topology
                    .queues
                    .iter()
                    .map(|(name, entry)| entry.spec(tenant, name))
            })
            .collect()
    }

    /// The queues that another topology does not have, or has under the same name as another queue.
    pub(crate) fn specs_unknown_to(&self, other: &Self) -> Vec<QueueSpec> {
        let known: HashSet<String> = other.specs().into_iter().map(|spec| spec.uid).collect();
        let mut specs = self.specs();
        specs.retain(|spec| !known.contains(&spec.uid));
        specs
    }

    /// Puts another topology in the place of this one.
    pub(crate) fn replace(&self, other: Self) {
        *self.0.write() = other.0.into_inner();
    }

    /// Every subscription, for the webhooks.
    pub(crate) fn subscriptions(&self) -> Vec<(TenantId, Arc<Subscription>)> {
        let tenants = self.0.read();
        tenants
            .iter()
            .flat_map(|(tenant, topology)| {
                topology
                    .subscriptions
                    .values()
                    .map(|subscription| (tenant.clone(), Arc::clone(subscription)))
            })
            .collect()
    }

    /// Looks at what a tenant has declared, under a short lock.
    pub(crate) fn look<T>(&self, tenant: &TenantId, look: impl FnOnce(&TenantTopology) -> T) -> T {
        match self.0.read().get(tenant) {
            Some(topology) => look(topology),
            None => look(&TenantTopology::default()),
        }
    }

    /// Changes what a tenant has declared, after the control plane has it.
    pub(crate) fn change<T>(
        &self,
        tenant: &TenantId,
        change: impl FnOnce(&mut TenantTopology) -> T,
    ) -> T {
        change(self.0.write().entry(tenant.clone()).or_default())
    }

    /// The queue that a message for the default exchange goes to.
    fn named_by_key(&self, tenant: &TenantId, message: &NewMessage) -> Option<QueueName> {
        let name = QueueName::try_from(message.routing_key.as_str().to_owned()).ok()?;
        self.look(tenant, |topology| topology.queues.contains_key(&name))
            .then_some(name)
    }

    /// The queues that take a message. Errors: 2104 where there is none, 1007 where the steps are used up.
    pub(crate) fn route(
        &self,
        tenant: &TenantId,
        message: &NewMessage,
        steps: &mut RoutingSteps,
    ) -> Result<Vec<QueueName>, QueueError> {
        let queues = match &message.exchange {
            None => self.named_by_key(tenant, message).into_iter().collect(),
            Some(exchange) => {
                let exchange = self.look(tenant, |topology| {
                    topology.exchanges.get(exchange).map(Arc::clone)
                });
                match exchange {
                    Some(exchange) => exchange.route(message.routing_key.as_str(), steps)?,
                    None => BTreeSet::new(),
                }
            }
        };
        if queues.is_empty() {
            return Err(QueueError::Unroutable {
                exchange: message
                    .exchange
                    .as_ref()
                    .map_or_else(String::new, ToString::to_string),
                routing_key: message.routing_key.as_str().to_owned(),
            });
        }
        Ok(queues.into_iter().collect())
    }
}

/// Reads a document and refuses a later format.
fn read<T: DeserializeOwned>(
    kind: DefinitionKind,
    definition: &Definition,
    format: fn(&T) -> u32,
) -> Result<T, QueueError> {
    let document: T =
        serde_json::from_value(definition.document.clone()).map_err(QueueError::Corrupt)?;
    let found = format(&document);
    if found > DOCUMENT_FORMAT {
        return Err(QueueError::Refused(Error::internal(format!(
            "{} {} has format {found}, known is {DOCUMENT_FORMAT}",
            kind.as_str(),
            definition.name
        ))));
    }
    Ok(document)
}

async fn load_each(
    definitions: &dyn Definitions,
    kind: DefinitionKind,
    mut each: impl FnMut(&TenantId, &Definition) -> Result<(), QueueError> + Send,
) -> Result<(), QueueError> {
    let mut after: Option<(TenantId, String)> = None;
    loop {
        let place = after.as_ref().map(|(tenant, name)| (tenant, name.as_str()));
        let page = definitions.list_all(kind, place, LOADED_PER_PAGE).await?;
        for (tenant, definition) in &page {
            each(tenant, definition)?;
        }
        let Some((tenant, definition)) = page.into_iter().next_back() else {
            return Ok(());
        };
        after = Some((tenant, definition.name));
    }
}
