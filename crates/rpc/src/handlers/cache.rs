//! The `cache` block.

use faststr::FastStr;
use plinth_cache::ItemResults;
use plinth_cache::model::{
    Atomicity, CONTENT_TYPE_DEFAULT, ContentType, Expiry, ExpiryFields, ItemFields, ItemRead, Key,
    Namespace, PutFields, Read, degraded, delete_item, each_item, narrow, parse_keys,
};
use plinth_core::{Fence, Resource, Result};
use plinth_gate::catalogue::ops;
use plinth_gate::{Session, Target};
use plinth_idl::cache::*;
use plinth_idl::common;

use super::convert::{text, text_list};
use crate::services::Services;

mod changes;
mod loading;
mod namespaces;
mod numbers;
mod whole;

pub(crate) use self::changes::{append, get_and_touch, increment};
pub(crate) use self::loading::{preload, refresh};
pub(crate) use self::namespaces::{
    define_namespace, delete_namespace, get_namespace, list_namespaces,
};
pub(crate) use self::numbers::{hot_keys, stats};
pub(crate) use self::whole::{clear, get_or_lease, invalidate_tags, release_lease, scan};

fn target(namespace: &str) -> Target {
    Target::resource(Resource::new("cache", namespace))
}

pub(crate) async fn set(
    services: &Services,
    session: &Session,
    request: CacheSetRequest,
) -> Result<CacheSetResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let key = Key::parse(&request.key)?;
        let fence = fence(request.fence)?;
        let put = PutFields {
            value: request.value,
            content_type: text(request.content_type),
            flags: request.flags,
            expiry: ExpiryFields {
                ttl_ms: request.ttl_ms,
                expires_at_ms: request.expires_at_ms,
                sliding_ms: request.sliding_ms,
                persist: request.persist,
            },
            condition: text(request.condition),
            version: request.version,
            tags: text_list(request.tags.unwrap_or_default()),
            known_absent: request.known_absent,
            lease_token: request.lease_token,
        };
        let put = put.parse()?;
        services
            .cache
            .set(&context, namespace, key, put, fence)
            .await
    };
    let stored = services
        .gate
        .call(session, &ops::CACHE_SET, target, call)
        .await?;
    Ok(CacheSetResponse {
        version: stored.version,
        expires_at_ms: stored.expires_at_ms,
        ..Default::default()
    })
}

pub(crate) async fn get(
    services: &Services,
    session: &Session,
    request: CacheGetRequest,
) -> Result<CacheGetResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let key = Key::parse(&request.key)?;
        match request.load {
            Some(false) => services.cache.get_stored(&context, namespace, &key).await,
            Some(true) | None => services.cache.get(&context, namespace, &key).await,
        }
    };
    let reply = services
        .gate
        .call(session, &ops::CACHE_GET, target, call)
        .await?;
    let degraded = degraded(&reply);
    let item = item(FastStr::empty(), reply.answer);
    Ok(CacheGetResponse {
        found: item.found,
        value: item.value,
        content_type: item.content_type,
        version: item.version,
        ttl_ms: item.ttl_ms,
        freshness: item.freshness,
        age_ms: item.age_ms,
        flags: item.flags,
        tags: item.tags,
        known_absent: item.known_absent,
        degraded,
        base_resp: None,
    })
}

pub(crate) async fn delete(
    services: &Services,
    session: &Session,
    request: CacheDeleteRequest,
) -> Result<CacheDeleteResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let key = Key::parse(&request.key)?;
        let fence = fence(request.fence)?;
        services
            .cache
            .delete(&context, namespace, key, request.version, fence)
            .await
    };
    let deleted = services
        .gate
        .call(session, &ops::CACHE_DELETE, target, call)
        .await?;
    Ok(CacheDeleteResponse {
        deleted,
        ..Default::default()
    })
}

pub(crate) async fn batch_set(
    services: &Services,
    session: &Session,
    request: CacheBatchSetRequest,
) -> Result<CacheBatchSetResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let atomicity = Atomicity::parse(request.atomic);
        let fence = fence(request.fence)?;
        let changes = each_item(request.items, |item: CacheSetItem| {
            let key = item.key.clone();
            put_fields(item).into_change(&key)
        })?;
        services
            .cache
            .batch(&context, namespace, changes, atomicity, fence)
            .await
    };
    let results = services
        .gate
        .call(session, &ops::CACHE_BATCH_SET, target, call)
        .await?;
    Ok(CacheBatchSetResponse {
        results: item_results(results),
        ..Default::default()
    })
}

pub(crate) async fn batch_get(
    services: &Services,
    session: &Session,
    request: CacheBatchGetRequest,
) -> Result<CacheBatchGetResponse> {
    let target = target(&request.namespace_name);
    let asked = &request;
    let call = |context| async move {
        let namespace = Namespace::parse(&asked.namespace_name)?;
        let keys = parse_keys(&asked.keys)?;
        let cache = &services.cache;
        match asked.load {
            Some(false) => cache.batch_get_stored(&context, namespace, &keys).await,
            Some(true) | None => cache.batch_get(&context, namespace, &keys).await,
        }
    };
    let reply = services
        .gate
        .call(session, &ops::CACHE_BATCH_GET, target, call)
        .await?;
    let degraded = degraded(&reply);
    let items = request.keys.into_iter().zip(reply.answer);
    Ok(CacheBatchGetResponse {
        items: items.map(|(key, read)| item_read(key, read)).collect(),
        degraded,
        ..Default::default()
    })
}

pub(crate) async fn batch_delete(
    services: &Services,
    session: &Session,
    request: CacheBatchDeleteRequest,
) -> Result<CacheBatchDeleteResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let atomicity = Atomicity::parse(request.atomic);
        let fence = fence(request.fence)?;
        let changes = each_item(request.items, |item: CacheDeleteItem| {
            delete_item(&item.key, item.version)
        })?;
        services
            .cache
            .batch(&context, namespace, changes, atomicity, fence)
            .await
    };
    let results = services
        .gate
        .call(session, &ops::CACHE_BATCH_DELETE, target, call)
        .await?;
    Ok(CacheBatchDeleteResponse {
        results: item_results(results),
        ..Default::default()
    })
}

pub(crate) async fn exists(
    services: &Services,
    session: &Session,
    request: CacheExistsRequest,
) -> Result<CacheExistsResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let keys = parse_keys(&request.keys)?;
        services.cache.exists(&context, namespace, &keys).await
    };
    let present = services
        .gate
        .call(session, &ops::CACHE_EXISTS, target, call)
        .await?;
    Ok(CacheExistsResponse {
        present,
        ..Default::default()
    })
}

pub(crate) async fn expire(
    services: &Services,
    session: &Session,
    request: CacheExpireRequest,
) -> Result<CacheExpireResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let key = Key::parse(&request.key)?;
        let fence = fence(request.fence)?;
        let life = Expiry::parse_change(ExpiryFields {
            ttl_ms: request.ttl_ms,
            expires_at_ms: request.expires_at_ms,
            sliding_ms: request.sliding_ms,
            persist: None,
        })?;
        services
            .cache
            .expire(&context, namespace, key, life, request.version, fence)
            .await
    };
    let stored = services
        .gate
        .call(session, &ops::CACHE_EXPIRE, target, call)
        .await?;
    Ok(CacheExpireResponse {
        version: stored.version,
        expires_at_ms: stored.expires_at_ms,
        ..Default::default()
    })
}

fn fence(fence: Option<common::Fence>) -> Result<Option<Fence>> {
    fence
        .map(|fence| Fence::parse(&fence.name, fence.token))
        .transpose()
}

fn put_fields(item: CacheSetItem) -> PutFields {
    PutFields {
        value: item.value,
        content_type: text(item.content_type),
        flags: item.flags,
        expiry: ExpiryFields {
            ttl_ms: item.ttl_ms,
            expires_at_ms: item.expires_at_ms,
            sliding_ms: item.sliding_ms,
            persist: item.persist,
        },
        condition: text(item.condition),
        version: item.version,
        tags: text_list(item.tags.unwrap_or_default()),
        known_absent: item.known_absent,
        lease_token: item.lease_token,
    }
}

fn item(key: FastStr, read: Read) -> CacheItem {
    // Without `ReadFields` in between: a batch makes a thousand of these.
    let found = match read {
        Read::Found(found) => found,
        Read::KnownAbsent(known) => {
            return CacheItem {
                key,
                known_absent: Some(true),
                ttl_ms: known.ttl_ms.map(narrow),
                ..CacheItem::default()
            };
        }
        Read::Absent => {
            return CacheItem {
                key,
                ..CacheItem::default()
            };
        }
    };
    let freshness = found.freshness();
    let tags = found.tags.as_slice().iter();
    let names = || tags.map(|tag| FastStr::new(tag.as_str())).collect();
    CacheItem {
        key,
        found: true,
        content_type: Some(content_type(&found.value.content_type)),
        value: Some(found.value.bytes),
        version: Some(found.version),
        ttl_ms: found.ttl_ms.map(narrow),
        freshness: Some(FastStr::from_static_str(freshness.as_str())),
        age_ms: Some(narrow(found.age_ms)),
        flags: Some(found.value.flags.into()),
        tags: (!found.tags.is_empty()).then(names),
        known_absent: None,
        code: None,
        message: None,
    }
}

/// The text of a media type; the usual one is not copied.
fn content_type(content_type: &ContentType) -> FastStr {
    if content_type.is_default() {
        FastStr::from_static_str(CONTENT_TYPE_DEFAULT)
    } else {
        FastStr::new(content_type.as_str())
    }
}

fn item_read(key: FastStr, answer: ItemRead) -> CacheItem {
    let (code, message) = answer.failure_fields();
    CacheItem {
        code: code.map(i32::from),
        message: message.map(Into::into),
        ..item(key, answer.read)
    }
}

fn item_results(results: ItemResults) -> Vec<CacheItemResult> {
    let result = |result| {
        let fields = ItemFields::from(result);
        CacheItemResult {
            key: fields.key.into(),
            code: fields.code.into(),
            version: fields.version,
            message: fields.message.map(Into::into),
            deleted: fields.deleted,
        }
    };
    results.into_iter().map(result).collect()
}
