//! What the syntax tree alone tells about a query.

use std::collections::HashMap;
use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, ObjectName, Query, Select, SelectItem, SetExpr, Statement,
    TableFactor, Value as Literal, Visit, Visitor,
};

use crate::model::Value;

/// What a query is made of.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Real table names by alias and by name, both in lower case.
    pub(crate) tables: HashMap<String, String>,
    /// Whether rows are restricted: WHERE, or a join.
    pub(crate) restricted: bool,
    /// Whether nothing bounds the number of rows: no LIMIT, and not one row by nature.
    pub(crate) unbounded: bool,
    /// Predicates that compute with a column.
    pub(crate) computed: Vec<Computed>,
    /// LIKE predicates whose pattern begins with a wildcard.
    pub(crate) leading_wildcards: Vec<String>,
}

/// A predicate that computes with a column before it compares.
#[derive(Debug)]
pub(crate) struct Computed {
    /// The predicate.
    pub(crate) predicate: String,
    /// The column.
    pub(crate) column: String,
    /// The function's name, or the operator.
    pub(crate) by: String,
}

/// Gathers the facts of a query; `None` where the statement is none.
pub(crate) fn facts(ast: &Statement, params: &[Value]) -> Option<Facts> {
    let Statement::Query(query) = ast else {
        return None;
    };
    let mut gatherer = Gatherer {
        facts: Facts {
            unbounded: is_unbounded(query),
            ..Facts::default()
        },
        params,
    };
    let _never_broken_off = query.visit(&mut gatherer);
    Some(gatherer.facts)
}

fn is_unbounded(query: &Query) -> bool {
    if query.limit_clause.is_some() || query.fetch.is_some() {
        return false;
    }
    match query.body.as_ref() {
        SetExpr::Select(select) => !is_one_row(select),
        SetExpr::SetOperation { .. } => true,
        SetExpr::Query(inner) => is_unbounded(inner),
        _ => false,
    }
}

/// Aggregates without a group are one row, and so is a SELECT without a table.
fn is_one_row(select: &Select) -> bool {
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let aggregate = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            has_aggregate(expr)
        }
        _ => false,
    };
    select.from.is_empty() || (!grouped && select.projection.iter().any(aggregate))
}

fn has_aggregate(expr: &Expr) -> bool {
    const AGGREGATES: [&str; 14] = [
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "total",
        "group_concat",
        "string_agg",
        "array_agg",
        "json_agg",
        "jsonb_agg",
        "bool_and",
        "bool_or",
        "stddev",
    ];
    match expr {
        Expr::Function(function) if function.over.is_none() => {
            let name = function.name.to_string().to_ascii_lowercase();
            AGGREGATES.contains(&name.as_str())
        }
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => has_aggregate(inner),
        Expr::BinaryOp { left, right, .. } => has_aggregate(left) || has_aggregate(right),
        _ => false,
    }
}

struct Gatherer<'a> {
    facts: Facts,
    params: &'a [Value],
}

impl Visitor for Gatherer<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } = factor
        {
            let real = plain_name(name);
            if let Some(alias) = alias {
                let alias = alias.name.value.to_ascii_lowercase();
                self.facts.tables.insert(alias, real.clone());
            }
            let last = real
                .rsplit('.')
                .next()
                .unwrap_or(&real)
                .to_ascii_lowercase();
            self.facts.tables.insert(last, real);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let joined =
            select.from.len() > 1 || select.from.iter().any(|table| !table.joins.is_empty());
        self.facts.restricted |= select.selection.is_some() || joined;
        if let Some(condition) = &select.selection {
            self.predicates(condition);
        }
        ControlFlow::Continue(())
    }
}

/// A table's name without quotes, with its schema.
pub(crate) fn plain_name(name: &ObjectName) -> String {
    let parts: Vec<&str> = name
        .0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|ident| ident.value.as_str())
        .collect();
    parts.join(".")
}

impl Gatherer<'_> {
    fn predicates(&mut self, condition: &Expr) {
        match condition {
            Expr::Nested(inner) => self.predicates(inner),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And | BinaryOperator::Or,
                right,
            } => {
                self.predicates(left);
                self.predicates(right);
            }
            Expr::BinaryOp { left, op, right } if is_comparison(op) => {
                if columns(right) == 0 {
                    self.computed(left, condition);
                } else if columns(left) == 0 {
                    self.computed(right, condition);
                }
            }
            Expr::InList { expr, .. } | Expr::Between { expr, .. } => {
                self.computed(expr, condition)
            }
            Expr::Like {
                negated: false,
                expr,
                pattern,
                ..
            }
            | Expr::ILike {
                negated: false,
                expr,
                pattern,
                ..
            } if columns(expr) > 0 && self.begins_with_wildcard(pattern) => {
                self.facts.leading_wildcards.push(condition.to_string());
            }
            _ => {}
        }
    }

    fn computed(&mut self, side: &Expr, predicate: &Expr) {
        let by = match side {
            Expr::Nested(inner) => return self.computed(inner, predicate),
            Expr::Function(function) => function.name.to_string(),
            Expr::Cast { .. } => "CAST".to_owned(),
            Expr::Extract { .. } => "EXTRACT".to_owned(),
            Expr::Substring { .. } => "SUBSTRING".to_owned(),
            Expr::Trim { .. } => "TRIM".to_owned(),
            Expr::Ceil { .. } => "CEIL".to_owned(),
            Expr::Floor { .. } => "FLOOR".to_owned(),
            Expr::BinaryOp { op, .. } if !is_comparison(op) => op.to_string(),
            _ => return,
        };
        if let Some(column) = first_column(side) {
            self.facts.computed.push(Computed {
                predicate: predicate.to_string(),
                column,
                by,
            });
        }
    }

    fn begins_with_wildcard(&self, pattern: &Expr) -> bool {
        let Expr::Value(value) = pattern else {
            return false;
        };
        let text = match &value.value {
            Literal::Placeholder(name) => match self.param(name) {
                Some(Value::Text(text)) => text.as_str(),
                _ => return false,
            },
            Literal::SingleQuotedString(text)
            | Literal::DoubleQuotedString(text)
            | Literal::EscapedStringLiteral(text)
            | Literal::NationalStringLiteral(text) => text.as_str(),
            _ => return false,
        };
        text.starts_with(['%', '_'])
    }

    fn param(&self, placeholder: &str) -> Option<&Value> {
        placeholder_index(placeholder).and_then(|index| self.params.get(index))
    }
}

/// The place of `$1` or `:1`, from 0.
pub(crate) fn placeholder_index(placeholder: &str) -> Option<usize> {
    let number: usize = placeholder.strip_prefix(['$', ':'])?.parse().ok()?;
    number.checked_sub(1)
}

pub(crate) const fn is_comparison(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
            | BinaryOperator::Spaceship
    )
}

struct Columns {
    first: Option<String>,
    count: usize,
}

impl Visitor for Columns {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let name = match expr {
            Expr::Identifier(ident) => Some(ident.value.clone()),
            Expr::CompoundIdentifier(parts) => parts.last().map(|ident| ident.value.clone()),
            _ => None,
        };
        if let Some(name) = name {
            self.count += 1;
            self.first.get_or_insert(name);
        }
        ControlFlow::Continue(())
    }
}

fn scan_columns(expr: &Expr) -> Columns {
    let mut columns = Columns {
        first: None,
        count: 0,
    };
    let _never_broken_off = expr.visit(&mut columns);
    columns
}

/// How many columns an expression names.
pub(crate) fn columns(expr: &Expr) -> usize {
    scan_columns(expr).count
}

fn first_column(expr: &Expr) -> Option<String> {
    scan_columns(expr).first
}
