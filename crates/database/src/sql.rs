//! SQL text: tokens, one statement, what it does, its shape.

mod classify;
mod functions;
mod scan;
pub(crate) mod shape;
pub(crate) mod statement;
pub(crate) mod tokens;

pub use classify::Access;
pub(crate) use classify::pragma_reads;
pub(crate) use shape::mask;
pub(crate) use statement::{Statement, writes_on_any_engine};
