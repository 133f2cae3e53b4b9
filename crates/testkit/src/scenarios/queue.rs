//! The `queue` block.
