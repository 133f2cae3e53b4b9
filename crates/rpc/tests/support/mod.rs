//! What the tests of the Thrift edge share: value trees over the contract, and the raw bytes of messages.

#![expect(
    dead_code,
    reason = "each test file takes what it needs of this module"
)]

pub(crate) mod decoding;
pub(crate) mod frames;
pub(crate) mod mutation;
pub(crate) mod server;
pub(crate) mod values;
