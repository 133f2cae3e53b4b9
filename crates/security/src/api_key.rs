//! The text of an API key: `plk_<id>_<secret><check>`.
//!
//! ```text
//! plk_ 7xk2m4q6r3s5t7ab _ <32 characters: 160 random bits> <7 characters: CRC-32 of all before>
//!      16 characters: 80 random bits, public
//! ```
//! All three parts are lower-case base 32 (RFC 4648, no padding). The **id** is public: it stands in listings and finds the
//! record. The **secret** opens it; only SHA-256 of the whole text is stored, which is enough for a secret of 160 random
//! bits (a slow hash protects guessable ones). The **check** lets a typo be refused without a look-up, and lets secret
//! scanners recognise a leaked key with few false alarms.

use plinth_core::{CredentialId, SecretString};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::digest::{SHA256_BYTES, sha256};
use crate::entropy::{Entropy, EntropyError};

/// What every key begins with.
pub const KEY_PREFIX: &str = "plk_";
/// Random bytes of the public id.
pub const ID_RANDOM_BYTES: usize = 10;
/// Random bytes of the secret: 160 bits.
pub const SECRET_RANDOM_BYTES: usize = 20;
/// Characters of the public id.
pub const ID_CHARACTERS: usize = 16;
/// Characters of the secret.
pub const SECRET_CHARACTERS: usize = 32;
/// Characters of the check.
pub const CHECK_CHARACTERS: usize = 7;
/// Characters of the whole text.
pub const KEY_CHARACTERS: usize =
    KEY_PREFIX.len() + ID_CHARACTERS + 1 + SECRET_CHARACTERS + CHECK_CHARACTERS;

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Why a text is not a key. Callers are told no more than that it is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFormatError {
    /// Length, prefix or separator is wrong.
    #[error("is not of the form plk_<id>_<secret>")]
    Form,
    /// A character lies outside the alphabet.
    #[error("holds a character that no key has")]
    Alphabet,
    /// The check does not fit: a typo.
    #[error("its check characters do not fit")]
    Check,
}

/// The text of a key, to be handed to its holder once and then forgotten.
#[derive(Clone)]
pub struct KeyText(SecretString);

impl KeyText {
    /// Shows the text. Every call site is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// A well-formed key: what is needed to find its record and to compare it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    id: CredentialId,
    sha256: [u8; SHA256_BYTES],
}

impl ApiKey {
    /// Makes a new key and its text. Errors: the source gave no randomness.
    pub fn generate(entropy: &dyn Entropy) -> Result<(Self, KeyText), EntropyError> {
        let mut id = [0; ID_RANDOM_BYTES];
        entropy.fill(&mut id)?;
        let mut secret = Zeroizing::new([0; SECRET_RANDOM_BYTES]);
        entropy.fill(secret.as_mut())?;
        let mut text = String::with_capacity(KEY_CHARACTERS);
        text.push_str(KEY_PREFIX);
        push_base32(&mut text, &id);
        text.push('_');
        push_base32(&mut text, secret.as_ref());
        let check = crc32fast::hash(text.as_bytes());
        push_base32(&mut text, &check.to_be_bytes());
        // Made of the alphabet alone, so it parses; the error of a source stands for the case that cannot be.
        let key = Self::parse(&text).map_err(|_| EntropyError)?;
        Ok((key, KeyText(SecretString::new(text))))
    }

    /// Parses a text that a caller showed, without any look-up.
    ///
    /// Errors: see [`KeyFormatError`].
    pub fn parse(text: &str) -> Result<Self, KeyFormatError> {
        if text.len() != KEY_CHARACTERS || !text.is_ascii() {
            return Err(KeyFormatError::Form);
        }
        let rest = text.strip_prefix(KEY_PREFIX).ok_or(KeyFormatError::Form)?;
        let (id, secret) = rest.split_once('_').ok_or(KeyFormatError::Form)?;
        if id.len() != ID_CHARACTERS {
            return Err(KeyFormatError::Form);
        }
        if !id.bytes().chain(secret.bytes()).all(is_of_alphabet) {
            return Err(KeyFormatError::Alphabet);
        }
        let (body, check) = text
            .split_at_checked(KEY_CHARACTERS - CHECK_CHARACTERS)
            .ok_or(KeyFormatError::Form)?;
        let mut expected = String::with_capacity(CHECK_CHARACTERS);
        push_base32(
            &mut expected,
            &crc32fast::hash(body.as_bytes()).to_be_bytes(),
        );
        if check != expected {
            return Err(KeyFormatError::Check);
        }
        Ok(Self {
            id: CredentialId::parse(id).map_err(|_| KeyFormatError::Form)?,
            sha256: sha256(text.as_bytes()),
        })
    }

    /// The public id.
    #[must_use]
    pub const fn id(&self) -> &CredentialId {
        &self.id
    }

    /// SHA-256 of the whole text: what is stored.
    #[must_use]
    pub const fn sha256(&self) -> &[u8; SHA256_BYTES] {
        &self.sha256
    }

    /// Whether this is the key whose hash was stored. Takes the same time for every answer.
    #[must_use]
    pub fn matches(&self, stored_sha256: &[u8; SHA256_BYTES]) -> bool {
        self.sha256.ct_eq(stored_sha256).into()
    }
}

const fn is_of_alphabet(byte: u8) -> bool {
    byte.is_ascii_lowercase() || matches!(byte, b'2'..=b'7')
}

/// Appends base 32 (RFC 4648 section 6, lower case, no padding).
fn push_base32(text: &mut String, bytes: &[u8]) {
    let mut bits = 0_u32;
    let mut bit_count = 0_u32;
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        bit_count += 8;
        while bit_count >= 5 {
            bit_count -= 5;
            push_digit(text, bits >> bit_count);
        }
        bits &= (1 << bit_count) - 1;
    }
    if bit_count > 0 {
        push_digit(text, bits << (5 - bit_count));
    }
}

fn push_digit(text: &mut String, value: u32) {
    if let Some(digit) = ALPHABET.get((value & 31) as usize) {
        text.push(char::from(*digit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SeededEntropy;

    #[test]
    fn base32_follows_rfc_4648() {
        for (plain, expected) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
            ("foobar", "mzxw6ytboi"),
        ] {
            let mut text = String::new();
            push_base32(&mut text, plain.as_bytes());
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_key_has_its_form_and_each_part_its_length() {
        let (key, text) = ApiKey::generate(&SeededEntropy::new(1)).expect("generates");
        let text = text.expose();
        assert_eq!(text.len(), KEY_CHARACTERS);
        assert!(text.starts_with(&format!("plk_{}_", key.id())));
        assert_eq!(ApiKey::parse(text), Ok(key));
        for (bad, reason) in [
            (
                text.get(1..).expect("ascii").to_owned(),
                KeyFormatError::Form,
            ),
            (format!("{text}a"), KeyFormatError::Form),
            (text.replacen("plk_", "plx_", 1), KeyFormatError::Form),
            (text.to_uppercase(), KeyFormatError::Form),
            (
                format!("plk_{}", "a".repeat(KEY_CHARACTERS - 4)),
                KeyFormatError::Form,
            ),
            (String::new(), KeyFormatError::Form),
            ("é".repeat(KEY_CHARACTERS / 2), KeyFormatError::Form),
        ] {
            assert_eq!(ApiKey::parse(&bad), Err(reason), "{bad}");
        }
    }
}
