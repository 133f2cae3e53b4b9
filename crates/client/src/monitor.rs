//! The `monitor` block.

use crate::Client;

/// The monitor operations of a client.
#[derive(Clone, Copy)]
pub struct MonitorClient<'client> {
    #[expect(dead_code, reason = "its operations follow")]
    client: &'client Client,
}

impl<'client> MonitorClient<'client> {
    pub(crate) const fn new(client: &'client Client) -> Self {
        Self { client }
    }
}
