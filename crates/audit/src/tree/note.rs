//! Signed notes: C2SP signed-note (<https://c2sp.org/signed-note>) with Ed25519, and the texts of their keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plinth_core::SecretString;
use plinth_security::digest::sha256_of_parts;
use plinth_security::sign::{
    ED25519_PUBLIC_BYTES, ED25519_SEED_BYTES, ED25519_SIGNATURE_BYTES, SigningKey, verify_ed25519,
};

/// Longest note that is read, in bytes.
pub const NOTE_BYTES_MAX: usize = 4_096;
/// Most signature lines of a note.
pub const SIGNATURES_MAX: usize = 16;
/// Longest name of a key, in bytes.
pub const KEY_NAME_BYTES_MAX: usize = 128;

const ALGORITHM_ED25519: u8 = 0x01;
const KEY_ID_BYTES: usize = 4;
const SIGNATURE_MARK: &str = "\u{2014} ";
const PRIVATE_KEY_MARK: &str = "PRIVATE+KEY+";

/// Why a note or a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text is not a signed note.
    #[error("the text is not a signed note")]
    Malformed,
    /// No signature of the key stands under it.
    #[error("no signature of the key stands under the note")]
    Unsigned,
    /// The signature of the key does not fit the text.
    #[error("the signature does not fit the text")]
    BadSignature,
    /// The text is not a key.
    #[error("the text is not an Ed25519 note key")]
    BadKey,
}

/// The public half of a note key: `<name>+<id>+<key>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    id: [u8; KEY_ID_BYTES],
    public_key: [u8; ED25519_PUBLIC_BYTES],
}

impl NoteVerifier {
    /// Names a public key. Errors: the name breaks the rule of key names.
    pub fn new(name: &str, public_key: [u8; ED25519_PUBLIC_BYTES]) -> Result<Self, NoteError> {
        check_key_name(name)?;
        Ok(Self {
            name: name.to_owned(),
            id: key_id(name, &public_key),
            public_key,
        })
    }

    /// Reads the text of a verifier key. Errors: it is none, or its id does not fit its name and key.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim_end_matches('\n').splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::BadKey);
        };
        let key = STANDARD.decode(key).map_err(|_| NoteError::BadKey)?;
        let verifier = match key.split_first() {
            Some((&ALGORITHM_ED25519, key)) => {
                Self::new(name, key.try_into().map_err(|_| NoteError::BadKey)?)?
            }
            _ => return Err(NoteError::BadKey),
        };
        if hex::encode(verifier.id) == id {
            Ok(verifier)
        } else {
            Err(NoteError::BadKey)
        }
    }

    /// The name, which a log's checkpoints bear as their origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text of the verifier key.
    #[must_use]
    pub fn text(&self) -> String {
        let key = [&[ALGORITHM_ED25519], self.public_key.as_slice()].concat();
        format!(
            "{}+{}+{}",
            self.name,
            hex::encode(self.id),
            STANDARD.encode(key)
        )
    }

    /// The text of a note that bears this key's signature, its last line end included. Signatures of other keys are
    /// ignored, as the specification asks. Errors: malformed, unsigned, or a signature that does not fit.
    pub fn open<'n>(&self, note: &'n str) -> Result<&'n str, NoteError> {
        let (text, signatures) = split(note)?;
        let mut signed = false;
        for line in signatures.lines() {
            let (name, signature) = parse_signature_line(line)?;
            let Some((id, signature)) = signature.split_first_chunk::<KEY_ID_BYTES>() else {
                return Err(NoteError::Malformed);
            };
            if name != self.name || *id != self.id {
                continue;
            }
            if !verify_ed25519(&self.public_key, text.as_bytes(), signature) {
                return Err(NoteError::BadSignature);
            }
            signed = true;
        }
        signed.then_some(text).ok_or(NoteError::Unsigned)
    }
}

/// A note key with its private half.
pub struct NoteSigner {
    key: SigningKey,
    verifier: NoteVerifier,
}

impl NoteSigner {
    /// Names a key. Errors: the name breaks the rule of key names, or the seed is refused.
    pub fn from_seed(name: &str, seed: &[u8; ED25519_SEED_BYTES]) -> Result<Self, NoteError> {
        let key = SigningKey::from_seed(seed).map_err(|_| NoteError::BadKey)?;
        let verifier = NoteVerifier::new(name, key.public_key())?;
        Ok(Self { key, verifier })
    }

    /// Reads the text of a private key: `PRIVATE+KEY+<name>+<id>+<key>`, as Go's `note` package writes it.
    pub fn parse(text: &SecretString) -> Result<Self, NoteError> {
        let text = text.expose().trim_end_matches('\n');
        let rest = text
            .strip_prefix(PRIVATE_KEY_MARK)
            .ok_or(NoteError::BadKey)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::BadKey);
        };
        let key = zeroize::Zeroizing::new(STANDARD.decode(key).map_err(|_| NoteError::BadKey)?);
        let signer = match key.split_first() {
            Some((&ALGORITHM_ED25519, seed)) => {
                Self::from_seed(name, seed.try_into().map_err(|_| NoteError::BadKey)?)?
            }
            _ => return Err(NoteError::BadKey),
        };
        if hex::encode(signer.verifier.id) == id {
            Ok(signer)
        } else {
            Err(NoteError::BadKey)
        }
    }

    /// The text of a private key made of a seed. Errors: the name breaks the rule of key names.
    pub fn private_text(
        name: &str,
        seed: &[u8; ED25519_SEED_BYTES],
    ) -> Result<SecretString, NoteError> {
        let id = hex::encode(Self::from_seed(name, seed)?.verifier.id);
        let key = zeroize::Zeroizing::new([&[ALGORITHM_ED25519], seed.as_slice()].concat());
        let encoded = zeroize::Zeroizing::new(STANDARD.encode(&*key));
        Ok(SecretString::new(format!(
            "{PRIVATE_KEY_MARK}{name}+{id}+{}",
            encoded.as_str()
        )))
    }

    /// The public half.
    #[must_use]
    pub const fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    /// Signs a text that ends with a line end.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let signature: [u8; ED25519_SIGNATURE_BYTES] = self.key.sign(text.as_bytes());
        let line = STANDARD.encode([self.verifier.id.as_slice(), &signature].concat());
        format!("{text}\n{SIGNATURE_MARK}{} {line}\n", self.verifier.name)
    }
}

/// Checks the rule of key names: not empty, no space, no plus, no control character.
pub fn check_key_name(name: &str) -> Result<(), NoteError> {
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > KEY_NAME_BYTES_MAX || name.contains(forbidden) {
        return Err(NoteError::BadKey);
    }
    Ok(())
}

fn key_id(name: &str, public_key: &[u8; ED25519_PUBLIC_BYTES]) -> [u8; KEY_ID_BYTES] {
    let hash = sha256_of_parts(&[name.as_bytes(), b"\n", &[ALGORITHM_ED25519], public_key]);
    let mut id = [0; KEY_ID_BYTES];
    for (to, from) in id.iter_mut().zip(hash) {
        *to = from;
    }
    id
}

/// The text, with its last line end, and the signature lines.
fn split(note: &str) -> Result<(&str, &str), NoteError> {
    let clean = note.chars().all(|c| c == '\n' || !c.is_ascii_control());
    if note.len() > NOTE_BYTES_MAX || !clean {
        return Err(NoteError::Malformed);
    }
    let joint = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    let (text, rest) = note.split_at(joint + 1);
    let signatures = rest.strip_prefix('\n').ok_or(NoteError::Malformed)?;
    let count = signatures.lines().count();
    if !signatures.ends_with('\n') || !(1..=SIGNATURES_MAX).contains(&count) {
        return Err(NoteError::Malformed);
    }
    Ok((text, signatures))
}

fn parse_signature_line(line: &str) -> Result<(&str, Vec<u8>), NoteError> {
    let (name, signature) = line
        .strip_prefix(SIGNATURE_MARK)
        .and_then(|rest| rest.split_once(' '))
        .ok_or(NoteError::Malformed)?;
    check_key_name(name).map_err(|_| NoteError::Malformed)?;
    let signature = STANDARD
        .decode(signature)
        .map_err(|_| NoteError::Malformed)?;
    Ok((name, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_and_the_note_of_the_go_package_open() {
        // The example of golang.org/x/mod/sumdb/note.
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let verifier = NoteVerifier::parse(key).expect("parses");
        assert_eq!(verifier.text(), key);
        let note = "If you think cryptography is the answer to your problem,\n\
            then you don't know what your problem is.\n\
            \n\
            \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let text = verifier.open(note).expect("opens");
        assert!(text.ends_with("problem is.\n"));
        assert_eq!(
            verifier.open(&note.replace("answer", "Answer")),
            Err(NoteError::BadSignature)
        );
        assert_eq!(
            verifier.open(&note.replace("\u{2014} Peter", "\u{2014} Pietr")),
            Err(NoteError::Unsigned)
        );
    }

    #[test]
    fn a_private_key_survives_its_text() {
        let text = NoteSigner::private_text("plinth.example/audit", &[7; 32]).expect("writes");
        let signer = NoteSigner::parse(&text).expect("reads");
        let note = signer.sign("a\n");
        assert_eq!(signer.verifier().open(&note), Ok("a\n"));
        for bad in ["", "a b", "a+b", "a\n"] {
            assert!(NoteSigner::private_text(bad, &[7; 32]).is_err(), "{bad:?}");
        }
    }
}
