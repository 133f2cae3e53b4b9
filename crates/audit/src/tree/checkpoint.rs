//! Checkpoints: C2SP tlog-checkpoint (<https://c2sp.org/tlog-checkpoint>).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::merkle::Hash;
use super::note::{NoteError, NoteSigner, NoteVerifier};

/// What a log says of itself at one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: its unique name.
    pub origin: String,
    /// Number of its leaves.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let root = STANDARD.encode(self.root);
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// The signed note.
    #[must_use]
    pub fn sign(&self, signer: &NoteSigner) -> String {
        signer.sign(&self.text())
    }

    /// Opens a signed checkpoint of the log that a key belongs to. Plinth's logs write no extension lines and name
    /// their origin after their key, so anything else is malformed. Errors: as [`NoteVerifier::open`].
    pub fn open(note: &str, verifier: &NoteVerifier) -> Result<Self, NoteError> {
        let text = verifier.open(note)?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), Some(""), None) = (
            lines.next(),
            lines.next(),
            lines.next(),
            lines.next(),
            lines.next(),
        ) else {
            return Err(NoteError::Malformed);
        };
        if origin != verifier.name() {
            return Err(NoteError::Malformed);
        }
        let size: u64 = match size.parse() {
            Ok(parsed) if u64::to_string(&parsed) == size => parsed,
            _ => return Err(NoteError::Malformed),
        };
        let root = STANDARD.decode(root).map_err(|_| NoteError::Malformed)?;
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root: root.try_into().map_err(|_| NoteError::Malformed)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_survives_and_other_texts_are_refused() {
        let signer = NoteSigner::from_seed("log.example", &[1; 32]).expect("key");
        let checkpoint = Checkpoint {
            origin: "log.example".to_owned(),
            size: 42,
            root: [9; 32],
        };
        let note = checkpoint.sign(&signer);
        assert_eq!(Checkpoint::open(&note, signer.verifier()), Ok(checkpoint));
        let root = STANDARD.encode([9; 32]);
        for text in [
            format!("log.example\n042\n{root}\n"),
            format!("log.example\n+4\n{root}\n"),
            format!("log.example\n4\n{root}\nextension\n"),
            format!("other.example\n4\n{root}\n"),
            "log.example\n4\nAAAA\n".to_owned(),
            "log.example\n4\n".to_owned(),
        ] {
            let note = signer.sign(&text);
            assert_eq!(
                Checkpoint::open(&note, signer.verifier()),
                Err(NoteError::Malformed),
                "{text}"
            );
        }
    }
}
