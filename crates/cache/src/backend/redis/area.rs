//! Where a namespace lies, and how its scripts are called.

use plinth_redis_link::{Script, Slot, Value, slot_of};

use super::RedisCache;
use super::fault::{Kind, fault};
use crate::backend::Capability;
use crate::error::CacheError;
use crate::model::{Placement, Space};

/// The keys of one namespace.
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

impl RedisCache {
    /// Finds a namespace. Errors: it is to be spread over nodes.
    pub(super) fn area(&self, space: &Space) -> Result<Area, CacheError> {
        if space.policy.placement == Placement::Spread {
            return Err(CacheError::Unsupported {
                backend: "redis",
                capability: Capability::Spread,
            });
        }
        let prefix = format!(
            "{}:{{{}:{}}}:",
            self.key_prefix,
            space.scope.tenant.as_str(),
            space.scope.namespace.as_str()
        );
        Ok(Area {
            slot: slot_of(prefix.as_bytes()),
            prefix,
        })
    }

    /// Runs a script on a namespace.
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
