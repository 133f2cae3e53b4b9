//! Spans of requests, as a collector receives them.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use plinth_testkit::process::Server;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::tool::{http, serve};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT_ID: &str = "00f067aa0ba902b7";
/// How long a span may take to come, in milliseconds.
const SPAN_WAIT_MS_MAX: u64 = 20_000;
/// Most spans that a test leaves unread.
const SPANS_MAX: usize = 1_024;

/// A span with the header of the request that it came in.
struct Received {
    head: String,
    service: String,
    span: Span,
}

/// A collector that keeps what it is sent.
struct Collector {
    url: String,
    spans: mpsc::Receiver<Received>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}/v1/traces", listener.local_addr().expect("bound"));
        let (sender, spans) = mpsc::channel(SPANS_MAX);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take(stream, sender.clone()));
            }
        });
        Self { url, spans }
    }

    /// The next span of an operation.
    async fn span(&mut self, operation: &str) -> Received {
        let wait = async {
            loop {
                let received = self.spans.recv().await.expect("the collector runs");
                if received.span.name == operation {
                    return received;
                }
            }
        };
        let bound = Duration::from_millis(SPAN_WAIT_MS_MAX);
        tokio::time::timeout(bound, wait)
            .await
            .expect("comes in time")
    }
}

/// Reads requests of one connection and answers each.
async fn take(mut stream: TcpStream, sender: mpsc::Sender<Received>) {
    let mut bytes = Vec::new();
    loop {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        assert!(head.starts_with("post /v1/traces "), "{head}");
        assert!(
            head.contains("content-type: application/x-protobuf"),
            "{head}"
        );
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .expect("has a length")
            .parse()
            .expect("is a number");
        while bytes.len() < end + 4 + length {
            assert_ne!(stream.read_buf(&mut bytes).await.expect("reads"), 0);
        }
        let body: Vec<u8> = bytes.drain(..end + 4 + length).skip(end + 4).collect();
        let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("is OTLP");
        for resource in request.resource_spans {
            let service = attribute(
                &resource.resource.expect("has one").attributes,
                "service.name",
            );
            for span in resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                // A test that has ended takes no more.
                let _test_ended = sender.try_send(Received {
                    head: head.clone(),
                    service: service.clone(),
                    span,
                });
            }
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .expect("answers");
    }
}

fn attribute(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|found| found.value.as_ref()?.value.as_ref());
    match value.unwrap_or_else(|| panic!("{key} is missing in {attributes:?}")) {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{key} is {other:?}"),
    }
}

async fn traced(collector: &Collector, more: &[(&str, &str)]) -> (tempfile::TempDir, Server) {
    let place = tempfile::tempdir().expect("a directory");
    let settings: Vec<(&str, &str)> = [
        ("PLINTH__TRACE__OTLP_URL", collector.url.as_str()),
        ("PLINTH__TRACE__INTERVAL_MS", "50"),
    ]
    .into_iter()
    .chain(more.iter().copied())
    .collect();
    let server = serve(&place.path().join("data"), &settings).await;
    (place, server)
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE_ID}-{PARENT_ID}-{flags}")
}

/// Asks for a key that is absent over HTTP, as a caller with a trace.
async fn get_over_http(server: &Server, key: &str, traceparent: Option<&str>) {
    let url = format!("{}/v1/cache/orders/entries/A-1", server.announcement().http);
    let mut request = http().get(url).bearer_auth(key);
    if let Some(traceparent) = traceparent {
        request = request.header("traceparent", traceparent);
    }
    let reply = request.send().await.expect("answers");
    assert_eq!(reply.status(), 404);
}

/// Revokes a key that nobody has, which is refused by the service.
async fn revoke_what_is_absent(server: &Server, key: &str, traceparent: &str) {
    let address = &server.announcement().http;
    let request = http()
        .post(format!("{address}/v1/access/keys/aaaaaaaaaaaaaaaa/revoke"))
        .bearer_auth(key)
        .header("traceparent", traceparent);
    assert_eq!(request.send().await.expect("answers").status(), 404);
}

/// Asks who it is over Thrift: a framed message of the binary protocol, with the trace in `base.extra`.
async fn who_am_i_over_thrift(server: &Server, key: &str, traceparent: &str) {
    let text = |text: &str| {
        let length = u32::try_from(text.len()).expect("is short");
        [&length.to_be_bytes(), text.as_bytes()].concat()
    };
    let field = |kind: u8, id: i16| [&[kind][..], &id.to_be_bytes()].concat();
    let authorization = format!("Bearer {key}");
    let message = [
        // Strict call, its name, its number.
        0x8001_0001_u32.to_be_bytes().to_vec(),
        text("AccessWhoAmI"),
        1_u32.to_be_bytes().to_vec(),
        // Argument 1: the request; in it 255, the base; in that 6, the map `extra`.
        field(12, 1),
        field(12, 255),
        field(13, 6),
        vec![11, 11],
        2_u32.to_be_bytes().to_vec(),
        text("authorization"),
        text(&authorization),
        text("traceparent"),
        text(traceparent),
        vec![0, 0, 0],
    ]
    .concat();
    let mut stream = TcpStream::connect(&server.announcement().thrift)
        .await
        .expect("connects");
    let length = u32::try_from(message.len()).expect("is short");
    stream
        .write_all(&length.to_be_bytes())
        .await
        .expect("sends");
    stream.write_all(&message).await.expect("sends");
    let length = stream.read_u32().await.expect("answers");
    let mut reply = vec![0; usize::try_from(length).expect("fits")];
    stream.read_exact(&mut reply).await.expect("answers");
    assert!(String::from_utf8_lossy(&reply).contains("owner"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_has_the_callers_as_parent_over_both_transports() {
    let mut collector = Collector::start().await;
    let headers = [("OTEL_EXPORTER_OTLP_HEADERS", "x-team=support")];
    let (_place, server) = traced(&collector, &headers).await;
    let key = server.first_key().expect("a first key").to_owned();
    get_over_http(&server, &key, Some(&traceparent("01"))).await;
    revoke_what_is_absent(&server, &key, &traceparent("01")).await;
    who_am_i_over_thrift(&server, &key, &traceparent("01")).await;
    for (operation, transport, code, outcome) in [
        ("cache.get", "http", "0", "applied"),
        ("access.revoke_key", "http", "1004", "not_applied"),
        ("access.who_am_i", "thrift", "0", "applied"),
    ] {
        let received = collector.span(operation).await;
        assert_eq!(received.service, "plinth");
        assert!(
            received.head.contains("x-team: support"),
            "{}",
            received.head
        );
        let span = received.span;
        assert_eq!(hex(&span.trace_id), TRACE_ID);
        assert_eq!(hex(&span.parent_span_id), PARENT_ID);
        assert_ne!(hex(&span.span_id), PARENT_ID);
        assert_eq!(attribute(&span.attributes, "plinth.tenant"), "default");
        assert_eq!(attribute(&span.attributes, "plinth.transport"), transport);
        assert_eq!(attribute(&span.attributes, "plinth.code"), code);
        assert_eq!(attribute(&span.attributes, "plinth.outcome"), outcome);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    }
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callers_decision_stands_and_the_rest_follows_the_ratio() {
    let mut collector = Collector::start().await;
    let none = [("PLINTH__TRACE__SAMPLE_RATIO", "0.0")];
    let (_place, server) = traced(&collector, &none).await;
    let key = server.first_key().expect("a first key").to_owned();
    get_over_http(&server, &key, None).await;
    get_over_http(&server, &key, Some(&traceparent("00"))).await;
    // The one that the caller sampled comes last and is the only one.
    get_over_http(&server, &key, Some(&traceparent("01"))).await;
    let span = collector.span("cache.get").await.span;
    assert_eq!(hex(&span.trace_id), TRACE_ID);
    server.stop().await.expect("ends well");
    assert!(collector.spans.try_recv().is_err(), "no other span came");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_sent_at_the_end_and_a_root_has_no_parent() {
    let mut collector = Collector::start().await;
    let slow = [("PLINTH__TRACE__INTERVAL_MS", "60000")];
    let (_place, server) = traced(&collector, &slow).await;
    let key = server.first_key().expect("a first key").to_owned();
    get_over_http(&server, &key, None).await;
    assert!(collector.spans.try_recv().is_err());
    server.stop().await.expect("ends well");
    let span = collector.span("cache.get").await.span;
    assert!(span.parent_span_id.is_empty());
    assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_never_answers_delays_no_request_and_no_shutdown_beyond_its_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let url = format!("http://{}/v1/traces", listener.local_addr().expect("bound"));
    let place = tempfile::tempdir().expect("a directory");
    let settings = [
        ("PLINTH__TRACE__OTLP_URL", url.as_str()),
        ("PLINTH__TRACE__INTERVAL_MS", "10"),
        ("PLINTH__TRACE__TIMEOUT_MS", "500"),
        ("PLINTH__TRACE__QUEUE_SPANS_MAX", "4"),
        ("PLINTH__TRACE__BATCH_SPANS_MAX", "2"),
    ];
    let server = serve(&place.path().join("data"), &settings).await;
    let key = server.first_key().expect("a first key").to_owned();
    let began = std::time::Instant::now();
    for _ in 0..100 {
        get_over_http(&server, &key, None).await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    let metrics = format!("{}/metrics", server.announcement().http);
    let reply = http().get(metrics).bearer_auth(&key).send();
    let text = reply.await.expect("answers").text().await.expect("text");
    assert!(
        text.contains("plinth_trace_spans_total{state=\"queued\"}"),
        "{text}"
    );
    let began = std::time::Instant::now();
    server.stop().await.expect("ends well");
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    drop(listener);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_bad_address_is_refused_by_name() {
    let answer = crate::tool::run(
        &["serve", "--ephemeral"],
        &[("PLINTH__TRACE__OTLP_URL", "collector:4318")],
    )
    .await;
    assert_eq!(answer.code, 1);
    assert!(
        answer.stderr.contains("trace.otlp_url"),
        "{}",
        answer.stderr
    );
}
