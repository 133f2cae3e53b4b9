//! Changes under an idempotency key.

use bytes::Bytes;
use plinth_cache::CacheError;
use plinth_cache::model::{
    Append, Bounds, Change, ChangeKind, Changed, Condition, ContentType, Guard, Increment, Once,
    Space,
};
use plinth_core::{Error, ErrorCode};

use crate::support::*;

fn once(id: &str, request: u8) -> Guard {
    Guard {
        once: Some(Once {
            id: id.to_owned(),
            fingerprint: [request; 32],
            length: None,
        }),
        ..ALL
    }
}

fn count(delta: i64) -> Change {
    Change {
        key: key("n"),
        kind: ChangeKind::Increment(Increment {
            delta,
            initial: Some(0),
            bounds: Bounds::parse(None, Some(9_000)).expect("bounds"),
            created: life(Some(50_000)),
            renewed: None,
        }),
    }
}

fn grow(condition: Condition) -> Change {
    Change {
        key: key("log"),
        kind: ChangeKind::Append(Append {
            bytes: Bytes::from_static(b"abc"),
            content_type: ContentType::default(),
            condition,
            created: life(None),
            renewed: None,
        }),
    }
}

async fn make(
    rig: &Rig,
    space: &Space,
    change: Change,
    guard: Guard,
) -> Result<Changed, CacheError> {
    let reply = rig.backend.apply(space, vec![change], guard).await?;
    reply.answer.into_iter().next().expect("one answer")
}

fn code(made: Result<Changed, CacheError>) -> ErrorCode {
    Error::from(made.expect_err("is refused")).code()
}

#[tokio::test]
async fn a_change_under_a_key_is_made_once_and_its_answer_told_again() {
    for (name, rig) in backends() {
        let (here, there) = (space("shop", "once"), space("shop", "elsewhere"));
        let first = make(&rig, &here, count(5), once("a", 1))
            .await
            .expect("counts");
        assert!(
            matches!(first, Changed::Counted { number: 5, stored } if stored.expires_at_ms.is_some()),
            "{name}: {first:?}"
        );
        rig.clock.advance_ms(7);
        let again = make(&rig, &here, count(5), once("a", 1))
            .await
            .expect("is told");
        assert_eq!(again, first, "{name}");
        let other = code(make(&rig, &here, count(6), once("a", 2)).await);
        assert_eq!(other, ErrorCode::Conflict, "{name}");
        // The key counts in its namespace, and for who sent it.
        for (space, id) in [(&there, "a"), (&here, "b")] {
            let made = make(&rig, space, count(5), once(id, 1)).await;
            let number = if id == "a" { 5 } else { 10 };
            assert!(
                matches!(made, Ok(Changed::Counted { number: found, .. }) if found == number),
                "{name}: {made:?}"
            );
        }
        let grown = make(&rig, &here, grow(Condition::Absent), once("c", 1)).await;
        let grown = grown.expect("grows");
        assert!(
            matches!(grown, Changed::Appended { length: 3, .. }),
            "{name}: {grown:?}"
        );
        // The condition does not hold any more, and the value is gone: the answer is still the first one.
        let again = make(&rig, &here, grow(Condition::Absent), once("c", 1)).await;
        assert_eq!(again.expect("is told"), grown, "{name}");
        rig.backend.clear(&here, None).await.expect("clears");
        let again = make(&rig, &here, grow(Condition::Absent), once("c", 1)).await;
        assert_eq!(again.expect("is told"), grown, "{name}");
        assert_eq!(read(&rig, &here, "log").await, None, "{name}");
    }
}

#[tokio::test]
async fn a_refusal_is_not_kept_under_a_key() {
    for (name, rig) in backends() {
        let space = space("shop", "once");
        let refused = code(make(&rig, &space, count(9_001), once("a", 1)).await);
        assert_eq!(refused, ErrorCode::CacheOutOfBounds, "{name}");
        make(&rig, &space, count(-1), ALL).await.expect("counts");
        let made = make(&rig, &space, count(9_001), once("a", 1)).await;
        assert!(
            matches!(made, Ok(Changed::Counted { number: 9_000, .. })),
            "{name}: {made:?}"
        );
    }
}

#[tokio::test]
async fn a_restart_forgets_answers_in_memory_and_no_answer_in_redis() {
    let space = space("shop", "once");
    let counted = async |rig: &Rig| {
        let made = make(rig, &space, count(5), once("a", 1)).await;
        match made.expect("counts") {
            Changed::Counted { number, stored } => (number, stored.version),
            other => panic!("{other:?}"),
        }
    };
    // In memory the counter goes with the answers, so that a repeat counts once from the beginning.
    let (before, after) = (memory(1_000_000), memory(1_000_000));
    let (first, _) = counted(&before).await;
    assert_eq!(counted(&after).await.0, first);
    for (name, url) in redis_urls() {
        let prefix = key_prefix();
        let first = counted(&redis_over(&url, &prefix)).await;
        // Another process, or the same one after a restart: another link under the same prefix.
        assert_eq!(counted(&redis_over(&url, &prefix)).await, first, "{name}");
        let other = make(&redis_over(&url, &prefix), &space, count(6), once("a", 2)).await;
        assert_eq!(code(other), ErrorCode::Conflict, "{name}");
    }
}
