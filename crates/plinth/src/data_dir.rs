//! The data directory: every file that Plinth writes lives below it, and one process at a time may.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// The file whose lock says that the directory is in use.
pub(crate) const LOCK_FILE: &str = "LOCK";

/// How often a lock that is held is tried again: `plinth doctor` holds it for a moment while it looks.
const LOCK_ATTEMPTS_MAX: u32 = 10;
/// The pause between two attempts.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A directory that this process holds until the value is dropped.
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
    /// Deletes an ephemeral directory at the end.
    _ephemeral: Option<tempfile::TempDir>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a lock of the file system tells nobody when it is free; nothing of the process runs yet"
)]
fn pause() {
    std::thread::sleep(LOCK_PAUSE);
}

/// Tries a lock until it is free or was held for longer than a look takes.
fn patiently(attempt: impl Fn() -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    for _ in 1..LOCK_ATTEMPTS_MAX {
        match attempt() {
            Err(TryLockError::WouldBlock) => pause(),
            ended => return ended,
        }
    }
    attempt()
}

impl DataDir {
    /// Takes a directory, creating it where it is absent, readable by its owner alone.
    ///
    /// Errors: it cannot be created or written, or another process holds it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::take(path.to_owned(), None)
    }

    /// Takes a directory that a server has used before, for work without one.
    ///
    /// Errors: it is none, or a server holds it.
    pub(crate) fn open_used(path: &Path) -> Result<Self> {
        if !path.join(LOCK_FILE).is_file() {
            bail!(
                "{} is no data directory of plinth: no server has used it yet; name the right one with --data-dir",
                path.display()
            );
        }
        Self::open(path)
    }

    /// Takes a new directory that is gone when the process ends.
    pub(crate) fn ephemeral() -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("plinth-")
            .tempdir()
            .context("cannot create a temporary directory")?;
        Self::take(directory.path().to_owned(), Some(directory))
    }

    fn take(path: PathBuf, ephemeral: Option<tempfile::TempDir>) -> Result<Self> {
        create_private(&path)?;
        let lock_path = path.join(LOCK_FILE);
        let mut lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&lock_path)
            .with_context(|| format!("cannot write to the data directory {}", path.display()))?;
        match patiently(|| lock.try_lock()) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "the data directory {} is in use by another plinth; stop it, or name another with --data-dir",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", lock_path.display()));
            }
        }
        lock.set_len(0)?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Self {
            path,
            _lock: lock,
            _ephemeral: ephemeral,
        })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A directory below it, created where it is absent.
    pub(crate) fn room(&self, name: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        create_private(&path)?;
        Ok(path)
    }
}

fn create_private(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot create the directory {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_by_one_at_a_time() {
        let place = tempfile::tempdir().expect("a directory");
        let held = DataDir::open(&place.path().join("data")).expect("opens");
        let refused = DataDir::open(held.path()).err().expect("is held");
        assert!(refused.to_string().contains("in use"), "{refused}");
        let path = held.path().to_owned();
        drop(held);
        assert!(DataDir::open(&path).is_ok());
    }

    #[test]
    fn somebody_who_looks_for_a_moment_does_not_stop_a_start() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("data");
        drop(DataDir::open(&path).expect("opens"));
        let looking = File::open(path.join(LOCK_FILE)).expect("is there");
        looking.try_lock_shared().expect("is free");
        let start = std::thread::spawn(move || DataDir::open(&path).map(drop));
        pause();
        drop(looking);
        start.join().expect("no panic").expect("opens");
    }

    #[test]
    fn an_ephemeral_directory_is_gone_afterwards() {
        let directory = DataDir::ephemeral().expect("opens");
        let path = directory.path().to_owned();
        assert!(path.is_dir());
        drop(directory);
        assert!(!path.exists());
    }
}
