//! The routes: one file per block, one handler per operation of the catalogue.
//!
//! A handler decodes, names what the operation is applied to, calls through the gate, encodes. Nothing else; validation
//! lives in the block, policy in the gate. The whole of one:
//!
//! ```text
//! /// The statistics of a namespace.
//! #[utoipa::path(
//!     get, path = "/v1/cache/{namespace}/stats", operation_id = "cache.stats",
//!     params(("namespace" = String, Path, description = "Name of the namespace")),
//!     responses((status = 200, description = "The statistics.", body = CacheStatsReply)),
//! )]
//! async fn stats(
//!     State(services): State<Services>,
//!     session: ApiSession,                       // first: no credential, no reading of the body
//!     ApiPath(namespace): ApiPath<String>,       // String, tuple or struct, percent-decoded
//!     ApiQuery(query): ApiQuery<StatsQuery>,     // a struct with #[serde(deny_unknown_fields)] and IntoParams
//!     // ApiJson(request): ApiJson<SetRequest>,  // last: #[serde(deny_unknown_fields)] and ToSchema
//! ) -> ApiResult<ApiJson<CacheStatsReply>> {
//!     let target = Target::resource(Resource::new("cache", &namespace));
//!     let request = CacheStatsRequest { namespace, keys: query.keys };
//!     let cache = &services.cache;
//!     let call = |context| async move { cache.stats(&context, request).await };
//!     Ok(ApiJson(services.gate.call(&session, &ops::CACHE_STATS, target, call).await?))
//! }
//! ```
//!
//! and its registration: `OpenApiRouter::new().routes(routes!(stats))`. Handlers that share a path stand in one
//! `routes!(get_it, put_it)`.
//!
//! * `operation_id`, method and path are those of the catalogue; a test compares them both ways. Summary, tag, security,
//!   header parameters and error answers are added for all operations at once in [`crate::openapi`]: declare only the
//!   answers of success, and errors that need words of their own.
//! * Errors: `?` turns [`plinth_core::Error`] into a [`Problem`](crate::Problem).
//! * A raw body in: [`ApiBytes`](crate::extract::ApiBytes). A raw body out: `([(CONTENT_TYPE, …)], bytes)`.
//! * Versions: [`Conditions`](crate::extract::Conditions) for `If-Match`/`If-None-Match`,
//!   [`version_tag`](crate::extract::version_tag) for `ETag`; in JSON they are [`plinth_core::WideInt`].
//! * Long polls: `Target::…waiting_ms(wait_ms)`.
//! * Streams of events are made around the routes, in `streams`; a handler knows nothing of them.

mod access;
mod audit;
mod cache;
mod db;
mod lock;
mod monitor;
mod queue;

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa_axum::router::OpenApiRouter;

use crate::layers::Surrounded;
use crate::services::Services;
use crate::settings::HttpSettings;
use crate::streams::Streams;
use crate::{documents, layers, openapi, probes, streams};

/// The routes of the catalogue, without layers and without state.
pub(crate) fn api() -> OpenApiRouter<Services> {
    blocks()
        .into_iter()
        .map(|(_, block)| block)
        .fold(OpenApiRouter::default(), OpenApiRouter::merge)
}

/// The routes of each block, by its name.
pub(crate) fn blocks() -> [(&'static str, OpenApiRouter<Services>); 8] {
    [
        ("cache", cache::router()),
        ("queue", queue::router()),
        ("monitor", monitor::router()),
        ("audit", audit::router()),
        ("db", db::router()),
        ("lock", lock::router()),
        ("access", access::router()),
        ("health", probes::api()),
    ]
}

/// All routes inside what surrounds them.
pub fn router(services: Services, settings: &HttpSettings) -> Surrounded {
    let (routes, registered) = api().split_for_parts();
    let document = openapi::complete(registered);
    let streams = Streams::new(services.clone());
    let followed = routes
        .clone()
        .route_layer(from_fn_with_state(streams, streams::follow));
    let whole = |routes: Router<Services>| {
        routes
            .merge(documents::router(&document))
            .merge(probes::router(settings.metrics_open_to_loopback))
            .fallback(layers::not_found)
            .method_not_allowed_fallback(layers::method_not_allowed)
            .with_state(services.clone())
    };
    layers::surround(whole(routes), settings).with_streams(whole(followed))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Schemas of all blocks share one list in the document; a name that two blocks use for different things would
    /// silently mean the one of the last.
    #[test]
    fn a_schema_name_means_one_thing() {
        let mut known = BTreeMap::new();
        let mut ambiguous = Vec::new();
        for (block, routes) in blocks() {
            let components = routes.into_openapi().components.unwrap_or_default();
            for (name, schema) in components.schemas {
                let schema = serde_json::to_value(schema).expect("it serialises");
                let (other, meant) = known.entry(name.clone()).or_insert((block, schema.clone()));
                if *meant != schema {
                    ambiguous.push(format!("{name}: {other}, {block}"));
                }
            }
        }
        assert!(
            ambiguous.is_empty(),
            "name them apart with #[schema(as = …)]: {ambiguous:?}"
        );
    }
}
