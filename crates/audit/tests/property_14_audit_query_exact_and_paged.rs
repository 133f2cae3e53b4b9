//! Property 14: for all audit queries the answer is exactly the matching records, and pages neither lose nor repeat one,
//! while others write.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test's own preparation ends the test where it fails"
)]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};

use plinth_audit::AuditService;
use plinth_audit::model::{
    AuditEntry, AuditFilter, AuditRecord, ExportLogsRequest, GetStatisticsRequest,
    LogOperationRequest, QueryLogsRequest,
};
use proptest::prelude::*;
use support::{context_of, entry, in_memory, json};

const OPERATIONS: [&str; 5] = [
    "merchant.approve",
    "merchant.reject",
    "merchant",
    "Merchant.approve",
    "审核.通过",
];
const OPERATORS: [&str; 3] = ["alice", "bob", "王芳"];
const RESOURCES: [(&str, &str); 3] = [
    ("application", "A-1"),
    ("application", "A-2"),
    ("coupon", "A-1"),
];
const RESULTS: [&str; 4] = ["success", "failure", "denied", "unknown"];
const SEVERITIES: [&str; 3] = ["info", "warning", "critical"];
const TEXTS: [&str; 6] = [
    "资料齐全, 审核通过",
    "Rejected: 100%_sure",
    "rejected",
    "审核",
    "a\\b%c_d",
    "quote \" here",
];
const NEEDLES: [&str; 10] = [
    "审核",
    "核",
    "REJECTED",
    "0%_s",
    "%",
    "_",
    "\\b",
    "\" h",
    "审核通过",
    "\"step\":2",
];
const PRINCIPALS: [&str; 2] = ["writer", "other"];

/// What is recorded: an event or an intent, or the outcome of an earlier intent.
#[derive(Clone, Debug)]
struct Write {
    choice: [usize; 7],
    time_ms: Option<i64>,
    /// Of outcomes: which of the intents before it.
    intent: Option<usize>,
    is_intent: bool,
}

fn some_write() -> impl Strategy<Value = Write> {
    let choice = any::<[u16; 7]>().prop_map(|choice| choice.map(usize::from));
    let times = prop::option::weighted(0.9, 1_000_i64..1_010);
    (
        choice,
        times,
        prop::option::weighted(0.2, 0_usize..8),
        prop::bool::weighted(0.25),
    )
        .prop_map(|(choice, time_ms, intent, is_intent)| Write {
            choice,
            time_ms,
            intent,
            is_intent,
        })
}

fn pick<T: Copy>(from: &[T], choice: usize) -> T {
    from[choice % from.len()]
}

fn entry_of(write: &Write, intents: &[String]) -> AuditEntry {
    let [operation, operator, resource, result, severity, text, other] = write.choice;
    let mut made = entry(pick(&OPERATIONS, operation));
    made.operator.id = pick(&OPERATORS, operator).to_owned();
    made.operator.roles = vec![pick(&["reviewer", "review", "admin"], other).to_owned()];
    made.operator.name = (other % 2 == 0).then(|| "Alice".to_owned());
    (made.resource.kind, made.resource.id) = {
        let (kind, id) = pick(&RESOURCES, resource);
        (kind.to_owned(), id.to_owned())
    };
    made.result = pick(&RESULTS, result).to_owned();
    made.severity = Some(pick(&SEVERITIES, severity).to_owned());
    made.time_ms = write.time_ms;
    made.reason = (text % 3 != 0).then(|| pick(&TEXTS, text).to_owned());
    made.details = (text % 4 == 0).then(|| json(&format!("{{\"step\": {}}}", text % 3)));
    made.ip = (other % 3 == 0).then(|| "10.0.0.9".to_owned());
    made.user_agent = (other % 3 == 1).then(|| "Mozilla/5.0".to_owned());
    made.trace_id = Some(format!("trace-{}", other % 2));
    match write.intent.and_then(|place| intents.get(place)) {
        Some(intent) => {
            made.phase = Some("outcome".to_owned());
            made.intent_id = Some(intent.clone());
        }
        None if write.is_intent => {
            made.phase = Some("intent".to_owned());
            made.result = "unknown".to_owned();
        }
        None => {}
    }
    made
}

fn some_filter() -> impl Strategy<Value = AuditFilter> {
    // Each condition is rare, so that most filters match something.
    let choices = prop::collection::vec(
        prop::option::weighted(0.12, any::<u16>().prop_map(usize::from)),
        17,
    );
    choices.prop_map(|choices| {
        let of = |place: usize, words: &[&str]| {
            choices[place].map(|choice| pick(words, choice).to_owned())
        };
        let many = |place: usize, words: &[&str]| {
            let chosen = choices[place].map(|choice| {
                vec![
                    pick(words, choice).to_owned(),
                    pick(words, choice / 7).to_owned(),
                ]
            });
            chosen.unwrap_or_default()
        };
        let at = |place: usize| {
            choices[place].map(|choice| 1_000 + i64::try_from(choice % 11).expect("fits"))
        };
        AuditFilter {
            operation: of(0, &OPERATIONS),
            operation_prefix: of(1, &["merchant", "merchant.", "M", "审"]),
            operator_id: of(2, &OPERATORS),
            operator_name: of(3, &["Alice", "alice"]),
            operator_role: of(4, &["reviewer", "review", "rev"]),
            resource_type: of(5, &["application", "coupon"]),
            resource_id: of(6, &["A-1", "A-2", "A-3"]),
            results: many(7, &RESULTS),
            severities: many(8, &SEVERITIES),
            ip: of(9, &["10.0.0.9", "10.0.0.8"]),
            user_agent: of(10, &["Mozilla/5.0"]),
            trace_id: of(11, &["trace-0", "trace-1"]),
            text: of(12, &NEEDLES),
            from_ms: at(13),
            to_ms: choices[14].map(|choice| 1_011 + i64::try_from(choice % 3).expect("fits")),
            recorded_by: of(15, &PRINCIPALS),
            phase: of(16, &["event", "intent", "outcome"]),
            ..AuditFilter::default()
        }
    })
}

/// A record as the model knows it: the entry, and who wrote it.
struct Known {
    entry: AuditEntry,
    principal: &'static str,
    id: String,
    index: i64,
    time_ms: i64,
    /// Place of the outcome that completes it.
    outcome: Option<usize>,
    /// Whether it is a row of its own.
    stands_alone: bool,
}

fn contains(entry: &AuditEntry, needle: &str) -> bool {
    let documents = [&entry.details, &entry.before, &entry.after];
    let documents = documents.into_iter().flatten().map(|value| {
        value
            .canonical("details")
            .expect("is JSON")
            .as_str()
            .to_owned()
    });
    let texts = entry.reason.clone().into_iter().chain(documents);
    let joined = texts.collect::<Vec<_>>().join("\n").to_ascii_lowercase();
    joined.contains(&needle.to_ascii_lowercase())
}

/// The filter, read naively.
fn matches(known: &Known, all: &[Known], filter: &AuditFilter) -> bool {
    let entry = &known.entry;
    let outcome = known.outcome.map(|place| &all[place].entry);
    let result = outcome.map_or(&entry.result, |outcome| &outcome.result);
    let is = |wanted: &Option<String>, found: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
    };
    let severity = entry.severity.clone().unwrap_or_else(|| "info".to_owned());
    known.stands_alone
        && is(&filter.operation, Some(&entry.operation))
        && filter
            .operation_prefix
            .as_ref()
            .is_none_or(|prefix| entry.operation.starts_with(prefix))
        && is(&filter.operator_id, Some(&entry.operator.id))
        && is(&filter.operator_name, entry.operator.name.as_deref())
        && filter
            .operator_role
            .as_ref()
            .is_none_or(|role| entry.operator.roles.contains(role))
        && is(&filter.resource_type, Some(&entry.resource.kind))
        && is(&filter.resource_id, Some(&entry.resource.id))
        && (filter.results.is_empty() || filter.results.contains(result))
        && (filter.severities.is_empty() || filter.severities.contains(&severity))
        && is(&filter.ip, entry.ip.as_deref())
        && is(&filter.user_agent, entry.user_agent.as_deref())
        && is(&filter.trace_id, entry.trace_id.as_deref())
        && filter.text.as_ref().is_none_or(|needle| {
            contains(entry, needle) || outcome.is_some_and(|outcome| contains(outcome, needle))
        })
        && filter.from_ms.is_none_or(|from| known.time_ms >= from)
        && filter.to_ms.is_none_or(|to| known.time_ms < to)
        && is(&filter.recorded_by, Some(known.principal))
        && is(
            &filter.phase,
            Some(entry.phase.as_deref().unwrap_or("event")),
        )
}

async fn write(service: &AuditService, tenant: &str, write: &Write, known: &mut Vec<Known>) {
    let intents: Vec<String> = known
        .iter()
        .filter(|known| known.entry.phase.as_deref() == Some("intent"))
        .map(|known| known.id.clone())
        .collect();
    let entry = entry_of(write, &intents);
    let principal = pick(&PRINCIPALS, write.choice[0] / 5);
    let request = LogOperationRequest {
        entry: entry.clone(),
    };
    let reply = service
        .log_operation(&context_of(tenant, principal, None), request)
        .await;
    let receipt = reply.expect("is recorded").receipt;
    let place = known.len();
    let intent = known.iter_mut().find(|known| {
        Some(&known.id) == entry.intent_id.as_ref()
            && known.principal == principal
            && known.outcome.is_none()
    });
    let completes = intent.is_some();
    if let Some(intent) = intent {
        intent.outcome = Some(place);
    }
    known.push(Known {
        time_ms: entry.time_ms.unwrap_or(receipt.recorded_at_ms),
        entry,
        principal,
        id: receipt.id,
        index: receipt.index.0,
        outcome: None,
        stands_alone: !completes,
    });
}

fn expected(known: &[Known], filter: &AuditFilter, ascending: bool) -> Vec<String> {
    let mut found: Vec<&Known> = known
        .iter()
        .filter(|one| matches(one, known, filter))
        .collect();
    found.sort_by_key(|known| (known.time_ms, known.index));
    if !ascending {
        found.reverse();
    }
    found.into_iter().map(|known| known.id.clone()).collect()
}

/// Reads all pages; between them, more is written.
async fn read_pages(
    service: &AuditService,
    tenant: &str,
    mut request: QueryLogsRequest,
    mut meanwhile: impl AsyncFnMut(),
) -> (Vec<AuditRecord>, Option<i64>) {
    let mut records = Vec::new();
    let mut total = None;
    let limit = usize::try_from(request.limit.unwrap_or(50)).expect("fits");
    loop {
        let context = context_of(tenant, "reader", None);
        let page = service
            .query_logs(&context, request.clone())
            .await
            .expect("finds");
        assert!(page.records.len() <= limit);
        assert!(
            page.next_cursor.is_none() || page.records.len() == limit,
            "only the last page is short"
        );
        total = total.or(page.total);
        records.extend(page.records);
        meanwhile().await;
        match page.next_cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => return (records, total),
        }
    }
}

async fn check_case(
    service: &AuditService,
    writes: Vec<Write>,
    later: Vec<Write>,
    filter: AuditFilter,
    (limit, ascending): (i64, bool),
) {
    static CASE: AtomicU64 = AtomicU64::new(0);
    let tenant = format!("tenant-{}", CASE.fetch_add(1, Ordering::Relaxed));
    let mut known = Vec::new();
    for one in &writes {
        write(service, &tenant, one, &mut known).await;
        write(service, "everybody-else", one, &mut Vec::new()).await;
    }
    let wanted = expected(&known, &filter, ascending);
    let statistics = GetStatisticsRequest {
        filter: Some(filter.clone()),
        top: Some(100),
        ..Default::default()
    };
    let context = context_of(&tenant, "reader", None);
    let counted = service
        .get_statistics(&context, statistics)
        .await
        .expect("counts");
    assert_eq!(counted.total, i64::try_from(wanted.len()).expect("fits"));
    for breakdown in [
        &counted.by_operation,
        &counted.by_result,
        &counted.by_severity,
        &counted.by_operator,
    ] {
        assert_eq!(
            breakdown.top.iter().map(|count| count.count).sum::<i64>(),
            counted.total
        );
    }
    let export = ExportLogsRequest {
        filter: Some(filter.clone()),
        format: "jsonl".to_owned(),
        ..Default::default()
    };
    let exported = service
        .export_logs(&context, export)
        .await
        .expect("exports");
    assert_eq!(exported.records, counted.total);

    let request = QueryLogsRequest {
        filter: Some(filter),
        sort: Some(if ascending { "time_asc" } else { "time_desc" }.to_owned()),
        limit: Some(limit),
        count_total: Some(true),
        ..Default::default()
    };
    let mut later = later.iter();
    let (records, total) = read_pages(service, &tenant, request, async || {
        if let Some(one) = later.next() {
            write(service, &tenant, one, &mut known).await;
        }
    })
    .await;
    let found: Vec<String> = records.iter().map(|record| record.id.clone()).collect();
    assert_eq!(found, wanted);
    assert_eq!(total, Some(counted.total));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn pages_are_exactly_the_matching_records_of_the_moment_of_the_first(
        writes in prop::collection::vec(some_write(), 0..24),
        later in prop::collection::vec(some_write(), 0..6),
        filter in some_filter(),
        paging in (1_i64..6, any::<bool>()),
    ) {
        // One log for all cases: each has a tenant of its own.
        static SERVICE: std::sync::OnceLock<(tokio::runtime::Runtime, AuditService)> = std::sync::OnceLock::new();
        let (runtime, service) = SERVICE.get_or_init(|| {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let service = runtime.block_on(in_memory());
            (runtime, service)
        });
        runtime.block_on(check_case(service, writes, later, filter, paging));
    }
}
