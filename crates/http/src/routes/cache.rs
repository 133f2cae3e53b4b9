//! The `cache` block.

use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use plinth_cache::CacheError;
use plinth_cache::model::{
    Atomicity, Expiry, ExpiryFields, Found, Freshness, Key, Namespace, PutFields, Read, degraded,
    delete_item, each_item, parse_keys,
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
mod changes;
mod loading;
mod namespaces;
mod stats;
mod tags;
mod whole;

use self::body::{
    CacheBatchDeleteBody, CacheBatchGetBody, CacheBatchSetBody, CacheDeleteItem, CacheDeleted,
    CacheExpireBody, CacheFence, CacheItemResults, CacheItems, CacheKeysBody, CachePresence,
    CacheStored, FenceQuery, GetQuery, SetQuery, delete_condition, item_read, item_results, put,
    set_condition,
};
use self::tags::{ApiTags, TAGS, tags_header};

/// The header with the milliseconds that a value has left.
const TTL_MS: HeaderName = HeaderName::from_static("plinth-ttl-ms");
/// The header with the milliseconds since a value was stored.
const AGE_MS: HeaderName = HeaderName::from_static("plinth-age-ms");
/// The header that says that a value is stale.
const FRESHNESS: HeaderName = HeaderName::from_static("plinth-freshness");
/// The header with the flags of a value, where they are not 0.
const FLAGS: HeaderName = HeaderName::from_static("plinth-flags");
/// The header that says that the answer comes from a layer that stands in for a backend that is away.
const DEGRADED: HeaderName = HeaderName::from_static("plinth-degraded");

pub(crate) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(set, get, delete))
        .routes(routes!(expire))
        .routes(routes!(batch_set))
        .routes(routes!(batch_get))
        .routes(routes!(batch_delete))
        .routes(routes!(exists))
        .merge(changes::router())
        .merge(loading::router())
        .merge(namespaces::router())
        .merge(stats::router())
        .merge(whole::router())
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
        ("Plinth-Tags" = Option<String>, Header, description = "Tags by which it can be invalidated: at most 16, separated by commas, percent-encoded"),
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
    ApiTags(tags): ApiTags,
    body: ApiBytes,
) -> ApiResult<ApiJson<CacheStored>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let key = Key::parse(&key)?;
        let (fields, fence) = query.into_parts()?;
        let fields = PutFields {
            value: body.bytes,
            content_type: body.content_type,
            tags,
            ..fields
        };
        let put = fields.parse_with(set_condition(conditions)?)?;
        cache.set(&context, namespace, key, put, fence).await
    };
    let stored = services
        .gate
        .call(&session, &ops::CACHE_SET, target, call)
        .await?;
    Ok(ApiJson(stored.into()))
}

/// Reads a value: the body is the value, `ETag` its version, `Plinth-Ttl-Ms` the milliseconds it has left. Where it is absent
/// and the namespace has a loader, it is loaded.
#[utoipa::path(
    get, path = "/v1/cache/{namespace}/entries/{key}", operation_id = "cache.get",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("key" = String, Path, description = "The key, percent-encoded"),
        GetQuery,
    ),
    responses(
        (status = 200, description = "The value.", body = Vec<u8>, content_type = "application/octet-stream",
            headers(("ETag" = String, description = "The version, quoted"),
                ("Plinth-Ttl-Ms" = i64, description = "Milliseconds left; absent where it does not expire"),
                ("Plinth-Age-Ms" = i64, description = "Milliseconds since it was stored"),
                ("Plinth-Freshness" = String, description = "`stale`: still live, to be refreshed; absent where it is fresh"),
                ("Plinth-Flags" = i64, description = "As it was stored; absent where 0"),
                ("Plinth-Tags" = String, description = "Its tags, separated by commas, percent-encoded; absent where it has none"),
                ("Plinth-Degraded" = bool, description = "`true`: from a layer that stands in for a backend that is away"))),
        (status = 404, description = "The key is absent (2002); the details `known_absent` and `ttl_ms` say that this is known, and for how long."),
    ),
)]
async fn get(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath((namespace, key)): ApiPath<(String, String)>,
    ApiQuery(query): ApiQuery<GetQuery>,
) -> ApiResult<impl IntoResponse> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let key = Key::parse(&key)?;
        match query.load {
            Some(false) => cache.get_stored(&context, namespace, &key).await,
            Some(true) | None => cache.get(&context, namespace, &key).await,
        }
    };
    let reply = services
        .gate
        .call(&session, &ops::CACHE_GET, target, call)
        .await?;
    let is_degraded = reply.degraded;
    let found = match reply.answer {
        Read::Found(found) => found,
        read => return Err(absent(&read, is_degraded).into()),
    };
    let mut headers = value_headers(&found);
    if is_degraded {
        headers.insert(DEGRADED, HeaderValue::from_static("true"));
    }
    Ok((headers, found.value.bytes))
}

/// The refusal of a read that found no value, and what is known of it.
fn absent(read: &Read, is_degraded: bool) -> Error {
    let mut error = Error::new(ErrorCode::CacheKeyNotFound, "key is absent");
    if let Read::KnownAbsent(known) = read {
        error = error.with_detail("known_absent", "true");
        if let Some(ttl_ms) = known.ttl_ms {
            error = error.with_detail("ttl_ms", ttl_ms.to_string());
        }
    }
    if is_degraded {
        error = error.with_detail("degraded", "true");
    }
    error
}

fn value_headers(found: &Found) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    // The content type was checked to be visible ASCII when it came in.
    if let Ok(content_type) = HeaderValue::from_str(found.value.content_type.as_str()) {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    headers.insert(header::ETAG, version_tag(found.version));
    headers.insert(AGE_MS, HeaderValue::from(found.age_ms));
    if let Some(ttl_ms) = found.ttl_ms {
        headers.insert(TTL_MS, HeaderValue::from(ttl_ms));
    }
    if found.freshness() == Freshness::Stale {
        headers.insert(FRESHNESS, HeaderValue::from_static("stale"));
    }
    if found.value.flags != 0 {
        headers.insert(FLAGS, HeaderValue::from(found.value.flags));
    }
    if let Some(tags) = tags_header(&found.tags) {
        headers.insert(TAGS, tags);
    }
    headers
}

/// Deletes an entry. With `If-Match: "version"`: only where that version is stored.
#[utoipa::path(
    delete, path = "/v1/cache/{namespace}/entries/{key}", operation_id = "cache.delete",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("key" = String, Path, description = "The key, percent-encoded"),
        FenceQuery,
        ("If-Match" = Option<String>, Header, description = "A quoted version"),
    ),
    responses((status = 200, description = "Whether there was an entry.", body = CacheDeleted)),
)]
async fn delete(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath((namespace, key)): ApiPath<(String, String)>,
    ApiQuery(query): ApiQuery<FenceQuery>,
    conditions: Conditions,
) -> ApiResult<ApiJson<CacheDeleted>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let key = Key::parse(&key)?;
        let version = delete_condition(conditions)?;
        let fence = query.parse()?;
        cache.delete(&context, namespace, key, version, fence).await
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
        let life = Expiry::parse_change(ExpiryFields {
            ttl_ms: body.ttl_ms,
            expires_at_ms: body.expires_at_ms,
            sliding_ms: body.sliding_ms,
            persist: None,
        })?;
        let version = body.version.map(|version| version.0);
        let fence = CacheFence::parse(body.fence)?;
        cache
            .expire(&context, namespace, key, life, version, fence)
            .await
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
        let fence = CacheFence::parse(body.fence)?;
        cache
            .batch(
                &context,
                namespace,
                changes,
                Atomicity::parse(body.atomic),
                fence,
            )
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
            delete_item(&item.key, item.version.map(|version| version.0))
        })?;
        let fence = CacheFence::parse(body.fence)?;
        cache
            .batch(
                &context,
                namespace,
                changes,
                Atomicity::parse(body.atomic),
                fence,
            )
            .await
    };
    let results = services
        .gate
        .call(&session, &ops::CACHE_BATCH_DELETE, target, call)
        .await?;
    Ok(ApiJson(item_results(results)))
}

/// Reads many values at one instant. Where the namespace has a loader, those that are absent are loaded, each alone.
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/batch-get", operation_id = "cache.batch_get",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body = CacheBatchGetBody,
    responses((status = 200, description = "The values.", body = CacheItems)),
)]
async fn batch_get(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
    ApiJson(body): ApiJson<CacheBatchGetBody>,
) -> ApiResult<ApiJson<CacheItems>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let keys = parse_keys(&body.keys)?;
        let reply = match body.load {
            Some(false) => cache.batch_get_stored(&context, namespace, &keys).await?,
            Some(true) | None => cache.batch_get(&context, namespace, &keys).await?,
        };
        let degraded = degraded(&reply);
        let items = body.keys.into_iter().zip(reply.answer);
        Ok::<_, CacheError>(CacheItems {
            items: items.map(|(key, read)| item_read(key, read)).collect(),
            degraded,
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
