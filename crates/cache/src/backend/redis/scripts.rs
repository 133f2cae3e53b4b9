//! The scripts. Each is one step: it changes everything or nothing.

use std::sync::LazyLock;

use plinth_redis_link::Script;

const COMMON: &str = include_str!("scripts/common.lua");

macro_rules! script {
    ($($file:literal),+) => {
        LazyLock::new(|| Script::new(&[COMMON, $(include_str!(concat!("scripts/", $file))),+]))
    };
}

pub(super) static APPLY: LazyLock<Script> = script!("plan.lua", "apply.lua");
/// Without what the others share: it judges nothing, and runs on a server that takes no writes.
pub(super) static MANY: LazyLock<Script> =
    LazyLock::new(|| Script::reading(&[include_str!("scripts/many.lua")]));
pub(super) static READ: LazyLock<Script> = script!("read.lua");
pub(super) static LEASE: LazyLock<Script> = script!("lease.lua");
pub(super) static LEASED: LazyLock<Script> = script!("leased.lua");
pub(super) static RELEASE: LazyLock<Script> = script!("release.lua");
pub(super) static CLEAR: LazyLock<Script> = script!("clear.lua");
pub(super) static REAP: LazyLock<Script> = script!("reap.lua");
pub(super) static TAGS: LazyLock<Script> = script!("tags.lua");
pub(super) static SCAN: LazyLock<Script> = script!("scan.lua");
pub(super) static STATS: LazyLock<Script> = script!("stats.lua");
