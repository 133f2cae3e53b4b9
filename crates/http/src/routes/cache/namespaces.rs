//! What administrators say about namespaces.

use axum::extract::State;
use plinth_cache::model::{Namespace, NamespaceInfo, NamespacePage, NamespaceSettings};
use plinth_core::{Resource, WideInt};
use plinth_gate::Target;
use plinth_gate::catalogue::ops;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{CacheDeleted, NamespacesQuery};
use super::target;
use crate::extract::{ApiJson, ApiPath, ApiQuery, ApiSession};
use crate::problem::ApiResult;
use crate::services::Services;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(define_namespace, get_namespace, delete_namespace))
        .routes(routes!(list_namespaces))
}

/// A definition.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CacheDefinitionBody {
    /// How the values of the namespace live.
    settings: NamespaceSettings,
    /// Only where this version of the definition stands, 0 where there must be none.
    #[schema(value_type = Option<String>)]
    if_version: Option<WideInt>,
}

/// Defines a namespace, or changes its definition. Values that are there keep their lives.
#[utoipa::path(
    put, path = "/v1/cache/{namespace}/definition", operation_id = "cache.define_namespace",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    request_body = CacheDefinitionBody,
    responses((status = 200, description = "The definition as stored.", body = NamespaceInfo)),
)]
async fn define_namespace(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
    ApiJson(body): ApiJson<CacheDefinitionBody>,
) -> ApiResult<ApiJson<NamespaceInfo>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        let version = body.if_version.map(|version| version.0);
        cache
            .define_namespace(&context, namespace, body.settings, version)
            .await
    };
    let defined = services
        .gate
        .call(&session, &ops::CACHE_DEFINE_NAMESPACE, target, call)
        .await?;
    Ok(ApiJson(defined))
}

/// Shows the definition of a namespace.
#[utoipa::path(
    get, path = "/v1/cache/{namespace}/definition", operation_id = "cache.get_namespace",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    responses((status = 200, description = "The definition.", body = NamespaceInfo)),
)]
async fn get_namespace(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
) -> ApiResult<ApiJson<NamespaceInfo>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        cache.get_namespace(&context, &namespace).await
    };
    let found = services
        .gate
        .call(&session, &ops::CACHE_GET_NAMESPACE, target, call)
        .await?;
    Ok(ApiJson(found))
}

/// Lists the namespaces that have a definition, by name.
#[utoipa::path(
    get, path = "/v1/cache", operation_id = "cache.list_namespaces",
    params(NamespacesQuery),
    responses((status = 200, description = "A page of definitions.", body = NamespacePage)),
)]
async fn list_namespaces(
    State(services): State<Services>,
    session: ApiSession,
    ApiQuery(query): ApiQuery<NamespacesQuery>,
) -> ApiResult<ApiJson<NamespacePage>> {
    let target = Target::resource(Resource::all("cache"));
    let cache = &services.cache;
    let call = |context| async move {
        let (prefix, cursor) = (query.prefix.as_deref(), query.cursor.as_deref());
        cache
            .list_namespaces(&context, prefix, cursor, query.limit)
            .await
    };
    let page = services
        .gate
        .call(&session, &ops::CACHE_LIST_NAMESPACES, target, call)
        .await?;
    Ok(ApiJson(page))
}

/// Removes the definition of a namespace. Its values stay, each with the life it has.
#[utoipa::path(
    delete, path = "/v1/cache/{namespace}/definition", operation_id = "cache.delete_namespace",
    params(("namespace" = String, Path, description = "Name of the namespace")),
    responses((status = 200, description = "Whether there was one.", body = CacheDeleted)),
)]
async fn delete_namespace(
    State(services): State<Services>,
    session: ApiSession,
    ApiPath(namespace): ApiPath<String>,
) -> ApiResult<ApiJson<CacheDeleted>> {
    let target = target(&namespace);
    let cache = &services.cache;
    let call = |context| async move {
        let namespace = Namespace::parse(&namespace)?;
        cache.delete_namespace(&context, namespace).await
    };
    let deleted = services
        .gate
        .call(&session, &ops::CACHE_DELETE_NAMESPACE, target, call)
        .await?;
    Ok(ApiJson(CacheDeleted { deleted }))
}
