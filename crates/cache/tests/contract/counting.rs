//! Counters and values that grow.

use bytes::Bytes;
use plinth_cache::CacheError;
use plinth_cache::model::{
    Append, Bounds, Change, ChangeKind, Changed, Condition, Content, ContentType, Encoding,
    Increment, Put, VALUE_BYTES_MAX, Value,
};
use plinth_core::{Error, ErrorCode};

use crate::support::*;

fn by(delta: i64, initial: Option<i64>) -> Increment {
    Increment {
        delta,
        initial,
        bounds: Bounds::parse(None, None).expect("bounds"),
        created: life(Some(100)),
        renewed: None,
    }
}

fn count(increment: Increment) -> Change {
    Change {
        key: key("n"),
        kind: ChangeKind::Increment(increment),
    }
}

fn grow(bytes: &[u8], condition: Condition) -> Change {
    Change {
        key: key("log"),
        kind: ChangeKind::Append(Append {
            bytes: Bytes::copy_from_slice(bytes),
            content_type: ContentType::parse(Some("text/csv")).expect("parses"),
            condition,
            created: life(Some(100)),
            renewed: None,
        }),
    }
}

fn number(changed: Result<Changed, CacheError>) -> Result<i64, ErrorCode> {
    match changed {
        Ok(Changed::Counted { number, .. }) => Ok(number),
        Ok(_) => Err(ErrorCode::Internal),
        Err(error) => Err(Error::from(error).code()),
    }
}

#[tokio::test]
async fn a_counter_is_made_counted_and_kept_in_its_bounds() {
    for (name, rig) in backends() {
        let space = space("shop", "stock");
        let absent = number(apply(&rig, &space, count(by(1, None))).await);
        assert_eq!(absent, Err(ErrorCode::CacheKeyNotFound), "{name}");
        let created = number(apply(&rig, &space, count(by(5, Some(10)))).await);
        assert_eq!(created, Ok(15), "{name}");
        let found = stands(&rig, &space, "n").await.found().expect("lives");
        assert_eq!(found.value.bytes.as_ref(), b"15", "{name}");
        assert_eq!(found.value.content_type.as_str(), "text/plain", "{name}");
        let bounded = |delta| Increment {
            bounds: Bounds::parse(Some(0), Some(20)).expect("bounds"),
            ..by(delta, None)
        };
        assert_eq!(
            number(apply(&rig, &space, count(bounded(5))).await),
            Ok(20),
            "{name}"
        );
        for delta in [1, -21] {
            let refused = apply(&rig, &space, count(bounded(delta))).await;
            let refused = Error::from(refused.expect_err("is refused"));
            assert_eq!(refused.code(), ErrorCode::CacheOutOfBounds, "{name}");
            assert_eq!(refused.details()["number"], "20", "{name}");
        }
        assert_eq!(
            number(apply(&rig, &space, count(by(-45, None))).await),
            Ok(-25),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_counter_holds_every_64_bit_integer_and_refuses_to_wrap() {
    for (name, rig) in backends() {
        let space = space("shop", "stock");
        let most = number(apply(&rig, &space, count(by(0, Some(i64::MAX)))).await);
        assert_eq!(most, Ok(i64::MAX), "{name}");
        let wrapped = number(apply(&rig, &space, count(by(1, None))).await);
        assert_eq!(wrapped, Err(ErrorCode::CacheOutOfBounds), "{name}");
        let less = number(apply(&rig, &space, count(by(-1, None))).await);
        assert_eq!(less, Ok(i64::MAX - 1), "{name}: not a number of doubles");
        apply(
            &rig,
            &space,
            put(
                "n",
                i64::MIN.to_string().as_bytes(),
                None,
                Condition::Always,
            ),
        )
        .await
        .expect("stores");
        let wrapped = number(apply(&rig, &space, count(by(-1, None))).await);
        assert_eq!(wrapped, Err(ErrorCode::CacheOutOfBounds), "{name}");
    }
}

#[tokio::test]
async fn an_increment_keeps_the_expiry_unless_asked() {
    for (name, rig) in backends() {
        let space = space("shop", "stock");
        let created = apply(&rig, &space, count(by(1, Some(0)))).await;
        let end = stored(&created.expect("creates")).expires_at_ms;
        rig.clock.advance_ms(60);
        let kept = apply(&rig, &space, count(by(1, Some(0)))).await;
        assert_eq!(stored(&kept.expect("counts")).expires_at_ms, end, "{name}");
        let renewed = Increment {
            renewed: Some(life(Some(100))),
            ..by(1, None)
        };
        let renewed = apply(&rig, &space, count(renewed)).await;
        assert_eq!(
            stored(&renewed.expect("counts")).expires_at_ms,
            end.map(|end| end + 60),
            "{name}"
        );
        rig.clock.advance_ms(100);
        assert_eq!(
            number(apply(&rig, &space, count(by(1, Some(0)))).await),
            Ok(1),
            "{name}: begins again"
        );
    }
}

#[tokio::test]
async fn only_a_decimal_integer_counts() {
    for (name, rig) in backends() {
        let space = space("shop", "stock");
        for text in [
            "",
            "a",
            "1.5",
            "+1",
            "01",
            " 1",
            "-0",
            "9223372036854775808",
        ] {
            apply(
                &rig,
                &space,
                put("n", text.as_bytes(), None, Condition::Always),
            )
            .await
            .expect("stores");
            let refused = number(apply(&rig, &space, count(by(1, Some(0)))).await);
            assert_eq!(refused, Err(ErrorCode::CacheNotANumber), "{name}: {text:?}");
        }
        apply(&rig, &space, put("n", b"-41", None, Condition::Always))
            .await
            .expect("stores");
        assert_eq!(
            number(apply(&rig, &space, count(by(42, None))).await),
            Ok(1),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_value_grows_to_its_limit_and_not_past_it() {
    for (name, rig) in backends() {
        let space = space("shop", "logs");
        let first = apply(&rig, &space, grow(b"a,", Condition::Absent)).await;
        let Changed::Appended { length: 2, .. } = first.expect("creates") else {
            panic!("{name}: has another length");
        };
        apply(&rig, &space, grow(b"b", Condition::Present))
            .await
            .expect("appends");
        let found = stands(&rig, &space, "log").await.found().expect("lives");
        assert_eq!(found.value.bytes.as_ref(), b"a,b", "{name}");
        assert_eq!(found.value.content_type.as_str(), "text/csv", "{name}");
        assert_eq!(found.ttl_ms, Some(100), "{name}");
        assert!(
            apply(&rig, &space, grow(b"c", Condition::Absent))
                .await
                .is_err()
        );
        let rest = vec![7; VALUE_BYTES_MAX - 3];
        apply(&rig, &space, grow(&rest, Condition::Always))
            .await
            .expect("fills it up");
        let past = apply(&rig, &space, grow(b"x", Condition::Always)).await;
        let past = Error::from(past.expect_err("is past the limit"));
        assert_eq!(past.code(), ErrorCode::TooLarge, "{name}");
        let length = read(&rig, &space, "log").await.map(|value| value.len());
        assert_eq!(length, Some(VALUE_BYTES_MAX), "{name}: nothing changed");
    }
}

#[tokio::test]
async fn an_encoded_value_is_not_grown_in_place() {
    for (name, rig) in backends() {
        let space = space("shop", "logs");
        let put = Put {
            content: Content::Value(Value {
                encoding: Encoding::Zstd,
                ..value(b"frame")
            }),
            ..plain(b"")
        };
        let changed = apply(&rig, &space, store("log", put)).await;
        let before = version(&changed.expect("stores"));
        let refused = apply(&rig, &space, grow(b"x", Condition::Always)).await;
        assert!(
            matches!(refused, Err(CacheError::Encoded { version }) if version == before),
            "{name}"
        );
        let found = stands(&rig, &space, "log").await.found().expect("lives");
        assert_eq!(found.value.encoding, Encoding::Zstd, "{name}");
    }
}
