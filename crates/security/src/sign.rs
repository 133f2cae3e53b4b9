//! Signatures: HMAC-SHA-256 between two who share a secret, Ed25519 for what anybody may verify.

use std::borrow::Cow;

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
/// What a webhook secret in the form of Standard Webhooks begins with; base 64 of the key follows.
pub const WEBHOOK_SECRET_PREFIX: &str = "whsec_";
/// Shortest key inside a secret of that form, in bytes.
pub const WEBHOOK_KEY_BYTES_MIN: usize = 24;
/// Longest key inside a secret of that form, in bytes.
pub const WEBHOOK_KEY_BYTES_MAX: usize = 64;

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

/// A webhook secret that claims the form of Standard Webhooks and does not have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "begins with {WEBHOOK_SECRET_PREFIX}, so base 64 (with padding) of {WEBHOOK_KEY_BYTES_MIN} to {WEBHOOK_KEY_BYTES_MAX} bytes must follow"
)]
pub struct WebhookSecretError;

/// Checks a webhook secret before it is taken: one that begins with [`WEBHOOK_SECRET_PREFIX`] holds its key in base 64, as
/// the libraries of receivers expect; any other is a key as it stands.
///
/// Errors: the prefix is there and what follows is no such key.
pub fn check_webhook_secret(secret: &SecretString) -> Result<(), WebhookSecretError> {
    let Some(encoded) = secret.expose().strip_prefix(WEBHOOK_SECRET_PREFIX) else {
        return Ok(());
    };
    decoded_key(encoded).map(|_| ()).ok_or(WebhookSecretError)
}

/// The key of a secret (Standard Webhooks, "Signature scheme"). A secret that [`check_webhook_secret`] would refuse is its
/// own key: it was taken before there was a check, and what it signed then it signs now.
fn webhook_key(secret: &SecretString) -> Cow<'_, [u8]> {
    let whole = secret.expose();
    let decoded = whole
        .strip_prefix(WEBHOOK_SECRET_PREFIX)
        .and_then(decoded_key);
    decoded.map_or(Cow::Borrowed(whole.as_bytes()), Cow::Owned)
}

fn decoded_key(encoded: &str) -> Option<Vec<u8>> {
    let key_bytes = WEBHOOK_KEY_BYTES_MIN..=WEBHOOK_KEY_BYTES_MAX;
    let key = STANDARD.decode(encoded).ok()?;
    key_bytes.contains(&key.len()).then_some(key)
}

/// Signs a webhook by the Standard Webhooks scheme (<https://www.standardwebhooks.com>): the value of
/// `webhook-signature` is `v1,` and base 64 of HMAC-SHA-256 over `<id>.<timestamp in seconds>.<body>`, under the key that
/// the secret holds.
///
/// The id and the time are signed with the body, so a receiver can refuse what is old or seen before.
#[must_use]
pub fn sign_webhook(secret: &SecretString, id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let tag = hmac_sha256(
        &webhook_key(secret),
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
        &webhook_key(secret),
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

    /// The vectors of the reference libraries (github.com/standard-webhooks/standard-webhooks): Rust's and Python's tests.
    #[test]
    fn a_secret_of_the_scheme_signs_as_the_receivers_libraries_do() {
        for (secret, id, timestamp_s, body, expected) in [
            (
                "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
                "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
                1_649_367_553,
                r#"{"email":"test@example.com","username":"test_user"}"#,
                "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
            ),
            (
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                r#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ] {
            let secret = SecretString::new(secret.to_owned());
            let signature = sign_webhook(&secret, id, timestamp_s, body.as_bytes());
            assert_eq!(signature, expected);
            assert!(verify_webhook(
                &secret,
                id,
                timestamp_s,
                body.as_bytes(),
                expected
            ));
        }
    }

    #[test]
    fn a_secret_without_the_prefix_is_its_own_key() {
        let raw = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        let tag = hmac_sha256(raw.as_bytes(), &[b"m.1.{}"]);
        let secret = SecretString::new(raw.to_owned());
        assert_eq!(
            sign_webhook(&secret, "m", 1, b"{}"),
            format!("v1,{}", STANDARD.encode(tag))
        );
    }

    #[test]
    fn a_secret_of_the_scheme_holds_24_to_64_bytes_in_base_64() {
        let check = |secret: String| check_webhook_secret(&SecretString::new(secret));
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for good in [of(24), of(25), of(64), "anything else".to_owned()] {
            assert_eq!(check(good.clone()), Ok(()), "{good}");
        }
        let unpadded = of(25).trim_end_matches('=').to_owned();
        for bad in [
            of(23),
            of(65),
            of(0),
            "whsec_not base 64".to_owned(),
            unpadded,
        ] {
            assert_eq!(check(bad.clone()), Err(WebhookSecretError), "{bad}");
        }
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
