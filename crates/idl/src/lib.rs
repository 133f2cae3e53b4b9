//! The Thrift contract of Plinth as Rust: generated from `idl/coupon.thrift` by `build.rs`, with short paths.
//!
//! The generated types keep the names of the IDL: [`cache::CacheSetRequest`] is `CacheSetRequest` of
//! `idl/support/cache.thrift`; [`coupon`] holds the service with its arguments, results and exceptions. Generated code
//! decodes without checks of its own: it must only ever run over `plinth_rpc`'s checked protocol.

pub mod contract;

mod generated {
    include!(concat!(env!("OUT_DIR"), "/coupon.rs"));
}

pub use generated::coupon::support::{
    access, audit, cache, common, db, health, lock, monitor, queue,
};
pub use generated::coupon::{base, coupon};
