//! Changes beside storing and deleting.

use axum::extract::State;
use plinth_cache::model::{
    Append, Bounds, Condition, ContentType, Expiry, ExpiryFields, Increment, Key, Namespace,
    created_and_renewed,
};
use plinth_core::WideInt;
use plinth_gate::catalogue::ops;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{CacheFence, CacheItem, base64, item};
use super::target;
use crate::extract::{ApiJson, ApiPath, ApiSession};
use crate::problem::ApiResult;
use crate::services::Services;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(get_and_touch))
        .routes(routes!(increment))
        .routes(routes!(append))
}

/// A new expiry for what is read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CacheTouchBody {
    /// Milliseconds until the value is gone.
    ttl_ms: Option<i64>,
    /// When the value is gone, Unix milliseconds, kept to the millisecond.
    expires_at_ms: Option<i64>,
    /// Milliseconds after the last read or write until the value is gone; never past `ttl_ms`, or one day.
    sliding_ms: Option<i64>,
    /// True: no expiry.
    persist: Option<bool>,
    /// The lock under which it is changed.
    fence: Option<CacheFence>,
}

/// What was read, with its new version and remaining time.
#[derive(Serialize, ToSchema)]
struct CacheTouched {
    /// The value, or `found` false.
    item: CacheItem,
}

/// Reads one value and gives it a new expiry.
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/entries/{key}/touch", operation_id = "cache.get_and_touch",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("key" = String, Path, description = "The key, percent-encoded"),
    ),
    request_body = CacheTouchBody,
    responses((status = 200, description = "The value.", body = CacheTouched)),
)]
async fn get_and_touch(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath((namespace, key)): ApiPath<(String, String)>,
    ApiJson(body): ApiJson<CacheTouchBody>,
) -> ApiResult<ApiJson<CacheTouched>> {
    let target = target(&namespace);
    let name = key.clone();
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let key = Key::parse(&key)?;
        let life = Expiry::parse(ExpiryFields {
            ttl_ms: body.ttl_ms,
            expires_at_ms: body.expires_at_ms,
            sliding_ms: body.sliding_ms,
            persist: body.persist,
        })?;
        let fence = CacheFence::parse(body.fence)?;
        cache
            .get_and_touch(&context, namespace, key, life, fence)
            .await
    };
    let read = services
        .gate
        .call(&session, &ops::CACHE_GET_AND_TOUCH, target, call)
        .await?;
    Ok(ApiJson(CacheTouched {
        item: item(name, read),
    }))
}

/// What is added to a counter.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CacheIncrementBody {
    /// What is added; may be negative. Default 1.
    #[schema(value_type = Option<String>)]
    delta: Option<WideInt>,
    /// What an absent counter counts from. Without it an absent one is refused (2002).
    #[schema(value_type = Option<String>)]
    initial: Option<WideInt>,
    /// The lowest number allowed; a sum below is refused (2006).
    #[schema(value_type = Option<String>)]
    min: Option<WideInt>,
    /// The highest number allowed; a sum above is refused (2006).
    #[schema(value_type = Option<String>)]
    max: Option<WideInt>,
    /// Milliseconds until a counter that is created is gone.
    ttl_ms: Option<i64>,
    /// When a counter that is created is gone, Unix milliseconds.
    expires_at_ms: Option<i64>,
    /// Milliseconds after the last read or write until a counter that is created is gone.
    sliding_ms: Option<i64>,
    /// True: no expiry.
    persist: Option<bool>,
    /// True: a counter that was there gets that expiry too.
    renew: Option<bool>,
    /// The lock under which it is counted.
    fence: Option<CacheFence>,
}

/// The counter now.
#[derive(Serialize, ToSchema)]
struct CacheCounted {
    /// The number.
    #[schema(value_type = String)]
    number: WideInt,
    /// The new version.
    #[schema(value_type = String)]
    version: WideInt,
    /// When it is gone, Unix milliseconds; absent where it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<i64>,
}

/// Adds to a counter: a value that is a decimal 64-bit integer (2005 where it is none).
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/entries/{key}/increment", operation_id = "cache.increment",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("key" = String, Path, description = "The key, percent-encoded"),
    ),
    request_body = CacheIncrementBody,
    responses((status = 200, description = "The counter.", body = CacheCounted)),
)]
async fn increment(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath((namespace, key)): ApiPath<(String, String)>,
    ApiJson(body): ApiJson<CacheIncrementBody>,
) -> ApiResult<ApiJson<CacheCounted>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let key = Key::parse(&key)?;
        let expiry = ExpiryFields {
            ttl_ms: body.ttl_ms,
            expires_at_ms: body.expires_at_ms,
            sliding_ms: body.sliding_ms,
            persist: body.persist,
        };
        let (created, renewed) = created_and_renewed(expiry, body.renew)?;
        let number = |field: Option<WideInt>| field.map(|number| number.0);
        let increment = Increment {
            delta: number(body.delta).unwrap_or(1),
            initial: number(body.initial),
            bounds: Bounds::parse(number(body.min), number(body.max))?,
            created,
            renewed,
        };
        let fence = CacheFence::parse(body.fence)?;
        cache
            .increment(&context, namespace, key, increment, fence)
            .await
    };
    let (number, stored) = services
        .gate
        .call(&session, &ops::CACHE_INCREMENT, target, call)
        .await?;
    Ok(ApiJson(CacheCounted {
        number: WideInt(number),
        version: WideInt(stored.version),
        expires_at_ms: stored.expires_at_ms,
    }))
}

/// What is added at the end of a value.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CacheAppendBody {
    /// The bytes, in base64 (RFC 4648, padded).
    value_base64: String,
    /// Media type of a value that is created.
    content_type: Option<String>,
    /// `always` (default), `absent`, `present` or `version`.
    condition: Option<String>,
    /// The version that must be stored, for the condition `version`.
    #[schema(value_type = Option<String>)]
    version: Option<WideInt>,
    /// Milliseconds until a value that is created is gone.
    ttl_ms: Option<i64>,
    /// When a value that is created is gone, Unix milliseconds.
    expires_at_ms: Option<i64>,
    /// Milliseconds after the last read or write until a value that is created is gone.
    sliding_ms: Option<i64>,
    /// True: no expiry.
    persist: Option<bool>,
    /// True: a value that was there gets that expiry too.
    renew: Option<bool>,
    /// The lock under which it grows.
    fence: Option<CacheFence>,
}

/// The value has grown.
#[derive(Serialize, ToSchema)]
struct CacheAppended {
    /// Bytes of the value now.
    length: u64,
    /// The new version.
    #[schema(value_type = String)]
    version: WideInt,
    /// When it is gone, Unix milliseconds; absent where it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<i64>,
}

/// Adds bytes at the end of a value, which stays within 8 MiB.
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/entries/{key}/append", operation_id = "cache.append",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("key" = String, Path, description = "The key, percent-encoded"),
    ),
    request_body = CacheAppendBody,
    responses((status = 200, description = "It has grown.", body = CacheAppended)),
)]
async fn append(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath((namespace, key)): ApiPath<(String, String)>,
    ApiJson(body): ApiJson<CacheAppendBody>,
) -> ApiResult<ApiJson<CacheAppended>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let key = Key::parse(&key)?;
        let expiry = ExpiryFields {
            ttl_ms: body.ttl_ms,
            expires_at_ms: body.expires_at_ms,
            sliding_ms: body.sliding_ms,
            persist: body.persist,
        };
        let (created, renewed) = created_and_renewed(expiry, body.renew)?;
        let version = body.version.map(|version| version.0);
        let append = Append {
            bytes: base64("value_base64", &body.value_base64)?,
            content_type: ContentType::parse(body.content_type.as_deref())?,
            condition: Condition::parse(body.condition.as_deref(), version)?,
            created,
            renewed,
        };
        let fence = CacheFence::parse(body.fence)?;
        cache.append(&context, namespace, key, append, fence).await
    };
    let (length, stored) = services
        .gate
        .call(&session, &ops::CACHE_APPEND, target, call)
        .await?;
    Ok(ApiJson(CacheAppended {
        length,
        version: WideInt(stored.version),
        expires_at_ms: stored.expires_at_ms,
    }))
}
