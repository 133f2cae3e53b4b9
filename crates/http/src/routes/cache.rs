//! The `cache` block.

use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderName, HeaderValue, header};
use plinth_cache::CacheError;
use plinth_cache::model::{
    Atomicity, Change, ChangeKind, Content, Key, Namespace, Put, Tags, Value, each_item, parse_keys,
};
use plinth_core::{Error, ErrorCode, Resource};
use plinth_gate::Target;
use plinth_gate::catalogue::ops;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{ApiBytes, ApiJson, ApiPath, ApiQuery, ApiSession, Conditions, version_tag};
use crate::problem::ApiResult;
use crate::services::Services;

mod body;

use self::body::{
    CacheBatchDeleteBody, CacheBatchSetBody, CacheDeleteItem, CacheDeleted, CacheExpireBody,
    CacheItemResults, CacheItems, CacheKeysBody, CachePresence, CacheStats, CacheStored, SetQuery,
    delete_condition, expiry, item, item_results, put, set_condition,
};

/// The header with the milliseconds that a value has left.
const TTL_MS: HeaderName = HeaderName::from_static("plinth-ttl-ms");

pub(crate) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(set, get, delete))
        .routes(routes!(expire))
        .routes(routes!(batch_set))
        .routes(routes!(batch_get))
        .routes(routes!(batch_delete))
        .routes(routes!(exists))
        .routes(routes!(stats))
}

fn target(namespace: &str) -> Target {
    Target::resource(Resource::new("cache", namespace))
}

/// Stores the body as the value of a key. `If-None-Match: *` stores only where the key is absent, `If-Match: *` only
/// where it is present, `If-Match: "version"` only over that version.
#[utoipa::path(
    put, path = "/v1/cache/{namespace}/entries/{key}", operation_id = "cache.set",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("key" = String, Path, description = "The key, percent-encoded"),
        SetQuery,
        ("If-Match" = Option<String>, Header, description = "`*` or a quoted version"),
        ("If-None-Match" = Option<String>, Header, description = "`*`"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The value, of any media type"),
    responses((status = 200, description = "Stored.", body = CacheStored)),
)]
async fn set(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath((namespace, key)): ApiPath<(String, String)>,
    ApiQuery(query): ApiQuery<SetQuery>,
    conditions: Conditions,
    body: ApiBytes,
) -> ApiResult<ApiJson<CacheStored>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let key = Key::parse(&key)?;
        let put = Put {
            content: Content::Value(Value::parse(
                body.bytes,
                body.content_type.as_deref(),
                None,
            )?),
            life: expiry(query.ttl_ms)?,
            condition: set_condition(conditions)?,
            tags: Tags::default(),
            lease: None,
        };
        cache.set(&context, namespace, key, put).await
    };
    let stored = services
        .gate
        .call(&session, &ops::CACHE_SET, target, call)
        .await?;
    Ok(ApiJson(stored.into()))
}

/// Reads a value: the body is the value, `ETag` its version, `Plinth-Ttl-Ms` the milliseconds it has left.
#[utoipa::path(
    get, path = "/v1/cache/{namespace}/entries/{key}", operation_id = "cache.get",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("key" = String, Path, description = "The key, percent-encoded"),
    ),
    responses(
        (status = 200, description = "The value.", body = Vec<u8>, content_type = "application/octet-stream",
            headers(("ETag" = String, description = "The version, quoted"),
                ("Plinth-Ttl-Ms" = i64, description = "Milliseconds left; absent where it does not expire"))),
        (status = 404, description = "The key is absent (2002)."),
    ),
)]
async fn get(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath((namespace, key)): ApiPath<(String, String)>,
) -> ApiResult<impl IntoResponse> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        cache.get(&context, namespace, &Key::parse(&key)?).await
    };
    let found = services
        .gate
        .call(&session, &ops::CACHE_GET, target, call)
        .await?;
    let found = found
        .answer
        .found()
        .ok_or_else(|| Error::new(ErrorCode::CacheKeyNotFound, "key is absent"))?;
    let mut response = found.value.bytes.into_response();
    let headers = response.headers_mut();
    // The content type was checked to be visible ASCII when it came in.
    if let Ok(content_type) = HeaderValue::from_str(found.value.content_type.as_str()) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    headers.insert(header::ETAG, version_tag(found.version));
    if let Some(ttl_ms) = found.ttl_ms {
        headers.insert(TTL_MS, HeaderValue::from(ttl_ms));
    }
    Ok(response)
}

/// Deletes an entry. With `If-Match: "version"`: only where that version is stored.
#[utoipa::path(
    delete, path = "/v1/cache/{namespace}/entries/{key}", operation_id = "cache.delete",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("key" = String, Path, description = "The key, percent-encoded"),
        ("If-Match" = Option<String>, Header, description = "A quoted version"),
    ),
    responses((status = 200, description = "Whether there was an entry.", body = CacheDeleted)),
)]
async fn delete(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath((namespace, key)): ApiPath<(String, String)>,
    conditions: Conditions,
) -> ApiResult<ApiJson<CacheDeleted>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let key = Key::parse(&key)?;
        cache
            .delete(&context, namespace, key, delete_condition(conditions)?)
            .await
    };
    let deleted = services
        .gate
        .call(&session, &ops::CACHE_DELETE, target, call)
        .await?;
    Ok(ApiJson(CacheDeleted { deleted }))
}

/// Changes the expiry of an entry.
#[utoipa::path(
    put, path = "/v1/cache/{namespace}/entries/{key}/expiry", operation_id = "cache.expire",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("key" = String, Path, description = "The key, percent-encoded"),
    ),
    request_body = CacheExpireBody,
    responses((status = 200, description = "Changed.", body = CacheStored)),
)]
async fn expire(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath((namespace, key)): ApiPath<(String, String)>,
    ApiJson(body): ApiJson<CacheExpireBody>,
) -> ApiResult<ApiJson<CacheStored>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let key = Key::parse(&key)?;
        let life = expiry(body.ttl_ms)?;
        let version = body.version.map(|version| version.0);
        cache.expire(&context, namespace, key, life, version).await
    };
    let stored = services
        .gate
        .call(&session, &ops::CACHE_EXPIRE, target, call)
        .await?;
    Ok(ApiJson(stored.into()))
}

/// Stores many values.
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/batch-set", operation_id = "cache.batch_set",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body = CacheBatchSetBody,
    responses((status = 200, description = "How each item ended.", body = CacheItemResults)),
)]
async fn batch_set(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
    ApiJson(body): ApiJson<CacheBatchSetBody>,
) -> ApiResult<ApiJson<CacheItemResults>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let changes = each_item(body.items, put)?;
        cache
            .batch(&context, namespace, changes, Atomicity::parse(body.atomic))
            .await
    };
    let results = services
        .gate
        .call(&session, &ops::CACHE_BATCH_SET, target, call)
        .await?;
    Ok(ApiJson(item_results(results)))
}

/// Deletes many entries.
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/batch-delete", operation_id = "cache.batch_delete",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body = CacheBatchDeleteBody,
    responses((status = 200, description = "How each item ended.", body = CacheItemResults)),
)]
async fn batch_delete(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
    ApiJson(body): ApiJson<CacheBatchDeleteBody>,
) -> ApiResult<ApiJson<CacheItemResults>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let changes = each_item(body.items, |item: CacheDeleteItem| {
            let kind = ChangeKind::Delete {
                version: item.version.map(|version| version.0),
            };
            Ok(Change {
                key: Key::parse(&item.key)?,
                kind,
            })
        })?;
        cache
            .batch(&context, namespace, changes, Atomicity::parse(body.atomic))
            .await
    };
    let results = services
        .gate
        .call(&session, &ops::CACHE_BATCH_DELETE, target, call)
        .await?;
    Ok(ApiJson(item_results(results)))
}

/// Reads many values at one instant.
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/batch-get", operation_id = "cache.batch_get",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body = CacheKeysBody,
    responses((status = 200, description = "The values.", body = CacheItems)),
)]
async fn batch_get(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
    ApiJson(body): ApiJson<CacheKeysBody>,
) -> ApiResult<ApiJson<CacheItems>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let keys = parse_keys(&body.keys)?;
        let found = cache.batch_get(&context, namespace, &keys).await?.answer;
        let items = body
            .keys
            .into_iter()
            .zip(found)
            .map(|(key, found)| item(key, found));
        Ok::<_, CacheError>(CacheItems {
            items: items.collect(),
        })
    };
    Ok(ApiJson(
        services
            .gate
            .call(&session, &ops::CACHE_BATCH_GET, target, call)
            .await?,
    ))
}

/// Tells which keys are present; counts as neither hit nor miss.
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/exists", operation_id = "cache.exists",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body = CacheKeysBody,
    responses((status = 200, description = "Which keys are present.", body = CachePresence)),
)]
async fn exists(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
    ApiJson(body): ApiJson<CacheKeysBody>,
) -> ApiResult<ApiJson<CachePresence>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        cache
            .exists(&context, namespace, &parse_keys(&body.keys)?)
            .await
    };
    let present = services
        .gate
        .call(&session, &ops::CACHE_EXISTS, target, call)
        .await?;
    Ok(ApiJson(CachePresence { present }))
}

/// The statistics of a namespace.
#[utoipa::path(
    get, path = "/v1/cache/{namespace}/stats", operation_id = "cache.stats",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    responses((status = 200, description = "The statistics.", body = CacheStats)),
)]
async fn stats(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
) -> ApiResult<ApiJson<CacheStats>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move { cache.stats(&context, Namespace::parse(&namespace)?).await };
    let stats = services
        .gate
        .call(&session, &ops::CACHE_STATS, target, call)
        .await?;
    Ok(ApiJson(CacheStats::new(&stats, cache.backend_name())))
}
