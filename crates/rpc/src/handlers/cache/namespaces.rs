//! What administrators say about namespaces.

use plinth_cache::model::{LoaderSettings, Namespace, NamespaceInfo, NamespaceSettings};
use plinth_core::{Resource, Result};
use plinth_gate::catalogue::ops;
use plinth_gate::{Session, Target};
use plinth_idl::cache::*;

use super::target;
use crate::handlers::convert::{text, text_list};
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
        loader: settings.loader.map(loader),
        placement: text(settings.placement),
    }
}

fn loader(loader: CacheLoaderSettings) -> LoaderSettings {
    LoaderSettings {
        kind: loader.kind.to_string(),
        database: text(loader.database),
        sql: text(loader.sql),
        params: loader.params.map(text_list),
        separator: text(loader.separator),
        value: text(loader.value),
        url: text(loader.url),
        secret: text(loader.secret),
        hard_timeout_ms: loader.hard_timeout_ms,
        soft_timeout_ms: loader.soft_timeout_ms,
        on_error: text(loader.on_error),
        error_ttl_ms: loader.error_ttl_ms,
        loads_max: loader.loads_max,
        refresh_percent: loader.refresh_percent,
        warm_up: loader.warm_up.map(text_list),
        refresh_every_ms: loader.refresh_every_ms,
    }
}

fn loader_shown(loader: LoaderSettings) -> CacheLoaderSettings {
    let texts = |texts: Vec<String>| texts.into_iter().map(Into::into).collect();
    CacheLoaderSettings {
        kind: loader.kind.into(),
        database: loader.database.map(Into::into),
        sql: loader.sql.map(Into::into),
        params: loader.params.map(texts),
        separator: loader.separator.map(Into::into),
        value: loader.value.map(Into::into),
        url: loader.url.map(Into::into),
        secret: None,
        hard_timeout_ms: loader.hard_timeout_ms,
        soft_timeout_ms: loader.soft_timeout_ms,
        on_error: loader.on_error.map(Into::into),
        error_ttl_ms: loader.error_ttl_ms,
        loads_max: loader.loads_max,
        refresh_percent: loader.refresh_percent,
        warm_up: loader.warm_up.map(texts),
        refresh_every_ms: loader.refresh_every_ms,
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
            loader: settings.loader.map(loader_shown),
            placement: settings.placement.map(Into::into),
        },
        version: info.version.0,
        created_at_ms: info.created_at_ms,
        updated_at_ms: info.updated_at_ms,
    }
}
