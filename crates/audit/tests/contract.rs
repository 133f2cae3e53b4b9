//! One list of behaviours of the audit log, run over every place it can be kept in: a directory and memory.
#![expect(
    clippy::expect_used,
    reason = "a test's own preparation ends the test where it fails"
)]

mod support;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plinth_audit::AuditService;
use plinth_audit::model::{
    AuditEntry, AuditFilter, AuditRecord, ExportLogsRequest, GetRecordRequest,
    GetStatisticsRequest, LogBatchRequest, LogOperationRequest, QueryLogsRequest, VerifyRequest,
};
use plinth_audit::tree::merkle::{leaf_hash, root_from_inclusion};
use plinth_audit::tree::{Checkpoint, NoteVerifier};
use plinth_core::{
    AuditEvent, AuditOutcome, AuditSink, Error, ErrorCode, OperationId, Resource, TimestampMs,
    Transport,
};
use support::{
    caller, context, context_of, entry, full_entry, in_directory, in_memory, json, log, log_many,
};

/// Runs a behaviour over each place.
fn check<F, Fut>(behaviour: F)
where
    F: Fn(AuditService) -> Fut,
    Fut: Future<Output = AuditService>,
{
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        behaviour(in_memory().await).await.close().await;
        let directory = tempfile::tempdir().expect("a place");
        behaviour(in_directory(directory.path()).await)
            .await
            .close()
            .await;
    });
}

async fn find(service: &AuditService, tenant: &str, filter: AuditFilter) -> Vec<AuditRecord> {
    let request = QueryLogsRequest {
        filter: Some(filter),
        sort: Some("time_asc".to_owned()),
        ..Default::default()
    };
    service
        .query_logs(&context(tenant), request)
        .await
        .expect("finds")
        .records
}

async fn refusal(service: &AuditService, entry: AuditEntry) -> Error {
    let request = LogOperationRequest { entry };
    let refused = service.log_operation(&context("shop"), request).await;
    refused.expect_err("is refused").into()
}

/// Records an entry and measures the part of its leaf that the caller filled.
async fn body_bytes(service: &AuditService, entry: AuditEntry) -> usize {
    let request = GetRecordRequest {
        record: log(service, "shop", entry).await.id,
    };
    let reply = service.get_record(&context("shop"), request).await;
    let leaf = String::from_utf8(reply.expect("finds").proof.entry.to_vec()).expect("text");
    leaf.len() - leaf.find("\"id\":").expect("begins with the id")
}

#[test]
fn a_record_comes_back_with_every_field() {
    check(|service| async move {
        let receipt = log(&service, "shop", full_entry("merchant.approve")).await;
        let found = find(&service, "shop", AuditFilter::default()).await;
        let [record] = found.as_slice() else {
            panic!("{found:?}")
        };
        let wanted = full_entry("merchant.approve");
        assert_eq!((&record.id, record.index.0), (&receipt.id, 0));
        assert_eq!(record.recorded_at_ms, receipt.recorded_at_ms);
        assert_eq!(
            (record.tenant.as_str(), record.operation.as_str()),
            ("shop", "merchant.approve")
        );
        assert_eq!(
            (&record.operator, &record.resource),
            (&wanted.operator, &wanted.resource)
        );
        assert_eq!(record.result.as_str(), "success");
        assert_eq!(record.severity.as_str(), "notice");
        assert_eq!(Some(record.time_ms), wanted.time_ms);
        assert_eq!((&record.reason, &record.ip), (&wanted.reason, &wanted.ip));
        assert_eq!(
            record.details,
            Some(json(r#"{"channel":"web","score":98.50}"#)),
            "keys sorted, digits kept"
        );
        assert_eq!(
            (&record.before, &record.after),
            (&wanted.before, &wanted.after)
        );
        assert_eq!(record.user_agent, wanted.user_agent);
        assert_eq!(Some(&record.trace_id), wanted.trace_id.as_ref());
        let by = &record.recorded_by;
        assert_eq!(
            (by.principal.as_str(), by.kind.as_str()),
            ("writer", "service")
        );
        assert_eq!(
            (by.credential.as_str(), by.ip.as_deref()),
            ("key-writer", Some("10.0.0.7"))
        );
        assert_eq!(
            (record.phase.as_str(), record.source.as_str()),
            ("event", "caller")
        );
        service
    });
}

#[test]
fn what_is_absent_takes_its_default() {
    check(|service| async move {
        let context = context("shop");
        let request = LogOperationRequest { entry: entry("a") };
        let reply = service
            .log_operation(&context, request)
            .await
            .expect("records");
        let found = find(&service, "shop", AuditFilter::default()).await;
        assert_eq!(found[0].time_ms, reply.receipt.recorded_at_ms);
        assert_eq!(found[0].severity.as_str(), "info");
        assert_eq!(found[0].trace_id, context.caller.trace.trace_id_hex());
        service
    });
}

#[test]
fn indices_are_contiguous_over_tenants_and_batches() {
    check(|service| async move {
        let service = Arc::new(service);
        let writers = (0..8).map(|writer| {
            let service = Arc::clone(&service);
            tokio::spawn(async move {
                let tenant = format!("tenant-{}", writer % 3);
                let mut indices = vec![log(&service, &tenant, entry("one")).await.index.0];
                let batch = log_many(&service, &tenant, vec![entry("many"); 5]).await;
                let batch: Vec<i64> = batch.iter().map(|receipt| receipt.index.0).collect();
                assert!(
                    batch.windows(2).all(|pair| pair[1] == pair[0] + 1),
                    "{batch:?}"
                );
                indices.extend(batch);
                indices
            })
        });
        let mut indices = Vec::new();
        for writer in writers.collect::<Vec<_>>() {
            indices.extend(writer.await.expect("ends"));
        }
        indices.sort_unstable();
        assert_eq!(indices, (0..48).collect::<Vec<_>>());
        Arc::into_inner(service).expect("the writers have ended")
    });
}

#[test]
fn a_batch_with_one_bad_entry_records_nothing() {
    check(|service| async move {
        let mut entries = vec![entry("good"), entry("bad"), entry("good")];
        entries[1].result = "splendid".to_owned();
        let refused = service
            .log_batch(&context("shop"), LogBatchRequest { entries })
            .await;
        let error = Error::from(refused.expect_err("is refused"));
        assert_eq!(error.violations()[0].field, "entries[1].result");
        for count in [0, 1_001] {
            let entries = vec![entry("many"); count];
            let refused = service
                .log_batch(&context("shop"), LogBatchRequest { entries })
                .await;
            let error = Error::from(refused.expect_err("is refused"));
            assert_eq!(error.violations()[0].field, "entries");
        }
        assert_eq!(find(&service, "shop", AuditFilter::default()).await, []);
        let receipts = log_many(&service, "shop", vec![entry("many"); 1_000]).await;
        assert_eq!((receipts[0].index.0, receipts[999].index.0), (0, 999));
        service
    });
}

#[test]
fn a_repeat_of_a_key_gets_the_first_receipt_and_another_request_is_refused() {
    check(|service| async move {
        let context = context_of("shop", "writer", Some("key-1"));
        let request = |operation| LogOperationRequest {
            entry: entry(operation),
        };
        let first = service
            .log_operation(&context, request("a"))
            .await
            .expect("records");
        let again = service
            .log_operation(&context, request("a"))
            .await
            .expect("repeats");
        assert_eq!(first, again);
        let refused = service.log_operation(&context, request("b")).await;
        assert_eq!(
            Error::from(refused.expect_err("is refused")).code(),
            ErrorCode::Conflict
        );
        let other = context_of("cafe", "writer", Some("key-1"));
        let foreign = service
            .log_operation(&other, request("a"))
            .await
            .expect("records");
        assert_ne!(foreign.receipt.id, first.receipt.id);
        assert_eq!(
            find(&service, "shop", AuditFilter::default()).await.len(),
            1
        );
        service
    });
}

#[test]
fn a_bad_field_is_refused_by_its_name() {
    check(|service| async move {
        type Spoil = fn(&mut AuditEntry);
        let cases: [(&str, Spoil); 19] = [
            ("entry.operation", |entry| entry.operation = String::new()),
            ("entry.operation", |entry| entry.operation = "a".repeat(129)),
            ("entry.operation", |entry| {
                entry.operation = "a\nb".to_owned()
            }),
            ("entry.operator.id", |entry| {
                entry.operator.id = "a".repeat(257)
            }),
            ("entry.operator.name", |entry| {
                entry.operator.name = Some(String::new())
            }),
            ("entry.operator.roles", |entry| {
                entry.operator.roles = vec!["r".to_owned(); 33]
            }),
            ("entry.operator.roles[1]", |entry| {
                entry.operator.roles = vec!["r".to_owned(), "r".repeat(129)]
            }),
            ("entry.resource.type", |entry| {
                entry.resource.kind = "a".repeat(129)
            }),
            ("entry.resource.id", |entry| {
                entry.resource.id = "a".repeat(513)
            }),
            ("entry.result", |entry| entry.result = "ok".to_owned()),
            ("entry.time_ms", |entry| entry.time_ms = Some(-1)),
            ("entry.time_ms", |entry| {
                entry.time_ms = Some(253_402_300_800_000)
            }),
            ("entry.severity", |entry| {
                entry.severity = Some("fatal".to_owned())
            }),
            ("entry.reason", |entry| {
                entry.reason = Some("a".repeat(4_097))
            }),
            ("entry.ip", |entry| entry.ip = Some("1.2.3".to_owned())),
            ("entry.user_agent", |entry| {
                entry.user_agent = Some("a".repeat(513))
            }),
            ("entry.trace_id", |entry| {
                entry.trace_id = Some("a b".to_owned())
            }),
            ("entry.phase", |entry| {
                entry.phase = Some("middle".to_owned())
            }),
            ("entry.intent_id", |entry| {
                entry.phase = Some("outcome".to_owned())
            }),
        ];
        for (field, spoil) in cases {
            let mut spoiled = entry("a");
            spoil(&mut spoiled);
            let error = refusal(&service, spoiled).await;
            assert_eq!(error.violations()[0].field, field, "{error}");
        }
        assert_eq!(find(&service, "shop", AuditFilter::default()).await, []);
        service
    });
}

#[test]
fn sizes_are_taken_at_the_limit_and_refused_one_past_it() {
    check(|service| async move {
        let of_length = |bytes: usize| json(&format!("\"{}\"", "d".repeat(bytes - 2)));
        let mut largest = entry("a");
        largest.details = Some(of_length(40_000));
        largest.after = Some(of_length(9_152));
        log(&service, "shop", largest.clone()).await;
        largest.after = Some(of_length(9_153));
        let error = refusal(&service, largest).await;
        assert_eq!(
            (error.code(), error.violations()[0].field.as_str()),
            (ErrorCode::TooLarge, "entry.after")
        );

        // Quotation marks take twice their bytes as JSON; what counts for the whole is the leaf's body.
        let mut whole = entry("a");
        whole.details = Some(of_length(49_152));
        whole.reason = Some("\"".repeat(4_096));
        whole.user_agent = Some("\"".repeat(512));
        whole.operator.roles = vec!["\"".repeat(128); 20];
        let bytes = body_bytes(&service, whole.clone()).await;
        let mut room = plinth_audit::log::leaf::BODY_BYTES_MAX - bytes;
        // A plain role takes its bytes, two quotation marks and a comma.
        while room > 131 {
            whole.operator.roles.push("r".repeat(120));
            room -= 123;
        }
        whole.operator.roles.push("r".repeat(room - 3));
        let bytes = body_bytes(&service, whole.clone()).await;
        assert_eq!(bytes, plinth_audit::log::leaf::BODY_BYTES_MAX);
        whole.resource.id.push('x');
        let error = refusal(&service, whole).await;
        assert_eq!(
            (error.code(), error.violations()[0].field.as_str()),
            (ErrorCode::TooLarge, "entry")
        );
        service
    });
}

#[test]
fn a_tenant_never_sees_another_ones_records() {
    check(|service| async move {
        let mine = log(&service, "shop", full_entry("mine")).await;
        log(&service, "cafe", full_entry("theirs")).await;
        let cafe = context("cafe");
        let found = find(&service, "cafe", AuditFilter::default()).await;
        assert_eq!(
            found
                .iter()
                .map(|record| record.operation.as_str())
                .collect::<Vec<_>>(),
            ["theirs"]
        );
        let get = service
            .get_record(&cafe, GetRecordRequest { record: mine.id })
            .await;
        assert_eq!(
            Error::from(get.expect_err("is hidden")).code(),
            ErrorCode::NotFound
        );
        let export = ExportLogsRequest {
            format: "jsonl".to_owned(),
            ..Default::default()
        };
        let exported = service.export_logs(&cafe, export).await.expect("exports");
        assert_eq!(exported.records, 1);
        assert!(!String::from_utf8_lossy(&exported.data).contains("mine"));
        let statistics = service
            .get_statistics(&cafe, GetStatisticsRequest::default())
            .await;
        assert_eq!(statistics.expect("counts").total, 1);
        service
    });
}

#[test]
fn intent_and_outcome_are_one_row_and_an_open_intent_is_unknown() {
    check(|service| async move {
        let phased = |phase: &str, result: &str| {
            let mut entry = entry("pay");
            entry.phase = Some(phase.to_owned());
            entry.result = result.to_owned();
            entry
        };
        let open = log(&service, "shop", phased("intent", "unknown")).await;
        let intent = log(&service, "shop", phased("intent", "unknown")).await;
        let mut outcome = phased("outcome", "failure");
        outcome.intent_id = Some(intent.id.clone());
        outcome.reason = Some("余额不足".to_owned());
        let done = log(&service, "shop", outcome.clone()).await;
        let second = log(&service, "shop", outcome.clone()).await;
        let foreign = LogOperationRequest {
            entry: {
                outcome.intent_id = Some(open.id.clone());
                outcome
            },
        };
        let foreign = service
            .log_operation(&context_of("shop", "other", None), foreign)
            .await
            .expect("records");

        let rows = find(&service, "shop", AuditFilter::default()).await;
        let ids: Vec<&str> = rows.iter().map(|record| record.id.as_str()).collect();
        assert_eq!(
            ids,
            [&open.id, &intent.id, &second.id, &foreign.receipt.id],
            "one writer never completes another's intent"
        );
        assert_eq!(rows[0].result.as_str(), "unknown");
        assert_eq!(rows[1].result.as_str(), "failure");
        assert_eq!(
            rows[1].outcome.as_ref().map(|outcome| outcome.id.as_str()),
            Some(done.id.as_str())
        );
        let by = |results: &[&str], text: Option<&str>| AuditFilter {
            results: results.iter().map(|&word| word.to_owned()).collect(),
            text: text.map(str::to_owned),
            phase: Some("intent".to_owned()),
            ..Default::default()
        };
        assert_eq!(
            find(&service, "shop", by(&["unknown"], None)).await.len(),
            1
        );
        assert_eq!(
            find(&service, "shop", by(&["failure"], Some("余额")))
                .await
                .len(),
            1
        );
        assert_eq!(
            find(&service, "shop", by(&[], Some("余额不足")))
                .await
                .len(),
            1
        );
        let outcome = service
            .get_record(&context("shop"), GetRecordRequest { record: done.id })
            .await;
        assert_eq!(
            outcome.expect("is a record too").record.intent_id,
            Some(intent.id)
        );
        service
    });
}

#[test]
fn the_gates_records_are_intents_with_outcomes_and_refusals() {
    check(|service| async move {
        let event = AuditEvent {
            caller: caller("shop", "alice"),
            operation: OperationId::new("db.execute_query"),
            resources: vec![Resource::new("db", "orders")],
            transport: Transport::Http,
            at: TimestampMs(1_700_000_000_000),
        };
        let done = service.begin(&event).await.expect("records");
        service
            .complete(&done, &event, AuditOutcome::Succeeded)
            .await
            .expect("records");
        let failed = service.begin(&event).await.expect("records");
        service
            .complete(
                &failed,
                &event,
                AuditOutcome::Failed(ErrorCode::DatabaseQuery),
            )
            .await
            .expect("records");
        let hostile = AuditEvent {
            resources: vec![Resource::new("db", "\u{0}".repeat(9_999)); 900],
            ..event.clone()
        };
        service
            .refused(&hostile, ErrorCode::Forbidden)
            .await
            .expect("records whatever the name");
        let open = service
            .begin(&AuditEvent {
                resources: Vec::new(),
                ..event.clone()
            })
            .await
            .expect("records");

        let gate = AuditFilter {
            source: Some("gate".to_owned()),
            ..Default::default()
        };
        let rows = find(&service, "shop", gate).await;
        let shown: Vec<(&str, &str)> = rows
            .iter()
            .map(|row| (row.result.as_str(), row.resource.kind.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("success", "db"),
                ("failure", "db"),
                ("denied", "db"),
                ("unknown", "db")
            ]
        );
        assert_eq!(
            (rows[0].id.as_str(), rows[0].time_ms),
            (done.as_str(), event.at.0)
        );
        assert_eq!(rows[0].operator.id, "alice");
        assert_eq!(
            rows[1]
                .outcome
                .as_ref()
                .and_then(|outcome| outcome.reason.as_deref()),
            Some("2402 DATABASE_QUERY_FAILED")
        );
        assert_eq!(rows[2].reason.as_deref(), Some("1003 FORBIDDEN"));
        assert_eq!(
            (rows[3].id.as_str(), rows[3].resource.id.as_str()),
            (open.as_str(), "*")
        );
        service
    });
}

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
fn an_export_is_one_file_in_pieces_without_formulas() {
    check(|service| async move {
        for place in 0..7_i64 {
            let mut entry = entry("=cmd|' /C calc'!A0");
            entry.time_ms = Some(1_000 + place);
            entry.reason = Some("a \"quoted\", reason\nof two lines".to_owned());
            log(&service, "shop", entry).await;
        }
        let mut file = Vec::new();
        let mut request = ExportLogsRequest {
            format: "csv".to_owned(),
            limit: Some(3),
            ..Default::default()
        };
        loop {
            let piece = service
                .export_logs(&context("shop"), request.clone())
                .await
                .expect("exports");
            file.extend_from_slice(&piece.data);
            match piece.next_cursor {
                Some(cursor) => request.cursor = Some(cursor),
                None => break,
            }
            log(&service, "shop", entry("later")).await;
        }
        let mut reader = csv::Reader::from_reader(file.as_slice());
        let header = reader.headers().expect("a header").clone();
        let operation = header
            .iter()
            .position(|column| column == "operation")
            .expect("a column");
        let rows: Vec<csv::StringRecord> =
            reader.records().map(|row| row.expect("a row")).collect();
        assert_eq!(rows.len(), 7, "what was recorded while it ran is not in it");
        assert!(
            rows.iter()
                .all(|row| &row[operation] == "'=cmd|' /C calc'!A0")
        );
        let error = service
            .export_logs(
                &context("shop"),
                ExportLogsRequest {
                    format: "xml".to_owned(),
                    ..Default::default()
                },
            )
            .await;
        assert_eq!(
            Error::from(error.expect_err("is refused")).violations()[0].field,
            "format"
        );
        service
    });
}

#[test]
fn statistics_count_every_dimension() {
    check(|service| async move {
        for (place, operation) in ["a", "a", "a", "b", "b", "c"].iter().enumerate() {
            let mut entry = entry(operation);
            entry.time_ms = Some(10_000 * i64::try_from(place / 2).expect("fits") * 2);
            entry.operator.id = format!("user-{}", place % 2);
            log(&service, "shop", entry).await;
        }
        let request = GetStatisticsRequest {
            bucket_ms: Some(10_000),
            top: Some(2),
            ..Default::default()
        };
        let reply = service
            .get_statistics(&context("shop"), request)
            .await
            .expect("counts");
        assert_eq!(reply.total, 6);
        let top: Vec<(&str, i64)> = reply
            .by_operation
            .top
            .iter()
            .map(|count| (count.key.as_str(), count.count))
            .collect();
        assert_eq!(top, [("a", 3), ("b", 2)]);
        assert_eq!(
            (reply.by_operation.distinct, reply.by_operation.other_count),
            (3, 1)
        );
        let buckets: Vec<(i64, i64)> = reply
            .by_time
            .iter()
            .map(|bucket| (bucket.from_ms, bucket.count))
            .collect();
        assert_eq!(
            buckets,
            [(0, 2), (10_000, 0), (20_000, 2), (30_000, 0), (40_000, 2)]
        );
        for (bucket_ms, top, field) in [
            (Some(999), None, "bucket_ms"),
            (None, Some(0), "top"),
            (None, Some(101), "top"),
        ] {
            let request = GetStatisticsRequest {
                bucket_ms,
                top,
                ..Default::default()
            };
            let refused = service.get_statistics(&context("shop"), request).await;
            assert_eq!(
                Error::from(refused.expect_err("is refused")).violations()[0].field,
                field
            );
        }
        let mut far = entry("far");
        far.time_ms = Some(10_000 * 1_000);
        log(&service, "shop", far).await;
        let request = GetStatisticsRequest {
            bucket_ms: Some(10_000),
            ..Default::default()
        };
        let refused = service.get_statistics(&context("shop"), request).await;
        assert_eq!(
            Error::from(refused.expect_err("1,001 buckets")).violations()[0].field,
            "bucket_ms"
        );
        service
    });
}

#[test]
fn a_cursor_serves_its_own_listing_alone() {
    check(|service| async move {
        log_many(&service, "shop", vec![entry("a"); 3]).await;
        let first = QueryLogsRequest {
            limit: Some(1),
            ..Default::default()
        };
        let cursor = service
            .query_logs(&context("shop"), first.clone())
            .await
            .expect("finds")
            .next_cursor;
        let others = [
            QueryLogsRequest {
                sort: Some("time_asc".to_owned()),
                ..first.clone()
            },
            QueryLogsRequest {
                filter: Some(AuditFilter {
                    operation: Some("a".to_owned()),
                    ..Default::default()
                }),
                ..first.clone()
            },
        ];
        for other in others {
            let refused = service
                .query_logs(
                    &context("shop"),
                    QueryLogsRequest {
                        cursor: cursor.clone(),
                        ..other
                    },
                )
                .await;
            assert_eq!(
                Error::from(refused.expect_err("is refused")).violations()[0].field,
                "cursor"
            );
        }
        let bad = QueryLogsRequest {
            cursor: Some("e30".to_owned()),
            ..first
        };
        assert!(service.query_logs(&context("shop"), bad).await.is_err());
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
