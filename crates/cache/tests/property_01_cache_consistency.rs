//! Property 1: a get after a set returns the same value until the expiry, on every backend, for all keys, values and
//! expiries, and whatever else changes the key. Checked against a model that is nothing but a map and a clock.
#![expect(
    clippy::expect_used,
    reason = "the inputs are written in the tests; a bad one is a fault of the test"
)]

mod support;

use std::collections::HashMap;

use plinth_cache::model::{
    Append, Bounds, Change, ChangeKind, Condition, Content, ContentType, End, Increment, Life, Put,
};
use proptest::prelude::*;

use support::*;

/// Keys of values, 0 to 11, and of counters, from 12 on.
const KEYS: u8 = 15;

#[derive(Clone, Debug)]
enum Step {
    Set {
        key: u8,
        value: Vec<u8>,
        ttl_ms: Option<i64>,
        tag: Option<u8>,
    },
    Slide {
        key: u8,
        idle_ms: i64,
        limit_ms: i64,
    },
    KnownAbsent {
        key: u8,
    },
    Delete {
        key: u8,
    },
    Expire {
        key: u8,
        ttl_ms: Option<i64>,
    },
    Touch {
        key: u8,
        ttl_ms: Option<i64>,
    },
    Append {
        key: u8,
        bytes: Vec<u8>,
        ttl_ms: Option<i64>,
    },
    Count {
        key: u8,
        delta: i64,
        ttl_ms: Option<i64>,
    },
    Invalidate {
        tag: u8,
    },
    Clear,
    Advance {
        ms: u64,
    },
    Sweep,
}

fn ttl() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![1 => Just(None), 3 => (1_i64..40).prop_map(Some)]
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..64);
    let tag = prop_oneof![1 => Just(None), 1 => (0_u8..3).prop_map(Some)];
    prop_oneof![
        4 => (0_u8..12, bytes(), ttl(), tag)
            .prop_map(|(key, value, ttl_ms, tag)| Step::Set { key, value, ttl_ms, tag }),
        1 => (0_u8..12, 1_i64..20, 20_i64..60)
            .prop_map(|(key, idle_ms, limit_ms)| Step::Slide { key, idle_ms, limit_ms }),
        1 => (0_u8..12).prop_map(|key| Step::KnownAbsent { key }),
        1 => (0_u8..KEYS).prop_map(|key| Step::Delete { key }),
        1 => (0_u8..12, ttl()).prop_map(|(key, ttl_ms)| Step::Expire { key, ttl_ms }),
        1 => (0_u8..12, ttl()).prop_map(|(key, ttl_ms)| Step::Touch { key, ttl_ms }),
        2 => (0_u8..12, bytes(), ttl())
            .prop_map(|(key, bytes, ttl_ms)| Step::Append { key, bytes, ttl_ms }),
        2 => (12_u8..KEYS, -9_i64..9, ttl())
            .prop_map(|(key, delta, ttl_ms)| Step::Count { key, delta, ttl_ms }),
        1 => (0_u8..3).prop_map(|tag| Step::Invalidate { tag }),
        1 => Just(Step::Clear),
        2 => (0_u64..30).prop_map(|ms| Step::Advance { ms }),
        1 => Just(Step::Sweep),
    ]
}

#[derive(Clone)]
struct Entry {
    value: Vec<u8>,
    until: Option<u64>,
    /// Idle time and the instant that it never passes.
    slides: Option<(u64, u64)>,
    tag: Option<u8>,
}

#[derive(Default)]
struct Model {
    entries: HashMap<u8, Entry>,
    now: u64,
}

impl Model {
    fn live(&mut self, key: u8) -> Option<&mut Entry> {
        let now = self.now;
        let entry = self.entries.get_mut(&key)?;
        entry.until.is_none_or(|until| now < until).then_some(entry)
    }

    /// A read begins a sliding life anew.
    fn read(&mut self, key: u8) -> Option<Vec<u8>> {
        let now = self.now;
        let entry = self.live(key)?;
        if let Some((idle, limit)) = entry.slides {
            entry.until = Some(limit.min(now + idle));
        }
        Some(entry.value.clone())
    }

    fn until(&self, ttl_ms: Option<i64>) -> Option<u64> {
        ttl_ms.map(|ttl| self.now + ttl.unsigned_abs())
    }

    fn set(&mut self, key: u8, value: Vec<u8>, until: Option<u64>, tag: Option<u8>) {
        let entry = Entry {
            value,
            until,
            slides: None,
            tag,
        };
        self.entries.insert(key, entry);
    }

    fn renew(&mut self, key: u8, ttl_ms: Option<i64>) {
        let until = self.until(ttl_ms);
        if let Some(entry) = self.live(key) {
            (entry.until, entry.slides) = (until, None);
        }
    }

    fn take(&mut self, step: &Step) {
        match step.clone() {
            Step::Set {
                key,
                value,
                ttl_ms,
                tag,
            } => self.set(key, value, self.until(ttl_ms), tag),
            Step::Slide {
                key,
                idle_ms,
                limit_ms,
            } => {
                let (idle, limit) = (idle_ms.unsigned_abs(), self.now + limit_ms.unsigned_abs());
                self.set(
                    key,
                    b"slides".to_vec(),
                    Some(limit.min(self.now + idle)),
                    None,
                );
                if let Some(entry) = self.live(key) {
                    entry.slides = Some((idle, limit));
                }
            }
            Step::KnownAbsent { key } | Step::Delete { key } => drop(self.entries.remove(&key)),
            Step::Expire { key, ttl_ms } | Step::Touch { key, ttl_ms } => self.renew(key, ttl_ms),
            Step::Append { key, bytes, ttl_ms } => {
                let until = self.until(ttl_ms);
                match self.live(key) {
                    Some(entry) => entry.value.extend(bytes),
                    None => self.set(key, bytes, until, None),
                }
            }
            Step::Count { key, delta, ttl_ms } => {
                let until = self.until(ttl_ms);
                match self.live(key) {
                    Some(entry) => {
                        let number = String::from_utf8_lossy(&entry.value).parse::<i64>();
                        let sum = number.expect("a counter") + delta;
                        entry.value = sum.to_string().into_bytes();
                    }
                    None => self.set(key, delta.to_string().into_bytes(), until, None),
                }
            }
            Step::Invalidate { tag } => self.entries.retain(|_, entry| entry.tag != Some(tag)),
            Step::Clear => self.entries.clear(),
            Step::Advance { ms } => self.now += ms,
            Step::Sweep => {}
        }
    }
}

fn change(key: u8, kind: ChangeKind) -> Change {
    let named = delete(&format!("k{key}"), None);
    Change { kind, ..named }
}

async fn take(rig: &Rig, step: &Step) {
    let space = space("shop", "orders");
    let change = match step {
        Step::Set {
            key,
            value,
            ttl_ms,
            tag,
        } => {
            let names: Vec<String> = tag.iter().map(|tag| format!("t{tag}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let put = Put {
                life: life(*ttl_ms),
                tags: tags(&names),
                ..plain(value)
            };
            store(&format!("k{key}"), put)
        }
        Step::Slide {
            key,
            idle_ms,
            limit_ms,
        } => {
            let life = Life {
                end: End::After(ttl_of(*limit_ms)),
                idle: Some(ttl_of(*idle_ms)),
                fresh_ms: None,
            };
            let put = Put {
                life,
                ..plain(b"slides")
            };
            store(&format!("k{key}"), put)
        }
        Step::KnownAbsent { key } => {
            let put = Put {
                content: Content::KnownAbsent,
                life: life(Some(5)),
                ..plain(b"")
            };
            store(&format!("k{key}"), put)
        }
        Step::Delete { key } => delete(&format!("k{key}"), None),
        Step::Expire { key, ttl_ms } => expire(&format!("k{key}"), *ttl_ms),
        Step::Touch { key, ttl_ms } => touch(&format!("k{key}"), life(*ttl_ms)),
        Step::Append { key, bytes, ttl_ms } => {
            let append = Append {
                bytes: bytes.clone().into(),
                content_type: ContentType::parse(None).expect("a type"),
                condition: Condition::Always,
                created: life(*ttl_ms),
                renewed: None,
            };
            change(*key, ChangeKind::Append(append))
        }
        Step::Count { key, delta, ttl_ms } => {
            let increment = Increment {
                delta: *delta,
                initial: Some(0),
                bounds: Bounds::parse(None, None).expect("bounds"),
                created: life(*ttl_ms),
                renewed: None,
            };
            change(*key, ChangeKind::Increment(increment))
        }
        Step::Invalidate { tag } => {
            let names = format!("t{tag}");
            let stamp = rig.backend.invalidate_tags(&space, tags(&[&names]), None);
            stamp.await.expect("invalidates");
            return;
        }
        Step::Clear => {
            rig.backend.clear(&space, None).await.expect("clears");
            return;
        }
        Step::Advance { ms } => return rig.clock.advance_ms(*ms),
        Step::Sweep => return rig.sweep(),
    };
    // An expiry of an absent key is refused, which the model knows as doing nothing.
    let _refused = apply(rig, &space, change).await.is_err();
}

fn ttl_of(ttl_ms: i64) -> plinth_cache::model::Ttl {
    support::ttl(ttl_ms)
}

fn check(rigs: Vec<(&'static str, Rig)>, steps: &[Step]) -> Result<(), TestCaseError> {
    for (name, rig) in rigs {
        let mut model = Model::default();
        for step in steps {
            model.take(step);
            let space = space("shop", "orders");
            let found = block_on(async {
                take(&rig, step).await;
                let mut found = Vec::new();
                for key in 0..KEYS {
                    found.push(read(&rig, &space, &format!("k{key}")).await);
                }
                found
            });
            for (key, found) in (0..KEYS).zip(found) {
                prop_assert_eq!(
                    found,
                    model.read(key),
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
