//! Leases and clocks.

use crate::support::{Fixture, TAKEN, code, exclusive};

pub(crate) async fn a_lease_ends_to_the_millisecond_and_is_lost(fixture: &Fixture) {
    let grant = fixture.take(exclusive("a"), "one").await.expect("is free");
    // The process began less than a lease ago: until it has run that long, nothing that was held is taken.
    fixture.clock.advance_ms(999);
    assert_eq!(code(fixture.take(exclusive("a"), "two").await), TAKEN);
    fixture.clock.advance_ms(1);
    let next = fixture
        .take(exclusive("a"), "two")
        .await
        .expect("has ended");
    assert!(next.token > grant.token);
    assert!(!fixture.renew(&grant, "one").await, "is lost");
    assert!(!fixture.release(&grant, "one").await, "is lost");
    assert_eq!(fixture.holders("a").await, ["two"]);
}

pub(crate) async fn a_silent_holder_is_followed_by_who_waits(fixture: &Fixture) {
    fixture.clock.advance_ms(5_000);
    fixture
        .take(exclusive("a"), "silent")
        .await
        .expect("is free");
    let wait = fixture.wait_for(exclusive("a"), "next", 60_000).await;
    fixture.clock.advance_ms(999);
    tokio::task::yield_now().await;
    assert!(!wait.is_finished());
    fixture.clock.advance_ms(1);
    let reply = wait.await.expect("joins").expect("is granted");
    // Its own lease begins with the grant.
    fixture.clock.advance_ms(999);
    assert!(fixture.renew(&reply.grants[0], "next").await);
}

pub(crate) async fn a_renewal_begins_the_lease_anew(fixture: &Fixture) {
    let grant = fixture.take(exclusive("a"), "one").await.expect("is free");
    for _ in 0..5 {
        fixture.clock.advance_ms(900);
        assert!(fixture.renew(&grant, "one").await);
    }
    fixture.clock.advance_ms(1_000);
    assert!(!fixture.renew(&grant, "one").await);
}

pub(crate) async fn a_jump_of_the_wall_moves_no_lease(fixture: &Fixture) {
    fixture.clock.advance_ms(5_000);
    for jump_ms in [3_600_000, -7_200_000] {
        let grant = fixture.take(exclusive("a"), "one").await.expect("is free");
        fixture.clock.jump_wall_ms(jump_ms);
        fixture.clock.advance_ms(999);
        assert_eq!(code(fixture.take(exclusive("a"), "two").await), TAKEN);
        assert!(fixture.renew(&grant, "one").await);
        fixture.clock.advance_ms(1_000);
        assert!(!fixture.renew(&grant, "one").await);
    }
}
