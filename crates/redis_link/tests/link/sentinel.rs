//! A primary under sentinels: found, followed, and never written to after it was replaced.

use plinth_testkit::redis::{RedisSentinels, is_installed};
use plinth_testkit::services::{REDIS_SENTINEL_VARIABLE, service_url};

use super::*;

#[tokio::test]
async fn the_primary_is_found_by_any_of_three_sentinels() {
    let Some(url) = service_url(REDIS_SENTINEL_VARIABLE) else {
        return;
    };
    let (scheme, rest) = url.split_once('@').expect("has hosts");
    let url = format!("{scheme}@127.0.0.1:1,{rest}");
    let (link, key) = (link(&url), unique("found"));
    run(&link, set(&key, "v")).await.expect("stores");
    assert_eq!(run(&link, get(&key)).await.expect("reads"), text("v"));
    let strange = link_of_unknown(&url);
    let refused = run(&strange, get(&key)).await.expect_err("is not known");
    assert!(
        refused.to_string().contains("no primary named nobody"),
        "{refused}"
    );
}

fn link_of_unknown(url: &str) -> Arc<RedisLink> {
    let (hosts, _) = url.rsplit_once('/').expect("ends with a name");
    link(&format!("{hosts}/nobody"))
}

#[tokio::test]
async fn an_ordered_failover_is_followed() {
    if !is_installed() {
        return;
    }
    let mut group = RedisSentinels::start(1).await.expect("starts");
    let link = link(&group.url());
    run(&link, set("k", "v")).await.expect("stores");
    let before = link.server(slot_of(b"k")).await.expect("is there");
    let now = group.fail_over().await.expect("fails over");
    let port = group.servers[now].port();
    // A primary that was replaced takes writes until it is told.
    let adopted = |_: &_| link.primaries().iter().any(|primary| primary.port == port);
    run_until(&link, get("k"), adopted).await;
    run_until(&link, set("k", "w"), Result::is_ok).await;
    let after = link.server(slot_of(b"k")).await.expect("is there");
    assert_ne!(before.run_id, after.run_id);
    // The other way is a death, which the sentinel finds out by itself.
    group.servers[now].kill().await.expect("is killed");
    group.wait_for_another_than(now).await.expect("is replaced");
    run_until(&link, set("k", "x"), Result::is_ok).await;
    assert!(link.primaries().iter().all(|primary| primary.port != port));
}
