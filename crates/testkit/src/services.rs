//! The PostgreSQL, MariaDB and Redis that `cargo xtask services` starts for the tests.

use std::path::Path;

/// The URL of a PostgreSQL with the right to create databases.
pub const POSTGRES_VARIABLE: &str = "PLINTH_TEST_POSTGRES_URL";
/// The URL of a MariaDB with the right to create databases.
pub const MARIADB_VARIABLE: &str = "PLINTH_TEST_MARIADB_URL";
/// The URL of a Redis: one server, its whole data may be used.
pub const REDIS_VARIABLE: &str = "PLINTH_TEST_REDIS_URL";
/// The URL of the same Redis over TLS.
pub const REDIS_TLS_VARIABLE: &str = "PLINTH_TEST_REDIS_TLS_URL";
/// The file of the authority that signed its certificate.
pub const REDIS_CA_VARIABLE: &str = "PLINTH_TEST_REDIS_CA";
/// The URL of three sentinels over a primary with two replicas.
pub const REDIS_SENTINEL_VARIABLE: &str = "PLINTH_TEST_REDIS_SENTINEL_URL";
/// The URL of a cluster of three primaries.
pub const REDIS_CLUSTER_VARIABLE: &str = "PLINTH_TEST_REDIS_CLUSTER_URL";

/// The file of the certificate that signs those of both; both speak TLS on the port that they speak plain on. Theirs are
/// for `localhost` alone.
pub const CA_VARIABLE: &str = "PLINTH_TEST_SERVICES_CA";
/// A user whom both let in over TLS alone, with the password of the one in the URL.
pub const TLS_USER: &str = "plinth_tls";

/// The URL of a service: from the variable, or from `target/services/env`, which `cargo xtask services up` writes.
///
/// `None` where there is neither: the test then says that it was skipped, which this function prints.
///
/// # Panics
///
/// Where there is neither and the variable `CI` is `true`: in CI no test passes because its service is missing.
#[must_use]
#[expect(
    clippy::print_stderr,
    reason = "this is called by tests, which answer on standard error"
)]
pub fn service_url(variable: &str) -> Option<String> {
    let url = std::env::var(variable).ok().or_else(|| from_file(variable));
    if url.is_none() {
        let advice = format!("{variable} is not set: run `cargo xtask services up`");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{advice}");
        eprintln!("skipped: {advice}");
    }
    url
}

/// Reads `export NAME='value'` from `target/services/env`.
fn from_file(variable: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/services/env");
    let text = std::fs::read_to_string(path).ok()?;
    let prefix = format!("export {variable}='");
    text.lines()
        .find_map(|line| line.strip_prefix(&prefix)?.strip_suffix('\''))
        .map(ToOwned::to_owned)
}
