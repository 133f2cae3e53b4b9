//! The `monitor` block.
