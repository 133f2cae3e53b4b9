//! The servers of a test's own do what they are told.

use plinth_testkit::redis::{RedisCluster, RedisProcess, RedisSentinels, is_installed};

#[tokio::test]
async fn a_server_is_killed_restarted_empty_and_paused() {
    if !is_installed() {
        return;
    }
    let mut server = RedisProcess::start("maxmemory 64mb").await.expect("starts");
    assert_eq!(server.ask(&["SET", "a", "1"]).await.expect("is set"), "OK");
    server.kill().await.expect("is killed");
    assert!(server.ask(&["PING"]).await.is_err());
    server.restart().await.expect("starts again");
    assert_eq!(server.ask(&["EXISTS", "a"]).await.expect("answers"), "0");
    let limit = server.ask(&["CONFIG", "GET", "maxmemory"]).await;
    assert_eq!(limit.expect("answers"), "maxmemory\n67108864");
    server.pause().await.expect("is paused");
    let patience = std::time::Duration::from_millis(200);
    let silent = tokio::time::timeout(patience, server.ask(&["PING"])).await;
    assert!(silent.is_err());
    server.resume().await.expect("goes on");
    assert_eq!(server.ask(&["PING"]).await.expect("answers"), "PONG");
}

#[tokio::test]
async fn a_sentinel_moves_the_primary() {
    if !is_installed() {
        return;
    }
    let group = RedisSentinels::start(1).await.expect("starts");
    assert_eq!(group.primary().await.expect("is known"), 0);
    group.servers[0]
        .ask(&["SET", "a", "1"])
        .await
        .expect("is set");
    // The replica has it before it becomes the primary.
    let copied = group.servers[0].ask(&["WAIT", "1", "10000"]).await;
    assert_eq!(copied.expect("is copied"), "1");
    assert_eq!(group.fail_over().await.expect("moves"), 1);
    assert_eq!(
        group.servers[1].ask(&["GET", "a"]).await.expect("is read"),
        "1"
    );
}

#[tokio::test]
async fn a_replica_of_a_cluster_takes_over() {
    if !is_installed() {
        return;
    }
    let cluster = RedisCluster::start(3, 1).await.expect("starts");
    cluster.fail_over(3).await.expect("takes over");
    let info = cluster.servers[1].ask_until(&["CLUSTER", "INFO"], |text| {
        text.contains("cluster_state:ok")
    });
    info.await.expect("agrees");
}
