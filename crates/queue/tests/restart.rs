//! What survives the end of the process: orderly, and by `kill -9` with all that was not synced lost.
#![cfg(target_os = "linux")]
#![expect(
    clippy::expect_used,
    reason = "what the tests share stands outside #[test] functions"
)]

mod support;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use plinth_queue::model::{AckRequest, QueueOptions};
use plinth_store::EngineLocation;
use plinth_testkit::fault::FaultLayer;
use support::{Fixture, TENANT, context, world};

fn file(folder: &Path) -> EngineLocation {
    EngineLocation::File(folder.join("queue.db"))
}

#[tokio::test]
async fn ready_delayed_leased_and_dead_messages_survive() {
    let folder = tempfile::tempdir().expect("a folder");
    let (clock, definitions) = world();
    let before = Fixture::open(file(folder.path()), clock.clone(), definitions.clone()).await;
    before
        .create(
            "q",
            QueueOptions {
                max_attempts: Some(1),
                ..QueueOptions::default()
            },
        )
        .await;
    for (body, delay_ms) in [
        ("dead", 0),
        ("leased", 0),
        ("ready", 0),
        ("delayed", 40_000),
    ] {
        let message = |message: &mut plinth_queue::model::PublishMessage| {
            message.body = body.into();
            message.delay_ms = Some(delay_ms);
            message.message_id = Some(body.to_owned());
        };
        before.publish("q", message).await.expect("is stored");
    }
    let dead = before.receive("q", 1).await;
    before.clock.advance_ms(30_000);
    assert_eq!(before.receive("q.dead", 1).await.len(), 1);
    let leased = before.receive("q", 1).await;
    assert_eq!(
        (leased[0].body.as_ref(), dead[0].body.as_ref()),
        (b"leased".as_slice(), b"dead".as_slice())
    );
    before.clock.advance_ms(9_000);
    before.service.close().await;

    let after = Fixture::open(file(folder.path()), clock, definitions).await;
    assert_eq!(after.receive("q", 10).await[0].body.as_ref(), b"ready");
    after.clock.advance_ms(1_000);
    assert_eq!(
        after.receive("q", 10).await[0].body.as_ref(),
        b"delayed",
        "due by the wall"
    );
    let again = after
        .publish("q", |message| message.message_id = Some("ready".to_owned()))
        .await;
    assert!(again.expect("is answered").duplicate, "ids are remembered");
    // 9 s of the first lease had passed; the restart gave it 30 s anew, of which 1 s has passed.
    after.clock.advance_ms(28_999);
    let request = AckRequest {
        queue: "q".to_owned(),
        receipts: leased
            .iter()
            .filter_map(|message| message.receipt.clone())
            .collect(),
    };
    let reply = after
        .service
        .ack(&context(TENANT), request)
        .await
        .expect("answers");
    assert!(reply.items[0].settled, "a receipt outlives the restart");
    after.service.close().await;
}

#[tokio::test]
async fn a_queue_that_was_deleted_stays_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (clock, definitions) = world();
    let before = Fixture::open(file(folder.path()), clock.clone(), definitions.clone()).await;
    before.create("q", QueueOptions::default()).await;
    before.publish("q", |_| ()).await.expect("is stored");
    let request = plinth_queue::model::DeleteQueueRequest {
        queue: "q".to_owned(),
    };
    before
        .service
        .delete_queue(&context(TENANT), request)
        .await
        .expect("deletes");
    before.service.close().await;
    let after = Fixture::open(file(folder.path()), clock, definitions).await;
    after.create("q", QueueOptions::default()).await;
    assert!(after.receive("q", 1).await.is_empty());
    after.service.close().await;
}

/// Where the child of the test below keeps its file; its presence makes this process the child.
const CHILD_FOLDER: &str = "PLINTH_QUEUE_TEST_CHILD_FOLDER";
/// How often the child is killed.
const KILLS: usize = 3;
/// Publishes that the parent waits for before each kill.
const CONFIRMED_BEFORE_KILL: usize = 40;
/// Publishers of the child, so that groups hold more than one message.
const PUBLISHERS: usize = 4;

/// Not a test of its own: publishes until it is killed, and names each message once it is confirmed.
#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else {
        return;
    };
    let (clock, definitions) = world();
    let fixture = Fixture::open(file(Path::new(&folder)), clock, definitions).await;
    fixture.create("q", QueueOptions::default()).await;
    let publishers = (0..PUBLISHERS).map(|_| async {
        loop {
            let published = fixture
                .publish("q", |message| message.body = vec![1; 3_000].into())
                .await;
            let id = published.expect("is confirmed").message_id;
            // Past the test harness, which keeps what is printed.
            let mut out = std::io::stdout().lock();
            writeln!(out, "confirmed {id}").expect("is written");
            out.flush().expect("is written");
        }
    });
    let _never: Vec<()> = futures::future::join_all(publishers).await;
}

/// The child's definitions are in its memory, so its messages are looked for in the file itself: in a copy, because the
/// layer does not see what this process writes.
fn ids_in(folder: &Path) -> BTreeSet<String> {
    let copy = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(folder).expect("lists") {
        let entry = entry.expect("an entry");
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("copies");
    }
    let connection = rusqlite::Connection::open(copy.path().join("queue.db")).expect("opens");
    let mut statement = connection
        .prepare(
            "SELECT json_extract(envelope, '$.message_id')
             FROM message JOIN content ON content.id = message.content",
        )
        .expect("a statement");
    let rows = statement.query_map([], |row| row.get::<_, String>(0));
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}

#[test]
fn nothing_that_was_confirmed_is_lost_with_what_was_not_synced() {
    let folder = tempfile::tempdir().expect("a folder");
    let layer = FaultLayer::build(folder.path()).expect("a fault layer");
    let mut confirmed = Vec::new();
    for life in 1..=KILLS {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::piped());
        layer.apply(&mut command);
        let mut child = command.spawn().expect("starts");
        let mut here = 0;
        for line in BufReader::new(child.stdout.take().expect("is piped")).lines() {
            let line = line.expect("is read");
            if let Some((_, id)) = line.split_once("confirmed ") {
                confirmed.push(id.to_owned());
                here += 1;
            }
            if here == CONFIRMED_BEFORE_KILL {
                // SIGKILL; what is still in the pipe was confirmed too and is read on.
                child.kill().expect("is killed");
            }
        }
        child.wait().expect("ends");
        assert!(
            here >= CONFIRMED_BEFORE_KILL,
            "life {life} confirmed {here}"
        );
        layer.drop_unsynced().expect("drops");
        let there = ids_in(folder.path());
        let lost: Vec<&String> = confirmed.iter().filter(|id| !there.contains(*id)).collect();
        assert!(lost.is_empty(), "lost {lost:?} of {}", confirmed.len());
    }
}
