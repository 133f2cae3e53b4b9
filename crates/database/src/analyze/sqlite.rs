//! `EXPLAIN QUERY PLAN` of SQLite: rows of (id, parent, unused, text), the text for people but of few forms.

use std::collections::HashMap;

use super::Plan;
use crate::model::{PlanKind, Value};

/// Reads the rows.
pub(crate) fn parse(rows: &[Vec<Value>]) -> Plan {
    let mut plan = Plan::default();
    let root = plan.add(None, PlanKind::Result, "QUERY PLAN");
    // SQLite's ids are places in its program; children come after their parents, so one pass finds the tree, and a
    // second one puts it into pre-order.
    let mut children: HashMap<i64, Vec<(i64, &str)>> = HashMap::new();
    for row in rows {
        if let [Value::Int(id), Value::Int(parent), _, Value::Text(text)] = row.as_slice() {
            children.entry(*parent).or_default().push((*id, text));
        }
    }
    let mut pending: Vec<(Option<i32>, i64, &str)> = Vec::new();
    push_children(&mut pending, &mut children, root, 0);
    while let Some((parent, id, text)) = pending.pop() {
        let Some(added) = add(&mut plan, parent, text) else {
            break;
        };
        push_children(&mut pending, &mut children, Some(added), id);
    }
    plan
}

fn push_children<'a>(
    pending: &mut Vec<(Option<i32>, i64, &'a str)>,
    children: &mut HashMap<i64, Vec<(i64, &'a str)>>,
    parent: Option<i32>,
    id: i64,
) {
    let below = children.remove(&id).unwrap_or_default();
    pending.extend(below.into_iter().rev().map(|(id, text)| (parent, id, text)));
}

fn add(plan: &mut Plan, parent: Option<i32>, text: &str) -> Option<i32> {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let id = plan.add(parent, kind(verb, text), native(verb, text))?;
    let node = plan.node_mut(id)?;
    if matches!(verb, "SCAN" | "SEARCH") {
        let (name, access) = rest.split_once(' ').unwrap_or((rest, ""));
        // "SCAN 2-ROW VALUES CLAUSE", "SCAN (subquery-1)", "SCAN CONSTANT ROW" are no tables.
        let is_table =
            !name.starts_with('(') && !text.contains("VALUES CLAUSE") && name != "CONSTANT";
        node.relation = is_table.then(|| name.to_owned());
        node.index = after(access, "INDEX ").map(str::to_owned);
        node.condition = access
            .find('(')
            .and_then(|at| access.get(at + 1..))
            .and_then(|condition| condition.strip_suffix(')'))
            .map(str::to_owned);
    }
    node.detail = Some(text.to_owned());
    Some(id)
}

/// The word after a marker.
fn after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    let rest = text.get(text.find(marker)? + marker.len()..)?;
    rest.split_whitespace()
        .next()
        .filter(|word| !word.starts_with('('))
}

fn native<'a>(verb: &'a str, text: &'a str) -> &'a str {
    if matches!(verb, "SCAN" | "SEARCH") {
        verb
    } else {
        text
    }
}

fn kind(verb: &str, text: &str) -> PlanKind {
    let covering = text.contains("COVERING INDEX");
    match verb {
        "SCAN" if text.contains("VALUES CLAUSE") || text.contains("CONSTANT ROW") => {
            PlanKind::Values
        }
        "SCAN" if text.starts_with("SCAN (") => PlanKind::Subquery,
        "SCAN" if covering => PlanKind::IndexOnlyScan,
        "SCAN" if text.contains("USING INDEX") => PlanKind::IndexScan,
        "SCAN" => PlanKind::FullScan,
        "SEARCH" if text.contains("INTEGER PRIMARY KEY (rowid=?)") => PlanKind::KeyLookup,
        "SEARCH" if covering => PlanKind::IndexOnlyScan,
        "SEARCH" => PlanKind::IndexScan,
        "USE" if text.contains("DISTINCT") => PlanKind::Distinct,
        "USE" if text.contains("GROUP BY") => PlanKind::Aggregate,
        "USE" => PlanKind::Sort,
        "MULTI-INDEX" => PlanKind::BitmapScan,
        "COMPOUND" | "UNION" | "UNION ALL" | "INTERSECT" | "EXCEPT" | "MERGE" => PlanKind::Union,
        "LEFT-MOST" | "SCALAR" | "CORRELATED" | "LIST" | "CO-ROUTINE" => PlanKind::Subquery,
        "MATERIALIZE" => PlanKind::Materialize,
        _ => PlanKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_in_pre_order() {
        let row = |id, parent, text: &str| {
            vec![
                Value::Int(id),
                Value::Int(parent),
                Value::Int(0),
                Value::Text(text.to_owned()),
            ]
        };
        let plan = parse(&[
            row(1, 0, "CO-ROUTINE s"),
            row(5, 0, "SCAN s"),
            row(2, 1, "SEARCH o USING INDEX o_state (state=?)"),
            row(9, 0, "USE TEMP B-TREE FOR ORDER BY"),
        ]);
        let shape: Vec<(i32, PlanKind)> = plan
            .nodes
            .iter()
            .map(|node| (node.depth, node.kind))
            .collect();
        assert_eq!(
            shape,
            [
                (0, PlanKind::Result),
                (1, PlanKind::Subquery),
                (2, PlanKind::IndexScan),
                (1, PlanKind::FullScan),
                (1, PlanKind::Sort),
            ]
        );
        assert_eq!(plan.nodes[2].index.as_deref(), Some("o_state"));
        assert_eq!(plan.nodes[2].condition.as_deref(), Some("state=?"));
    }
}
