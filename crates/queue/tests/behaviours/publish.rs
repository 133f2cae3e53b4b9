//! Routing, batches, deduplication, limits.

use plinth_core::IdempotencyKey;
use plinth_queue::model::{
    BindRequest, PublishBatchRequest, PublishMessage, PublishRequest, QueueOptions, UnbindRequest,
    limits,
};

use super::{Fixture, TENANT, bodies, code, context, list, refusal};

list![
    a_published_message_arrives_as_it_was_sent,
    exchanges_route_by_their_type,
    an_unroutable_message_is_refused,
    a_batch_is_stored_whole_or_not_at_all,
    a_batch_is_bounded,
    a_repeat_under_one_idempotency_key_gets_the_first_answer,
    a_message_id_is_stored_once_inside_its_window,
    a_full_queue_refuses,
    a_full_queue_drops_its_oldest_where_it_is_told_to,
    a_message_that_can_never_fit_is_refused_for_good,
    a_repeat_gets_its_answer_where_it_would_be_unroutable_now,
];

async fn a_published_message_arrives_as_it_was_sent(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    let published = fixture
        .publish("q", |message| {
            message.body = "hello".into();
            message.content_type = Some("text/plain".to_owned());
            message.headers = Some([("tone".to_owned(), "kind".to_owned())].into());
            message.priority = Some(3);
            message.traceparent =
                Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
        })
        .await
        .expect("is stored");
    let messages = fixture.receive("q", 10).await;
    let [message] = messages.as_slice() else {
        panic!("one message: {messages:?}")
    };
    assert_eq!(message.message_id, published.message_id);
    assert_eq!(
        (
            message.queue.as_str(),
            message.exchange.as_str(),
            message.routing_key.as_str()
        ),
        ("q", "", "q")
    );
    assert_eq!(message.body.as_ref(), b"hello");
    assert_eq!(message.content_type, "text/plain");
    assert_eq!(
        message.headers.get("tone").map(String::as_str),
        Some("kind")
    );
    assert_eq!((message.priority, message.attempt), (3, 1));
    assert_eq!(
        message.traceparent.as_deref(),
        Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    );
    assert_eq!(
        (message.published_at_ms, message.lease_until_ms),
        (1_000_000, Some(1_030_000))
    );
    assert!(message.history.is_empty() && message.dead_letter.is_none());
}

async fn exchanges_route_by_their_type(fixture: &Fixture) {
    for queue in ["a", "b"] {
        fixture.create(queue, QueueOptions::default()).await;
    }
    let bind = async |exchange: &str, kind: &str, queue: &str, key: &str| {
        let request = BindRequest {
            exchange: exchange.to_owned(),
            exchange_type: Some(kind.to_owned()),
            queue: queue.to_owned(),
            routing_key: Some(key.to_owned()),
        };
        fixture
            .service
            .bind(&context(TENANT), request)
            .await
            .expect("binds")
            .created
    };
    assert!(bind("d", "direct", "a", "red").await);
    assert!(bind("t", "topic", "a", "status.*").await);
    assert!(bind("t", "topic", "b", "#").await);
    assert!(bind("f", "fanout", "a", "").await);
    assert!(bind("f", "fanout", "b", "").await);
    assert!(
        !bind("f", "fanout", "b", "").await,
        "binding again changes nothing"
    );
    let routed = async |exchange: &str, key: &str| {
        let published = fixture
            .publish(key, |message| message.exchange = Some(exchange.to_owned()))
            .await;
        published.map(|published| published.queues)
    };
    assert_eq!(routed("d", "red").await.expect("routes"), ["a"]);
    assert_eq!(
        routed("t", "status.approved").await.expect("routes"),
        ["a", "b"]
    );
    assert_eq!(routed("t", "x.y").await.expect("routes"), ["b"]);
    assert_eq!(routed("f", "").await.expect("routes"), ["a", "b"]);
    let unbind = UnbindRequest {
        exchange: "d".to_owned(),
        queue: "a".to_owned(),
        routing_key: Some("red".to_owned()),
    };
    assert!(
        fixture
            .service
            .unbind(&context(TENANT), unbind.clone())
            .await
            .expect("unbinds")
            .removed
    );
    assert!(
        !fixture
            .service
            .unbind(&context(TENANT), unbind)
            .await
            .expect("unbinds")
            .removed
    );
    assert_eq!(code(routed("d", "red").await), 2104);
    assert!(
        bind("d", "topic", "a", "red").await,
        "the exchange went with its last binding"
    );
}

async fn an_unroutable_message_is_refused(fixture: &Fixture) {
    assert_eq!(code(fixture.publish("nobody", |_| ()).await), 2104);
    let outcome = fixture
        .publish("key", |message| {
            message.exchange = Some("nothing".to_owned())
        })
        .await;
    assert_eq!(code(outcome), 2104);
}

fn batch(keys: &[&str]) -> PublishBatchRequest {
    let message = |key: &&str| PublishMessage {
        routing_key: (*key).to_owned(),
        body: (*key).to_owned().into(),
        ..PublishMessage::default()
    };
    PublishBatchRequest {
        messages: keys.iter().map(message).collect(),
    }
}

async fn a_batch_is_stored_whole_or_not_at_all(fixture: &Fixture) {
    let full = QueueOptions {
        max_length: Some(2),
        ..QueueOptions::default()
    };
    fixture.create("q", full).await;
    let send = async |keys: &[&str]| {
        fixture
            .service
            .publish_batch(&context(TENANT), batch(keys))
            .await
    };
    assert_eq!(
        refusal(send(&["q", "nobody"]).await),
        (2104, "messages[1]".to_owned())
    );
    assert_eq!(code(send(&["q", "q", "q"]).await), 2106);
    assert_eq!(fixture.receive("q", 10).await.len(), 0);
    let published = send(&["q", "q"]).await.expect("fits").published;
    assert_eq!(published.len(), 2);
    assert_eq!(fixture.receive("q", 10).await.len(), 2);
}

async fn a_batch_is_bounded(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    let send = async |count: usize| {
        let keys = vec!["q"; count];
        fixture
            .service
            .publish_batch(&context(TENANT), batch(&keys))
            .await
    };
    assert_eq!(refusal(send(0).await), (1001, "messages".to_owned()));
    assert_eq!(
        send(limits::BATCH_ITEMS_MAX)
            .await
            .expect("at the limit")
            .published
            .len(),
        1_000
    );
    assert_eq!(
        refusal(send(limits::BATCH_ITEMS_MAX + 1).await),
        (1001, "messages".to_owned())
    );
}

async fn a_repeat_under_one_idempotency_key_gets_the_first_answer(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    let mut call = context(TENANT);
    call.idempotency_key = Some(IdempotencyKey::parse("once").expect("a key"));
    let request = |body: &'static str| PublishRequest {
        message: PublishMessage {
            routing_key: "q".to_owned(),
            body: body.into(),
            ..PublishMessage::default()
        },
    };
    let first = fixture
        .service
        .publish(&call, request("1"))
        .await
        .expect("is stored")
        .published;
    let again = fixture
        .service
        .publish(&call, request("1"))
        .await
        .expect("is answered")
        .published;
    assert_eq!(first, again);
    assert_eq!(
        code(fixture.service.publish(&call, request("2")).await),
        1005
    );
    assert_eq!(bodies(&fixture.receive("q", 10).await), ["1"]);
}

async fn a_message_id_is_stored_once_inside_its_window(fixture: &Fixture) {
    let window = QueueOptions {
        dedup_window_ms: Some(1_000),
        ..QueueOptions::default()
    };
    fixture.create("q", window).await;
    let send = async || {
        let published = fixture
            .publish("q", |message| message.message_id = Some("m-1".to_owned()))
            .await;
        published.expect("is answered").duplicate
    };
    assert!(!send().await);
    assert!(send().await);
    fixture.clock.advance_ms(999);
    assert!(send().await, "one before the window's end");
    fixture.clock.advance_ms(1);
    assert!(!send().await, "at the window's end");
    assert_eq!(fixture.receive("q", 10).await.len(), 2);
}

async fn a_full_queue_refuses(fixture: &Fixture) {
    let by_length = QueueOptions {
        max_length: Some(2),
        ..QueueOptions::default()
    };
    let by_bytes = QueueOptions {
        max_bytes: Some(10),
        ..QueueOptions::default()
    };
    fixture.create("length", by_length).await;
    fixture.create("bytes", by_bytes).await;
    let send = async |queue: &str, bytes: usize| {
        fixture
            .publish(queue, |message| message.body = vec![0; bytes].into())
            .await
    };
    for _ in 0..2 {
        send("length", 1).await.expect("fits");
        send("bytes", 5).await.expect("fits");
    }
    assert_eq!(code(send("length", 1).await), 2106);
    assert_eq!(code(send("bytes", 1).await), 2106);
    let leased = fixture.receive("length", 1).await;
    assert_eq!(
        code(send("length", 1).await),
        2106,
        "a leased message still takes its place"
    );
    super::ack(fixture, &leased).await;
    send("length", 1).await.expect("there is room again");
}

async fn a_full_queue_drops_its_oldest_where_it_is_told_to(fixture: &Fixture) {
    let options = QueueOptions {
        max_length: Some(2),
        on_full: Some("drop_oldest".to_owned()),
        ..QueueOptions::default()
    };
    fixture.create("q", options).await;
    for (body, priority) in [("1", 9), ("2", 0), ("3", 0)] {
        let message = |message: &mut PublishMessage| {
            message.body = body.into();
            message.priority = Some(priority);
        };
        fixture.publish("q", message).await.expect("makes room");
    }
    assert_eq!(bodies(&fixture.receive("q", 10).await), ["2", "3"]);
    let dead = fixture.receive("q.dead", 10).await;
    assert_eq!(bodies(&dead), ["1"]);
    assert_eq!(
        dead[0]
            .dead_letter
            .as_ref()
            .map(|dead| dead.reason.as_str()),
        Some("dropped")
    );
    assert_eq!(
        code(fixture.publish("q", |_| ()).await),
        2106,
        "what is leased is not dropped"
    );
}

async fn a_message_that_can_never_fit_is_refused_for_good(fixture: &Fixture) {
    for on_full in ["reject", "drop_oldest"] {
        let options = QueueOptions {
            max_bytes: Some(10),
            on_full: Some(on_full.to_owned()),
            ..QueueOptions::default()
        };
        fixture.create(on_full, options).await;
        let message = |bytes: usize| PublishMessage {
            routing_key: on_full.to_owned(),
            body: vec![0; bytes].into(),
            ..PublishMessage::default()
        };
        let call = context(TENANT);
        let send = async |bytes: usize| {
            let request = PublishRequest {
                message: message(bytes),
            };
            fixture.service.publish(&call, request).await
        };
        send(10).await.expect("fits alone");
        let error = plinth_core::Error::from(send(11).await.expect_err("never fits"));
        assert_eq!((error.code().number(), error.is_retriable()), (1007, false));
        assert_eq!(error.violations()[0].field, "message");
        let messages = vec![message(0), message(11)];
        let batch = PublishBatchRequest { messages };
        let refused = fixture.service.publish_batch(&call, batch).await;
        assert_eq!(refusal(refused), (1007, "messages[1]".to_owned()));
        // Nothing was dropped for it.
        assert_eq!(fixture.receive(on_full, 10).await.len(), 1);
    }
}

async fn a_repeat_gets_its_answer_where_it_would_be_unroutable_now(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    let bind = BindRequest {
        exchange: "e".to_owned(),
        exchange_type: Some("fanout".to_owned()),
        queue: "q".to_owned(),
        routing_key: None,
    };
    let bound = fixture.service.bind(&context(TENANT), bind).await;
    bound.expect("binds");
    let message = |body: &'static str| PublishMessage {
        exchange: Some("e".to_owned()),
        body: body.into(),
        ..PublishMessage::default()
    };
    let keyed = |key: &str| {
        let mut call = context(TENANT);
        call.idempotency_key = Some(IdempotencyKey::parse(key).expect("a key"));
        call
    };
    let send = async |key: &str, body: &'static str| {
        let request = PublishRequest {
            message: message(body),
        };
        fixture.service.publish(&keyed(key), request).await
    };
    let send_two = async || {
        let request = PublishBatchRequest {
            messages: vec![message("2"), message("3")],
        };
        fixture.service.publish_batch(&keyed("two"), request).await
    };
    let first = send("one", "1").await.expect("is stored").published;
    let first_two = send_two().await.expect("are stored").published;
    let unbind = UnbindRequest {
        exchange: "e".to_owned(),
        queue: "q".to_owned(),
        routing_key: None,
    };
    let unbound = fixture.service.unbind(&context(TENANT), unbind).await;
    unbound.expect("unbinds");
    let again = send("one", "1").await.expect("has its answer").published;
    assert_eq!(again, first);
    let again = send_two().await.expect("has its answer").published;
    assert_eq!(again, first_two);
    assert_eq!(code(send("other", "1").await), 2104, "another key");
    assert_eq!(code(send("one", "2").await), 1005, "another request");
}
