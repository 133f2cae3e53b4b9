//! Servers that die, hang, are full, read-only or empty: what is said of the effect, and that it heals by itself.

use plinth_redis_link::Refusal;
use plinth_testkit::chaos::{Chaos, ChaosProxy};
use plinth_testkit::redis::{RedisProcess, is_installed, url_at};

use super::*;

fn refusal(answered: Result<Value, LinkError>) -> Refusal {
    match answered {
        Err(LinkError::Refused { refusal, .. }) => refusal,
        other => panic!("was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_killed_server_is_not_there_and_is_found_again_as_another() {
    if !is_installed() {
        return;
    }
    let mut server = RedisProcess::start("").await.expect("starts");
    let link = link(&server.url());
    run(&link, set("k", "v")).await.expect("stores");
    let before = link.server(slot_of(b"k")).await.expect("is there");
    server.kill().await.expect("is killed");
    run_until(&link, get("k"), |answered| {
        matches!(answered, Err(LinkError::NotConnected { .. }))
    })
    .await;
    assert_eq!(
        outcome(run(&link, set("k", "w")).await),
        Outcome::NotApplied
    );
    assert_eq!((link.health().reached, link.numbers().connections), (0, 0));
    server.restart().await.expect("starts again");
    run_until(&link, get("k"), |answered| {
        matches!(answered, Ok(Value::Nil))
    })
    .await;
    let after = link.server(slot_of(b"k")).await.expect("is there");
    assert_ne!(before.run_id, after.run_id);
    assert!(link.numbers().reconnects_total >= 2);
    let script = count(&link, "n", "1").await;
    script.expect("is loaded anew");
}

#[tokio::test]
async fn a_server_need_not_be_there_at_the_start() {
    if !is_installed() {
        return;
    }
    let mut server = RedisProcess::start("").await.expect("starts");
    server.kill().await.expect("is killed");
    let link = link(&server.url());
    assert_eq!(
        outcome(run(&link, set("k", "v")).await),
        Outcome::NotApplied
    );
    server.restart().await.expect("starts again");
    run_until(&link, set("k", "v"), Result::is_ok).await;
    assert_eq!(link.health().reason, None);
}

#[tokio::test]
async fn a_write_whose_answer_was_cut_is_unknown_and_was_done_once() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let proxy = ChaosProxy::start(server.address()).await.expect("a proxy");
    let link = link(&url_at(proxy.address()));
    let add = || count(&link, "n", "1");
    add().await.expect("adds");
    proxy.set(Chaos::SwallowAnswers);
    let unheard = add().await.expect_err("is not heard");
    assert_eq!(unheard.outcome(), Outcome::Unknown, "{unheard}");
    assert!(link.numbers().unknown_total >= 1);
    assert_eq!(
        server.ask(&["GET", "n"]).await.expect("answers"),
        "2",
        "done once, not again"
    );
    proxy.set(Chaos::Calm);
    proxy.cut();
    run_until(
        &link,
        get("n"),
        |answered| matches!(answered, Ok(value) if *value == text("2")),
    )
    .await;
}

/// The default run cuts for one second; the ten of the specification are `PLINTH_TEST_LONG=1`.
#[tokio::test]
async fn a_cut_line_is_noticed_by_the_heartbeat_and_heals_when_it_is_over() {
    if !is_installed() {
        return;
    }
    let cut_ms = if std::env::var_os("PLINTH_TEST_LONG").is_some() {
        10_000
    } else {
        1_000
    };
    let server = RedisProcess::start("").await.expect("starts");
    let proxy = ChaosProxy::start(server.address()).await.expect("a proxy");
    let link = link(&url_at(proxy.address()));
    run(&link, set("k", "v")).await.expect("stores");
    proxy.set(Chaos::BlackHole);
    let since = std::time::Instant::now();
    let lost = outcome(run(&link, set("k", "w")).await);
    assert_eq!(lost, Outcome::Unknown);
    run_until(&link, get("k"), |answered| {
        matches!(answered, Err(LinkError::NotConnected { .. }))
    })
    .await;
    tokio::time::sleep(Duration::from_millis(cut_ms).saturating_sub(since.elapsed())).await;
    proxy.set(Chaos::Calm);
    proxy.cut();
    run_until(&link, set("k", "x"), Result::is_ok).await;
    assert_eq!(server.ask(&["GET", "k"]).await.expect("answers"), "x");
}

#[tokio::test]
async fn a_full_server_refuses_a_script_before_its_first_write() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let link = link(&server.url());
    run(&link, set("k", "v")).await.expect("stores");
    server
        .ask(&["CONFIG", "SET", "maxmemory", "1"])
        .await
        .expect("is full");
    assert_eq!(
        refusal(run(&link, set("k", "w")).await),
        Refusal::OutOfMemory
    );
    let script = count(&link, "n", "1").await;
    assert_eq!(refusal(script), Refusal::OutOfMemory);
    assert_eq!(server.ask(&["EXISTS", "n"]).await.expect("answers"), "0");
    assert_eq!(run(&link, get("k")).await.expect("still reads"), text("v"));
    server
        .ask(&["CONFIG", "SET", "maxmemory", "0"])
        .await
        .expect("has room");
    run(&link, set("k", "w")).await.expect("stores again");
}

#[tokio::test]
async fn what_a_server_evicts_is_told() {
    if !is_installed() {
        return;
    }
    let mut server = RedisProcess::start("").await.expect("starts");
    let link = link(&server.url());
    for index in 0..100 {
        run(&link, set(&format!("k{index}"), "v"))
            .await
            .expect("stores");
    }
    assert_eq!(link.evicted_keys().await.expect("tells"), 0);
    for (name, value) in [("maxmemory-policy", "allkeys-random"), ("maxmemory", "1")] {
        let order = ["CONFIG", "SET", name, value];
        server.ask(&order).await.expect("is full");
    }
    assert_eq!(
        refusal(run(&link, set("k", "w")).await),
        Refusal::OutOfMemory
    );
    assert_eq!(link.evicted_keys().await.expect("tells"), 100);
    server.kill().await.expect("is killed");
    assert!(link.evicted_keys().await.is_err());
}

#[tokio::test]
async fn a_replica_and_a_server_that_cannot_save_refuse_writes_whole() {
    if !is_installed() {
        return;
    }
    let server = RedisProcess::start("").await.expect("starts");
    let link = link(&server.url());
    run(&link, set("k", "v")).await.expect("stores");
    server
        .ask(&["REPLICAOF", "127.0.0.1", "1"])
        .await
        .expect("follows nobody");
    let script = || count(&link, "n", "1");
    assert_eq!(refusal(run(&link, set("k", "w")).await), Refusal::ReadOnly);
    assert_eq!(refusal(script().await), Refusal::ReadOnly);
    assert_eq!(run(&link, get("k")).await.expect("still reads"), text("v"));
    server
        .ask(&["REPLICAOF", "NO", "ONE"])
        .await
        .expect("is its own");
    server
        .ask(&["CONFIG", "SET", "min-replicas-to-write", "1"])
        .await
        .expect("wants replicas");
    assert_eq!(
        refusal(run(&link, set("k", "w")).await),
        Refusal::WritesDisabled
    );
    assert_eq!(refusal(script().await), Refusal::WritesDisabled);
    assert_eq!(server.ask(&["EXISTS", "n"]).await.expect("answers"), "0");
}
