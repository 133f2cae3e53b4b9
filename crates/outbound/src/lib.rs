//! The one HTTP client for webhooks and callbacks.
