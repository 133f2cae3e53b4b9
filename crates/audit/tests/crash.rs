//! What was acknowledged survives a kill -9 at every write step, and a disk that keeps only what was synced.
//!
//! The test starts itself again as a child that records without end and says each acknowledgement. The child is killed, by
//! itself at a chosen step of writing tiles and checkpoints, or by its parent in the middle of commits; then the log must
//! hold everything that was said, at contiguous indices, and verify.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's own preparation ends the test where it fails; the child ends with its parent"
)]

mod support;

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use plinth_audit::backend::sqlite::SqliteIndex;
use plinth_audit::log::files::{Directory, LogFiles};
use plinth_audit::log::key;
use plinth_audit::model::{QueryLogsRequest, VerifyRequest};
use plinth_audit::verify::offline::{OfflineRequest, verify_directory};
use plinth_audit::{AuditParts, AuditService};
use plinth_security::SystemEntropy;
use plinth_store::EngineLocation;
use plinth_testkit::fault::FaultLayer;
use support::{context, entry, handles, in_directory, log_many, metrics, settings};

/// Where the child works; a process without it is the parent.
const DIRECTORY: &str = "PLINTH_AUDIT_CRASH_DIRECTORY";
/// At which step the child kills itself; absent means never.
const STEP: &str = "PLINTH_AUDIT_CRASH_STEP";
/// Writers of the child.
const WRITERS: usize = 6;

/// Files that kill their process at a step. Each write has three: before it, with half of a temporary file, after it.
struct Deadly {
    files: Directory,
    steps_left: AtomicU64,
    root: std::path::PathBuf,
}

impl Deadly {
    fn step(&self) -> bool {
        self.steps_left.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

/// Ends this process as a power cut would: nothing is flushed, closed or told.
fn die() {
    let killed = Command::new("kill")
        .args(["-9", &std::process::id().to_string()])
        .status();
    killed.expect("kill can be run");
    loop {
        std::thread::park();
    }
}

impl LogFiles for Deadly {
    fn read(&self, path: &str, bytes_max: usize) -> io::Result<Option<Bytes>> {
        self.files.read(path, bytes_max)
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if self.step() {
            die();
        }
        if self.step() {
            let torn = self.root.join(format!("{path}.tmp"));
            std::fs::create_dir_all(torn.parent().expect("has a parent"))?;
            std::fs::write(torn, &bytes[..bytes.len() / 2])?;
            die();
        }
        self.files.write(path, bytes)?;
        if self.step() {
            die();
        }
        Ok(())
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        self.files.list(directory)
    }

    fn remove_directory(&self, directory: &str) -> io::Result<()> {
        if self.step() {
            die();
        }
        self.files.remove_directory(directory)
    }
}

/// The child's whole life.
#[test]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else {
        return;
    };
    let step = std::env::var(STEP).ok().and_then(|step| step.parse().ok());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(record_without_end(
        Path::new(&directory),
        step.unwrap_or(u64::MAX),
    ));
}

async fn record_without_end(directory: &Path, step: u64) {
    let root = directory.join("log");
    let parts = AuditParts {
        signer: key::load_or_create(directory, support::ORIGIN, &*SystemEntropy::shared())
            .expect("a key"),
        log: EngineLocation::File(directory.join("audit.db")),
        files: Arc::new(Deadly {
            files: Directory::new(&root),
            steps_left: AtomicU64::new(step),
            root,
        }),
        index: Arc::new(
            SqliteIndex::open(EngineLocation::File(directory.join("index.db")), metrics())
                .expect("opens"),
        ),
    };
    let service = AuditService::with_parts(&settings(), parts, handles())
        .await
        .expect("opens");
    let service = Arc::new(service);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                loop {
                    let count = 1 + writer * 7;
                    for receipt in log_many(&service, "shop", vec![entry("crash"); count]).await {
                        let said = writeln!(io::stdout(), "ack {} {}", receipt.index.0, receipt.id);
                        said.expect("the parent listens");
                    }
                }
            })
        })
        .collect();
    // The writers go on until the process is killed.
    std::future::pending::<()>().await;
    drop(writers);
}

fn start(directory: &Path, step: Option<u64>, layer: Option<&FaultLayer>) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    if let Some(step) = step {
        command.env(STEP, step.to_string());
    }
    if let Some(layer) = layer {
        layer.apply(&mut command);
    }
    command.spawn().expect("starts")
}

/// Listens until the child is dead, and kills it after some acknowledgements. Returns what it said.
fn listen(mut child: Child, acks_max: usize) -> BTreeMap<i64, String> {
    let mut said = BTreeMap::new();
    let stdout = child.stdout.take().expect("is piped");
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("is text");
        // The last line may have been cut off in the middle.
        let mut words = line.split(' ');
        if let (Some("ack"), Some(index), Some(id)) = (words.next(), words.next(), words.next())
            && id.len() == 36
        {
            said.insert(index.parse().expect("an index"), id.to_owned());
        }
        if said.len() == acks_max {
            child.kill().expect("kills");
        }
    }
    let status = child.wait().expect("ends");
    assert!(!status.success(), "the child ends by being killed alone");
    said
}

/// Opens the log again and finds everything that was said, nothing twice, no gap, and a tree that holds.
async fn check(directory: &Path, said: &BTreeMap<i64, String>) {
    let service = in_directory(directory).await;
    let mut found: BTreeMap<i64, String> = BTreeMap::new();
    let mut request = QueryLogsRequest {
        limit: Some(1_000),
        ..Default::default()
    };
    loop {
        let page = service
            .query_logs(&context("shop"), request.clone())
            .await
            .expect("finds");
        for record in page.records {
            assert!(
                found.insert(record.index.0, record.id).is_none(),
                "an index stands once"
            );
        }
        match page.next_cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => break,
        }
    }
    let indices: Vec<i64> = found.keys().copied().collect();
    assert_eq!(
        indices,
        (0..i64::try_from(found.len()).expect("fits")).collect::<Vec<_>>()
    );
    for (index, id) in said {
        assert_eq!(found.get(index), Some(id), "acknowledged at leaf {index}");
    }
    support::checkpoint(&service, "other").await;
    let verified = service
        .verify(&context("shop"), VerifyRequest::default())
        .await
        .expect("verifies");
    assert!(verified.valid, "{:?}", verified.discrepancy);
    service.close().await;
    let request = OfflineRequest {
        directory: directory.to_owned(),
        public_key: None,
        pinned: Some(verified.checkpoint),
    };
    let offline = verify_directory(&request).expect("can be read").reply;
    assert!(offline.valid, "{:?}", offline.discrepancy);
    assert_eq!(
        offline.entries_checked.0,
        i64::try_from(found.len()).expect("fits") + 1
    );
}

#[test]
fn a_kill_at_each_step_of_writing_tiles_loses_nothing() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // The first steps of a new log, and later ones, each in a log of its own.
    for step in (1..=9).chain([10, 14, 23, 40]) {
        let directory = tempfile::tempdir().expect("a place");
        let said = listen(start(directory.path(), Some(step), None), usize::MAX);
        runtime.block_on(check(directory.path(), &said));
    }
}

#[test]
fn kills_in_the_middle_of_commits_lose_nothing() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a place");
    let mut said = BTreeMap::new();
    for acks in [1, 300, 777] {
        let before = said.len();
        said.extend(listen(start(directory.path(), None, None), acks));
        assert!(
            said.len() >= before + acks,
            "a new start says new indices alone"
        );
    }
    // The checks record one more each, so they come last.
    runtime.block_on(check(directory.path(), &said));
}

#[test]
fn a_disk_that_keeps_only_what_was_synced_loses_nothing() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let directory = tempfile::tempdir().expect("a place");
    let layer = FaultLayer::build(directory.path()).expect("builds");
    let mut said = BTreeMap::new();
    for acks in [50, 500] {
        said.extend(listen(start(directory.path(), None, Some(&layer)), acks));
        layer.drop_unsynced().expect("drops");
    }
    runtime.block_on(check(directory.path(), &said));
}
