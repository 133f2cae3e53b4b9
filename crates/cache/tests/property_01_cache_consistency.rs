//! Property 1: a get after a set returns the same value until the expiry, on every backend, for all keys, values and
//! expiries. Checked against a model that is nothing but a map and a clock.

mod support;

use std::collections::HashMap;

use plinth_cache::model::Condition;
use proptest::prelude::*;

use support::*;

#[derive(Clone, Debug)]
enum Step {
    Set {
        key: u8,
        value: Vec<u8>,
        ttl_ms: Option<i64>,
    },
    Delete {
        key: u8,
    },
    Expire {
        key: u8,
        ttl_ms: Option<i64>,
    },
    Advance {
        ms: u64,
    },
    Sweep,
}

fn ttl() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 3 => (1_i64..40).prop_map(Some)]
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..64);
    prop_oneof![
        4 => (0_u8..12, bytes, ttl()).prop_map(|(key, value, ttl_ms)| Step::Set { key, value, ttl_ms }),
        1 => (0_u8..12).prop_map(|key| Step::Delete { key }),
        1 => (0_u8..12, ttl()).prop_map(|(key, ttl_ms)| Step::Expire { key, ttl_ms }),
        2 => (0_u64..30).prop_map(|ms| Step::Advance { ms }),
        1 => Just(Step::Sweep),
    ]
}

#[derive(Default)]
struct Model {
    entries: HashMap<u8, (Vec<u8>, Option<u64>)>,
    now: u64,
}

impl Model {
    fn live(&self, key: u8) -> Option<&Vec<u8>> {
        let (value, until) = self.entries.get(&key)?;
        until.is_none_or(|until| self.now < until).then_some(value)
    }

    fn until(&self, ttl_ms: Option<i64>) -> Option<u64> {
        ttl_ms.map(|ttl| self.now + ttl.unsigned_abs())
    }

    fn take(&mut self, step: &Step) {
        match step.clone() {
            Step::Set { key, value, ttl_ms } => {
                self.entries.insert(key, (value, self.until(ttl_ms)));
            }
            Step::Delete { key } => drop(self.entries.remove(&key)),
            Step::Expire { key, ttl_ms } => {
                if let Some(value) = self.live(key).cloned() {
                    self.entries.insert(key, (value, self.until(ttl_ms)));
                }
            }
            Step::Advance { ms } => self.now += ms,
            Step::Sweep => {}
        }
    }
}

async fn take(rig: &Rig, step: &Step) {
    let space = space("shop", "orders");
    let change = match step {
        Step::Set { key, value, ttl_ms } => {
            put(&format!("k{key}"), value, *ttl_ms, Condition::Always)
        }
        Step::Delete { key } => delete(&format!("k{key}"), None),
        Step::Expire { key, ttl_ms } => expire(&format!("k{key}"), *ttl_ms),
        Step::Advance { ms } => return rig.clock.advance_ms(*ms),
        Step::Sweep => return rig.sweep(),
    };
    // An expiry of an absent key is refused, which the model knows as doing nothing.
    let _refused = apply(rig, &space, change).await.is_err();
}

fn check(rigs: Vec<(&'static str, Rig)>, steps: &[Step]) -> Result<(), TestCaseError> {
    for (name, rig) in rigs {
        let mut model = Model::default();
        for step in steps {
            model.take(step);
            let space = space("shop", "orders");
            let keys: Vec<_> = (0..12).map(|index| key(&format!("k{index}"))).collect();
            let found = block_on(async {
                take(&rig, step).await;
                let mut found = Vec::new();
                for stands in peek(&rig, &space, &keys).await {
                    found.push(stands.found().map(|found| found.value.bytes.to_vec()));
                }
                let alone = read(&rig, &space, "k0").await;
                assert_eq!(
                    found.first(),
                    Some(&alone),
                    "{name}: a get and a batch get agree"
                );
                found
            });
            for (key, found) in (0..12).zip(found) {
                prop_assert_eq!(
                    found.as_ref(),
                    model.live(key),
                    "{}: k{} after {:?}",
                    name,
                    key,
                    step
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_get_returns_what_was_set_until_its_expiry(steps in proptest::collection::vec(step(), 1..80)) {
        check(memory_backends(), &steps)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_get_from_redis_returns_what_was_set_until_its_expiry(steps in proptest::collection::vec(step(), 1..80)) {
        check(redis_backends(), &steps)?;
    }
}
