//! A caller's SQL text as exactly one statement in the engine's own form.

use std::sync::Arc;

use plinth_core::{Error, Result};
use sqlparser::ast::{SetExpr, Statement as Ast};
use sqlparser::dialect::{Dialect, MySqlDialect, PostgreSqlDialect, SQLiteDialect};
use sqlparser::parser::Parser;

use super::classify::{self, Access};
use super::shape::Shape;
use super::tokens::{Token, TokenKind, Tokens};
use crate::model::{EngineKind, PARAMS_MAX, SQL_BYTES_MAX};

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

fn more_than_one() -> Error {
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

/// How many leading words are looked at.
const LEADING_WORDS: usize = 4;

/// One pass over the tokens.
struct Scan {
    pieces: Vec<String>,
    leading: Vec<String>,
    taints: bool,
    /// Inside `CREATE TRIGGER … BEGIN`, whose body holds semicolons: SQLite ends it at `; END`.
    trigger: Trigger,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Trigger {
    No,
    Body,
    AfterSemicolon,
    AfterEnd,
}

impl Scan {
    fn of(sql: &str, engine: EngineKind) -> Result<Self> {
        let mut scan = Self {
            pieces: vec![String::with_capacity(sql.len())],
            leading: Vec::with_capacity(LEADING_WORDS),
            taints: false,
            trigger: Trigger::No,
            ended: false,
        };
        for token in Tokens::new(sql, engine) {
            scan.take(token, engine)?;
        }
        if scan.pieces.len() - 1 > PARAMS_MAX {
            return Err(Error::too_large(
                "sql",
                format!("has more than {PARAMS_MAX} placeholders"),
            ));
        }
        let empty = scan
            .pieces
            .first()
            .is_none_or(|first| scan.pieces.len() == 1 && first.trim().is_empty());
        if empty {
            return Err(Error::invalid("sql", "must not be empty"));
        }
        Ok(scan)
    }

    fn take(&mut self, token: Token<'_>, engine: EngineKind) -> Result<()> {
        if token.kind == TokenKind::Space {
            // A comment becomes a space, so that nothing follows the statement and no directive hides in it; hints
            // stay, because the caller means them.
            let keep = token.text.starts_with("/*+") || token.text.trim().is_empty();
            self.push(if keep { token.text } else { " " });
            return Ok(());
        }
        if self.ended {
            return Err(more_than_one());
        }
        self.taints |= classify::taints(token, engine);
        match token.kind {
            TokenKind::Semicolon => {
                self.semicolon(token);
                Ok(())
            }
            TokenKind::Placeholder => {
                self.trigger_step(token);
                self.pieces.push(String::new());
                Ok(())
            }
            TokenKind::EscapedQuestion => {
                self.push("?");
                Ok(())
            }
            TokenKind::NativePlaceholder => Err(Error::invalid(
                "sql",
                format!("{}: write every placeholder as ?", token.text),
            )),
            TokenKind::ExecutableComment => Err(Error::invalid(
                "sql",
                "an executable comment /*! … */ hides what the statement does; write it openly",
            )),
            TokenKind::Unterminated => Err(Error::invalid(
                "sql",
                "ends inside a string, a quoted name or a comment",
            )),
            _ => {
                self.lead(token, engine)?;
                self.trigger_step(token);
                self.push(token.text);
                Ok(())
            }
        }
    }

    fn push(&mut self, text: &str) {
        if let Some(piece) = self.pieces.last_mut() {
            piece.push_str(text);
        }
    }

    fn lead(&mut self, token: Token<'_>, engine: EngineKind) -> Result<()> {
        if token.kind != TokenKind::Word {
            return Ok(());
        }
        // The list of attached files would show where they lie on this machine.
        if engine == EngineKind::Sqlite && token.is_word("pragma_database_list") {
            return Err(Error::invalid(
                "sql",
                "pragma_database_list is not available",
            ));
        }
        let vacuum = self
            .leading
            .first()
            .is_some_and(|first| first.eq_ignore_ascii_case("vacuum"));
        if self.leading.len() < LEADING_WORDS || vacuum {
            self.leading.push(token.text.to_owned());
        }
        if engine == EngineKind::Sqlite && self.trigger == Trigger::No && self.is_trigger() {
            self.trigger = Trigger::Body;
        }
        Ok(())
    }

    fn is_trigger(&self) -> bool {
        let words: Vec<String> = self
            .leading
            .iter()
            .map(|word| word.to_ascii_uppercase())
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        matches!(
            words.as_slice(),
            ["CREATE", "TRIGGER", ..] | ["CREATE", "TEMP" | "TEMPORARY", "TRIGGER", ..]
        )
    }

    fn trigger_step(&mut self, token: Token<'_>) {
        self.trigger = match self.trigger {
            Trigger::No => Trigger::No,
            Trigger::AfterSemicolon if token.is_word("end") => Trigger::AfterEnd,
            _ => Trigger::Body,
        };
    }

    fn semicolon(&mut self, token: Token<'_>) {
        match self.trigger {
            Trigger::No | Trigger::AfterEnd => self.ended = true,
            Trigger::Body | Trigger::AfterSemicolon => {
                self.trigger = Trigger::AfterSemicolon;
                self.push(token.text);
            }
        }
    }
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
