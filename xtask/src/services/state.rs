//! What `cargo xtask services` remembers between two calls: `target/services/state.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::host::{self, Place};

/// A process that was started.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Running {
    /// Its id.
    pub pid: u32,
    /// When it began, in clock ticks since boot: tells it from a later process with the same id.
    pub started_ticks: u64,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

#[derive(Default, Serialize, Deserialize)]
struct Record {
    /// Where the data are.
    home: Option<PathBuf>,
    /// Where the sockets are: a short path, because a socket's may have no more than 107 bytes.
    sockets: Option<PathBuf>,
    /// The password of the user `plinth` on both.
    password: Option<String>,
    running: BTreeMap<String, Running>,
    ports: BTreeMap<String, u16>,
}

/// The record and its file.
pub(super) struct State {
    folder: PathBuf,
    record: Record,
}

impl State {
    /// Reads the record; an absent one is an empty one.
    pub(super) fn load(folder: &Path) -> Result<Self> {
        let path = folder.join("state.json");
        let record = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("reading {}", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Record::default(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        Ok(Self {
            folder: folder.to_owned(),
            record,
        })
    }

    /// Writes the record, readable by its owner only: it holds the password.
    pub(super) fn save(&self) -> Result<()> {
        let path = self.folder.join("state.json");
        host::write_private(&path, &serde_json::to_vec_pretty(&self.record)?)
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Chooses the folders and the password once.
    pub(super) fn settle_places(&mut self) -> Result<()> {
        if self.record.home.as_ref().is_none_or(|home| !home.is_dir()) {
            self.record.home = Some(host::home(&self.folder)?);
        }
        if self
            .record
            .sockets
            .as_ref()
            .is_none_or(|sockets| !sockets.is_dir())
        {
            self.record.sockets = Some(host::private_folder(Path::new("/tmp"))?);
        }
        if self.record.password.is_none() {
            self.record.password = Some(host::random_hex()?);
        }
        self.save()
    }

    /// Where the data are; `target/services` until that is settled.
    pub(super) fn home(&self) -> &Path {
        self.record.home.as_deref().unwrap_or(&self.folder)
    }

    /// The folders of one product, created and given to the user that it runs as.
    pub(super) fn place(&self, name: &str, user: &str) -> Result<Place> {
        let sockets = self
            .record
            .sockets
            .as_deref()
            .context("no folder for sockets")?;
        host::place(
            &self.home().join(name),
            &sockets.join(name),
            &self.folder.join(format!("{name}.log")),
            user,
        )
    }

    /// The password of the user `plinth`.
    pub(super) fn password(&self) -> Result<String> {
        self.record.password.clone().context("no password yet")
    }

    /// The process of a product, if it still runs.
    pub(super) fn running(&self, name: &str) -> Option<Running> {
        self.record
            .running
            .get(name)
            .copied()
            .filter(|running| host::is_alive(running.pid, running.started_ticks))
    }

    /// The port that a product had last.
    pub(super) fn last_port(&self, name: &str) -> Option<u16> {
        self.record.ports.get(name).copied()
    }

    /// Remembers a process.
    pub(super) fn remember(&mut self, name: &str, running: Running) {
        self.record.ports.insert(name.to_owned(), running.port);
        self.record.running.insert(name.to_owned(), running);
    }

    /// Forgets a process that ended.
    pub(super) fn stopped(&mut self, name: &str) {
        self.record.running.remove(name);
    }
}
