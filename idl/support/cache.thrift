// The structs of the cache block: values with a hard expiry, versions and conditions, batches that are
// all or nothing, tags, leases, counters.
//
// One expiry: `ttl_ms`, `expires_at_ms`, `sliding_ms` (with `ttl_ms` as its maximum) or `persist`; else 1001.
namespace go support.cache
namespace py support.cache
namespace java support.cache
namespace js support.cache

include "../base.thrift"
include "common.thrift"

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
    // When the value is gone, Unix milliseconds, kept to the millisecond.
    8: optional i64 expires_at_ms
    // Milliseconds after the last read or write until the value is gone, at least 10; never past `ttl_ms`, or one day.
    9: optional i64 sliding_ms
    // True: no expiry.
    10: optional bool persist
    // What the caller wants to remember beside the value: 0 to 4,294,967,295. Default 0.
    11: optional i64 flags
    // Tags by which the entry can be invalidated: at most 16 of 1 to 128 bytes.
    12: optional list<string> tags
    // True: the knowledge that there is no value is stored. `value` is then empty; it lives at most 10 minutes, 5 seconds
    // unless told otherwise.
    13: optional bool known_absent
    // The lease that this value fills; 2007 where it has ended.
    14: optional i64 lease_token
    // The lock under which it is stored.
    15: optional common.Fence fence
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
// Where the namespace has a loader, a value that is not there is loaded; codes 2008 to 2012 where it cannot be.
struct CacheGetRequest {
    1: required string namespace_name
    2: required string key
    // False: only what is stored, nothing is loaded.
    3: optional bool load
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
    // `fresh`, or `stale`: still live, to be refreshed.
    6: optional string freshness
    // Milliseconds since the value was stored.
    7: optional i64 age_ms
    // As it was stored.
    8: optional i64 flags
    // The tags of the entry.
    9: optional list<string> tags
    // True: it is known that there is no value (a negative entry).
    10: optional bool known_absent
    // True: the answer comes from a layer that stands in for a backend that is away.
    11: optional bool degraded
    255: optional base.BaseResp base_resp
}

// Deletes one entry.
struct CacheDeleteRequest {
    1: required string namespace_name
    2: required string key
    // Delete only where this version is stored: code 2002 where the key is absent, 1006 where the version differs.
    3: optional i64 version
    // The lock under which it is deleted.
    4: optional common.Fence fence
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
    // When the value is gone, Unix milliseconds, kept to the millisecond.
    7: optional i64 expires_at_ms
    // Milliseconds after the last read or write until the value is gone, at least 10; never past `ttl_ms`, or one day.
    8: optional i64 sliding_ms
    // True: no expiry.
    9: optional bool persist
    // What the caller wants to remember beside the value: 0 to 4,294,967,295. Default 0.
    10: optional i64 flags
    // Tags by which the entry can be invalidated: at most 16 of 1 to 128 bytes.
    11: optional list<string> tags
    // True: the knowledge that there is no value is stored. `value` is then empty; it lives at most 10 minutes, 5 seconds
    // unless told otherwise.
    12: optional bool known_absent
    // The lease that this value fills; 2007 where it has ended.
    13: optional i64 lease_token
}

// Stores many values. Every item is validated before the first write.
struct CacheBatchSetRequest {
    1: required string namespace_name
    // 1 to 1,000 items with 16 MiB of keys and values together; no key twice.
    2: required list<CacheSetItem> items
    // True (default): all or nothing, and a condition that fails refuses the whole batch, naming the item. False: a
    // status for each item.
    3: optional bool atomic
    // The lock under which all of it is stored.
    4: optional common.Fence fence
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
    // False: only what is stored, nothing is loaded.
    3: optional bool load
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
    // `fresh`, or `stale`: still live, to be refreshed.
    7: optional string freshness
    // Milliseconds since the value was stored.
    8: optional i64 age_ms
    // As it was stored.
    9: optional i64 flags
    // The tags of the entry.
    10: optional list<string> tags
    // True: it is known that there is no value (a negative entry).
    11: optional bool known_absent
    // The value had to be loaded and could not be: the number of the error.
    12: optional i32 code
    // Why.
    13: optional string message
}

struct CacheBatchGetResponse {
    // One for each key, in the order of the request.
    1: required list<CacheItem> items
    // As in CacheGetResponse.
    2: optional bool degraded
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
    // The lock under which all of it is deleted.
    4: optional common.Fence fence
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
    // As in CacheSetRequest.
    5: optional i64 expires_at_ms
    6: optional i64 sliding_ms
    // The lock under which it is changed.
    7: optional common.Fence fence
    255: optional base.Base base
}

struct CacheExpireResponse {
    // The new version.
    1: required i64 version
    2: optional i64 expires_at_ms
    255: optional base.BaseResp base_resp
}

// Reads one value and gives it a new expiry, as in CacheSetRequest. A missing key is `found = false`.
struct CacheGetAndTouchRequest {
    1: required string namespace_name
    2: required string key
    3: optional i64 ttl_ms
    4: optional i64 expires_at_ms
    5: optional i64 sliding_ms
    6: optional bool persist
    // The lock under which it is changed.
    7: optional common.Fence fence
    255: optional base.Base base
}

struct CacheGetAndTouchResponse {
    // The value with its new version and remaining time.
    1: required CacheItem item
    255: optional base.BaseResp base_resp
}

// Adds to a counter: a value that is a decimal 64-bit integer (2005 where it is none).
struct CacheIncrementRequest {
    1: required string namespace_name
    2: required string key
    // What is added; may be negative. Default 1.
    3: optional i64 delta
    // What an absent counter counts from. Without it an absent one is refused (2002).
    4: optional i64 initial
    // Where the counter must stay; a sum outside is refused (2006) and changes nothing. Default: the 64-bit integers.
    5: optional i64 min
    6: optional i64 max
    // The expiry of a counter that is created, as in CacheSetRequest.
    7: optional i64 ttl_ms
    8: optional i64 expires_at_ms
    9: optional i64 sliding_ms
    10: optional bool persist
    // True: a counter that was there gets that expiry too. Default: its own stays.
    11: optional bool renew
    // The lock under which it is counted.
    12: optional common.Fence fence
    // Idempotency key: for ten minutes the same call with the same key gets the first answer and changes nothing.
    254: optional string request_id
    255: optional base.Base base
}

struct CacheIncrementResponse {
    // The counter now.
    1: required i64 number
    // The new version.
    2: required i64 version
    // When it is gone, Unix milliseconds. Absent: it does not expire.
    3: optional i64 expires_at_ms
    255: optional base.BaseResp base_resp
}

// Adds bytes at the end of a value, which stays within 8 MiB (1007).
struct CacheAppendRequest {
    1: required string namespace_name
    2: required string key
    // The bytes.
    3: required binary value
    // Media type of a value that is created.
    4: optional string content_type
    // As in CacheSetRequest.
    5: optional string condition
    6: optional i64 version
    // The expiry of a value that is created, as in CacheSetRequest.
    7: optional i64 ttl_ms
    8: optional i64 expires_at_ms
    9: optional i64 sliding_ms
    10: optional bool persist
    // True: a value that was there gets that expiry too. Default: its own stays.
    11: optional bool renew
    // The lock under which it grows.
    12: optional common.Fence fence
    // Idempotency key: for ten minutes the same call with the same key gets the first answer and changes nothing.
    254: optional string request_id
    255: optional base.Base base
}

struct CacheAppendResponse {
    // Bytes of the value now.
    1: required i64 length
    // The new version.
    2: required i64 version
    // When it is gone, Unix milliseconds. Absent: it does not expire.
    3: optional i64 expires_at_ms
    255: optional base.BaseResp base_resp
}

// Walks the keys of a namespace. A key that is present from the first page to the last is seen at least once.
struct CacheScanRequest {
    1: required string namespace_name
    // What the keys begin with. Default: all.
    2: optional string prefix
    // Where to go on: `next_cursor` of the page before.
    3: optional string cursor
    // 1 to 1,000, default 100. A page may hold fewer and still have a next one.
    4: optional i64 limit
    255: optional base.Base base
}

// One key of a page.
struct CacheScanItem {
    1: required string key
    2: required i64 version
    // Milliseconds left. Absent: it does not expire.
    3: optional i64 ttl_ms
    // Bytes of the value as it is stored.
    4: required i64 value_bytes
}

struct CacheScanResponse {
    1: required list<CacheScanItem> items
    // Where the next page begins; absent at the end.
    2: optional string next_cursor
    255: optional base.BaseResp base_resp
}

// Removes everything of a namespace and revokes its leases.
struct CacheClearRequest {
    1: required string namespace_name
    // The lock under which it is cleared.
    2: optional common.Fence fence
    255: optional base.Base base
}

struct CacheClearResponse {
    // What was stored with a lower version is gone.
    1: required i64 version
    255: optional base.BaseResp base_resp
}

// Makes every entry absent that carries one of the tags, in one step however many there are.
struct CacheInvalidateTagsRequest {
    1: required string namespace_name
    // 1 to 16 tags.
    2: required list<string> tags
    // The lock under which it is done.
    3: optional common.Fence fence
    255: optional base.Base base
}

struct CacheInvalidateTagsResponse {
    // What was stored with a lower version and carries one of the tags is absent.
    1: required i64 version
    255: optional base.BaseResp base_resp
}

// Reads one value, ready to fill it. Where there is none, or a stale one, one caller is given a lease: it stores the value
// with `lease_token`. The others are told to wait; with `wait_ms` Plinth waits for them.
struct CacheGetOrLeaseRequest {
    1: required string namespace_name
    2: required string key
    // How long the lease is open, 10 to 60,000 ms. Default 5,000.
    3: optional i64 lease_ms
    // How long to wait for somebody else's value, 0 to 30,000 ms. Default 0. A stale value is answered at once.
    4: optional i64 wait_ms
    255: optional base.Base base
}

struct CacheGetOrLeaseResponse {
    1: required CacheItem item
    // Present: the caller fills the key.
    2: optional i64 lease_token
    // Present: somebody else fills the key; milliseconds until that lease ends by itself.
    3: optional i64 held_ms
    // As in CacheGetResponse.
    4: optional bool degraded
    255: optional base.BaseResp base_resp
}

// Gives a lease back without a value: the next caller gets one.
struct CacheReleaseLeaseRequest {
    1: required string namespace_name
    2: required string key
    3: required i64 lease_token
    255: optional base.Base base
}

struct CacheReleaseLeaseResponse {
    // Whether it was open.
    1: required bool released
    255: optional base.BaseResp base_resp
}

// Where the values of a namespace come from that are not there, and how they are loaded.
struct CacheLoaderSettings {
    // `sql` (a query on a registered database) or `http` (a signed callback).
    1: required string kind
    // With `sql`: the name of the database, on which the caller must be allowed to run queries (1003).
    2: optional string database
    // With `sql`: one statement that only reads, with one `?` for each parameter; at most 16 KiB.
    3: optional string sql
    // With `sql`: what the parameters are, each `key` or `part:N` (the key's part number N, from 0). Default: the key.
    4: optional list<string> params
    // With `sql`: what separates the parts of a key, 1 to 8 bytes. Default `:`.
    5: optional string separator
    // With `sql`: `column` (default: the only column of the only row) or `row` (that row as a JSON object).
    6: optional string value
    // With `http`: absolute http or https URL, at most 2,048 bytes. Redirects are not followed.
    7: optional string url
    // With `http`: signs each request, 16 to 256 bytes. It is never shown again. Absent: the one that stands for the same URL.
    8: optional string secret
    // How long a load may take, 10 to 30,000 ms. Default 5,000.
    9: optional i64 hard_timeout_ms
    // How long a read that found a stale value waits for the new one, 0 to `hard_timeout_ms`. Default 0: the stale one is
    // answered at once. Needs a `fresh_percent` below 100.
    10: optional i64 soft_timeout_ms
    // What a read is told whose load failed: `error` (default), or `absent`, marked `degraded`.
    11: optional string on_error
    // How long a failed load is remembered at first, 0 to 60,000 ms; twice as long with each further failure. Default 1,000.
    12: optional i64 error_ttl_ms
    // Most loads that one instance makes at a time, 1 to 256. Default 16.
    13: optional i64 loads_max
    // After how many hundredths of its life a value that is read is loaded anew, 1 to 99, below `fresh_percent`. Default: not
    // before it is stale or gone.
    14: optional i64 refresh_percent
    // Keys to load ahead: at most 500 of 32 KiB together.
    15: optional list<string> warm_up
    // How often the keys of `warm_up` are loaded anew, 1,000 ms to one day. Default: never.
    16: optional i64 refresh_every_ms
}

// How the values of a namespace live. What is not named is as in a namespace without a definition.
struct CacheNamespaceSettings {
    // Milliseconds to live of a value whose caller names no expiry, 1 to 10 years. Beside `default_sliding_ms`: its maximum.
    // Default: it does not expire.
    1: optional i64 default_ttl_ms
    // Milliseconds after the last read or write until a value is gone whose caller names no expiry, at least 10.
    2: optional i64 default_sliding_ms
    // How long a sliding expiry lasts at most where its caller names no maximum, in milliseconds. Default: one day.
    3: optional i64 sliding_max_ms
    // By how many hundredths a `ttl_ms` is shortened at most, by chance, so that what was stored together does not end
    // together: 0 to 50. Default 0.
    4: optional i64 jitter_percent
    // After how many hundredths of its fixed life a value is stale: 1 to 100. Default 100: never.
    5: optional i64 fresh_percent
    // Milliseconds to live of a negative entry whose caller names none, 1 to 600,000. Default 5,000.
    6: optional i64 negative_ttl_ms
    // Most keys that it may hold (2004). Default: no limit of its own.
    7: optional i64 keys_max
    // Most bytes of keys, values and bookkeeping that it may hold (2004). Default: no limit of its own.
    8: optional i64 bytes_max
    // How values of at least 1,024 bytes are kept: `none` (default), or `zstd` where that makes them smaller.
    9: optional string codec
    // Where values come from that are not there; needs `default_ttl_ms`. Default: from callers alone.
    10: optional CacheLoaderSettings loader
    // Where the keys lie: `together` (default), so that a batch can be all or nothing; or `spread` in 64 partitions over the nodes of a
    // cluster, where it can be that only within one partition (keys with the same text in braces lie in one; else 1011). Changes only
    // while the namespace is empty (1006).
    11: optional string placement
}

// A namespace with its definition.
struct CacheNamespace {
    1: required string namespace_name
    2: required CacheNamespaceSettings settings
    // 1 at first, one more with each change.
    3: required i64 version
    // Unix milliseconds.
    4: required i64 created_at_ms
    // Unix milliseconds.
    5: required i64 updated_at_ms
}

// Defines a namespace, or changes its definition. Values that are there keep their lives.
struct CacheDefineNamespaceRequest {
    1: required string namespace_name
    2: required CacheNamespaceSettings settings
    // Only where this version of the definition stands, 0 where there must be none; else code 1006.
    3: optional i64 if_version
    255: optional base.Base base
}

struct CacheDefineNamespaceResponse {
    1: required CacheNamespace info
    255: optional base.BaseResp base_resp
}

// Shows the definition of a namespace. Code 1004 where it has none.
struct CacheGetNamespaceRequest {
    1: required string namespace_name
    255: optional base.Base base
}

struct CacheGetNamespaceResponse {
    1: required CacheNamespace info
    255: optional base.BaseResp base_resp
}

// Lists the namespaces that have a definition, by name.
struct CacheListNamespacesRequest {
    // What the names begin with. Default: all.
    1: optional string prefix
    // Where to go on: `next_cursor` of the page before.
    2: optional string cursor
    // 1 to 1,000, default 100.
    3: optional i64 limit
    255: optional base.Base base
}

struct CacheListNamespacesResponse {
    1: required list<CacheNamespace> namespaces
    // Where the next page begins; absent at the end.
    2: optional string next_cursor
    255: optional base.BaseResp base_resp
}

// Removes the definition of a namespace. Its values stay, each with the life it has.
struct CacheDeleteNamespaceRequest {
    1: required string namespace_name
    255: optional base.Base base
}

struct CacheDeleteNamespaceResponse {
    // Whether there was one.
    1: required bool deleted
    255: optional base.BaseResp base_resp
}

// How long the backend took to answer calls of one kind. Times are never told too short, and at most a quarter too long.
struct CacheLatency {
    // `get`, `batch_get`, `change` or `batch_change`.
    1: required string operation
    // About how many calls were answered.
    2: required i64 calls
    // What half of them took at most, in microseconds.
    3: required double p50_us
    // What 95 of 100 took at most.
    4: required double p95_us
    // What 99 of 100 took at most.
    5: required double p99_us
    // The longest that was seen.
    6: required double max_us
}

// How many entries lie in one step.
struct CacheStep {
    // Where the step ends: what is equal to it is in it. Absent: what does not expire.
    1: optional i64 up_to
    2: required i64 entries
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
    // Which backend holds the values: `memory` or `redis`.
    11: required string backend
    // Of the hits, those whose value was stale.
    12: optional i64 stale_hits
    // Of the misses, those of which it was known that there is no value.
    13: optional i64 negative_hits
    // How often the loader was asked.
    14: optional i64 loads
    // How often it failed.
    15: optional i64 load_errors
    // How long it took in all, in microseconds.
    16: optional i64 load_us_total
    // How long it took at most, in microseconds.
    17: optional i64 load_us_max
    // Of the reads, those that were answered from the near cache.
    18: optional i64 near_hits
    // How long the backend takes, for each kind of call that was made.
    19: optional list<CacheLatency> latencies
    // Entries, taken at random, of which the following two tell.
    20: optional i64 sampled
    // How large their values are, as they are stored: steps by bytes.
    21: optional list<CacheStep> sizes
    // How long they have left to live: steps by milliseconds, at the end that of what does not expire.
    22: optional list<CacheStep> lives
    255: optional base.BaseResp base_resp
}

// Asks for the keys that are read most.
struct CacheHotKeysRequest {
    1: required string namespace_name
    255: optional base.Base base
}

// One key that is read much. Both numbers are estimates from a sample; they are in the unit of `reads`.
struct CacheHotKey {
    1: required string key
    // Of the reads it had at least so many.
    2: required i64 reads_min
    // And at most so many.
    3: required i64 reads_max
}

struct CacheHotKeysResponse {
    // Reads of all keys; older ones count less.
    1: required i64 reads
    // At most 20, those that were read most first. A key that takes more than a sixtieth of the reads is among them as long
    // as fewer than 20 do.
    2: required list<CacheHotKey> keys
    255: optional base.BaseResp base_resp
}

// Loads keys anew, whatever stands under them. Code 1004 where the namespace has no loader.
struct CacheRefreshRequest {
    1: required string namespace_name
    // 1 to 1,000 keys.
    2: required list<string> keys
    255: optional base.Base base
}

// How the load of one key ended.
struct CacheKeyLoad {
    1: required string key
    // 0 where it was done, else the number of the error.
    2: required i32 code
    // `loaded`, `present` (a fresh value was there) or `absent` (the source has none; that is remembered).
    3: optional string state
    // The version of the value, where there is one.
    4: optional i64 version
    // Why it was not done.
    5: optional string message
}

struct CacheRefreshResponse {
    // One for each key, in the order of the request.
    1: required list<CacheKeyLoad> results
    255: optional base.BaseResp base_resp
}

// Loads the keys under which nothing fresh stands. Code 1004 where the namespace has no loader.
struct CachePreloadRequest {
    1: required string namespace_name
    // At most 1,000 keys. None: those of the loader's warm-up list (1001 where it has none).
    2: optional list<string> keys
    255: optional base.Base base
}

struct CachePreloadResponse {
    // One for each key, in order. What the deadline cut off has code 1010: ask again.
    1: required list<CacheKeyLoad> results
    255: optional base.BaseResp base_resp
}
