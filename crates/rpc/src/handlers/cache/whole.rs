//! What concerns a namespace as a whole, and leases.

use plinth_cache::model::{
    Key, KeyPrefix, LeaseMs, LeaseToken, LeaseWait, Namespace, Scan, ScanLimit, ScanPlace, Tags,
    degraded, lease_fields, narrow,
};
use plinth_core::Result;
use plinth_gate::Session;
use plinth_gate::catalogue::ops;
use plinth_idl::cache::*;

use super::{fence, item, target};
use crate::services::Services;

pub(crate) async fn scan(
    services: &Services,
    session: &Session,
    request: CacheScanRequest,
) -> Result<CacheScanResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let scan = Scan {
            prefix: KeyPrefix::parse(request.prefix.as_deref())?,
            place: request
                .cursor
                .as_deref()
                .map(ScanPlace::parse)
                .transpose()?,
            limit: ScanLimit::parse(request.limit)?,
        };
        services.cache.scan(&context, namespace, scan).await
    };
    let page = services
        .gate
        .call(session, &ops::CACHE_SCAN, target, call)
        .await?;
    let item = |item: plinth_cache::model::ScanItem| CacheScanItem {
        key: item.key.as_str().to_owned().into(),
        version: item.version,
        ttl_ms: item.ttl_ms.map(narrow),
        value_bytes: narrow(item.value_bytes),
    };
    Ok(CacheScanResponse {
        items: page.items.into_iter().map(item).collect(),
        next_cursor: page.next.map(|place| place.0.into()),
        ..Default::default()
    })
}

pub(crate) async fn clear(
    services: &Services,
    session: &Session,
    request: CacheClearRequest,
) -> Result<CacheClearResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let fence = fence(request.fence)?;
        services.cache.clear(&context, namespace, fence).await
    };
    let version = services
        .gate
        .call(session, &ops::CACHE_CLEAR, target, call)
        .await?;
    Ok(CacheClearResponse {
        version,
        ..Default::default()
    })
}

pub(crate) async fn invalidate_tags(
    services: &Services,
    session: &Session,
    request: CacheInvalidateTagsRequest,
) -> Result<CacheInvalidateTagsResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let tags = Tags::parse_some(&request.tags)?;
        let fence = fence(request.fence)?;
        services
            .cache
            .invalidate_tags(&context, namespace, tags, fence)
            .await
    };
    let version = services
        .gate
        .call(session, &ops::CACHE_INVALIDATE_TAGS, target, call)
        .await?;
    Ok(CacheInvalidateTagsResponse {
        version,
        ..Default::default()
    })
}

pub(crate) async fn get_or_lease(
    services: &Services,
    session: &Session,
    request: CacheGetOrLeaseRequest,
) -> Result<CacheGetOrLeaseResponse> {
    let wait_ms = u64::try_from(request.wait_ms.unwrap_or(0)).unwrap_or(0);
    let target = target(&request.namespace_name).waiting_ms(wait_ms);
    let name = request.key.clone();
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let key = Key::parse(&request.key)?;
        let lease = LeaseMs::parse(request.lease_ms)?;
        let wait = LeaseWait::parse(request.wait_ms)?;
        services
            .cache
            .get_or_lease(&context, namespace, &key, lease, wait)
            .await
    };
    let reply = services
        .gate
        .call(session, &ops::CACHE_GET_OR_LEASE, target, call)
        .await?;
    let (lease_token, held_ms) = lease_fields(&reply.answer);
    let degraded = degraded(&reply);
    Ok(CacheGetOrLeaseResponse {
        item: item(name, reply.answer.read),
        lease_token,
        held_ms,
        degraded,
        ..Default::default()
    })
}

pub(crate) async fn release_lease(
    services: &Services,
    session: &Session,
    request: CacheReleaseLeaseRequest,
) -> Result<CacheReleaseLeaseResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let key = Key::parse(&request.key)?;
        let token = LeaseToken::new(request.lease_token);
        services
            .cache
            .release_lease(&context, namespace, &key, token)
            .await
    };
    let released = services
        .gate
        .call(session, &ops::CACHE_RELEASE_LEASE, target, call)
        .await?;
    Ok(CacheReleaseLeaseResponse {
        released,
        ..Default::default()
    })
}
