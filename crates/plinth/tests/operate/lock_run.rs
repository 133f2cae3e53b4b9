//! `plinth lock run`: the lock is held while a command runs, and the command ends where it is lost.

use std::path::Path;
use std::time::{Duration, Instant};

use plinth_client::{AcquireOptions, Client, LockAsk};
use plinth_testkit::process::{Server, ServerOptions};
use tokio::process::{Child, Command};

use crate::tool::{Answer, binary, run};

/// How long a state may take to come on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

async fn server() -> (Server, Client, String) {
    let server = Server::start(binary(), &ServerOptions::default()).await;
    let server = server.expect("starts");
    let key = server.first_key().expect("a key").to_owned();
    let [client, _] = server.clients(&key).expect("clients");
    (server, client, key)
}

/// Runs `plinth lock run LOCK … -- sh -c SCRIPT` to its end.
async fn lock_run(server: &Server, key: &str, arguments: &[&str], script: &str) -> Answer {
    let begin = ["lock", "run"];
    let all: Vec<&str> = begin
        .into_iter()
        .chain(arguments.iter().copied())
        .chain(["--", "sh", "-c", script])
        .collect();
    run(&all, &environment(server, key)).await
}

fn environment<'a>(server: &'a Server, key: &'a str) -> [(&'static str, &'a str); 3] {
    let address = server.announcement().http.as_str();
    [
        ("PLINTH_SERVER", address),
        ("PLINTH_KEY", key),
        ("PATH", "/usr/bin:/bin"),
    ]
}

/// Begins `plinth lock run` and returns once the script made its file.
async fn begin(server: &Server, key: &str, place: &Path, script: &str) -> Child {
    let child = Command::new(binary())
        .args([
            "lock",
            "run",
            "job",
            "--lease-ms",
            "600",
            "--",
            "sh",
            "-c",
            script,
        ])
        .current_dir(place)
        .env_clear()
        .envs(environment(server, key))
        .kill_on_drop(true)
        .spawn()
        .expect("runs");
    until(async || place.join("began").exists()).await;
    child
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < BOUND, "did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn ended(mut child: Child) -> i32 {
    let status = tokio::time::timeout(BOUND, child.wait()).await;
    let status = status.expect("ends in time").expect("is waited for");
    status.code().expect("a code")
}

async fn tokens(client: &Client) -> Vec<i64> {
    let info = client.lock().get("job").await.expect("is read");
    info.holders.iter().map(|holder| holder.token).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_of_the_command_is_passed_on_and_the_lock_given_back() {
    let (server, client, key) = server().await;
    let script = "echo \"$PLINTH_LOCK $PLINTH_LOCK_TOKEN\"; exit 7";
    let answer = lock_run(&server, &key, &["job"], script).await;
    assert_eq!(answer.code, 7, "{}", answer.stderr);
    let (lock, token) = answer.stdout.trim().split_once(' ').expect("two words");
    assert_eq!(lock, "job");
    let info = client.lock().get("job").await.expect("is read");
    assert!(info.holders.is_empty(), "was given back");
    let next = client
        .lock()
        .acquire(
            &[LockAsk::exclusive("job")],
            "me",
            &AcquireOptions::default(),
        )
        .await
        .expect("is free");
    let next = next.grants.first().expect("one");
    assert!(next.token > token.parse().expect("a token"));
    // Taken: the command does not run.
    let answer = lock_run(&server, &key, &["job"], "echo ran").await;
    assert_eq!((answer.code, answer.stdout.as_str()), (5, ""));
    client
        .lock()
        .release("me", std::slice::from_ref(next))
        .await
        .expect("is answered");
    let answer = lock_run(&server, &key, &["job"], "exit 0").await;
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let absent = ["lock", "run", "job", "--", "/no/such/command"];
    let answer = run(&absent, &environment(&server, &key)).await;
    assert_eq!(answer.code, 1, "{}", answer.stderr);
    assert!(tokens(&client).await.is_empty(), "was given back");
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_renewed_while_its_command_runs() {
    let (server, client, key) = server().await;
    let place = tempfile::tempdir().expect("a directory");
    let script = "touch began; while [ ! -e end ]; do sleep 0.05; done";
    let child = begin(&server, &key, place.path(), script).await;
    let held = tokens(&client).await;
    assert_eq!(held.len(), 1);
    // Three leases.
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    assert_eq!(tokens(&client).await, held);
    std::fs::write(place.path().join("end"), "").expect("is written");
    assert_eq!(ended(child).await, 0);
    assert!(tokens(&client).await.is_empty());
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_lock_is_lost_is_asked_to_end_and_then_killed() {
    let (server, client, key) = server().await;
    for (ends, script) in [
        (
            true,
            "trap 'touch told; exit 0' TERM; touch began; while :; do sleep 0.05; done",
        ),
        (
            false,
            "trap 'touch told' TERM; touch began; while :; do sleep 0.05; done",
        ),
    ] {
        let place = tempfile::tempdir().expect("a directory");
        let child = begin(&server, &key, place.path(), script).await;
        let lost = Instant::now();
        let locks = client.lock();
        let released = locks.force_release("job", None, "the test ends it");
        assert_eq!(released.await.expect("is answered"), 1);
        assert_eq!(ended(child).await, 5);
        assert!(place.path().join("told").exists(), "was asked to end");
        let grace = Duration::from_secs(5);
        assert_eq!(lost.elapsed() < grace, ends, "{:?}", lost.elapsed());
        assert!(tokens(&client).await.is_empty());
    }
    server.stop().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_passed_on_and_the_lock_given_back() {
    let (server, client, key) = server().await;
    let place = tempfile::tempdir().expect("a directory");
    let script = "trap 'exit 9' TERM; touch began; while :; do sleep 0.05; done";
    let child = begin(&server, &key, place.path(), script).await;
    assert_eq!(tokens(&client).await.len(), 1);
    let id = child.id().expect("runs").to_string();
    let told = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(told.expect("runs").success());
    assert_eq!(ended(child).await, 9);
    assert!(tokens(&client).await.is_empty());
    server.stop().await.expect("ends well");
}
