// The structs of the cache block: values with a hard expiry, versions and conditions, batches that are all or nothing.
namespace go support.cache
namespace py support.cache
namespace java support.cache
namespace js support.cache

include "../base.thrift"

// Stores one value.
struct CacheSetRequest {
    // Where the key lives: 1 to 128 bytes of letters, digits, `.`, `_`, `-`, `:`.
    1: required string namespace_name
    // 1 to 1,024 bytes of UTF-8 without control characters.
    2: required string key
    // At most 8 MiB.
    3: required binary value
    // Milliseconds until the value is gone, 1 to 10 years. Absent: it does not expire.
    4: optional i64 ttl_ms
    // Media type of the value, at most 128 bytes. Default `application/octet-stream`.
    5: optional string content_type
    // `always` (default), `absent`, `present`, or `version` (then `version` is required).
    6: optional string condition
    // The version that must be stored now, for the condition `version`.
    7: optional i64 version
    255: optional base.Base base
}

struct CacheSetResponse {
    // The new version; grows with every change of the entry and is never used again.
    1: required i64 version
    // When the value is gone, Unix milliseconds. Absent: it does not expire.
    2: optional i64 expires_at_ms
    255: optional base.BaseResp base_resp
}

// Reads one value. A missing key is `found = false`, never an exception.
struct CacheGetRequest {
    1: required string namespace_name
    2: required string key
    255: optional base.Base base
}

struct CacheGetResponse {
    1: required bool found
    // Present where found.
    2: optional binary value
    3: optional string content_type
    4: optional i64 version
    // Milliseconds left. Absent: it does not expire.
    5: optional i64 ttl_ms
    255: optional base.BaseResp base_resp
}

// Deletes one entry.
struct CacheDeleteRequest {
    1: required string namespace_name
    2: required string key
    // Delete only where this version is stored: code 2002 where the key is absent, 1006 where the version differs.
    3: optional i64 version
    255: optional base.Base base
}

struct CacheDeleteResponse {
    // Whether there was an entry.
    1: required bool deleted
    255: optional base.BaseResp base_resp
}

// One value of a batch; the fields as in CacheSetRequest.
struct CacheSetItem {
    1: required string key
    2: required binary value
    3: optional i64 ttl_ms
    4: optional string content_type
    5: optional string condition
    6: optional i64 version
}

// Stores many values. Every item is validated before the first write.
struct CacheBatchSetRequest {
    1: required string namespace_name
    // 1 to 1,000 items with 16 MiB of keys and values together; no key twice.
    2: required list<CacheSetItem> items
    // True (default): all or nothing, and a condition that fails refuses the whole batch, naming the item. False: a
    // status for each item.
    3: optional bool atomic
    255: optional base.Base base
}

// How one item of a batch ended.
struct CacheItemResult {
    1: required string key
    // 0 where it was done, else the number of the error.
    2: required i32 code
    // The new version, where a value was stored.
    3: optional i64 version
    // Why it was not done.
    4: optional string message
    // Whether there was an entry to delete, in a batch delete.
    5: optional bool deleted
}

struct CacheBatchSetResponse {
    // One for each item, in the order of the request.
    1: required list<CacheItemResult> results
    255: optional base.BaseResp base_resp
}

// Reads many values.
struct CacheBatchGetRequest {
    1: required string namespace_name
    // 1 to 1,000 keys.
    2: required list<string> keys
    255: optional base.Base base
}

// One value of a batch; the fields as in CacheGetResponse.
struct CacheItem {
    1: required string key
    2: required bool found
    3: optional binary value
    4: optional string content_type
    5: optional i64 version
    6: optional i64 ttl_ms
}

struct CacheBatchGetResponse {
    // One for each key, in the order of the request.
    1: required list<CacheItem> items
    255: optional base.BaseResp base_resp
}

// One entry to delete.
struct CacheDeleteItem {
    1: required string key
    // Delete only where this version is stored.
    2: optional i64 version
}

// Deletes many entries.
struct CacheBatchDeleteRequest {
    1: required string namespace_name
    // 1 to 1,000 items; no key twice.
    2: required list<CacheDeleteItem> items
    // As in CacheBatchSetRequest.
    3: optional bool atomic
    255: optional base.Base base
}

struct CacheBatchDeleteResponse {
    1: required list<CacheItemResult> results
    255: optional base.BaseResp base_resp
}

// Tells which keys are present. Does not count as a hit or a miss.
struct CacheExistsRequest {
    1: required string namespace_name
    // 1 to 1,000 keys.
    2: required list<string> keys
    255: optional base.Base base
}

struct CacheExistsResponse {
    // One for each key, in the order of the request.
    1: required list<bool> present
    255: optional base.BaseResp base_resp
}

// Changes the expiry of one entry. Code 2002 where the key is absent.
struct CacheExpireRequest {
    1: required string namespace_name
    2: required string key
    // Milliseconds from now until the value is gone. Absent: it no longer expires.
    3: optional i64 ttl_ms
    // Only where this version is stored; else code 1006.
    4: optional i64 version
    255: optional base.Base base
}

struct CacheExpireResponse {
    // The new version.
    1: required i64 version
    2: optional i64 expires_at_ms
    255: optional base.BaseResp base_resp
}

// Statistics of a namespace since the instance started.
struct CacheStatsRequest {
    1: required string namespace_name
    255: optional base.Base base
}

struct CacheStatsResponse {
    // Reads that found a live value.
    1: required i64 hits
    // Reads that found none.
    2: required i64 misses
    // hits ÷ (hits + misses); 0 where nothing was read.
    3: required double hit_rate
    // Values stored.
    4: required i64 sets
    // Entries deleted by callers.
    5: required i64 deletes
    // Entries removed because their time had come.
    6: required i64 expired
    // Entries removed to stay inside the memory bound.
    7: required i64 evicted
    // Entries held now.
    8: required i64 keys
    // Bytes of keys, values and bookkeeping held now.
    9: required i64 bytes
    // The memory bound that all namespaces share, in bytes.
    10: required i64 bytes_max
    // Which backend holds the values: `memory`.
    11: required string backend
    255: optional base.BaseResp base_resp
}
