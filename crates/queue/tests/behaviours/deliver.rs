//! Order, delay, expiry, leases, waiting.

use plinth_queue::model::{AckRequest, PublishMessage, QueueOptions, ReceiveRequest, limits};

use super::{Fixture, TENANT, ack, bodies, code, context, list, receipts, refusal};

list![
    an_acknowledged_message_is_gone,
    a_leased_message_is_held_from_others_until_its_lease_ends,
    an_ack_after_the_lease_ended_is_refused,
    a_receipt_fits_once_and_only_its_queue,
    a_delay_ends_at_its_millisecond,
    a_message_expires_at_its_millisecond,
    messages_of_one_ordering_key_go_one_at_a_time,
    a_delayed_message_holds_back_its_ordering_key,
    priorities_off_is_first_in_first_out,
    a_wait_ends_with_a_publish,
    a_wait_ends_with_a_delay,
    a_wait_ends_at_its_time,
    a_receive_that_is_given_up_loses_nothing,
    receive_is_bounded,
];

async fn send(fixture: &Fixture, body: &'static str, change: impl FnOnce(&mut PublishMessage)) {
    let with_body = |message: &mut PublishMessage| {
        message.body = body.into();
        change(message);
    };
    fixture.publish("q", with_body).await.expect("is stored");
}

async fn an_acknowledged_message_is_gone(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    send(fixture, "1", |_| ()).await;
    let messages = fixture.receive("q", 1).await;
    assert!(ack(fixture, &messages).await[0].settled);
    fixture.clock.advance_ms(60_000);
    assert!(fixture.receive("q", 1).await.is_empty());
    assert_eq!(
        ack(fixture, &messages).await[0].code,
        Some(2105),
        "a second ack"
    );
}

async fn a_leased_message_is_held_from_others_until_its_lease_ends(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    send(fixture, "1", |_| ()).await;
    assert_eq!(fixture.receive("q", 1).await[0].attempt, 1);
    fixture.clock.advance_ms(29_999);
    assert!(
        fixture.receive("q", 1).await.is_empty(),
        "one before the lease's end"
    );
    fixture.clock.advance_ms(1);
    let again = fixture.receive("q", 1).await;
    assert_eq!(again[0].attempt, 2);
    assert_eq!(again[0].history[0].outcome, "lease_expired");
    assert_eq!(again[0].history[0].consumer, "worker");
}

async fn an_ack_after_the_lease_ended_is_refused(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    send(fixture, "1", |_| ()).await;
    let late = fixture.receive("q", 1).await;
    fixture.clock.advance_ms(30_000);
    assert_eq!(
        ack(fixture, &late).await[0].code,
        Some(2105),
        "at the lease's end, before anybody else has it"
    );
    let next = fixture.receive("q", 1).await;
    assert_eq!(
        ack(fixture, &late).await[0].code,
        Some(2105),
        "while another has it"
    );
    fixture.clock.advance_ms(29_999);
    assert!(
        ack(fixture, &next).await[0].settled,
        "one before the lease's end"
    );
}

async fn a_receipt_fits_once_and_only_its_queue(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    fixture.create("other", QueueOptions::default()).await;
    send(fixture, "1", |_| ()).await;
    let messages = fixture.receive("q", 1).await;
    let twice = AckRequest {
        queue: "q".to_owned(),
        receipts: [receipts(&messages), receipts(&messages)].concat(),
    };
    let elsewhere = AckRequest {
        queue: "other".to_owned(),
        receipts: receipts(&messages),
    };
    let settle = async |request| fixture.service.ack(&context(TENANT), request).await;
    assert_eq!(
        settle(elsewhere).await.expect("answers").items[0].code,
        Some(2105)
    );
    let items = settle(twice).await.expect("answers").items;
    assert_eq!((items[0].settled, items[1].code), (true, Some(2105)));
    let request = |receipts: Vec<String>| AckRequest {
        queue: "q".to_owned(),
        receipts,
    };
    assert_eq!(
        refusal(settle(request(vec!["nonsense".to_owned()])).await),
        (1001, "receipts[0]".to_owned())
    );
    assert_eq!(
        refusal(settle(request(Vec::new())).await),
        (1001, "receipts".to_owned())
    );
    let one = receipts(&messages).remove(0);
    assert!(
        settle(request(vec![one.clone(); limits::BATCH_ITEMS_MAX]))
            .await
            .is_ok()
    );
    assert_eq!(
        refusal(settle(request(vec![one; limits::BATCH_ITEMS_MAX + 1])).await),
        (1001, "receipts".to_owned())
    );
}

async fn a_delay_ends_at_its_millisecond(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    send(fixture, "later", |message| message.delay_ms = Some(1_000)).await;
    send(fixture, "sooner", |message| {
        message.deliver_at_ms = Some(1_000_500)
    })
    .await;
    send(fixture, "now", |message| message.deliver_at_ms = Some(5)).await;
    assert_eq!(bodies(&fixture.receive("q", 10).await), ["now"]);
    fixture.clock.advance_ms(499);
    assert!(fixture.receive("q", 10).await.is_empty());
    fixture.clock.advance_ms(1);
    assert_eq!(bodies(&fixture.receive("q", 10).await), ["sooner"]);
    fixture.clock.jump_wall_ms(1_000_000);
    fixture.clock.advance_ms(499);
    assert!(
        fixture.receive("q", 10).await.is_empty(),
        "a jump of the wall shortens nothing"
    );
    fixture.clock.advance_ms(1);
    assert_eq!(bodies(&fixture.receive("q", 10).await), ["later"]);
}

async fn a_message_expires_at_its_millisecond(fixture: &Fixture) {
    let options = QueueOptions {
        ttl_ms: Some(1_000),
        ..QueueOptions::default()
    };
    fixture.create("q", options).await;
    send(fixture, "queue's", |_| ()).await;
    send(fixture, "own", |message| message.ttl_ms = Some(500)).await;
    send(fixture, "longer", |message| message.ttl_ms = Some(5_000)).await;
    send(fixture, "never ready", |message| {
        message.delay_ms = Some(2_000)
    })
    .await;
    fixture.clock.advance_ms(500);
    let left = fixture.receive("q", 1).await;
    assert_eq!(bodies(&left), ["queue's"]);
    fixture.clock.advance_ms(499);
    assert_eq!(
        bodies(&fixture.receive("q", 1).await),
        ["longer"],
        "one before its end"
    );
    fixture.clock.advance_ms(1_500);
    assert!(fixture.receive("q", 10).await.is_empty());
    assert!(
        ack(fixture, &left).await[0].settled,
        "what is leased is not taken from its consumer"
    );
    fixture.clock.advance_ms(60_000);
    assert!(fixture.receive("q", 10).await.is_empty());
    assert!(fixture.receive("q.dead", 10).await.is_empty());
}

async fn messages_of_one_ordering_key_go_one_at_a_time(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    let keyed = |key: &'static str| {
        move |message: &mut PublishMessage| message.ordering_key = Some(key.to_owned())
    };
    for (body, key) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("a3", "a")] {
        send(fixture, body, keyed(key)).await;
    }
    let first = fixture.receive("q", 10).await;
    assert_eq!(bodies(&first), ["a1", "b1"]);
    super::retry(fixture, &first[..1], Some(100)).await;
    assert!(
        fixture.receive("q", 10).await.is_empty(),
        "a retry keeps its place before its successors"
    );
    fixture.clock.advance_ms(100);
    let again = fixture.receive("q", 10).await;
    assert_eq!(bodies(&again), ["a1"]);
    ack(fixture, &again).await;
    let second = fixture.receive("q", 10).await;
    assert_eq!(bodies(&second), ["a2"]);
    super::dead(fixture, &second).await;
    assert_eq!(bodies(&fixture.receive("q", 10).await), ["a3"]);
}

async fn a_delayed_message_holds_back_its_ordering_key(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    send(fixture, "1", |message| {
        message.ordering_key = Some("k".to_owned());
        message.delay_ms = Some(100);
        message.ttl_ms = Some(1_000);
    })
    .await;
    send(fixture, "2", |message| {
        message.ordering_key = Some("k".to_owned());
        message.priority = Some(9);
    })
    .await;
    assert!(fixture.receive("q", 10).await.is_empty());
    fixture.clock.advance_ms(100);
    assert_eq!(bodies(&fixture.receive("q", 10).await), ["1"]);
}

async fn priorities_off_is_first_in_first_out(fixture: &Fixture) {
    let options = QueueOptions {
        priorities: Some(false),
        ..QueueOptions::default()
    };
    fixture.create("q", options).await;
    send(fixture, "low", |_| ()).await;
    send(fixture, "high", |message| message.priority = Some(9)).await;
    assert_eq!(bodies(&fixture.receive("q", 10).await), ["low", "high"]);
}

fn waiting(wait_ms: i64) -> ReceiveRequest {
    ReceiveRequest {
        queue: "q".to_owned(),
        wait_ms: Some(wait_ms),
        ..ReceiveRequest::default()
    }
}

async fn wait_until_waiting(fixture: &Fixture) {
    loop {
        let request = plinth_queue::model::GetQueueInfoRequest {
            queue: "q".to_owned(),
        };
        let info = fixture
            .service
            .get_queue_info(&context(TENANT), request)
            .await
            .expect("is there");
        if info.depth.consumers == 1 {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn a_wait_ends_with_a_publish(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    let call = context(TENANT);
    let waiter = fixture.service.receive(&call, waiting(60_000));
    let (received, ()) = tokio::join!(waiter, async {
        wait_until_waiting(fixture).await;
        send(fixture, "1", |_| ()).await;
    });
    assert_eq!(bodies(&received.expect("receives").messages), ["1"]);
}

async fn a_wait_ends_with_a_delay(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    send(fixture, "1", |message| message.delay_ms = Some(250)).await;
    let call = context(TENANT);
    let waiter = fixture.service.receive(&call, waiting(60_000));
    let (received, ()) = tokio::join!(waiter, async {
        wait_until_waiting(fixture).await;
        fixture.clock.advance_ms(250);
    });
    assert_eq!(bodies(&received.expect("receives").messages), ["1"]);
}

async fn a_wait_ends_at_its_time(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    let call = context(TENANT);
    let waiter = fixture.service.receive(&call, waiting(100));
    let (received, ()) = tokio::join!(waiter, async {
        wait_until_waiting(fixture).await;
        fixture.clock.advance_ms(100);
    });
    assert!(received.expect("ends").messages.is_empty());
}

async fn a_receive_that_is_given_up_loses_nothing(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    send(fixture, "1", |_| ()).await;
    for _ in 0..20 {
        // Polled once: the lease is under way when the caller goes away.
        let service = fixture.service.clone();
        let given_up = Box::pin(async move { service.receive(&context(TENANT), waiting(0)).await });
        let _pending = futures::poll!(given_up);
    }
    // The leases that nobody saw come back by themselves; the clock stands still meanwhile.
    let again = loop {
        let messages = fixture.receive("q", 1).await;
        if !messages.is_empty() {
            break messages;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        again[0].attempt, 1,
        "what was never handed out was never tried"
    );
}

async fn receive_is_bounded(fixture: &Fixture) {
    fixture.create("q", QueueOptions::default()).await;
    let ask = async |change: fn(&mut ReceiveRequest)| {
        let mut request = waiting(0);
        change(&mut request);
        fixture.service.receive(&context(TENANT), request).await
    };
    assert!(ask(|request| request.max = Some(256)).await.is_ok());
    assert!(
        ask(|request| request.lease_ms = Some(limits::LEASE_MS_MIN))
            .await
            .is_ok()
    );
    assert!(
        ask(|request| request.lease_ms = Some(limits::LEASE_MS_MAX))
            .await
            .is_ok()
    );
    let field = async |change| refusal(ask(change).await).1;
    assert_eq!(field(|request| request.max = Some(257)).await, "max");
    assert_eq!(field(|request| request.max = Some(0)).await, "max");
    assert_eq!(
        field(|request| request.wait_ms = Some(60_001)).await,
        "wait_ms"
    );
    assert_eq!(field(|request| request.wait_ms = Some(-1)).await, "wait_ms");
    assert_eq!(
        field(|request| request.lease_ms = Some(limits::LEASE_MS_MIN - 1)).await,
        "lease_ms"
    );
    assert_eq!(
        field(|request| request.lease_ms = Some(limits::LEASE_MS_MAX + 1)).await,
        "lease_ms"
    );
    assert_eq!(
        field(|request| request.consumer = Some("c".repeat(129))).await,
        "consumer"
    );
    assert_eq!(
        code(ask(|request| request.queue = "nobody".to_owned()).await),
        1004
    );
    assert_eq!(
        code(ask(|request| request.subscription = Some("nobody".to_owned())).await),
        1004
    );
}
