//! The typed Rust client, over Thrift or HTTP.
