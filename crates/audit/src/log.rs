//! The log: the record itself.
//!
//! A record goes through three places. [`sequencer`]: its leaf gets the next index in a group commit of `audit.db`; from
//! there on it is durable and acknowledged. [`integrator`]: within a second it stands in entry bundles and tiles, under a
//! checkpoint that is signed, kept and published in this order. [`indexer`]: it stands in the query index.

pub(crate) mod condition;
pub mod files;
pub mod indexer;
pub mod integrator;
pub mod key;
pub mod leaf;
pub mod reader;
pub mod sequencer;
pub mod tiles;
