//! Finding: tenants, intents, the gate's records, exports, statistics, cursors.

use plinth_audit::model::{
    AuditFilter, ExportLogsRequest, GetRecordRequest, GetStatisticsRequest, LogOperationRequest,
    QueryLogsRequest,
};
use plinth_core::{
    AuditEvent, AuditOutcome, AuditSink, Error, ErrorCode, OperationId, Outcome, Resource,
    TimestampMs, Transport,
};

use crate::support::{caller, context, context_of, entry, full_entry, log, log_many};
use crate::{check, find};

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
fn a_failure_tells_what_is_known_of_its_effect() {
    check(|service| async move {
        let event = AuditEvent {
            caller: caller("shop", "alice"),
            operation: OperationId::new("db.execute_query"),
            resources: vec![Resource::new("db", "orders"), Resource::new("db", "stock")],
            transport: Transport::Http,
            at: TimestampMs(1_700_000_000_000),
        };
        for (code, effect) in [
            (ErrorCode::DatabaseQuery, Outcome::NotApplied),
            (ErrorCode::DatabaseConnection, Outcome::Unknown),
            (ErrorCode::DeadlineExceeded, Outcome::NotApplied),
            (ErrorCode::DeadlineExceeded, Outcome::Unknown),
        ] {
            let intent = service.begin(&event).await.expect("records");
            let failed = AuditOutcome::Failed(code, effect);
            let completed = service.complete(&intent, &event, failed).await;
            completed.expect("records");
        }
        let rows = find(&service, "shop", AuditFilter::default()).await;
        let shown: Vec<(&str, String)> = rows
            .iter()
            .map(|row| {
                let outcome = row.outcome.as_ref().expect("has an outcome");
                let details = outcome.details.as_ref().expect("has details");
                let details = serde_json::to_value(details).expect("is JSON");
                assert!(details.to_string().contains("db/stock"), "{details}");
                let details = match details {
                    serde_json::Value::String(text) => {
                        serde_json::from_str(&text).expect("is JSON")
                    }
                    other => other,
                };
                (row.result.as_str(), details["outcome"].to_string())
            })
            .collect();
        let quoted = |word: &str| format!("{word:?}");
        assert_eq!(
            shown,
            [
                ("failure", quoted("not_applied")),
                ("unknown", quoted("unknown")),
                ("failure", quoted("not_applied")),
                ("unknown", quoted("unknown")),
            ]
        );
        // A reader finds what may have been done and was not confirmed.
        let doubtful = AuditFilter {
            text: Some("\"outcome\":\"unknown\"".to_owned()),
            ..Default::default()
        };
        assert_eq!(find(&service, "shop", doubtful).await.len(), 2);
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
                AuditOutcome::Failed(ErrorCode::DatabaseQuery, Outcome::NotApplied),
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
