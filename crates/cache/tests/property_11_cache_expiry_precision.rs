//! Property 11: from the instant of its expiry on an entry is absent, through every way to read it, and never the old
//! value; one millisecond before, it is there.

mod support;

use plinth_cache::model::{Condition, Read};
use proptest::prelude::*;

use support::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_entry_is_gone_at_its_millisecond(
        ttl_ms in 1_i64..5_000_000_000,
        wall_jump_ms in -10_000_000_i64..10_000_000,
    ) {
        for (name, rig) in backends() {
            let space = space("shop", "orders");
            let life = ttl_ms.unsigned_abs();
            block_on(async {
                apply(&rig, &space, put("k", b"v", Some(ttl_ms), Condition::Always)).await.expect("stores");
                // A jump of the wall clock neither shortens nor lengthens a life.
                rig.clock.jump_wall_ms(wall_jump_ms);
                rig.clock.advance_ms(life - 1);
                let last = stands(&rig, &space, "k").await.found();
                assert_eq!(last.and_then(|found| found.ttl_ms), Some(1), "{name}");
                rig.clock.advance_ms(1);
                assert_eq!(read(&rig, &space, "k").await, None, "{name}: get");
                let many = peek(&rig, &space, &[key("k")]).await;
                assert_eq!(many, vec![Read::Absent], "{name}: batch get");
                let present = apply(&rig, &space, put("k", b"w", None, Condition::Present)).await;
                assert!(present.is_err(), "{name}: a condition sees the dead entry");
                let absent = apply(&rig, &space, put("k", b"w", None, Condition::Absent)).await;
                assert!(absent.is_ok(), "{name}: a condition sees the dead entry");
                assert_eq!(read(&rig, &space, "k").await, Some(b"w".to_vec()), "{name}");
            });
        }
    }
}
