//! Property 6: for all key operations a complete record exists, and any later change of it is detected.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's own preparation ends the test where it fails"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plinth_audit::AuditService;
use plinth_audit::model::{AuditEntry, AuditRecord, GetRecordRequest, QueryLogsRequest};
use plinth_audit::tree::merkle::{leaf_hash, root_from_inclusion};
use plinth_audit::tree::{Checkpoint, NoteVerifier};
use plinth_audit::verify::offline::{OfflineRequest, verify_directory};
use proptest::prelude::*;
use support::{context, entry, in_directory, json, log_many};

const RESULTS: [&str; 4] = ["success", "failure", "denied", "unknown"];
const SEVERITIES: [&str; 6] = ["debug", "info", "notice", "warning", "error", "critical"];

fn some_text() -> impl Strategy<Value = String> {
    "[a-z审核通过 .%_\"'\\\\{}<>é🦀-]{1,24}"
}

fn some_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        Just("1.50".to_owned()),
        Just("1e400".to_owned()),
        Just("null".to_owned()),
        some_text().prop_map(|text| serde_json::to_string(&text).expect("is text")),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((some_text(), inner), 0..4).prop_map(|members| {
                let members = members.into_iter().map(|(key, value)| {
                    format!("{}: {value}", serde_json::to_string(&key).expect("is text"))
                });
                format!("{{{}}}", members.collect::<Vec<_>>().join(" ,"))
            }),
        ]
    })
}

prop_compose! {
    fn some_entry()(
        texts in prop::collection::vec(some_text(), 8),
        documents in prop::collection::vec(prop::option::of(some_json()), 3),
        present in any::<[bool; 8]>(),
        words in (0_usize..4, 0_usize..6),
        time_ms in 0_i64..=253_402_300_799_999,
        address in any::<std::net::IpAddr>(),
    ) -> AuditEntry {
        let text = |place: usize| texts[place].clone();
        let optional = |place: usize, value: String| present[place].then_some(value);
        let document = |place: usize| documents[place].as_deref().map(json);
        let mut made = entry(&text(0));
        made.operator.id = text(1);
        made.operator.name = optional(0, text(2));
        made.operator.roles = if present[1] { vec![text(3), text(4)] } else { Vec::new() };
        made.resource.kind = text(5);
        made.resource.id = text(6);
        AuditEntry {
            result: RESULTS[words.0].to_owned(),
            severity: optional(2, SEVERITIES[words.1].to_owned()),
            time_ms: present[3].then_some(time_ms),
            reason: optional(4, text(7)),
            details: document(0),
            before: document(1),
            after: document(2),
            ip: optional(5, address.to_string()),
            user_agent: optional(6, text(2)),
            trace_id: optional(7, "trace-1".to_owned()),
            ..made
        }
    }
}

fn canonical(value: &Option<plinth_audit::model::JsonText>) -> Option<String> {
    let canonical = value
        .as_ref()
        .map(|value| value.canonical("details").expect("is JSON"));
    let text = canonical.map(|value| value.as_str().to_owned());
    text.filter(|text| text != "null")
}

/// Every field of the record is the entry's, or the default that its field names.
fn check_complete(record: &AuditRecord, entry: &AuditEntry) {
    assert_eq!(record.operation, entry.operation);
    assert_eq!(record.operator, entry.operator);
    assert_eq!(record.resource, entry.resource);
    assert_eq!(record.result.as_str(), entry.result);
    assert_eq!(
        record.severity.as_str(),
        entry.severity.as_deref().unwrap_or("info")
    );
    assert_eq!(
        record.time_ms,
        entry.time_ms.unwrap_or(record.recorded_at_ms)
    );
    assert_eq!(record.reason, entry.reason);
    for (kept, given) in [
        (&record.details, &entry.details),
        (&record.before, &entry.before),
        (&record.after, &entry.after),
    ] {
        assert_eq!(
            kept.as_ref().map(|kept| kept.as_str().to_owned()),
            canonical(given)
        );
    }
    assert_eq!(record.ip, entry.ip);
    assert_eq!(record.user_agent, entry.user_agent);
    assert_eq!(record.recorded_by.principal, "writer");
    assert_eq!(record.recorded_by.credential, "key-writer");
}

/// The files of the published log.
fn files_under(directory: &Path, found: &mut Vec<PathBuf>) {
    for item in fs::read_dir(directory).expect("lists") {
        let path = item.expect("lists").path();
        if path.is_dir() {
            files_under(&path, found);
        } else {
            found.push(path);
        }
    }
    found.sort();
}

async fn find_all(service: &AuditService) -> Vec<AuditRecord> {
    let request = QueryLogsRequest {
        limit: Some(1_000),
        ..Default::default()
    };
    let found = service.query_logs(&context("shop"), request).await;
    found.expect("finds").records
}

/// The proof leads from the leaf to a root that the log's key signs, and the record is the one that was found.
async fn check_proof(service: &AuditService, verifier: &NoteVerifier, record: &AuditRecord) {
    let request = GetRecordRequest {
        record: record.id.clone(),
    };
    let found = service.get_record(&context("shop"), request).await;
    let found = found.expect("is there");
    assert_eq!(found.record, *record);
    let checkpoint = Checkpoint::open(&found.proof.checkpoint, verifier).expect("is signed");
    let decode = |hash: &String| STANDARD.decode(hash).expect("base64");
    let hashes = found.proof.hashes.iter().map(decode);
    let siblings: Vec<[u8; 32]> = hashes
        .map(|hash| hash.try_into().expect("a hash"))
        .collect();
    let index = u64::try_from(record.index.0).expect("a count");
    let leaf = leaf_hash(&found.proof.entry);
    let led = root_from_inclusion(leaf, index, checkpoint.size, &siblings);
    assert_eq!(led, Some(checkpoint.root));
}

async fn check_case(batches: Vec<Vec<AuditEntry>>, tampers: Vec<(u64, u64, u8)>) {
    let directory = tempfile::tempdir().expect("a place");
    let service = in_directory(directory.path()).await;
    let verifier = NoteVerifier::parse(&service.public_key()).expect("a key");
    let mut next = 0;
    for batch in &batches {
        let receipts = log_many(&service, "shop", batch.clone()).await;
        for receipt in &receipts {
            assert_eq!(receipt.index.0, next, "indices are contiguous");
            next += 1;
        }
        let mut found = find_all(&service).await;
        found.retain(|record| record.index.0 >= receipts[0].index.0);
        found.sort_by_key(|record| record.index.0);
        assert_eq!(found.len(), batch.len());
        for ((record, receipt), entry) in found.iter().zip(&receipts).zip(batch) {
            assert_eq!(record.id, receipt.id);
            check_complete(record, entry);
        }
        check_proof(&service, &verifier, &found[batch.len() / 2]).await;
    }
    service.close().await;

    let request = OfflineRequest {
        directory: directory.path().to_owned(),
        public_key: Some(verifier.text()),
        pinned: None,
    };
    let honest = verify_directory(&request).expect("can be read").reply;
    assert!(honest.valid, "{:?}", honest.discrepancy);
    assert_eq!(honest.entries_checked.0, next);
    let mut files = Vec::new();
    files_under(&directory.path().join("log"), &mut files);
    for (which, offset, flip) in tampers {
        let path = &files[usize::try_from(which % files.len() as u64).expect("fits")];
        let honest = fs::read(path).expect("reads");
        let mut changed = honest.clone();
        let offset = usize::try_from(offset % honest.len() as u64).expect("fits");
        changed[offset] ^= flip;
        fs::write(path, changed).expect("writes");
        let found = verify_directory(&request).expect("can be read").reply;
        assert!(
            !found.valid,
            "byte {offset} of {} may change unnoticed",
            path.display()
        );
        fs::write(path, honest).expect("writes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_record_is_complete_and_no_byte_of_the_log_can_change(
        batches in prop::collection::vec(prop::collection::vec(some_entry(), 1..8), 1..5),
        tampers in prop::collection::vec((any::<u64>(), any::<u64>(), 1_u8..), 1..24),
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(check_case(batches, tampers));
    }
}
