//! What the tests share: service harness, scenario tables, fault layers, the history checker.

pub mod calls;
pub mod chaos;
pub mod compat_idl;
pub mod compat_openapi;
pub mod cut_proxy;
pub mod fault;
pub mod linear;
pub mod log_tap;
pub mod papers;
pub mod process;
pub mod redis;
pub mod scenarios;
pub mod scratch;
pub mod services;
