//! Which indexes could serve a query, and how much they would: measured, never guessed.

pub(crate) mod candidates;
pub(crate) mod catalog;
pub(crate) mod sample;
