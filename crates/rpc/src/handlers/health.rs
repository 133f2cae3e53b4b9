//! What the method `Health` does with its request.

use plinth_core::Result;
use plinth_gate::Session;
use plinth_gate::health::HealthComponent as Component;
use plinth_idl::health::{HealthComponent, HealthRequest, HealthResponse};

use crate::services::Services;

pub(crate) async fn check(
    services: &Services,
    session: &Session,
    _request: HealthRequest,
) -> Result<HealthResponse> {
    let reply = services.gate.health(session, &services.health).await?;
    Ok(HealthResponse {
        status: reply.status.into(),
        ready: reply.ready,
        version: reply.version.map(Into::into),
        uptime_ms: reply.uptime_ms,
        components: reply
            .components
            .map(|components| components.into_iter().map(component).collect()),
        base_resp: None,
    })
}

fn component(part: Component) -> HealthComponent {
    HealthComponent {
        name: part.name.into(),
        status: part.status.into(),
        message: part.message.map(Into::into),
        since_ms: part.since_ms,
    }
}
