//! Declarations, deletion, tenants.

use plinth_queue::model::{
    BindRequest, CreateQueueRequest, DeleteQueueRequest, QueueOptions, ReceiveRequest,
    SubscribeRequest, UnsubscribeRequest,
};

use super::{Fixture, TENANT, bodies, code, context, list, refusal};

list![
    a_queue_is_declared_once_and_a_difference_is_named,
    an_exchange_keeps_its_type,
    a_subscription_gives_its_defaults,
    a_deleted_queue_takes_everything_with_it,
    a_dead_letter_queue_in_use_stays,
    tenants_do_not_see_each_other,
];

async fn a_queue_is_declared_once_and_a_difference_is_named(fixture: &Fixture) {
    let declare = async |max_attempts: Option<i32>| {
        let options = Some(QueueOptions {
            max_attempts,
            ..QueueOptions::default()
        });
        fixture
            .service
            .create_queue(&context(TENANT), "q", CreateQueueRequest { options })
            .await
    };
    let first = declare(None).await.expect("is declared");
    assert!(first.created);
    assert_eq!(first.options.dead_letter_queue.as_deref(), Some("q.dead"));
    assert!(!declare(Some(16)).await.expect("is the same").created);
    let error = plinth_core::Error::from(declare(Some(5)).await.expect_err("differs"));
    assert_eq!(error.code().number(), 1005);
    assert_eq!(error.details()["difference"], "max_attempts is 16, not 5");
    assert_eq!(
        refusal(declare(Some(0)).await),
        (1001, "options.max_attempts".to_owned())
    );
    let bad = fixture
        .service
        .create_queue(&context(TENANT), "a b", CreateQueueRequest::default())
        .await;
    assert_eq!(refusal(bad), (1001, "queue".to_owned()));
}

fn binding(kind: Option<&str>, queue: &str) -> BindRequest {
    BindRequest {
        exchange: "x".to_owned(),
        exchange_type: kind.map(ToOwned::to_owned),
        queue: queue.to_owned(),
        routing_key: None,
    }
}

async fn an_exchange_keeps_its_type(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    fixture.create("r", QueueOptions::default()).await;
    let bind = async |kind, queue| {
        fixture
            .service
            .bind(&context(TENANT), binding(kind, queue))
            .await
    };
    assert_eq!(code(bind(None, "nobody").await), 1004);
    assert!(bind(Some("fanout"), "q").await.expect("binds").created);
    assert_eq!(code(bind(Some("topic"), "r").await), 1005);
    assert!(
        bind(None, "r")
            .await
            .expect("takes the type that is there")
            .created
    );
    assert_eq!(
        refusal(bind(Some("headers"), "r").await),
        (1001, "exchange_type".to_owned())
    );
}

async fn a_subscription_gives_its_defaults(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    let request = SubscribeRequest {
        queue: "q".to_owned(),
        prefetch: Some(2),
        lease_ms: Some(500),
        ..SubscribeRequest::default()
    };
    let subscribe = async |request| {
        fixture
            .service
            .subscribe(&context(TENANT), "s", request)
            .await
    };
    assert!(
        subscribe(request.clone())
            .await
            .expect("subscribes")
            .created
    );
    assert!(
        !subscribe(request.clone())
            .await
            .expect("is the same")
            .created
    );
    let other = SubscribeRequest {
        prefetch: Some(3),
        ..request
    };
    assert_eq!(code(subscribe(other).await), 1005);
    for _ in 0..3 {
        fixture.publish("q", |_| ()).await.expect("is stored");
    }
    let receive = ReceiveRequest {
        queue: "q".to_owned(),
        subscription: Some("s".to_owned()),
        ..ReceiveRequest::default()
    };
    let messages = fixture
        .service
        .receive(&context(TENANT), receive.clone())
        .await
        .expect("receives")
        .messages;
    assert_eq!(
        (messages.len(), messages[0].lease_until_ms),
        (2, Some(1_000_500))
    );
    let end = UnsubscribeRequest {
        subscription: "s".to_owned(),
    };
    assert!(
        fixture
            .service
            .unsubscribe(&context(TENANT), end.clone())
            .await
            .expect("ends")
            .removed
    );
    assert!(
        !fixture
            .service
            .unsubscribe(&context(TENANT), end)
            .await
            .expect("ends")
            .removed
    );
    assert_eq!(
        code(fixture.service.receive(&context(TENANT), receive).await),
        1004
    );
}

async fn delete(fixture: &Fixture, queue: &str) -> (bool, i64) {
    let request = DeleteQueueRequest {
        queue: queue.to_owned(),
    };
    let reply = fixture
        .service
        .delete_queue(&context(TENANT), request)
        .await
        .expect("deletes");
    (reply.removed, reply.messages)
}

async fn a_deleted_queue_takes_everything_with_it(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    fixture
        .service
        .bind(&context(TENANT), binding(Some("fanout"), "q"))
        .await
        .expect("binds");
    for index in 0..3 {
        let message = |message: &mut plinth_queue::model::PublishMessage| {
            message.ordering_key = Some("k".to_owned());
            message.message_id = Some(format!("m-{index}"));
        };
        fixture.publish("q", message).await.expect("is stored");
    }
    assert_eq!(fixture.receive("q", 1).await.len(), 1);
    assert_eq!(delete(fixture, "q").await, (true, 3));
    assert_eq!(delete(fixture, "q").await, (false, 0));
    assert_eq!(code(fixture.publish("q", |_| ()).await), 2104);
    let by_exchange = fixture
        .publish("", |message| message.exchange = Some("x".to_owned()))
        .await;
    assert_eq!(code(by_exchange), 2104);
    fixture.create("q", QueueOptions::default()).await;
    fixture.clock.advance_ms(60_000);
    assert!(fixture.receive("q", 10).await.is_empty());
    let again = fixture
        .publish("q", |message| message.message_id = Some("m-0".to_owned()))
        .await;
    assert!(!again.expect("is stored").duplicate, "the ids went too");
}

async fn a_dead_letter_queue_in_use_stays(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    let request = DeleteQueueRequest {
        queue: "q.dead".to_owned(),
    };
    assert_eq!(
        code(
            fixture
                .service
                .delete_queue(&context(TENANT), request)
                .await
        ),
        1005
    );
    delete(fixture, "q").await;
    assert_eq!(delete(fixture, "q.dead").await, (true, 0));
}

async fn tenants_do_not_see_each_other(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    fixture
        .publish("q", |message| message.body = "ours".into())
        .await
        .expect("is stored");
    let other = context("other");
    let ask = async |queue: &str| {
        let request = ReceiveRequest {
            queue: queue.to_owned(),
            ..ReceiveRequest::default()
        };
        fixture.service.receive(&other, request).await
    };
    assert_eq!(code(ask("q").await), 1004);
    fixture
        .service
        .create_queue(&other, "q", CreateQueueRequest::default())
        .await
        .expect("is declared");
    assert!(ask("q").await.expect("receives").messages.is_empty());
    let messages = fixture.receive("q", 1).await;
    let theirs = plinth_queue::model::AckRequest {
        queue: "q".to_owned(),
        receipts: super::receipts(&messages),
    };
    let items = fixture
        .service
        .ack(&other, theirs)
        .await
        .expect("answers")
        .items;
    assert_eq!(items[0].code, Some(2105), "a receipt of another tenant");
    assert_eq!(bodies(&messages), ["ours"]);
}
