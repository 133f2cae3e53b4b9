//! Invalidation by tag, and clearing.

use plinth_cache::model::{Changed, Condition, Put, Read, TAG_BYTES_MAX, TAGS_MAX, Tags};
use plinth_core::ErrorCode;

use crate::support::*;

fn tagged(name: &str, names: &[&str]) -> plinth_cache::model::Change {
    let put = Put {
        tags: tags(names),
        ..plain(b"v")
    };
    store(name, put)
}

#[tokio::test]
async fn an_invalidation_reaches_what_carries_the_tag_and_nothing_else() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        for (key, names) in [
            ("a", &["x", "y"][..]),
            ("b", &["y"]),
            ("c", &["z"]),
            ("d", &[]),
        ] {
            apply(&rig, &space, tagged(key, names))
                .await
                .expect("stores");
        }
        let found = stands(&rig, &space, "a").await.found().expect("lives");
        assert_eq!(found.tags, tags(&["y", "x"]), "{name}");
        rig.backend
            .invalidate_tags(&space, tags(&["x", "unknown"]), None)
            .await
            .expect("invalidates");
        let seen = |keys: &'static [&'static str]| {
            let (rig, space) = (&rig, &space);
            async move {
                let mut seen = Vec::new();
                for key in keys {
                    seen.push(read(rig, space, key).await.is_some());
                }
                seen
            }
        };
        assert_eq!(
            seen(&["a", "b", "c", "d"]).await,
            [false, true, true, true],
            "{name}"
        );
        apply(&rig, &space, tagged("a", &["x"]))
            .await
            .expect("stores again");
        rig.backend
            .invalidate_tags(&space, tags(&["y", "z"]), None)
            .await
            .expect("invalidates");
        assert_eq!(
            seen(&["a", "b", "c", "d"]).await,
            [true, false, false, true],
            "{name}"
        );
    }
}

#[tokio::test]
async fn what_was_invalidated_is_absent_for_conditions_and_changes() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let changed = apply(&rig, &space, tagged("a", &["x"])).await;
        let before = version(&changed.expect("stores"));
        rig.backend
            .invalidate_tags(&space, tags(&["x"]), None)
            .await
            .expect("invalidates");
        for change in [
            put("a", b"w", None, Condition::Version(before)),
            put("a", b"w", None, Condition::Present),
            expire("a", Some(10)),
        ] {
            assert!(apply(&rig, &space, change).await.is_err(), "{name}");
        }
        assert_eq!(
            peek(&rig, &space, &[key("a")]).await,
            [Read::Absent],
            "{name}"
        );
        let gone = apply(&rig, &space, delete("a", None)).await;
        assert_eq!(
            gone.expect("deletes"),
            Changed::Deleted { existed: false },
            "{name}"
        );
        apply(&rig, &space, put("a", b"w", None, Condition::Absent))
            .await
            .expect("stores");
    }
}

#[tokio::test]
async fn changes_of_an_entry_keep_its_tags() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        apply(&rig, &space, tagged("a", &["x"]))
            .await
            .expect("stores");
        apply(&rig, &space, expire("a", Some(1_000)))
            .await
            .expect("expires");
        apply(&rig, &space, touch("a", life(None)))
            .await
            .expect("touches");
        rig.backend
            .invalidate_tags(&space, tags(&["x"]), None)
            .await
            .expect("invalidates");
        assert_eq!(read(&rig, &space, "a").await, None, "{name}");
    }
}

#[tokio::test]
async fn a_clear_removes_everything_of_its_namespace_at_once() {
    for (name, rig) in backends() {
        let (ours, other) = (space("shop", "orders"), space("shop", "carts"));
        for index in 0..500 {
            for space in [&ours, &other] {
                let change = put(&format!("k{index}"), b"v", None, Condition::Always);
                apply(&rig, space, change).await.expect("stores");
            }
        }
        let before = apply(&rig, &ours, put("last", b"v", None, Condition::Always)).await;
        let before = version(&before.expect("stores"));
        let stamp = rig.backend.clear(&ours, None).await.expect("clears");
        assert!(stamp > before, "{name}");
        assert_eq!(read(&rig, &ours, "k0").await, None, "{name}");
        assert_eq!(
            rig.backend.stats(&ours).await.expect("counts").keys,
            0,
            "{name}"
        );
        let old = apply(
            &rig,
            &ours,
            put("last", b"w", None, Condition::Version(before)),
        )
        .await;
        assert!(old.is_err(), "{name}: an old version matches");
        apply(&rig, &ours, put("k0", b"new", None, Condition::Absent))
            .await
            .expect("stores");
        assert_eq!(
            read(&rig, &ours, "k0").await,
            Some(b"new".to_vec()),
            "{name}"
        );
        assert_eq!(
            rig.backend.stats(&other).await.expect("counts").keys,
            500,
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_sweeper_frees_what_a_clear_or_an_invalidation_left() {
    let rig = memory(64 * 1024 * 1024);
    let space = space("shop", "orders");
    for index in 0..300 {
        apply(&rig, &space, tagged(&format!("t{index}"), &["x"]))
            .await
            .expect("stores");
    }
    let with_tag = rig.memory().bytes();
    rig.backend
        .invalidate_tags(&space, tags(&["x"]), None)
        .await
        .expect("invalidates");
    rig.memory().sweep();
    assert!(
        rig.memory().bytes() < with_tag / 100,
        "only the tag is left"
    );
    for index in 0..300 {
        let change = put(&format!("k{index}"), b"v", None, Condition::Always);
        apply(&rig, &space, change).await.expect("stores");
    }
    rig.backend.clear(&space, None).await.expect("clears");
    rig.memory().sweep();
    rig.memory().sweep();
    assert_eq!(rig.memory().bytes(), 0, "nothing of the old number is left");
}

#[test]
fn tags_are_limited_in_number_and_length() {
    let many: Vec<String> = (0..=TAGS_MAX).map(|index| format!("t{index}")).collect();
    assert!(Tags::parse(&many[1..]).is_ok());
    let longest = "t".repeat(TAG_BYTES_MAX);
    assert!(Tags::parse(&[&longest]).is_ok());
    for (texts, code, field) in [
        (many, ErrorCode::TooLarge, "tags"),
        (
            vec!["a".to_owned(), format!("{longest}t")],
            ErrorCode::TooLarge,
            "tags[1]",
        ),
        (vec![String::new()], ErrorCode::InvalidArgument, "tags[0]"),
        (
            vec!["a".to_owned(), "a".to_owned()],
            ErrorCode::InvalidArgument,
            "tags[1]",
        ),
    ] {
        let refused = Tags::parse(&texts).expect_err("is refused");
        assert_eq!(refused.code(), code);
        assert_eq!(refused.violations()[0].field, field);
    }
    let none: [&str; 0] = [];
    assert!(Tags::parse(&none).expect("parses").is_empty());
    assert!(Tags::parse_some(&none).is_err());
}
