//! What the process's environment says to PostgreSQL clients reaches no registered server.
//!
//! The variables of a process are set by who starts it, so each test starts itself again with them.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails here")]

use plinth_core::{Error, ErrorCode};
use plinth_database::model::{EngineKind, PoolOptions, Value};
use plinth_testkit::services::{CA_VARIABLE, service_url};

use crate::support::{Bench, DB, address, context, engines, text};

/// Set for the process that is started again.
const AGAIN: &str = "PLINTH_TEST_STARTED_AGAIN";

/// Runs a test of this file in a process of its own with some variables.
fn run_again(test: &str, variables: &[(&str, &str)]) {
    let program = std::env::current_exe().expect("knows its program");
    let output = std::process::Command::new(program)
        .args(["--exact", test, "--nocapture"])
        .env(AGAIN, "1")
        .envs(variables.iter().copied())
        .output()
        .expect("starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{variables:?}: {told}");
    assert!(told.contains("1 passed"), "{variables:?}: {told}");
}

fn is_again() -> bool {
    std::env::var_os(AGAIN).is_some()
}

#[tokio::test]
async fn what_can_be_set_is_set_for_each_server() {
    if !engines().contains(&EngineKind::Postgres) {
        return;
    }
    if !is_again() {
        let hostile = [
            ("PGHOST", "198.51.100.1"),
            ("PGHOSTADDR", "198.51.100.1"),
            ("PGPORT", "1"),
            ("PGUSER", "stranger"),
            ("PGDATABASE", "strange"),
            ("PGPASSWORD", "of the process"),
            ("PGSSLMODE", "disable"),
            ("PGSSLROOTCERT", "/not/there.pem"),
            ("PGAPPNAME", "stranger"),
        ];
        run_again(
            "environment::what_can_be_set_is_set_for_each_server",
            &hostile,
        );
        return;
    }
    let bench = Bench::new(EngineKind::Postgres).await;
    let seen = bench
        .run(
            "select current_setting('application_name'), current_user::text",
            vec![],
        )
        .await;
    let row = seen.rows.first().expect("has a row");
    assert_eq!(row.values, [text("plinth"), text("plinth")]);
    // PGSSLROOTCERT names no file: who read it would not come as far as the certificate.
    if service_url(CA_VARIABLE).is_some() {
        let (url, secret) = address(EngineKind::Postgres).expect("is up");
        let mut request = bench.definition(PoolOptions::default(), false);
        request.url = format!("{url}?sslmode=verify-ca");
        request.secret = secret.map(plinth_core::SecretString::new);
        bench
            .service
            .register_database(&context(), DB, request)
            .await
            .expect("registers");
        let error = bench.refused("select 1", vec![]).await.to_string();
        assert!(error.contains("TLS handshake failed"), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_set_keeps_a_connection_from_being_made() {
    if !engines().contains(&EngineKind::Postgres) {
        return;
    }
    if !is_again() {
        for variable in ["PGSSLCERT", "PGSSLKEY", "PGOPTIONS"] {
            let test = "environment::what_cannot_be_set_keeps_a_connection_from_being_made";
            run_again(test, &[(variable, "-c application_name=stranger")]);
        }
        return;
    }
    let bench = Bench::new(EngineKind::Postgres).await;
    for _call in 0..5 {
        let error: Error = bench.refused("select 1", vec![]).await;
        assert_eq!(error.code(), ErrorCode::DatabaseConnection);
        let named = ["PGSSLCERT", "PGSSLKEY", "PGOPTIONS"]
            .into_iter()
            .find(|variable| std::env::var_os(variable).is_some());
        let Some(named) = named else {
            panic!("was started without the variable");
        };
        assert!(error.to_string().contains(named), "{error}");
    }
    // The other engines do not read them.
    let sqlite = Bench::new(EngineKind::Sqlite).await;
    assert_eq!(sqlite.cell("select 1", vec![]).await, Value::Int(1));
}
