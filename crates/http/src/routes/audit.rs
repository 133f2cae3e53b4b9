//! The `audit` block.
