//! `plinth doctor` on a machine that is well, and on ones that are not.

use std::os::unix::fs::PermissionsExt as _;

use plinth_testkit::redis::{RedisProcess, is_installed};
use serde_json::Value;

use crate::tool::{Answer, run, serve, text};

/// The verdict of one check.
fn verdict(answer: &Answer, check: &str) -> String {
    let findings = answer.json();
    let found = findings
        .as_array()
        .and_then(|findings| findings.iter().find(|found| found["check"] == check));
    match found.map(|found| &found["verdict"]) {
        Some(Value::String(verdict)) => verdict.clone(),
        _ => panic!("{check} is missing in {findings}"),
    }
}

async fn examine(data: &str, more: &[&str], environment: &[(&str, &str)]) -> Answer {
    let begin = ["doctor", "--output", "json", "--data-dir", data];
    let arguments: Vec<&str> = begin.into_iter().chain(more.iter().copied()).collect();
    run(&arguments, environment).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_found_well_and_a_bad_key_is_told() {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("data");
    let server = serve(&data, &[]).await;
    let announced = server.announcement().clone();
    let key = server.first_key().expect("a first key").to_owned();
    let http = announced.http.trim_start_matches("http://");
    let ports = [
        ("PLINTH__HTTP__LISTEN", http),
        ("PLINTH__THRIFT__LISTEN", announced.thrift.as_str()),
        ("PLINTH_KEY", key.as_str()),
    ];
    let well = examine(text(&data), &["--server", &announced.http], &ports).await;
    assert_eq!(well.code, 0, "{}{}", well.stdout, well.stderr);
    for check in [
        "settings",
        "data directory",
        "lock",
        "http port",
        "thrift port",
        "server",
        "server version",
    ] {
        assert_eq!(verdict(&well, check), "good", "{check}");
    }
    let mut strange = ports;
    strange[2].1 = "plk_aaaaaaaaaaaaaaaa_x";
    let refused = examine(text(&data), &["--server", &announced.http], &strange).await;
    assert_eq!(refused.code, 1);
    assert_eq!(verdict(&refused, "server"), "bad");
    server.stop().await.expect("ends well");
    let gone = examine(text(&data), &["--server", &nobody_at()], &ports).await;
    assert_eq!((gone.code, verdict(&gone, "server")), (1, "bad".to_owned()));
    assert_eq!(verdict(&gone, "http port"), "good");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_looked_at_where_the_settings_name_one() {
    if !is_installed() {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let mut redis = RedisProcess::start("").await.expect("starts");
    let url = redis.url();
    let settings = [("PLINTH__REDIS__URL", url.as_str())];
    let mut verdicts = Vec::new();
    for policy in ["noeviction", "allkeys-lru"] {
        let order = ["CONFIG", "SET", "maxmemory-policy", policy];
        redis.ask(&order).await.expect("is set");
        let answer = examine(text(place.path()), &[], &settings).await;
        verdicts.push(verdict(&answer, "redis"));
    }
    redis.kill().await.expect("is killed");
    let answer = examine(text(place.path()), &[], &settings).await;
    verdicts.push(verdict(&answer, "redis"));
    assert_eq!(verdicts, ["good", "warning", "bad"]);
}

/// An address where nobody listens.
fn nobody_at() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    format!("http://{}", free.local_addr().expect("bound"))
}

#[tokio::test]
async fn what_is_wrong_is_said_with_what_to_do() {
    let place = tempfile::tempdir().expect("a directory");
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let taken = holder.local_addr().expect("bound").to_string();
    let file = place.path().join("file");
    std::fs::write(&file, "").expect("writes");
    let refused = examine(text(&file), &[], &[]).await;
    assert_eq!(
        (refused.code, verdict(&refused, "data directory")),
        (1, "bad".to_owned())
    );
    let open = place.path().join("open");
    std::fs::create_dir(&open).expect("creates");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).expect("sets");
    let free = [
        ("PLINTH__HTTP__LISTEN", "127.0.0.1:0"),
        ("PLINTH__THRIFT__LISTEN", "127.0.0.1:0"),
    ];
    let warned = examine(text(&open), &[], &free).await;
    assert_eq!(
        (warned.code, verdict(&warned, "data directory")),
        (0, "warning".to_owned())
    );
    assert_eq!(verdict(&warned, "server"), "warning", "no key was given");
    let used = [
        ("PLINTH__HTTP__LISTEN", taken.as_str()),
        ("PLINTH__THRIFT__LISTEN", "127.0.0.1:0"),
    ];
    let clash = examine(text(&open), &[], &used).await;
    assert_eq!(
        (clash.code, verdict(&clash, "http port")),
        (1, "bad".to_owned())
    );
    drop(holder);
    let bad = examine(text(&open), &[], &[("PLINTH__HTTP__LISTN", "x")]).await;
    assert_eq!((bad.code, verdict(&bad, "settings")), (1, "bad".to_owned()));
}
