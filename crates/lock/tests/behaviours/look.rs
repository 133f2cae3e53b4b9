//! Looking, watching, ending by force.

use plinth_core::WideInt;
use plinth_lock::model::{ForceReleaseRequest, ListRequest, LockGrant, VerifyReply, VerifyRequest};

use crate::support::{Fixture, TENANT, code, context, exclusive, shared};

async fn verify(fixture: &Fixture, grant: &LockGrant, wait_ms: i64) -> VerifyReply {
    let request = VerifyRequest {
        lock: grant.lock.clone(),
        token: grant.token,
        wait_ms: Some(wait_ms),
    };
    let reply = fixture.service.verify(&context(TENANT), request).await;
    reply.expect("is answered")
}

pub(crate) async fn a_loss_is_told_to_who_watches(fixture: &Fixture) {
    fixture.clock.advance_ms(5_000);
    // Released, ended by time, ended by force.
    for round in 0..3 {
        let grant = fixture.take(exclusive("a"), "one").await.expect("is free");
        assert_eq!(
            verify(fixture, &grant, 0).await.owner.as_deref(),
            Some("one")
        );
        let watch = tokio::spawn({
            let (fixture, grant) = (fixture.clone(), grant.clone());
            async move { verify(&fixture, &grant, 60_000).await }
        });
        tokio::task::yield_now().await;
        match round {
            0 => assert!(fixture.release(&grant, "one").await),
            1 => fixture.clock.advance_ms(1_000),
            _ => force(fixture, None).await,
        }
        let told = watch.await.expect("joins");
        assert!(!told.held && told.owner.is_none());
    }
}

async fn force(fixture: &Fixture, token: Option<WideInt>) {
    let request = ForceReleaseRequest {
        token,
        reason: "its holder hangs".to_owned(),
    };
    let reply = fixture
        .service
        .force_release(&context(TENANT), "a", request)
        .await;
    assert_eq!(reply.expect("is ended").released, 1);
}

pub(crate) async fn an_operator_ends_a_lease(fixture: &Fixture) {
    let one = fixture.take(shared("a"), "one").await.expect("is free");
    let two = fixture.take(shared("a"), "two").await.expect("is shared");
    let wait = fixture.wait_for(exclusive("a"), "next", 60_000).await;
    force(fixture, Some(one.token)).await;
    assert!(!fixture.renew(&one, "one").await);
    assert!(fixture.renew(&two, "two").await);
    force(fixture, None).await;
    assert!(wait.await.expect("joins").is_ok());
    let again = ForceReleaseRequest {
        token: Some(two.token),
        reason: "again".to_owned(),
    };
    let reply = fixture
        .service
        .force_release(&context(TENANT), "a", again)
        .await;
    assert_eq!(code(reply), 1004);
}

pub(crate) async fn a_lock_shows_who_waits_for_whom(fixture: &Fixture) {
    let grant = fixture.take(shared("a"), "reader").await.expect("is free");
    let writer = fixture.wait_for(exclusive("a"), "writer", 60_000).await;
    let late = fixture.wait_for(shared("a"), "late", 60_000).await;
    fixture.clock.advance_ms(40);
    let info = fixture
        .service
        .get(&context(TENANT), "a")
        .await
        .expect("is read");
    assert_eq!(info.holders[0].token, grant.token);
    assert_eq!(
        (info.holders[0].held_ms, info.holders[0].mode.as_str()),
        (40, "shared")
    );
    let waits: Vec<_> = info
        .waiters
        .iter()
        .map(|waiter| (waiter.owner.as_str(), waiter.waits_for.join(",")))
        .collect();
    assert_eq!(
        waits,
        [
            ("writer", "reader".to_owned()),
            ("late", "writer".to_owned())
        ]
    );
    assert_eq!(info.counters.contended, 2);
    writer.abort();
    assert!(late.await.expect("joins").is_ok());
}

pub(crate) async fn locks_are_listed_in_pages(fixture: &Fixture) {
    for name in ["b.2", "a", "b.1", "b.3", "c"] {
        fixture.take(exclusive(name), "one").await.expect("is free");
    }
    let mut names = Vec::new();
    let mut cursor = None;
    loop {
        let request = ListRequest {
            prefix: Some("b.".to_owned()),
            cursor,
            limit: Some(2),
        };
        let page = fixture.service.list(&context(TENANT), request).await;
        let page = page.expect("is listed");
        names.extend(page.locks.into_iter().map(|lock| lock.lock));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(names, ["b.1", "b.2", "b.3"]);
}
