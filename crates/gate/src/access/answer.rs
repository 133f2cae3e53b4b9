//! The first answer to a creation, kept under its idempotency key: everything but the texts of the keys.

use plinth_core::access::{Creation, NewKey};
use plinth_core::{Error, Result};
use plinth_security::KeyText;
use serde::{Deserialize, Serialize};

use super::model::{CreatedKey, ShownKey};

/// What is stored. Its keys had the same end and were created at the same time.
#[derive(Serialize, Deserialize)]
pub(super) struct FirstAnswer {
    key_id: String,
    expires_at_ms: Option<i64>,
    created_at_ms: i64,
    /// Absent in answers of earlier releases, whose one holder follows from the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    holders: Vec<Holder>,
}

/// Who got which key.
#[derive(Serialize, Deserialize)]
struct Holder {
    key_id: String,
    principal: String,
    roles: Vec<String>,
}

impl Holder {
    fn of(key: &NewKey) -> Self {
        Self {
            key_id: key.id.as_str().to_owned(),
            principal: key.principal.id.as_str().to_owned(),
            roles: key.roles.iter().map(|role| role.as_ref().into()).collect(),
        }
    }
}

impl FirstAnswer {
    /// The answer to the creation of these keys.
    pub(super) fn to(keys: &[NewKey]) -> Self {
        let first = keys.first();
        Self {
            key_id: first
                .map(|key| key.id.as_str().to_owned())
                .unwrap_or_default(),
            expires_at_ms: first.and_then(|key| key.expires_at).map(|at| at.0),
            created_at_ms: first.map_or(0, |key| key.created_at.0),
            holders: keys.iter().map(Holder::of).collect(),
        }
    }

    /// What is stored of it.
    pub(super) fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::internal)
    }
}

/// The reply to a creation, with the texts of the keys where they were created now; and when they were created.
pub(super) fn created_keys(
    creation: Creation,
    keys: &[NewKey],
    texts: Vec<KeyText>,
) -> Result<(Vec<CreatedKey>, i64)> {
    let (mut answer, texts) = match creation {
        Creation::Created => (FirstAnswer::to(keys), texts),
        Creation::Repeated(answer) => {
            let answer: FirstAnswer = serde_json::from_str(&answer).map_err(Error::internal)?;
            (answer, Vec::new())
        }
    };
    if answer.holders.is_empty() {
        let holders = keys.iter().take(1).map(Holder::of).map(|holder| Holder {
            key_id: answer.key_id.clone(),
            ..holder
        });
        answer.holders = holders.collect();
    }
    let texts = texts
        .into_iter()
        .map(|text| Some(ShownKey::new(text)))
        .chain(std::iter::repeat_with(|| None));
    let created = answer.holders.into_iter().zip(texts);
    let created = created.map(|(holder, key)| CreatedKey {
        key_id: holder.key_id,
        key,
        principal: holder.principal,
        roles: holder.roles,
        expires_at_ms: answer.expires_at_ms,
    });
    Ok((created.collect(), answer.created_at_ms))
}
