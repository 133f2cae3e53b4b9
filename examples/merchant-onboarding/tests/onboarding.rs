//! The reference flow over both transports, with Plinth killed in the middle: every proof must hold.
//!
//! The plinth program is built by the same `cargo test --workspace` run; `PLINTH_BINARY` names another one.
#![expect(
    clippy::expect_used,
    reason = "what the tests share fails the test that calls it"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use plinth_testkit::redis::{RedisProcess, is_installed};

/// The program beside the example's own in the target directory.
fn plinth() -> PathBuf {
    if let Some(named) = std::env::var_os("PLINTH_BINARY") {
        return named.into();
    }
    let example = Path::new(env!("CARGO_BIN_EXE_merchant-onboarding"));
    let built = example.with_file_name("plinth");
    assert!(
        built.is_file(),
        "{} is missing: run `cargo build -p plinth`",
        built.display()
    );
    built
}

fn run(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_merchant-onboarding"))
        .args(arguments)
        .output()
        .expect("runs");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

fn check(transport: &str, more: &[&str]) {
    let plinth = plinth();
    let arguments = [
        "--plinth",
        plinth.to_str().expect("a path"),
        "--transport",
        transport,
        "--applications",
        "60",
        "--concurrency",
        "8",
        "--kill-plinth",
    ];
    let (holds, said) = run(&[&arguments, more].concat());
    assert!(holds, "{said}");
    assert!(said.contains("killed and restarted"), "{said}");
    assert!(!said.contains("FAILS"), "{said}");
    assert!(said.contains("60 loaded, 60 cached again"), "{said}");
}

#[test]
fn every_proof_holds_over_thrift_when_plinth_is_killed() {
    check("thrift", &[]);
}

#[test]
fn every_proof_holds_over_http_when_plinth_is_killed() {
    check("http", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_proof_holds_on_redis_when_plinth_is_killed() {
    if !is_installed() {
        return;
    }
    let redis = RedisProcess::start("").await.expect("starts");
    let url = redis.url();
    let flow = tokio::task::spawn_blocking(move || check("thrift", &["--redis", &url]));
    flow.await.expect("holds");
}

#[test]
fn a_wrong_command_line_is_refused() {
    for arguments in [
        &[][..],
        &["--plinth", "x", "--applications", "0"],
        &["--server", "x"],
    ] {
        assert!(!run(arguments).0, "{arguments:?}");
    }
}
