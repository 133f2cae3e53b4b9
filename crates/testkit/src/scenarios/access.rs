//! The `access` block.
