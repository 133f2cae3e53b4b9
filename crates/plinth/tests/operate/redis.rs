//! Values in Redis: shared by instances, refused while it is away, there again without a restart.

use plinth_client::SetOptions;
use plinth_testkit::process::Server;
use plinth_testkit::redis::{RedisProcess, is_installed};

use crate::health::turns;
use crate::tool::{http, serve};

/// The status of the cache in the health.
async fn cache_status(server: &Server) -> String {
    let key = server.first_key().expect("a first key");
    let [client, _] = server.clients(key).expect("clients");
    let health = client.access().health().await.expect("answers");
    let parts = health.components.expect("may see the parts");
    let cache = parts.into_iter().find(|part| part.name == "cache");
    cache.expect("is listed").status
}

async fn metric(server: &Server, name: &str) -> f64 {
    let url = format!("{}/metrics", server.announcement().http);
    let key = server.first_key().expect("a first key");
    let reply = http()
        .get(url)
        .bearer_auth(key)
        .send()
        .await
        .expect("answers");
    let text = reply.text().await.expect("is text");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.parse().ok())
        .unwrap_or(f64::NAN)
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_share_values_in_redis_which_may_go_and_come() {
    if !is_installed() {
        return;
    }
    let mut redis = RedisProcess::start("").await.expect("starts");
    let (url, place) = (redis.url(), tempfile::tempdir().expect("a directory"));
    let settings = [
        ("PLINTH__CACHE__BACKEND", "redis"),
        ("PLINTH__CACHE__KEY_PREFIX", "shared"),
        ("PLINTH__REDIS__URL", url.as_str()),
        ("PLINTH__REDIS__RECONNECT_MAX_MS", "100"),
        ("PLINTH__CACHE__NEAR__BYTES_MAX", "1000000"),
    ];
    redis.kill().await.expect("is killed");
    // It starts without Redis, says so, and serves what does not need it.
    let one = serve(&place.path().join("one"), &settings).await;
    let key = one.first_key().expect("a first key").to_owned();
    let [thrift, over_http] = one.clients(&key).expect("clients");
    turns("down", async || cache_status(&one).await == "down").await;
    for client in [&thrift, &over_http] {
        let refused = client
            .cache()
            .get("orders", "k")
            .await
            .expect_err("is away");
        assert_eq!(refused.code, 2001, "{refused}");
        assert!(
            !refused.to_string().contains(&redis.port().to_string()),
            "{refused}"
        );
        client
            .queue()
            .list_queues(None, None, None)
            .await
            .expect("does not need Redis");
    }
    redis.restart().await.expect("starts");
    turns("up", async || cache_status(&one).await == "up").await;
    let stored = thrift
        .cache()
        .set("orders", "k", "v", SetOptions::default())
        .await;
    let stored = stored.expect("stores");
    // A second instance has tenants of its own, but their names and so their values are the same.
    let two = serve(&place.path().join("two"), &settings).await;
    let other_key = two.first_key().expect("a first key").to_owned();
    for client in two.clients(&other_key).expect("clients") {
        let found = client.cache().get("orders", "k").await.expect("reads");
        let found = found.expect("is there");
        assert_eq!(
            (found.value.as_ref(), found.version),
            (&b"v"[..], stored.version)
        );
    }
    let stats = over_http.cache().stats("orders").await.expect("counts");
    assert_eq!((stats.keys, stats.backend.as_str()), (1, "redis"));
    turns("metrics", async || {
        metric(&one, "plinth_redis_connections").await >= 2.0
            && metric(&one, "plinth_redis_commands_total").await >= 2.0
            && metric(&one, "plinth_redis_reconnects_total").await >= 1.0
            && metric(&one, "plinth_cache_near_heard").await >= 1.0
            && metric(&one, "plinth_redis_evicted_keys").await >= 0.0
    })
    .await;
    turns("near", async || {
        let found = over_http.cache().get("orders", "k").await.expect("reads");
        assert!(found.is_some());
        metric(&one, "plinth_cache_near_hits_total").await >= 2.0
            && metric(&one, "plinth_cache_near_entries").await >= 1.0
    })
    .await;
    let keys = redis
        .ask(&["KEYS", "shared:{*:orders}:e:k"])
        .await
        .expect("answers");
    assert!(keys.contains("orders"), "{keys}");
    redis.kill().await.expect("is killed");
    turns("down again", async || cache_status(&one).await == "down").await;
    for server in [one, two] {
        server.stop().await.expect("ends well");
    }
}
