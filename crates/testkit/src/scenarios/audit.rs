//! The `audit` block.

use anyhow::Result;
use futures::future::BoxFuture;
use plinth_client::{AuditEntry, AuditExport, AuditFilter, AuditQuery, AuditRecord};
use serde_json::{Value, json};

use super::{Log, Rig, Scenario, refused};

/// The scenarios of the audit log.
pub(super) fn scenarios() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "audit: a record comes back whole, with a proof against a signed checkpoint",
            run: record_and_proof,
            expect: || {
                json!([
                    {
                        "operator": { "id": "user-7", "name": "王芳", "roles": ["reviewer"] },
                        "resource": { "type": "application", "id": "A-1" },
                        "result": "success", "severity": "notice", "reason": "资料齐全, 审核通过",
                        "time_ms": 1_700_000_000_123_i64, "ip": "2001:db8::1", "user_agent": "Mozilla/5.0",
                        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "phase": "event", "source": "caller",
                        "details": { "channel": "web", "score": 98.5 },
                        "before": { "status": "manual_review" }, "after": { "status": "approved" },
                    },
                    { "same_record": true, "same_leaf": true, "leaf_in_tree": true, "proof": true, "entry": true },
                    refused(1004, "NOT_FOUND", &[]),
                    refused(1001, "INVALID_ARGUMENT", &["record"]),
                ])
            },
        },
        Scenario {
            name: "audit: a batch is recorded as a whole or not at all, and a key records once",
            run: batches_and_keys,
            expect: || {
                json!([
                    [1, 1],
                    refused(1001, "INVALID_ARGUMENT", &["entries[1].result"]),
                    refused(1001, "INVALID_ARGUMENT", &["entries"]),
                    "same receipt",
                    refused(1005, "CONFLICT", &[]),
                    4,
                ])
            },
        },
        Scenario {
            name: "audit: what breaks a limit is refused by the name of its field",
            run: limits,
            expect: || {
                json!([
                    refused(1001, "INVALID_ARGUMENT", &["entry.operation"]),
                    refused(1001, "INVALID_ARGUMENT", &["entry.result"]),
                    refused(1001, "INVALID_ARGUMENT", &["entry.time_ms"]),
                    refused(1001, "INVALID_ARGUMENT", &["entry.ip"]),
                    refused(1001, "INVALID_ARGUMENT", &["entry.intent_id"]),
                    refused(1007, "TOO_LARGE", &["entry.details"]),
                    refused(1001, "INVALID_ARGUMENT", &["filter.phase"]),
                    refused(1001, "INVALID_ARGUMENT", &["limit"]),
                    refused(1001, "INVALID_ARGUMENT", &["sort"]),
                    refused(1001, "INVALID_ARGUMENT", &["cursor"]),
                    refused(1001, "INVALID_ARGUMENT", &["format"]),
                    refused(1001, "INVALID_ARGUMENT", &["bucket_ms"]),
                    refused(1001, "INVALID_ARGUMENT", &["top"]),
                ])
            },
        },
        Scenario {
            name: "audit: pages show one snapshot while others write",
            run: pages,
            expect: || {
                json!([
                    ["op.4", "op.3"],
                    5,
                    ["op.2", "op.1"],
                    ["op.0"],
                    "end",
                    ["op.1"],
                    ["op.3"]
                ])
            },
        },
        Scenario {
            name: "audit: intent and outcome are one row, an open intent is unknown",
            run: intents,
            expect: || json!([["unknown", null], ["failure", "余额不足"], 1, 1]),
        },
        Scenario {
            name: "audit: an export is one file in pieces, statistics count it",
            run: export_and_statistics,
            expect: || {
                json!([
                    { "lines": 4, "header": true, "guarded": true },
                    { "lines": 3, "operations": ["=a", "=a", "b"] },
                    {
                        "total": 3, "by_operation": [["=a", 2], ["b", 1]], "by_result": [["success", 3]],
                        "by_time": [[0, 2], [1_000, 0], [2_000, 1]], "other": 0,
                    },
                ])
            },
        },
        Scenario {
            name: "audit: the log verifies and extends what was seen",
            run: verification,
            expect: || json!([{ "valid": true, "whole": true }, { "valid": true, "grew": true }, ["pinned", false]]),
        },
        Scenario {
            name: "audit: the gate records what passes it",
            run: gate_records,
            expect: || json!([true, ["success", "audit", "*"]]),
        },
    ]
}

fn entry(operation: &str) -> AuditEntry {
    AuditEntry::new(operation, "user-1", ("application", "A-1"), "success")
}

/// All records of a filter, earliest first.
async fn find(rig: &Rig, filter: AuditFilter) -> Result<Vec<AuditRecord>> {
    let query = AuditQuery {
        filter,
        sort: Some("time_asc".to_owned()),
        ..AuditQuery::default()
    };
    Ok(rig.client.audit().query(&query).await?.records)
}

/// The records of this run under a prefix.
fn under(prefix: &str) -> AuditFilter {
    AuditFilter {
        operation_prefix: Some(prefix.to_owned()),
        ..AuditFilter::default()
    }
}

fn record_and_proof<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let audit = rig.client.audit();
        let mut entry = entry(&rig.name("approve"));
        entry.operator.id = "user-7".to_owned();
        entry.operator.name = Some("王芳".to_owned());
        entry.operator.roles = vec!["reviewer".to_owned()];
        let entry = AuditEntry {
            time_ms: Some(1_700_000_000_123),
            severity: Some("notice".to_owned()),
            reason: Some("资料齐全, 审核通过".to_owned()),
            details: Some(json!({ "score": 98.5, "channel": "web" })),
            before: Some(json!({ "status": "manual_review" })),
            after: Some(json!({ "status": "approved" })),
            ip: Some("2001:DB8:0::1".to_owned()),
            user_agent: Some("Mozilla/5.0".to_owned()),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
            ..entry
        };
        let receipt = audit.log(&entry, None).await?;
        for record in find(rig, under(&rig.name("approve"))).await? {
            log.note(facts(&record));
        }
        let found = audit.get(&receipt.id).await?;
        let proof = &found.proof;
        let lines = proof
            .tlog_proof
            .lines()
            .filter(|line| !line.is_empty())
            .count();
        log.note(json!({
            "same_record": found.record.id == receipt.id,
            "same_leaf": proof.leaf_index == receipt.index && found.record.index == receipt.index,
            "leaf_in_tree": proof.leaf_index < proof.tree_size,
            "proof": lines == 2 + proof.hashes.len() + proof.checkpoint.lines().filter(|line| !line.is_empty()).count(),
            "entry": String::from_utf8_lossy(&proof.entry).contains(&receipt.id),
        }));
        let absent = audit.get("00000000-0000-7000-8000-000000000000").await;
        log.outcome(absent, |_| "found");
        log.outcome(audit.get("no id").await, |_| "found");
        Ok(())
    })
}

fn facts(record: &AuditRecord) -> Value {
    json!({
        "operator": record.operator, "resource": record.resource, "result": record.result,
        "severity": record.severity, "reason": record.reason, "time_ms": record.time_ms, "ip": record.ip,
        "user_agent": record.user_agent, "trace_id": record.trace_id, "phase": record.phase,
        "source": record.source, "details": record.details, "before": record.before, "after": record.after,
    })
}

fn batches_and_keys<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (audit, name) = (rig.client.audit(), rig.name("batch"));
        let receipts = audit.log_batch(&vec![entry(&name); 3], None).await?;
        let steps: Vec<i64> = receipts
            .iter()
            .zip(receipts.iter().skip(1))
            .map(|(before, after)| after.index - before.index)
            .collect();
        log.note(steps);
        let mut bad = vec![entry(&name); 3];
        if let Some(second) = bad.get_mut(1) {
            second.result = "splendid".to_owned();
        }
        log.outcome(audit.log_batch(&bad, None).await, |_| "recorded");
        log.outcome(audit.log_batch(&[], None).await, |_| "recorded");
        let key = Some(rig.name("key"));
        let first = audit.log(&entry(&name), key.clone()).await?;
        let again = audit.log(&entry(&name), key.clone()).await?;
        log.note(if first == again {
            "same receipt"
        } else {
            "another receipt"
        });
        log.outcome(audit.log(&entry("other"), key).await, |_| "recorded");
        log.note(find(rig, under(&name)).await?.len());
        Ok(())
    })
}

fn limits<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let audit = rig.client.audit();
        let spoiled: [fn(&mut AuditEntry); 6] = [
            |entry| entry.operation = "o".repeat(129),
            |entry| entry.result = "ok".to_owned(),
            |entry| entry.time_ms = Some(-1),
            |entry| entry.ip = Some("1.2.3".to_owned()),
            |entry| entry.phase = Some("outcome".to_owned()),
            |entry| entry.details = Some(json!("d".repeat(49_151))),
        ];
        for spoil in spoiled {
            let mut entry = entry("limits");
            spoil(&mut entry);
            log.outcome(audit.log(&entry, None).await, |_| "recorded");
        }
        let words = |word: &str| Some(word.to_owned());
        let phase = AuditFilter {
            phase: words("middle"),
            ..AuditFilter::default()
        };
        for query in [
            AuditQuery {
                filter: phase,
                ..AuditQuery::default()
            },
            AuditQuery {
                limit: Some(1_001),
                ..AuditQuery::default()
            },
            AuditQuery {
                sort: words("name"),
                ..AuditQuery::default()
            },
            AuditQuery {
                cursor: words("%"),
                ..AuditQuery::default()
            },
        ] {
            log.outcome(audit.query(&query).await, |_| "found");
        }
        let export = AuditExport {
            format: "xml".to_owned(),
            ..AuditExport::default()
        };
        log.outcome(audit.export(&export).await, |_| "exported");
        let everything = AuditFilter::default();
        log.outcome(
            audit.statistics(&everything, Some(999), None).await,
            |_| "counted",
        );
        log.outcome(
            audit.statistics(&everything, None, Some(101)).await,
            |_| "counted",
        );
        Ok(())
    })
}

fn operations(records: &[AuditRecord], prefix: &str) -> Vec<String> {
    let short = |record: &AuditRecord| record.operation.replacen(prefix, "op", 1);
    records.iter().map(short).collect()
}

fn pages<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (audit, name) = (rig.client.audit(), rig.name("page"));
        for place in 0..5 {
            let entry = AuditEntry {
                time_ms: Some(1_000 + place),
                reason: Some(format!("第{place}次审核 100%_")),
                ..entry(&format!("{name}.{place}"))
            };
            audit.log(&entry, None).await?;
        }
        let mut query = AuditQuery {
            filter: under(&name),
            limit: Some(2),
            count_total: true,
            ..AuditQuery::default()
        };
        for round in 0..3 {
            let page = audit.query(&query).await?;
            log.note(operations(&page.records, &name));
            if round == 0 {
                log.note(page.total);
            }
            query.count_total = false;
            query.cursor = page.next_cursor;
            // What is recorded now belongs to no page, wherever its time would put it.
            let later = AuditEntry {
                time_ms: Some(1_001),
                ..entry(&format!("{name}.later"))
            };
            audit.log(&later, None).await?;
        }
        log.note(if query.cursor.is_none() {
            "end"
        } else {
            "more"
        });
        for text in ["1次审核 100%_", "第3"] {
            let filter = AuditFilter {
                text: Some(text.to_owned()),
                ..under(&name)
            };
            log.note(operations(&find(rig, filter).await?, &name));
        }
        Ok(())
    })
}

fn intents<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let (audit, name) = (rig.client.audit(), rig.name("pay"));
        let phased = |phase: &str, result: &str| {
            let mut entry = entry(&name);
            entry.phase = Some(phase.to_owned());
            entry.result = result.to_owned();
            entry
        };
        let intent = audit.log(&phased("intent", "unknown"), None).await?;
        for _ in 0..2 {
            let rows = find(rig, under(&name)).await?;
            let shown = rows.first().map(|row| {
                json!([
                    row.result,
                    row.outcome.as_ref().map(|outcome| &outcome.reason)
                ])
            });
            log.note(shown);
            let mut outcome = phased("outcome", "failure");
            outcome.intent_id = Some(intent.id.clone());
            outcome.reason = Some("余额不足".to_owned());
            if rows.iter().all(|row| row.outcome.is_none()) {
                audit.log(&outcome, None).await?;
            }
        }
        for filter in [
            AuditFilter {
                results: vec!["failure".to_owned()],
                ..under(&name)
            },
            AuditFilter {
                text: Some("余额".to_owned()),
                ..under(&name)
            },
        ] {
            log.note(find(rig, filter).await?.len());
        }
        Ok(())
    })
}

/// All pieces of an export, put one after the other.
async fn export(rig: &Rig, filter: AuditFilter, format: &str) -> Result<String> {
    let mut request = AuditExport {
        filter,
        format: format.to_owned(),
        limit: Some(2),
        ..AuditExport::default()
    };
    let mut file = Vec::new();
    loop {
        let piece = rig.client.audit().export(&request).await?;
        file.extend_from_slice(&piece.data);
        match piece.next_cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => return Ok(String::from_utf8(file)?),
        }
    }
}

fn export_and_statistics<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let id = rig.name("export");
        let filter = AuditFilter {
            resource_id: Some(id.clone()),
            ..AuditFilter::default()
        };
        for (operation, time_ms) in [("=a", 0), ("=a", 999), ("b", 2_000)] {
            let mut entry = entry(operation);
            entry.resource.id.clone_from(&id);
            entry.time_ms = Some(time_ms);
            rig.client.audit().log(&entry, None).await?;
        }
        let file = export(rig, filter.clone(), "csv").await?;
        log.note(json!({
            "lines": file.lines().count(), "header": file.starts_with("id,index,tenant,"),
            "guarded": file.matches(",'=a,").count() == 2,
        }));
        let file = export(rig, filter.clone(), "jsonl").await?;
        let records: Result<Vec<Value>, _> = file.lines().map(serde_json::from_str).collect();
        let operations: Vec<Value> = records?
            .iter()
            .map(|record| record["operation"].clone())
            .collect();
        log.note(json!({ "lines": operations.len(), "operations": operations }));
        let statistics = rig
            .client
            .audit()
            .statistics(&filter, Some(1_000), None)
            .await?;
        let top = |breakdown: &plinth_client::AuditBreakdown| -> Vec<Value> {
            breakdown
                .top
                .iter()
                .map(|count| json!([count.key, count.count]))
                .collect()
        };
        let by_time: Vec<Value> = statistics
            .by_time
            .iter()
            .map(|bucket| json!([bucket.from_ms, bucket.count]))
            .collect();
        log.note(json!({
            "total": statistics.total, "by_operation": top(&statistics.by_operation),
            "by_result": top(&statistics.by_result), "by_time": by_time,
            "other": statistics.by_operation.other_count,
        }));
        Ok(())
    })
}

fn verification<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let audit = rig.client.audit();
        let receipt = audit.log(&entry("verify"), None).await?;
        audit.get(&receipt.id).await?;
        let first = audit.verify(None).await?;
        log.note(
            json!({ "valid": first.valid, "whole": first.entries_checked == first.tree_size }),
        );
        let receipt = audit.log(&entry("verify"), None).await?;
        audit.get(&receipt.id).await?;
        let second = audit.verify(Some(&first.checkpoint)).await?;
        log.note(json!({ "valid": second.valid, "grew": second.tree_size > first.tree_size }));
        let refuted = audit.verify(Some("no checkpoint of this log")).await?;
        log.note(json!([
            refuted.discrepancy.map(|found| found.kind),
            refuted.valid
        ]));
        Ok(())
    })
}

fn gate_records<'run>(rig: &'run Rig, log: &'run mut Log) -> BoxFuture<'run, Result<()>> {
    Box::pin(async move {
        let audit = rig.client.audit();
        audit
            .statistics(&AuditFilter::default(), None, None)
            .await?;
        let filter = AuditFilter {
            source: Some("gate".to_owned()),
            operation: Some("audit.get_statistics".to_owned()),
            results: vec!["success".to_owned()],
            ..AuditFilter::default()
        };
        let rows = find(rig, filter).await?;
        log.note(!rows.is_empty());
        log.note(
            rows.first()
                .map(|row| json!([row.result, row.resource.kind, row.resource.id])),
        );
        Ok(())
    })
}
