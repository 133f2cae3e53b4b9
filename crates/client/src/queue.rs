//! The `queue` block.

use crate::Client;

/// The queue operations of a client.
#[derive(Clone, Copy)]
pub struct QueueClient<'client> {
    #[expect(dead_code, reason = "its operations follow")]
    client: &'client Client,
}

impl<'client> QueueClient<'client> {
    pub(crate) const fn new(client: &'client Client) -> Self {
        Self { client }
    }
}
