//! Walks over the keys, and quotas.

use std::collections::BTreeSet;

use plinth_cache::CacheSettings;
use plinth_cache::backend::CacheBackend as _;
use plinth_cache::model::{
    Condition, Content, KeyPrefix, Put, Quota, Scan, ScanLimit, ScanPlace, Space,
};
use plinth_core::{Error, ErrorCode};

use crate::support::*;

/// Walks to the end and returns the keys that were seen.
async fn walk(rig: &Rig, space: &Space, prefix: &str, limit: i64) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut place = None;
    loop {
        let scan = Scan {
            prefix: KeyPrefix::parse(Some(prefix)).expect("a prefix"),
            place,
            limit: ScanLimit::parse(Some(limit)).expect("a limit"),
        };
        let page = rig.backend.scan(space, scan).await.expect("walks");
        assert!(i64::try_from(page.items.len()).expect("fits") <= limit);
        seen.extend(page.items.iter().map(|item| item.key.as_str().to_owned()));
        place = page.next;
        if place.is_none() {
            return seen;
        }
    }
}

#[tokio::test]
async fn a_walk_sees_every_live_key_of_its_prefix() {
    for (name, rig) in backends() {
        let (ours, other) = (space("shop", "orders"), space("shop", "carts"));
        let mut wanted = BTreeSet::new();
        for index in 0..700 {
            let key = format!("{}:{index}", if index % 2 == 0 { "even" } else { "odd" });
            let ttl_ms = (index % 10 == 0).then_some(5);
            apply(&rig, &ours, put(&key, b"v", ttl_ms, Condition::Always))
                .await
                .expect("stores");
            apply(&rig, &other, put(&key, b"v", None, Condition::Always))
                .await
                .expect("stores");
            if index % 2 == 0 && ttl_ms.is_none() {
                wanted.insert(key);
            }
        }
        let negative = Put {
            content: Content::KnownAbsent,
            ..plain(b"")
        };
        apply(&rig, &ours, store("even:known", negative))
            .await
            .expect("stores");
        rig.clock.advance_ms(5);
        for limit in [1, 7, 1_000] {
            assert_eq!(walk(&rig, &ours, "even:", limit).await, wanted, "{name}");
        }
        assert_eq!(walk(&rig, &ours, "", 100).await.len(), 630, "{name}");
        assert!(walk(&rig, &ours, "none", 100).await.is_empty(), "{name}");
        assert!(
            walk(&rig, &space("shop", "empty"), "", 100)
                .await
                .is_empty(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_walk_sees_what_stays_while_others_come_and_go() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        for index in 0..400 {
            for kind in ["stays", "goes"] {
                let change = put(&format!("{kind}:{index}"), b"v", None, Condition::Always);
                apply(&rig, &space, change).await.expect("stores");
            }
        }
        let (mut seen, mut place, mut round) = (BTreeSet::new(), None, 0);
        loop {
            let scan = Scan {
                prefix: KeyPrefix::default(),
                place,
                limit: ScanLimit::parse(Some(10)).expect("a limit"),
            };
            let page = rig.backend.scan(&space, scan).await.expect("walks");
            seen.extend(page.items.into_iter().map(|item| item.key));
            for index in round * 4..round * 4 + 4 {
                apply(&rig, &space, delete(&format!("goes:{index}"), None))
                    .await
                    .expect("deletes");
                let change = put(&format!("comes:{index}"), b"v", None, Condition::Always);
                apply(&rig, &space, change).await.expect("stores");
            }
            round += 1;
            place = page.next;
            if place.is_none() {
                break;
            }
        }
        for index in 0..400 {
            assert!(seen.contains(&key(&format!("stays:{index}"))), "{name}");
        }
    }
}

#[tokio::test]
async fn a_place_that_no_walk_returned_is_refused() {
    let rig = memory(1_000_000);
    for text in ["", "x", "64", "0.xyz", "-1", "0.ffffffffffffffffff"] {
        let scan = Scan {
            prefix: KeyPrefix::default(),
            place: Some(ScanPlace(text.to_owned())),
            limit: ScanLimit::parse(None).expect("a limit"),
        };
        let refused = rig.memory().scan(&space("shop", "orders"), scan).await;
        let refused = Error::from(refused.expect_err("is refused"));
        assert_eq!(refused.violations()[0].field, "cursor", "{text}");
    }
}

#[tokio::test]
async fn a_namespace_keeps_inside_its_quota() {
    // Where it is spread each partition has its share: `spreading.rs`.
    let whole = |(name, _): &(&str, Rig)| !name.contains("spread");
    for (name, rig) in backends().into_iter().filter(whole) {
        let mut space = space("shop", "orders");
        space.policy.quota = Quota {
            keys_max: Some(2),
            bytes_max: None,
        };
        for key in ["a", "b"] {
            apply(&rig, &space, put(key, b"v", None, Condition::Always))
                .await
                .expect("stores");
        }
        let refused = apply(&rig, &space, put("c", b"v", None, Condition::Always)).await;
        let refused = Error::from(refused.expect_err("is one too many"));
        assert_eq!(refused.code(), ErrorCode::CacheQuota, "{name}");
        apply(&rig, &space, put("a", b"other", None, Condition::Always))
            .await
            .expect("replaces");
        let batch = vec![
            delete("a", None),
            put("c", b"v", None, Condition::Always),
            put("d", b"v", None, Condition::Always),
        ];
        let refused = rig.backend.apply(&space, batch.clone(), ALL).await;
        assert!(refused.is_err(), "{name}: the batch as a whole is too much");
        assert!(read(&rig, &space, "a").await.is_some(), "{name}");
        let reply = rig.backend.apply(&space, batch, EACH).await;
        let ended: Vec<bool> = reply
            .expect("answers")
            .answer
            .iter()
            .map(Result::is_ok)
            .collect();
        assert_eq!(ended, [true, true, false], "{name}");
    }
}

#[tokio::test]
async fn bytes_are_held_to_the_quotas_of_namespace_and_tenant() {
    let rig = memory_with(&CacheSettings {
        tenant_bytes_max: 100_000,
        ..CacheSettings::default()
    });
    let mut small = space("shop", "small");
    small.policy.quota.bytes_max = Some(10_000);
    let refused = apply(
        &rig,
        &small,
        put("k", &[0; 10_000], None, Condition::Always),
    )
    .await;
    let refused = Error::from(refused.expect_err("is too large"));
    assert_eq!(refused.code(), ErrorCode::CacheQuota);
    assert!(refused.message().contains("namespace"));
    apply(&rig, &small, put("k", &[0; 9_000], None, Condition::Always))
        .await
        .expect("stores");
    let (large, theirs) = (space("shop", "large"), space("other", "large"));
    let change = || put("k", &[0; 95_000], None, Condition::Always);
    let refused = Error::from(apply(&rig, &large, change()).await.expect_err("too much"));
    assert!(refused.message().contains("tenant"));
    apply(&rig, &theirs, change())
        .await
        .expect("another tenant");
    apply(&rig, &small, delete("k", None))
        .await
        .expect("deletes");
    apply(&rig, &large, change()).await.expect("has room now");
    assert_eq!(rig.memory().stats(&small).await.expect("counts").bytes, 0);
}
