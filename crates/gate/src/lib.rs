//! The operation catalogue and the one pipeline that every request passes.

pub mod catalogue;
