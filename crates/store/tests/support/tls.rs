//! The control plane over TLS: the behaviours of one that is verified, and of one that cannot be.

use std::error::Error as _;
use std::sync::Arc;

use plinth_core::{Error, ErrorCode};
use plinth_store::ControlStore;
use plinth_testkit::papers::Papers;
use plinth_testkit::services::{CA_VARIABLE, TLS_USER, service_url};

use super::backend::Fixture;

/// The URL of the fixture's database for the user that must come over TLS.
fn url(fixture: &Fixture, host: &str, mode: [&str; 2], ca: &str) -> String {
    let url = fixture
        .url
        .replace("//plinth:", &format!("//{TLS_USER}:"))
        .replace("127.0.0.1", host);
    let [postgres, mariadb] = mode;
    if url.starts_with("postgres") {
        format!("{url}?sslmode={postgres}&sslrootcert={ca}")
    } else {
        format!("{url}?ssl-mode={mariadb}&ssl-ca={ca}")
    }
}

async fn open(fixture: &Fixture, url: &str) -> ControlStore {
    ControlStore::open(url, fixture.clock.clone())
        .await
        .expect("a server that refuses does not stop the opening")
}

/// All causes of an error in one text.
fn causes(error: &Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!("{next}; "));
        cause = next.source();
    }
    text
}

const VERIFY: [&str; 2] = ["verify-full", "VERIFY_IDENTITY"];

pub(crate) async fn a_verified_server_is_used(fixture: Arc<Fixture>) {
    let ca = service_url(CA_VARIABLE).expect("the services have an authority");
    let store = open(&fixture, &url(&fixture, "localhost", VERIFY, &ca)).await;
    store.ping().await.expect("answers");
    store.close().await;
}

pub(crate) async fn a_server_that_cannot_be_verified_is_refused_with_the_reason(
    fixture: Arc<Fixture>,
) {
    let ca = service_url(CA_VARIABLE).expect("the services have an authority");
    let foreign = Papers::issue().expect("papers");
    let foreign = foreign.path("ca.pem").display().to_string();
    for (host, ca, why) in [
        ("127.0.0.1", &ca, "not valid for name"),
        ("localhost", &foreign, "UnknownIssuer"),
    ] {
        let store = open(&fixture, &url(&fixture, host, VERIFY, ca)).await;
        let error = store.ping().await.expect_err(why);
        assert_eq!(error.code(), ErrorCode::DependencyUnavailable);
        assert!(
            error
                .message()
                .contains("the TLS handshake with the control database failed"),
            "{error}"
        );
        assert!(causes(&error).contains(why), "{}", causes(&error));
        store.close().await;
    }
}

pub(crate) async fn a_plain_login_where_tls_is_demanded_is_refused_with_the_reason(
    fixture: Arc<Fixture>,
) {
    let ca = service_url(CA_VARIABLE).expect("the services have an authority");
    let plain = url(&fixture, "127.0.0.1", ["disable", "DISABLED"], &ca);
    let store = open(&fixture, &plain).await;
    let error = store.ping().await.expect_err("plain");
    assert_eq!(error.code(), ErrorCode::DependencyUnavailable);
    assert!(error.message().contains("refuses the login"), "{error}");
    store.close().await;
}
