//! What an engine knows of a table: its indexes and columns.

use plinth_core::Deadline;

use crate::error::DatabaseError;
use crate::model::{EngineKind, Value};
use crate::pool::Lease;
use crate::running::Database;

/// An index that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
}

impl Index {
    /// Whether its leading columns are these, so that it does all that an index on them would do.
    pub(crate) fn covers(&self, columns: &[String]) -> bool {
        self.columns.len() >= columns.len()
            && self
                .columns
                .iter()
                .zip(columns)
                .all(|(ours, wanted)| ours.eq_ignore_ascii_case(wanted))
    }
}

/// The plain indexes of a table: none that are partial, because those serve some rows alone.
pub(crate) async fn indexes(
    database: &Database,
    lease: &mut Lease,
    table: &str,
    deadline: Deadline,
) -> Result<Vec<Index>, DatabaseError> {
    let sql = match database.engine() {
        EngineKind::Sqlite => {
            "SELECT l.name AS n, i.name AS c, i.seqno AS s \
             FROM pragma_index_list(?) AS l, pragma_index_info(l.name) AS i WHERE l.partial = 0 \
             UNION ALL SELECT 'PRIMARY KEY', name, pk FROM pragma_table_info(?) WHERE pk > 0 ORDER BY 1, 3"
        }
        EngineKind::Postgres => {
            "SELECT i.relname::text, a.attname::text, k.n FROM pg_index AS x \
             JOIN pg_class AS i ON i.oid = x.indexrelid \
             CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, n) \
             LEFT JOIN pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum AND k.attnum > 0 \
             WHERE x.indrelid = to_regclass(?) AND x.indpred IS NULL AND x.indisvalid ORDER BY 1, 3"
        }
        EngineKind::Mariadb => {
            "SELECT INDEX_NAME, COLUMN_NAME, SEQ_IN_INDEX FROM information_schema.STATISTICS \
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY 1, 3"
        }
    };
    let name = Value::Text(table.to_owned());
    let params = match database.engine() {
        EngineKind::Sqlite => vec![name.clone(), name],
        EngineKind::Postgres | EngineKind::Mariadb => vec![name],
    };
    let rows = database.own(lease, sql, &params, deadline).await?;
    let mut indexes: Vec<Index> = Vec::new();
    for row in &rows {
        let [Value::Text(name), column, _] = row.as_slice() else {
            continue;
        };
        // An expression has no column name; the columns before it still count, those after it do not follow them.
        let column = match column {
            Value::Text(column) => column.clone(),
            _ => String::new(),
        };
        match indexes.last_mut() {
            Some(last) if last.name == *name => last.columns.push(column),
            _ => indexes.push(Index {
                name: name.clone(),
                columns: vec![column],
            }),
        }
    }
    Ok(indexes)
}

/// A column of a MariaDB table.
#[derive(Clone, Debug)]
pub(crate) struct MariadbColumn {
    pub(crate) name: String,
    /// TEXT and BLOB are indexed by a prefix alone.
    pub(crate) needs_prefix: bool,
    /// Its value is computed and cannot be inserted.
    pub(crate) generated: bool,
}

/// The columns of a MariaDB table.
pub(crate) async fn mariadb_columns(
    database: &Database,
    lease: &mut Lease,
    table: &str,
    deadline: Deadline,
) -> Result<Vec<MariadbColumn>, DatabaseError> {
    let sql = "SELECT COLUMN_NAME, CAST(DATA_TYPE AS CHAR(64)), CAST(EXTRA AS CHAR(80)) \
         FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION";
    let params = [Value::Text(table.to_owned())];
    let rows = database.own(lease, sql, &params, deadline).await?;
    Ok(rows
        .iter()
        .filter_map(|row| match row.as_slice() {
            [Value::Text(name), Value::Text(word), extra] => Some(MariadbColumn {
                name: name.clone(),
                needs_prefix: word.ends_with("text") || word.ends_with("blob") || word == "json",
                generated: matches!(extra, Value::Text(extra) if extra.to_ascii_uppercase().contains("GENERATED")),
            }),
            _ => None,
        })
        .collect())
}
