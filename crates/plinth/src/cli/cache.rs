//! The `cache` block.
