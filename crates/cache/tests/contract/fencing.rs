//! Fences: a write under a lock that was granted again is refused.

use plinth_cache::model::{Atomicity, Change, Condition, Guard, Space};
use plinth_core::{Error, ErrorCode, Fence};

use crate::support::*;

fn under(token: i64) -> Guard {
    Guard {
        atomicity: Atomicity::AllOrNothing,
        fence: Some(Fence::parse("review", token).expect("a fence")),
        once: None,
    }
}

async fn write(rig: &Rig, space: &Space, change: Change, guard: Guard) -> Result<(), Error> {
    let done = rig.backend.apply(space, vec![change], guard).await;
    done.map(|_| ()).map_err(Error::from)
}

#[tokio::test]
async fn a_lower_token_is_refused_and_changes_nothing() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let set = |value: &[u8]| put("k", value, None, Condition::Always);
        write(&rig, &space, set(b"5"), under(5))
            .await
            .expect("first");
        write(&rig, &space, set(b"5 again"), under(5))
            .await
            .expect("the same holder");
        let refused = write(&rig, &space, set(b"4"), under(4)).await;
        let refused = refused.expect_err("was overtaken");
        assert_eq!(refused.code(), ErrorCode::PreconditionFailed, "{name}");
        assert_eq!(refused.violations()[0].field, "fence.token", "{name}");
        assert_eq!(
            read(&rig, &space, "k").await,
            Some(b"5 again".to_vec()),
            "{name}"
        );
        write(&rig, &space, set(b"6"), under(6))
            .await
            .expect("next");
        assert!(
            write(&rig, &space, set(b"5"), under(5)).await.is_err(),
            "{name}"
        );
        let other = Guard {
            fence: Some(Fence::parse("other", 1).expect("a fence")),
            ..under(1)
        };
        write(&rig, &space, set(b"o"), other)
            .await
            .expect("another name");
    }
}

#[tokio::test]
async fn a_refused_write_does_not_raise_the_token() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let refused = put("k", b"9", None, Condition::Present);
        assert!(
            write(&rig, &space, refused, under(9)).await.is_err(),
            "{name}"
        );
        let set = put("k", b"5", None, Condition::Always);
        write(&rig, &space, set, under(5)).await.expect("stores");
    }
}

#[tokio::test]
async fn clears_and_invalidations_are_fenced_and_fences_outlive_them() {
    for (name, rig) in backends() {
        let space = space("shop", "orders");
        let fence = |token| Some(Fence::parse("review", token).expect("a fence"));
        rig.backend.clear(&space, fence(5)).await.expect("clears");
        assert!(rig.backend.clear(&space, fence(4)).await.is_err(), "{name}");
        let stale = rig
            .backend
            .invalidate_tags(&space, tags(&["x"]), fence(4))
            .await;
        assert!(stale.is_err(), "{name}");
        rig.backend
            .invalidate_tags(&space, tags(&["x"]), fence(6))
            .await
            .expect("invalidates");
        let set = put("k", b"v", None, Condition::Always);
        assert!(
            write(&rig, &space, set, under(5)).await.is_err(),
            "{name}: a clear keeps the tokens"
        );
    }
}
