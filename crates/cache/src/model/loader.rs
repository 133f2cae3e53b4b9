//! What an administrator says about the loader of a namespace.

use std::collections::HashSet;
use std::fmt;

use plinth_core::seams::{LoadSource, RowForm};
use plinth_core::{Error, Result, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::definition::NamespaceSettings;
use super::name::Key;

/// Shortest and longest time that a load may take, in milliseconds.
pub const LOAD_MS_MIN: u64 = 10;
/// Longest time that a load may take, in milliseconds: a lease lasts longer.
pub const LOAD_MS_MAX: u64 = 30_000;
/// How long a load may take where the definition does not say, in milliseconds.
pub const LOAD_MS_DEFAULT: u64 = 5_000;
/// How long a failed load is remembered where the definition does not say, in milliseconds.
pub const LOAD_ERROR_TTL_MS_DEFAULT: u64 = 1_000;
/// Longest time that a failed load is remembered, in milliseconds.
pub const LOAD_ERROR_TTL_MS_MAX: u64 = 60_000;
/// Most loads of a namespace that one instance makes at a time.
pub const LOADS_PER_NAMESPACE_MAX: usize = 256;
/// How many those are where the definition does not say.
pub const LOADS_PER_NAMESPACE_DEFAULT: usize = 16;
/// Most parameters that are made of a key.
pub const LOAD_PARAMS_MAX: usize = 16;
/// Most bytes of what separates the parts of a key.
pub const LOAD_SEPARATOR_BYTES_MAX: usize = 8;
/// Most bytes of a loader's statement.
pub const LOAD_SQL_BYTES_MAX: usize = 16 * 1024;
/// Most bytes of a loader's URL.
pub const LOAD_URL_BYTES_MAX: usize = 2_048;
/// Fewest bytes of a loader's secret.
pub const LOAD_SECRET_BYTES_MIN: usize = 16;
/// Most bytes of a loader's secret.
pub const LOAD_SECRET_BYTES_MAX: usize = 256;
/// Most keys of a warm-up list.
pub const WARM_UP_KEYS_MAX: usize = 500;
/// Most bytes of all keys of a warm-up list together.
pub const WARM_UP_BYTES_MAX: usize = 32 * 1024;
/// Shortest interval of a scheduled refresh, in milliseconds.
pub const REFRESH_EVERY_MS_MIN: u64 = 1_000;
/// Longest interval of a scheduled refresh, in milliseconds: one day.
pub const REFRESH_EVERY_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Where the values of a namespace come from that are not there, and how they are loaded.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CacheLoaderSettings)]
#[serde(deny_unknown_fields)]
pub struct LoaderSettings {
    /// `sql` (a query on a registered database) or `http` (a signed callback).
    pub kind: String,
    /// With `sql`: the name of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// With `sql`: one statement that only reads, with one `?` for each parameter; at most 16 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// With `sql`: what the parameters are, each `key` or `part:N` (the key's part number N, from 0). Default: the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Vec<String>>,
    /// With `sql`: what separates the parts of a key, 1 to 8 bytes. Default `:`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// With `sql`: `column` (default: the only column of the only row) or `row` (that row as a JSON object).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// With `http`: absolute http or https URL, at most 2,048 bytes. Redirects are not followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// With `http`: signs each request, 16 to 256 bytes. It is never shown again. Absent: the one that stands for the same URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// How long a load may take, 10 to 30,000 ms. Default 5,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard_timeout_ms: Option<i64>,
    /// How long a read that found a stale value waits for the new one, 0 to `hard_timeout_ms`. Default 0: the stale one is
    /// answered at once. Needs a `fresh_percent` below 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub soft_timeout_ms: Option<i64>,
    /// What a read is told whose load failed: `error` (default), or `absent`, marked `degraded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<String>,
    /// How long a failed load is remembered at first, 0 to 60,000 ms; twice as long with each further failure. Default 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_ttl_ms: Option<i64>,
    /// Most loads that one instance makes at a time, 1 to 256. Default 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loads_max: Option<i64>,
    /// After how many hundredths of its life a value that is read is loaded anew, 1 to 99, below `fresh_percent`. Default: not
    /// before it is stale or gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_percent: Option<i64>,
    /// Keys to load ahead: at most 500 of 32 KiB together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<Vec<String>>,
    /// How often the keys of `warm_up` are loaded anew, 1,000 ms to one day. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_every_ms: Option<i64>,
}

/// Shows everything but the secret.
impl fmt::Debug for LoaderSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LoaderSettings")
            .field("kind", &self.kind)
            .field("database", &self.database)
            .field("sql", &self.sql)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// One parameter of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// The whole key.
    Whole,
    /// What stands between two separators.
    Part(usize),
}

/// What a read is told whose load failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Why.
    Error,
    /// That there is no value.
    Absent,
}

/// The settings of a loader, checked.
#[derive(Clone)]
pub struct LoaderSpec {
    /// Where values come from.
    pub source: LoadSource,
    /// The parameters of a query.
    pub params: Vec<KeyPart>,
    /// What separates the parts of a key.
    pub separator: String,
    /// How long a load may take, in milliseconds.
    pub hard_ms: u64,
    /// How long a read that found a stale value waits, in milliseconds.
    pub soft_ms: u64,
    /// What a read is told whose load failed.
    pub on_error: OnError,
    /// How long a failure is remembered at first, in milliseconds.
    pub error_ttl_ms: u64,
    /// Most loads at a time.
    pub loads_max: usize,
    /// After how many hundredths of its life a value is loaded anew.
    pub refresh_percent: Option<u8>,
    /// Keys to load ahead.
    pub warm_up: Vec<Key>,
    /// How often they are loaded anew, in milliseconds.
    pub refresh_every_ms: Option<u64>,
}

impl LoaderSpec {
    /// The parameters of a query for a key. Errors: 1001 naming `key` where it lacks a part.
    pub fn params_of(&self, key: &Key) -> Result<Vec<String>> {
        let text = key.as_str();
        let param = |part: &KeyPart| match part {
            KeyPart::Whole => Ok(text.to_owned()),
            KeyPart::Part(number) => text
                .split(self.separator.as_str())
                .nth(*number)
                .map(str::to_owned)
                .ok_or_else(|| {
                    let separator = &self.separator;
                    Error::invalid(
                        "key",
                        format!(
                            "has no part {number} between {separator:?}, which its loader needs"
                        ),
                    )
                }),
        };
        self.params.iter().map(param).collect()
    }
}

impl LoaderSettings {
    /// Checks every field, beside what the namespace says otherwise. Errors: 1001 or 1007 naming the field below
    /// `settings.loader`, or `settings.default_ttl_ms` and `settings.default_sliding_ms`.
    pub(super) fn check(&self, space: &NamespaceSettings) -> Result<LoaderSpec> {
        if space.default_ttl_ms.is_none() {
            return Err(Error::invalid(
                "default_ttl_ms",
                "is required beside a loader: what is loaded lives so long",
            ));
        }
        if space.default_sliding_ms.is_some() {
            return Err(Error::invalid(
                "default_sliding_ms",
                "does not go with a loader: what is read often would never be loaded anew",
            ));
        }
        let fresh_percent = space.fresh_percent.unwrap_or(100);
        self.fields(fresh_percent)
            .map_err(|error| error.in_field("loader"))
    }

    fn fields(&self, fresh_percent: i64) -> Result<LoaderSpec> {
        let source = self.source()?;
        let is_query = matches!(source, LoadSource::Query { .. });
        let hard_ms = within(
            "hard_timeout_ms",
            self.hard_timeout_ms,
            LOAD_MS_MIN,
            LOAD_MS_MAX,
        )?
        .unwrap_or(LOAD_MS_DEFAULT);
        let soft_ms = within("soft_timeout_ms", self.soft_timeout_ms, 0, hard_ms)?;
        if soft_ms.is_some() && fresh_percent >= 100 {
            return Err(Error::invalid(
                "soft_timeout_ms",
                "needs a `fresh_percent` below 100: without one no value is stale",
            ));
        }
        let refresh = within("refresh_percent", self.refresh_percent, 1, 99)?;
        if refresh.is_some_and(|percent| percent >= fresh_percent.unsigned_abs()) {
            return Err(Error::invalid(
                "refresh_percent",
                "must be below `fresh_percent`: a stale value is loaded anew in any case",
            ));
        }
        let warm_up = self.warm_up()?;
        let (least, most) = (REFRESH_EVERY_MS_MIN, REFRESH_EVERY_MS_MAX);
        let refresh_every_ms = within("refresh_every_ms", self.refresh_every_ms, least, most)?;
        if refresh_every_ms.is_some() && warm_up.is_empty() {
            return Err(Error::invalid(
                "refresh_every_ms",
                "needs keys in `warm_up`",
            ));
        }
        let error_ttl_ms = within("error_ttl_ms", self.error_ttl_ms, 0, LOAD_ERROR_TTL_MS_MAX)?;
        let most = u64::try_from(LOADS_PER_NAMESPACE_MAX).unwrap_or(u64::MAX);
        let loads_max = within("loads_max", self.loads_max, 1, most)?;
        Ok(LoaderSpec {
            source,
            params: if is_query { self.params()? } else { Vec::new() },
            separator: self.separator.clone().unwrap_or_else(|| ":".to_owned()),
            hard_ms,
            soft_ms: soft_ms.unwrap_or(0),
            on_error: match self.on_error.as_deref() {
                None | Some("error") => OnError::Error,
                Some("absent") => OnError::Absent,
                Some(_) => return Err(Error::invalid("on_error", "must be `error` or `absent`")),
            },
            error_ttl_ms: error_ttl_ms.unwrap_or(LOAD_ERROR_TTL_MS_DEFAULT),
            loads_max: loads_max
                .and_then(|most| usize::try_from(most).ok())
                .unwrap_or(LOADS_PER_NAMESPACE_DEFAULT),
            refresh_percent: refresh.and_then(|percent| u8::try_from(percent).ok()),
            warm_up,
            refresh_every_ms,
        })
    }

    fn source(&self) -> Result<LoadSource> {
        let of_sql = [
            ("database", self.database.is_some()),
            ("sql", self.sql.is_some()),
            ("params", self.params.is_some()),
            ("separator", self.separator.is_some()),
            ("value", self.value.is_some()),
        ];
        let of_http = [
            ("url", self.url.is_some()),
            ("secret", self.secret.is_some()),
        ];
        let none_of = |fields: &[(&'static str, bool)]| {
            let named = fields.iter().find(|(_, is_named)| *is_named);
            named.map_or(Ok(()), |(field, _)| {
                Err(Error::invalid(
                    *field,
                    format!("does not go with the kind `{}`", self.kind),
                ))
            })
        };
        match self.kind.as_str() {
            "sql" => {
                none_of(&of_http)?;
                let sql = required("sql", self.sql.as_deref(), 1, LOAD_SQL_BYTES_MAX)?;
                let database = required("database", self.database.as_deref(), 1, 128)?;
                Ok(LoadSource::Query {
                    database,
                    sql,
                    form: match self.value.as_deref() {
                        None | Some("column") => RowForm::Column,
                        Some("row") => RowForm::Row,
                        Some(_) => {
                            return Err(Error::invalid("value", "must be `column` or `row`"));
                        }
                    },
                })
            }
            "http" => {
                none_of(&of_sql)?;
                let (least, most) = (LOAD_SECRET_BYTES_MIN, LOAD_SECRET_BYTES_MAX);
                Ok(LoadSource::Callback {
                    url: required("url", self.url.as_deref(), 1, LOAD_URL_BYTES_MAX)?,
                    secret: SecretString::new(required(
                        "secret",
                        self.secret.as_deref(),
                        least,
                        most,
                    )?),
                })
            }
            _ => Err(Error::invalid("kind", "must be `sql` or `http`")),
        }
    }

    fn params(&self) -> Result<Vec<KeyPart>> {
        if let Some(separator) = &self.separator
            && !(1..=LOAD_SEPARATOR_BYTES_MAX).contains(&separator.len())
        {
            return Err(Error::invalid(
                "separator",
                format!("must have 1 to {LOAD_SEPARATOR_BYTES_MAX} bytes"),
            ));
        }
        let Some(params) = &self.params else {
            return Ok(vec![KeyPart::Whole]);
        };
        if !(1..=LOAD_PARAMS_MAX).contains(&params.len()) {
            return Err(Error::invalid(
                "params",
                format!("must name 1 to {LOAD_PARAMS_MAX} parameters"),
            ));
        }
        let part = |(at, text): (usize, &String)| {
            let number = text.strip_prefix("part:");
            let number = number.map(str::parse).transpose().ok();
            match (text.as_str(), number) {
                ("key", _) => Ok(KeyPart::Whole),
                (_, Some(Some(number))) => Ok(KeyPart::Part(number)),
                _ => Err(Error::invalid(
                    format!("params[{at}]"),
                    "must be `key` or `part:N`",
                )),
            }
        };
        params.iter().enumerate().map(part).collect()
    }

    fn warm_up(&self) -> Result<Vec<Key>> {
        let names = self.warm_up.as_deref().unwrap_or_default();
        let bytes: usize = names.iter().map(String::len).sum();
        if names.len() > WARM_UP_KEYS_MAX || bytes > WARM_UP_BYTES_MAX {
            return Err(Error::too_large(
                "warm_up",
                format!("may hold {WARM_UP_KEYS_MAX} keys and {WARM_UP_BYTES_MAX} bytes"),
            ));
        }
        let mut seen = HashSet::with_capacity(names.len());
        let mut keys = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let field = format!("warm_up[{at}]");
            let key = Key::parse_as(&field, name)?;
            if !seen.insert(name.as_str()) {
                return Err(Error::invalid(field, "stands twice in the list"));
            }
            keys.push(key);
        }
        Ok(keys)
    }
}

fn required(field: &str, text: Option<&str>, least: usize, most: usize) -> Result<String> {
    match text {
        Some(text) if (least..=most).contains(&text.len()) => Ok(text.to_owned()),
        Some(_) => Err(Error::invalid(
            field,
            format!("must have {least} to {most} bytes"),
        )),
        None => Err(Error::invalid(field, "is required by this kind of loader")),
    }
}

fn within(field: &str, value: Option<i64>, least: u64, most: u64) -> Result<Option<u64>> {
    match value.map(u64::try_from) {
        None => Ok(None),
        Some(Ok(value)) if (least..=most).contains(&value) => Ok(Some(value)),
        Some(_) => Err(Error::invalid(
            field,
            format!("must lie in {least}..={most}"),
        )),
    }
}

#[cfg(test)]
mod tests;
