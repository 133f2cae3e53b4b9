//! Named databases: what is registered, stored and shown.

use plinth_core::{Error, Result, SecretString, WideInt, ids, limits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::endpoint::Endpoint;
use super::{
    DRAIN_TIMEOUT_MS_MAX, POOL_CONNECTIONS_MAX, SECRET_BYTES_MAX, SLOW_THRESHOLD_MS_MAX,
    URL_BYTES_MAX, within,
};

/// The engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// SQLite: one file.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MariaDB and MySQL.
    Mariadb,
}

impl EngineKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sqlite, Self::Postgres, Self::Mariadb];

    /// Parses the word. Errors: 1001 naming `engine`.
    pub fn parse(word: &str) -> Result<Self> {
        match word {
            "sqlite" => Ok(Self::Sqlite),
            "postgres" => Ok(Self::Postgres),
            "mariadb" | "mysql" => Ok(Self::Mariadb),
            _ => Err(Error::invalid(
                "engine",
                "must be sqlite, postgres or mariadb",
            )),
        }
    }

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
        }
    }
}

/// The name of a database in its tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DatabaseName(String);

impl DatabaseName {
    /// Parses the rule of names. Errors: 1001 naming `database`.
    pub fn parse(text: &str) -> Result<Self> {
        ids::check_name("database", text, limits::NAME_BYTES_MAX)?;
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How connections to one database are pooled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DbPoolOptions)]
pub struct PoolOptions {
    /// Connections kept open while idle; 0 to `max_connections`, default 0.
    #[serde(default)]
    pub min_connections: Option<i32>,
    /// Most connections; 1 to 1,000, default 10.
    #[serde(default)]
    pub max_connections: Option<i32>,
    /// Longest wait for a free connection, in milliseconds; 10 to 60,000, default 5,000.
    #[serde(default)]
    pub acquire_timeout_ms: Option<i64>,
    /// A connection older than this is replaced, in milliseconds; 1,000 to 86,400,000, default 1,800,000.
    #[serde(default)]
    pub max_lifetime_ms: Option<i64>,
    /// A connection idle for longer is closed, in milliseconds; 1,000 to 86,400,000, default 600,000.
    #[serde(default)]
    pub idle_timeout_ms: Option<i64>,
}

impl PoolOptions {
    /// Checks the numbers and fills in the defaults. Errors: 1001 naming `pool.…`.
    pub(crate) fn filled(self) -> Result<Self> {
        const DAY_MS: i64 = 86_400_000;
        let filled = || -> Result<Self> {
            let most = within(
                "max_connections",
                self.max_connections,
                10,
                1,
                POOL_CONNECTIONS_MAX,
            )?;
            Ok(Self {
                min_connections: Some(within("min_connections", self.min_connections, 0, 0, most)?),
                max_connections: Some(most),
                acquire_timeout_ms: Some(within(
                    "acquire_timeout_ms",
                    self.acquire_timeout_ms,
                    5_000,
                    10,
                    60_000,
                )?),
                max_lifetime_ms: Some(within(
                    "max_lifetime_ms",
                    self.max_lifetime_ms,
                    1_800_000,
                    1_000,
                    DAY_MS,
                )?),
                idle_timeout_ms: Some(within(
                    "idle_timeout_ms",
                    self.idle_timeout_ms,
                    600_000,
                    1_000,
                    DAY_MS,
                )?),
            })
        };
        filled().map_err(|error| error.in_field("pool"))
    }
}

/// The state of a pool now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbPoolStatus)]
pub struct PoolStatus {
    /// Open connections.
    pub connections: i64,
    /// Of these, idle ones.
    pub idle: i64,
    /// Callers that wait for a connection.
    pub waiting: i64,
    /// Statements and transactions that hold a connection.
    pub in_use: i64,
    /// Connections opened since registration.
    pub opened: i64,
    /// Connections handed out since registration.
    pub acquired: i64,
    /// Waits that ended without a connection since registration.
    pub acquire_timeouts: i64,
    /// `closed`, `open` or `half_open`.
    pub breaker: String,
}

/// A database to register.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DbRegisterDatabaseRequest)]
pub struct RegisterDatabaseRequest {
    /// `sqlite`, `postgres`, or `mariadb` (also for MySQL).
    pub engine: String,
    /// The address without a password; for SQLite a file's path below the directory of the settings.
    pub url: String,
    /// The password of the user in `url`. Kept in the control plane, never shown again.
    #[serde(default, deserialize_with = "secret_text")]
    #[schema(value_type = Option<String>, write_only)]
    pub secret: Option<SecretString>,
    /// Certificates in PEM that sign the server's own, beside the public authorities; at most 16,384 bytes. Only with
    /// `sslmode=verify-ca` or `verify-full` in `url`.
    #[serde(default)]
    pub tls_ca: Option<String>,
    /// Refuse statements that write; default false.
    #[serde(default)]
    pub read_only: Option<bool>,
    /// Defaults where absent.
    #[serde(default)]
    pub pool: Option<PoolOptions>,
    /// From which time on a statement counts as slow, in milliseconds; 0 to 3,600,000, default 200.
    #[serde(default)]
    pub slow_query_threshold_ms: Option<i64>,
    /// The version that the definition must have; 0: it must not exist yet.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub if_version: Option<WideInt>,
}

fn secret_text<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::new))
}

impl std::fmt::Debug for RegisterDatabaseRequest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("RegisterDatabaseRequest")
            .field("engine", &self.engine)
            .field("url", &self.url)
            .field("secret", &self.secret.as_ref().map(|_| "***"))
            .finish_non_exhaustive()
    }
}

impl RegisterDatabaseRequest {
    /// Checks everything and makes the definition; the secret is the request's own, or none.
    pub(crate) fn parse(self) -> Result<DatabaseDefinition> {
        let engine = EngineKind::parse(&self.engine)?;
        if self.url.len() > URL_BYTES_MAX {
            return Err(Error::too_large(
                "url",
                format!(
                    "has {} bytes, at most {URL_BYTES_MAX} are allowed",
                    self.url.len()
                ),
            ));
        }
        let endpoint = Endpoint::parse(engine, &self.url)?;
        if let Some(text) = &self.tls_ca {
            endpoint.check_authorities(text)?;
        }
        let secret = self.secret.map(|secret| secret.expose().to_owned());
        if secret
            .as_ref()
            .is_some_and(|text| text.len() > SECRET_BYTES_MAX)
        {
            return Err(Error::too_large(
                "secret",
                format!("must have at most {SECRET_BYTES_MAX} bytes"),
            ));
        }
        if engine == EngineKind::Sqlite && secret.is_some() {
            return Err(Error::invalid("secret", "a SQLite file has none"));
        }
        Ok(DatabaseDefinition {
            engine,
            url: self.url,
            secret,
            tls_ca: self.tls_ca,
            read_only: self.read_only.unwrap_or(false),
            pool: self.pool.unwrap_or_default().filled()?,
            slow_query_threshold_ms: within(
                "slow_query_threshold_ms",
                self.slow_query_threshold_ms,
                200,
                0,
                SLOW_THRESHOLD_MS_MAX,
            )?,
        })
    }
}

/// The stored form of a database, in the control plane alone: it holds the secret, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseDefinition {
    /// The engine.
    pub engine: EngineKind,
    /// The address without a password.
    pub url: String,
    /// The password.
    pub secret: Option<String>,
    /// Certificates in PEM that sign the server's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<String>,
    /// Whether statements that write are refused.
    pub read_only: bool,
    /// Every field is filled in.
    pub pool: PoolOptions,
    /// From which time on a statement counts as slow, in milliseconds.
    pub slow_query_threshold_ms: i64,
}

/// A registered database, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbDatabaseInfo)]
pub struct DatabaseInfo {
    /// Its name in the tenant.
    pub database: String,
    /// `sqlite`, `postgres` or `mariadb`.
    pub engine: String,
    /// The address, without a password.
    pub url: String,
    /// Whether a secret is stored. The secret itself is never shown.
    pub has_secret: bool,
    /// Whether statements that write are refused.
    pub read_only: bool,
    /// The pool's settings, defaults filled in.
    pub pool: PoolOptions,
    /// From which time on a statement counts as slow, in milliseconds.
    pub slow_query_threshold_ms: i64,
    /// The version of the definition, for `if_version`.
    #[schema(value_type = String)]
    pub version: WideInt,
    /// When it was first registered, in Unix milliseconds.
    pub created_at_ms: i64,
    /// When it was last changed, in Unix milliseconds.
    pub updated_at_ms: i64,
    /// The pool on this instance; absent where nothing has used it since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_status: Option<PoolStatus>,
    /// Certificates in PEM that sign the server's own; absent where only public authorities are trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<String>,
}

/// What was registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbRegisterDatabaseResponse)]
pub struct RegisterDatabaseReply {
    /// The definition as stored.
    pub info: DatabaseInfo,
    /// Whether it is new.
    pub created: bool,
}

/// Which databases to list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListDatabasesRequest {
    /// Only names that begin with this.
    #[serde(default)]
    pub prefix: Option<String>,
    /// Rows of a page; 1 to 1,000, default 50.
    #[serde(default)]
    pub limit: Option<i64>,
    /// The `next_cursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// A page of databases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbListDatabasesResponse)]
pub struct ListDatabasesReply {
    /// By name.
    pub databases: Vec<DatabaseInfo>,
    /// Where the next page begins; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// How to remove a database.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemoveDatabaseRequest {
    /// How long running statements may take to end, in milliseconds; 0 to 60,000, default 5,000.
    #[serde(default)]
    pub drain_timeout_ms: Option<i64>,
}

impl RemoveDatabaseRequest {
    /// Checks the number. Errors: 1001 naming `drain_timeout_ms`.
    pub(crate) fn drain_timeout_ms(&self) -> Result<u64> {
        let drain = within(
            "drain_timeout_ms",
            self.drain_timeout_ms,
            5_000,
            0,
            DRAIN_TIMEOUT_MS_MAX,
        )?;
        Ok(u64::try_from(drain).unwrap_or(0))
    }
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = DbRemoveDatabaseResponse)]
pub struct RemoveDatabaseReply {
    /// Whether it was registered.
    pub removed: bool,
    /// Statements that were cut off because they did not end in time.
    pub aborted: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        let request: RegisterDatabaseRequest = serde_json::from_str(
            r#"{"engine":"postgres","url":"postgres://u@h/d","secret":"hunter2"}"#,
        )
        .expect("parses");
        assert!(!format!("{request:?}").contains("hunter2"));
        assert_eq!(
            request.parse().expect("is good").secret.as_deref(),
            Some("hunter2")
        );
    }

    #[test]
    fn pool_numbers_are_checked() {
        let filled = PoolOptions::default().filled().expect("defaults are good");
        assert_eq!(filled.max_connections, Some(10));
        let bad = PoolOptions {
            min_connections: Some(11),
            ..PoolOptions::default()
        };
        let error = bad.filled().expect_err("is refused");
        assert_eq!(error.violations()[0].field, "pool.min_connections");
    }
}
