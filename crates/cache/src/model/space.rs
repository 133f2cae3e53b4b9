//! What a backend is told of a namespace beside its name.

use plinth_core::Error;
use plinth_redis_link::slot_of;

use super::change::Change;
use super::name::{Key, Scope};

/// Parts of a namespace that is spread. Never changes: it decides where a key lies.
pub const PARTITIONS: u16 = 64;

/// A namespace with the part of its definition that a backend needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// Which one.
    pub scope: Scope,
    /// How the backend treats it.
    pub policy: Policy,
}

impl Space {
    /// The part in which a key lies: its slot in a Redis cluster by [`PARTITIONS`], so that keys with the same text in braces lie
    /// together. `None` where all do.
    #[must_use]
    pub fn partition_of(&self, key: &Key) -> Option<u16> {
        match self.policy.placement {
            Placement::Together => None,
            Placement::Spread => Some(slot_of(key.as_str().as_bytes()).get() % PARTITIONS),
        }
    }

    /// How much of a quota each part may use; the last keys of a quota may so be left unused.
    #[must_use]
    pub fn share(&self, most: u64) -> u64 {
        match self.policy.placement {
            Placement::Together => most,
            Placement::Spread => most / u64::from(PARTITIONS),
        }
    }

    /// Checks that changes can be one step. Errors: 1011 naming `items[i].key` of the first that lies in another part than the
    /// first one.
    pub fn check_one_step<L>(&self, changes: &[Change<L>]) -> Result<(), Error> {
        let mut parts = changes.iter().map(|change| self.partition_of(&change.key));
        let first = parts.next().flatten();
        let Some(place) = parts.position(|part| part != first) else {
            return Ok(());
        };
        let refusal = "the namespace is spread: a batch that is all or nothing holds keys of one partition, such as those with the same text in braces";
        let rule = "lies in another partition than items[0].key";
        Err(Error::unsupported(refusal).with_violation(format!("items[{}].key", place + 1), rule))
    }
}

/// How a backend treats a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Where its keys lie.
    pub placement: Placement,
    /// How much it may hold.
    pub quota: Quota,
}

/// Where the keys of a namespace lie. Does not change while the namespace holds anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Together, so that a batch can be all or nothing.
    #[default]
    Together,
    /// In [`PARTITIONS`] parts by key, each as a namespace of its own that can lie on another node: more than one node can hold,
    /// but what concerns several parts is no one step, and an atomic batch over several is refused (1011).
    Spread,
}

/// How much a namespace may hold; a change that would pass it is refused (2004) and changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Most keys; `None` is no limit of its own.
    pub keys_max: Option<u64>,
    /// Most bytes of keys, values and bookkeeping; `None` is no limit of its own.
    pub bytes_max: Option<u64>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::change::ChangeKind;
    use super::super::name::Namespace;
    use super::*;

    fn spread() -> Space {
        Space {
            scope: Scope {
                tenant: plinth_core::TenantId::parse("shop").expect("a tenant"),
                namespace: Namespace::parse("orders").expect("a namespace"),
            },
            policy: Policy {
                placement: Placement::Spread,
                ..Policy::default()
            },
        }
    }

    fn key(text: &str) -> Key {
        Key::parse(text).expect("a key")
    }

    #[test]
    fn a_key_lies_where_it_always_lay_and_many_lie_evenly() {
        let space = spread();
        // By `CLUSTER KEYSLOT`, modulo 64.
        for (text, part) in [
            ("foo", 12_182 % 64),
            ("123456789", 12_739 % 64),
            ("{foo}.bar", 12_182 % 64),
        ] {
            assert_eq!(space.partition_of(&key(text)), Some(part), "{text}");
        }
        let mut held: BTreeMap<_, usize> = BTreeMap::new();
        for number in 0..64_000 {
            let part = space.partition_of(&key(&format!("order:{number}")));
            *held.entry(part).or_default() += 1;
        }
        assert_eq!(held.len(), usize::from(PARTITIONS));
        assert!(
            held.values().all(|keys| (700..1_300).contains(keys)),
            "{held:?}"
        );
    }

    #[test]
    fn the_first_key_elsewhere_is_named() {
        let delete = |text| Change::<()> {
            key: key(text),
            kind: ChangeKind::Delete { version: None },
        };
        let (mut space, keys) = (spread(), ["{a}1", "{a}2", "foo"].map(delete));
        let error = space.check_one_step(&keys).expect_err("is refused");
        assert_eq!(error.code().number(), 1_011);
        assert_eq!(error.violations()[0].field, "items[2].key");
        assert!(space.check_one_step(&keys[..2]).is_ok());
        assert!(space.check_one_step::<()>(&[]).is_ok());
        space.policy.placement = Placement::Together;
        assert!(space.check_one_step(&keys).is_ok());
    }
}
