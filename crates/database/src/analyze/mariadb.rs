//! `EXPLAIN FORMAT=JSON` and `ANALYZE FORMAT=JSON` of MariaDB.
//!
//! The document nests objects under keys that name what is done (`filesort`, `temporary_table`, `nested_loop` …), around
//! `table` objects. Known keys become nodes; others are looked through.

use serde_json::Value as Json;

use super::Plan;
use crate::model::PlanKind;

/// Reads the document. `None` where it is not one of MariaDB's.
pub(crate) fn parse(document: &str) -> Option<Plan> {
    let document: Json = serde_json::from_str(document).ok()?;
    let block = document.get("query_block")?;
    let mut plan = Plan {
        execution_ms: number(block, "r_total_time_ms"),
        ..Plan::default()
    };
    if let Some(optimization) = document.get("query_optimization") {
        plan.planning_ms = number(optimization, "r_total_time_ms");
    }
    // A work list, not recursion: the depth of a plan is not ours to choose.
    let mut pending: Vec<(Option<i32>, &str, &Json)> = vec![(None, "query_block", block)];
    while let Some((parent, key, value)) = pending.pop() {
        match value {
            Json::Array(items) => {
                pending.extend(items.iter().rev().map(|item| (parent, key, item)));
            }
            Json::Object(fields) => {
                let below = match kind(key, parent) {
                    Some(kind) => Some(add(&mut plan, parent, kind, key, value)?),
                    None => parent,
                };
                pending.extend(
                    fields
                        .iter()
                        .rev()
                        .filter(|(_, field)| field.is_object() || field.is_array())
                        .map(|(key, field)| (below, key.as_str(), field)),
                );
            }
            _ => {}
        }
    }
    Some(plan)
}

fn text(node: &Json, key: &str) -> Option<String> {
    node.get(key).and_then(Json::as_str).map(str::to_owned)
}

fn number(node: &Json, key: &str) -> Option<f64> {
    node.get(key).and_then(Json::as_f64)
}

fn kind(key: &str, parent: Option<i32>) -> Option<PlanKind> {
    Some(match key {
        "query_block" if parent.is_none() => PlanKind::Result,
        "query_block" | "subqueries" | "expression_cache" => PlanKind::Subquery,
        "nested_loop" => return None,
        "table" => PlanKind::Other,
        "filesort" => PlanKind::Sort,
        "temporary_table" => PlanKind::TempTable,
        "block-nl-join" => PlanKind::NestedLoop,
        "union_result" => PlanKind::Union,
        "materialized" => PlanKind::Materialize,
        "duplicates_removal" => PlanKind::Distinct,
        "window_functions_computation" => PlanKind::Aggregate,
        _ => return None,
    })
}

fn add(
    plan: &mut Plan,
    parent: Option<i32>,
    kind: PlanKind,
    key: &str,
    value: &Json,
) -> Option<i32> {
    if key == "table" {
        return add_table(plan, parent, value);
    }
    let id = plan.add(parent, kind, key)?;
    let node = plan.node_mut(id)?;
    node.rows_actual = number(value, "r_output_rows")
        .map(|rows| rows * number(value, "r_loops").unwrap_or(1.0).max(1.0));
    node.time_ms = number(value, "r_total_time_ms");
    node.cost = number(value, "cost");
    node.condition = text(value, "having_condition").or_else(|| text(value, "attached_condition"));
    node.detail = text(value, "sort_key")
        .map(|keys| format!("sort_key: {keys}"))
        .or_else(|| text(value, "message"));
    Some(id)
}

fn add_table(plan: &mut Plan, parent: Option<i32>, table: &Json) -> Option<i32> {
    let access = text(table, "access_type").unwrap_or_default();
    let covering = table.get("using_index").and_then(Json::as_bool) == Some(true);
    let kind = match access.as_str() {
        "ALL" => PlanKind::FullScan,
        "const" | "system" | "eq_ref" => PlanKind::KeyLookup,
        "index_merge" => PlanKind::BitmapScan,
        "" => PlanKind::Result,
        _ if covering => PlanKind::IndexOnlyScan,
        _ => PlanKind::IndexScan,
    };
    let loops = number(table, "r_loops").unwrap_or(1.0).max(1.0);
    if let Some(rows) = number(table, "r_rows") {
        plan.examined = Some(plan.examined.unwrap_or(0.0) + rows * loops);
    }
    let id = plan.add(
        parent,
        kind,
        if access.is_empty() { "table" } else { &access },
    )?;
    let node = plan.node_mut(id)?;
    // `<derived2>`, `<subquery2>` and `<union1,2>` are no tables.
    node.relation = text(table, "table_name").filter(|name| !name.starts_with('<'));
    node.index = text(table, "key");
    let filtered = number(table, "filtered").unwrap_or(100.0) / 100.0;
    node.rows_estimated = number(table, "rows").map(|rows| rows * filtered * loops);
    let actually_filtered = number(table, "r_filtered").unwrap_or(100.0) / 100.0;
    node.rows_actual = number(table, "r_rows").map(|rows| rows * actually_filtered * loops);
    node.cost = number(table, "cost");
    node.time_ms = number(table, "r_total_time_ms").or_else(|| number(table, "r_table_time_ms"));
    let conditions: Vec<String> = ["attached_condition", "index_condition"]
        .iter()
        .filter_map(|key| text(table, key))
        .collect();
    node.condition = (!conditions.is_empty()).then(|| conditions.join(" AND "));
    let examined = number(table, "rows").map(|rows| format!("rows examined: {rows}"));
    let message = text(table, "message");
    let facts: Vec<String> = examined.into_iter().chain(message).collect();
    node.detail = (!facts.is_empty()).then(|| facts.join("; "));
    Some(id)
}
