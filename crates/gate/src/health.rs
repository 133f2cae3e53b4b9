//! What the instance says of its health.

use plinth_core::{Error, Result};
use plinth_resilience::HealthRegistry;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::catalogue::ops;
use crate::gate::{Gate, Session};
use crate::target::Target;

/// State of one part of the instance or of something it depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthComponent {
    /// Name of the part: `queue.engine`.
    pub name: String,
    /// `up`, `degraded`, `down` or `starting`.
    pub status: String,
    /// What is wrong; absent while it is up.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    /// Since when it is in this state, in unix milliseconds.
    pub since_ms: i64,
}

/// State of the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthReply {
    /// `up`, `degraded`, `down`, `starting` or `draining`.
    pub status: String,
    /// Whether the instance should be given work.
    pub ready: bool,
    /// Version of Plinth; only with the permission `health.check`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// How long the instance has been running, in milliseconds; only with the permission `health.check`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub uptime_ms: Option<i64>,
    /// The parts, in the order of their names; only with the permission `health.check`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub components: Option<Vec<HealthComponent>>,
}

impl HealthReply {
    /// What is told now: the parts only where `detailed` says that the caller may see them.
    #[must_use]
    pub fn of(registry: &HealthRegistry, detailed: bool) -> Self {
        let snapshot = registry.snapshot();
        let component = |part: plinth_resilience::ComponentHealth| HealthComponent {
            name: part.name.as_ref().to_owned(),
            status: part.status.as_str().to_owned(),
            message: part.message.as_deref().map(str::to_owned),
            since_ms: part.since.0,
        };
        Self {
            status: snapshot.status.as_str().to_owned(),
            ready: snapshot.status.is_ready(),
            version: detailed.then(|| env!("CARGO_PKG_VERSION").to_owned()),
            uptime_ms: detailed.then(|| i64::try_from(snapshot.uptime_ms).unwrap_or(i64::MAX)),
            components: detailed.then(|| snapshot.components.into_iter().map(component).collect()),
        }
    }
}

impl Gate {
    /// The operation `health.check`: every authenticated caller learns the overall state, those with the permission the
    /// parts. Errors: those of [`Gate::call`].
    pub async fn health(
        &self,
        session: &Session,
        registry: &HealthRegistry,
    ) -> Result<HealthReply> {
        let operation = &ops::HEALTH_CHECK;
        let detailed = self
            .decide(&session.caller, operation.id, None)
            .is_allowed();
        self.call(session, operation, Target::none(), async move |_| {
            Ok::<_, Error>(HealthReply::of(registry, detailed))
        })
        .await
    }
}
