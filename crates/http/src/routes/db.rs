//! The `db` block.
