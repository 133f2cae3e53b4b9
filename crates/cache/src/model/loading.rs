//! What loads did, key by key.

use plinth_core::Error;

use super::name::Key;
use super::read::Read;

/// One answer of a batch of reads.
#[derive(Debug)]
pub struct ItemRead {
    /// What stands under the key.
    pub read: Read,
    /// Why nothing was loaded, where something had to be. In a box: most items of a batch have none and should not be larger
    /// for it.
    pub failure: Option<Box<Error>>,
}

impl ItemRead {
    /// The number and the message of the failure, for the wire.
    #[must_use]
    pub fn failure_fields(&self) -> (Option<u16>, Option<String>) {
        let Some(error) = &self.failure else {
            return (None, None);
        };
        (
            Some(error.code().number()),
            Some(error.message().to_owned()),
        )
    }
}

impl From<Read> for ItemRead {
    fn from(read: Read) -> Self {
        Self {
            read,
            failure: None,
        }
    }
}

/// What stands under a key after a refresh or a preload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadResult {
    /// A value that was loaded.
    Loaded {
        /// Its version.
        version: i64,
    },
    /// A fresh value that was there before.
    Present {
        /// Its version.
        version: i64,
    },
    /// The source has none; that is remembered.
    Absent,
}

/// How the load of one key ended.
#[derive(Debug)]
pub struct KeyLoad {
    /// The key.
    pub key: Key,
    /// What became of it.
    pub outcome: Result<LoadResult, Error>,
}

/// The same, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyLoadFields {
    /// The key.
    pub key: String,
    /// 0 where it was done, else the number of the error.
    pub code: u16,
    /// `loaded`, `present` or `absent`.
    pub state: Option<&'static str>,
    /// The version of the value, where there is one.
    pub version: Option<i64>,
    /// Why it was not done.
    pub message: Option<String>,
}

impl From<KeyLoad> for KeyLoadFields {
    fn from(load: KeyLoad) -> Self {
        let key = load.key.as_str().to_owned();
        let (state, version) = match load.outcome {
            Ok(LoadResult::Loaded { version }) => ("loaded", Some(version)),
            Ok(LoadResult::Present { version }) => ("present", Some(version)),
            Ok(LoadResult::Absent) => ("absent", None),
            Err(error) => {
                return Self {
                    key,
                    code: error.code().number(),
                    message: Some(error.message().to_owned()),
                    ..Self::default()
                };
            }
        };
        Self {
            key,
            state: Some(state),
            version,
            ..Self::default()
        }
    }
}
