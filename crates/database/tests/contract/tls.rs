//! TLS to PostgreSQL and MariaDB: what each `sslmode` accepts, and by which words it refuses.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails here"
)]

use plinth_core::{Error, ErrorCode};
use plinth_database::model::{EngineKind, QueryRequest, RegisterDatabaseRequest, Value};
use plinth_testkit::papers::Papers;
use plinth_testkit::services::{CA_VARIABLE, TLS_USER, service_url};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Bench, address, context};

const SERVERS: [EngineKind; 2] = [EngineKind::Postgres, EngineKind::Mariadb];
/// The name that the servers' certificates are for.
const RIGHT_NAME: &str = "localhost";
const WRONG_NAME: &str = "127.0.0.1";

fn registration(
    engine: EngineKind,
    host: &str,
    mode: &str,
    tls_ca: Option<&str>,
) -> Option<RegisterDatabaseRequest> {
    let (url, secret) = address(engine)?;
    let url = url
        .replace("plinth@", &format!("{TLS_USER}@"))
        .replace("127.0.0.1", host);
    Some(RegisterDatabaseRequest {
        engine: engine.as_str().to_owned(),
        url: format!("{url}?sslmode={mode}"),
        secret: secret.map(plinth_core::SecretString::new),
        tls_ca: tls_ca.map(ToOwned::to_owned),
        read_only: None,
        pool: None,
        slow_query_threshold_ms: None,
        if_version: None,
    })
}

async fn ask(bench: &Bench, request: RegisterDatabaseRequest, sql: &str) -> Result<Value, Error> {
    let name = "over-tls";
    bench
        .service
        .register_database(&context(), name, request)
        .await?;
    let query = QueryRequest {
        sql: sql.to_owned(),
        ..QueryRequest::default()
    };
    let reply = bench.service.execute_query(&context(), name, query).await?;
    Ok(reply.rows[0].values[0].clone())
}

/// Whether the session is encrypted, asked of the server.
const fn encrypted(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Mariadb => {
            "select variable_value <> '' from information_schema.session_status where variable_name = 'Ssl_cipher'"
        }
        _ => "select ssl from pg_stat_ssl where pid = pg_backend_pid()",
    }
}

fn authorities() -> Option<String> {
    let path = service_url(CA_VARIABLE)?;
    Some(std::fs::read_to_string(path).expect("the authority that `cargo xtask services` made"))
}

#[tokio::test]
async fn a_verified_server_is_used_encrypted() {
    let Some(ca) = authorities() else { return };
    let bench = Bench::new(EngineKind::Sqlite).await;
    let cases = [
        ("verify-full", RIGHT_NAME, Some(ca.as_str())),
        ("verify-ca", RIGHT_NAME, Some(ca.as_str())),
        // The name is not looked at.
        ("verify-ca", WRONG_NAME, Some(ca.as_str())),
        // Nothing is looked at.
        ("require", WRONG_NAME, None),
        ("prefer", WRONG_NAME, None),
    ];
    for engine in SERVERS {
        for (mode, host, ca) in cases {
            let Some(request) = registration(engine, host, mode, ca) else {
                continue;
            };
            let answer = ask(&bench, request, encrypted(engine))
                .await
                .unwrap_or_else(|error| panic!("{engine:?} {mode} {host}: {error:?}"));
            assert!(
                matches!(answer, Value::Bool(true) | Value::Int(1)),
                "{engine:?} {mode} {host}: {answer:?}"
            );
        }
    }
    bench.end(&[]).await;
}

#[tokio::test]
async fn a_server_that_cannot_be_verified_is_refused_by_name() {
    let Some(ca) = authorities() else { return };
    let foreign = Papers::issue().expect("papers");
    let foreign = std::fs::read_to_string(foreign.path("ca.pem")).expect("there");
    let bench = Bench::new(EngineKind::Sqlite).await;
    let cases = [
        ("verify-full", WRONG_NAME, Some(&ca), "not valid for name"),
        ("verify-full", RIGHT_NAME, Some(&foreign), "UnknownIssuer"),
        ("verify-ca", RIGHT_NAME, Some(&foreign), "UnknownIssuer"),
        // The public authorities alone did not sign it.
        ("verify-full", RIGHT_NAME, None, "UnknownIssuer"),
    ];
    for engine in SERVERS {
        for (mode, host, ca, why) in cases {
            let ca = ca.map(String::as_str);
            let Some(request) = registration(engine, host, mode, ca) else {
                continue;
            };
            let error = ask(&bench, request, "select 1").await.expect_err(why);
            assert_eq!(error.code(), ErrorCode::DatabaseConnection, "{error:?}");
            let told = error.message();
            assert!(
                told.contains("the TLS handshake failed") && told.contains(why),
                "{engine:?} {mode} {host}: {told}"
            );
        }
    }
    bench.end(&[]).await;
}

#[tokio::test]
async fn a_plain_login_where_tls_is_demanded_is_refused_with_the_reason() {
    let bench = Bench::new(EngineKind::Sqlite).await;
    for (engine, why) in [
        (EngineKind::Postgres, "no encryption"),
        (EngineKind::Mariadb, "must come over TLS"),
    ] {
        let Some(request) = registration(engine, WRONG_NAME, "disable", None) else {
            continue;
        };
        let error = ask(&bench, request, "select 1").await.expect_err(why);
        assert_eq!(error.code(), ErrorCode::DatabaseConnection, "{error:?}");
        assert!(error.message().contains(why), "{engine:?}: {error}");
    }
    bench.end(&[]).await;
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_demanded() {
    let bench = Bench::new(EngineKind::Sqlite).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.expect("asks for TLS");
        // PostgreSQL's "no" to an SSLRequest.
        stream.write_all(b"N").await.expect("answers");
    });
    let request = RegisterDatabaseRequest {
        engine: "postgres".to_owned(),
        url: format!("postgres://plinth@127.0.0.1:{port}/plinth?sslmode=require"),
        secret: None,
        tls_ca: None,
        read_only: None,
        pool: None,
        slow_query_threshold_ms: None,
        if_version: None,
    };
    let error = ask(&bench, request, "select 1").await.expect_err("plain");
    assert_eq!(error.code(), ErrorCode::DatabaseConnection);
    assert!(error.message().contains("does not support TLS"), "{error}");
    server.await.expect("no panic");
    bench.end(&[]).await;
}
