//! Values that are kept smaller than they came.

use bytes::Bytes;
use plinth_core::Error;

use crate::error::CacheError;
use crate::model::{
    Change, ChangeKind, Changed, Codec, Content, Encoding, LeasedRead, Read, VALUE_BYTES_MAX, Value,
};

/// Shortest value that is encoded, in bytes.
const ENCODED_BYTES_MIN: usize = 1_024;
/// The level of zstd: its default, 3, is what a cache can afford.
const ZSTD_LEVEL: i32 = zstd::DEFAULT_COMPRESSION_LEVEL;
/// From how many bytes on the work goes to a thread of its own, so that it holds up no other caller.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Encodes what a change stores, where the namespace says so and it becomes smaller.
pub(super) async fn encode(codec: Codec, changes: &mut [Change]) -> Result<(), CacheError> {
    if codec == Codec::None {
        return Ok(());
    }
    for change in changes {
        let ChangeKind::Put(put) = &mut change.kind else {
            continue;
        };
        let Content::Value(value) = &mut put.content else {
            continue;
        };
        if value.bytes.len() < ENCODED_BYTES_MIN {
            continue;
        }
        let plain = value.bytes.clone();
        let encoded = apart(plain.len(), move || {
            zstd::bulk::compress(&plain, ZSTD_LEVEL)
        })
        .await?;
        if encoded.len() < value.bytes.len() {
            value.bytes = encoded.into();
            value.encoding = Encoding::Zstd;
        }
    }
    Ok(())
}

/// Gives the bytes as the caller wrote them.
pub(super) async fn decode(value: &mut Value) -> Result<(), CacheError> {
    if value.encoding == Encoding::Plain {
        return Ok(());
    }
    let encoded = value.bytes.clone();
    let length = plain_len(value);
    let plain = apart(length, move || zstd::bulk::decompress(&encoded, length)).await?;
    value.bytes = Bytes::from(plain);
    value.encoding = Encoding::Plain;
    Ok(())
}

/// How many bytes a value has as the caller wrote it; found out without decoding it.
pub(super) fn plain_len(value: &Value) -> usize {
    if value.encoding == Encoding::Plain {
        return value.bytes.len();
    }
    let length = zstd::zstd_safe::get_frame_content_size(&value.bytes);
    let length = length
        .ok()
        .flatten()
        .and_then(|length| usize::try_from(length).ok());
    length.unwrap_or(VALUE_BYTES_MAX).min(VALUE_BYTES_MAX)
}

/// Decodes what reads found.
pub(super) async fn decode_reads(reads: &mut [Read]) -> Result<(), CacheError> {
    for read in reads {
        // Asked here, because most values are plain and a future for each of a thousand costs more than they do.
        if let Read::Found(found) = read
            && found.value.encoding != Encoding::Plain
        {
            decode(&mut found.value).await?;
        }
    }
    Ok(())
}

/// Decodes what a read found.
pub(super) async fn decode_read(read: &mut Read) -> Result<(), CacheError> {
    match read {
        Read::Found(found) => decode(&mut found.value).await,
        Read::KnownAbsent(_) | Read::Absent => Ok(()),
    }
}

/// Decodes what a leased read found.
pub(super) async fn decode_leased(leased: &mut LeasedRead) -> Result<(), CacheError> {
    decode_read(&mut leased.read).await
}

/// Decodes what a touch found.
pub(super) async fn decode_changed(changed: &mut Changed) -> Result<(), CacheError> {
    match changed {
        Changed::Touched(read) => decode_read(read).await,
        _ => Ok(()),
    }
}

async fn apart(
    bytes: usize,
    work: impl FnOnce() -> std::io::Result<Vec<u8>> + Send + 'static,
) -> Result<Vec<u8>, CacheError> {
    let done = if bytes <= INLINE_BYTES_MAX {
        work()
    } else {
        let task = tokio::task::spawn_blocking(work);
        task.await
            .map_err(|gone| CacheError::Invalid(Error::internal(gone)))?
    };
    done.map_err(|cause| CacheError::Invalid(Error::internal(cause)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ContentType;

    fn value(bytes: Vec<u8>) -> Value {
        Value::parse(bytes.into(), None, None).expect("a value")
    }

    #[tokio::test]
    async fn a_value_of_any_length_comes_back_and_a_broken_one_does_not() {
        for length in [1_024, INLINE_BYTES_MAX + 1, VALUE_BYTES_MAX] {
            let plain = vec![b'a'; length];
            let encoded = zstd::bulk::compress(&plain, ZSTD_LEVEL).expect("compresses");
            let mut stored = Value {
                bytes: encoded.into(),
                content_type: ContentType::parse(None).expect("a type"),
                flags: 0,
                encoding: Encoding::Zstd,
            };
            decode(&mut stored).await.expect("decodes");
            assert_eq!(stored, value(plain));
        }
        let mut broken = Value {
            encoding: Encoding::Zstd,
            ..value(b"not a frame".to_vec())
        };
        assert!(decode(&mut broken).await.is_err());
    }
}
