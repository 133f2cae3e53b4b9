//! Where a database is: a file below a directory, or a server.

use std::path::{Component, Path, PathBuf};

use plinth_core::{Error, Result};
use plinth_security::tls::check_authorities;

use super::{EngineKind, TLS_CA_BYTES_MAX};

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A file below the tenant's directory.
    File(PathBuf),
    /// A server.
    Network(NetworkEndpoint),
}

/// A server, a user and a database on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkEndpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) tls: TlsMode,
}

/// How far TLS is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl TlsMode {
    /// Whether the server's certificate is checked.
    pub(crate) const fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

impl Endpoint {
    /// Checks the authorities that a definition brings. Errors: 1001 and 1007 naming `tls_ca`.
    pub(crate) fn check_authorities(&self, text: &str) -> Result<()> {
        match self {
            Self::Network(server) if server.tls.verifies() => {}
            _ => {
                return Err(Error::invalid(
                    "tls_ca",
                    "is used only where the url says sslmode=verify-ca or verify-full",
                ));
            }
        }
        if text.len() > TLS_CA_BYTES_MAX {
            return Err(Error::too_large(
                "tls_ca",
                format!("must have at most {TLS_CA_BYTES_MAX} bytes"),
            ));
        }
        check_authorities("tls_ca", text)
    }

    /// Parses an address. Errors: 1001 naming `url`.
    pub(crate) fn parse(engine: EngineKind, url: &str) -> Result<Self> {
        match engine {
            EngineKind::Sqlite => sqlite_path(url).map(Self::File),
            EngineKind::Postgres => {
                network(url, &["postgres", "postgresql"], 5_432).map(Self::Network)
            }
            EngineKind::Mariadb => network(url, &["mysql", "mariadb"], 3_306).map(Self::Network),
        }
    }
}

/// A relative path of plain names: nothing that leaves the directory it is below.
fn sqlite_path(url: &str) -> Result<PathBuf> {
    let refuse = |message: &str| Err(Error::invalid("url", message));
    if url.is_empty() || url.contains(['\0', '\\', '?', '#', '%']) || url.ends_with('/') {
        return refuse("must be a file's path without \\ ? # % and NUL: shop/orders.db");
    }
    let path = Path::new(url);
    if !path
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
    {
        return refuse("must be a path below the database directory, without .. and a leading /");
    }
    if url
        .split('/')
        .any(|part| part.is_empty() || part.starts_with('.') || part.len() > 255)
    {
        return refuse("must be made of names of 1 to 255 bytes that do not begin with a dot");
    }
    Ok(path.to_owned())
}

fn network(text: &str, schemes: &[&str], default_port: u16) -> Result<NetworkEndpoint> {
    let refuse = |message: &str| Error::invalid("url", message);
    let url = url::Url::parse(text)
        .map_err(|_| refuse("must be an address: postgres://user@host:5432/database"))?;
    if !schemes.contains(&url.scheme()) {
        return Err(refuse(&format!(
            "must begin with {}:// for this engine",
            schemes.first().copied().unwrap_or_default()
        )));
    }
    if url.password().is_some() {
        return Err(refuse("must not hold a password; send it in `secret`"));
    }
    let decode = |part: &str| {
        percent_decode(part).ok_or_else(|| refuse("holds a percent sign that encodes no text"))
    };
    let user = decode(url.username())?;
    let database = decode(url.path().trim_start_matches('/'))?;
    let host = url.host_str().unwrap_or_default().to_owned();
    if user.is_empty() || database.is_empty() || host.is_empty() || database.contains('/') {
        return Err(refuse("must name a user, a host and a database"));
    }
    let mut tls = TlsMode::Prefer;
    for (name, value) in url.query_pairs() {
        tls = match (name.as_ref(), value.as_ref()) {
            ("sslmode", "disable") => TlsMode::Disable,
            ("sslmode", "prefer") => TlsMode::Prefer,
            ("sslmode", "require") => TlsMode::Require,
            ("sslmode", "verify-ca") => TlsMode::VerifyCa,
            ("sslmode", "verify-full") => TlsMode::VerifyFull,
            _ => {
                return Err(refuse(
                    "takes one parameter: sslmode=disable|prefer|require|verify-ca|verify-full",
                ));
            }
        };
    }
    Ok(NetworkEndpoint {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port().unwrap_or(default_port),
        user,
        database,
        tls,
    })
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let (pair, after) = tail.split_at_checked(2)?;
            let pair = std::str::from_utf8(pair).ok()?;
            bytes.push(u8::from_str_radix(pair, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_below_its_directory() {
        for good in ["orders.db", "shop/orders.db", "a-b_c/d..e"] {
            assert!(sqlite_path(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x.db",
            "a/../../x.db",
            "a/./x.db",
            "a//x.db",
            "a\\..\\x.db",
            "x.db?mode=memory",
            ":memory:\0",
            ".hidden",
            "dir/",
            "file:x.db#a",
            "%2e%2e/x",
        ] {
            assert!(sqlite_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_names_user_host_and_database_and_no_password() {
        let parsed = Endpoint::parse(
            EngineKind::Postgres,
            "postgres://a%40b@[::1]:6000/shop?sslmode=require",
        )
        .expect("parses");
        let Endpoint::Network(network) = parsed else {
            panic!("is a server");
        };
        assert_eq!(
            (network.user.as_str(), network.host.as_str(), network.port),
            ("a@b", "::1", 6_000)
        );
        assert_eq!(network.tls, TlsMode::Require);
        for bad in [
            "postgres://u:p@h/d",
            "mysql://u@h/d",
            "postgres://h/d",
            "postgres://u@h",
            "postgres://u@h/d?sslrootcert=/etc/passwd",
            "not an address",
        ] {
            let error = Endpoint::parse(EngineKind::Postgres, bad).expect_err(bad);
            assert_eq!(error.violations()[0].field, "url", "{bad}");
        }
    }
}
