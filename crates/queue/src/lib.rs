//! The message queue block.
