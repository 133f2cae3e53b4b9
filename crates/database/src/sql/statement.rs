//! A caller's SQL text as exactly one statement in the engine's own form.

use std::sync::Arc;

use plinth_core::{Error, Result};
use sqlparser::ast::{SetExpr, Statement as Ast};
use sqlparser::dialect::{Dialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::Parser;

use super::classify::{self, Access};
use super::scan::Scan;
use super::shape::Shape;
use crate::model::{EngineKind, SQL_BYTES_MAX};

/// One statement, ready to be prepared.
#[derive(Debug)]
pub(crate) struct Statement {
    /// The text between its placeholders, without a final semicolon.
    pieces: Vec<String>,
    /// The whole text with the engine's own placeholders.
    pub(crate) text: Arc<str>,
    /// What it may do to data.
    pub(crate) access: Access,
    /// Its shape.
    pub(crate) shape: Shape,
    /// Its syntax tree, where the parser knows it. Placeholders are numbered in it: `$1` or `:1`.
    pub(crate) ast: Option<Box<Ast>>,
    /// Whether `LIMIT` can be added at its end.
    pub(crate) takes_limit: bool,
    /// Whether it is a query with an ORDER BY of its own.
    pub(crate) ordered: bool,
    /// Whether the session is not to be used again afterwards.
    pub(crate) taints: bool,
    /// Its leading words.
    leading: Vec<String>,
}

impl Statement {
    /// Checks the text and takes it apart. Errors: 1001 and 1007 naming `sql`.
    pub(crate) fn parse(sql: &str, engine: EngineKind) -> Result<Self> {
        if sql.len() > SQL_BYTES_MAX {
            return Err(Error::too_large(
                "sql",
                format!(
                    "has {} bytes, at most {SQL_BYTES_MAX} are allowed",
                    sql.len()
                ),
            ));
        }
        if sql.contains('\0') {
            return Err(Error::invalid("sql", "must not hold a NUL character"));
        }
        let scan = Scan::of(sql, engine)?;
        let words: Vec<&str> = scan.leading.iter().map(String::as_str).collect();
        if let Some(reason) = classify::refusal(&words, engine) {
            let word = words.first().copied().unwrap_or_default();
            return Err(Error::invalid("sql", format!("{word} {reason}")));
        }
        let numbered = join(&scan.pieces, |number| format!("${number}"));
        // MySQL's grammar takes `$1` for a name; `:1` is a placeholder to the parser in every grammar.
        let ast = match engine {
            EngineKind::Mariadb => {
                parse_one(&join(&scan.pieces, |number| format!(":{number}")), engine)?
            }
            EngineKind::Sqlite | EngineKind::Postgres => parse_one(&numbered, engine)?,
        };
        let (takes_limit, ordered) = ast.as_deref().map_or((false, false), paging);
        let text = match engine {
            EngineKind::Postgres => numbered,
            EngineKind::Sqlite | EngineKind::Mariadb => join(&scan.pieces, |_| "?".to_owned()),
        };
        Ok(Self {
            access: ast
                .as_deref()
                .map_or_else(|| unparsed_access(&words), classify::access),
            shape: Shape::of(&text, engine),
            text: text.into(),
            pieces: scan.pieces,
            ast,
            takes_limit,
            ordered,
            taints: scan.taints,
            leading: scan.leading,
        })
    }

    /// How many parameters it takes.
    pub(crate) fn placeholders(&self) -> usize {
        self.pieces.len() - 1
    }

    /// The text with its placeholders written by `write`, which is given their numbers from 1.
    pub(crate) fn render(&self, write: impl Fn(usize) -> String) -> String {
        join(&self.pieces, write)
    }

    /// Whether its first word is one of these.
    pub(crate) fn begins_with(&self, words: &[&str]) -> bool {
        self.leading
            .first()
            .is_some_and(|first| words.iter().any(|word| first.eq_ignore_ascii_case(word)))
    }

    /// Whether MariaDB commits the open transaction when it runs this: DDL and administration do, and a procedure may.
    pub(crate) fn commits_on_mariadb(&self) -> bool {
        let temporary = self
            .leading
            .get(1)
            .is_some_and(|second| second.eq_ignore_ascii_case("temporary"));
        let commits = [
            "create",
            "alter",
            "drop",
            "truncate",
            "rename",
            "grant",
            "revoke",
            "analyze",
            "check",
            "optimize",
            "repair",
            "flush",
            "reset",
            "install",
            "uninstall",
            "cache",
            "call",
        ];
        self.begins_with(&commits) && !temporary
    }

    /// Bytes that it takes in a cache.
    pub(crate) fn weight_bytes(&self) -> usize {
        // The syntax tree is about ten times its text.
        512 + self.text.len() * 12
    }
}

fn join(pieces: &[String], write: impl Fn(usize) -> String) -> String {
    let mut text = String::with_capacity(pieces.iter().map(|piece| piece.len() + 3).sum());
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            text.push_str(&write(number));
        }
        text.push_str(piece);
    }
    text
}

fn dialect(engine: EngineKind) -> &'static dyn Dialect {
    match engine {
        EngineKind::Sqlite => &SQLiteDialect {},
        EngineKind::Postgres => &PostgreSqlDialect {},
        EngineKind::Mariadb => &MySqlDialect {},
    }
}

/// Parses the text; `None` where the parser does not know it. Errors: 1001 where it is more than one statement.
fn parse_one(text: &str, engine: EngineKind) -> Result<Option<Box<Ast>>> {
    let Ok(mut statements) = Parser::parse_sql(dialect(engine), text) else {
        return Ok(None);
    };
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(Some(Box::new(statement))),
        _ => Err(more_than_one()),
    }
}

pub(super) fn more_than_one() -> Error {
    Error::invalid(
        "sql",
        "holds more than one statement; send one for each call, or a transaction's steps",
    )
}

/// What is not understood counts as a write, unless its first word can only read.
fn unparsed_access(words: &[&str]) -> Access {
    match words
        .first()
        .map(|word| word.to_ascii_uppercase())
        .as_deref()
    {
        Some("SHOW" | "DESCRIBE" | "DESC" | "PRAGMA") => Access::Read,
        Some("SELECT" | "VALUES" | "TABLE") => Access::MayWrite,
        _ => Access::Write,
    }
}

/// Whether LIMIT can be added at the end, and whether the query orders its rows.
fn paging(ast: &Ast) -> (bool, bool) {
    let Ast::Query(query) = ast else {
        return (false, false);
    };
    let rows = matches!(
        query.body.as_ref(),
        SetExpr::Select(_) | SetExpr::SetOperation { .. } | SetExpr::Query(_)
    );
    let open_end = query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty();
    let plain = classify::access(ast) < Access::Write;
    (rows && open_end && plain, query.order_by.is_some())
}

/// Whether a statement may write, for an edge that does not know the engine yet: it only reads where at least one
/// engine's grammar says so and none contradicts.
pub(crate) fn writes_on_any_engine(sql: &str) -> bool {
    let mut reads = false;
    for engine in EngineKind::ALL {
        match Statement::parse(sql, engine) {
            Ok(statement) if statement.ast.is_some() => {
                if statement.access != Access::Read {
                    return true;
                }
                reads = true;
            }
            _ => {}
        }
    }
    !reads
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PARAMS_MAX;
    use EngineKind::{Mariadb, Postgres, Sqlite};

    fn parse(sql: &str, engine: EngineKind) -> Statement {
        Statement::parse(sql, engine).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    #[test]
    fn placeholders_are_translated_for_postgres_alone() {
        let sql = "select '?', a ?? 'k' from t where b = ? and c in (?, ?); -- end";
        let statement = parse(sql, Postgres);
        assert_eq!(statement.placeholders(), 3);
        assert_eq!(
            statement.text.trim(),
            "select '?', a ? 'k' from t where b = $1 and c in ($2, $3)"
        );
        for engine in EngineKind::ALL {
            let statement = parse("select a from t where b = ? and c = ?", engine);
            let ast = format!("{:?}", statement.ast.expect("parses"));
            let sign = if engine == Mariadb { ':' } else { '$' };
            for number in 1..=2 {
                assert!(
                    ast.contains(&format!("Placeholder(\"{sign}{number}\")")),
                    "{engine:?}: {ast}"
                );
            }
        }
    }

    #[test]
    fn a_chain_of_operators_is_bounded_before_it_becomes_a_tree() {
        use super::super::scan::OPERATORS_MAX;
        for engine in EngineKind::ALL {
            for (first, link) in [("1", "+1"), ("1", " or 1"), ("1", " union select 1")] {
                let chain = |links: usize| format!("select {first}{}", link.repeat(links));
                parse(&chain(OPERATORS_MAX), engine);
                let error = Statement::parse(&chain(OPERATORS_MAX + 1), engine).err();
                let error = error.expect("is refused");
                assert_eq!(error.violations()[0].field, "sql");
                // Past every stack, were it parsed.
                assert!(Statement::parse(&chain(200_000), engine).is_err());
            }
        }
    }

    #[test]
    fn an_explanation_that_runs_its_statement_does_what_the_statement_does() {
        for (sql, access) in [
            ("explain delete from t", Access::Read),
            ("explain analyze delete from t", Access::Write),
            ("explain (analyze) delete from t", Access::Write),
            ("explain (analyze, buffers) delete from t", Access::Write),
            ("explain (costs off) delete from t", Access::Read),
            ("explain (analyze true) select a from t", Access::Read),
        ] {
            assert_eq!(parse(sql, Postgres).access, access, "{sql}");
        }
    }

    #[test]
    fn two_statements_are_refused_however_they_are_hidden() {
        for (sql, engine) in [
            ("select 1; select 2", Sqlite),
            ("select 1; drop table t", Postgres),
            ("select 1;;select 2", Mariadb),
            ("select 'a'';' ; delete from t", Sqlite),
            ("select \"a\\\"; drop table t; --\"", Sqlite),
            ("select '\\'; drop table t; --'", Postgres),
            ("select 1 /* ; */ ; /* a */ select 2", Sqlite),
            (
                "create trigger r after insert on t begin delete from t; end; drop table t",
                Sqlite,
            ),
        ] {
            let error = Statement::parse(sql, engine).expect_err(sql);
            assert_eq!(error.code().number(), 1001, "{sql}");
            assert_eq!(error.violations()[0].field, "sql", "{sql}");
        }
        for (sql, engine) in [
            ("select 1;", Sqlite),
            ("select ';'; -- done", Postgres),
            ("select '\\'; drop'", Mariadb),
            (
                "create trigger r after insert on t begin delete from t; update t set a = 1; end",
                Sqlite,
            ),
        ] {
            parse(sql, engine);
        }
    }

    #[test]
    fn what_would_change_the_session_or_leave_the_database_is_refused() {
        for (sql, engine) in [
            ("begin", Sqlite),
            ("/* a */ commit", Postgres),
            ("attach 'x.db' as x", Sqlite),
            ("vacuum into 'copy.db'", Sqlite),
            ("pragma journal_mode = off", Sqlite),
            ("pragma user_version(5)", Sqlite),
            ("select * from pragma_database_list", Sqlite),
            ("select * from \"pragma_database_list\"", Sqlite),
            ("select * from [PRAGMA_database_list]", Sqlite),
            ("select * from `pragma_database_list`", Sqlite),
            ("set search_path = x", Postgres),
            ("copy t to '/tmp/x'", Postgres),
            ("do $$ begin delete from t; end $$", Postgres),
            ("use other", Mariadb),
            ("/*!50000 drop table t */", Mariadb),
            ("select $1", Postgres),
            ("select :name", Sqlite),
            ("select ?1", Sqlite),
            ("", Sqlite),
            (" -- nothing", Sqlite),
            ("select 'open", Sqlite),
        ] {
            assert!(Statement::parse(sql, engine).is_err(), "{sql}");
        }
        parse("pragma table_info(t)", Sqlite);
        parse("select a::text from t", Postgres);
    }

    #[test]
    fn a_changed_session_is_seen_however_its_names_are_quoted() {
        for (sql, engine) in [
            ("create table temp.t (a int)", Sqlite),
            ("create table \"temp\".t (a int)", Sqlite),
            ("create table [Temp].t (a int)", Sqlite),
            ("create table `temp`.t (a int)", Sqlite),
            ("select set_config('a.b', 'c', false)", Postgres),
            ("select \"set_config\"('a.b', 'c', false)", Postgres),
            (
                "select pg_catalog.\"set_config\"('a.b', 'c', false)",
                Postgres,
            ),
            ("select U&\"set\\005fconfig\"('a.b', 'c', false)", Postgres),
            ("select \"pg_advisory_lock\"(1)", Postgres),
            ("select \"pg_try_advisory_lock_shared\"(1)", Postgres),
            ("create table pg_temp.t (a int)", Postgres),
            ("create table \"pg_temp\".t (a int)", Postgres),
            ("select `get_lock`('a', 0)", Mariadb),
            ("select \"GET_LOCK\"('a', 0)", Mariadb),
            ("create temporary table t (a int)", Mariadb),
            ("select 1 into @a", Mariadb),
        ] {
            assert!(parse(sql, engine).taints, "{sql}");
        }
        for (sql, engine) in [
            ("select 'temp', 'set_config' from t", Sqlite),
            ("select \"temperature\" from t", Postgres),
            ("select 'set_config', E'\\n'", Postgres),
            ("select 'get_lock', `lock` from t", Mariadb),
        ] {
            assert!(!parse(sql, engine).taints, "{sql}");
        }
    }

    #[test]
    fn a_quoted_name_in_capitals_is_no_function_of_the_engine() {
        for (sql, access) in [
            ("select lower(a) from t", Access::Read),
            ("select LOWER(a) from t", Access::Read),
            ("select \"lower\"(a) from t", Access::Read),
            ("select \"LOWER\"(a) from t", Access::MayWrite),
        ] {
            assert_eq!(parse(sql, Postgres).access, access, "{sql}");
        }
    }

    #[test]
    fn reads_and_writes_are_told_apart() {
        use Access::{MayWrite, Read, Write};
        for (sql, engine, expected) in [
            ("select count(*), lower(a) from t", Sqlite, Read),
            ("with x as (select 1) select * from x", Postgres, Read),
            (
                "with x as (delete from t returning *) select * from x",
                Postgres,
                Write,
            ),
            ("select * into u from t", Postgres, Write),
            ("select nextval('s')", Postgres, MayWrite),
            ("select * from t for update", Postgres, MayWrite),
            ("select app.f(1)", Postgres, MayWrite),
            ("explain select 1", Postgres, Read),
            ("explain analyze delete from t", Postgres, Write),
            ("insert into t values (1) returning a", Sqlite, Write),
            ("replace into t values (1)", Mariadb, Write),
            ("create table t (a int)", Mariadb, Write),
            ("show tables", Mariadb, Read),
            ("optimize garbage words", Mariadb, Write),
        ] {
            assert_eq!(parse(sql, engine).access, expected, "{sql}");
        }
        assert!(!writes_on_any_engine("select a from t where b = ?"));
        assert!(writes_on_any_engine("select f(1)"));
        assert!(writes_on_any_engine("complete nonsense"));
        assert!(writes_on_any_engine("update t set a = ?"));
    }

    #[test]
    fn a_limit_is_added_only_where_it_is_sound() {
        for (sql, engine, expected) in [
            ("select * from t", Sqlite, true),
            ("select 1 union select 2", Postgres, true),
            ("select * from t limit 5", Sqlite, false),
            ("select * from t fetch first 5 rows only", Postgres, false),
            ("select * from t for update", Mariadb, false),
            ("select * into u from t", Postgres, false),
            ("delete from t", Sqlite, false),
            ("show tables", Mariadb, false),
        ] {
            assert_eq!(parse(sql, engine).takes_limit, expected, "{sql}");
        }
        assert!(parse("select * from t order by a", Sqlite).ordered);
    }

    #[test]
    fn limits_hold_at_the_limit_and_one_past_it() {
        let pad = |length: usize| format!("select 1{}", " ".repeat(length - 8));
        assert!(Statement::parse(&pad(SQL_BYTES_MAX), Sqlite).is_ok());
        assert!(Statement::parse(&pad(SQL_BYTES_MAX + 1), Sqlite).is_err());
        let marks = |count: usize| {
            format!(
                "select * from t where a in ({})",
                vec!["?"; count].join(",")
            )
        };
        assert!(Statement::parse(&marks(PARAMS_MAX), Sqlite).is_ok());
        assert!(Statement::parse(&marks(PARAMS_MAX + 1), Sqlite).is_err());
    }
}
