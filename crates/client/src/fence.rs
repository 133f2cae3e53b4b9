//! The fence of a write, on both wires.

use faststr::FastStr;
use plinth_core::Fence;

pub(crate) fn thrift(fence: &Fence) -> plinth_idl::common::Fence {
    plinth_idl::common::Fence {
        name: FastStr::new(fence.name.as_str()),
        token: fence.token.get(),
    }
}

/// The same as JSON, where a token is text.
pub(crate) fn json(fence: &Fence) -> serde_json::Value {
    serde_json::json!({ "name": fence.name.as_str(), "token": fence.token.to_string() })
}
