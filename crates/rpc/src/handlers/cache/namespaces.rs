//! What administrators say about namespaces.

use plinth_cache::model::{Namespace, NamespaceInfo, NamespaceSettings};
use plinth_core::{Resource, Result};
use plinth_gate::catalogue::ops;
use plinth_gate::{Session, Target};
use plinth_idl::cache::*;

use super::target;
use crate::handlers::convert::text;
use crate::services::Services;

pub(crate) async fn define_namespace(
    services: &Services,
    session: &Session,
    request: CacheDefineNamespaceRequest,
) -> Result<CacheDefineNamespaceResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        let settings = settings(request.settings);
        services
            .cache
            .define_namespace(&context, namespace, settings, request.if_version)
            .await
    };
    let defined = services
        .gate
        .call(session, &ops::CACHE_DEFINE_NAMESPACE, target, call)
        .await?;
    Ok(CacheDefineNamespaceResponse {
        info: info(defined),
        base_resp: None,
    })
}

pub(crate) async fn get_namespace(
    services: &Services,
    session: &Session,
    request: CacheGetNamespaceRequest,
) -> Result<CacheGetNamespaceResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        services.cache.get_namespace(&context, &namespace).await
    };
    let found = services
        .gate
        .call(session, &ops::CACHE_GET_NAMESPACE, target, call)
        .await?;
    Ok(CacheGetNamespaceResponse {
        info: info(found),
        base_resp: None,
    })
}

pub(crate) async fn list_namespaces(
    services: &Services,
    session: &Session,
    request: CacheListNamespacesRequest,
) -> Result<CacheListNamespacesResponse> {
    let target = Target::resource(Resource::all("cache"));
    let call = |context| async move {
        let (prefix, cursor) = (request.prefix.as_deref(), request.cursor.as_deref());
        services
            .cache
            .list_namespaces(&context, prefix, cursor, request.limit)
            .await
    };
    let page = services
        .gate
        .call(session, &ops::CACHE_LIST_NAMESPACES, target, call)
        .await?;
    Ok(CacheListNamespacesResponse {
        namespaces: page.namespaces.into_iter().map(info).collect(),
        next_cursor: page.next_cursor.map(Into::into),
        base_resp: None,
    })
}

pub(crate) async fn delete_namespace(
    services: &Services,
    session: &Session,
    request: CacheDeleteNamespaceRequest,
) -> Result<CacheDeleteNamespaceResponse> {
    let target = target(&request.namespace_name);
    let call = |context| async move {
        let namespace = Namespace::parse(&request.namespace_name)?;
        services.cache.delete_namespace(&context, namespace).await
    };
    let deleted = services
        .gate
        .call(session, &ops::CACHE_DELETE_NAMESPACE, target, call)
        .await?;
    Ok(CacheDeleteNamespaceResponse {
        deleted,
        base_resp: None,
    })
}

fn settings(settings: CacheNamespaceSettings) -> NamespaceSettings {
    NamespaceSettings {
        default_ttl_ms: settings.default_ttl_ms,
        default_sliding_ms: settings.default_sliding_ms,
        sliding_max_ms: settings.sliding_max_ms,
        jitter_percent: settings.jitter_percent,
        fresh_percent: settings.fresh_percent,
        negative_ttl_ms: settings.negative_ttl_ms,
        keys_max: settings.keys_max,
        bytes_max: settings.bytes_max,
        codec: text(settings.codec),
    }
}

fn info(info: NamespaceInfo) -> CacheNamespace {
    let settings = info.settings;
    CacheNamespace {
        namespace_name: info.namespace_name.into(),
        settings: CacheNamespaceSettings {
            default_ttl_ms: settings.default_ttl_ms,
            default_sliding_ms: settings.default_sliding_ms,
            sliding_max_ms: settings.sliding_max_ms,
            jitter_percent: settings.jitter_percent,
            fresh_percent: settings.fresh_percent,
            negative_ttl_ms: settings.negative_ttl_ms,
            keys_max: settings.keys_max,
            bytes_max: settings.bytes_max,
            codec: settings.codec.map(Into::into),
        },
        version: info.version.0,
        created_at_ms: info.created_at_ms,
        updated_at_ms: info.updated_at_ms,
    }
}
