//! The `cache` block.

use plinth_cache::backend::Atomicity;
use plinth_cache::model::{
    Change, ChangeKind, Changed, Condition, Found, Key, Namespace, Ttl, Value, parse_keys,
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
        let value = Value::parse(&request.value, request.content_type.as_deref())?;
        let ttl = request.ttl_ms.map(Ttl::parse).transpose()?;
        let condition = Condition::parse(request.condition.as_deref(), request.version)?;
        services
            .cache
            .set(&context, namespace, key, value, ttl, condition)
            .await
    };
    let changed = services
        .gate
        .call(session, &ops::CACHE_SET, target, call)
        .await?;
    let (version, expires_at_ms) = stored(changed)?;
    Ok(CacheSetResponse {
        version,
        expires_at_ms,
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
    let found = services
        .gate
        .call(session, &ops::CACHE_GET, target, call)
        .await?;
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
        let atomicity = atomicity(request.atomic);
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
        let found = services.cache.batch_get(&context, namespace, &keys).await?;
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
        let atomicity = atomicity(request.atomic);
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
        let ttl = request.ttl_ms.map(Ttl::parse).transpose()?;
        services
            .cache
            .expire(&context, namespace, key, ttl, request.version)
            .await
    };
    let changed = services
        .gate
        .call(session, &ops::CACHE_EXPIRE, target, call)
        .await?;
    let (version, expires_at_ms) = stored(changed)?;
    Ok(CacheExpireResponse {
        version,
        expires_at_ms,
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
        expired: outward(stats.expired),
        evicted: outward(stats.evicted),
        keys: outward(stats.keys),
        bytes: outward(stats.bytes),
        bytes_max: outward(stats.bytes_max),
        backend: services.cache.backend_name().into(),
        base_resp: None,
    })
}

/// A batch is all or nothing unless told otherwise.
fn atomicity(atomic: Option<bool>) -> Atomicity {
    if atomic.unwrap_or(true) {
        Atomicity::AllOrNothing
    } else {
        Atomicity::EachAlone
    }
}

/// Parses each item; a refusal names its place.
fn each_item<T>(items: Vec<T>, parse: impl Fn(T) -> Result<Change>) -> Result<Vec<Change>> {
    let in_place = |(index, item)| {
        parse(item).map_err(|error: Error| error.in_field(&format!("items[{index}]")))
    };
    items.into_iter().enumerate().map(in_place).collect()
}

fn put(item: CacheSetItem) -> Result<Change> {
    Ok(Change {
        key: Key::parse(&item.key)?,
        kind: ChangeKind::Put {
            value: Value::parse(&item.value, item.content_type.as_deref())?,
            ttl: item.ttl_ms.map(Ttl::parse).transpose()?,
            condition: Condition::parse(item.condition.as_deref(), item.version)?,
        },
    })
}

fn stored(changed: Changed) -> Result<(i64, Option<i64>)> {
    match changed {
        Changed::Stored {
            version,
            expires_at_ms,
        } => Ok((version, expires_at_ms)),
        Changed::Deleted { .. } => Err(Error::internal("a store was answered as a delete")),
    }
}

fn item(key: faststr::FastStr, found: Option<Found>) -> CacheItem {
    let Some(found) = found else {
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
            Ok(Changed::Stored { version, .. }) => CacheItemResult {
                key,
                version: Some(version),
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
