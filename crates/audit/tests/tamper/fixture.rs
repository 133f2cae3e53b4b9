//! The log under test, an earlier state of it, and copies to be tampered with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use plinth_audit::log::files::{Directory, LogFiles};
use plinth_audit::log::tiles::TileWriter;
use plinth_audit::model::VerifyReply;
use plinth_audit::tree::merkle::empty_root;
use plinth_audit::tree::{Checkpoint, NoteSigner, bundle};
use plinth_audit::verify::offline::{OfflineRequest, verify_directory};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{self, checkpoint, entry, in_directory, log_many};

/// The log that the cases copy, and what an honest observer kept of it.
pub(crate) struct Fixture {
    pub(crate) whole: TempDir,
    /// The same directory as it stood earlier.
    pub(crate) earlier: TempDir,
    pub(crate) key: String,
    /// The checkpoint of the earlier state.
    pub(crate) pinned_early: String,
    /// The latest one.
    pub(crate) pinned_late: String,
}

pub(crate) fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(build_fixture())
    })
}

async fn build_fixture() -> Fixture {
    let (whole, earlier) = (
        tempfile::tempdir().expect("a place"),
        tempfile::tempdir().expect("a place"),
    );
    let service = in_directory(whole.path()).await;
    for place in 0..3 {
        let entries = (0..100)
            .map(|n| entry(&format!("early.{place}.{n}")))
            .collect();
        log_many(&service, "shop", entries).await;
        checkpoint(&service, "shop").await;
    }
    let pinned_early = checkpoint(&service, "shop").await;
    service.close().await;
    copy_tree(whole.path(), earlier.path());
    let service = in_directory(whole.path()).await;
    log_many(&service, "shop", vec![intent()]).await;
    log_many(&service, "shop", vec![entry("late"); 300]).await;
    checkpoint(&service, "shop").await;
    log_many(&service, "shop", vec![entry("late"); 90]).await;
    let pinned_late = checkpoint(&service, "shop").await;
    service.close().await;
    Fixture {
        key: fs::read_to_string(whole.path().join("log.pub")).expect("a key"),
        whole,
        earlier,
        pinned_early,
        pinned_late,
    }
}

fn intent() -> plinth_audit::model::AuditEntry {
    let mut intent = entry("intent");
    intent.phase = Some("intent".to_owned());
    intent.result = "unknown".to_owned();
    intent
}

pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("creates");
    for found in fs::read_dir(from).expect("lists") {
        let found = found.expect("lists");
        let target = to.join(found.file_name());
        if found.file_type().expect("stats").is_dir() {
            copy_tree(&found.path(), &target);
        } else {
            fs::copy(found.path(), target).expect("copies");
        }
    }
}

pub(crate) fn verify(directory: &Path, pinned: Option<&str>) -> VerifyReply {
    let request = OfflineRequest {
        directory: directory.to_owned(),
        public_key: Some(fixture().key.clone()),
        pinned: pinned.map(str::to_owned),
    };
    verify_directory(&request).expect("can be read").reply
}

/// A copy of the log to be tampered with.
pub(crate) struct Copy(pub(crate) TempDir);

impl Copy {
    pub(crate) fn of(source: &TempDir) -> Self {
        let copy = tempfile::tempdir().expect("a place");
        copy_tree(source.path(), copy.path());
        Self(copy)
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub(crate) fn flip(&self, path: &str, offset: usize) {
        let mut bytes = fs::read(self.path(path)).expect("reads");
        bytes[offset] ^= 0x01;
        fs::write(self.path(path), bytes).expect("writes");
    }

    pub(crate) fn entries(&self, path: &str) -> Vec<Bytes> {
        let bytes = fs::read(self.path(path)).expect("reads");
        bundle::decode(&bytes.into()).expect("a bundle")
    }

    pub(crate) fn put_entries(&self, path: &str, entries: &[Bytes]) {
        let mut bytes = Vec::new();
        for entry in entries {
            assert!(bundle::append(&mut bytes, entry));
        }
        fs::write(self.path(path), bytes).expect("writes");
    }

    pub(crate) fn sql(&self, database: &str, sql: &str) {
        let connection = Connection::open(self.path(database)).expect("opens");
        assert!(
            connection.execute(sql, []).expect(sql) > 0,
            "{sql} changed nothing"
        );
    }

    pub(crate) fn last_width(&self) -> usize {
        usize::try_from(tree_size(&fixture().pinned_late)).expect("fits") - 512
    }

    pub(crate) fn all_entries(&self) -> Vec<Bytes> {
        let last = format!("log/tile/entries/002.p/{}", self.last_width());
        let paths = ["log/tile/entries/000", "log/tile/entries/001", &last];
        paths.iter().flat_map(|path| self.entries(path)).collect()
    }

    /// Writes a whole new log of these entries into the place of the old one; `signer` signs it, or nobody does.
    pub(crate) fn rebuild(&self, entries: &[Bytes], signer: Option<&NoteSigner>) {
        fs::remove_dir_all(self.path("log/tile")).expect("removes");
        let files: Arc<dyn LogFiles> = Arc::new(Directory::new(self.path("log")));
        let mut writer = TileWriter::resume(files, 0, &empty_root()).expect("begins");
        writer.append(entries).expect("writes");
        writer.write_edge().expect("writes");
        if let Some(signer) = signer {
            let forged = Checkpoint {
                origin: support::ORIGIN.to_owned(),
                size: writer.size(),
                root: writer.root(),
            };
            fs::write(self.path("log/checkpoint"), forged.sign(signer)).expect("writes");
        }
    }

    pub(crate) fn without_databases(self) -> Self {
        for name in ["audit.db", "index.db"] {
            fs::remove_file(self.path(name)).expect("removes");
        }
        self
    }
}

pub(crate) fn tree_size(note: &str) -> u64 {
    note.lines()
        .nth(1)
        .and_then(|line| line.parse().ok())
        .expect("a size")
}
