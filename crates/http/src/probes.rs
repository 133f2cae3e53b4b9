//! What machines ask about the instance: liveness, start, readiness, health, metrics.
//!
//! Without a credential a probe learns one word. `/readyz` with a credential, and `/v1/health`, tell callers with the
//! permission `health.check` about each part.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use plinth_core::{Error, Resource, TenantId};
use plinth_gate::Target;
use plinth_gate::catalogue::ops;
use plinth_gate::health::HealthReply;
use plinth_resilience::health::Phase;
use serde::Serialize;
use tower_http::compression::CompressionLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{ApiJson, ApiSession, PeerAddress};
use crate::problem::{ApiResult, Problem};
use crate::services::Services;

/// The media type of the Prometheus text format.
const EXPOSITION: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The one word that a probe learns.
#[derive(Serialize)]
struct Word {
    status: &'static str,
}

/// The operation `health.check`.
pub(crate) fn api() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(check))
}

/// The probes, and the metrics.
pub(crate) fn router(metrics_open_to_loopback: bool) -> Router<Services> {
    let metrics = Router::new()
        .route("/metrics", get(metrics))
        .layer(CompressionLayer::new())
        .layer(Extension(OpenToLoopback(metrics_open_to_loopback)));
    Router::new()
        .route("/livez", get(live))
        .route("/startupz", get(started))
        .route("/readyz", get(ready))
        .merge(metrics)
}

/// The state of the instance; its parts for callers with the permission `health.check`.
#[utoipa::path(
    get, path = "/v1/health", operation_id = "health.check",
    responses((status = 200, description = "The state, whatever it is.", body = HealthReply)),
)]
async fn check(
    State(services): State<Services>,
    session: ApiSession,
) -> ApiResult<ApiJson<HealthReply>> {
    Ok(ApiJson(
        services.gate.health(&session, &services.health).await?,
    ))
}

/// The process answers: that is all that liveness means, so that nothing else ever gets it restarted.
async fn live() -> ApiJson<Word> {
    ApiJson(Word { status: "up" })
}

async fn started(State(services): State<Services>) -> Response {
    let started = services.health.phase() != Phase::Starting;
    let word = if started { "up" } else { "starting" };
    answer(started, ApiJson(Word { status: word }))
}

async fn ready(State(services): State<Services>, session: MaybeSession) -> ApiResult<Response> {
    if let Some(session) = session.0 {
        let reply = services.gate.health(&session, &services.health).await?;
        return Ok(answer(reply.ready, ApiJson(reply)));
    }
    let status = services.health.snapshot().status;
    Ok(answer(
        status.is_ready(),
        ApiJson(Word {
            status: status.as_str(),
        }),
    ))
}

fn answer<T: Serialize>(good: bool, body: ApiJson<T>) -> Response {
    let status = if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, body).into_response()
}

/// The session of a request that shows a credential; a request without one passes too.
struct MaybeSession(Option<ApiSession>);

impl FromRequestParts<Services> for MaybeSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> ApiResult<Self> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self(None));
        }
        Ok(Self(Some(
            ApiSession::from_request_parts(parts, services).await?,
        )))
    }
}

/// The setting of that name.
#[derive(Clone, Copy)]
struct OpenToLoopback(bool);

/// Whose numbers `/metrics` shows beside the instance's own: the caller's tenant, or nobody's where the setting lets
/// callers from loopback in without a key.
struct MetricsCaller(Option<TenantId>);

impl FromRequestParts<Services> for MetricsCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, services: &Services) -> ApiResult<Self> {
        let open = parts
            .extensions
            .get::<OpenToLoopback>()
            .is_some_and(|open| open.0);
        let local = parts
            .extensions
            .get::<PeerAddress>()
            .is_some_and(|peer| peer.0.ip().is_loopback());
        if open && local && !parts.headers.contains_key(header::AUTHORIZATION) {
            return Ok(Self(None));
        }
        let session = ApiSession::from_request_parts(parts, services).await?;
        let target = Target::resource(Resource::all("metric"));
        let tenant = services
            .gate
            .call(
                &session,
                &ops::MONITOR_GET_METRICS,
                target,
                async |context| Ok::<_, Error>(context.caller.tenant),
            )
            .await?;
        Ok(Self(Some(tenant)))
    }
}

async fn metrics(State(services): State<Services>, caller: MetricsCaller) -> ApiResult<Response> {
    let text = Arc::clone(&services.metrics_text);
    // Writing out many series takes a while: off the threads that serve requests.
    let written = tokio::task::spawn_blocking(move || text(caller.0.as_ref())).await;
    let written = written.map_err(Error::internal)?;
    Ok(([(header::CONTENT_TYPE, EXPOSITION)], written).into_response())
}
