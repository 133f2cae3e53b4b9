//! The `audit` block.

use crate::Client;

/// The audit operations of a client.
#[derive(Clone, Copy)]
pub struct AuditClient<'client> {
    #[expect(dead_code, reason = "its operations follow")]
    client: &'client Client,
}

impl<'client> AuditClient<'client> {
    pub(crate) const fn new(client: &'client Client) -> Self {
        Self { client }
    }
}
