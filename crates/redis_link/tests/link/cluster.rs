//! Slots shared by primaries: found, moved, taken over.

use plinth_testkit::redis::{RedisCluster, is_installed};
use plinth_testkit::services::{REDIS_CLUSTER_VARIABLE, service_url};

use super::*;

#[tokio::test]
async fn keys_go_to_the_primary_of_their_slot() {
    let Some(url) = service_url(REDIS_CLUSTER_VARIABLE) else {
        return;
    };
    let (link, name) = (link(&url), unique("spread"));
    for index in 0..60 {
        let key = format!("{name}:{index}");
        run(&link, set(&key, "v")).await.expect("stores");
        let counted = count(&link, &format!("{{{key}}}n"), "1").await;
        counted.expect("runs where its key lies");
    }
    assert_eq!(link.primaries().len(), 3);
    assert_eq!((link.health().servers, link.health().reached), (3, 3));
    assert_eq!(
        link.numbers().redirects_total,
        0,
        "the map was right from the start"
    );
}

#[tokio::test]
async fn a_slot_on_the_move_is_followed_by_ask_and_then_by_moved() {
    if !is_installed() {
        return;
    }
    let cluster = RedisCluster::start(2, 0).await.expect("starts");
    let link = link(&cluster.url());
    let slot = slot_of(b"{foo}a").get().to_string();
    run(&link, set("{foo}a", "v")).await.expect("stores");
    let owner = usize::from(slot_of(b"{foo}a").get() >= 8_192);
    let (from, to) = (&cluster.servers[owner], &cluster.servers[1 - owner]);
    let (from_id, to_id) = (
        from.ask(&["CLUSTER", "MYID"]).await.expect("answers"),
        to.ask(&["CLUSTER", "MYID"]).await.expect("answers"),
    );
    to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id])
        .await
        .expect("imports");
    from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id])
        .await
        .expect("migrates");
    // A key that is not there any more is asked for at the other.
    let before = link.numbers().redirects_total;
    run(&link, set("{foo}b", "w")).await.expect("follows ASK");
    let counted = count(&link, "{foo}n", "1").await;
    counted.expect("follows ASK");
    assert_eq!(run(&link, get("{foo}b")).await.expect("reads"), text("w"));
    assert!(link.numbers().redirects_total > before);
    let port = to.port().to_string();
    let migrate = ["MIGRATE", "127.0.0.1", &port, "{foo}a", "0", "5000"];
    let auth = ["AUTH2", "plinth", plinth_testkit::redis::PASSWORD];
    from.ask(&[&migrate[..], &auth[..]].concat())
        .await
        .expect("moves the key");
    for server in [to, from] {
        server
            .ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id])
            .await
            .expect("is moved");
    }
    assert_eq!(
        run(&link, get("{foo}a")).await.expect("follows MOVED"),
        text("v")
    );
    let redirects = link.numbers().redirects_total;
    run_until(&link, get("{foo}a"), |_| {
        link.primaries().len() == 2 && link.numbers().redirects_total > 0
    })
    .await;
    // The map is learnt: sooner or later nothing is redirected any more.
    let learnt = async {
        let mut last = redirects;
        loop {
            run(&link, get("{foo}a")).await.expect("reads");
            let now = link.numbers().redirects_total;
            if now == last {
                return;
            }
            last = now;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_millis(WAIT_MS_MAX), learnt)
        .await
        .expect("is learnt");
}

#[tokio::test]
async fn a_replica_that_takes_over_is_followed() {
    if !is_installed() {
        return;
    }
    let cluster = RedisCluster::start(3, 1).await.expect("starts");
    let link = link(&cluster.url());
    // The first primary, which has the replica, serves the lowest slots.
    let key = (0..)
        .map(|index| format!("k{index}"))
        .find(|key| slot_of(key.as_bytes()).get() < 5_000);
    let key = key.expect("some key lies there");
    run(&link, set(&key, "v")).await.expect("stores");
    cluster.fail_over(3).await.expect("fails over");
    run_until(&link, set(&key, "w"), Result::is_ok).await;
    let port = cluster.servers[3].port();
    let known = async {
        while !link.primaries().iter().any(|primary| primary.port == port) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_millis(WAIT_MS_MAX), known)
        .await
        .expect("is known");
    assert_eq!(run(&link, get(&key)).await.expect("reads"), text("w"));
}
