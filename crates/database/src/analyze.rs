//! Plans of three engines in one form, and what is wrong with them.

pub(crate) mod findings;
pub(crate) mod mariadb;
pub(crate) mod postgres;
pub(crate) mod sqlite;
pub(crate) mod syntax;

use crate::model::{PlanKind, PlanNode};

/// Most nodes of a plan that are kept.
pub(crate) const PLAN_NODES_MAX: usize = 10_000;

/// A plan in pre-order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) nodes: Vec<PlanNode>,
    pub(crate) planning_ms: Option<f64>,
    pub(crate) execution_ms: Option<f64>,
    /// Rows that were looked at, over all tables; where the statement was run and the engine counts.
    pub(crate) examined: Option<f64>,
}

impl Plan {
    /// Adds a node below another and returns its id; `None` where the plan is full.
    pub(crate) fn add(&mut self, parent: Option<i32>, kind: PlanKind, native: &str) -> Option<i32> {
        if self.nodes.len() >= PLAN_NODES_MAX {
            return None;
        }
        let id = i32::try_from(self.nodes.len()).ok()?;
        let depth = parent
            .and_then(|parent| self.node(parent))
            .map_or(0, |above| above.depth + 1);
        self.nodes.push(PlanNode {
            id,
            parent,
            depth,
            kind,
            engine_kind: native.to_owned(),
            relation: None,
            index: None,
            rows_estimated: None,
            rows_actual: None,
            cost: None,
            time_ms: None,
            condition: None,
            detail: None,
        });
        Some(id)
    }

    /// A node by its id.
    pub(crate) fn node(&self, id: i32) -> Option<&PlanNode> {
        self.nodes.get(usize::try_from(id).ok()?)
    }

    /// A node by its id, to be filled in.
    pub(crate) fn node_mut(&mut self, id: i32) -> Option<&mut PlanNode> {
        self.nodes.get_mut(usize::try_from(id).ok()?)
    }

    /// The nodes above a node, nearest first.
    pub(crate) fn above<'a>(&'a self, node: &PlanNode) -> impl Iterator<Item = &'a PlanNode> {
        std::iter::successors(node.parent.and_then(|id| self.node(id)), |node| {
            node.parent.and_then(|id| self.node(id))
        })
    }

    /// Tables that the plan reads, each once.
    pub(crate) fn relations(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .nodes
            .iter()
            .filter_map(|node| node.relation.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }
}
