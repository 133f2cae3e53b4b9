//! Signatures: HMAC-SHA-256 between two who share a secret, Ed25519 for what anybody may verify.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plinth_core::SecretString;

/// Length of an HMAC-SHA-256 tag, in bytes.
pub const HMAC_SHA256_BYTES: usize = 32;
/// Length of an Ed25519 seed, in bytes.
pub const ED25519_SEED_BYTES: usize = 32;
/// Length of an Ed25519 public key, in bytes.
pub const ED25519_PUBLIC_BYTES: usize = 32;
/// Length of an Ed25519 signature, in bytes.
pub const ED25519_SIGNATURE_BYTES: usize = 64;
/// What a webhook signature begins with: the version of the scheme.
pub const WEBHOOK_SIGNATURE_PREFIX: &str = "v1,";

/// HMAC-SHA-256 (RFC 2104) over some parts, one after the other.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; HMAC_SHA256_BYTES] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut tag = [0; HMAC_SHA256_BYTES];
    for (to, from) in tag.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    tag
}

/// Signs a webhook by the Standard Webhooks scheme (<https://www.standardwebhooks.com>): the value of
/// `webhook-signature` is `v1,` and base 64 of HMAC-SHA-256 over `<id>.<timestamp in seconds>.<body>`.
///
/// The id and the time are signed with the body, so a receiver can refuse what is old or seen before.
#[must_use]
pub fn sign_webhook(secret: &SecretString, id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let tag = hmac_sha256(
        secret.expose().as_bytes(),
        &[
            id.as_bytes(),
            b".",
            timestamp_s.to_string().as_bytes(),
            b".",
            body,
        ],
    );
    format!("{WEBHOOK_SIGNATURE_PREFIX}{}", STANDARD.encode(tag))
}

/// Whether a webhook bears this secret's signature. Takes the same time for every well-formed signature. The age of the
/// timestamp is the receiver's to judge.
#[must_use]
pub fn verify_webhook(
    secret: &SecretString,
    id: &str,
    timestamp_s: i64,
    body: &[u8],
    signature: &str,
) -> bool {
    use subtle::ConstantTimeEq as _;
    let Some(Ok(tag)) = signature
        .strip_prefix(WEBHOOK_SIGNATURE_PREFIX)
        .map(|encoded| STANDARD.decode(encoded))
    else {
        return false;
    };
    let expected = hmac_sha256(
        secret.expose().as_bytes(),
        &[
            id.as_bytes(),
            b".",
            timestamp_s.to_string().as_bytes(),
            b".",
            body,
        ],
    );
    expected.as_slice().ct_eq(&tag).into()
}

/// A seed that is no Ed25519 key.
#[derive(Debug, thiserror::Error)]
#[error("the seed was refused by the cryptographic library")]
pub struct SigningKeyError;

/// An Ed25519 key pair (RFC 8032). Deterministic: no randomness is needed to sign.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// Derives the key pair of a seed. Errors: the library refuses it.
    pub fn from_seed(seed: &[u8; ED25519_SEED_BYTES]) -> Result<Self, SigningKeyError> {
        Ed25519KeyPair::from_seed_unchecked(seed)
            .map(Self)
            .map_err(|_| SigningKeyError)
    }

    /// The public half, to be handed to whoever verifies.
    #[must_use]
    pub fn public_key(&self) -> [u8; ED25519_PUBLIC_BYTES] {
        let mut public = [0; ED25519_PUBLIC_BYTES];
        for (to, from) in public.iter_mut().zip(self.0.public_key().as_ref()) {
            *to = *from;
        }
        public
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; ED25519_SIGNATURE_BYTES] {
        let mut signature = [0; ED25519_SIGNATURE_BYTES];
        for (to, from) in signature.iter_mut().zip(self.0.sign(message).as_ref()) {
            *to = *from;
        }
        signature
    }
}

/// Whether a message bears the Ed25519 signature of a public key.
#[must_use]
pub fn verify_ed25519(
    public_key: &[u8; ED25519_PUBLIC_BYTES],
    message: &[u8],
    signature: &[u8],
) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key)
        .verify(message, signature)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_follows_rfc_4231() {
        let tag = hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(
            hex::encode(tag),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn ed25519_follows_rfc_8032() {
        let seed: [u8; 32] =
            hex::decode("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
                .expect("hex")
                .try_into()
                .expect("32 bytes");
        let key = SigningKey::from_seed(&seed).expect("takes the seed");
        assert_eq!(
            hex::encode(key.public_key()),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        let signature = key.sign(b"");
        assert!(hex::encode(signature).starts_with("e5564300c360ac729086e2cc806e828a"));
        assert!(verify_ed25519(&key.public_key(), b"", &signature));
        assert!(!verify_ed25519(&key.public_key(), b"x", &signature));
        assert!(!verify_ed25519(&key.public_key(), b"", &signature[..63]));
    }

    #[test]
    fn a_webhook_signature_covers_id_time_and_body() {
        let secret = SecretString::new("whsec".to_owned());
        let signature = sign_webhook(&secret, "msg_1", 1_700_000_000, b"{}");
        let check = |id: &str, at: i64, body: &[u8], signature: &str| {
            verify_webhook(&secret, id, at, body, signature)
        };
        assert!(check("msg_1", 1_700_000_000, b"{}", &signature));
        assert!(!check("msg_2", 1_700_000_000, b"{}", &signature));
        assert!(!check("msg_1", 1_700_000_001, b"{}", &signature));
        assert!(!check("msg_1", 1_700_000_000, b"{ }", &signature));
        assert!(!check("msg_1", 1_700_000_000, b"{}", &signature[3..]));
        assert!(!check("msg_1", 1_700_000_000, b"{}", "v1,%"));
    }
}
