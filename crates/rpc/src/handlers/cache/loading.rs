//! Loads that callers ask for.

use plinth_cache::model::{Key, KeyLoad, KeyLoadFields, Namespace, parse_keys};
use plinth_core::Result;
use plinth_gate::Session;
use plinth_gate::catalogue::ops;
use plinth_idl::cache::*;

use super::target;
use crate::services::Services;

pub(crate) async fn refresh(
    services: &Services,
    session: &Session,
    request: CacheRefreshRequest,
) -> Result<CacheRefreshResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let keys = parse_keys(&request.keys)?;
        services.cache.refresh(&context, namespace, keys).await
    };
    let loads = services
        .gate
        .call(session, &ops::CACHE_REFRESH, target, call)
        .await?;
    Ok(CacheRefreshResponse {
        results: results(loads),
        base_resp: None,
    })
}

pub(crate) async fn preload(
    services: &Services,
    session: &Session,
    request: CachePreloadRequest,
) -> Result<CachePreloadResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let keys: Vec<Key> = match request.keys {
            Some(keys) if !keys.is_empty() => parse_keys(&keys)?,
            Some(_) | None => Vec::new(),
        };
        services.cache.preload(&context, namespace, keys).await
    };
    let loads = services
        .gate
        .call(session, &ops::CACHE_PRELOAD, target, call)
        .await?;
    Ok(CachePreloadResponse {
        results: results(loads),
        base_resp: None,
    })
}

fn results(loads: Vec<KeyLoad>) -> Vec<CacheKeyLoad> {
    let result = |load| {
        let fields = KeyLoadFields::from(load);
        CacheKeyLoad {
            key: fields.key.into(),
            code: fields.code.into(),
            state: fields.state.map(Into::into),
            version: fields.version,
            message: fields.message.map(Into::into),
        }
    };
    loads.into_iter().map(result).collect()
}
