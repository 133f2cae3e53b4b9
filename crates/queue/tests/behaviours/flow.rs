//! Consuming continuously: no more is held than was asked for.

use futures::FutureExt as _;
use plinth_queue::model::{
    DeleteQueueRequest, PurgeRequest, QueueOptions, ReceiveRequest, SubscribeRequest,
};

use super::{Fixture, TENANT, ack, bodies, context, list, refusal};

list![
    a_flow_has_room_until_it_holds_its_most,
    a_settlement_makes_room_at_once,
    what_others_settle_makes_no_room,
    an_ended_lease_makes_room,
    a_purge_of_what_is_held_makes_room,
    the_end_of_its_queue_makes_room,
    a_flow_takes_its_size_from_its_subscription,
    a_flow_names_what_it_refuses,
];

fn consume(max: Option<i32>) -> ReceiveRequest {
    ReceiveRequest {
        queue: "q".to_owned(),
        max,
        ..ReceiveRequest::default()
    }
}

async fn fill(fixture: &Fixture, count: u8) {
    fixture.create("q", QueueOptions::default()).await;
    for number in 0..count {
        let body = |message: &mut plinth_queue::model::PublishMessage| {
            message.body = number.to_string().into();
        };
        fixture.publish("q", body).await.expect("is stored");
    }
}

async fn a_flow_has_room_until_it_holds_its_most(fixture: &Fixture) {
    fill(fixture, 5).await;
    let context = context(TENANT);
    let flow = fixture
        .service
        .flow(&context, consume(Some(3)))
        .expect("flows");
    assert_eq!(flow.room().await, 3);
    let first = flow.receive(&context, 2, 0).await.expect("receives");
    assert_eq!(bodies(&first.messages), ["0", "1"]);
    assert_eq!(flow.room().await, 1);
    let second = flow.receive(&context, 1, 0).await.expect("receives");
    assert_eq!(bodies(&second.messages), ["2"]);
    assert!(flow.room().now_or_never().is_none(), "it is full");
}

async fn a_settlement_makes_room_at_once(fixture: &Fixture) {
    fill(fixture, 2).await;
    let context = context(TENANT);
    let flow = fixture
        .service
        .flow(&context, consume(None))
        .expect("flows");
    let held = flow.receive(&context, 1, 0).await.expect("receives");
    let mut room = Box::pin(flow.room());
    assert!(room.as_mut().now_or_never().is_none(), "it is full");
    assert!(ack(fixture, &held.messages).await[0].settled);
    assert_eq!(room.await, 1);
}

async fn what_others_settle_makes_no_room(fixture: &Fixture) {
    fill(fixture, 2).await;
    let context = context(TENANT);
    let flow = fixture
        .service
        .flow(&context, consume(None))
        .expect("flows");
    let held = flow.receive(&context, 1, 0).await.expect("receives");
    let another = fixture.receive("q", 1).await;
    assert!(ack(fixture, &another).await[0].settled);
    // A settlement that comes too late settles nothing, whoever asks for it.
    assert!(!ack(fixture, &another).await[0].settled);
    assert!(flow.room().now_or_never().is_none(), "it is still full");
    assert!(ack(fixture, &held.messages).await[0].settled);
    assert_eq!(flow.room().await, 1);
}

async fn an_ended_lease_makes_room(fixture: &Fixture) {
    fill(fixture, 1).await;
    let context = context(TENANT);
    let flow = fixture
        .service
        .flow(&context, consume(Some(1)))
        .expect("flows");
    flow.receive(&context, 1, 0).await.expect("receives");
    fixture.clock.advance_ms(29_999);
    let mut room = Box::pin(flow.room());
    assert!(
        room.as_mut().now_or_never().is_none(),
        "one before the end of the lease"
    );
    fixture.clock.advance_ms(1);
    assert_eq!(room.await, 1);
    let again = flow.receive(&context, 1, 0).await.expect("receives");
    assert_eq!(again.messages[0].attempt, 2);
}

async fn a_purge_of_what_is_held_makes_room(fixture: &Fixture) {
    fill(fixture, 3).await;
    let context = context(TENANT);
    let flow = fixture
        .service
        .flow(&context, consume(Some(2)))
        .expect("flows");
    flow.receive(&context, 2, 0).await.expect("receives");
    let purge = async |state: &str| {
        let request = PurgeRequest {
            state: Some(state.to_owned()),
        };
        let purged = fixture.service.purge(&context, "q", request).await;
        purged.expect("purges").purged
    };
    assert_eq!(purge("ready").await, 1);
    assert!(
        flow.room().now_or_never().is_none(),
        "what is held is there"
    );
    assert_eq!(purge("leased").await, 2);
    assert_eq!(flow.room().now_or_never(), Some(2));
}

async fn the_end_of_its_queue_makes_room(fixture: &Fixture) {
    fill(fixture, 1).await;
    let context = context(TENANT);
    let flow = fixture
        .service
        .flow(&context, consume(None))
        .expect("flows");
    flow.receive(&context, 1, 0).await.expect("receives");
    let request = DeleteQueueRequest {
        queue: "q".to_owned(),
    };
    let deleted = fixture.service.delete_queue(&context, request).await;
    assert_eq!(deleted.expect("deletes").messages, 1);
    // So that it comes back to learn that its queue has gone.
    assert_eq!(flow.room().now_or_never(), Some(1));
    assert_eq!(refusal(flow.receive(&context, 1, 0).await).0, 1004);
}

async fn a_flow_takes_its_size_from_its_subscription(fixture: &Fixture) {
    fill(fixture, 0).await;
    let context = context(TENANT);
    let request = SubscribeRequest {
        queue: "q".to_owned(),
        prefetch: Some(7),
        ..SubscribeRequest::default()
    };
    fixture
        .service
        .subscribe(&context, "seven", request)
        .await
        .expect("is declared");
    let request = ReceiveRequest {
        subscription: Some("seven".to_owned()),
        ..consume(None)
    };
    let flow = fixture.service.flow(&context, request).expect("flows");
    assert_eq!(flow.room().await, 7);
}

async fn a_flow_names_what_it_refuses(fixture: &Fixture) {
    fill(fixture, 0).await;
    let context = context(TENANT);
    let refused = |request| refusal(fixture.service.flow(&context, request));
    for max in [0, 257] {
        assert_eq!(refused(consume(Some(max))), (1001, "max".to_owned()));
    }
    let waiting = ReceiveRequest {
        wait_ms: Some(1),
        ..consume(None)
    };
    assert_eq!(refused(waiting), (1001, "wait_ms".to_owned()));
    let absent = ReceiveRequest {
        queue: "absent".to_owned(),
        ..consume(None)
    };
    assert_eq!(refused(absent).0, 1004);
}
