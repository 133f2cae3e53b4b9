//! What the benchmark programs share: load from requests that were encoded before, the peers, and the table of medians.

pub mod frames;
pub mod load;
pub mod redis;
pub mod table;
pub mod webdis;
