//! The audit log block.
