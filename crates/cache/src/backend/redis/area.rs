//! Where a namespace lies, and how its scripts are called.
//!
//! A namespace is one area, or one for each partition where it is spread. The hash tag of an area is `{tenant:namespace}` or
//! `{tenant:namespace/07}`. A colon in the name of the tenant is written as a slash, which names do not hold, so no two areas are one.

use std::collections::BTreeMap;

use plinth_redis_link::{Script, Slot, Value, slot_of};

use super::RedisCache;
use super::fault::{Kind, fault};
use crate::error::CacheError;
use crate::model::{Key, PARTITIONS, Placement, Space};

/// The keys of one namespace, or of one of its partitions.
pub(super) struct Area {
    /// What all of them begin with.
    pub(super) prefix: String,
    pub(super) slot: Slot,
}

impl Area {
    /// One of its keys.
    pub(super) fn key(&self, kind: &str, name: &str) -> String {
        format!("{}{kind}{name}", self.prefix)
    }
}

/// The keys of a call that lie in one area.
pub(super) struct Group {
    pub(super) area: Area,
    pub(super) keys: Vec<Key>,
    /// The place of each in the call.
    pub(super) places: Vec<usize>,
}

impl RedisCache {
    fn area(&self, space: &Space, partition: Option<u16>) -> Area {
        let tenant = space.scope.tenant.as_str().replace(':', "/");
        let (namespace, prefix) = (space.scope.namespace.as_str(), &self.key_prefix);
        let prefix = match partition {
            None => format!("{prefix}:{{{tenant}:{namespace}}}:"),
            Some(partition) => format!("{prefix}:{{{tenant}:{namespace}/{partition:02}}}:"),
        };
        Area {
            slot: slot_of(prefix.as_bytes()),
            prefix,
        }
    }

    /// Where a key lies.
    pub(super) fn area_of(&self, space: &Space, key: &Key) -> Area {
        self.area(space, space.partition_of(key))
    }

    /// A namespace whose keys lie together.
    pub(super) fn whole_area(&self, space: &Space) -> Area {
        self.area(space, None)
    }

    /// The part of a spread namespace.
    pub(super) fn area_at(&self, space: &Space, partition: u16) -> Area {
        self.area(space, Some(partition))
    }

    /// Everything of a namespace.
    pub(super) fn areas(&self, space: &Space) -> Vec<Area> {
        match space.policy.placement {
            Placement::Together => vec![self.area(space, None)],
            Placement::Spread => (0..PARTITIONS)
                .map(|partition| self.area_at(space, partition))
                .collect(),
        }
    }

    /// Where all keys lie; `None` where they lie in several areas.
    pub(super) fn common_area<'keys>(
        &self,
        space: &Space,
        mut keys: impl Iterator<Item = &'keys Key>,
    ) -> Option<Area> {
        let partition = keys.next().and_then(|first| space.partition_of(first));
        let is_one = partition.is_none() || keys.all(|key| space.partition_of(key) == partition);
        is_one.then(|| self.area(space, partition))
    }

    /// Keys by where they lie.
    pub(super) fn groups<'keys>(
        &self,
        space: &Space,
        keys: impl Iterator<Item = &'keys Key>,
    ) -> Vec<Group> {
        let mut groups: BTreeMap<Option<u16>, Group> = BTreeMap::new();
        for (place, key) in keys.enumerate() {
            let partition = space.partition_of(key);
            let group = groups.entry(partition).or_insert_with(|| Group {
                area: self.area(space, partition),
                keys: Vec::new(),
                places: Vec::new(),
            });
            group.keys.push(key.clone());
            group.places.push(place);
        }
        groups.into_values().collect()
    }

    /// Runs a script on an area.
    pub(super) async fn eval(
        &self,
        area: &Area,
        script: &Script,
        kind: Kind,
        args: &[&[u8]],
    ) -> Result<Value, CacheError> {
        let (now, grace) = (self.engine_clock.told(), self.engine_clock.grace());
        let mut all = Vec::with_capacity(args.len() + 2);
        all.push(now.as_bytes());
        all.push(grace.as_bytes());
        all.extend_from_slice(args);
        let keys = [area.prefix.as_bytes()];
        let answered = self.link.eval(area.slot, script, &keys, &all).await;
        answered.map_err(|error| fault(error, kind))
    }
}
