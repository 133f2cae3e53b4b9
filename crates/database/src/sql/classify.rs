//! What a statement does to data and to its session.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, ObjectName, Query, Select, SetExpr, Statement as Ast, TableFactor, UtilityOption, Visit,
    Visitor,
};

use super::functions;
use super::tokens::{Token, TokenKind};
use crate::model::EngineKind;

/// What a statement may do to data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// It only reads.
    Read,
    /// It reads, and calls functions that are not known to be free of effects, or locks rows.
    MayWrite,
    /// It writes, or is not understood.
    Write,
}

/// Classifies a statement that parsed.
pub(crate) fn access(ast: &Ast) -> Access {
    match ast {
        Ast::Query(query) => query_access(query),
        Ast::Explain {
            analyze,
            statement,
            options,
            ..
        } => {
            // In parentheses PostgreSQL takes it as an option, whatever its value says here.
            let option = options.iter().flatten();
            let named = |option: &UtilityOption| option.name.value.eq_ignore_ascii_case("analyze");
            if *analyze || option.into_iter().any(named) {
                access(statement)
            } else {
                Access::Read
            }
        }
        Ast::ExplainTable { .. }
        | Ast::ShowFunctions { .. }
        | Ast::ShowVariable { .. }
        | Ast::ShowStatus { .. }
        | Ast::ShowVariables { .. }
        | Ast::ShowCreate { .. }
        | Ast::ShowColumns { .. }
        | Ast::ShowDatabases { .. }
        | Ast::ShowSchemas { .. }
        | Ast::ShowTables { .. }
        | Ast::ShowViews { .. }
        | Ast::ShowCollation { .. }
        | Ast::Pragma { .. } => Access::Read,
        _ => Access::Write,
    }
}

fn query_access(query: &Query) -> Access {
    let mut finder = Effects {
        found: Access::Read,
    };
    let _broken_off = query.visit(&mut finder);
    finder.found
}

struct Effects {
    found: Access,
}

impl Effects {
    fn note(&mut self, access: Access) -> ControlFlow<()> {
        self.found = self.found.max(access);
        if self.found == Access::Write {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn call(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let known = match name.0.as_slice() {
            // A quoted name in capitals is the caller's own function, not the engine's.
            [part] => part.as_ident().is_some_and(|ident| {
                let own = ident.quote_style.is_some()
                    && ident.value.bytes().any(|byte| byte.is_ascii_uppercase());
                !own && functions::is_pure(&ident.value)
            }),
            _ => false,
        };
        self.note(if known {
            Access::Read
        } else {
            Access::MayWrite
        })
    }
}

impl Visitor for Effects {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if !query.locks.is_empty() {
            self.note(Access::MayWrite)?;
        }
        match query.body.as_ref() {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                self.note(Access::Write)
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        if select.into.is_some() {
            return self.note(Access::Write);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, _inner: &Ast) -> ControlFlow<()> {
        self.note(Access::Write)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table {
                name,
                args: Some(_),
                ..
            }
            | TableFactor::Function { name, .. } => self.call(name),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => self.call(&function.name),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Why a statement may not be sent at all, from its leading words: each would change the session that the next caller
/// gets, reach outside the database, or hold many statements. `None` where it may.
pub(crate) fn refusal(words: &[&str], engine: EngineKind) -> Option<&'static str> {
    const TRANSACTION: &str =
        "controls a transaction; send the steps to ExecuteTransaction instead";
    const SESSION: &str = "changes the session, which the next caller would inherit";
    const OUTSIDE: &str = "reaches outside the named database";
    const MANY: &str = "holds many statements in one";
    let first = words.first()?.to_ascii_uppercase();
    let second = words
        .get(1)
        .map(|word| word.to_ascii_uppercase())
        .unwrap_or_default();
    match first.as_str() {
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "SAVEPOINT" | "RELEASE"
        | "XA" => Some(TRANSACTION),
        "SET" | "RESET" | "DISCARD" | "USE" | "LOCK" | "UNLOCK" | "PREPARE" | "EXECUTE"
        | "DEALLOCATE" | "DECLARE" | "FETCH" | "CLOSE" | "MOVE" | "LISTEN" | "UNLISTEN"
        | "HANDLER" => Some(SESSION),
        "ATTACH" | "DETACH" | "COPY" | "LOAD" => Some(OUTSIDE),
        "DO" | "DELIMITER" => Some(MANY),
        "VACUUM"
            if engine == EngineKind::Sqlite
                && words.iter().any(|word| word.eq_ignore_ascii_case("into")) =>
        {
            Some(OUTSIDE)
        }
        "PRAGMA" if engine == EngineKind::Sqlite => {
            (!pragma_reads(&second)).then_some("is not one of the pragmas that only read")
        }
        _ => None,
    }
}

/// Pragmas that report and that no argument turns into a setting.
pub(crate) fn pragma_reads(name: &str) -> bool {
    matches!(
        name.to_ascii_uppercase().as_str(),
        "TABLE_INFO"
            | "TABLE_XINFO"
            | "TABLE_LIST"
            | "INDEX_LIST"
            | "INDEX_INFO"
            | "INDEX_XINFO"
            | "FOREIGN_KEY_LIST"
            | "FOREIGN_KEY_CHECK"
            | "INTEGRITY_CHECK"
            | "QUICK_CHECK"
            | "FUNCTION_LIST"
            | "COLLATION_LIST"
            | "COMPILE_OPTIONS"
            | "PAGE_COUNT"
            | "FREELIST_COUNT"
    )
}

/// Whether a token means that the session is no longer as it was: advisory locks, settings, temporary tables, user
/// variables. The connection is then closed after the statement and not given to the next caller. A name counts however it
/// is quoted; too much costs a connection, too little would cost the next caller.
pub(crate) fn taints(token: Token<'_>, engine: EngineKind) -> bool {
    const NAMES: [&str; 4] = ["temp", "temporary", "set_config", "get_lock"];
    const PREFIXES: [&str; 3] = ["pg_advisory_lock", "pg_try_advisory_lock", "pg_temp"];
    if let Some(name) = token.name(engine) {
        let begins = |prefix: &&str| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        // `U&"\0074emp"`: PostgreSQL reads escapes in it, we do not.
        let escaped = engine == EngineKind::Postgres
            && token.kind == TokenKind::QuotedName
            && name.contains('\\');
        return escaped
            || NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
            || PREFIXES.iter().any(begins);
    }
    token.kind == TokenKind::Mark && engine == EngineKind::Mariadb && token.text == "@"
}
