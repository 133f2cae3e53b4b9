//! Recording: completeness, order, batches, idempotency, limits.

use std::sync::Arc;

use plinth_audit::model::{AuditEntry, AuditFilter, LogBatchRequest, LogOperationRequest};
use plinth_core::{Error, ErrorCode};

use crate::support::{context, context_of, entry, full_entry, json, log, log_many};
use crate::{body_bytes, check, find, refusal};

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
