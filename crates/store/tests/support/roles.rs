//! Rules over roles hold in the store's own transaction: two instances on one database change one tenant at once.

use std::sync::Arc;

use plinth_core::access::AccessDirectory as _;
use plinth_core::{Error, ErrorCode, RoleName};

use super::access::{anything, binding, new_key, page, principal, shop, tenant};
use super::backend::Fixture;

/// Races at a behaviour.
const ROUNDS: usize = 10;

pub(crate) async fn of_the_last_two_holders_one_stays(fixture: Arc<Fixture>) {
    shop(&fixture).await;
    let (one, shop) = (&fixture.store, tenant("shop"));
    let other = fixture.open_again().await.expect("opens again");
    let robot = new_key("k2", "shop", "robot");
    one.create_key(&robot, &anything, None)
        .await
        .expect("creates");
    let (admin, robot) = (principal("admin"), principal("robot"));
    for round in 0..ROUNDS {
        let ended = tokio::join!(
            one.unbind_role(&shop, &admin, "owner", true),
            other.unbind_role(&shop, &robot, "owner", true),
        );
        let kept = match ended {
            (Ok(true), Err(error)) | (Err(error), Ok(true)) => error,
            ended => panic!("round {round}: {ended:?}"),
        };
        assert_eq!(kept.code(), ErrorCode::Conflict, "round {round}: {kept}");
        let held = one
            .bindings(&shop, None, None, page(10))
            .await
            .expect("lists");
        let owners = held.iter().filter(|held| &*held.role == "owner").count();
        assert_eq!(owners, 1, "round {round}");
        for holder in ["admin", "robot"] {
            let owner = binding(holder, "owner");
            let again = one.bind_role(&shop, &owner, &anything).await;
            again.expect("binds");
        }
    }
    // Who holds nothing loses nothing, and where it need not stay the last one goes.
    let nobody = principal("nobody");
    let absent = one.unbind_role(&shop, &nobody, "owner", true).await;
    assert!(!absent.expect("nothing to unbind"));
    assert!(
        one.unbind_role(&shop, &admin, "owner", true)
            .await
            .expect("one of two")
    );
    assert!(
        one.unbind_role(&shop, &robot, "owner", false)
            .await
            .expect("the last")
    );
    other.close().await;
}

pub(crate) async fn a_rule_sees_what_the_other_instance_has_just_given(fixture: Arc<Fixture>) {
    shop(&fixture).await;
    let (one, shop, admin) = (&fixture.store, tenant("shop"), principal("admin"));
    let other = fixture.open_again().await.expect("opens again");
    let apart = |held: &[RoleName]| {
        let powers = ["system-admin", "audit-admin"];
        if held.iter().any(|role| powers.contains(&&**role)) {
            return Err(Error::conflict("these powers are separated"));
        }
        Ok(())
    };
    for round in 0..ROUNDS {
        // By a binding here, and by a key that brings the role along there.
        let mut key = new_key(&format!("r{round}"), "shop", "admin");
        key.roles = vec!["audit-admin".into()];
        let system = binding("admin", "system-admin");
        let (bound, made) = tokio::join!(
            one.bind_role(&shop, &system, &apart),
            other.create_key(&key, &apart, None),
        );
        let (bound, made) = (bound.map(drop), made.map(drop));
        let refused = match (bound, made) {
            (Ok(()), Err(error)) | (Err(error), Ok(())) => error,
            ended => panic!("round {round}: {ended:?}"),
        };
        assert_eq!(
            refused.code(),
            ErrorCode::Conflict,
            "round {round}: {refused}"
        );
        for role in ["system-admin", "audit-admin"] {
            let unbound = one.unbind_role(&shop, &admin, role, false).await;
            unbound.expect("unbinds");
        }
    }
    other.close().await;
}
