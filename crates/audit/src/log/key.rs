//! The key of the log: made at the first start, read at the next ones.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use plinth_core::SecretString;
use plinth_security::Entropy;
use plinth_security::sign::ED25519_SEED_BYTES;

use super::files::sync_directory;
use crate::error::AuditError;
use crate::tree::note::NOTE_BYTES_MAX;
use crate::tree::{NoteSigner, NoteVerifier};

/// File of the private key, under the audit directory; mode 0600.
pub const PRIVATE_KEY_FILE: &str = "key";
/// File of the public key, under the audit directory.
pub const PUBLIC_KEY_FILE: &str = "log.pub";

/// Makes a key that lives as long as the process.
pub fn ephemeral(origin: &str, entropy: &dyn Entropy) -> Result<NoteSigner, AuditError> {
    let seed = new_seed(entropy)?;
    Ok(NoteSigner::from_seed(origin, &seed)?)
}

/// Reads the key of a directory, or makes one where there is none. Errors: the key cannot be read or belongs to another
/// origin, its file is open to others, or the public key beside it is another one's.
pub fn load_or_create(
    directory: &Path,
    origin: &str,
    entropy: &dyn Entropy,
) -> Result<NoteSigner, AuditError> {
    let private = directory.join(PRIVATE_KEY_FILE);
    let file_error = |source| AuditError::file(PRIVATE_KEY_FILE, source);
    if !private.exists() {
        let seed = new_seed(entropy)?;
        let text = NoteSigner::private_text(origin, &seed)?;
        write_new(directory, PRIVATE_KEY_FILE, text.expose().as_bytes(), 0o600)
            .map_err(file_error)?;
    }
    let mode = fs::metadata(&private)
        .map_err(file_error)?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(AuditError::Key(format!(
            "audit/{PRIVATE_KEY_FILE} has mode {:o}; take it away from others: chmod 600",
            mode & 0o777
        )));
    }
    let signer = NoteSigner::parse(&read_secret(&private).map_err(file_error)?)?;
    if signer.verifier().name() != origin {
        return Err(AuditError::Key(format!(
            "the key belongs to the log {:?}, but the setting audit.origin says {origin:?}",
            signer.verifier().name()
        )));
    }
    ensure_public(directory, signer.verifier())?;
    Ok(signer)
}

/// Writes the public key where it is absent; a different one beside the private key is refused.
fn ensure_public(directory: &Path, verifier: &NoteVerifier) -> Result<(), AuditError> {
    let file_error = |source| AuditError::file(PUBLIC_KEY_FILE, source);
    let text = format!("{}\n", verifier.text());
    match fs::read_to_string(directory.join(PUBLIC_KEY_FILE)) {
        Ok(found) if found == text => Ok(()),
        Ok(_) => Err(AuditError::Key(format!(
            "audit/{PUBLIC_KEY_FILE} is not the public half of audit/{PRIVATE_KEY_FILE}"
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_new(directory, PUBLIC_KEY_FILE, text.as_bytes(), 0o644).map_err(file_error)
        }
        Err(error) => Err(file_error(error)),
    }
}

fn new_seed(
    entropy: &dyn Entropy,
) -> Result<zeroize::Zeroizing<[u8; ED25519_SEED_BYTES]>, AuditError> {
    let mut seed = zeroize::Zeroizing::new([0; ED25519_SEED_BYTES]);
    entropy
        .fill(seed.as_mut_slice())
        .map_err(|error| AuditError::Key(error.to_string()))?;
    Ok(seed)
}

fn read_secret(path: &Path) -> io::Result<SecretString> {
    let mut text = String::new();
    let limit = u64::try_from(NOTE_BYTES_MAX).unwrap_or(u64::MAX);
    fs::File::open(path)?
        .take(limit)
        .read_to_string(&mut text)?;
    Ok(SecretString::new(text))
}

/// Writes a file that nobody but its owner could read at any moment, whole or not at all.
fn write_new(directory: &Path, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let temporary = directory.join(format!("{name}.tmp"));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, directory.join(name))?;
    sync_directory(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plinth_security::SeededEntropy;

    #[test]
    fn a_key_is_made_once_and_guarded() {
        let directory = tempfile::tempdir().expect("creates");
        let path = directory.path();
        let entropy = SeededEntropy::new(1);
        let first = load_or_create(path, "log.example", &entropy).expect("makes");
        let second = load_or_create(path, "log.example", &entropy).expect("reads");
        assert_eq!(first.verifier(), second.verifier());
        let public = fs::read_to_string(path.join(PUBLIC_KEY_FILE)).expect("reads");
        assert_eq!(NoteVerifier::parse(&public).as_ref(), Ok(first.verifier()));
        let mode = |name: &str| {
            fs::metadata(path.join(name))
                .expect("stats")
                .permissions()
                .mode()
        };
        assert_eq!(mode(PRIVATE_KEY_FILE) & 0o777, 0o600);
        assert!(load_or_create(path, "other.example", &entropy).is_err());
        fs::set_permissions(
            path.join(PRIVATE_KEY_FILE),
            fs::Permissions::from_mode(0o640),
        )
        .expect("sets");
        assert!(load_or_create(path, "log.example", &entropy).is_err());
    }
}
