//! Durability of the embedded engine: syncs are counted before each acknowledgement, and unsynced writes are dropped.
//!
//! The process that writes is this test binary again, started with the fault layer of `plinth-testkit` under it.
#![cfg(target_os = "linux")]
#![expect(
    clippy::expect_used,
    reason = "helpers of tests, which answer by panics"
)]

mod engine_support;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use plinth_core::{SystemClock, TenantId};
use plinth_store::{
    ControlStore, DefinitionKind, Definitions as _, Engine, EngineLimits, Expected, StoreError,
};
use plinth_testkit::fault::FaultLayer;
use rusqlite::Connection;
use tempfile::TempDir;

use engine_support::{file, open};

/// Where the child keeps its data; set for the child only.
const CHILD_DATA: &str = "PLINTH_DURABILITY_DATA";
/// How the child writes; set for the child only.
const CHILD_MODE: &str = "PLINTH_DURABILITY_MODE";
/// How many tasks of the child write at once, so that groups hold more than one operation.
const WRITERS: usize = 4;
/// Rows beside each item; an item with fewer is half an operation.
const PARTS: i64 = 3;
/// Large enough that the log is written back into the file within one test.
const PAYLOAD_BYTES: i64 = 16 * 1024;

/// The number of an operation: unique over all lives of the child.
type OperationNumber = i64;

/// One acknowledgement of the child.
struct Acknowledgement {
    operation: OperationNumber,
    syncs_before_write: u64,
    syncs_before_ack: u64,
}

// ---- The child.

/// Not a test of its own: the body of the child, which does nothing in an ordinary run.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(CHILD_DATA).map(PathBuf::from) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    match std::env::var(CHILD_MODE).as_deref() {
        Ok("engine") => runtime.block_on(write_through_engine(&folder)),
        Ok("control") => runtime.block_on(write_to_control_plane(&folder)),
        _ => write_without_syncs(&folder),
    }
}

async fn write_through_engine(folder: &Path) {
    let engine = open(file(folder), EngineLimits::default()).expect("opens");
    let first = last_operation(&engine).await + 1;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let engine = engine.clone();
        writers.spawn(async move {
            let offset = OperationNumber::try_from(writer).expect("fits");
            let step = WRITERS;
            for operation in (first + offset..).step_by(step) {
                let before = syncs_so_far();
                let group = i64::try_from(engine.commits()).expect("fits");
                engine
                    .write(move |connection| insert(connection, operation, group))
                    .await
                    .expect("writes");
                acknowledge(operation, before);
            }
        });
    }
    writers.join_all().await;
}

async fn last_operation(engine: &Engine) -> OperationNumber {
    engine
        .read(|connection| -> Result<_, StoreError> {
            Ok(
                connection.query_row("SELECT coalesce(max(id), 0) FROM items", [], |row| {
                    row.get(0)
                })?,
            )
        })
        .await
        .expect("reads")
}

async fn write_to_control_plane(folder: &Path) {
    let url = format!("sqlite://{}?mode=rwc", folder.join("control.db").display());
    let store = ControlStore::open(&url, SystemClock::shared())
        .await
        .expect("opens");
    let tenant = TenantId::parse("shop").expect("a good name");
    for operation in 1_i64.. {
        let before = syncs_so_far();
        let (name, document) = (operation.to_string(), serde_json::json!({}));
        store
            .put(
                DefinitionKind::Queue,
                &tenant,
                &name,
                document,
                Expected::Absent,
            )
            .await
            .expect("puts");
        acknowledge(operation, before);
    }
}

/// The same writes with `synchronous=OFF`: what the test must be able to catch.
fn write_without_syncs(folder: &Path) {
    let engine_has_made_the_schema = open(file(folder), EngineLimits::default());
    drop(engine_has_made_the_schema.expect("opens"));
    let connection = Connection::open(folder.join("engine.db")).expect("opens");
    connection
        .pragma_update(None, "synchronous", "OFF")
        .expect("switches syncs off");
    for operation in 1.. {
        let before = syncs_so_far();
        connection.execute_batch("BEGIN").expect("begins");
        insert(&connection, operation, operation).expect("writes");
        connection.execute_batch("COMMIT").expect("commits");
        acknowledge(operation, before);
    }
}

/// One operation: an item, its parts, and a count of the operations of its group.
fn insert(
    connection: &Connection,
    operation: OperationNumber,
    group: i64,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO items (id, value, payload) VALUES (?1, ?2, randomblob(?3))",
        (operation, group, PAYLOAD_BYTES),
    )?;
    for part in 0..PARTS {
        connection.execute("INSERT INTO parts VALUES (?1, ?2)", (operation, part))?;
    }
    connection.execute(
        "INSERT INTO counters VALUES ('items', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
        [],
    )?;
    Ok(())
}

/// How many syncs of the write-ahead log have returned.
fn syncs_so_far() -> usize {
    let log = std::env::var_os("PLINTH_FAULT_LOG").expect("the fault layer is there");
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().filter(|line| line.ends_with("-wal")).count()
}

fn acknowledge(operation: OperationNumber, syncs_before_write: usize) {
    let mut output = std::io::stdout().lock();
    // The parent closes the pipe only by ending this process.
    let _parent_gone = writeln!(
        output,
        "ack {operation} {syncs_before_write} {}",
        syncs_so_far()
    )
    .and_then(|()| output.flush());
}

// ---- The parent.

fn start(layer: &FaultLayer, folder: &Path, mode: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_DATA, folder)
        .env(CHILD_MODE, mode)
        .stdout(Stdio::piped());
    layer.apply(&mut command);
    command.spawn().expect("the child starts")
}

/// Reads acknowledgements, kills the child after some, and reads what it had still said.
fn run_and_kill(mut child: Child, acknowledgements: usize) -> Vec<Acknowledgement> {
    let output = child.stdout.take().expect("is piped");
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    let mut seen = Vec::new();
    while seen.len() < acknowledgements {
        let line = lines.next().expect("the child goes on until it is killed");
        seen.extend(parse(&line));
    }
    child.kill().expect("kills");
    child.wait().expect("ends");
    seen.extend(lines.filter_map(|line| parse(&line)));
    seen
}

/// The test harness of the child prints lines of its own, the first without a line break.
fn parse(line: &str) -> Option<Acknowledgement> {
    let (_, numbers) = line.split_once("ack ")?;
    let mut numbers = numbers.split(' ');
    Some(Acknowledgement {
        operation: numbers.next()?.parse().ok()?,
        syncs_before_write: numbers.next()?.parse().ok()?,
        syncs_before_ack: numbers.next()?.parse().ok()?,
    })
}

/// Opens a copy: opening recovers and checkpoints, and the layer is not under this process.
fn open_copy(folder: &Path, name: &str) -> (TempDir, Connection) {
    let copy = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(folder).expect("lists") {
        let path = entry.expect("lists").path();
        let name = path.file_name().expect("has a name");
        std::fs::copy(&path, copy.path().join(name)).expect("copies");
    }
    let connection = Connection::open(copy.path().join(name)).expect("opens");
    (copy, connection)
}

/// What is in the file after a crash: the operations that are there, each checked to be whole.
fn survivors(folder: &Path) -> BTreeSet<OperationNumber> {
    let (_copy, connection) = open_copy(folder, "engine.db");
    let intact: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("checks");
    assert_eq!(intact, "ok");
    let half: i64 = connection
        .query_row(
            "SELECT count(*) FROM (SELECT id FROM items LEFT JOIN parts ON item = id
             GROUP BY id HAVING count(part) <> ?1)",
            [PARTS],
            |row| row.get(0),
        )
        .expect("counts");
    assert_eq!(half, 0, "half an operation is there");
    let (items, counted): (i64, i64) = connection
        .query_row(
            "SELECT (SELECT count(*) FROM items), coalesce((SELECT value FROM counters), 0)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .expect("counts");
    assert_eq!(items, counted, "half a group is there");
    let mut statement = connection
        .prepare("SELECT id FROM items")
        .expect("prepares");
    statement
        .query_map([], |row| row.get(0))
        .expect("reads")
        .collect::<Result<_, _>>()
        .expect("reads")
}

#[test]
fn every_acknowledgement_comes_after_a_sync_of_its_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let layer = FaultLayer::build(folder.path()).expect("builds");
    let acknowledged = run_and_kill(start(&layer, folder.path(), "engine"), 200);
    for one in &acknowledged {
        assert!(
            one.syncs_before_ack > one.syncs_before_write,
            "operation {} was acknowledged without a sync",
            one.operation
        );
    }
    let syncs = layer.syncs().expect("counts");
    let of_log = syncs.get("engine.db-wal").copied().unwrap_or(0);
    // Groups share a sync, and no group holds more than one operation of each writer.
    let operations = u64::try_from(acknowledged.len()).expect("fits");
    let writers = u64::try_from(WRITERS).expect("fits");
    assert!(
        of_log * writers >= operations,
        "{of_log} syncs for {operations}"
    );
}

#[test]
fn what_was_acknowledged_survives_the_loss_of_unsynced_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let layer = FaultLayer::build(folder.path()).expect("builds");
    let mut acknowledged = BTreeSet::new();
    // Each life begins where the crash of the one before left the files.
    for life in [1, 5, 150, 40, 200] {
        let seen = run_and_kill(start(&layer, folder.path(), "engine"), life);
        acknowledged.extend(seen.iter().map(|one| one.operation));
        layer.drop_unsynced().expect("drops");
        let survivors = survivors(folder.path());
        let lost: Vec<_> = acknowledged.difference(&survivors).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
}

#[test]
fn what_the_control_plane_acknowledged_survives_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let layer = FaultLayer::build(folder.path()).expect("builds");
    let acknowledged = run_and_kill(start(&layer, folder.path(), "control"), 60);
    layer.drop_unsynced().expect("drops");
    let (_copy, connection) = open_copy(folder.path(), "control.db");
    for one in &acknowledged {
        assert!(one.syncs_before_ack > one.syncs_before_write);
        let found: i64 = connection
            .query_row(
                "SELECT count(*) FROM queues WHERE name = ?1",
                [one.operation.to_string()],
                |row| row.get(0),
            )
            .expect("counts");
        assert_eq!(found, 1, "definition {} was lost", one.operation);
    }
}

#[test]
fn without_syncs_the_same_loss_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let layer = FaultLayer::build(folder.path()).expect("builds");
    let acknowledged = run_and_kill(start(&layer, folder.path(), "unsynced"), 50);
    assert!(
        acknowledged
            .iter()
            .any(|one| one.syncs_before_ack == one.syncs_before_write),
        "the count of syncs does not notice"
    );
    layer.drop_unsynced().expect("drops");
    let survivors = survivors(folder.path());
    let lost = acknowledged
        .iter()
        .filter(|one| !survivors.contains(&one.operation))
        .count();
    assert!(lost > 0, "nothing was lost: the layer drops nothing");
}
