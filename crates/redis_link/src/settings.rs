//! Where Redis is and how it is spoken to.

use std::fmt;
use std::path::PathBuf;

pub use plinth_core::SecretUrl as RedisUrl;
use plinth_core::{Error, Result};
use serde::{Deserialize, Serialize};
use url::Url;

/// Most shared connections to one server.
pub const CONNECTIONS_MAX: usize = 4;
/// Most commands under way that can be allowed.
pub const IN_FLIGHT_MAX: usize = 1_000_000;
/// Longest time-out that can be set, in milliseconds.
pub const TIMEOUT_MS_MAX: u64 = 60_000;
/// The port of a server where the URL names none.
const PORT_DEFAULT: u16 = 6_379;
/// The port of a sentinel where the URL names none.
const SENTINEL_PORT_DEFAULT: u16 = 26_379;

/// Longest prefix of keys in Redis, in bytes.
pub const KEY_PREFIX_BYTES_MAX: usize = 64;

/// Checks what a block's keys begin with: 1 to [`KEY_PREFIX_BYTES_MAX`] letters, digits, `-`, `_`, `.`. Errors: 1001 naming
/// the field.
pub fn check_key_prefix(field: &str, prefix: &str) -> Result<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=KEY_PREFIX_BYTES_MAX).contains(&prefix.len()) && prefix.bytes().all(good) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("must be 1 to {KEY_PREFIX_BYTES_MAX} letters, digits, `-`, `_`, `.`"),
    ))
}

/// How Redis (7.0 or later) or Valkey is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisSettings {
    /// `redis://user:password@host:port/database`, `redis+sentinel://user:password@host:port,host:port/name-of-primary` or
    /// `redis+cluster://user:password@host:port,host:port`; `rediss…` for TLS. Empty: there is no Redis.
    pub url: RedisUrl,
    /// With TLS: the file of the authorities that are trusted, as PEM.
    pub tls_ca: PathBuf,
    /// Shared connections to each server, 1 to 4. Commands of many callers are pipelined over them.
    pub connections: usize,
    /// Most commands whose answer is awaited; one more is refused (1009).
    pub in_flight_max: usize,
    /// Longest time to a connection, name resolution, TLS and credentials included, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest time to an answer, in milliseconds; past it the effect of a write is unknown.
    pub command_timeout_ms: u64,
    /// How often an idle connection is tried, in milliseconds: a dead peer is noticed after this and the time to an answer.
    pub heartbeat_ms: u64,
    /// Upper end of the first wait before a new attempt to connect, in milliseconds; doubles with each.
    pub reconnect_first_ms: u64,
    /// Upper end of any such wait, in milliseconds.
    pub reconnect_max_ms: u64,
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            url: RedisUrl::default(),
            tls_ca: PathBuf::from("/etc/ssl/certs/ca-certificates.crt"),
            connections: 2,
            in_flight_max: 20_000,
            connect_timeout_ms: 2_000,
            command_timeout_ms: 1_000,
            heartbeat_ms: 1_000,
            reconnect_first_ms: 50,
            reconnect_max_ms: 2_000,
        }
    }
}

impl RedisSettings {
    /// Checks them whole. Errors: 1001 naming the setting below `redis`.
    pub fn validate(&self) -> Result<()> {
        if !self.url.is_empty() {
            Target::parse(&self.url)?;
        }
        let whole = |field: &str, value: u64, max: u64| {
            if (1..=max).contains(&value) {
                return Ok(());
            }
            Err(Error::invalid(
                format!("redis.{field}"),
                format!("is {value}, must lie in 1..={max}"),
            ))
        };
        let wide = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        whole("connections", wide(self.connections), wide(CONNECTIONS_MAX))?;
        whole(
            "in_flight_max",
            wide(self.in_flight_max),
            wide(IN_FLIGHT_MAX),
        )?;
        for (field, value) in [
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("command_timeout_ms", self.command_timeout_ms),
            ("heartbeat_ms", self.heartbeat_ms),
            ("reconnect_first_ms", self.reconnect_first_ms),
            ("reconnect_max_ms", self.reconnect_max_ms),
        ] {
            whole(field, value, TIMEOUT_MS_MAX)?;
        }
        Ok(())
    }
}

/// Host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

impl Address {
    /// Reads `host:port`, also with an IPv6 host.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.parse().ok()?,
        })
    }
}

/// What the servers are to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deployment {
    /// One server.
    Single,
    /// A primary that sentinels name.
    Sentinel {
        /// Its name there.
        primary: String,
    },
    /// Slots shared by primaries.
    Cluster,
}

/// A URL, read.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) deployment: Deployment,
    pub(crate) addresses: Vec<Address>,
    pub(crate) tls: bool,
    pub(crate) username: String,
    pub(crate) password: plinth_core::SecretString,
    pub(crate) database: i64,
}

impl Target {
    /// The same servers, for those that know no users.
    pub(crate) fn without_credentials(&self) -> Self {
        Self {
            username: String::new(),
            password: plinth_core::SecretString::new(String::new()),
            ..self.clone()
        }
    }

    pub(crate) fn parse(url: &RedisUrl) -> Result<Self> {
        let refuse = |reason: &str| Error::invalid("redis.url", reason);
        let (scheme, rest) = url
            .expose()
            .split_once("://")
            .ok_or_else(|| refuse("must begin with redis:// or rediss://"))?;
        let (base, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let tls = match base {
            "redis" => false,
            "rediss" => true,
            _ => return Err(refuse("must begin with redis:// or rediss://")),
        };
        // The URL parser knows one host: the credentials and the path are read around the first.
        let (credentials, hosts) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (hosts, path) = hosts.split_once('/').unwrap_or((hosts, ""));
        let port = if kind == "sentinel" {
            SENTINEL_PORT_DEFAULT
        } else {
            PORT_DEFAULT
        };
        let addresses: Option<Vec<_>> = hosts.split(',').map(|host| address(host, port)).collect();
        let addresses =
            addresses.ok_or_else(|| refuse("names a host or port that cannot be read"))?;
        let (username, password) = credentials_of(credentials)
            .ok_or_else(|| refuse("has credentials that cannot be read"))?;
        let (deployment, database) = match (kind, path) {
            ("", _) if addresses.len() > 1 => return Err(refuse("names more than one server")),
            ("", "") => (Deployment::Single, 0),
            ("", path) => {
                let database = path
                    .parse()
                    .ok()
                    .filter(|database| (0..=1_023).contains(database));
                let database =
                    database.ok_or_else(|| refuse("ends with no number of a database"))?;
                (Deployment::Single, database)
            }
            ("sentinel", "") => return Err(refuse("must end with the name of the primary")),
            ("sentinel", primary) => {
                let primary = primary.to_owned();
                (Deployment::Sentinel { primary }, 0)
            }
            ("cluster", "") => (Deployment::Cluster, 0),
            ("cluster", _) => {
                return Err(refuse(
                    "must end with the hosts: a cluster has one database",
                ));
            }
            _ => return Err(refuse("must be of a single server, +sentinel or +cluster")),
        };
        Ok(Self {
            deployment,
            addresses,
            tls,
            username,
            password,
            database,
        })
    }
}

fn address(host: &str, port: u16) -> Option<Address> {
    let url = Url::parse(&format!("x://{host}")).ok()?;
    let name = url.host_str()?.trim_matches(['[', ']']).to_owned();
    (!name.is_empty()).then_some(Address {
        host: name,
        port: url.port().unwrap_or(port),
    })
}

fn credentials_of(text: &str) -> Option<(String, plinth_core::SecretString)> {
    let (username, password) = text.split_once(':').unwrap_or((text, ""));
    let decode = |text: &str| {
        let pair = format!("x={}", text.replace('+', "%2B"));
        let decoded = url::form_urlencoded::parse(pair.as_bytes())
            .next()?
            .1
            .into_owned();
        Some(decoded)
    };
    Some((
        decode(username)?,
        plinth_core::SecretString::new(decode(password)?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target> {
        Target::parse(&RedisUrl::new(url))
    }

    #[test]
    fn each_form_of_the_url_is_read() {
        let single = target("rediss://u:p%40ss@host/3").expect("parses");
        assert!(single.tls && single.deployment == Deployment::Single);
        assert_eq!(
            (single.username.as_str(), single.password.expose()),
            ("u", "p@ss")
        );
        assert_eq!((single.database, single.addresses[0].port), (3, 6_379));
        let sentinel = target("redis+sentinel://:p@a,b:5/name").expect("parses");
        assert_eq!(
            sentinel.deployment,
            Deployment::Sentinel {
                primary: "name".into()
            }
        );
        let ports: Vec<_> = sentinel
            .addresses
            .iter()
            .map(|address| address.port)
            .collect();
        assert_eq!(ports, [26_379, 5]);
        let cluster = target("rediss+cluster://[::1]:7,b").expect("parses");
        assert_eq!(
            cluster.addresses[0],
            Address {
                host: "::1".into(),
                port: 7
            }
        );
    }

    #[test]
    fn a_bad_url_names_the_setting() {
        for url in [
            "http://a",
            "redis",
            "redis://a,b",
            "redis://a/x",
            "redis+sentinel://a",
            "redis+cluster://a/1",
            "redis+x://a",
            "redis://:p@",
            "redis://a:99999",
        ] {
            let error = target(url)
                .err()
                .unwrap_or_else(|| panic!("{url} is refused"));
            assert_eq!(error.violations()[0].field, "redis.url", "{url}");
        }
    }

    #[test]
    fn limits_hold_and_a_password_is_never_shown() {
        let set = |text: &str| toml::from_str::<RedisSettings>(text).expect("parses");
        assert!(RedisSettings::default().validate().is_ok());
        for bad in [
            "connections = 0",
            "connections = 5",
            "heartbeat_ms = 0",
            "command_timeout_ms = 60001",
            "in_flight_max = 1000001",
        ] {
            assert!(set(bad).validate().is_err(), "{bad}");
        }
        assert!(
            set("connections = 4\ncommand_timeout_ms = 60000\nin_flight_max = 1000000")
                .validate()
                .is_ok()
        );
        let settings = set("url = \"redis://user:hush@host:1\"");
        assert!(!format!("{settings:?}").contains("hush"));
        assert!(
            toml::to_string(&settings)
                .expect("serialises")
                .contains("redis://***@host:1")
        );
        assert!(toml::from_str::<RedisSettings>("pool = 1").is_err());
    }
}
