//! One connection: TCP, TLS, credentials, and what the server says of itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plinth_core::{Error, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, RedisConnectionInfo, Value};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::error::LinkError;
use crate::gather::Gathering;
use crate::settings::{Address, RedisSettings, Target};
use crate::supervise::Task;

/// Commands that may wait for the connection's task; more callers wait in line.
const QUEUE_COMMANDS: usize = 1_024;
/// The oldest version whose scripts are refused whole before their first write (`#!lua`).
const MAJOR_MIN: u16 = 7;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// How connections are made.
pub(crate) struct Dialer {
    info: RedisConnectionInfo,
    tls: Option<TlsConnector>,
    timeout: Duration,
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    /// The version of Redis that it speaks: major, minor, patch.
    pub version: (u16, u16, u16),
    /// Another one for each process.
    pub run_id: String,
    /// What it drops when its memory is full: `noeviction`, `volatile-lru`, `allkeys-lru` …
    pub eviction: String,
}

impl ServerInfo {
    /// The version as people write it.
    #[must_use]
    pub fn version_text(&self) -> String {
        let (major, minor, patch) = self.version;
        format!("{major}.{minor}.{patch}")
    }

    /// Whether keys that have no expiry may vanish when the memory is full.
    #[must_use]
    pub fn may_evict_lasting_keys(&self) -> bool {
        self.eviction.starts_with("allkeys")
    }
}

/// What a server is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Other,
}

/// A connection whose task ends with it.
pub(crate) struct Wire {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) driver: Task,
    pub(crate) closed: Closed,
}

/// Whether a connection's task has ended: from then on nothing is sent on it.
#[derive(Clone, Default)]
pub(crate) struct Closed(Arc<AtomicBool>);

impl Closed {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Says so when the task ends, however it does.
struct ClosesWhenDropped(Closed);

impl Drop for ClosesWhenDropped {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Release);
    }
}

impl Dialer {
    /// Errors: the file of the authorities cannot be used.
    pub(crate) fn new(settings: &RedisSettings, target: &Target) -> Result<Self> {
        let mut info = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("plinth", env!("CARGO_PKG_VERSION"))
            .set_db(target.database);
        if !target.username.is_empty() {
            info = info.set_username(&target.username);
        }
        if !target.password.expose().is_empty() {
            info = info.set_password(target.password.expose());
        }
        let tls = target.tls.then(|| connector(settings)).transpose()?;
        Ok(Self {
            info,
            tls,
            timeout: Duration::from_millis(settings.connect_timeout_ms),
        })
    }

    /// Connects to a server. What it pushes goes to `pushes`.
    pub(crate) async fn dial(
        &self,
        address: &Address,
        pushes: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Wire, LinkError> {
        let dialling = self.dial_unbounded(address, pushes);
        match tokio::time::timeout(self.timeout, dialling).await {
            Ok(dialled) => dialled,
            Err(_) => Err(LinkError::not_connected(format!(
                "{address} did not take a connection within {} ms",
                self.timeout.as_millis()
            ))),
        }
    }

    async fn dial_unbounded(
        &self,
        address: &Address,
        pushes: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Wire, LinkError> {
        let away = |error: std::io::Error| LinkError::not_connected(format!("{address}: {error}"));
        let tcp = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(away)?;
        tcp.set_nodelay(true).map_err(away)?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some(connector) => {
                let name = ServerName::try_from(address.host.clone())
                    .map_err(|_| LinkError::not_connected("the host is no name of a server"))?;
                Box::new(connector.connect(name, tcp).await.map_err(away)?)
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE_COMMANDS)
            .set_push_sender(move |push| {
                pushes(push);
                Ok::<(), redis::aio::SendError>(())
            });
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&self.info, Gathering::new(stream), config)
                .await
                .map_err(|error| LinkError::not_connected(format!("{address}: {error}")))?;
        let closed = Closed::default();
        let closes = ClosesWhenDropped(closed.clone());
        let driving = async move {
            let _closes = closes;
            driver.await;
        };
        Ok(Wire {
            connection,
            driver: Task::spawn(driving),
            closed,
        })
    }

    /// The longest time to a connection.
    pub(crate) const fn timeout(&self) -> Duration {
        self.timeout
    }
}

fn connector(settings: &RedisSettings) -> Result<TlsConnector> {
    let refuse = |reason: String| Error::invalid("redis.tls_ca", reason);
    let text = std::fs::read(&settings.tls_ca)
        .map_err(|error| refuse(format!("cannot be read: {error}")))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|_| refuse("is no PEM".to_owned()))?;
        roots
            .add(certificate)
            .map_err(|error| refuse(format!("holds no authority: {error}")))?;
    }
    if roots.is_empty() {
        return Err(refuse("holds no certificate in PEM".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Sends one command on a connection whose caller bounds the time. Errors: refused or cut.
pub(crate) async fn send(
    connection: &MultiplexedConnection,
    command: &redis::Cmd,
) -> Result<Value, LinkError> {
    let mut connection = connection.clone();
    let answer = connection.send_packed_command(command).await;
    refusal_of(answer.map_err(LinkError::after_sending)?)
}

/// Turns an error answer into an error.
pub(crate) fn refusal_of(answer: Value) -> Result<Value, LinkError> {
    match answer {
        Value::ServerError(error) => Err(LinkError::of_server(error.code(), error.details())),
        answer => Ok(answer),
    }
}

/// Sends commands on a connection as one pipeline.
pub(crate) async fn send_all(
    connection: &MultiplexedConnection,
    commands: &redis::Pipeline,
) -> Result<Vec<Value>, LinkError> {
    let mut connection = connection.clone();
    let answers = connection
        .send_packed_commands(commands, 0, commands.len())
        .await;
    answers.map_err(LinkError::after_sending)
}

/// Asks a server who it is. Errors: it is too old.
pub(crate) async fn identify(connection: &MultiplexedConnection) -> Result<ServerInfo, LinkError> {
    let text = text_of(send(connection, redis::cmd("INFO").arg("server")).await?)?;
    let version = version(&field(&text, "redis_version"));
    if version.0 < MAJOR_MIN {
        return Err(LinkError::not_connected(format!(
            "the server is of version {}.{}; {MAJOR_MIN}.0 or later is needed",
            version.0, version.1
        )));
    }
    let memory = text_of(send(connection, redis::cmd("INFO").arg("memory")).await?)?;
    Ok(ServerInfo {
        version,
        run_id: field(&text, "run_id"),
        eviction: field(&memory, "maxmemory_policy"),
    })
}

/// Asks a server how many keys it has evicted.
pub(crate) async fn evicted_keys(connection: &MultiplexedConnection) -> Result<u64, LinkError> {
    let text = text_of(send(connection, redis::cmd("INFO").arg("stats")).await?)?;
    let told = field(&text, "evicted_keys");
    told.parse().map_err(|_| LinkError::Unexpected {
        text: format!("evicted_keys is `{told}`"),
    })
}

fn field(text: &str, name: &str) -> String {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

fn version(text: &str) -> (u16, u16, u16) {
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(0));
    let mut number = || numbers.next().unwrap_or(0);
    (number(), number(), number())
}

fn text_of(answer: Value) -> Result<String, LinkError> {
    redis::from_redis_value(answer).map_err(|error| LinkError::Unexpected {
        text: error.to_string(),
    })
}

/// Whether a server answers.
pub(crate) async fn ping(connection: &MultiplexedConnection) -> Result<(), LinkError> {
    send(connection, &redis::cmd("PING")).await.map(|_pong| ())
}

/// Asks a server whether it takes writes.
pub(crate) async fn role_of(connection: &MultiplexedConnection) -> Result<Role, LinkError> {
    let answer = send(connection, &redis::cmd("ROLE")).await?;
    let Value::Array(parts) = &answer else {
        return Ok(Role::Other);
    };
    Ok(match parts.first() {
        Some(Value::BulkString(role)) if role == b"master" => Role::Primary,
        _ => Role::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, read) in [
            ("7.0.15", (7, 0, 15)),
            ("8.2", (8, 2, 0)),
            ("", (0, 0, 0)),
            ("x.1", (0, 1, 0)),
        ] {
            assert_eq!(version(text), read, "{text}");
        }
    }
}
