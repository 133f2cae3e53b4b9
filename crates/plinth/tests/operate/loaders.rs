//! Loaders of the cache on real instances: signed callbacks over real sockets, single flight across instances on one Redis,
//! an instance that is killed while it loads.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use plinth_client::{Client, ClientSettings, LoaderSettings, NamespaceSettings, RetryPolicy};
use plinth_core::SecretString;
use plinth_security::sign::verify_webhook;
use plinth_testkit::process::Server;
use plinth_testkit::redis::{RedisProcess, is_installed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::tool::serve;

const SECRET: &str = "a secret of the callback";

/// A source of values over HTTP that checks signatures.
struct Source {
    address: String,
    asked: watch::Sender<usize>,
    is_held: watch::Sender<bool>,
    forged: AtomicUsize,
    /// The trace of the last request.
    trace: watch::Sender<String>,
}

impl Source {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has one").to_string();
        let source = Arc::new(Self {
            address,
            asked: watch::Sender::new(0),
            is_held: watch::Sender::new(false),
            forged: AtomicUsize::new(0),
            trace: watch::Sender::default(),
        });
        let shared = Arc::clone(&source);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).answer(stream));
            }
        });
        source
    }

    async fn answer(self: Arc<Self>, mut stream: TcpStream) {
        let Some((headers, body)) = request(&mut stream).await else {
            return;
        };
        let header = |name: &str| headers.get(name).map_or("", String::as_str);
        let is_signed = verify_webhook(
            &SecretString::new(SECRET.to_owned()),
            header("webhook-id"),
            header("webhook-timestamp").parse().unwrap_or(0),
            &body,
            header("webhook-signature"),
        );
        if !is_signed {
            self.forged.fetch_add(1, Ordering::SeqCst);
        }
        self.trace.send_replace(header("traceparent").to_owned());
        let mut number = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            number = *asked;
        });
        let mut held = self.is_held.subscribe();
        held.wait_for(|is_held| !is_held).await.expect("lives");
        let asked: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let (status, text) = match asked["key"].as_str() {
            Some("none") => ("404 Not Found", String::new()),
            Some("broken") => ("500 Internal Server Error", String::new()),
            Some("empty") => ("204 No Content", String::new()),
            Some("large") => ("200 OK", "x".repeat(8 * 1024 * 1024 + 1)),
            Some("away") => ("302 Found", String::new()),
            Some(key) => ("200 OK", format!("{{\"{key}\":{number}}}")),
            None => ("400 Bad Request", String::new()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            text.len()
        );
        // A caller that has cut a long answer is gone.
        let _gone = stream.write_all(head.as_bytes()).await;
        let _gone = stream.write_all(text.as_bytes()).await;
    }

    async fn began(&self, loads: usize) {
        let mut asked = self.asked.subscribe();
        asked
            .wait_for(|asked| *asked >= loads)
            .await
            .expect("lives");
    }

    fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    fn settings(&self) -> NamespaceSettings {
        NamespaceSettings {
            default_ttl_ms: Some(600_000),
            loader: Some(LoaderSettings {
                hard_timeout_ms: Some(2_000),
                error_ttl_ms: Some(0),
                ..LoaderSettings::http(&format!("http://{}/load", self.address), SECRET)
            }),
            ..NamespaceSettings::default()
        }
    }
}

/// Reads one request: its headers by lower-case names, and its body.
async fn request(stream: &mut TcpStream) -> Option<(HashMap<String, String>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let headers: HashMap<String, String> = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length: usize = headers.get("content-length")?.parse().ok()?;
            if body.len() >= length {
                return Some((headers, body.as_bytes().to_vec()));
            }
        }
        match stream.read(&mut piece).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}

/// Clients of both transports that repeat nothing.
fn clients(server: &Server, key: &str) -> [Client; 2] {
    let addresses = server.announcement();
    let settings = [
        ClientSettings::http(addresses.http.clone(), key),
        ClientSettings::thrift(addresses.thrift.clone(), key),
    ];
    settings.map(|settings| {
        let retry = RetryPolicy {
            attempts_max: 1,
            ..RetryPolicy::default()
        };
        Client::connect(ClientSettings { retry, ..settings }).expect("a client")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_callback_loads_what_is_missing_and_each_bad_answer_has_its_code() {
    let (source, place) = (
        Source::start().await,
        tempfile::tempdir().expect("a directory"),
    );
    let settings = [("PLINTH__OUTBOUND__ALLOW_PRIVATE", "true")];
    let server = serve(place.path(), &settings).await;
    let key = server.first_key().expect("a first key").to_owned();
    for client in clients(&server, &key) {
        let cache = client.cache();
        let defined = cache
            .define_namespace("called", &source.settings(), None)
            .await;
        let shown = defined.expect("defines").settings.loader.expect("a loader");
        assert_eq!(shown.secret, None);
        // Without a secret the one that stands stays, for the same URL alone.
        let mut settings = source.settings();
        settings.loader.as_mut().expect("a loader").secret = None;
        settings.loader.as_mut().expect("a loader").loads_max = Some(4);
        cache
            .define_namespace("called", &settings, None)
            .await
            .expect("keeps the secret");
        settings.loader.as_mut().expect("a loader").url = Some("http://127.0.0.1:9/".to_owned());
        let refused = cache.define_namespace("called", &settings, None).await;
        assert_eq!(
            refused.expect_err("names another").violations[0].field,
            "settings.loader.secret"
        );
        cache.clear("called").await.expect("clears");
        let found = cache
            .get("called", "A-1")
            .await
            .expect("loads")
            .expect("a value");
        assert_eq!(found.value, format!("{{\"A-1\":{}}}", source.asked()));
        assert_eq!(found.content_type, "application/json");
        let read = cache.read("called", "none").await.expect("loads");
        assert!(read.known_absent);
        for (name, code) in [
            ("empty", 2010),
            ("large", 2010),
            ("away", 2008),
            ("broken", 2008),
        ] {
            let refused = cache.get("called", name).await.expect_err("fails");
            assert_eq!((refused.code, name), (code, name));
        }
        assert_eq!(source.forged.load(Ordering::SeqCst), 0);
        source.is_held.send_replace(true);
        let asked = source.asked();
        let late = cache.get("called", "slow").await.expect_err("is late");
        assert_eq!((late.code, source.asked()), (2009, asked + 1));
        source.is_held.send_replace(false);
    }
    let asked = source.asked();
    source.is_held.send_replace(true);
    // The callback comes back for its own key, in the trace that it was given.
    let [_, thrift] = clients(&server, &key);
    let waiting = tokio::spawn(async move { thrift.cache().get("called", "looped").await });
    source.began(asked + 1).await;
    let url = format!(
        "{}/v1/cache/called/entries/looped",
        server.announcement().http
    );
    let trace = source.trace.borrow().clone();
    let request = crate::tool::http()
        .get(url)
        .bearer_auth(&key)
        .header("traceparent", trace);
    let looped = request.send().await.expect("answers");
    assert_eq!(looped.status().as_u16(), 508);
    source.is_held.send_replace(false);
    waiting.await.expect("joins").expect("loads all the same");
    let metrics = crate::tool::http()
        .get(format!("{}/metrics", server.announcement().http))
        .bearer_auth(&key);
    let metrics = metrics
        .send()
        .await
        .expect("answers")
        .text()
        .await
        .expect("is text");
    for series in [
        "plinth_cache_loads_total{outcome=\"value\"}",
        "plinth_cache_loads_total{outcome=\"bad_answer\"}",
        "plinth_cache_loads_total{outcome=\"timed_out\"}",
        "plinth_cache_load_seconds_count",
    ] {
        assert!(metrics.contains(series), "{series}");
    }
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_read_the_database_may_not_let_a_loader_read_it() {
    let place = tempfile::tempdir().expect("a directory");
    let server = serve(place.path(), &[]).await;
    let owner = server.first_key().expect("a first key").to_owned();
    let [client, _] = clients(&server, &owner);
    let registration = plinth_client::DbRegistration {
        engine: "sqlite".to_owned(),
        url: "shop.db".to_owned(),
        ..plinth_client::DbRegistration::default()
    };
    client
        .db()
        .register("shop", &registration)
        .await
        .expect("registers");
    let access = client.access();
    let options = plinth_client::KeyOptions {
        roles: vec!["system-admin".to_owned()],
        ..plinth_client::KeyOptions::default()
    };
    let created = access.create_key("shaper", &options, None).await;
    let key = created.expect("makes a key").key.expect("is shown once");
    let [shaper, _] = clients(&server, &key);
    let settings = |loader| NamespaceSettings {
        default_ttl_ms: Some(1_000),
        loader: Some(loader),
        ..NamespaceSettings::default()
    };
    let sql = settings(LoaderSettings::sql("shop", "select ?"));
    let refused = shaper.cache().define_namespace("shop", &sql, None).await;
    let refused = refused.expect_err("may not");
    assert_eq!(refused.code, 1003);
    assert_eq!(refused.violations[0].field, "settings.loader.database");
    client
        .cache()
        .define_namespace("shop", &sql, None)
        .await
        .expect("the owner may");
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_on_one_redis_load_once_and_go_on_where_one_is_killed() {
    if !is_installed() {
        return;
    }
    let (source, redis) = (
        Source::start().await,
        RedisProcess::start("").await.expect("starts"),
    );
    let (url, place) = (redis.url(), tempfile::tempdir().expect("a directory"));
    let settings = [
        ("PLINTH__OUTBOUND__ALLOW_PRIVATE", "true"),
        ("PLINTH__CACHE__BACKEND", "redis"),
        ("PLINTH__REDIS__URL", url.as_str()),
    ];
    let one = serve(&place.path().join("one"), &settings).await;
    let other = serve(&place.path().join("other"), &settings).await;
    let mut all = Vec::new();
    for server in [&one, &other] {
        let key = server.first_key().expect("a first key").to_owned();
        let [client, _] = clients(server, &key);
        let cache = client.cache();
        let defined = cache
            .define_namespace("shared", &source.settings(), None)
            .await;
        defined.expect("defines");
        all.push(client);
    }
    source.is_held.send_replace(true);
    let callers: Vec<_> = (0..40)
        .map(|caller| {
            let client = all[caller % 2].clone();
            tokio::spawn(async move { client.cache().get("shared", "A-1").await })
        })
        .collect();
    source.began(1).await;
    source.is_held.send_replace(false);
    for caller in callers {
        let found = caller
            .await
            .expect("joins")
            .expect("loads")
            .expect("a value");
        assert_eq!(found.value, "{\"A-1\":1}");
    }
    assert_eq!(source.asked(), 1);
    // Killed in the middle: its lease ends by itself, and the other instance loads.
    source.is_held.send_replace(true);
    let client = all[0].clone();
    let waiting = tokio::spawn(async move { client.cache().get("shared", "A-2").await });
    source.began(2).await;
    one.kill().await.expect("is killed");
    waiting
        .await
        .expect("joins")
        .expect_err("its server is gone");
    source.is_held.send_replace(false);
    let found = loop {
        match all[1].cache().get("shared", "A-2").await {
            Ok(found) => break found.expect("a value"),
            // As long as the lease lasts that the killed one left.
            Err(error) => assert_eq!(error.code, 2009, "{error}"),
        }
    };
    assert_eq!(found.value, "{\"A-2\":3}");
    other.stop().await.expect("ends well");
}
