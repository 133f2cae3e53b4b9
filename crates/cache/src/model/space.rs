//! What a backend is told of a namespace beside its name.

use super::name::Scope;

/// A namespace with the part of its definition that a backend needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// Which one.
    pub scope: Scope,
    /// How the backend treats it.
    pub policy: Policy,
}

/// How a backend treats a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Where its keys lie.
    pub placement: Placement,
    /// How much it may hold.
    pub quota: Quota,
}

/// Where the keys of a namespace lie on a cluster. Does not change while the namespace holds anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Together, so that a batch can be all or nothing.
    #[default]
    Together,
    /// Spread over the nodes by key: more than one node can hold, but an atomic batch over several slots is refused (1011).
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
