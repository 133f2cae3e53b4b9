//! What things are called: namespaces, keys, tags.

use std::sync::Arc;

use faststr::FastStr;
use plinth_core::{Error, Result, TenantId, ids::check_name, limits};

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1_024;
/// Longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 128;
/// Most tags of one entry, and of one invalidation.
pub const TAGS_MAX: usize = 16;

/// A namespace of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Whose data it is.
    pub tenant: TenantId,
    /// The namespace.
    pub namespace: Namespace,
}

/// The name of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Arc<str>);

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

/// A key: 1 to [`KEY_BYTES_MAX`] bytes of UTF-8 without control characters. A short one needs no allocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(FastStr);

impl Key {
    /// Parses a key. Errors: 1001 or 1007 naming `key`.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_as("key", text)
    }

    /// Parses a key of another field. Errors: 1001 or 1007 naming `field`.
    pub fn parse_as(field: &str, text: &str) -> Result<Self> {
        check_text(field, text, KEY_BYTES_MAX)?;
        // Copied, so that a key which is kept does not keep the request it came in.
        Ok(Self(FastStr::new(text)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the keys of a scan begin with: 0 to [`KEY_BYTES_MAX`] bytes; the empty one stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPrefix(Box<str>);

impl KeyPrefix {
    /// Parses a prefix; `None` is the empty one. Errors: 1001 or 1007 naming `prefix`.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        match text {
            None | Some("") => Ok(Self::default()),
            Some(text) => {
                check_text("prefix", text, KEY_BYTES_MAX)?;
                Ok(Self(text.into()))
            }
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A tag: 1 to [`TAG_BYTES_MAX`] bytes of UTF-8 without control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The tags of an entry, or of an invalidation: at most [`TAGS_MAX`], none twice, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Option<Arc<[Tag]>>);

impl Tags {
    /// Parses the tags of an entry, which may be none. Errors: 1001 or 1007 naming `tags` or `tags[i]`.
    pub fn parse(texts: &[impl AsRef<str>]) -> Result<Self> {
        if texts.len() > TAGS_MAX {
            return Err(Error::too_large(
                "tags",
                format!("has {} tags, at most {TAGS_MAX} are allowed", texts.len()),
            ));
        }
        let mut tags = std::collections::BTreeSet::new();
        for (index, text) in texts.iter().enumerate() {
            let field = format!("tags[{index}]");
            check_text(&field, text.as_ref(), TAG_BYTES_MAX)?;
            if !tags.insert(Tag(text.as_ref().into())) {
                return Err(Error::invalid(field, "stands twice"));
            }
        }
        Ok(tags.into_iter().collect())
    }

    /// Parses the tags of an invalidation, at least one. Errors: as [`Tags::parse`].
    pub fn parse_some(texts: &[impl AsRef<str>]) -> Result<Self> {
        if texts.is_empty() {
            return Err(Error::invalid("tags", "must not be empty"));
        }
        Self::parse(texts)
    }

    /// The tags.
    #[must_use]
    pub fn as_slice(&self) -> &[Tag] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl FromIterator<Tag> for Tags {
    /// Takes over what was parsed before: at most [`TAGS_MAX`], none twice, in ascending order.
    fn from_iter<I: IntoIterator<Item = Tag>>(tags: I) -> Self {
        let tags: Arc<[Tag]> = tags.into_iter().collect();
        Self((!tags.is_empty()).then_some(tags))
    }
}

fn check_text(field: &str, text: &str, bytes_max: usize) -> Result<()> {
    if text.is_empty() {
        return Err(Error::invalid(field, "must not be empty"));
    }
    if text.len() > bytes_max {
        return Err(Error::too_large(
            field,
            format!("has {} bytes, at most {bytes_max} are allowed", text.len()),
        ));
    }
    let has_control = if text.is_ascii() {
        text.bytes().any(|byte| byte.is_ascii_control())
    } else {
        text.chars().any(char::is_control)
    };
    if has_control {
        return Err(Error::invalid(field, "must not hold control characters"));
    }
    Ok(())
}
