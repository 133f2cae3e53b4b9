//! What every backend of the cache does: one list of behaviours, run against each.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "short ways to make requests fail the test where they stand"
)]

#[path = "../support/mod.rs"]
mod support;

mod bounding;
mod counting;
mod expiring;
mod fencing;
mod leasing;
mod once;
mod racing;
mod spreading;
mod tagging;
mod walking;

use bytes::Bytes;
use plinth_cache::model::{
    BATCH_ITEMS_MAX, Changed, Condition, KEY_BYTES_MAX, Key, Read, TTL_MS_MAX, Ttl,
    VALUE_BYTES_MAX, Value, check_batch, parse_keys,
};
use plinth_cache::{CacheError, Refusal};
use plinth_core::{Error, ErrorCode};

use support::*;

#[tokio::test]
async fn conditions_hold_or_refuse_and_name_what_was_found() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let absent = apply(&rig, &space, put("k", b"1", None, Condition::Present)).await;
        assert!(
            matches!(
                absent,
                Err(CacheError::Refused {
                    refusal: Refusal::Condition {
                        field: "condition",
                        ..
                    },
                    ..
                })
            ),
            "{name}"
        );
        let first = apply(&rig, &space, put("k", b"1", None, Condition::Absent)).await;
        let first = version(&first.expect("stores"));
        let again = apply(&rig, &space, put("k", b"2", None, Condition::Absent)).await;
        assert!(
            matches!(again, Err(CacheError::Refused { refusal: Refusal::Condition { stored: Some(found), .. }, .. }) if found == first)
        );
        let second = apply(
            &rig,
            &space,
            put("k", b"2", None, Condition::Version(first)),
        )
        .await;
        let second = version(&second.expect("stores"));
        assert!(second > first, "{name}: versions grow");
        let stale = apply(
            &rig,
            &space,
            put("k", b"3", None, Condition::Version(first)),
        )
        .await;
        let stale = Error::from(stale.expect_err("is stale"));
        assert_eq!(stale.code(), ErrorCode::PreconditionFailed);
        assert_eq!(
            stale.details().get("stored_version"),
            Some(&second.to_string())
        );
        assert_eq!(read(&rig, &space, "k").await, Some(b"2".to_vec()), "{name}");
    }
}

#[tokio::test]
async fn a_version_is_never_used_again_after_a_delete() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let before = apply(&rig, &space, put("k", b"1", None, Condition::Always)).await;
        let before = version(&before.expect("stores"));
        let gone = apply(&rig, &space, delete("k", Some(before)))
            .await
            .expect("deletes");
        assert_eq!(gone, Changed::Deleted { existed: true }, "{name}");
        let gone = apply(&rig, &space, delete("k", None))
            .await
            .expect("deletes");
        assert_eq!(gone, Changed::Deleted { existed: false }, "{name}");
        let named = apply(&rig, &space, delete("k", Some(before))).await;
        assert!(
            matches!(
                named,
                Err(CacheError::Refused {
                    refusal: Refusal::KeyNotFound,
                    ..
                })
            ),
            "{name}"
        );
        apply(&rig, &space, put("k", b"2", None, Condition::Always))
            .await
            .expect("stores");
        let stale = apply(
            &rig,
            &space,
            put("k", b"3", None, Condition::Version(before)),
        )
        .await;
        assert!(stale.is_err(), "{name}: an old version matches a new entry");
    }
}

#[tokio::test]
async fn expiry_changes_and_ends() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        apply(&rig, &space, put("k", b"1", Some(10), Condition::Always))
            .await
            .expect("stores");
        apply(&rig, &space, expire("k", None))
            .await
            .expect("persists");
        rig.clock.advance_ms(11);
        assert!(
            read(&rig, &space, "k").await.is_some(),
            "{name}: it no longer expires"
        );
        apply(&rig, &space, expire("k", Some(5)))
            .await
            .expect("expires");
        rig.clock.advance_ms(5);
        assert!(
            read(&rig, &space, "k").await.is_none(),
            "{name}: gone at the millisecond"
        );
        let absent = apply(&rig, &space, expire("k", Some(5)))
            .await
            .expect_err("is absent");
        assert_eq!(
            Error::from(absent).code(),
            ErrorCode::CacheKeyNotFound,
            "{name}"
        );
        let deleted = apply(&rig, &space, delete("k", None))
            .await
            .expect("deletes");
        assert_eq!(deleted, Changed::Deleted { existed: false }, "{name}");
    }
}

#[tokio::test]
async fn tenants_and_namespaces_do_not_see_each_other() {
    for (name, rig) in backends() {
        let (ours, other, theirs) = (space("a", "n"), space("a", "m"), space("b", "n"));
        apply(&rig, &ours, put("k", b"ours", None, Condition::Always))
            .await
            .expect("stores");
        assert_eq!(read(&rig, &other, "k").await, None, "{name}");
        assert_eq!(read(&rig, &theirs, "k").await, None, "{name}");
        apply(&rig, &theirs, put("k", b"theirs", None, Condition::Always))
            .await
            .expect("stores");
        assert_eq!(
            read(&rig, &ours, "k").await,
            Some(b"ours".to_vec()),
            "{name}"
        );
        // Names hold colons.
        let (ours, theirs) = (space("a:b", "c"), space("a", "b:c"));
        apply(&rig, &ours, put("k", b"ours", None, Condition::Always))
            .await
            .expect("stores");
        assert_eq!(read(&rig, &theirs, "k").await, None, "{name}");
    }
}

#[tokio::test]
async fn a_batch_each_alone_says_how_each_item_ended() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let changes = vec![
            put("a", b"1", None, Condition::Always),
            put("b", b"1", None, Condition::Present),
            delete("c", Some(7)),
        ];
        let reply = rig.backend.apply(&space, changes, EACH).await;
        let results = reply.expect("answers").answer;
        assert!(results[0].is_ok(), "{name}");
        assert!(
            matches!(
                results[1],
                Err(CacheError::Refused {
                    item: Some(1),
                    refusal: Refusal::Condition { .. }
                })
            ),
            "{name}"
        );
        assert!(
            matches!(
                results[2],
                Err(CacheError::Refused {
                    item: Some(2),
                    refusal: Refusal::KeyNotFound
                })
            ),
            "{name}"
        );
        let found = peek(&rig, &space, &[key("a"), key("b")]).await;
        assert!(found[0].is_found(), "{name}");
        assert_eq!(found[1], Read::Absent, "{name}");
    }
}

#[tokio::test]
async fn statistics_tell_what_is_held() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        for (key, ttl_ms) in [("a", Some(10)), ("b", None), ("c", None)] {
            apply(&rig, &space, put(key, b"12345", ttl_ms, Condition::Always))
                .await
                .expect("stores");
        }
        let stats = rig.backend.stats(&space).await.expect("counts");
        assert_eq!(stats.keys, 3, "{name}");
        assert!(stats.bytes > 3 * 5, "{name}");
        assert!(!stats.sample.is_empty(), "{name}");
        assert!(
            stats.sample.iter().all(|entry| entry.value_bytes == 5),
            "{name}"
        );
        for key in ["b", "c"] {
            apply(&rig, &space, delete(key, None))
                .await
                .expect("deletes");
        }
        rig.clock.advance_ms(10);
        read(&rig, &space, "a").await;
        let stats = rig.backend.stats(&space).await.expect("counts");
        assert_eq!(
            (stats.expired, stats.keys, stats.bytes),
            (1, 0, 0),
            "{name}"
        );
    }
}

#[tokio::test]
async fn memory_stays_inside_its_bound_and_hot_keys_survive() {
    let bytes_max = 1_000_000;
    let rig = memory(bytes_max);
    let space = space("shop", "orders");
    for index in 0..50 {
        let change = put(&format!("hot{index}"), &[7; 500], None, Condition::Always);
        apply(&rig, &space, change).await.expect("stores");
    }
    for index in 0..20_000 {
        let change = put(&format!("cold{index}"), &[7; 500], None, Condition::Always);
        apply(&rig, &space, change).await.expect("stores");
        read(&rig, &space, &format!("hot{}", index % 50)).await;
        assert!(rig.memory().bytes() <= bytes_max);
    }
    let stats = rig.backend.stats(&space).await.expect("counts");
    assert_eq!(stats.bytes, rig.memory().bytes());
    assert!(stats.evicted > 15_000);
    let mut survivors = 0;
    for index in 0..50 {
        survivors += usize::from(read(&rig, &space, &format!("hot{index}")).await.is_some());
    }
    assert!(survivors >= 45, "only {survivors} of 50 hot keys survived");
}

#[tokio::test]
async fn the_sweeper_frees_what_nobody_reads_again() {
    let rig = memory(64 * 1024 * 1024);
    let space = space("shop", "orders");
    for index in 0..5_000 {
        let ttl_ms = (index % 2 == 0).then_some(10);
        apply(
            &rig,
            &space,
            put(&format!("k{index}"), b"v", ttl_ms, Condition::Always),
        )
        .await
        .expect("stores");
    }
    rig.clock.advance_ms(10);
    rig.memory().sweep();
    let stats = rig.backend.stats(&space).await.expect("counts");
    assert_eq!((stats.keys, stats.expired), (2_500, 2_500));
}

#[tokio::test]
async fn namespaces_are_limited() {
    let rig = memory(1_000);
    for name in ["a", "b", "c"] {
        apply(
            &rig,
            &space("shop", name),
            put("k", b"", None, Condition::Always),
        )
        .await
        .expect("stores");
    }
    let refused = apply(
        &rig,
        &space("shop", "d"),
        put("k", b"", None, Condition::Always),
    )
    .await;
    let refused = Error::from(refused.expect_err("is one too many"));
    assert_eq!(refused.code(), ErrorCode::TooLarge);
    assert_eq!(read(&rig, &space("shop", "d"), "k").await, None);
}

#[test]
fn limits_hold_at_the_limit_and_one_past_it() {
    assert!(Key::parse(&"k".repeat(KEY_BYTES_MAX)).is_ok());
    assert_eq!(
        code(Key::parse(&"k".repeat(KEY_BYTES_MAX + 1))),
        ErrorCode::TooLarge
    );
    assert_eq!(code(Key::parse("")), ErrorCode::InvalidArgument);
    assert_eq!(code(Key::parse("a\nb")), ErrorCode::InvalidArgument);
    assert!(Value::parse(vec![0; VALUE_BYTES_MAX].into(), None, None).is_ok());
    assert_eq!(
        code(Value::parse(
            vec![0; VALUE_BYTES_MAX + 1].into(),
            None,
            None
        )),
        ErrorCode::TooLarge
    );
    assert_eq!(
        code(Value::parse(Bytes::new(), Some(""), None)),
        ErrorCode::InvalidArgument
    );
    let ttl_ms_max = i64::try_from(TTL_MS_MAX).expect("fits");
    assert!(Ttl::parse(ttl_ms_max).is_ok());
    for bad in [ttl_ms_max + 1, 0, -1, i64::MIN] {
        assert_eq!(code(Ttl::parse(bad)), ErrorCode::InvalidArgument, "{bad}");
    }
    let keys: Vec<String> = (0..=BATCH_ITEMS_MAX)
        .map(|index| index.to_string())
        .collect();
    assert!(parse_keys(&keys[1..]).is_ok());
    assert_eq!(code(parse_keys(&keys)), ErrorCode::TooLarge);
    let bad = parse_keys(&["a", ""]).expect_err("is empty");
    assert_eq!(bad.violations()[0].field, "keys[1]");
    let none: [&str; 0] = [];
    assert_eq!(code(parse_keys(&none)), ErrorCode::InvalidArgument);
    let twice = check_batch(&[delete("a", None), delete("a", None)]).expect_err("stands twice");
    assert_eq!(twice.violations()[0].field, "items[1].key");
    let large = |name| put(name, &vec![0; VALUE_BYTES_MAX - 1], None, Condition::Always);
    assert!(check_batch(&[large("a"), large("b")]).is_ok());
    assert_eq!(
        code(check_batch(&[large("a"), large("b"), delete("c", None)])),
        ErrorCode::TooLarge
    );
}

#[test]
fn conditions_are_parsed_whole() {
    assert!(Condition::parse(None, None).is_ok());
    assert_eq!(
        Condition::parse(Some("version"), Some(3)).expect("parses"),
        Condition::Version(3)
    );
    for (word, version, field) in [
        (Some("version"), None, "version"),
        (None, Some(3), "version"),
        (Some("absent"), Some(3), "version"),
        (Some("ABSENT"), None, "condition"),
    ] {
        let refused = Condition::parse(word, version).expect_err("is refused");
        assert_eq!(refused.violations()[0].field, field);
    }
}

fn code<T>(result: plinth_core::Result<T>) -> ErrorCode {
    match result {
        Ok(_) => ErrorCode::Internal,
        Err(error) => error.code(),
    }
}
