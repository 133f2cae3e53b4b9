//! Named limits that more than one crate needs. A limit of one block stands in that block's `model.rs`.

/// Longest name of a tenant, principal, namespace, queue, metric or database, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Most items of any batch.
pub const BATCH_ITEMS_MAX: usize = 1_000;
/// Largest decoded request, in bytes: a Thrift frame or an HTTP body.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest header block of a request, in bytes, on both transports.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting of a request.
pub const NESTING_DEPTH_MAX: usize = 64;
/// Most elements of one list, set or map in a request, where its field names no lower limit.
pub const ELEMENTS_MAX: usize = 65_536;
/// Longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// How long the first answer to an idempotency key is kept, in milliseconds.
pub const IDEMPOTENCY_TTL_MS: u64 = 24 * 60 * 60 * 1_000;
/// Rows of a page where the caller names no number.
pub const PAGE_LIMIT_DEFAULT: u32 = 50;
/// Most rows of a page.
pub const PAGE_LIMIT_MAX: u32 = 1_000;
/// Longest cursor, in bytes.
pub const CURSOR_BYTES_MAX: usize = 1_024;
/// Longest wait of a long poll, in milliseconds.
pub const WAIT_MS_MAX: u64 = 60_000;
/// Longest deadline that a caller may ask for, in milliseconds, where the catalogue names no other.
pub const DEADLINE_MS_MAX: u64 = 120_000;
/// How long an authenticated credential may be served from memory, in milliseconds: revocation is that fast.
pub const CREDENTIAL_CACHE_MS_MAX: u64 = 1_000;
