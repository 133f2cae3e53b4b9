//! Plinth.
fn main() {}
