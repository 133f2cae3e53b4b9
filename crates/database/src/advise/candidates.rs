//! Columns that an index could help with, from the syntax tree.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, LimitClause, OrderByKind, OrderBySort, Query, Select,
    SetExpr, Statement, TableFactor, Value as Literal, Visit, Visitor,
};

use crate::analyze::syntax::{columns, placeholder_index, plain_name};

/// Most columns of an advised index.
const WIDTH_MAX: usize = 3;

/// An index that may help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its columns in order.
    pub(crate) columns: Vec<String>,
    /// Why these, in this order.
    pub(crate) reason: String,
}

/// A query over one table.
#[derive(Debug)]
pub(crate) struct SingleTable {
    /// Its name, with the schema where one was written.
    pub(crate) table: String,
    /// Whether the statement gives it another name.
    pub(crate) aliased: bool,
    /// What may help.
    pub(crate) candidates: Vec<Candidate>,
    /// What stands for a placeholder, by its number from 0.
    pub(crate) placeholders: HashMap<usize, Stand>,
}

/// What a placeholder is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// A column: any of its values will do.
    Column(String),
    /// LIMIT.
    Limit,
    /// OFFSET.
    Offset,
}

/// Takes a query over one table apart; `None` where it reads none or several.
pub(crate) fn single_table(ast: &Statement) -> Option<SingleTable> {
    let Statement::Query(query) = ast else {
        return None;
    };
    let SetExpr::Select(select) = query.body.as_ref() else {
        return None;
    };
    let [from] = select.from.as_slice() else {
        return None;
    };
    let TableFactor::Table {
        name,
        alias,
        args: None,
        ..
    } = &from.relation
    else {
        return None;
    };
    let mut counter = Queries(0);
    let _never_broken_off = query.visit(&mut counter);
    if query.with.is_some() || !from.joins.is_empty() || counter.0 != 1 {
        return None;
    }
    let mut uses = Uses::default();
    uses.select(select);
    uses.order(query);
    uses.limits(query);
    Some(SingleTable {
        table: plain_name(name),
        aliased: alias.is_some(),
        candidates: uses.candidates(),
        placeholders: uses.placeholders,
    })
}

struct Queries(usize);

impl Visitor for Queries {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.0 += 1;
        ControlFlow::Continue(())
    }
}

/// How columns are used.
#[derive(Default)]
struct Uses {
    equal: Vec<String>,
    range: Vec<String>,
    order: Vec<String>,
    group: Vec<String>,
    placeholders: HashMap<usize, Stand>,
}

fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.clone()),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.clone()),
        Expr::Nested(inner) => column(inner),
        _ => None,
    }
}

fn note(list: &mut Vec<String>, name: String) {
    if !list.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
        list.push(name);
    }
}

impl Uses {
    fn select(&mut self, select: &Select) {
        if let Some(condition) = &select.selection {
            self.predicate(condition);
        }
        if let GroupByExpr::Expressions(keys, _) = &select.group_by {
            let names: Option<Vec<String>> = keys.iter().map(column).collect();
            self.group = names.unwrap_or_default();
        }
    }

    fn order(&mut self, query: &Query) {
        let Some(order_by) = &query.order_by else {
            return;
        };
        let OrderByKind::Expressions(keys) = &order_by.kind else {
            return;
        };
        // An index is read forwards or backwards, so mixed directions do not fit a plain one.
        let mut directions = keys
            .iter()
            .map(|key| matches!(key.options.sort, Some(OrderBySort::Desc)));
        let first = directions.next();
        let same = directions.all(|direction| Some(direction) == first);
        let names: Option<Vec<String>> = keys.iter().map(|key| column(&key.expr)).collect();
        if let (Some(names), true) = (names, same) {
            self.order = names;
        }
    }

    fn limits(&mut self, query: &Query) {
        let (limit, offset) = match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
            None => (None, None),
        };
        self.stand(limit, &Stand::Limit);
        self.stand(offset, &Stand::Offset);
    }

    fn stand(&mut self, expr: Option<&Expr>, stand: &Stand) {
        if let Some(Expr::Value(value)) = expr
            && let Literal::Placeholder(name) = &value.value
            && let Some(index) = placeholder_index(name)
        {
            self.placeholders.insert(index, stand.clone());
        }
    }

    fn predicate(&mut self, condition: &Expr) {
        match condition {
            Expr::Nested(inner) => self.predicate(inner),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } => {
                self.predicate(left);
                self.predicate(right);
            }
            Expr::BinaryOp { left, op, right } => self.comparison(left, op, right),
            Expr::InList {
                expr,
                list,
                negated: false,
            } => self.compared(expr, list.iter(), Use::Equal),
            Expr::Between {
                expr,
                negated: false,
                low,
                high,
            } => self.compared(expr, [low.as_ref(), high.as_ref()].into_iter(), Use::Range),
            Expr::Like {
                negated: false,
                expr,
                pattern,
                ..
            } => self.compared(expr, [pattern.as_ref()].into_iter(), Use::Range),
            Expr::IsNull(expr) => self.compared(expr, std::iter::empty(), Use::Equal),
            _ => {}
        }
    }

    fn comparison(&mut self, left: &Expr, op: &BinaryOperator, right: &Expr) {
        let used = match op {
            BinaryOperator::Eq | BinaryOperator::Spaceship => Use::Equal,
            BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq => Use::Range,
            BinaryOperator::NotEq => Use::Neither,
            _ => return,
        };
        if columns(right) == 0 {
            self.compared(left, [right].into_iter(), used);
        } else if columns(left) == 0 {
            self.compared(right, [left].into_iter(), used);
        }
    }

    fn compared<'a>(&mut self, side: &Expr, values: impl Iterator<Item = &'a Expr>, used: Use) {
        let Some(name) = column(side) else {
            return;
        };
        for value in values {
            self.stand(Some(value), &Stand::Column(name.clone()));
        }
        match used {
            Use::Equal => note(&mut self.equal, name),
            Use::Range => note(&mut self.range, name),
            Use::Neither => {}
        }
    }

    /// Equality columns come first, because each narrows the index to one piece of it; then one range, or the order, or
    /// the group.
    fn candidates(&self) -> Vec<Candidate> {
        let equal = self.equal.join(", ");
        let head = if self.equal.is_empty() {
            String::new()
        } else {
            format!("equality on ({equal}), then ")
        };
        let mut found = Vec::new();
        match self.range.first() {
            Some(range) => self.offer(
                &mut found,
                std::slice::from_ref(range),
                format!("{head}a range on {range}"),
            ),
            None if !self.equal.is_empty() => {
                self.offer(&mut found, &[], format!("equality on ({equal})"));
            }
            None => {}
        }
        if !self.order.is_empty() {
            let order = self.order.join(", ");
            self.offer(
                &mut found,
                &self.order,
                format!("{head}the ORDER BY ({order}), so that nothing is sorted"),
            );
        }
        if !self.group.is_empty() {
            let group = self.group.join(", ");
            self.offer(
                &mut found,
                &self.group,
                format!("{head}the GROUP BY ({group}), so that rows come grouped"),
            );
        }
        found
    }

    fn offer(&self, found: &mut Vec<Candidate>, tail: &[String], reason: String) {
        let mut columns = Vec::with_capacity(WIDTH_MAX);
        for name in self.equal.iter().chain(tail) {
            note(&mut columns, name.clone());
        }
        columns.truncate(WIDTH_MAX);
        if !found.iter().any(|known| known.columns == columns) {
            found.push(Candidate { columns, reason });
        }
    }
}

#[derive(Clone, Copy)]
enum Use {
    Equal,
    Range,
    Neither,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EngineKind;
    use crate::sql::Statement as Parsed;

    fn taken_apart(sql: &str) -> Option<SingleTable> {
        let parsed = Parsed::parse(sql, EngineKind::Sqlite).expect("is one statement");
        single_table(parsed.ast.as_deref().expect("parses"))
    }

    fn check(sql: &str, expected: &[&[&str]]) {
        let single = taken_apart(sql).expect("reads one table");
        let columns: Vec<Vec<String>> = single
            .candidates
            .into_iter()
            .map(|candidate| candidate.columns)
            .collect();
        assert_eq!(columns, expected, "{sql}");
    }

    #[test]
    fn equality_comes_before_range_order_and_group() {
        check(
            "select * from o where created > ? and state = ? order by total desc limit 5",
            &[&["state", "created"], &["state", "total"]],
        );
        check(
            "select * from o where a = 1 and b in (1, 2)",
            &[&["a", "b"]],
        );
        check("select * from o order by a, b", &[&["a", "b"]]);
        check("select a, count(*) from o group by a", &[&["a"]]);
        check("select * from o where a = 1 or b = 2", &[]);
        check("select * from o where lower(a) = ?", &[]);
        check("select * from o order by a, b desc", &[]);
        check(
            "select * from o where a = 1 and b = 2 and c = 3 and d = 4",
            &[&["a", "b", "c"]],
        );
    }

    #[test]
    fn several_tables_are_not_advised_upon() {
        for sql in [
            "select * from a join b on a.x = b.x",
            "select * from a, b",
            "select * from a where x in (select y from b)",
            "with q as (select 1) select * from q",
            "select 1",
        ] {
            assert!(taken_apart(sql).is_none(), "{sql}");
        }
    }

    #[test]
    fn placeholders_know_what_they_stand_for() {
        let single =
            taken_apart("select * from o where a = ? and b between ? and ? limit ? offset ?")
                .expect("reads one table");
        assert_eq!(single.placeholders[&0], Stand::Column("a".to_owned()));
        assert_eq!(single.placeholders[&2], Stand::Column("b".to_owned()));
        assert_eq!(single.placeholders[&3], Stand::Limit);
        assert_eq!(single.placeholders[&4], Stand::Offset);
    }
}
