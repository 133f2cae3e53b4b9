//! Proving: inclusion, verification, restarts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plinth_audit::model::{GetRecordRequest, QueryLogsRequest, VerifyRequest};
use plinth_audit::tree::merkle::{leaf_hash, root_from_inclusion};
use plinth_audit::tree::{Checkpoint, NoteVerifier};
use plinth_core::{Error, ErrorCode};

use crate::check;
use crate::support::{self, context, entry, full_entry, in_directory, log, log_many};

#[test]
fn a_record_is_proven_against_a_signed_checkpoint() {
    check(|service| async move {
        log_many(&service, "shop", vec![entry("other"); 300]).await;
        let receipt = log(&service, "shop", full_entry("merchant.approve")).await;
        log_many(&service, "shop", vec![entry("other"); 20]).await;
        let request = GetRecordRequest {
            record: receipt.id.clone(),
        };
        let reply = service
            .get_record(&context("shop"), request)
            .await
            .expect("is proven");
        assert_eq!(
            (reply.record.id.as_str(), reply.proof.leaf_index.0),
            (receipt.id.as_str(), 300)
        );
        let verifier = NoteVerifier::parse(&service.public_key()).expect("a key");
        let checkpoint = Checkpoint::open(&reply.proof.checkpoint, &verifier).expect("is signed");
        let leaf = leaf_hash(&reply.proof.entry);
        assert_eq!(STANDARD.encode(leaf), reply.proof.leaf_hash);
        let hashes: Vec<[u8; 32]> = reply
            .proof
            .hashes
            .iter()
            .map(|hash| {
                STANDARD
                    .decode(hash)
                    .expect("base64")
                    .try_into()
                    .expect("32 bytes")
            })
            .collect();
        assert_eq!(
            root_from_inclusion(leaf, 300, checkpoint.size, &hashes),
            Some(checkpoint.root)
        );
        assert!(
            reply
                .proof
                .tlog_proof
                .starts_with("c2sp.org/tlog-proof@v1\nindex 300\n")
        );
        assert!(
            reply
                .proof
                .tlog_proof
                .ends_with(&format!("\n\n{}", reply.proof.checkpoint))
        );
        let text = String::from_utf8(reply.proof.entry.to_vec()).expect("text");
        assert!(
            text.contains(&receipt.id) && text.contains("\"score\":98.50"),
            "{text}"
        );
        for bad in ["", "x", "00000000-0000-0000-0000-000000000000"] {
            let request = GetRecordRequest {
                record: bad.to_owned(),
            };
            assert!(
                service.get_record(&context("shop"), request).await.is_err(),
                "{bad:?}"
            );
        }
        service
    });
}

#[test]
fn a_running_log_verifies_and_extends_what_was_seen() {
    check(|service| async move {
        let context = context("shop");
        log_many(&service, "shop", vec![entry("a"); 300]).await;
        support::checkpoint(&service, "shop").await;
        let first = service
            .verify(&context, VerifyRequest::default())
            .await
            .expect("verifies");
        assert!(first.valid, "{:?}", first.discrepancy);
        log_many(&service, "shop", vec![entry("a"); 300]).await;
        support::checkpoint(&service, "shop").await;
        let pinned = VerifyRequest {
            checkpoint: Some(first.checkpoint),
        };
        let second = service.verify(&context, pinned).await.expect("verifies");
        assert!(second.valid, "{:?}", second.discrepancy);
        assert_eq!(
            (second.tree_size.0, second.index_rows_checked.0),
            (602, 602)
        );
        let stranger = VerifyRequest {
            checkpoint: Some("no note".to_owned()),
        };
        let refuted = service.verify(&context, stranger).await.expect("answers");
        assert_eq!(
            refuted.discrepancy.map(|found| found.kind).as_deref(),
            Some("pinned")
        );
        let long = VerifyRequest {
            checkpoint: Some("a".repeat(4_097)),
        };
        let refused = service
            .verify(&context, long)
            .await
            .expect_err("is refused");
        assert_eq!(Error::from(refused).code(), ErrorCode::TooLarge);
        service
    });
}

#[tokio::test]
async fn a_log_goes_on_after_a_restart_and_rebuilds_a_lost_index() {
    let directory = tempfile::tempdir().expect("a place");
    let service = in_directory(directory.path()).await;
    log_many(&service, "shop", vec![entry("before"); 600]).await;
    let key = service.public_key();
    service.close().await;
    for name in ["index.db", "index.db-wal", "index.db-shm", "log/checkpoint"] {
        // The write-ahead files are gone already where the close was clean.
        let _absent = std::fs::remove_file(directory.path().join(name)).is_err();
    }
    let service = in_directory(directory.path()).await;
    assert_eq!(service.public_key(), key);
    assert_eq!(log(&service, "shop", entry("after")).await.index.0, 600);
    let total = QueryLogsRequest {
        count_total: Some(true),
        ..Default::default()
    };
    let found = service
        .query_logs(&context("shop"), total)
        .await
        .expect("finds");
    assert_eq!(found.total, Some(601));
    support::checkpoint(&service, "shop").await;
    let verified = service
        .verify(&context("shop"), VerifyRequest::default())
        .await
        .expect("verifies");
    assert!(verified.valid, "{:?}", verified.discrepancy);
    service.close().await;
}
