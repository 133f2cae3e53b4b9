//! What concerns a namespace as a whole, and leases.

use axum::extract::State;
use plinth_cache::model::{
    Key, KeyPrefix, LeaseMs, LeaseToken, LeaseWait, Namespace, Scan, ScanItem, ScanLimit,
    ScanPlace, Tags, degraded, lease_fields, narrow,
};
use plinth_core::WideInt;
use plinth_gate::catalogue::ops;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{CacheFence, CacheItem, ScanQuery, item};
use super::target;
use crate::extract::{ApiJson, ApiPath, ApiQuery, ApiSession, WaitingJson};
use crate::problem::ApiResult;
use crate::services::Services;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(scan))
        .routes(routes!(clear))
        .routes(routes!(invalidate_tags))
        .routes(routes!(get_or_lease))
        .routes(routes!(release_lease))
}

/// One key of a page.
#[derive(Serialize, ToSchema)]
struct CacheScanItem {
    /// The key.
    key: String,
    /// Its version.
    #[schema(value_type = String)]
    version: WideInt,
    /// Milliseconds left; absent where it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<i64>,
    /// Bytes of the value as it is stored.
    value_bytes: i64,
}

impl From<ScanItem> for CacheScanItem {
    fn from(item: ScanItem) -> Self {
        Self {
            key: item.key.as_str().to_owned(),
            version: WideInt(item.version),
            ttl_ms: item.ttl_ms.map(narrow),
            value_bytes: narrow(item.value_bytes),
        }
    }
}

/// A page of keys.
#[derive(Serialize, ToSchema)]
struct CacheScanPage {
    /// The keys.
    items: Vec<CacheScanItem>,
    /// Where the next page begins; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Walks the keys of a namespace. A key that is present from the first page to the last is seen at least once.
#[utoipa::path(
    get, path = "/v1/cache/{namespace}/entries", operation_id = "cache.scan",
    params(("namespace" = String, Path, description = "Name of the namespace"), ScanQuery),
    responses((status = 200, description = "A page of keys.", body = CacheScanPage)),
)]
async fn scan(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
    ApiQuery(query): ApiQuery<ScanQuery>,
) -> ApiResult<ApiJson<CacheScanPage>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let scan = Scan {
            prefix: KeyPrefix::parse(query.prefix.as_deref())?,
            place: query.cursor.as_deref().map(ScanPlace::parse).transpose()?,
            limit: ScanLimit::parse(query.limit)?,
        };
        cache.scan(&context, namespace, scan).await
    };
    let page = services
        .gate
        .call(&session, &ops::CACHE_SCAN, target, call)
        .await?;
    Ok(ApiJson(CacheScanPage {
        items: page.items.into_iter().map(CacheScanItem::from).collect(),
        next_cursor: page.next.map(|place| place.0),
    }))
}

/// Under which lock a namespace is cleared.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CacheClearBody {
    /// The lock.
    fence: Option<CacheFence>,
}

/// The step from which on old entries are gone.
#[derive(Serialize, ToSchema)]
struct CacheStamp {
    /// What was stored with a lower version is gone, or absent where it carries one of the tags.
    #[schema(value_type = String)]
    version: WideInt,
}

/// Removes everything of a namespace and revokes its leases.
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/clear", operation_id = "cache.clear",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body = CacheClearBody,
    responses((status = 200, description = "Everything is gone.", body = CacheStamp)),
)]
async fn clear(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
    ApiJson(body): ApiJson<CacheClearBody>,
) -> ApiResult<ApiJson<CacheStamp>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let fence = CacheFence::parse(body.fence)?;
        cache.clear(&context, namespace, fence).await
    };
    let version = services
        .gate
        .call(&session, &ops::CACHE_CLEAR, target, call)
        .await?;
    Ok(ApiJson(CacheStamp {
        version: WideInt(version),
    }))
}

/// Which tags to invalidate.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CacheTagsBody {
    /// 1 to 16 tags.
    tags: Vec<String>,
    /// The lock under which it is done.
    fence: Option<CacheFence>,
}

/// Makes every entry absent that carries one of the tags, in one step however many there are.
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/invalidate-tags", operation_id = "cache.invalidate_tags",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body = CacheTagsBody,
    responses((status = 200, description = "They are absent.", body = CacheStamp)),
)]
async fn invalidate_tags(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
    ApiJson(body): ApiJson<CacheTagsBody>,
) -> ApiResult<ApiJson<CacheStamp>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let tags = Tags::parse_some(&body.tags)?;
        let fence = CacheFence::parse(body.fence)?;
        cache
            .invalidate_tags(&context, namespace, tags, fence)
            .await
    };
    let version = services
        .gate
        .call(&session, &ops::CACHE_INVALIDATE_TAGS, target, call)
        .await?;
    Ok(ApiJson(CacheStamp {
        version: WideInt(version),
    }))
}

/// How long the lease and the wait may take.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CacheLeaseBody {
    /// How long the lease is open, 10 to 60,000 ms. Default 5,000.
    lease_ms: Option<i64>,
    /// How long to wait for somebody else's value, 0 to 30,000 ms. Default 0.
    wait_ms: Option<i64>,
}

/// What was read, and who fills the key.
#[derive(Serialize, ToSchema)]
struct CacheLeased {
    /// The value, or `found` false.
    item: CacheItem,
    /// Present: the caller fills the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    lease_token: Option<WideInt>,
    /// Present: somebody else fills the key; milliseconds until that lease ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_ms: Option<i64>,
    /// True: the answer comes from a layer that stands in for a backend that is away.
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded: Option<bool>,
}

/// Reads one value, ready to fill it: on a miss one caller is given a lease and stores the value with its token, the others
/// wait for it, or are given the stale value at once.
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/entries/{key}/lease", operation_id = "cache.get_or_lease",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("key" = String, Path, description = "The key, percent-encoded"),
    ),
    request_body = CacheLeaseBody,
    responses((status = 200, description = "The value, or who fills it.", body = CacheLeased)),
)]
async fn get_or_lease(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath((namespace, key)): ApiPath<(String, String)>,
    WaitingJson(body): WaitingJson<CacheLeaseBody>,
) -> ApiResult<ApiJson<CacheLeased>> {
    let wait_ms = u64::try_from(body.wait_ms.unwrap_or(0)).unwrap_or(0);
    let target = target(&namespace).waiting_ms(wait_ms);
    let name = key.clone();
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let key = Key::parse(&key)?;
        let lease = LeaseMs::parse(body.lease_ms)?;
        let wait = LeaseWait::parse(body.wait_ms)?;
        cache
            .get_or_lease(&context, namespace, &key, lease, wait)
            .await
    };
    let reply = services
        .gate
        .call(&session, &ops::CACHE_GET_OR_LEASE, target, call)
        .await?;
    let (lease_token, held_ms) = lease_fields(&reply.answer);
    let degraded = degraded(&reply);
    Ok(ApiJson(CacheLeased {
        item: item(name, reply.answer.read),
        lease_token: lease_token.map(WideInt),
        held_ms,
        degraded,
    }))
}

/// Which lease to give back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CacheReleaseBody {
    /// Its token.
    #[schema(value_type = String)]
    lease_token: WideInt,
}

/// Whether the lease was open.
#[derive(Serialize, ToSchema)]
struct CacheReleased {
    /// Whether it was open.
    released: bool,
}

/// Gives a lease back without a value: the next caller gets one.
#[utoipa::path(
    post, path = "/v1/cache/{namespace}/entries/{key}/lease/release", operation_id = "cache.release_lease",
    params(
        ("namespace" = String, Path, description = "Name of the namespace"),
        ("key" = String, Path, description = "The key, percent-encoded"),
    ),
    request_body = CacheReleaseBody,
    responses((status = 200, description = "Whether it was open.", body = CacheReleased)),
)]
async fn release_lease(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath((namespace, key)): ApiPath<(String, String)>,
    ApiJson(body): ApiJson<CacheReleaseBody>,
) -> ApiResult<ApiJson<CacheReleased>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let key = Key::parse(&key)?;
        let token = LeaseToken::new(body.lease_token.0);
        cache.release_lease(&context, namespace, &key, token).await
    };
    let released = services
        .gate
        .call(&session, &ops::CACHE_RELEASE_LEASE, target, call)
        .await?;
    Ok(ApiJson(CacheReleased { released }))
}
