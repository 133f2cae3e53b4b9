//! Backends and behaviours of the contract suite.

pub(crate) mod access;
pub(crate) mod backend;
pub(crate) mod definitions;
pub(crate) mod epochs;
pub(crate) mod lost;
pub(crate) mod roles;
pub(crate) mod schema;
pub(crate) mod tls;
