//! The level of each module changes while the server runs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::tool::{binary, http};

/// How long a line may take to come, in milliseconds.
const LINE_WAIT_MS_MAX: u64 = 20_000;

struct Logged {
    child: Child,
    /// Kept open, so that the announcement has where to go.
    _stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
    http: String,
}

impl Logged {
    async fn start(settings: &Path) -> Self {
        let mut child = Command::new(binary())
            .args(["serve", "--ephemeral", "--output", "json", "--settings"])
            .arg(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped")).lines();
        let stderr = BufReader::new(child.stderr.take().expect("piped")).lines();
        let line = stdout.next_line().await.expect("reads").expect("is ready");
        let announced: Value = serde_json::from_str(&line).expect("is JSON");
        let http = announced["http"].as_str().expect("an address").to_owned();
        Self {
            child,
            _stdout: stdout,
            stderr,
            http,
        }
    }

    async fn hang_up(&self) {
        let id = self.child.id().expect("runs").to_string();
        let sent = Command::new("kill").args(["-HUP", &id]).status().await;
        assert!(sent.expect("runs").success());
    }

    /// The next line of the log with these words.
    async fn line(&mut self, words: &str) -> Value {
        let wait = async {
            loop {
                let line = self.stderr.next_line().await.expect("reads").expect("runs");
                if line.contains(words) {
                    return serde_json::from_str(&line).expect("is JSON");
                }
            }
        };
        let bound = Duration::from_millis(LINE_WAIT_MS_MAX);
        tokio::time::timeout(bound, wait)
            .await
            .expect("comes in time")
    }

    async fn show_a_bad_key(&self) {
        let url = format!("{}/v1/access/who-am-i", self.http);
        let reply = http().get(url).bearer_auth("plk_x").send();
        assert_eq!(reply.await.expect("answers").status(), 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_reads_the_levels_again_and_a_bad_file_leaves_them() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("plinth.toml");
    let write = |filter: &str| {
        let text = format!("[log]\nformat = \"json\"\nfilter = \"{filter}\"\n");
        std::fs::write(&file, text).expect("writes");
    };
    write("error");
    let mut server = Logged::start(&file).await;
    server.show_a_bad_key().await;
    write("error,plinth::serve=info,plinth_gate::authenticate=debug");
    server.hang_up().await;
    // The first line of all: what stood at `error` said nothing until now, the refused key included.
    let line = server.line("").await;
    assert_eq!(line["message"], "the levels of the log were read again");
    server.show_a_bad_key().await;
    let line = server.line("a credential was refused").await;
    assert_eq!(line["target"], "plinth_gate::authenticate");
    assert_eq!(line["level"], "DEBUG");
    write("a=b=c");
    server.hang_up().await;
    let line = server.line("settings cannot be read").await;
    assert!(
        line["error"]
            .as_str()
            .expect("a cause")
            .contains("log.filter")
    );
    server.show_a_bad_key().await;
    server.line("a credential was refused").await;
    server.child.kill().await.expect("ends");
}
