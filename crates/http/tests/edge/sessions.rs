//! Who is let in, and that nobody else makes the server read a body.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::{FromRef, State};
use axum::routing::post;
use plinth_core::{
    AuditEvent, AuditOutcome, AuditSink, ErrorCode, MetricSink, Result, SharedClock, SystemClock,
};
use plinth_gate::access::AccessService;
use plinth_gate::catalogue::ops;
use plinth_gate::{Gate, GateParts, GateSettings, Target};
use plinth_http::ApiResult;
use plinth_http::extract::{ApiBytes, ApiSession};
use plinth_security::{RoleBook, SystemEntropy};
use plinth_store::ControlStore;

use crate::support::{Answer, TestServer, start};

/// An audit log and numbers that nobody reads.
struct Unread;

#[async_trait]
impl AuditSink for Unread {
    async fn begin(&self, _event: &AuditEvent) -> Result<String> {
        Ok("intent".to_owned())
    }
    async fn complete(
        &self,
        _intent: &str,
        _event: &AuditEvent,
        _outcome: AuditOutcome,
    ) -> Result<()> {
        Ok(())
    }
    async fn refused(&self, _event: &AuditEvent, _code: ErrorCode) -> Result<()> {
        Ok(())
    }
}

impl MetricSink for Unread {
    fn add(&self, _name: &'static str, _labels: &[(&'static str, &str)], _delta: u64) {}
    fn observe(&self, _name: &'static str, _labels: &[(&'static str, &str)], _value: f64) {}
    fn set(&self, _name: &'static str, _labels: &[(&'static str, &str)], _value: f64) {}
}

/// All that the routes of this test need of the services.
#[derive(Clone)]
struct World {
    gate: Arc<Gate>,
}

impl FromRef<World> for Arc<Gate> {
    fn from_ref(world: &World) -> Self {
        Self::clone(&world.gate)
    }
}

/// Passes the gate as an operation without an idempotency key, and tells the tenant and the size of the body.
async fn echo(
    State(world): State<World>,
    session: ApiSession,
    body: ApiBytes,
) -> ApiResult<String> {
    let tenant = session.caller.tenant.to_string();
    let text = world
        .gate
        .call(
            &session,
            &ops::ACCESS_WHO_AM_I,
            Target::none(),
            async move |_| Ok::<_, plinth_core::Error>(format!("{tenant} {}", body.bytes.len())),
        )
        .await?;
    Ok(text)
}

/// A server behind a real gate, and its first key.
async fn guarded() -> (TestServer, String) {
    let clock: SharedClock = SystemClock::shared();
    let control = ControlStore::open("sqlite::memory:", Arc::clone(&clock))
        .await
        .expect("a control store");
    let (control, roles) = (Arc::new(control), Arc::new(RoleBook::built_in()));
    let gate = Gate::new(GateParts {
        settings: GateSettings::default(),
        roles: Arc::clone(&roles),
        directory: Arc::clone(&control) as _,
        audit: Arc::new(Unread),
        metrics: Arc::new(Unread),
        traces: None,
        clock: Arc::clone(&clock),
    })
    .expect("a gate");
    let credentials = gate.credentials().clone();
    let access = AccessService::new(control, roles, credentials, clock, Arc::new(SystemEntropy));
    let first = access
        .bootstrap()
        .await
        .expect("created")
        .into_iter()
        .next()
        .expect("the first start");
    let routes: Router = Router::new().route("/echo", post(echo)).with_state(World {
        gate: Arc::new(gate),
    });
    (start(routes, |_| {}).await, first.text.expose().to_owned())
}

async fn ask(server: &TestServer, headers: &str) -> Answer {
    let request = format!("POST /echo HTTP/1.1\r\nhost: x\r\n{headers}content-length: 2\r\n\r\nhi");
    server.ask(request).await
}

#[tokio::test]
async fn a_key_opens_and_everything_else_is_401() {
    let (server, key) = guarded().await;
    for header in [
        format!("authorization: Bearer {key}\r\n"),
        format!("Authorization: bearer  {key} \r\n"),
    ] {
        let answer = ask(&server, &header).await;
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, b"default 2".as_slice()),
            "{answer:?}"
        );
    }
    let one_off = format!(
        "{}{}",
        &key[..key.len() - 1],
        if key.ends_with('a') { 'b' } else { 'a' }
    );
    for header in [
        String::new(),
        "authorization: Bearer\r\n".to_owned(),
        "authorization: Bearer \r\n".to_owned(),
        format!("authorization: Basic {key}\r\n"),
        format!("authorization: {key}\r\n"),
        format!("authorization: Bearer {one_off}\r\n"),
        format!("authorization: Bearer {}\r\n", "a".repeat(10_000)),
        format!("authorization: Bearer {key}\r\nauthorization: Bearer {key}\r\n"),
        "authorization: Bearer \u{e9}\r\n".to_owned(),
    ] {
        let answer = ask(&server, &header).await;
        let body = answer.json();
        assert_eq!(
            (answer.status, body["code"].as_u64()),
            (401, Some(1002)),
            "{header}"
        );
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"plinth\""),
            "{header}"
        );
        assert!(!body.to_string().contains(&key), "a key is never repeated");
    }
}

#[tokio::test]
async fn without_a_credential_no_body_is_read() {
    let (server, _key) = guarded().await;
    // The body never comes; the answer does.
    let announced = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    assert_eq!(server.ask(announced).await.status, 401);
    // Who waits to be told to go on is told no.
    let waiting =
        "POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1000000\r\n\r\n";
    assert_eq!(server.ask(waiting).await.status, 401);
}

#[tokio::test]
async fn the_conditions_of_a_call_are_checked_and_named() {
    let (server, key) = guarded().await;
    let cases = [
        ("x-request-timeout-ms: soon\r\n", "x-request-timeout-ms"),
        ("x-request-timeout-ms: 0\r\n", "x-request-timeout-ms"),
        ("x-request-timeout-ms: -1\r\n", "x-request-timeout-ms"),
        (
            "x-request-timeout-ms: 5\r\nx-request-timeout-ms: 6\r\n",
            "x-request-timeout-ms",
        ),
        (
            "idempotency-key: a\r\nidempotency-key: a\r\n",
            "idempotency-key",
        ),
        ("idempotency-key: once\r\n", "request_id"),
    ];
    for (header, field) in cases {
        let answer = ask(&server, &format!("authorization: Bearer {key}\r\n{header}")).await;
        let body = answer.json();
        assert_eq!(
            (answer.status, body["code"].as_u64()),
            (400, Some(1001)),
            "{header}"
        );
        assert_eq!(body["errors"][0]["field"], field, "{header}");
    }
    let patient = ask(
        &server,
        &format!("authorization: Bearer {key}\r\nx-request-timeout-ms: 5000\r\n"),
    )
    .await;
    assert_eq!(patient.status, 200);
}
