//! One pass over a caller's text: its pieces between placeholders, its first words, its single end.

use plinth_core::{Error, Result};

use super::classify;
use super::statement::more_than_one;
use super::tokens::{Token, TokenKind, Tokens};
use crate::model::{EngineKind, PARAMS_MAX};

/// How many leading words are looked at.
const LEADING_WORDS: usize = 4;

/// Most operators of a statement. A chain of them is a tree as deep as it is long, and who walks or drops that tree needs
/// as much stack.
pub(super) const OPERATORS_MAX: usize = 2_000;
/// Words that join what stands on both sides of them, or before them.
const OPERATOR_WORDS: [&str; 18] = [
    "and",
    "or",
    "xor",
    "not",
    "is",
    "in",
    "like",
    "ilike",
    "rlike",
    "regexp",
    "glob",
    "match",
    "between",
    "collate",
    "union",
    "intersect",
    "except",
    "div",
];

/// One pass over the tokens.
pub(super) struct Scan {
    /// The text between placeholders, without comments and without a final semicolon.
    pub(super) pieces: Vec<String>,
    /// The first words.
    pub(super) leading: Vec<String>,
    /// Whether the session is changed.
    pub(super) taints: bool,
    /// Inside `CREATE TRIGGER … BEGIN`, whose body holds semicolons: SQLite ends it at `; END`.
    trigger: Trigger,
    ended: bool,
    operators: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Trigger {
    No,
    Body,
    AfterSemicolon,
    AfterEnd,
}

impl Scan {
    /// Reads the text. Errors: 1001 and 1007 naming `sql`.
    pub(super) fn of(sql: &str, engine: EngineKind) -> Result<Self> {
        let mut scan = Self {
            pieces: vec![String::with_capacity(sql.len())],
            leading: Vec::with_capacity(LEADING_WORDS),
            taints: false,
            trigger: Trigger::No,
            ended: false,
            operators: 0,
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
        self.operators += usize::from(is_operator(token));
        if self.operators > OPERATORS_MAX {
            return Err(Error::too_large(
                "sql",
                format!("has more than {OPERATORS_MAX} operators; hand values over as parameters"),
            ));
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
        // The list of attached files would show where they lie on this machine.
        let hidden = engine == EngineKind::Sqlite
            && token
                .name(engine)
                .is_some_and(|name| name.eq_ignore_ascii_case("pragma_database_list"));
        if hidden {
            return Err(Error::invalid(
                "sql",
                "pragma_database_list is not available",
            ));
        }
        if token.kind != TokenKind::Word {
            return Ok(());
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

fn is_operator(token: Token<'_>) -> bool {
    match token.kind {
        TokenKind::Mark => !matches!(token.text, "," | "." | "(" | ")"),
        TokenKind::EscapedQuestion => true,
        TokenKind::Word => OPERATOR_WORDS.iter().any(|word| token.is_word(word)),
        _ => false,
    }
}
