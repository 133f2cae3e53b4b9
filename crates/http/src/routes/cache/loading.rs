//! Loads that callers ask for.

use axum::extract::State;
use plinth_cache::model::{KeyLoad, KeyLoadFields, Namespace, parse_keys};
use plinth_core::WideInt;
use plinth_gate::catalogue::ops;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::CacheKeysBody;
use super::target;
use crate::extract::{ApiJson, ApiPath, ApiSession};
use crate::problem::ApiResult;
use crate::services::Services;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(refresh))
        .routes(routes!(preload))
}

/// Keys to load ahead.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CachePreloadBody {
    /// At most 1,000 keys. None: those of the loader's warm-up list.
    #[serde(default)]
    keys: Vec<String>,
}

/// How the load of one key ended.
#[derive(Serialize, ToSchema)]
struct CacheKeyLoad {
    /// The key.
    key: String,
    /// 0 where it was done, else the number of the error.
    code: u16,
    /// `loaded`, `present` (a fresh value was there) or `absent` (the source has none; that is remembered).
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// The version of the value, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    version: Option<WideInt>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// How each load ended, in the order of the keys.
#[derive(Serialize, ToSchema)]
struct CacheKeyLoads {
    /// One for each key. What the deadline cut off has code 1010: ask again.
    results: Vec<CacheKeyLoad>,
}

impl From<Vec<KeyLoad>> for CacheKeyLoads {
    fn from(loads: Vec<KeyLoad>) -> Self {
        let result = |load| {
            let fields = KeyLoadFields::from(load);
            CacheKeyLoad {
                key: fields.key,
                code: fields.code,
                state: fields.state,
                version: fields.version.map(WideInt),
                message: fields.message,
            }
        };
        Self {
            results: loads.into_iter().map(result).collect(),
        }
    }
}

/// Loads keys anew, whatever stands under them.
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/refresh", operation_id = "cache.refresh",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body = CacheKeysBody,
    responses((status = 200, description = "How each load ended.", body = CacheKeyLoads)),
)]
async fn refresh(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
    ApiJson(body): ApiJson<CacheKeysBody>,
) -> ApiResult<ApiJson<CacheKeyLoads>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let keys = parse_keys(&body.keys)?;
        cache.refresh(&context, namespace, keys).await
    };
    let loads = services
        .gate
        .call(&session, &ops::CACHE_REFRESH, target, call)
        .await?;
    Ok(ApiJson(loads.into()))
}

/// Loads the keys under which nothing fresh stands.
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/preload", operation_id = "cache.preload",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body = CachePreloadBody,
    responses((status = 200, description = "How each load ended.", body = CacheKeyLoads)),
)]
async fn preload(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
    ApiJson(body): ApiJson<CachePreloadBody>,
) -> ApiResult<ApiJson<CacheKeyLoads>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let keys = match body.keys.is_empty() {
            true => Vec::new(),
            false => parse_keys(&body.keys)?,
        };
        cache.preload(&context, namespace, keys).await
    };
    let loads = services
        .gate
        .call(&session, &ops::CACHE_PRELOAD, target, call)
        .await?;
    Ok(ApiJson(loads.into()))
}
