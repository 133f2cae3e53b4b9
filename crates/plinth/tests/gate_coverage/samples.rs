//! One valid request for each operation, in the words of the IDL.

use serde_json::{Value, json};

/// What only the tenant's own credential may ever show.
pub(crate) const MARKER: &str = "marker-of-the-tenant";

/// What the server named.
pub(crate) struct Names {
    /// Id of a key.
    pub(crate) key_id: String,
    /// Id of an audit record.
    pub(crate) record: String,
}

impl Names {
    /// Names that are well-formed and name nothing.
    pub(crate) fn of_nothing() -> Self {
        Self {
            key_id: "nothing".to_owned(),
            record: "01890000-0000-7000-8000-000000000000".to_owned(),
        }
    }
}

/// The id of the record that a receipt names.
pub(crate) fn record_id(reply: &Value) -> String {
    let receipt = &reply["receipt"];
    let id = receipt["record"]
        .as_str()
        .or_else(|| receipt["id"].as_str());
    id.unwrap_or_else(|| panic!("no record in {reply}"))
        .to_owned()
}

/// A valid request for an operation.
pub(crate) fn sample(id: &str, names: &Names) -> Value {
    match id.split_once('.') {
        Some(("cache", method)) => cache(method),
        Some(("queue", method)) => queue(method),
        Some(("monitor", method)) => monitor(method),
        Some(("audit", method)) => audit(method, names),
        Some(("db", method)) => database(method),
        Some(("lock", method)) => lock(method),
        Some(("access", method)) => access(method, names),
        _ => json!({}),
    }
}

fn cache(method: &str) -> Value {
    let mut request = match method {
        "set" => json!({ "key": "k", "value": "v" }),
        "get" | "delete" => json!({ "key": "k" }),
        "expire" => json!({ "key": "k", "ttl_ms": 60_000 }),
        "batch_set" => json!({ "items": [{ "key": "k", "value": "v" }] }),
        "batch_delete" => json!({ "items": [{ "key": "k" }] }),
        "batch_get" | "exists" | "refresh" | "preload" => json!({ "keys": ["k"] }),
        "get_and_touch" | "get_or_lease" => json!({ "key": "k" }),
        "increment" => json!({ "key": "n", "initial": 0 }),
        "append" => json!({ "key": "log", "value": "v" }),
        "invalidate_tags" => json!({ "tags": ["t"] }),
        "define_namespace" => json!({ "settings": {} }),
        "list_namespaces" => return json!({}),
        "release_lease" => json!({ "key": "k", "lease_token": 1 }),
        _ => json!({}),
    };
    request["namespace_name"] = json!("matrix");
    request
}

fn queue(method: &str) -> Value {
    let message = json!({ "exchange": "matrix", "routing_key": "k", "body": "v" });
    match method {
        "publish" => json!({ "message": message }),
        "publish_batch" => json!({ "messages": [message] }),
        "subscribe" => json!({ "subscription": "matrix-s", "queue": "matrix-q" }),
        "unsubscribe" => json!({ "subscription": "matrix-s" }),
        "ack" | "retry" | "dead" => json!({ "queue": "matrix-q", "receipts": ["1"] }),
        "list_queues" => json!({}),
        "bind" => json!({
            "exchange": "matrix", "exchange_type": "direct", "queue": "matrix-q", "routing_key": "k",
        }),
        "unbind" => json!({ "exchange": "matrix", "queue": "matrix-q", "routing_key": "k" }),
        _ => json!({ "queue": "matrix-q" }),
    }
}

fn monitor(method: &str) -> Value {
    match method {
        "record_metric" => {
            json!({ "metric": "matrix_gauge", "value": 2.0, "metric_type": "gauge" })
        }
        "record_batch" => json!({
            "samples": [{ "metric": "matrix_gauge", "value": 2.0, "metric_type": "gauge" }],
        }),
        "increment_counter" => json!({ "metric": "matrix_counter" }),
        "record_histogram" => json!({ "metric": "matrix_histogram", "observations": [1.0] }),
        "set_gauge" => json!({ "metric": "matrix_gauge", "value": 2.0 }),
        "register_metric" => json!({ "metric": "matrix_other", "metric_type": "gauge" }),
        "get_metrics" => json!({ "metric": "matrix_gauge", "aggregate": "last" }),
        _ => json!({}),
    }
}

fn audit(method: &str, names: &Names) -> Value {
    let entry = json!({
        "operation": "matrix.walk", "operator": { "id": "tester" },
        "resource": { "type": "matrix", "id": "1" }, "result": "success",
    });
    match method {
        "log_operation" => json!({ "entry": entry }),
        "log_batch" => json!({ "entries": [entry] }),
        "get_record" => json!({ "record": names.record }),
        "export_logs" => json!({ "format": "jsonl" }),
        _ => json!({}),
    }
}

fn database(method: &str) -> Value {
    let facts = "SELECT fact FROM facts";
    match method {
        "register_database" => {
            json!({ "database": "matrix-db", "engine": "sqlite", "url": "matrix.db" })
        }
        "execute_query" | "analyze_query" => json!({ "database": "matrix-db", "sql": facts }),
        "execute_transaction" => json!({ "database": "matrix-db", "steps": [{ "sql": facts }] }),
        "get_index_suggestions" => json!({ "database": "matrix-db", "sql": facts }),
        "list_databases" => json!({}),
        _ => json!({ "database": "matrix-db" }),
    }
}

fn lock(method: &str) -> Value {
    let claims = json!([{ "lock": "matrix-lock", "token": 1 }]);
    match method {
        "acquire" => json!({ "locks": [{ "lock": "matrix-lock" }], "owner": "matrix" }),
        "renew" | "release" => json!({ "owner": "matrix", "claims": claims }),
        "verify" => json!({ "lock": "matrix-lock", "token": 1 }),
        "list" => json!({}),
        "force_release" => json!({ "lock": "matrix-lock", "reason": "matrix" }),
        _ => json!({ "lock": "matrix-lock" }),
    }
}

fn access(method: &str, names: &Names) -> Value {
    match method {
        "create_tenant" => json!({ "tenant": "matrix" }),
        "create_key" => json!({ "principal": "matrix-app" }),
        "revoke_key" => json!({ "key_id": names.key_id }),
        "bind_role" | "unbind_role" => json!({ "principal": "matrix-app", "role": "developer" }),
        _ => json!({}),
    }
}
