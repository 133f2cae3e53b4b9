//! Behaviours when the connection to the control database breaks in the middle.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use plinth_core::access::{AccessDirectory as _, Creation, IdempotencyScope};
use plinth_core::{ErrorCode, Outcome, PrincipalId, TenantId, TimestampMs};
use plinth_store::{ControlStore, DefinitionKind, Definitions as _, Expected};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::access::{new_key, new_tenant};
use super::backend::{BEGIN_MS, Fixture};

/// When the proxy cuts: at the request that follows, by so many, the one that holds the text. The server still gets that
/// request and answers it; the client never hears.
#[derive(Clone, Copy)]
struct Cut {
    text: &'static str,
    requests_later: usize,
}

/// A way to the server that can be cut.
struct Proxy {
    address: SocketAddr,
    cut: Arc<Mutex<Option<Cut>>>,
}

impl Proxy {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let cut = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let cut = Arc::clone(&shared);
                tokio::spawn(async move { carry(client, server, &cut).await });
            }
        });
        Self { address, cut }
    }

    fn cut(&self, text: &'static str, requests_later: usize) {
        *self.cut.lock() = Some(Cut {
            text,
            requests_later,
        });
    }
}

/// Carries bytes both ways until one side ends or the cut is reached.
async fn carry(
    mut client: TcpStream,
    server: SocketAddr,
    cut: &Mutex<Option<Cut>>,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            count = client.read(&mut from_client) => {
                let request = from_client.get(..count?).unwrap_or_default();
                server.write_all(request).await?;
                if request.is_empty() {
                    return Ok(());
                }
                if is_reached(cut, request) {
                    // The server has done its part when it answers.
                    let _answered = server.read(&mut from_server).await?;
                    return Ok(());
                }
            }
            count = server.read(&mut from_server) => {
                let reply = from_server.get(..count?).unwrap_or_default();
                if reply.is_empty() {
                    return Ok(());
                }
                client.write_all(reply).await?;
            }
        }
    }
}

fn is_reached(cut: &Mutex<Option<Cut>>, request: &[u8]) -> bool {
    let mut armed = cut.lock();
    let Some(Cut {
        text,
        requests_later,
    }) = *armed
    else {
        return false;
    };
    let holds = request
        .windows(text.len().max(1))
        .any(|window| window == text.as_bytes());
    // An empty text stands for "seen before".
    if !holds && !text.is_empty() {
        return false;
    }
    *armed = requests_later.checked_sub(1).map(|requests_later| Cut {
        text: "",
        requests_later,
    });
    armed.is_none()
}

/// The same database through a proxy.
async fn through_proxy(fixture: &Fixture) -> (ControlStore, Proxy) {
    let (_, rest) = fixture.url.split_once('@').expect("has a user");
    let (server, _) = rest.split_once('/').expect("has a path");
    let proxy = Proxy::to(server.parse().expect("is an address")).await;
    let url = fixture.url.replace(server, &proxy.address.to_string());
    let store = ControlStore::open(&url, fixture.clock.clone())
        .await
        .expect("opens");
    (store, proxy)
}

fn shop() -> TenantId {
    TenantId::parse("shop").expect("a good name")
}

pub(crate) async fn a_write_whose_answer_is_lost_is_unknown(fixture: Arc<Fixture>) {
    let (store, proxy) = through_proxy(&fixture).await;
    let put = async |name: &str| {
        store
            .put(
                DefinitionKind::Queue,
                &shop(),
                name,
                json!({}),
                Expected::Any,
            )
            .await
    };
    // First the statement is prepared, then executed: the second request carries the effect.
    proxy.cut("INSERT INTO", 1);
    let error = put("q").await.expect_err("the answer was lost");
    assert_eq!(error.code(), ErrorCode::DependencyUnavailable);
    assert_eq!(error.outcome(), Outcome::Unknown);
    // It had been applied, and the next call finds a new connection.
    assert_eq!(put("q").await.expect("puts").version, 2);
    store.close().await;
}

pub(crate) async fn a_transaction_lost_before_its_commit_is_not_applied(fixture: Arc<Fixture>) {
    let (store, proxy) = through_proxy(&fixture).await;
    proxy.cut("INSERT INTO", 1);
    let key = new_key("k1", "shop", "admin");
    let error = store
        .create_tenant(&new_tenant("shop"), &[key], None)
        .await
        .expect_err("the connection was lost");
    assert_eq!(error.code(), ErrorCode::DependencyUnavailable);
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(store.tenant(&shop()).await.expect("reads"), None);
    store.close().await;
}

pub(crate) async fn a_lost_commit_is_unknown_and_its_repeat_gets_the_first_answer(
    fixture: Arc<Fixture>,
) {
    let (store, proxy) = through_proxy(&fixture).await;
    let scope = IdempotencyScope {
        tenant: TenantId::parse("platform").expect("a good name"),
        principal: PrincipalId::parse("root").expect("a good name"),
        operation: "access.create_tenant",
        key: "a-1".to_owned(),
        fingerprint: [1; 32],
        at: TimestampMs(BEGIN_MS),
    };
    let (tenant, keys) = (new_tenant("shop"), [new_key("k1", "shop", "admin")]);
    proxy.cut("COMMIT", 0);
    let error = store
        .create_tenant(&tenant, &keys, Some((&scope, "first")))
        .await
        .expect_err("the answer was lost");
    assert_eq!(error.code(), ErrorCode::DependencyUnavailable);
    assert_eq!(error.outcome(), Outcome::Unknown);
    let repeat = store
        .create_tenant(&tenant, &keys, Some((&scope, "second")))
        .await;
    assert_eq!(
        repeat.expect("repeats"),
        Creation::Repeated("first".to_owned())
    );
    store.close().await;
}
