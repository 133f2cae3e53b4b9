//! The cache block.
