//! Requests and replies: parsed at the edge, valid by construction.

mod batch;
mod change;
mod definition;
mod expiry;
mod lease;
mod loader;
mod loading;
mod name;
mod once;
mod read;
mod request;
mod scan;
mod space;
mod stats;
mod value;

pub(crate) use batch::answer_too_large;
pub use batch::{
    Atomicity, BATCH_BYTES_MAX, BATCH_ITEMS_MAX, BATCH_READ_BYTES_MAX, check_batch, each_item,
    parse_keys,
};
pub use change::{
    Append, Bounds, Change, ChangeKind, Changed, Condition, Guard, Increment, Put, Stored, Subject,
};
pub use definition::{
    CheckedSettings, Codec, JITTER_PERCENT_MAX, NamespaceInfo, NamespacePage, NamespaceSettings,
    QUOTA_BYTES_MAX, QUOTA_KEYS_MAX,
};
pub use expiry::{
    End, Expiry, ExpiryFields, IDLE_MS_MIN, Life, NEGATIVE_TTL_MS_DEFAULT, NEGATIVE_TTL_MS_MAX,
    SLIDING_MAX_MS_DEFAULT, TTL_MS_MAX, Ttl,
};
pub use lease::{
    LEASE_MS_DEFAULT, LEASE_MS_MAX, LEASE_MS_MIN, LEASE_WAIT_MS_MAX, LeaseMs, LeaseState,
    LeaseToken, LeaseWait, LeaseWhen, LeasedRead,
};
pub use loader::{
    KeyPart, LOAD_ERROR_TTL_MS_DEFAULT, LOAD_ERROR_TTL_MS_MAX, LOAD_MS_DEFAULT, LOAD_MS_MAX,
    LOAD_MS_MIN, LOAD_PARAMS_MAX, LOAD_SECRET_BYTES_MAX, LOAD_SECRET_BYTES_MIN,
    LOAD_SEPARATOR_BYTES_MAX, LOAD_SQL_BYTES_MAX, LOAD_URL_BYTES_MAX, LOADS_PER_NAMESPACE_DEFAULT,
    LOADS_PER_NAMESPACE_MAX, LoaderSettings, LoaderSpec, OnError, REFRESH_EVERY_MS_MAX,
    REFRESH_EVERY_MS_MIN, WARM_UP_BYTES_MAX, WARM_UP_KEYS_MAX,
};
pub use loading::{ItemRead, KeyLoad, KeyLoadFields, LoadResult};
pub use name::{
    KEY_BYTES_MAX, Key, KeyPrefix, Namespace, Scope, TAG_BYTES_MAX, TAGS_MAX, Tag, Tags,
};
pub(crate) use once::Told;
pub use once::{FirstAnswer, ONCE_MS, Once};
pub use read::{Expiring, Found, Freshness, KnownAbsent, Read, Reply};
pub use request::{
    ItemFields, PutFields, ReadFields, created_and_renewed, degraded, delete_item, lease_fields,
    narrow,
};
pub use scan::{SCAN_PAGE_DEFAULT, SCAN_PAGE_MAX, Scan, ScanItem, ScanLimit, ScanPlace, Scanned};
pub use space::{PARTITIONS, Placement, Policy, Quota, Space};
pub use stats::{
    BackendStats, Connections, EntrySample, HOT_KEYS_TOLD_MAX, Held, HotKey, HotKeys, Latency,
    LoadStats, SAMPLE_ENTRIES_MAX, Stats, Step,
};
pub use value::{
    CONTENT_TYPE_BYTES_MAX, CONTENT_TYPE_COUNTER, CONTENT_TYPE_DEFAULT, Content, ContentType,
    Encoding, VALUE_BYTES_MAX, Value,
};
