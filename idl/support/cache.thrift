// The structs of the cache block.
namespace go support.cache
namespace py support.cache
namespace java support.cache
namespace js support.cache

include "../base.thrift"

struct CacheSetRequest {
    255: optional base.Base base
}

struct CacheSetResponse {
    255: optional base.BaseResp base_resp
}

struct CacheGetRequest {
    255: optional base.Base base
}

struct CacheGetResponse {
    255: optional base.BaseResp base_resp
}

struct CacheDeleteRequest {
    255: optional base.Base base
}

struct CacheDeleteResponse {
    255: optional base.BaseResp base_resp
}

struct CacheBatchSetRequest {
    255: optional base.Base base
}

struct CacheBatchSetResponse {
    255: optional base.BaseResp base_resp
}

struct CacheBatchGetRequest {
    255: optional base.Base base
}

struct CacheBatchGetResponse {
    255: optional base.BaseResp base_resp
}

struct CacheBatchDeleteRequest {
    255: optional base.Base base
}

struct CacheBatchDeleteResponse {
    255: optional base.BaseResp base_resp
}

struct CacheExistsRequest {
    255: optional base.Base base
}

struct CacheExistsResponse {
    255: optional base.BaseResp base_resp
}

struct CacheExpireRequest {
    255: optional base.Base base
}

struct CacheExpireResponse {
    255: optional base.BaseResp base_resp
}

struct CacheStatsRequest {
    255: optional base.Base base
}

struct CacheStatsResponse {
    255: optional base.BaseResp base_resp
}
