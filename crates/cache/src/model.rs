//! Requests and replies: parsed at the edge, valid by construction.

use bytes::Bytes;
use plinth_core::{Error, Result, TenantId, ids::check_name, limits};

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1_024;
/// Largest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most items of a batch.
pub const BATCH_ITEMS_MAX: usize = limits::BATCH_ITEMS_MAX;
/// Most bytes of keys and values in one batch.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest content type, in bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 128;
/// Longest time to live, in milliseconds: ten years.
pub const TTL_MS_MAX: u64 = 10 * 365 * 24 * 60 * 60 * 1_000;
/// The content type of a value that names none.
pub const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";

/// A namespace of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Whose data it is.
    pub tenant: TenantId,
    /// The namespace.
    pub namespace: Namespace,
}

/// The name of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Namespace(Box<str>);

impl Namespace {
    /// Parses a name. Errors: 1001 naming `namespace_name`.
    pub fn parse(text: &str) -> Result<Self> {
        check_name("namespace_name", text, limits::NAME_BYTES_MAX)?;
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key: 1 to [`KEY_BYTES_MAX`] bytes of UTF-8 without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Box<str>);

impl Key {
    /// Parses a key. Errors: 1001 or 1007 naming `key`.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid("key", "must not be empty"));
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(Error::too_large(
                "key",
                format!(
                    "has {} bytes, at most {KEY_BYTES_MAX} are allowed",
                    text.len()
                ),
            ));
        }
        if text.chars().any(char::is_control) {
            return Err(Error::invalid("key", "must not hold control characters"));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Milliseconds until an entry is gone: 1 to [`TTL_MS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl(u64);

impl Ttl {
    /// Parses a caller's number. Errors: 1001 naming `ttl_ms`.
    pub fn parse(ttl_ms: i64) -> Result<Self> {
        match u64::try_from(ttl_ms) {
            Ok(ttl @ 1..=TTL_MS_MAX) => Ok(Self(ttl)),
            _ => Err(Error::invalid(
                "ttl_ms",
                format!("is {ttl_ms}, must lie in 1..={TTL_MS_MAX}; leave it out for no expiry"),
            )),
        }
    }

    /// Milliseconds.
    #[must_use]
    pub const fn get_ms(self) -> u64 {
        self.0
    }
}

/// When a value may be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// In any case.
    #[default]
    Always,
    /// Where the key is absent.
    Absent,
    /// Where the key is present.
    Present,
    /// Where this version is stored.
    Version(i64),
}

impl Condition {
    /// Parses the two fields that say it. Errors: 1001 naming `condition` or `version`.
    pub fn parse(word: Option<&str>, version: Option<i64>) -> Result<Self> {
        match (word, version) {
            (Some("version"), Some(version)) => Ok(Self::Version(version)),
            (Some("version"), None) => Err(Error::invalid(
                "version",
                "is required by the condition `version`",
            )),
            (_, Some(_)) => Err(Error::invalid(
                "version",
                "goes with the condition `version` only",
            )),
            (None | Some("always"), None) => Ok(Self::Always),
            (Some("absent"), None) => Ok(Self::Absent),
            (Some("present"), None) => Ok(Self::Present),
            (Some(_), None) => Err(Error::invalid(
                "condition",
                "must be `always`, `absent`, `present` or `version`",
            )),
        }
    }
}

/// A value with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The bytes; at most [`VALUE_BYTES_MAX`].
    pub bytes: Bytes,
    /// Its media type.
    pub content_type: ContentType,
}

impl Value {
    /// Checks the size. The bytes are copied: a slice of a request would pin the whole request in memory.
    ///
    /// Errors: 1007 naming `value`.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self> {
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(Error::too_large(
                "value",
                format!(
                    "has {} bytes, at most {VALUE_BYTES_MAX} are allowed",
                    bytes.len()
                ),
            ));
        }
        Ok(Self {
            bytes: Bytes::copy_from_slice(bytes),
            content_type: ContentType::parse(content_type)?,
        })
    }
}

/// A media type: 1 to [`CONTENT_TYPE_BYTES_MAX`] visible ASCII characters and spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentType(Option<std::sync::Arc<str>>);

impl ContentType {
    fn parse(text: Option<&str>) -> Result<Self> {
        let Some(text) = text else {
            return Ok(Self(None));
        };
        let good_length = (1..=CONTENT_TYPE_BYTES_MAX).contains(&text.len());
        if !good_length
            || !text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() || byte == b' ')
        {
            return Err(Error::invalid(
                "content_type",
                format!("must be 1 to {CONTENT_TYPE_BYTES_MAX} visible ASCII characters"),
            ));
        }
        Ok(Self((text != CONTENT_TYPE_DEFAULT).then(|| text.into())))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or(CONTENT_TYPE_DEFAULT)
    }
}

/// One change of one key.
#[derive(Clone, Debug)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// What becomes of it.
    pub kind: ChangeKind,
}

/// What becomes of a key.
#[derive(Clone, Debug)]
pub enum ChangeKind {
    /// A value is stored.
    Put {
        /// The value.
        value: Value,
        /// Its life; `None` does not expire.
        ttl: Option<Ttl>,
        /// When it may be stored.
        condition: Condition,
    },
    /// The entry is deleted.
    Delete {
        /// Only where this version is stored.
        version: Option<i64>,
    },
    /// The expiry of a present entry changes.
    Expire {
        /// Its life from now; `None` does not expire.
        ttl: Option<Ttl>,
        /// Only where this version is stored.
        version: Option<i64>,
    },
}

/// What a change did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// A value was stored, or its expiry changed.
    Stored {
        /// The new version.
        version: i64,
        /// When it is gone, Unix milliseconds.
        expires_at_ms: Option<i64>,
    },
    /// The entry was deleted, if there was one.
    Deleted {
        /// Whether there was one.
        existed: bool,
    },
}

/// A live entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The value.
    pub value: Value,
    /// Its version.
    pub version: i64,
    /// Milliseconds left; `None` does not expire.
    pub ttl_ms: Option<u64>,
}

/// Numbers of a namespace since the start of the instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Reads that found a live value.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Values stored.
    pub sets: u64,
    /// Entries deleted by callers.
    pub deletes: u64,
    /// Entries removed because their time had come.
    pub expired: u64,
    /// Entries removed to stay inside the memory bound.
    pub evicted: u64,
    /// Entries held now.
    pub keys: u64,
    /// Bytes of keys, values and bookkeeping held now.
    pub bytes: u64,
    /// The memory bound that all namespaces share.
    pub bytes_max: u64,
}

impl Stats {
    /// hits ÷ (hits + misses); 0 where nothing was read.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        let reads = self.hits.saturating_add(self.misses);
        if reads == 0 {
            return 0.0;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a ratio for people; 52 bits are enough"
        )]
        let rate = self.hits as f64 / reads as f64;
        rate
    }
}

/// Parses the keys of a batch. Errors: 1001 or 1007 naming `keys` or `keys[i]`.
pub fn parse_keys(keys: &[impl AsRef<str>]) -> Result<Vec<Key>> {
    check_batch_len("keys", keys.len())?;
    keys.iter()
        .enumerate()
        .map(|(index, key)| {
            Key::parse(key.as_ref())
                .map_err(|error| rename(error, "key", &format!("keys[{index}]")))
        })
        .collect()
}

/// Checks that the changes form one batch: their number, their size, and that no key stands twice.
///
/// Errors: 1001 or 1007 naming `items` or `items[i].key`.
pub fn check_batch(changes: &[Change]) -> Result<()> {
    check_batch_len("items", changes.len())?;
    let mut seen = std::collections::HashSet::with_capacity(changes.len());
    let mut bytes = 0_usize;
    for (index, change) in changes.iter().enumerate() {
        if !seen.insert(change.key.as_str()) {
            return Err(Error::invalid(
                format!("items[{index}].key"),
                "stands twice in the batch",
            ));
        }
        let value_bytes = match &change.kind {
            ChangeKind::Put { value, .. } => value.bytes.len(),
            ChangeKind::Delete { .. } | ChangeKind::Expire { .. } => 0,
        };
        bytes = bytes.saturating_add(change.key.as_str().len() + value_bytes);
    }
    if bytes > BATCH_BYTES_MAX {
        return Err(Error::too_large(
            "items",
            format!("hold {bytes} bytes, at most {BATCH_BYTES_MAX} are allowed"),
        ));
    }
    Ok(())
}

fn check_batch_len(field: &str, len: usize) -> Result<()> {
    match len {
        0 => Err(Error::invalid(field, "must not be empty")),
        1..=BATCH_ITEMS_MAX => Ok(()),
        _ => Err(Error::too_large(
            field,
            format!("has {len} items, at most {BATCH_ITEMS_MAX} are allowed"),
        )),
    }
}

fn rename(error: Error, from: &str, to: &str) -> Error {
    let message = error.message().replacen(from, to, 1);
    let fragment = message
        .strip_prefix(to)
        .map_or(message.as_str(), |rest| rest.trim_start_matches(": "))
        .to_owned();
    if error.code() == plinth_core::ErrorCode::TooLarge {
        Error::too_large(to, fragment)
    } else {
        Error::invalid(to, fragment)
    }
}
