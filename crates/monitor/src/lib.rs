//! The monitoring block.
