//! The rules of batches.

use std::collections::HashSet;

use plinth_core::{Error, Result, limits};

use super::change::{Change, ChangeKind};
use super::expiry::Expiry;
use super::name::Key;
use super::value::Content;

/// Most items of a batch.
pub const BATCH_ITEMS_MAX: usize = limits::BATCH_ITEMS_MAX;
/// Most bytes of keys and values in one batch.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bytes of values that one batch of reads answers, as their writers wrote them.
pub const BATCH_READ_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How the changes of one call hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Atomicity {
    /// All or nothing: the first change that is refused refuses all, and no reader sees a part.
    AllOrNothing,
    /// Each for itself.
    EachAlone,
}

impl Atomicity {
    /// Reads the field `atomic`: a batch is all or nothing unless told otherwise.
    #[must_use]
    pub fn parse(atomic: Option<bool>) -> Self {
        if atomic.unwrap_or(true) {
            Self::AllOrNothing
        } else {
            Self::EachAlone
        }
    }
}

/// Parses each item of a batch; a refusal names its place. Errors: those of `parse`, their field below `items[i]`.
pub fn each_item<T>(
    items: Vec<T>,
    parse: impl Fn(T) -> Result<Change<Expiry>>,
) -> Result<Vec<Change<Expiry>>> {
    check_len("items", items.len())?;
    let in_place = |(index, item)| {
        parse(item).map_err(|error: Error| error.in_field(&format!("items[{index}]")))
    };
    items.into_iter().enumerate().map(in_place).collect()
}

/// Parses the keys of a batch. Errors: 1001 or 1007 naming `keys` or `keys[i]`.
pub fn parse_keys(keys: &[impl AsRef<str>]) -> Result<Vec<Key>> {
    check_len("keys", keys.len())?;
    keys.iter()
        .enumerate()
        .map(|(index, key)| {
            let key = key.as_ref();
            // The name of the field is made for who needs it: most keys are good.
            Key::parse(key).or_else(|_| Key::parse_as(&format!("keys[{index}]"), key))
        })
        .collect()
}

/// Checks that the changes form one batch: their number, their size, and that no key stands twice.
///
/// Errors: 1001 or 1007 naming `items` or `items[i].key`.
pub fn check_batch<L>(changes: &[Change<L>]) -> Result<()> {
    check_len("items", changes.len())?;
    let mut seen = HashSet::with_capacity(changes.len());
    let mut bytes = 0_usize;
    for (index, change) in changes.iter().enumerate() {
        if !seen.insert(change.key.as_str()) {
            return Err(Error::invalid(
                format!("items[{index}].key"),
                "stands twice in the batch",
            ));
        }
        bytes = bytes.saturating_add(change.key.as_str().len() + payload_len(&change.kind));
    }
    if bytes > BATCH_BYTES_MAX {
        return Err(Error::too_large(
            "items",
            format!("hold {bytes} bytes, at most {BATCH_BYTES_MAX} are allowed"),
        ));
    }
    Ok(())
}

fn payload_len<L>(kind: &ChangeKind<L>) -> usize {
    match kind {
        ChangeKind::Put(put) => match &put.content {
            Content::Value(value) => value.bytes.len(),
            Content::KnownAbsent => 0,
        },
        ChangeKind::Append(append) => append.bytes.len(),
        ChangeKind::Delete { .. }
        | ChangeKind::Expire { .. }
        | ChangeKind::Touch { .. }
        | ChangeKind::Increment(_) => 0,
    }
}

/// The refusal of reads whose values have too many bytes together. Its field: `keys`.
pub(crate) fn answer_too_large(bytes: usize) -> Error {
    let rule = format!(
        "name values of {bytes} bytes together, at most {BATCH_READ_BYTES_MAX} are answered; ask for fewer at a time"
    );
    Error::too_large("keys", rule)
}

fn check_len(field: &str, len: usize) -> Result<()> {
    match len {
        0 => Err(Error::invalid(field, "must not be empty")),
        1..=BATCH_ITEMS_MAX => Ok(()),
        _ => Err(Error::too_large(
            field,
            format!("has {len} items, at most {BATCH_ITEMS_MAX} are allowed"),
        )),
    }
}
