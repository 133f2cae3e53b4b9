//! Credentials, signatures, and the pure access decision.
//!
//! - [`api_key`]: the text of an API key, how it is made and how it is checked. Only its SHA-256 is ever stored.
//! - [`rbac`]: permission = operation pattern + resource pattern; the decision is a pure function that says why.
//! - [`sign`]: HMAC-SHA-256 for webhooks, Ed25519 for checkpoints.
//! - [`digest`][]: SHA-256.
//! - [`entropy`]: where randomness comes in.
//! - [`tls`]: PEM files to a rustls server configuration, for both edges, read again when they change.
//!
//! Nothing here knows a product, and nothing but the reading of the TLS files does I/O or waits. All cryptography is aws-lc-rs; comparisons of secrets take
//! constant time.

pub mod api_key;
pub mod digest;
pub mod entropy;
pub mod rbac;
pub mod sign;
pub mod tls;

pub use api_key::{ApiKey, KeyText};
pub use entropy::{Entropy, EntropyError, SeededEntropy, SystemEntropy};
pub use rbac::{Decision, Pattern, Permission, Role, RoleBook};
