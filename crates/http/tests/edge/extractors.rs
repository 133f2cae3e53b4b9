//! What the edge refuses and in which words: one table per part of a request, over a socket.

use crate::support::{Answer, exchange, get_of, post_as, post_json, routes, start};
use plinth_core::limits;

/// Checks that an answer is a problem with this status, code and field.
#[track_caller]
fn check(name: &str, answer: &Answer, status: u16, code: u64, field: &str) {
    assert_eq!(answer.status, status, "{name}: {answer:?}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{name}"
    );
    let body = answer.json();
    assert_eq!(body["code"], code, "{name}: {body}");
    assert_eq!(body["status"], status, "{name}");
    assert_eq!(body["outcome"], "not_applied", "{name}");
    assert_eq!(body["errors"][0]["field"], field, "{name}: {body}");
    assert_eq!(body["trace_id"].as_str().map(str::len), Some(32), "{name}");
}

#[tokio::test]
async fn bodies() {
    let server = start(routes(), |settings| settings.body_bytes_max = 1_024).await;
    let good = server
        .ask(post_json(r#"{"items":[{"key":"a","ttl_ms":5}]}"#))
        .await;
    assert_eq!(good.status, 200, "{good:?}");
    let deep = |depth: usize| {
        format!(
            r#"{{"items":[],"free":{}1{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    let cases: [(&str, Vec<u8>, u16, u64, &str); 17] = [
        ("nothing", post_json(""), 400, 1001, "body"),
        ("broken off", post_json(r#"{"items":"#), 400, 1001, "body"),
        ("no JSON", post_json("items=1"), 400, 1001, "body"),
        ("a list", post_json("[]"), 400, 1001, "body"),
        (
            "two values",
            post_json(r#"{"items":[]}{}"#),
            400,
            1001,
            "body",
        ),
        (
            "not UTF-8",
            post_json(b"{\"items\":[],\"note\":\"\xc3\x28\"}"),
            400,
            1001,
            "body",
        ),
        (
            "one level too deep",
            post_json(deep(limits::NESTING_DEPTH_MAX)),
            400,
            1001,
            "body",
        ),
        ("missing", post_json("{}"), 400, 1001, "items"),
        (
            "missing inside",
            post_json(r#"{"items":[{}]}"#),
            400,
            1001,
            "items[0].key",
        ),
        (
            "unknown",
            post_json(r#"{"items":[],"itmes":1}"#),
            400,
            1001,
            "itmes",
        ),
        (
            "unknown inside",
            post_json(r#"{"items":[{"key":"a","x":1}]}"#),
            400,
            1001,
            "items[0].x",
        ),
        (
            "wrong type",
            post_json(r#"{"items":[{"key":7}]}"#),
            400,
            1001,
            "items[0].key",
        ),
        (
            "number out of range",
            post_json(r#"{"items":[{"key":"a","ttl_ms":9223372036854775808}]}"#),
            400,
            1001,
            "items[0].ttl_ms",
        ),
        (
            "twice",
            post_json(r#"{"items":[],"items":[]}"#),
            400,
            1001,
            "items",
        ),
        (
            "one byte too large",
            post_as("/bytes", "text/plain", &[b'x'; 1_025]),
            413,
            1007,
            "body",
        ),
        (
            "another type",
            post_as("/json", "text/plain", b"{}"),
            415,
            1001,
            "content-type",
        ),
        (
            "a boundary of multipart",
            post_as("/json", "multipart/form-data; boundary=x", b"{}"),
            415,
            1001,
            "content-type",
        ),
    ];
    for (name, request, status, code, field) in cases {
        check(name, &server.ask(request).await, status, code, field);
    }
    let at_depth = server
        .ask(post_json(deep(limits::NESTING_DEPTH_MAX - 1)))
        .await;
    assert_eq!(at_depth.status, 200, "at the depth limit: {at_depth:?}");
    let at_size = server
        .ask(post_as("/bytes", "text/plain", &[b'x'; 1_024]))
        .await;
    assert_eq!(
        (at_size.status, at_size.body.len()),
        (200, 1_024),
        "at the size limit"
    );
}

#[tokio::test]
async fn encoded_bodies_are_refused_before_they_are_read() {
    let server = start(routes(), |_| {}).await;
    let request = "POST /json HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 100\r\n\r\n";
    check(
        "gzip",
        &server.ask(request).await,
        415,
        1001,
        "content-encoding",
    );
}

#[tokio::test]
async fn a_length_past_the_limit_is_refused_without_its_bytes() {
    let server = start(routes(), |_| {}).await;
    let request = "POST /bytes HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000000\r\n\r\n";
    check("announced", &server.ask(request).await, 413, 1007, "body");
    let chunked = "POST /bytes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    let small = start(routes(), |settings| settings.body_bytes_max = 10).await;
    let request = format!("{chunked}5\r\nabcde\r\n6\r\nabcdef\r\n0\r\n\r\n");
    check("counted", &small.ask(request).await, 413, 1007, "body");
    let request = format!("{chunked}5\r\nabcde\r\n5\r\nabcde\r\n0\r\n\r\n");
    assert_eq!(small.ask(request).await.body, b"abcdeabcde");
}

#[tokio::test]
async fn a_body_that_does_not_come_ends_in_time() {
    let server = start(routes(), |settings| settings.body_timeout_ms = 50).await;
    let request = "POST /bytes HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nsome";
    let answer = server.ask(request).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_u64()),
        (408, Some(1010))
    );
}

#[tokio::test]
async fn bodies_together_have_a_budget() {
    let server = start(routes(), |settings| {
        settings.body_bytes_max = 4_096;
        settings.bodies_bytes_max = 4_096;
    })
    .await;
    // The first body holds all of the budget but a part that never comes.
    let mut first = server.connect().await;
    let head =
        "POST /bytes HTTP/1.1\r\nhost: x\r\ncontent-length: 4096\r\nexpect: 100-continue\r\n\r\n";
    let go_on = exchange(&mut first, head.as_bytes())
        .await
        .expect("100 Continue");
    assert_eq!(go_on.status, 100);
    tokio::io::AsyncWriteExt::write_all(&mut first, &[b'x'; 4_095])
        .await
        .expect("written");
    // The server reads on its own time: ask until it has.
    let refused = loop {
        let answer = server.ask(post_as("/bytes", "text/plain", b"y")).await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(
        (refused.status, refused.json()["code"].as_u64()),
        (503, Some(1009))
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    let done = exchange(&mut first, b"x")
        .await
        .expect("the first is answered");
    assert_eq!((done.status, done.body.len()), (200, 4_096));
    assert_eq!(
        server
            .ask(post_as("/bytes", "text/plain", b"y"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn queries_paths_and_conditions() {
    let server = start(routes(), |_| {}).await;
    let cases: [(&str, Vec<u8>, &str); 10] = [
        ("unknown", get_of("/query?limt=1"), "limt"),
        ("twice", get_of("/query?limit=1&limit=2"), "limit"),
        ("no number", get_of("/query?limit=many"), "limit"),
        (
            "too large a number",
            get_of("/query?limit=9223372036854775808"),
            "limit",
        ),
        ("broken escape", get_of("/query?cursor=%g0"), "cursor"),
        ("not UTF-8", get_of("/query?cursor=%ff"), "cursor"),
        ("path: no number", get_of("/number/x"), "count"),
        ("path: not UTF-8", get_of("/name/%ff"), "name"),
        (
            "weak tag",
            b"GET /conditions HTTP/1.1\r\nhost: x\r\nif-match: W/\"1\"\r\n\r\n".to_vec(),
            "if-match",
        ),
        (
            "no tag",
            b"GET /conditions HTTP/1.1\r\nhost: x\r\nif-none-match: 1\r\n\r\n".to_vec(),
            "if-none-match",
        ),
    ];
    for (name, request, field) in cases {
        check(name, &server.ask(request).await, 400, 1001, field);
    }
    assert_eq!(server.ask(get_of("/name/a%2Fb%20c")).await.body, b"a/b c");
    assert_eq!(server.ask(get_of("/number/-7")).await.body, b"-7");
}

#[tokio::test]
async fn methods_paths_traces_and_panics() {
    let server = start(routes(), |_| {}).await;
    let nowhere = server.ask(get_of("/v1/nowhere")).await;
    assert_eq!(
        (nowhere.status, nowhere.json()["code"].as_u64()),
        (404, Some(1004))
    );
    let wrong = server.ask("DELETE /json HTTP/1.1\r\nhost: x\r\n\r\n").await;
    check("method", &wrong, 405, 1001, "method");
    assert_eq!(wrong.header("allow"), Some("POST"));
    let options = server
        .ask("OPTIONS /query HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    assert_eq!(
        (options.status, options.header("allow")),
        (204, Some("GET,HEAD"))
    );
    let head = server
        .ask("HEAD /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    assert_eq!(head.status, 404);

    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = format!("GET /panic HTTP/1.1\r\nhost: x\r\ntraceparent: {trace}\r\n\r\n");
    let panicked = server.ask(request).await;
    assert_eq!(panicked.header("traceparent"), Some(trace));
    let body = panicked.json();
    assert_eq!((panicked.status, body["code"].as_u64()), (500, Some(1013)));
    assert_eq!(body["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(body["outcome"], "unknown");
    assert!(
        !body.to_string().contains("on purpose"),
        "nothing internal is shown"
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
    ] {
        assert_eq!(panicked.header(name), Some(value));
    }
    assert!(panicked.header("content-security-policy").is_some());
    assert!(
        panicked.header("strict-transport-security").is_none(),
        "plain HTTP"
    );
    let own = server.ask(get_of("/query")).await;
    assert!(
        own.header("traceparent").is_some(),
        "a trace begins where none came in"
    );
}
