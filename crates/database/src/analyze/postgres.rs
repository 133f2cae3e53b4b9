//! `EXPLAIN (FORMAT JSON, VERBOSE …)` of PostgreSQL.

use serde_json::Value as Json;

use super::Plan;
use crate::model::PlanKind;

/// Reads the document. `None` where it is not one of PostgreSQL's.
pub(crate) fn parse(document: &str) -> Option<Plan> {
    let document: Json = serde_json::from_str(document).ok()?;
    let top = document.as_array()?.first()?;
    let mut plan = Plan {
        planning_ms: top.get("Planning Time").and_then(Json::as_f64),
        execution_ms: top.get("Execution Time").and_then(Json::as_f64),
        ..Plan::default()
    };
    // A work list, not recursion: the depth of a plan is not ours to choose.
    let mut pending = vec![(None, top.get("Plan")?)];
    while let Some((parent, node)) = pending.pop() {
        let Some(id) = add(&mut plan, parent, node) else {
            break;
        };
        if let Some(children) = node.get("Plans").and_then(Json::as_array) {
            pending.extend(children.iter().rev().map(|child| (Some(id), child)));
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

fn add(plan: &mut Plan, parent: Option<i32>, node: &Json) -> Option<i32> {
    let native = text(node, "Node Type").unwrap_or_default();
    let id = plan.add(parent, kind(&native), &native)?;
    let loops = number(node, "Actual Loops").unwrap_or(1.0).max(1.0);
    if let (Some(rows), true) = (
        number(node, "Actual Rows"),
        node.get("Relation Name").is_some(),
    ) {
        let removed = ["Rows Removed by Filter", "Rows Removed by Index Recheck"];
        let removed: f64 = removed.iter().filter_map(|key| number(node, key)).sum();
        plan.examined = Some(plan.examined.unwrap_or(0.0) + (rows + removed) * loops);
    }
    let added = plan.node_mut(id)?;
    added.relation = match (text(node, "Schema"), text(node, "Relation Name")) {
        (Some(schema), Some(name)) if schema != "public" => Some(format!("{schema}.{name}")),
        (_, name) => name,
    };
    added.index = text(node, "Index Name");
    added.rows_estimated = number(node, "Plan Rows").map(|rows| rows * loops);
    added.rows_actual = number(node, "Actual Rows").map(|rows| rows * loops);
    added.cost = number(node, "Total Cost");
    added.time_ms = number(node, "Actual Total Time").map(|time| time * loops);
    let conditions = [
        "Index Cond",
        "Recheck Cond",
        "Hash Cond",
        "Merge Cond",
        "Join Filter",
        "Filter",
        "TID Cond",
    ];
    added.condition = joined(conditions.iter().filter_map(|key| text(node, key)), " AND ");
    let facts = [
        "Join Type",
        "Strategy",
        "Sort Method",
        "Parent Relationship",
        "Subplan Name",
        "Command",
        "Rows Removed by Filter",
        "Shared Hit Blocks",
        "Shared Read Blocks",
        "Temp Written Blocks",
        "Workers Launched",
    ];
    let keys = list(node, "Sort Key")
        .map(|keys| format!("Sort Key: {keys}"))
        .into_iter()
        .chain(list(node, "Group Key").map(|keys| format!("Group Key: {keys}")));
    let facts = facts.iter().filter_map(|key| {
        let value = node.get(key)?;
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        Some(format!("{key}: {value}"))
    });
    added.detail = joined(keys.chain(facts), "; ");
    Some(id)
}

fn list(node: &Json, key: &str) -> Option<String> {
    let items = node.get(key)?.as_array()?;
    joined(
        items
            .iter()
            .filter_map(|item| item.as_str().map(str::to_owned)),
        ", ",
    )
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> Option<String> {
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join(between))
}

fn kind(native: &str) -> PlanKind {
    match native {
        "Seq Scan" | "Sample Scan" => PlanKind::FullScan,
        "Index Scan" | "Tid Scan" | "Tid Range Scan" => PlanKind::IndexScan,
        "Index Only Scan" => PlanKind::IndexOnlyScan,
        "Bitmap Heap Scan" | "Bitmap Index Scan" | "BitmapAnd" | "BitmapOr" => PlanKind::BitmapScan,
        "Sort" | "Incremental Sort" => PlanKind::Sort,
        "Nested Loop" => PlanKind::NestedLoop,
        "Hash Join" | "Hash" => PlanKind::HashJoin,
        "Merge Join" => PlanKind::MergeJoin,
        "Aggregate" | "Group" | "WindowAgg" => PlanKind::Aggregate,
        "Unique" => PlanKind::Distinct,
        "Limit" => PlanKind::Limit,
        "Append" | "Merge Append" | "SetOp" | "Recursive Union" => PlanKind::Union,
        "Subquery Scan" | "CTE Scan" | "WorkTable Scan" => PlanKind::Subquery,
        "Materialize" | "Memoize" => PlanKind::Materialize,
        "Values Scan" | "Function Scan" | "Table Function Scan" => PlanKind::Values,
        "ModifyTable" => PlanKind::Write,
        "Result" | "ProjectSet" => PlanKind::Result,
        _ => PlanKind::Other,
    }
}
