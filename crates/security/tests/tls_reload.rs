//! The files of TLS are read again: what is good is taken whole, what is broken changes nothing and is named.

#![expect(
    clippy::expect_used,
    reason = "the helpers of a test fail by panicking, as the test does"
)]

use std::sync::Arc;

use plinth_security::tls::{Reload, ServerTls, TLS_FILE_BYTES_MAX, TlsFiles};
use plinth_testkit::log_tap::LogTap;
use plinth_testkit::papers::Papers;
use tokio_util::sync::CancellationToken;

const SECTION: &str = "edge.tls";

fn files(papers: &Papers) -> TlsFiles {
    TlsFiles {
        cert: papers.path("server.pem"),
        key: papers.path("server.key"),
        client_ca: Some(papers.path("ca.pem")),
    }
}

fn load(papers: &Papers) -> ServerTls {
    ServerTls::load(SECTION, &files(papers), &[]).expect("good papers")
}

#[test]
fn files_that_did_not_change_change_nothing() {
    let papers = Papers::issue().expect("papers");
    let tls = load(&papers);
    let before = tls.config();
    assert!(matches!(tls.reload(), Reload::Unchanged));
    // Written anew with the same content: its time changed, nothing else.
    papers.replace_by(&papers_copy(&papers)).expect("written");
    assert!(matches!(tls.reload(), Reload::Unchanged));
    assert!(Arc::ptr_eq(&before, &tls.config()));
}

fn papers_copy(papers: &Papers) -> Papers {
    let copy = Papers::issue().expect("papers");
    copy.replace_by(papers).expect("copied");
    copy
}

#[test]
fn each_file_that_changes_alone_or_with_the_others_is_taken() {
    let (papers, next) = (
        Papers::issue().expect("papers"),
        Papers::issue().expect("papers"),
    );
    let tls = load(&papers);
    let first = tls.config();
    std::fs::copy(next.path("ca.pem"), papers.path("ca.pem")).expect("copied");
    assert!(matches!(tls.reload(), Reload::Taken), "the authorities");
    let second = tls.config();
    assert!(!Arc::ptr_eq(&first, &second));
    papers.replace_by(&next).expect("replaced");
    assert!(matches!(tls.reload(), Reload::Taken), "all three");
    assert!(!Arc::ptr_eq(&second, &tls.config()));
}

#[test]
fn a_broken_file_is_named_once_and_what_was_in_force_stays() {
    let foreign = Papers::issue().expect("papers");
    type Spoil = fn(&Papers, &Papers);
    let cases: [(&str, &str, Spoil); 6] = [
        ("cert", "holds no certificate", |papers, _| {
            std::fs::write(papers.path("server.pem"), "").expect("written");
        }),
        ("cert", "does not belong to the key", |papers, foreign| {
            std::fs::copy(foreign.path("server.pem"), papers.path("server.pem")).expect("copied");
        }),
        ("cert", "cannot be read", |papers, _| {
            std::fs::remove_file(papers.path("server.pem")).expect("removed");
        }),
        ("key", "holds no private key", |papers, _| {
            std::fs::write(papers.path("server.key"), "-----BEGIN").expect("written");
        }),
        ("client_ca", "holds no certificate", |papers, _| {
            std::fs::write(papers.path("ca.pem"), "no PEM").expect("written");
        }),
        ("client_ca", "is larger than", |papers, _| {
            let bytes = usize::try_from(TLS_FILE_BYTES_MAX + 1).expect("fits");
            std::fs::write(papers.path("ca.pem"), vec![b' '; bytes]).expect("written");
        }),
    ];
    for (field, message, spoil) in cases {
        let papers = Papers::issue().expect("papers");
        let good = papers_copy(&papers);
        let tls = load(&papers);
        let before = tls.config();
        spoil(&papers, &foreign);
        let Reload::Refused(error) = tls.reload() else {
            panic!("{field}: {message}");
        };
        assert_eq!(error.violations()[0].field, format!("{SECTION}.{field}"));
        assert!(error.message().contains(message), "{error}");
        assert!(matches!(tls.reload(), Reload::Unchanged), "told once");
        assert!(Arc::ptr_eq(&before, &tls.config()), "the old one stays");
        papers.replace_by(&good).expect("mended");
        assert!(matches!(tls.reload(), Reload::Taken), "mended");
    }
}

#[test]
fn a_file_of_the_largest_size_is_read() {
    let papers = Papers::issue().expect("papers");
    let mut text = std::fs::read(papers.path("server.pem")).expect("there");
    text.resize(usize::try_from(TLS_FILE_BYTES_MAX).expect("fits"), b'\n');
    std::fs::write(papers.path("server.pem"), text).expect("written");
    load(&papers);
}

#[tokio::test]
async fn the_watch_logs_each_change_once_and_ends_when_told() {
    let mut log = LogTap::start();
    let (papers, next) = (
        Papers::issue().expect("papers"),
        Papers::issue().expect("papers"),
    );
    let (tls, stop) = (Arc::new(load(&papers)), CancellationToken::new());
    let watch = tokio::spawn(Arc::clone(&tls).watch(stop.clone()));
    std::fs::write(papers.path("server.pem"), "spoiled").expect("written");
    let line = log.line_with("cannot be used").await;
    for part in ["ERROR", SECTION, "edge.tls.cert: holds no certificate"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    papers.replace_by(&next).expect("replaced");
    log.line_with("new handshakes use them").await;
    assert_eq!(log.count("edge.tls.cert: holds no certificate"), 1);
    stop.cancel();
    watch.await.expect("ends in good order");
}
