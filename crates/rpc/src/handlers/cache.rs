//! The `cache` block.

use plinth_cache::model::{
    Atomicity, Change, ChangeKind, Changed, Condition, Content, Expiry, ExpiryFields, Key,
    Namespace, Put, Read, Tags, Value, each_item, parse_keys,
};
use plinth_cache::{CacheError, ItemResults};
use plinth_core::{Error, Resource, Result};
use plinth_gate::catalogue::ops;
use plinth_gate::{Session, Target};
use plinth_idl::cache::*;

use super::convert::outward;
use crate::services::Services;

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
        let put = Put {
            content: Content::Value(Value::parse(
                request.value,
                request.content_type.as_deref(),
                None,
            )?),
            life: expiry(request.ttl_ms)?,
            condition: Condition::parse(request.condition.as_deref(), request.version)?,
            tags: Tags::default(),
            lease: None,
        };
        services.cache.set(&context, namespace, key, put).await
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
        services.cache.get(&context, namespace, &key).await
    };
    let reply = services
        .gate
        .call(session, &ops::CACHE_GET, target, call)
        .await?;
    let found = reply.answer.found();
    Ok(
        found.map_or_else(CacheGetResponse::default, |found| CacheGetResponse {
            found: true,
            content_type: Some(found.value.content_type.as_str().to_owned().into()),
            value: Some(found.value.bytes),
            version: Some(found.version),
            ttl_ms: found.ttl_ms.map(outward),
            base_resp: None,
        }),
    )
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
        services
            .cache
            .delete(&context, namespace, key, request.version)
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
        let changes = each_item(request.items, put)?;
        services
            .cache
            .batch(&context, namespace, changes, atomicity)
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
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let keys = parse_keys(&request.keys)?;
        let found = services
            .cache
            .batch_get(&context, namespace, &keys)
            .await?
            .answer;
        Ok::<_, CacheError>(
            request
                .keys
                .into_iter()
                .zip(found)
                .map(|(key, found)| item(key, found)),
        )
    };
    let items = services
        .gate
        .call(session, &ops::CACHE_BATCH_GET, target, call)
        .await?;
    Ok(CacheBatchGetResponse {
        items: items.collect(),
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
        let changes = each_item(request.items, |item: CacheDeleteItem| {
            let kind = ChangeKind::Delete {
                version: item.version,
            };
            Ok(Change {
                key: Key::parse(&item.key)?,
                kind,
            })
        })?;
        services
            .cache
            .batch(&context, namespace, changes, atomicity)
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
        let life = expiry(request.ttl_ms)?;
        services
            .cache
            .expire(&context, namespace, key, life, request.version)
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

pub(crate) async fn stats(
    services: &Services,
    session: &Session,
    request: CacheStatsRequest,
) -> Result<CacheStatsResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        services.cache.stats(&context, namespace).await
    };
    let stats = services
        .gate
        .call(session, &ops::CACHE_STATS, target, call)
        .await?;
    Ok(CacheStatsResponse {
        hits: outward(stats.hits),
        misses: outward(stats.misses),
        hit_rate: stats.hit_rate(),
        sets: outward(stats.sets),
        deletes: outward(stats.deletes),
        expired: outward(stats.held.expired),
        evicted: outward(stats.held.evicted),
        keys: outward(stats.held.keys),
        bytes: outward(stats.held.bytes),
        bytes_max: outward(stats.held.bytes_max.unwrap_or(0)),
        backend: services.cache.backend_name().into(),
        base_resp: None,
    })
}

fn expiry(ttl_ms: Option<i64>) -> Result<Expiry> {
    Expiry::parse(ExpiryFields {
        ttl_ms,
        ..ExpiryFields::default()
    })
}

fn put(item: CacheSetItem) -> Result<Change<Expiry>> {
    Ok(Change {
        key: Key::parse(&item.key)?,
        kind: ChangeKind::Put(Put {
            content: Content::Value(Value::parse(
                item.value,
                item.content_type.as_deref(),
                None,
            )?),
            life: expiry(item.ttl_ms)?,
            condition: Condition::parse(item.condition.as_deref(), item.version)?,
            tags: Tags::default(),
            lease: None,
        }),
    })
}

fn item(key: faststr::FastStr, read: Read) -> CacheItem {
    let Some(found) = read.found() else {
        return CacheItem {
            key,
            ..Default::default()
        };
    };
    CacheItem {
        key,
        found: true,
        content_type: Some(found.value.content_type.as_str().to_owned().into()),
        value: Some(found.value.bytes),
        version: Some(found.version),
        ttl_ms: found.ttl_ms.map(outward),
    }
}

fn item_results(results: ItemResults) -> Vec<CacheItemResult> {
    let result = |(key, outcome): (Key, Result<Changed, CacheError>)| {
        let key = key.as_str().to_owned().into();
        match outcome {
            Ok(
                Changed::Stored(stored)
                | Changed::Counted { stored, .. }
                | Changed::Appended { stored, .. },
            ) => CacheItemResult {
                key,
                version: Some(stored.version),
                ..Default::default()
            },
            Ok(Changed::Touched(_)) => CacheItemResult {
                key,
                ..Default::default()
            },
            Ok(Changed::Deleted { existed }) => CacheItemResult {
                key,
                deleted: Some(existed),
                ..Default::default()
            },
            Err(error) => {
                let error = Error::from(error);
                CacheItemResult {
                    key,
                    code: error.code().number().into(),
                    message: Some(error.message().to_owned().into()),
                    ..Default::default()
                }
            }
        }
    };
    results.into_iter().map(result).collect()
}
