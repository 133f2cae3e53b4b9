//! Files as a handle: where tiles, bundles and the checkpoint stand.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parking_lot::RwLock;

/// Files of a log, by their path in the log: `tile/0/000`, `checkpoint`.
pub trait LogFiles: Send + Sync + 'static {
    /// Reads a file; `None` where there is none. Errors: a file past `bytes_max` is refused, unread.
    fn read(&self, path: &str, bytes_max: usize) -> io::Result<Option<Bytes>>;
    /// Puts a file in place, whole and durable before it returns: either the old or the new content is there, whenever
    /// the power fails.
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;
    /// Names of the files in a directory; empty where there is none.
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;
    /// Removes a directory and the files in it; nothing happens where there is none.
    fn remove_directory(&self, directory: &str) -> io::Result<()>;
}

/// Files under a directory of the machine.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Takes a directory, which need not exist before the first write.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Creates the directories over a file; each new one is made durable in its parent.
    fn ensure_directory(&self, directory: &Path) -> io::Result<()> {
        if directory.is_dir() {
            return Ok(());
        }
        if let Some(parent) = directory.parent() {
            self.ensure_directory(parent)?;
            match fs::create_dir(directory) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other?,
            }
            sync_directory(parent)?;
        }
        Ok(())
    }
}

impl LogFiles for Directory {
    fn read(&self, path: &str, bytes_max: usize) -> io::Result<Option<Bytes>> {
        let file = match fs::File::open(self.root.join(path)) {
            Ok(file) => file,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            return Err(too_long(path, bytes_max));
        }
        Ok(Some(bytes.into()))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let target = self.root.join(path);
        let Some(directory) = target.parent() else {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        };
        self.ensure_directory(directory)?;
        let mut temporary = target.clone().into_os_string();
        temporary.push(".tmp");
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &target)?;
        sync_directory(directory)
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(directory)) {
            Ok(entries) => entries,
            Err(error) if is_absence(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn remove_directory(&self, directory: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.root.join(directory)) {
            Err(error) if is_absence(&error) => Ok(()),
            other => other,
        }
    }
}

/// Makes the entries of a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn too_long(path: &str, bytes_max: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{path} is longer than {bytes_max} bytes"),
    )
}

/// Files in memory, for `--ephemeral` and tests. Durable as long as the process.
#[derive(Debug, Default)]
pub struct Memory {
    files: RwLock<BTreeMap<String, Bytes>>,
}

impl LogFiles for Memory {
    fn read(&self, path: &str, bytes_max: usize) -> io::Result<Option<Bytes>> {
        match self.files.read().get(path) {
            Some(bytes) if bytes.len() > bytes_max => Err(too_long(path, bytes_max)),
            found => Ok(found.cloned()),
        }
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.files
            .write()
            .insert(path.to_owned(), Bytes::copy_from_slice(bytes));
        Ok(())
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{directory}/");
        let files = self.files.read();
        let names = files
            .range(prefix.clone()..)
            .map_while(|(path, _)| path.strip_prefix(&prefix))
            .filter(|name| !name.contains('/'));
        Ok(names.map(str::to_owned).collect())
    }

    fn remove_directory(&self, directory: &str) -> io::Result<()> {
        let prefix = format!("{directory}/");
        self.files
            .write()
            .retain(|path, _| !path.starts_with(&prefix));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &dyn LogFiles) {
        assert_eq!(files.read("tile/0/000.p/1", 10).expect("reads"), None);
        files.write("tile/0/000.p/1", b"one").expect("writes");
        files.write("tile/0/000.p/2", b"two").expect("writes");
        files.write("tile/0/000.p/2", b"zwei").expect("overwrites");
        files.write("tile/0/001", b"full").expect("writes");
        assert_eq!(
            files.read("tile/0/000.p/2", 4).expect("reads").as_deref(),
            Some(&b"zwei"[..])
        );
        assert!(
            files.read("tile/0/000.p/2", 3).is_err(),
            "one past the limit"
        );
        assert_eq!(files.list("tile/0/000.p").expect("lists"), ["1", "2"]);
        assert_eq!(files.list("tile/7").expect("lists"), [""; 0]);
        files.remove_directory("tile/0/000.p").expect("removes");
        files
            .remove_directory("tile/0/000.p")
            .expect("removes nothing");
        assert_eq!(files.list("tile/0/000.p").expect("lists"), [""; 0]);
        assert!(files.read("tile/0/001", 4).expect("reads").is_some());
    }

    #[test]
    fn both_kinds_of_files_behave_alike() {
        check(&Memory::default());
        let directory = tempfile::tempdir().expect("creates");
        check(&Directory::new(directory.path().join("deep/log")));
    }
}
