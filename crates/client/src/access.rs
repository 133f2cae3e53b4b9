//! The `access` block.

use crate::Client;

/// The access operations of a client.
#[derive(Clone, Copy)]
pub struct AccessClient<'client> {
    #[expect(dead_code, reason = "its operations follow")]
    client: &'client Client,
}

impl<'client> AccessClient<'client> {
    pub(crate) const fn new(client: &'client Client) -> Self {
        Self { client }
    }
}
