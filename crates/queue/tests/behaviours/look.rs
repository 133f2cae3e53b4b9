//! Depths, peek, purge.

use plinth_queue::model::{
    GetQueueInfoRequest, ListQueuesRequest, PeekRequest, PublishMessage, PurgeRequest, QueueInfo,
    QueueOptions,
};

use super::{Fixture, TENANT, ack, bodies, code, context, dead, list, refusal};

list![
    depths_follow_every_move,
    queues_are_listed_in_pages,
    peek_shows_without_leasing,
    purge_takes_what_it_is_told,
    a_purge_of_many_goes_in_steps,
];

async fn info(fixture: &Fixture, queue: &str) -> QueueInfo {
    let request = GetQueueInfoRequest {
        queue: queue.to_owned(),
    };
    fixture
        .service
        .get_queue_info(&context(TENANT), request)
        .await
        .expect("is there")
}

/// Ready, leased, delayed, dead, bytes.
async fn depths(fixture: &Fixture, queue: &str) -> (i64, i64, i64, i64, i64) {
    let depth = info(fixture, queue).await.depth;
    (
        depth.ready,
        depth.leased,
        depth.delayed,
        depth.dead,
        depth.bytes,
    )
}

/// Two ready, one delayed, one held back; ten bytes each.
async fn mixed(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    let send = async |change: fn(&mut PublishMessage)| {
        let with_body = |message: &mut PublishMessage| {
            message.body = vec![b'x'; 10].into();
            change(message);
        };
        fixture.publish("q", with_body).await.expect("is stored");
    };
    send(|message| message.ordering_key = Some("k".to_owned())).await;
    send(|_| ()).await;
    send(|message| message.delay_ms = Some(5_000)).await;
    send(|message| message.ordering_key = Some("k".to_owned())).await;
}

async fn depths_follow_every_move(fixture: &Fixture) {
    mixed(fixture).await;
    assert_eq!(depths(fixture, "q").await, (2, 0, 2, 0, 40));
    let leased = fixture.receive("q", 2).await;
    assert_eq!(depths(fixture, "q").await, (0, 2, 2, 0, 40));
    ack(fixture, &leased[..1]).await;
    assert_eq!(
        depths(fixture, "q").await,
        (1, 1, 1, 0, 30),
        "the key's next one is let go"
    );
    dead(fixture, &leased[1..]).await;
    assert_eq!(depths(fixture, "q").await, (1, 0, 1, 1, 20));
    assert_eq!(depths(fixture, "q.dead").await, (1, 0, 0, 0, 10));
    fixture.clock.advance_ms(5_000);
    assert_eq!(fixture.receive("q", 1).await.len(), 1);
    assert_eq!(depths(fixture, "q").await, (1, 1, 0, 1, 20));
    let depth = info(fixture, "q").await.depth;
    assert_eq!(depth.oldest_age_ms, Some(5_000));
    assert!(
        (depth.publish_rate - 4.0 / 60.0).abs() < 1e-9,
        "{}",
        depth.publish_rate
    );
    assert!(
        (depth.deliver_rate - 3.0 / 60.0).abs() < 1e-9,
        "{}",
        depth.deliver_rate
    );
    assert!(
        (depth.ack_rate - 1.0 / 60.0).abs() < 1e-9,
        "{}",
        depth.ack_rate
    );
    let letters = fixture.receive("q.dead", 1).await;
    ack(fixture, &letters).await;
    assert_eq!(
        depths(fixture, "q").await.3,
        0,
        "a dead letter that was settled is no longer counted"
    );
}

async fn queues_are_listed_in_pages(fixture: &Fixture) {
    for queue in ["a.1", "a.2", "b"] {
        let end = QueueOptions {
            dead_letter_queue: Some(String::new()),
            ..QueueOptions::default()
        };
        fixture.create(queue, end).await;
    }
    let page = async |prefix: &str, cursor: Option<String>| {
        let request = ListQueuesRequest {
            prefix: Some(prefix.to_owned()),
            cursor,
            limit: Some(2),
        };
        let reply = fixture
            .service
            .list_queues(&context(TENANT), request)
            .await
            .expect("lists");
        let names: Vec<String> = reply.queues.into_iter().map(|depth| depth.queue).collect();
        (names, reply.next_cursor)
    };
    let (names, next) = page("", None).await;
    assert_eq!(names, ["a.1", "a.2"]);
    assert_eq!(page("", next).await, (vec!["b".to_owned()], None));
    assert_eq!(page("a.", None).await.1, None);
    let bad = ListQueuesRequest {
        cursor: Some("%".to_owned()),
        ..ListQueuesRequest::default()
    };
    assert_eq!(
        refusal(fixture.service.list_queues(&context(TENANT), bad).await).1,
        "cursor"
    );
}

async fn peek_shows_without_leasing(fixture: &Fixture) {
    mixed(fixture).await;
    fixture.receive("q", 1).await;
    let peek = async |state: &str, cursor: Option<String>, limit: i64| {
        let request = PeekRequest {
            state: Some(state.to_owned()),
            cursor,
            limit: Some(limit),
        };
        fixture.service.peek(&context(TENANT), "q", request).await
    };
    let states = async |state: &str| {
        let messages = peek(state, None, 10).await.expect("looks").messages;
        messages
            .into_iter()
            .map(|message| message.state)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states("all").await,
        ["leased", "ready", "delayed", "delayed"]
    );
    assert_eq!(states("leased").await, ["leased"]);
    assert_eq!(states("ready").await, ["ready"]);
    assert_eq!(states("delayed").await, ["delayed", "delayed"]);
    let first = peek("all", None, 3).await.expect("looks");
    assert_eq!(first.messages.len(), 3);
    assert!(
        first
            .messages
            .iter()
            .all(|message| message.receipt.is_none())
    );
    let rest = peek("all", first.next_cursor, 3).await.expect("looks");
    assert_eq!((rest.messages.len(), rest.next_cursor), (1, None));
    assert_eq!(bodies(&rest.messages), ["xxxxxxxxxx"]);
    assert_eq!(refusal(peek("dead", None, 1).await).1, "state");
    assert_eq!(refusal(peek("all", None, 257).await).1, "limit");
    assert!(peek("all", None, 256).await.is_ok());
    assert_eq!(
        fixture.receive("q", 10).await.len(),
        1,
        "peek leased nothing"
    );
}

async fn purge(fixture: &Fixture, state: &str) -> i64 {
    let request = PurgeRequest {
        state: Some(state.to_owned()),
    };
    fixture
        .service
        .purge(&context(TENANT), "q", request)
        .await
        .expect("purges")
        .purged
}

async fn purge_takes_what_it_is_told(fixture: &Fixture) {
    mixed(fixture).await;
    let leased = fixture.receive("q", 1).await;
    assert_eq!(purge(fixture, "ready").await, 1);
    assert_eq!(purge(fixture, "delayed").await, 2);
    assert_eq!(depths(fixture, "q").await, (0, 1, 0, 0, 10));
    assert_eq!(purge(fixture, "leased").await, 1);
    assert_eq!(
        ack(fixture, &leased).await[0].code,
        Some(2105),
        "a purged lease"
    );
    for _ in 0..2 {
        fixture.publish("q", |_| ()).await.expect("is stored");
    }
    let messages = fixture.receive("q", 1).await;
    dead(fixture, &messages).await;
    assert_eq!(purge(fixture, "dead").await, 1);
    assert_eq!(depths(fixture, "q").await, (1, 0, 0, 0, 0));
    assert_eq!(purge(fixture, "all").await, 1);
    assert_eq!(purge(fixture, "all").await, 0);
    let request = PurgeRequest {
        state: Some("everything".to_owned()),
    };
    assert_eq!(
        code(fixture.service.purge(&context(TENANT), "q", request).await),
        1001
    );
}

async fn a_purge_of_many_goes_in_steps(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    for _ in 0..3 {
        let message = PublishMessage {
            routing_key: "q".to_owned(),
            ..PublishMessage::default()
        };
        let batch = plinth_queue::model::PublishBatchRequest {
            messages: vec![message; 700],
        };
        fixture
            .service
            .publish_batch(&context(TENANT), batch)
            .await
            .expect("is stored");
    }
    assert_eq!(purge(fixture, "all").await, 2_100);
    assert_eq!(depths(fixture, "q").await, (0, 0, 0, 0, 0));
}
