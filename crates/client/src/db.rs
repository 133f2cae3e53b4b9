//! The `db` block.

use crate::Client;

/// The db operations of a client.
#[derive(Clone, Copy)]
pub struct DbClient<'client> {
    #[expect(dead_code, reason = "its operations follow")]
    client: &'client Client,
}

impl<'client> DbClient<'client> {
    pub(crate) const fn new(client: &'client Client) -> Self {
        Self { client }
    }
}
