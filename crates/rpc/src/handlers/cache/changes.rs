//! Changes beside storing and deleting.

use plinth_cache::model::{
    Append, Bounds, Condition, ContentType, Expiry, ExpiryFields, Increment, Key, Namespace,
    created_and_renewed, narrow,
};
use plinth_core::Result;
use plinth_gate::Session;
use plinth_gate::catalogue::ops;
use plinth_idl::cache::*;

use super::{fence, item, target};
use crate::services::Services;

pub(crate) async fn get_and_touch(
    services: &Services,
    session: &Session,
    request: CacheGetAndTouchRequest,
) -> Result<CacheGetAndTouchResponse> {
    let target = target(&request.namespace_name);
    let name = request.key.clone();
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let key = Key::parse(&request.key)?;
        let life = Expiry::parse(ExpiryFields {
            ttl_ms: request.ttl_ms,
            expires_at_ms: request.expires_at_ms,
            sliding_ms: request.sliding_ms,
            persist: request.persist,
        })?;
        let fence = fence(request.fence)?;
        services
            .cache
            .get_and_touch(&context, namespace, key, life, fence)
            .await
    };
    let read = services
        .gate
        .call(session, &ops::CACHE_GET_AND_TOUCH, target, call)
        .await?;
    Ok(CacheGetAndTouchResponse {
        item: item(name, read),
        ..Default::default()
    })
}

pub(crate) async fn increment(
    services: &Services,
    session: &Session,
    request: CacheIncrementRequest,
) -> Result<CacheIncrementResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let key = Key::parse(&request.key)?;
        let expiry = ExpiryFields {
            ttl_ms: request.ttl_ms,
            expires_at_ms: request.expires_at_ms,
            sliding_ms: request.sliding_ms,
            persist: request.persist,
        };
        let (created, renewed) = created_and_renewed(expiry, request.renew)?;
        let increment = Increment {
            delta: request.delta.unwrap_or(1),
            initial: request.initial,
            bounds: Bounds::parse(request.min, request.max)?,
            created,
            renewed,
        };
        let fence = fence(request.fence)?;
        services
            .cache
            .increment(&context, namespace, key, increment, fence)
            .await
    };
    let (number, stored) = services
        .gate
        .call(session, &ops::CACHE_INCREMENT, target, call)
        .await?;
    Ok(CacheIncrementResponse {
        number,
        version: stored.version,
        expires_at_ms: stored.expires_at_ms,
        ..Default::default()
    })
}

pub(crate) async fn append(
    services: &Services,
    session: &Session,
    request: CacheAppendRequest,
) -> Result<CacheAppendResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let key = Key::parse(&request.key)?;
        let expiry = ExpiryFields {
            ttl_ms: request.ttl_ms,
            expires_at_ms: request.expires_at_ms,
            sliding_ms: request.sliding_ms,
            persist: request.persist,
        };
        let (created, renewed) = created_and_renewed(expiry, request.renew)?;
        let append = Append {
            bytes: request.value,
            content_type: ContentType::parse(request.content_type.as_deref())?,
            condition: Condition::parse(request.condition.as_deref(), request.version)?,
            created,
            renewed,
        };
        let fence = fence(request.fence)?;
        services
            .cache
            .append(&context, namespace, key, append, fence)
            .await
    };
    let (length, stored) = services
        .gate
        .call(session, &ops::CACHE_APPEND, target, call)
        .await?;
    Ok(CacheAppendResponse {
        length: narrow(length),
        version: stored.version,
        expires_at_ms: stored.expires_at_ms,
        ..Default::default()
    })
}
