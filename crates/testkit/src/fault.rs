//! A disk that keeps only what was synced.
//!
//! A kill -9 does not test durability: the kernel still writes what the process had handed over. This layer does: a small
//! shim (`fault/unsynced.c`, loaded into the child by `LD_PRELOAD`) keeps each file's content as of its last sync, and
//! [`FaultLayer::drop_unsynced`] puts that in the place of the file after the child was killed. It also counts the
//! syncs.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let data = tempfile::tempdir()?;
//! let layer = plinth_testkit::fault::FaultLayer::build(data.path())?;
//! let mut command = std::process::Command::new("the-program");
//! layer.apply(&mut command);
//! let mut child = command.spawn()?;
//! child.kill()?;
//! child.wait()?;
//! layer.drop_unsynced()?;
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

/// The source of the shim.
const SOURCE: &str = include_str!("../fault/unsynced.c");

/// The layer under one data directory.
pub struct FaultLayer {
    data: PathBuf,
    /// Holds the shim, the images and the log; gone with the layer.
    folder: TempDir,
}

/// What [`FaultLayer::drop_unsynced`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Files that went back to an earlier content.
    pub reverted: Vec<PathBuf>,
    /// Files that had never been synced.
    pub vanished: Vec<PathBuf>,
}

impl FaultLayer {
    /// Compiles the shim with the machine's C compiler. The directory must exist.
    pub fn build(data: &Path) -> Result<Self> {
        // The shim compares with what the kernel says of a descriptor, which holds no symbolic link.
        let data = data
            .canonicalize()
            .with_context(|| format!("looking for {}", data.display()))?;
        let folder = tempfile::tempdir()?;
        let source = folder.path().join("unsynced.c");
        fs::write(&source, SOURCE)?;
        let compiled = Command::new("cc")
            .args([
                "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o",
            ])
            .arg(folder.path().join("unsynced.so"))
            .arg(&source)
            .args(["-ldl", "-lpthread"])
            .output()
            .context("running cc")?;
        ensure!(
            compiled.status.success(),
            "cc refused the shim: {}",
            String::from_utf8_lossy(&compiled.stderr)
        );
        fs::create_dir(folder.path().join("images"))?;
        Ok(Self { data, folder })
    }

    /// Puts the layer under a child that is about to be started.
    pub fn apply(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", self.folder.path().join("unsynced.so"))
            .env("PLINTH_FAULT_DATA", &self.data)
            .env("PLINTH_FAULT_IMAGES", self.images())
            .env("PLINTH_FAULT_LOG", self.log());
    }

    /// The log: one line with the relative path of the file for each sync, appended after the sync and before the caller
    /// goes on. A child finds its path in `PLINTH_FAULT_LOG`.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// How often each file (and directory) was synced, by its relative path.
    pub fn syncs(&self) -> Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        let text = match fs::read_to_string(self.log()) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(counts),
            Err(error) => return Err(error).context("reading the log of syncs"),
        };
        for line in text.lines() {
            *counts.entry(line.to_owned()).or_insert(0) += 1;
        }
        Ok(counts)
    }

    /// Gives every file below the data directory the content of its last sync, and removes what was never synced. Call
    /// it when the child is dead. The images stay, so that a next child goes on from here; whoever looks at the files
    /// in between works on a copy, because the layer does not see what a process without it writes.
    pub fn drop_unsynced(&self) -> Result<Dropped> {
        let mut dropped = Dropped::default();
        let mut folders = vec![self.data.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    self.revert(path, &mut dropped)?;
                }
            }
        }
        dropped.reverted.sort();
        dropped.vanished.sort();
        Ok(dropped)
    }

    fn revert(&self, path: PathBuf, dropped: &mut Dropped) -> Result<()> {
        let image = self.images().join(path.strip_prefix(&self.data)?);
        if !image.exists() {
            fs::remove_file(&path)?;
            dropped.vanished.push(path);
        } else if fs::read(&image)? != fs::read(&path)? {
            fs::copy(&image, &path)?;
            dropped.reverted.push(path);
        }
        Ok(())
    }

    fn images(&self) -> PathBuf {
        self.folder.path().join("images")
    }
}
